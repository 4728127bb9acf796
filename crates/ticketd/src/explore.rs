//! `ticketd explore`: searches the deterministic worlds for a broken promise.

mod page;
mod picture;
mod replay;
mod report;
mod thin;
mod timeline;

use std::num::NonZero;
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use ticketd_sim::explore::{self, Fault, Minimized, Options, Outcome, Scope, Setting, Summary};
use ticketd_sim::live::Stop;

use crate::failure::Failure;
use crate::page::PageFile;
use crate::{output, signals};
use report::Report;

/// The most threads that may be asked for.
const JOBS_MAX: usize = 1024;

/// The most worlds that are run to minimize one.
const RUNS_MAX: u64 = 2_000;

/// How `ticketd explore` is called.
#[derive(Debug, Args)]
pub struct ExploreArgs {
    /// How many seeds to run; each makes a world of every kind, but only every eighth one on disk
    #[arg(long, value_name = "N", default_value = "1000",
          value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,

    /// The first seed
    #[arg(long, value_name = "SEED", default_value = "0")]
    from: u64,

    /// Run the worlds of this one seed
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,

    /// Which worlds to run: of one server with a store of its own, of several that share an engine,
    /// of the members of a stride sequence while who is one changes, or of one server with the real
    /// embedded store on a disk that loses its power
    #[arg(long, value_name = "WORLD", default_value = "all",
          value_parser = ["one", "several", "members", "disk", "all"])]
    world: String,

    /// Threads, each of which runs worlds of its own; without it, one for each core. What is found
    /// does not depend on it
    #[arg(long, value_name = "J", value_parser = jobs)]
    jobs: Option<NonZero<usize>>,

    /// Print what happens in the world, step by step
    #[arg(long, requires = "seed", conflicts_with = "json")]
    trace: bool,

    /// Also write a page into this file, with a timeline of each world of the seed; of the one that
    /// is left, with --minimize. It opens without a network
    #[arg(long, value_name = "FILE", requires = "seed")]
    html: Option<PathBuf>,

    /// Leave out of the first world that fails whatever it can do without, and print the command
    /// that runs the rest
    #[arg(long, conflicts_with = "trace")]
    minimize: bool,

    /// Print JSON, an object a line; the last one is {"summary":{...}}
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    less: LessArgs,
}

/// Less of a world than its seed makes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Less of a world than its seed makes")]
struct LessArgs {
    /// How many requests clients make before the world heals
    #[arg(long, value_name = "N", default_value_t = Options::REQUESTS,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    requests: u32,

    /// Kinds of fault that do not come to pass, with commas between them
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    without: Vec<Fault>,

    /// The only faults that come to pass, by the numbers that the trace gives them, with commas
    /// between them; or none
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = fault_number)]
    only_faults: Vec<Option<u64>>,

    /// At most so many servers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..))]
    servers: Option<u64>,

    /// At most so many clients
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    clients: Option<u64>,

    /// At most so many sequences
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    sequences: Option<u64>,
}

/// What a search came to.
struct Searched {
    range: Range<u64>,
    settings: Vec<Setting>,
    summary: Summary,
    took: Duration,
    /// Outcomes of a single seed, if their steps were kept.
    traced: Vec<Outcome>,
}

/// Runs the worlds and prints what the checkers found.
pub fn run(args: &ExploreArgs) -> Result<(), Failure> {
    // Before worlds are run: a file that cannot be written is told now.
    let html = args.html.as_deref().map(PageFile::create).transpose()?;
    let options = options(args);
    let trace = args.trace || html.is_some();
    let searched = search(args, &Options { trace, ..options.clone() })?;
    let first = searched.summary.failures.first().filter(|_| args.minimize);
    let least = first.and_then(|first| least(first, &options));
    let (searched, least) = (&searched, least.as_ref());
    html.map(|file| file.write(&shown(searched, &options, least))).transpose()?;
    let report = Report { searched, options: &options, traces: args.trace, least };
    output::write(|out| if args.json { report.json(out) } else { report.text(out) })?;
    match searched.summary.failures.first() {
        None => Ok(()),
        Some(first) => Err(Failure::work(format!(
            "a promise broke in {} of {} worlds; look at one: {} --trace",
            searched.summary.failed,
            searched.summary.worlds,
            replay::command(
                first.setting,
                first.seed,
                least.map_or(&options, |least| &least.options)
            )
        ))),
    }
}

