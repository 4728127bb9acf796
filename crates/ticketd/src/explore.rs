//! `ticketd explore`: searches the deterministic world for a broken promise.

use std::io::{self, Write};
use std::ops::{ControlFlow, Range};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use ticketd_sim::explore::{self, Mark, Options, Outcome, Summary};
use ticketd_sim::live::Stop;

use crate::failure::Failure;
use crate::{output, signals};

/// How `ticketd explore` is called.
#[derive(Debug, Args)]
pub struct ExploreArgs {
    /// How many worlds to run, each of its own seed
    #[arg(long, value_name = "N", default_value = "1000",
          value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,

    /// The first seed
    #[arg(long, value_name = "SEED", default_value = "0")]
    from: u64,

    /// Run the world of this one seed
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,

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
    let stop = Stop::default();
    let stopper = stop.clone();
    signals::on_stop(move || stopper.request()).map_err(Failure::work)?;
    let mut trace = None;
    let bar = bar(seeds);
    let summary = explore::explore(range.clone(), &options, |outcome| {
        bar.inc(1);
        trace.clone_from(&outcome.trace);
        if stop.is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    output::write(|out| match args.json {
        true => json_lines(out, &range, &summary),
        false => text(out, trace.as_deref(), &range, &summary),
    })?;
    match summary.failures.first() {
        None => Ok(()),
        Some(first) => Err(Failure::work(format!(
            "a promise broke in {} of {} worlds; look at one: ticketd explore --seed {} --trace",
            summary.failed, summary.seeds, first.seed
        ))),
    }
}

/// A bar on standard error, if that is a terminal.
fn bar(seeds: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} worlds, {per_sec}, {eta}");
    ProgressBar::new(seeds).with_style(style.expect("the template is well formed"))
}

fn text(
    out: &mut impl Write,
    trace: Option<&str>,
    range: &Range<u64>,
    summary: &Summary,
) -> io::Result<()> {
    if let Some(trace) = trace {
        writeln!(out, "{}", trace.trim_end())?;
    }
    for outcome in &summary.failures {
        if let Err(violation) = &outcome.result {
            writeln!(out, "seed {}: {}: {}", outcome.seed, violation.checker, violation.message)?;
            // The trace has told it already.
            let story = if trace.is_some() { &[][..] } else { &violation.story };
            story.iter().try_for_each(|line| writeln!(out, "    {line}"))?;
        }
    }
    let stats = &summary.stats;
    let seconds = stats.virtual_us / 1_000_000;
    writeln!(
        out,
        "{} worlds from seed {}, {seconds} s of virtual time, hash {:016x}",
        summary.seeds, range.start, summary.hash
    )?;
    writeln!(
        out,
        "{} requests, {} IDs issued, {} crashes, {} starts",
        stats.requests, stats.issued, stats.crashes, stats.starts
    )?;
    let faults: Vec<String> = Mark::FAULTS
        .iter()
        .filter(|fault| stats.marked(**fault) > 0)
        .map(|fault| format!("{} {}", fault.as_str(), stats.marked(*fault)))
        .collect();
    writeln!(out, "faults: {}", faults.join(", "))?;
    match summary.failed {
        0 => writeln!(out, "every promise was kept"),
        failed => writeln!(out, "A PROMISE BROKE in {failed} worlds"),
    }
}

fn json_lines(out: &mut impl Write, range: &Range<u64>, summary: &Summary) -> io::Result<()> {
    for outcome in &summary.failures {
        writeln!(out, "{}", json!({ "violation": violation(outcome) }))?;
    }
    let stats = &summary.stats;
    let marks = Mark::ALL.iter().map(|mark| (mark.as_str().to_owned(), stats.marked(*mark).into()));
    let summary = json!({
        "seeds": summary.seeds,
        "from": range.start,
        "failed": summary.failed,
        "hash": format!("{:016x}", summary.hash),
        "requests": stats.requests,
        "issued": stats.issued,
        "crashes": stats.crashes,
        "starts": stats.starts,
        "virtual_us": stats.virtual_us,
        "marks": marks.collect::<Map<String, Value>>(),
    });
    writeln!(out, "{}", json!({ "summary": summary }))
}

fn violation(outcome: &Outcome) -> Value {
    let found = outcome.result.as_ref().err();
    json!({
        "seed": outcome.seed,
        "checker": found.map(|found| found.checker),
        "message": found.map(|found| &found.message),
        "story": found.map(|found| &found.story),
    })
}
