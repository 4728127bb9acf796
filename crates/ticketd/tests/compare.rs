//! `ticketd compare` by the real binary: a short run over all kinds.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use serde_json::Value;
use support::{Home, run, text};

/// A short comparison of `kinds`, as JSON.
fn compare(kinds: &str, more: &[&str]) -> Value {
    let args = ["compare", "--kind", kinds, "--seconds", "0.2", "--rows", "20000", "--json"];
    let out = run(&[&args, more].concat()).ok();
    assert_eq!(out.lines().count(), 1, "one object and nothing else");
    serde_json::from_str(&out).unwrap()
}

fn kind<'a>(report: &'a Value, name: &str) -> &'a Value {
    let kinds = report["kinds"].as_array().unwrap();
    kinds.iter().find(|kind| kind["kind"] == name).unwrap()
}

/// What holds of every kind.
#[track_caller]
fn check(measured: &Value) {
    for rate in ["in_process", "resp_pipelined", "resp_single"] {
        let rate = &measured[rate];
        assert_eq!(rate["duplicates"], 0, "{measured}");
        assert!(
            rate["ids"].as_u64().unwrap() > 0 && rate["ids_per_second"].as_f64().unwrap() > 0.0
        );
    }
    for section in ["order", "outage", "resize"] {
        let section = &measured[section];
        assert_eq!(section["duplicates"], 0, "{measured}");
        assert!(section["ids"].as_u64().unwrap() > 0, "{measured}");
    }
    assert_eq!(measured["locality"]["rows"], 20_000);
    assert_eq!(measured["resize"]["remapped_ids"], 0);
    let timeline = measured["outage"]["timeline"].as_array().unwrap();
    assert_eq!(timeline.len(), 20, "half a second before and one and a half after");
    let later: u64 = timeline[10..].iter().map(|slot| slot["ids"].as_u64().unwrap()).sum();
    assert!(later > 0, "agents go on: {timeline:?}");
}

/// The shares of pairs in the right order, of distances with enough pairs to say something.
fn right_shares(measured: &Value) -> Vec<f64> {
    let distances = measured["order"]["distances"].as_array().unwrap();
    let enough = distances.iter().filter(|distance| distance["pairs"].as_u64().unwrap() >= 30);
    enough.map(|distance| distance["right_share"].as_f64().unwrap()).collect()
}

#[test]
fn tickets_are_in_order_and_random_ones_are_not() {
    let report = compare("uuid4,ticket,stride", &[]);
    let names: Vec<&Value> =
        report["kinds"].as_array().unwrap().iter().map(|kind| &kind["kind"]).collect();
    assert_eq!(names, ["ticket", "stride", "uuid4"], "in the usual order");
    assert_eq!(report["duplicates"], 0);
    let (ticket, stride) = (kind(&report, "ticket"), kind(&report, "stride"));
    let uuid4 = kind(&report, "uuid4");
    [ticket, stride, uuid4].into_iter().for_each(check);

    assert_eq!(ticket["order"]["inversions_within_a_server"], 0);
    assert_eq!(ticket["order"]["inversions_across_servers"], 0);
    assert!(right_shares(ticket).iter().all(|share| *share == 1.0), "{ticket}");
    assert_eq!(ticket["guess"]["guessed_within_1000_share"], 1.0);
    assert!(ticket["outage"]["restarted_in_ms"].as_f64().unwrap() > 0.0);

    assert_eq!(stride["order"]["inversions_within_a_server"], 0);
    assert!(stride["resize"]["longest_wait_ms"].as_f64().unwrap() > 0.0);
    assert!(stride["resize"]["skipped_ids"].as_u64().unwrap() >= 90_000, "{}", stride["resize"]);

    assert!(uuid4["order"]["inversions_across_servers"].as_u64().unwrap() > 0);
    assert!(uuid4["order"]["tellable_from_us"].is_null());
    assert!(right_shares(uuid4).iter().all(|share| (0.1..0.9).contains(share)), "{uuid4}");
    assert_eq!(uuid4["guess"]["guessed_within_1000_share"], 0.0);
    assert!(uuid4["guess"]["unknown_bits_estimate"].as_f64().unwrap() > 100.0);
    let pages = |kind: &Value| kind["locality"]["pages_per_commit_mean"].as_f64().unwrap();
    assert!(pages(uuid4) > 4.0 * pages(ticket), "{} and {}", pages(uuid4), pages(ticket));
    assert_eq!(
        (&ticket["size"]["binary_bytes"], &uuid4["size"]["binary_bytes"]),
        (&8.into(), &16.into())
    );

    let rows = report["rows"].as_array().unwrap();
    assert!(rows.iter().all(|row| !row["how"].as_str().unwrap().is_empty()));
    assert!(rows.iter().all(|row| row["cells"].as_array().unwrap().len() == 3));
    let buffers: Vec<u64> = report["buffers"].as_array().unwrap()[..5]
        .iter()
        .map(|run| run["buffer"].as_u64().unwrap())
        .collect();
    assert_eq!(buffers, [0, 1, 16, 256, 4096]);
}

#[test]
fn ids_with_a_time_rise_per_server_and_the_page_stands_alone() {
    let home = Home::new();
    let path = home.path("report.html");
    let report = compare("snowflake,uuid7,ulid", &["--html", text(&path)]);
    for name in ["snowflake", "uuid7", "ulid"] {
        let measured = kind(&report, name);
        check(measured);
        assert_eq!(measured["order"]["inversions_within_a_server"], 0, "{name}");
        let skewed = &measured["order_with_skewed_clocks"];
        assert_eq!(
            (&skewed["inversions_within_a_server"], &skewed["duplicates"]),
            (&0.into(), &0.into())
        );
        assert!(skewed["inversions_across_servers"].as_u64().unwrap() > 0, "{name}");
    }
    let page = std::fs::read_to_string(path).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    for outside in ["http:", "https:", "//", "src=", "href=", "@import", "url(", "<script"] {
        assert!(!page.contains(outside), "the page needs nothing else, but has {outside}");
    }
    assert_eq!(page.matches("<svg ").count(), page.matches("</svg>").count());
    assert!(page.matches("<svg ").count() >= 9 && page.contains("snowflake"));
    assert!(!page.contains("NaN") && !page.contains(">inf"), "every value is a number");
}

#[test]
fn a_page_that_cannot_be_written_is_told_before_anything_is_measured() {
    let line = run(&["compare", "--html", "/nowhere/report.html"]).refused(1);
    assert!(line.contains("/nowhere/report.html") && line.contains("--html"), "{line}");
}
