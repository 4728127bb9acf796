//! `ticketd compare`: the same scenario with every kind of ID, and what was measured.

mod figures;
mod measure;
mod members;
mod page;
mod plot;
mod report;
mod rows;
mod text;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ticketd_core::definition::KindName;
use ticketd_core::name::Name;
use ticketd_sim::compare::Scenario;
use ticketd_sim::live::Stop;

use crate::failure::Failure;
use crate::page::PageFile;
use crate::{logs, output, signals};

/// More agents than this measure the scheduler; each is a thread and a connection.
const AGENTS_MAX: usize = 256;

/// Beyond this the IDs no longer fit into the memory that the comparison may take.
const ROWS_MAX: usize = 5_000_000;

/// The longest measurement: a comparison has dozens of them.
const DURATION_MAX: Duration = Duration::from_secs(600);

/// How `ticketd compare` is called.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// How many agents, spread evenly over the tables and the servers
    #[arg(long, value_name = "N", default_value = "4", value_parser = agents)]
    agents: usize,

    /// The tables, with commas between them
    #[arg(long, value_name = "NAMES", default_value = "notes,tasks", value_delimiter = ',',
          value_parser = Name::new)]
    tables: Vec<Name>,

    /// How long each measurement takes, in seconds or with a unit, such as 2 or 500ms
    #[arg(long, visible_alias = "seconds", value_name = "TIME", default_value = "500ms",
          value_parser = duration)]
    duration: Duration,

    /// Only these kinds, with commas between them: ticket, stride, snowflake, uuid4, uuid7, ulid
    #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = kind)]
    kind: Vec<KindName>,

    /// How many IDs are inserted into the B-tree
    #[arg(long, value_name = "N", default_value = "200000", value_parser = rows)]
    rows: usize,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Also write a page with plots into this file; it opens without a network
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Runs the comparison and prints what was measured.
///
/// # Errors
/// A duplicate, or what kept a measurement from being made.
pub fn run(args: &CompareArgs) -> Result<(), Failure> {
    let scenario = scenario(args)?;
    // Before a minute is spent: a file that cannot be written is told now.
    let html = args.html.as_deref().map(PageFile::create).transpose()?;
    logs::crash_on_panic_unlogged();
    let stop = Stop::default();
    let stopper = stop.clone();
    let no_room = |error| Failure::work(format!("the system has no room for a thread: {error}"));
    signals::on_stop(move || stopper.request()).map_err(no_room)?;
    let report = measure::all(&scenario, &kinds(args), &stop)?;
    html.map(|file| file.write(&page::render(&report))).transpose()?;
    output::write(|out| if args.json { report.json(out) } else { text::write(&report, out) })?;
    check(report.duplicates)
}

/// A duplicate breaks the promise that all kinds share.
fn check(duplicates: u64) -> Result<(), Failure> {
    match duplicates {
        0 => Ok(()),
        n => Err(Failure::work(format!("a promise broke: {n} IDs came twice; see the duplicates"))),
    }
}

fn scenario(args: &CompareArgs) -> Result<Scenario, Failure> {
    let mut tables = args.tables.clone();
    tables.sort();
    tables.dedup();
    if tables.len() < args.tables.len() {
        return Err(Failure::usage("--tables names a table twice; name each once"));
    }
    if tables.len() > args.agents {
        let message = "--tables names more tables than there are agents; raise --agents";
        return Err(Failure::usage(message));
    }
    Ok(Scenario {
        agents: args.agents,
        tables: args.tables.clone(),
        duration: args.duration,
        rows: args.rows,
    })
}

/// The kinds asked for, each once and in the order of all; all if none is named.
fn kinds(args: &CompareArgs) -> Vec<KindName> {
    let is_wanted = |kind: &KindName| args.kind.is_empty() || args.kind.contains(kind);
    KindName::ALL.into_iter().filter(is_wanted).collect()
}

fn kind(text: &str) -> Result<KindName, String> {
    KindName::parse(text).ok_or_else(|| {
        let words: Vec<&str> = KindName::ALL.into_iter().map(KindName::as_str).collect();
        format!("expected one of {}", words.join(", "))
    })
}

fn agents(text: &str) -> Result<usize, String> {
    within(text, 1, AGENTS_MAX)
}

fn rows(text: &str) -> Result<usize, String> {
    within(text, 1000, ROWS_MAX)
}

fn within(text: &str, min: usize, max: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| format!("expected a whole number from {min} to {max}"))
}

/// A plain number counts seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|number| Duration::try_from_secs_f64(number).ok());
    let time = seconds.or_else(|| humantime::parse_duration(text).ok());
    time.filter(|time| (Duration::from_millis(1)..=DURATION_MAX).contains(time)).ok_or_else(|| {
        "expected seconds, or a time with its unit such as 500ms; from 1ms to 10min".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duplicate_is_a_failure_of_the_work() {
        assert!(check(0).is_ok());
        let failure = check(3).unwrap_err();
        assert_eq!(failure.code(), 1);
        assert!(failure.to_string().contains("3 IDs came twice"), "{failure}");
    }

    #[test]
    fn a_duration_is_seconds_or_has_a_unit() {
        assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("0.25"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["", "0", "-1", "NaN", "inf", "2x", "1h", "0.0001"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
