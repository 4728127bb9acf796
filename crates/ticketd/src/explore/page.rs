//! The page of one seed: for each of its worlds a timeline, its faults, and how it ended.

use askama::Template;
use ticketd_sim::explore::{Options, Outcome, Setting, Sign, Step, Violation, span};

use super::picture::{Picture, seconds};
use super::replay;
use super::timeline::{self, Broken};

/// How many of the last steps are told in words.
const STORY_LEN: usize = 40;

/// How many faults are listed: many more than a world has, but for one of many requests.
const FAULTS_MAX: usize = 2_000;

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
    /// The first of its faults, and how many it has.
    faults: Vec<FaultLine>,
    faults_len: usize,
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
        faults: steps.iter().filter_map(fault).take(FAULTS_MAX).collect(),
        faults_len: outcome.struck.len(),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ticketd_sim::explore::{Bar, Fault, Lane, Stats, Struck, Tick};

    use super::*;

    fn step(at_us: u64, lane: Lane, text: &str, sign: Sign) -> Step {
        Step { at_us, lane, sequence: Some(0), text: text.to_owned(), sign }
    }

    fn begins(bar: Bar, label: &str) -> Sign {
        Sign::Begins { bar, label: label.to_owned(), until_us: None }
    }

    /// A world of two servers, in which one issues what is the other's.
    fn outcome(steps: Vec<Step>, result: Result<(), Violation>) -> Outcome {
        let struck = vec![Struck { number: 17, fault: Fault::Pause }];
        let (stats, trace) = (Stats::default(), Some(steps));
        Outcome { seed: 4, setting: Setting::Several, hash: 0, stats, struck, trace, result }
    }

    fn steps() -> Vec<Step> {
        let [one, two] = [Lane::server(0), Lane::server(1)];
        let request = |tick, request, end| Sign::Request { tick, request, ids: (0, end) };
        let fault = Sign::Fault(Struck { number: 17, fault: Fault::Pause });
        vec![
            step(0, one, "process starts", begins(Bar::Life, "life 1")),
            step(10, two, "process starts", begins(Bar::Life, "life 1")),
            step(20, one, "owner has it", begins(Bar::Owner, "turn 1")),
            step(30, one, "[1, 9) is reserved", begins(Bar::Block, "1–8")),
            step(40, Lane::CLIENTS, "request 5 asks", request(Tick::Asked, 5, 3)),
            step(45, Lane::CLIENTS, "parts wait", {
                Sign::Request { tick: Tick::Parted, request: 5, ids: (6, 9) }
            }),
            step(50, Lane::CLIENTS, "request 6 is answered <1>", request(Tick::Answered, 6, 0)),
            step(60, Lane::CLIENTS, "request 7 is refused", request(Tick::Refused, 7, 0)),
            step(70, one, "fault 17: pause", fault),
            step(80, one, "process crashes", Sign::EndsAll),
            step(100, two, "owner has it", begins(Bar::Owner, "turn 2")),
        ]
    }

    fn broken() -> Outcome {
        let message = "server 2 issues <9>".to_owned();
        outcome(steps(), Err(Violation { checker: "owner", message, story: steps() }))
    }

    /// How many elements of the drawing have this class.
    fn drawn(page: &str, class: &str) -> usize {
        page.matches(&format!(r#"class="{class}" data-a="#)).count()
    }

    #[test]
    fn what_lasts_is_drawn_and_ends_where_it_ended() {
        let page = render(&[outcome(steps(), Ok(()))], &Options::default());
        let classes =
            ["bar life", "bar owner", "bar block", "answered", "refused", "waits", "fault"];
        let counted: BTreeMap<&str, usize> =
            classes.into_iter().map(|class| (class, drawn(&page, class))).collect();
        let right = [2, 2, 1, 1, 1, 1, 1];
        assert_eq!(counted, classes.into_iter().zip(right).collect(), "request 8 is left: {page}");
        assert!(page.contains(r#"class="bar block" data-a="30" data-b="80""#), "{page}");
        assert!(page.contains("17</text>") && page.contains("<b>17</b> pause"), "{page}");
        assert!(page.contains("kept every promise") && !page.contains(r#"class="broken" data-a"#));
    }

    #[test]
    fn the_moment_that_broke_a_promise_is_drawn_with_what_the_checker_says() {
        let page = render(&[broken()], &Options::default());
        assert!(page.contains(r#"<g class="broken" data-a="100""#), "{page}");
        assert!(page.contains("A promise broke.</b> owner: server 2 issues"), "{page}");
        assert_eq!(page.matches("owner: server 2 issues &lt;9&gt;</").count(), 2, "{page}");
        assert!(!page.contains("<9>") && !page.contains("<1>"), "text is not markup");
        assert!(!page.contains("kept every promise"));
        assert!(page.contains("ticketd explore --world several --seed 4 --trace"));
    }

    #[test]
    fn a_world_without_a_step_has_a_page() {
        let page = render(&[outcome(Vec::new(), Ok(()))], &Options::default());
        assert!(page.contains("<svg class=\"timeline\"") && !page.contains("NaN"), "{page}");
    }
}
