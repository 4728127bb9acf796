//! `ticketd simulate`: live agents that ask for IDs all at once.

mod printer;
mod remote;
mod report;

use std::time::Duration;

use clap::Args;
use ticketd_core::definition::KindName;
use ticketd_core::name::Name;
use ticketd_sim::live::{self, AGENTS_MAX, BUFFER_MAX, Issuers, Plan, Server, Stop, TABLES_MAX};

use crate::failure::Failure;
use crate::sequence::kind;
use crate::{logs, output, signals};
use printer::{Ended, Printer};

/// The slowest pace: one ticket in about eleven days.
const RATE_MIN: f64 = 1e-6;

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

    /// Tickets per second of each agent; without it, as many as there are
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,

    /// Print the summary only
    #[arg(long)]
    quiet: bool,

    /// Print JSON, an object a line; the last one is {"summary":{...}}
    #[arg(long)]
    json: bool,

    /// Ask a real server, HTTP or RESP address, with a connection for each agent
    #[arg(long, value_name = "ADDR")]
    server: Option<String>,
}

/// Runs the simulation and prints what became of it.
pub fn run(args: SimulateArgs) -> Result<(), Failure> {
    let plan = plan(&args)?;
    logs::crash_on_panic_unlogged();
    let stop = Stop::default();
    let stopper = stop.clone();
    signals::on_stop(move || stopper.request()).map_err(no_threads)?;
    let printer = Printer::new(&plan, args.quiet, args.json);
    let server = match &args.server {
        Some(address) => Server::Remote(remote::connect(address, &plan)?),
        None => Server::Local(Issuers::start(&plan).map_err(no_threads)?),
    };
    let summary = live::run(&plan, server, &printer, &stop);
    match printer.finish() {
        Ended::Open => {
            let report = report::Report::new(&plan, args.server.as_deref(), &summary);
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
    Ok(Plan {
        agents: args.agents,
        tables: args.tables.clone(),
        kind: args.kind,
        buffer: args.buffer,
        tickets: args.tickets,
        duration: args.duration,
        rate: args.rate,
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
