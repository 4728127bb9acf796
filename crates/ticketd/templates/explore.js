// Looks closer at a timeline: whatever has a time (data-a, data-b) is put where it belongs.
"use strict";
for (const world of document.querySelectorAll(".world")) {
  const svg = world.querySelector(".timeline");
  const end = +svg.dataset.end, left = +svg.dataset.left, right = +svg.dataset.right, letter = +svg.dataset.letter;
  const height = svg.viewBox.baseVal.height, axis = svg.querySelector(".axis");
  const things = [...svg.querySelectorAll("[data-a]")].map((at) => ({
    at, from: +at.dataset.a, until: +(at.dataset.b ?? at.dataset.a), lasts: "b" in at.dataset,
    y: at.dataset.y, text: at.querySelector("text"), row: at.getAttribute("class") + at.dataset.y,
    word: at.querySelector("text")?.textContent.length ?? 0,
  }));
  const [top, bottom] = ["y1", "y2"].map((y) => axis.querySelector("line").getAttribute(y));
  let from = 0, until = end, width = 0;
  world.classList.add("live");

  const span = (us) => us < 1e3 ? us + " us" : us < 1e6 ? +(us / 1e3).toFixed(3) + " ms" : +(us / 1e6).toFixed(6) + " s";
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

  function draw() {
    const free = {};
    width = Math.max(svg.parentElement.clientWidth, 480);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    ticks();
    for (const thing of things) {
      const { at, text } = thing;
      const seen = thing.until >= from && thing.from <= until;
      at.style.display = seen ? "" : "none";
      if (!seen) continue;
      if (thing.lasts) {
        const a = x(Math.max(thing.from, from)), long = Math.max(x(Math.min(thing.until, until)) - a, 1.5);
        at.setAttribute("x", a.toFixed(1));
        at.setAttribute("width", long.toFixed(1));
        text?.setAttribute("visibility", long < thing.word * letter + 8 ? "hidden" : "visible");
        continue;
      }
      const a = x(thing.from);
      at.setAttribute("transform", `translate(${a.toFixed(1)} ${thing.y})`);
      if (!text || thing.row.startsWith("broken")) continue;
      const room = a >= (free[thing.row] ?? -1);
      text.setAttribute("visibility", room ? "visible" : "hidden");
      if (room) free[thing.row] = a + (thing.word + 2) * letter;
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
