//! `ticketd simulate`: live agents that ask for IDs all at once.

mod faults;
mod printer;
mod remote;
mod report;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use ticketd_core::definition::KindName;
use ticketd_core::name::Name;
use ticketd_sim::live::{
    self, AGENTS_MAX, BUFFER_MAX, Issuers, Plan, Server, Stop, Summary, TABLES_MAX,
};

use crate::failure::Failure;
use crate::sequence::kind;
use crate::{logs, output, signals};
use printer::{Ended, Printer};

/// The slowest pace: one ticket in about eleven days.
const RATE_MIN: f64 = 1e-6;

/// The pace with faults, unless another is given: people can follow it.
const RATE_WITH_FAULTS: f64 = 2.0;

/// How `ticketd simulate` is called.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// How many agents, spread evenly over the tables
    #[arg(long, value_name = "N", default_value = "4", value_parser = agents)]
    agents: usize,

    /// The tables, with commas between them
    #[arg(long, value_name = "NAMES", default_value = "notes,tasks", value_delimiter = ',',
          value_parser = Name::new)]
    tables: Vec<Name>,

    /// What an ID is: ticket, stride (a server for each agent, of which each is a member), snowflake
    /// (a generator for each agent), uuid4, uuid7 or ulid. With --server: what the server's
    /// sequences are, or are made
    #[arg(long, value_name = "KIND", default_value = "ticket", value_parser = kind)]
    kind: KindName,

    /// IDs of a table that wait in a pool; with 0 server and agent meet for each one. With
    /// --server: how many IDs an agent asks for at a time
    #[arg(long, value_name = "N", default_value = "0", value_parser = buffer)]
    buffer: usize,

    /// End after so many tickets in all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    tickets: Option<u64>,

    /// End after so long, such as 10s or 2h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,

    /// Tickets per second of each agent; without it, as many as there are, and with --faults 2
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,

    /// Print the summary only
    #[arg(long)]
    quiet: bool,

    /// Print JSON, an object a line; the last one is {"summary":{...}}
    #[arg(long)]
    json: bool,

    /// Ask a real server, HTTP or RESP address, with a connection for each agent; or several that
    /// share an engine, with commas between them: an agent goes on to the next when one fails
    #[arg(long, value_name = "ADDRS", value_delimiter = ',')]
    server: Vec<String>,

    /// Ask three real servers in this process that share an engine in memory, with leases of 1 s;
    /// every few seconds one crashes or stops, and comes back, and each such moment has a line. For
    /// the kinds ticket and snowflake
    #[arg(long, conflicts_with = "server")]
    faults: bool,

    /// What the faults are drawn from; without it, others come each time. Who owns a table just then,
    /// and which requests are under way, the machine decides
    #[arg(long, value_name = "SEED", requires = "faults")]
    seed: Option<u64>,
}

/// Runs the simulation and prints what became of it.
pub fn run(args: SimulateArgs) -> Result<(), Failure> {
    let plan = plan(&args)?;
    logs::crash_on_panic_unlogged();
    let stop = Stop::default();
    let stopper = stop.clone();
    signals::on_stop(move || stopper.request()).map_err(no_threads)?;
    let printer = Arc::new(Printer::new(&plan, args.quiet, args.json));
    let (summary, faults) = simulate(&args, &plan, &printer, &stop)?;
    match printer.finish() {
        Ended::Open => {
            let servers = (!args.server.is_empty()).then(|| args.server.join(","));
            let report = report::Report::new(&plan, servers.as_deref(), &summary, faults);
            output::write(|out| if args.json { report.json(out) } else { report.text(out) })?;
        }
        Ended::NobodyReads => {}
        Ended::Failed(error) => return Err(output::unwritable(&error)),
    }
    match summary.trouble {
        _ if !summary.kept() => Err(Failure::work(report::broken(&summary))),
        Some(trouble) => Err(Failure::work(trouble)),
        None => Ok(()),
    }
}

/// Runs it to its end, and says which faults there were, if it was to have any.
fn simulate(
    args: &SimulateArgs,
    plan: &Plan,
    printer: &Arc<Printer>,
    stop: &Stop,
) -> Result<(Summary, Option<faults::Report>), Failure> {
    if args.faults {
        let (summary, report) = faults::run(plan, args.seed, printer, stop)?;
        return Ok((summary, Some(report)));
    }
    let server = match args.server.as_slice() {
        [] => Server::Local(Issuers::start(plan).map_err(no_threads)?),
        addresses => Server::Remote(remote::connect(addresses, plan)?),
    };
    Ok((live::run(plan, server, &**printer, stop), None))
}

fn plan(args: &SimulateArgs) -> Result<Plan, Failure> {
    let mut tables = args.tables.clone();
    tables.sort();
    tables.dedup();
    if tables.len() < args.tables.len() {
        return Err(Failure::usage("--tables names a table twice; name each once"));
    }
    if tables.len() > TABLES_MAX {
        return Err(Failure::usage(format!("--tables names too many; at most {TABLES_MAX}")));
    }
    if args.faults {
        faults::check(args.kind)?;
    }
    Ok(Plan {
        agents: args.agents,
        tables: args.tables.clone(),
        kind: args.kind,
        buffer: args.buffer,
        tickets: args.tickets,
        duration: args.duration,
        rate: args.rate.or(args.faults.then_some(RATE_WITH_FAULTS)),
    })
}

fn agents(text: &str) -> Result<usize, String> {
    within(text, 1, AGENTS_MAX)
}

fn buffer(text: &str) -> Result<usize, String> {
    within(text, 0, BUFFER_MAX)
}

fn within(text: &str, min: usize, max: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| format!("expected a whole number from {min} to {max}"))
}

fn duration(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).ok().filter(|time| !time.is_zero());
    time.ok_or_else(|| "expected a time with its unit, such as 10s or 2h".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= RATE_MIN);
    rate.ok_or_else(|| "expected tickets per second, such as 100 or 0.5".to_owned())
}

fn no_threads(error: std::io::Error) -> Failure {
    Failure::work(format!("the system has no room for so many threads: {error}"))
}
