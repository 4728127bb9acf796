// Looks closer at a timeline: whatever has a time (data-a, data-b) is put where it belongs.
"use strict";
for (const world of document.querySelectorAll(".world")) {
  const svg = world.querySelector(".timeline");
  const end = +svg.dataset.end, left = +svg.dataset.left, right = +svg.dataset.right, letter = +svg.dataset.letter;
  const height = svg.viewBox.baseVal.height, axis = svg.querySelector(".axis");
  const things = [...svg.querySelectorAll("[data-a]")].map((at) => ({
    at, from: +at.dataset.a, until: +(at.dataset.b ?? at.dataset.a), lasts: "b" in at.dataset,
    y: at.dataset.y, text: at.querySelector("text"), kind: at.getAttribute("class"),
    word: at.querySelector("text")?.textContent.length ?? 0,
  }));
  const [top, bottom] = ["y1", "y2"].map((y) => axis.querySelector("line").getAttribute(y));
  let from = 0, until = end, width = 0;
  world.classList.add("live");

  const span = (us) => us === 0 ? "0" : us < 1e3 ? us + " us" : us < 1e6 ? +(us / 1e3).toFixed(3) + " ms" : +(us / 1e6).toFixed(6) + " s";
  const x = (us) => left + (width - left - right) * (us - from) / (until - from);

  function ticks() {
    const rough = Math.max((until - from) / Math.max((width - left) / 110, 2), 1);
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = Math.max(Math.round([1, 2, 5, 10].find((n) => n * unit >= rough) * unit), 1);
    let drawn = "";
    for (let us = Math.ceil(from / step) * step; us <= until; us += step) {
      drawn += `<line class="grid" x1="${x(us)}" x2="${x(us)}" y1="${top}" y2="${bottom}"/><text class="tick" x="${x(us)}" y="${+bottom + 16}" text-anchor="middle">${span(us)}</text>`;
    }
    axis.innerHTML = drawn;
  }

  // The number of a fault is seen if the next mark of its row leaves room for it; a dot on the shape
  // of the fault does.
  function number({ text, word, y }, a, index) {
    const isSeen = (next) => next?.y === y && next.at.style.display === "";
    let next = index + 1;
    while (isSeen(things[next]) && things[next].kind === "dot" && x(things[next].from) - a <= 4) next += 1;
    const room = isSeen(things[next]) ? x(things[next].from) - a : Infinity;
    text.setAttribute("visibility", room < (word + 2) * letter ? "hidden" : "visible");
  }

  // The name of a phase is seen if it does not lie on the one before, which ends at `free`.
  function phase({ text, word }, a, free) {
    const long = (word + 1) * letter, before = a + long > width, begins = before ? a - long : a;
    text.setAttribute("text-anchor", before ? "end" : "start");
    text.setAttribute("visibility", begins < free ? "hidden" : "visible");
    return begins < free ? free : begins + long;
  }

  function bar({ at, text, word, ...thing }) {
    const a = x(Math.max(thing.from, from)), long = Math.max(x(Math.min(thing.until, until)) - a, 1.5);
    at.setAttribute("x", a.toFixed(1));
    at.setAttribute("width", long.toFixed(1));
    text?.setAttribute("visibility", long < word * letter + 8 ? "hidden" : "visible");
  }

  function draw() {
    let free = 0;
    width = Math.max(svg.parentElement.clientWidth, 480);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    ticks();
    for (const thing of things) {
      const isSeen = thing.until >= from && thing.from <= until;
      thing.at.style.display = isSeen ? "" : "none";
    }
    for (const [index, thing] of things.entries()) {
      if (thing.at.style.display) continue;
      if (thing.lasts) {
        bar(thing);
        continue;
      }
      const a = x(thing.from);
      thing.at.setAttribute("transform", `translate(${a.toFixed(1)} ${thing.y})`);
      if (thing.kind === "fault") number(thing, a, index);
      if (thing.kind === "moment") free = phase(thing, a, free);
    }
  }

  function look(a, long) {
    long = Math.min(Math.max(long, Math.min(50, end)), end);
    from = Math.min(Math.max(a, 0), end - long);
    until = from + long;
    draw();
  }

  function zoom(factor, share) {
    const long = factor ? (until - from) * factor : end;
    look(from + (until - from - long) * share, long);
  }

  const share = (event) => {
    const box = svg.getBoundingClientRect();
    return Math.min(Math.max((event.clientX - box.left - left) / (width - left - right), 0), 1);
  };
  for (const button of world.querySelectorAll("button")) {
    button.onclick = () => "zoom" in button.dataset
      ? zoom(+button.dataset.zoom, 0.5)
      : look(from + (until - from) * +button.dataset.move, until - from);
  }
  svg.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoom(event.deltaY < 0 ? 0.8 : 1.25, share(event));
  }, { passive: false });
  svg.ondblclick = (event) => zoom(0.4, share(event));
  svg.onpointerdown = (event) => {
    const began = event.clientX, first = from;
    svg.setPointerCapture(event.pointerId);
    svg.onpointermove = (moved) => look(first - (moved.clientX - began) * (until - from) / (width - left - right), until - from);
    svg.onpointerup = svg.onpointercancel = () => { svg.onpointermove = null; };
  };
  addEventListener("resize", draw);
  draw();
}
