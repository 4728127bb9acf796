//! The page of one seed: for each of its worlds a timeline, its faults, and how it ended.

use askama::Template;
use ticketd_sim::explore::{Options, Outcome, Setting, Sign, Step, Violation, span};

use super::picture::{Picture, seconds};
use super::replay;
use super::timeline::{self, Broken};

/// How many of the last steps are told in words.
const STORY_LEN: usize = 40;

/// The page as the template sees it.
#[derive(Template)]
#[template(path = "explore.html")]
struct Page {
    seed: u64,
    /// The worlds in a few words.
    of: String,
    worlds: Vec<World>,
}

/// A world as the template sees it.
struct World {
    setting: Setting,
    command: String,
    counts: Vec<(String, String)>,
    /// The checker that has found something, and what.
    broken: Option<(&'static str, String)>,
    thinned: Vec<String>,
    timeline: String,
    faults: Vec<FaultLine>,
    story: Vec<String>,
}

/// A fault that came to pass, in words.
struct FaultLine {
    number: u64,
    kind: &'static str,
    at: String,
    place: String,
}

/// The page of worlds of one seed whose steps were kept, run as `options` say.
///
/// # Panics
/// If the template cannot be filled, which it can with any worlds.
pub fn render(outcomes: &[Outcome], options: &Options) -> String {
    let page = Page {
        seed: outcomes.first().map_or(0, |outcome| outcome.seed),
        of: match outcomes {
            [one] => format!("the world of {}", one.setting.title()),
            several => format!("its {} worlds", several.len()),
        },
        worlds: outcomes.iter().map(|outcome| world(outcome, options)).collect(),
    };
    page.render().expect("a string takes any text")
}

fn world(outcome: &Outcome, options: &Options) -> World {
    let steps = outcome.trace.as_deref().unwrap_or_default();
    let picture = Picture::of(outcome);
    let found = outcome.result.as_ref().err();
    let broken = found.map(|Violation { checker, message, .. }| Broken { checker, message });
    let timeline = timeline::draw(&picture, broken);
    World {
        setting: outcome.setting,
        command: replay::command(outcome.setting, outcome.seed, options),
        counts: counts(outcome),
        broken: found.map(|found| (found.checker, found.message.clone())),
        thinned: picture.thinned,
        timeline,
        faults: steps.iter().filter_map(fault).collect(),
        story: steps[steps.len().saturating_sub(STORY_LEN)..].iter().map(Step::to_string).collect(),
    }
}

fn counts(outcome: &Outcome) -> Vec<(String, String)> {
    let stats = &outcome.stats;
    let faults = outcome.struck.len() as u64;
    let counts = [
        (stats.requests, "request", "requests"),
        (stats.issued, "ID issued", "IDs issued"),
        (faults, "fault", "faults"),
        (stats.crashes, "crash", "crashes"),
        (stats.starts, "start", "starts"),
    ];
    let word = |(n, one, many): (u64, &str, &str)| {
        (n.to_string(), if n == 1 { one } else { many }.to_owned())
    };
    let time = (span(stats.virtual_us), "of virtual time".to_owned());
    counts.into_iter().map(word).chain([time]).collect()
}

fn fault(step: &Step) -> Option<FaultLine> {
    let Sign::Fault(struck) = &step.sign else { return None };
    let sequence = step.sequence.map(|sequence| format!(", s{sequence}")).unwrap_or_default();
    Some(FaultLine {
        number: struck.number,
        kind: struck.fault.as_str(),
        at: seconds(step.at_us),
        place: format!("{}{sequence}", step.lane),
    })
}