/// The page of the worlds of a seed, or of what is left of one.
fn shown(searched: &Searched, options: &Options, least: Option<&Minimized>) -> String {
    let Some(Minimized { options, outcome, .. }) = least else {
        return page::render(&searched.traced, options);
    };
    let traced = Options { trace: true, ..options.clone() };
    page::render(&[explore::run_seed(outcome.seed, outcome.setting, &traced)], options)
}

/// What is left of a world that has failed.
fn least(failed: &Outcome, options: &Options) -> Option<Minimized> {
    let bar = ProgressBar::new(RUNS_MAX).with_style(style("{wide_bar} {pos} worlds, {msg}, {eta}"));
    let least = explore::minimize(failed, options, RUNS_MAX, |left| {
        bar.set_position(left.runs);
        let (faults, requests) = (left.outcome.struck.len(), left.options.requests);
        bar.set_message(format!("{faults} faults and {requests} requests are left"));
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    least
}

fn options(args: &ExploreArgs) -> Options {
    let less = &args.less;
    let only = !less.only_faults.is_empty();
    Options {
        requests: less.requests,
        scope: Scope {
            without: less.without.iter().copied().collect(),
            only_faults: only.then(|| less.only_faults.iter().flatten().copied().collect()),
            servers: less.servers,
            clients: less.clients,
            sequences: less.sequences,
        },
        ..Options::default()
    }
}

fn search(args: &ExploreArgs, options: &Options) -> Result<Searched, Failure> {
    let (from, seeds) = args.seed.map_or((args.from, args.seeds), |seed| (seed, 1));
    let end = from.checked_add(seeds);
    let range = from..end.ok_or_else(|| Failure::usage("--from and --seeds leave 64 bits"))?;
    let settings = settings(&args.world);
    let cores = || thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let jobs = args.jobs.unwrap_or_else(cores);
    let stop = Stop::default();
    let stopper = stop.clone();
    signals::on_stop(move || stopper.request()).map_err(Failure::work)?;
    let bar = bar(explore::worlds_len(&range, &settings));
    let (mut traced, mut faults, mut failed) = (Vec::new(), 0, 0);
    let watch = |outcome: &Outcome| {
        faults += outcome.struck.len();
        failed += usize::from(outcome.result.is_err());
        bar.set_message(format!("{faults} faults, {failed} failures"));
        bar.inc(1);
        if outcome.trace.is_some() {
            traced.push(outcome.clone());
        }
        if stop.is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let summary = explore::explore_in_threads(jobs, range.clone(), &settings, options, watch);
    let took = bar.elapsed();
    bar.finish_and_clear();
    Ok(Searched { range, settings, summary, took, traced })
}

fn settings(world: &str) -> Vec<Setting> {
    Setting::ALL.into_iter().filter(|setting| world == "all" || world == setting.as_str()).collect()
}

/// A bar on standard error, if that is a terminal.
fn bar(worlds: u64) -> ProgressBar {
    let style = style("{wide_bar} {pos}/{len} worlds, {per_sec}, {msg}, {eta}");
    ProgressBar::new(worlds).with_style(style).with_message("no fault yet")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is well formed")
}

fn jobs(text: &str) -> Result<NonZero<usize>, String> {
    let jobs = text.parse().ok().filter(|jobs: &NonZero<usize>| jobs.get() <= JOBS_MAX);
    jobs.ok_or_else(|| format!("expected a whole number from 1 to {JOBS_MAX}"))
}

/// `none` is what is left if no fault is needed.
fn fault_number(text: &str) -> Result<Option<u64>, String> {
    if text == "none" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| "expected numbers as in a trace, or none".to_owned())
}
