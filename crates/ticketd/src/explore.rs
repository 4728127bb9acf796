//! `ticketd explore`: searches the deterministic worlds for a broken promise.

use std::io::{self, Write};
use std::ops::{ControlFlow, Range};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use ticketd_sim::explore::{self, Options, Outcome, Setting, Summary};
use ticketd_sim::live::Stop;

use crate::failure::Failure;
use crate::{output, signals};

/// How `ticketd explore` is called.
#[derive(Debug, Args)]
pub struct ExploreArgs {
    /// How many seeds to run; each makes a world of one server and one of several, every eighth
    /// also one on disk
    #[arg(long, value_name = "N", default_value = "1000",
          value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,

    /// The first seed
    #[arg(long, value_name = "SEED", default_value = "0")]
    from: u64,

    /// Run the worlds of this one seed
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,

    /// Which worlds to run: of one server with a store of its own, of several that share an
    /// engine, or of one server with the real embedded store on a disk that loses its power
    #[arg(long, value_name = "WORLD", default_value = "all",
          value_parser = ["one", "several", "disk", "all"])]
    world: String,

    /// Print what happens in the world, step by step
    #[arg(long, requires = "seed", conflicts_with = "json")]
    trace: bool,

    /// Print JSON, an object a line; the last one is {"summary":{...}}
    #[arg(long)]
    json: bool,
}

/// Runs the worlds and prints what the checkers found.
pub fn run(args: &ExploreArgs) -> Result<(), Failure> {
    let (from, seeds) = args.seed.map_or((args.from, args.seeds), |seed| (seed, 1));
    let end = from.checked_add(seeds);
    let range = from..end.ok_or_else(|| Failure::usage("--from and --seeds leave 64 bits"))?;
    let options = Options { trace: args.trace, ..Options::default() };
    let settings = settings(&args.world);
    let stop = Stop::default();
    let stopper = stop.clone();
    signals::on_stop(move || stopper.request()).map_err(Failure::work)?;
    let mut traces = Vec::new();
    let bar = bar(explore::worlds_len(&range, &settings));
    let summary = explore::explore(range.clone(), &settings, &options, |outcome| {
        bar.inc(1);
        traces.extend(outcome.trace.clone());
        if stop.is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    output::write(|out| match args.json {
        true => json_lines(out, &range, &settings, &summary),
        false => text(out, &traces, &range, &settings, &summary),
    })?;
    match summary.failures.first() {
        None => Ok(()),
        Some(first) => Err(Failure::work(format!(
            "a promise broke in {} of {} worlds; look at one: ticketd explore --world {} --seed {} \
             --trace",
            summary.failed, summary.worlds, first.setting, first.seed
        ))),
    }
}

fn settings(world: &str) -> Vec<Setting> {
    Setting::ALL.into_iter().filter(|setting| world == "all" || world == setting.as_str()).collect()
}

/// A bar on standard error, if that is a terminal.
fn bar(worlds: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} worlds, {per_sec}, {eta}");
    ProgressBar::new(worlds).with_style(style.expect("the template is well formed"))
}

fn text(
    out: &mut impl Write,
    traces: &[String],
    range: &Range<u64>,
    settings: &[Setting],
    summary: &Summary,
) -> io::Result<()> {
    for trace in traces {
        writeln!(out, "{}", trace.trim_end())?;
    }
    for outcome in &summary.failures {
        if let Err(violation) = &outcome.result {
            let Outcome { seed, setting, .. } = outcome;
            let (checker, message) = (violation.checker, &violation.message);
            writeln!(out, "seed {seed}, world {setting}: {checker}: {message}")?;
            // The trace has told it already.
            let story = if traces.is_empty() { &violation.story } else { &[][..] };
            story.iter().try_for_each(|line| writeln!(out, "    {line}"))?;
        }
    }
    writeln!(
        out,
        "{} worlds from seed {}, hash {:016x}",
        summary.worlds, range.start, summary.hash
    )?;
    settings.iter().try_for_each(|setting| counts(out, *setting, summary))?;
    match summary.failed {
        0 => writeln!(out, "every promise was kept"),
        failed => writeln!(out, "A PROMISE BROKE in {failed} worlds"),
    }
}

/// What was counted in the worlds of one kind.
fn counts(out: &mut impl Write, setting: Setting, summary: &Summary) -> io::Result<()> {
    let stats = &summary.stats[setting as usize];
    let servers = match setting {
        Setting::One => "one server",
        Setting::Several => "several servers",
        Setting::Disk => "one server on disk",
    };
    writeln!(
        out,
        "{servers}: {} s of virtual time, {} requests, {} IDs issued, {} crashes, {} starts",
        stats.virtual_us / 1_000_000,
        stats.requests,
        stats.issued,
        stats.crashes,
        stats.starts
    )?;
    let faults: Vec<String> = setting
        .faults()
        .iter()
        .filter(|fault| stats.marked(**fault) > 0)
        .map(|fault| format!("{} {}", fault.as_str(), stats.marked(*fault)))
        .collect();
    writeln!(out, "  faults: {}", faults.join(", "))
}

fn json_lines(
    out: &mut impl Write,
    range: &Range<u64>,
    settings: &[Setting],
    summary: &Summary,
) -> io::Result<()> {
    for outcome in &summary.failures {
        writeln!(out, "{}", json!({ "violation": violation(outcome) }))?;
    }
    let counted = settings.iter().map(|setting| (setting.to_string(), counted(*setting, summary)));
    let summary = json!({
        "seeds": range.end - range.start,
        "worlds": summary.worlds,
        "from": range.start,
        "failed": summary.failed,
        "hash": format!("{:016x}", summary.hash),
        "counts": counted.collect::<Map<String, Value>>(),
    });
    writeln!(out, "{}", json!({ "summary": summary }))
}

fn counted(setting: Setting, summary: &Summary) -> Value {
    let stats = &summary.stats[setting as usize];
    let marks = setting.marks().iter();
    let marks = marks.map(|mark| (mark.as_str().to_owned(), stats.marked(*mark).into()));
    json!({
        "requests": stats.requests,
        "issued": stats.issued,
        "crashes": stats.crashes,
        "starts": stats.starts,
        "virtual_us": stats.virtual_us,
        "marks": marks.collect::<Map<String, Value>>(),
    })
}

fn violation(outcome: &Outcome) -> Value {
    let found = outcome.result.as_ref().err();
    json!({
        "seed": outcome.seed,
        "world": outcome.setting.as_str(),
        "checker": found.map(|found| found.checker),
        "message": found.map(|found| &found.message),
        "story": found.map(|found| &found.story),
    })
}
