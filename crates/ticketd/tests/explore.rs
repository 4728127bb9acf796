//! The page of `ticketd explore`, by the real binary.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;

use support::{Home, run, text};

/// The page of seed 3, with more arguments.
fn page(home: &Home, more: &[&str]) -> String {
    let path = home.path("page.html");
    run(&[&["explore", "--seed", "3", "--html", text(&path)], more].concat()).ok();
    fs::read_to_string(path).unwrap()
}

/// How many elements of the drawing have this class.
fn drawn(page: &str, class: &str) -> usize {
    page.matches(&format!(r#"class="{class}" data-a="#)).count()
}

/// The number and the kind of the first fault that a page lists.
fn first_fault(page: &str) -> (String, String) {
    let list = page.split_once(r#"<ul class="faults"><li><b>"#).unwrap().1;
    let (number, kind) = list.split_once(',').unwrap().0.split_once("</b> ").unwrap();
    (number.to_owned(), kind.to_owned())
}

#[test]
fn a_page_has_a_timeline_of_each_world_of_its_seed() {
    let page = page(&Home::new(), &[]);
    for world in ["one server", "several servers", "members of a stride", "one server on disk"] {
        assert!(page.contains(&format!("<h2>The world of {world}</h2>")), "{world}");
    }
    assert_eq!(page.matches(r#"<svg class="timeline""#).count(), 4);
    assert_eq!(page.matches("It kept every promise.").count(), 4);
    assert!(page.contains("ticketd explore --world disk --seed 3 --trace"));
}

#[test]
fn servers_and_what_they_share_are_lanes_of_what_happened() {
    let home = Home::new();
    let worlds = [
        ("one", &["clients", "server 1", "store"][..], &["bar life", "bar block", "answered"][..]),
        (
            "several",
            &["clients", "server 1", "server 2", "engine"],
            &["bar life", "bar lease", "bar owner", "bar block", "answered", "fault"],
        ),
        (
            "members",
            &["clients", "operator 1", "server 1", "server 2"],
            &["bar life", "bar owner", "bar block", "answered"],
        ),
        ("disk", &["clients", "server 1", "store"], &["bar life", "bar block", "answered"]),
    ];
    for (world, lanes, classes) in worlds {
        let page = page(&home, &["--world", world]);
        assert_eq!(page.matches(r#"<svg class="timeline""#).count(), 1);
        for lane in lanes {
            assert!(page.contains(&format!(">{lane}</text>")), "{world}: {lane}");
        }
        for class in classes.iter().chain(&["moment"]) {
            assert!(drawn(&page, class) > 0, "{world}: {class}");
        }
        assert_eq!(drawn(&page, "waits"), 0, "{world}: every request has an end");
        assert!(page.len() < 2_000_000, "{world}: {} bytes", page.len());
    }
}

#[test]
fn a_page_needs_nothing_else_and_is_the_same_each_time() {
    let home = Home::new();
    let (one, two) = (page(&home, &[]), page(&home, &["--jobs", "1"]));
    assert!(one == two, "the same seed is the same page, byte for byte");
    assert!(one.starts_with("<!doctype html>") && one.trim_end().ends_with("</html>"));
    for outside in ["http:", "https:", "src=", "@import", "url(", "import(", "fetch("] {
        assert!(!one.contains(outside), "the page needs nothing else, but has {outside}");
    }
    assert_eq!(one.matches("href=").count(), one.matches("href=\"#").count(), "links stay within");
    assert_eq!(one.matches("<svg ").count(), one.matches("</svg>").count());
    assert!(!one.contains("NaN") && !one.contains("=\"inf"), "every value is a number");
}

#[test]
fn what_is_left_out_of_a_world_is_left_out_of_its_page() {
    let home = Home::new();
    let whole = page(&home, &["--world", "several"]);
    let (number, kind) = first_fault(&whole);
    let without = page(&home, &["--world", "several", "--without", &kind]);
    assert!(!without.contains(&format!("</b> {kind},")), "no {kind} came to pass");
    assert!(without.contains(&format!("--seed 3 --without {kind} --trace")), "the command says so");
    let only = page(&home, &["--world", "several", "--only-faults", &number]);
    assert_eq!((drawn(&only, "fault"), first_fault(&only)), (1, (number, kind)));
    let kept = page(&home, &["--world", "several", "--minimize"]);
    assert!(kept == whole, "nothing failed, so nothing is left out");
}

#[test]
fn a_page_that_cannot_be_written_is_told_before_any_world_is_run() {
    let home = Home::new();
    for path in [home.path("nowhere/page.html"), home.path(".")] {
        let line = run(&["explore", "--seed", "3", "--html", text(&path)]).refused(1);
        assert!(line.contains(text(&path)) && line.contains("--html"), "{line}");
    }
    let file = home.write("file", "");
    let line = run(&["explore", "--seed", "3", "--html", &format!("{}/x", text(&file))]).refused(1);
    assert!(line.contains("cannot be written") && line.contains("--html"), "{line}");
}
