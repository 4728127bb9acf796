//! The page: one file with its style and its plots in it, which needs no network.

use askama::Template;
use ticketd_sim::compare::Measured;

use super::figures::{self, Figure};
use super::report::Report;
use super::rows::{Row, count, millis};
use super::text::DEBUG_BUILD;

/// The page as the template sees it.
#[derive(Template)]
#[template(path = "compare.html")]
struct Page<'a> {
    report: &'a Report,
    scenario: String,
    summary: Vec<String>,
    warning: Option<&'static str>,
    groups: Vec<(&'static str, Vec<&'a Row>)>,
    figures: Vec<Figure>,
}

/// The page for `report`.
///
/// # Panics
/// If the template cannot be filled, which it can with any report.
pub fn render(report: &Report) -> String {
    let page = Page {
        report,
        scenario: scenario(report),
        summary: summary(&report.kinds),
        warning: report.scenario.is_debug_build.then_some(DEBUG_BUILD),
        groups: groups(&report.rows),
        figures: figures::all(report),
    };
    page.render().expect("a string takes any text")
}

fn scenario(report: &Report) -> String {
    let shown = &report.scenario;
    format!(
        "{} agents, tables {}, {} a measurement, three servers (of tickets one), on {} cores; \
         ticketd {}, {}, {:.0} s in all",
        shown.agents,
        shown.tables.join(" and "),
        millis(shown.seconds_per_measurement * 1000.0),
        shown.cores,
        shown.version,
        shown.measured_at,
        shown.took_seconds
    )
}

/// What stands out, in sentences made of what was measured.
fn summary(kinds: &[Measured]) -> Vec<String> {
    let checked: u64 = kinds.iter().map(Measured::checked).sum();
    let duplicates: u64 = kinds.iter().map(Measured::duplicates).sum();
    let found = match duplicates {
        0 => "none came twice".to_owned(),
        n => format!("{n} CAME TWICE"),
    };
    let all = |is: fn(&Measured) -> bool| {
        let names: Vec<&str> = kinds.iter().filter(|kind| is(kind)).map(|kind| kind.kind).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let by = |value: fn(&Measured) -> f64| {
        let least = kinds.iter().min_by(|a, b| value(a).total_cmp(&value(b)));
        let most = kinds.iter().max_by(|a, b| value(a).total_cmp(&value(b)));
        least.zip(most).map(|(least, most)| (least.kind, value(least), most.kind, value(most)))
    };
    let mut told = vec![
        format!("Of {} IDs that were compared with all others, {found}.", count(checked as f64)),
        format!(
            "Which of two IDs is older can be told at any distance: {}; from some distance on: {}; \
             never: {}.",
            all(|kind| kind.order.tellable_from_us == Some(0)),
            all(|kind| kind.order.tellable_from_us.is_some_and(|us| us > 0)),
            all(|kind| kind.order.tellable_from_us.is_none())
        ),
    ];
    if let Some((least, ms, most, longest)) = by(|kind| kind.outage.longest_wait_ms) {
        let (ms, longest) = (millis(ms), millis(longest));
        told.push(format!(
            "When a server was killed, no agent waited longer than {ms} for {least} and {longest} \
             for {most}."
        ));
    }
    if let Some((least, few, most, many)) = by(|kind| kind.locality.pages_per_commit_mean) {
        let (few, many) = (count(few), count(many));
        told.push(format!(
            "An index writes {few} pages per 1,000 IDs of {least}, and {many} of {most}."
        ));
    }
    told
}

fn groups(rows: &[Row]) -> Vec<(&'static str, Vec<&Row>)> {
    let groups = rows.chunk_by(|a, b| a.group == b.group);
    groups.map(|rows| (rows[0].group, rows.iter().collect())).collect()
}
