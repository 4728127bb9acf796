//! The chaos bench: real servers that share a real engine, clients that write down every answer, a
//! nemesis that kills, pauses and cuts off, and a checker over what was written down.
//!
//! [`run`] is one run; `cargo xtask chaos` and a test of the binary call it. Everything that it
//! starts ends with it, also when it fails.

pub mod check;
mod clients;
mod clock;
pub mod engine;
mod faults;
pub mod history;
mod nemesis;
mod net;
mod random;
pub mod report;
mod servers;
mod talk;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ticketd_engines::Place;

use check::{Found, Revival, Violation, check, revived};
use clients::Clients;
use clock::{Clock, micros};
use engine::MEMBERS_MAX;
use faults::Field;
use history::{Asked, Call, Promise};
use nemesis::{Done, Fault, Nemesis};
use net::Net;
use random::Random;
use report::{Latency, Outcomes, Report, felt};
use servers::Server;
use talk::http;

/// How much longer than a lease it may take, after the last fault, until all are served.
const REVIVAL: Duration = Duration::from_secs(10);

/// How long the clients go on after that, so that each asks each sequence.
const CALM: Duration = Duration::from_secs(2);

/// How long all is well at first.
const WARM_UP: Duration = Duration::from_secs(1);

/// What is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program `ticketd`.
    pub ticketd: PathBuf,
    /// The name of the engine: see [`engine::NAMES`].
    pub engine: String,
    /// For how long faults go on.
    pub lasts: Duration,
    /// What they are drawn from.
    pub seed: u64,
    /// How many servers there are.
    pub servers: usize,
    /// The length of their leases.
    pub lease: Duration,
    /// Where a file with violations and what happened around them is written.
    pub violations_dir: PathBuf,
}

/// One run. It ends earlier when `stop` is set. `tell` is told what happens.
///
/// # Errors
/// If something cannot be started, attacked or healed. A promise that was broken is no error here:
/// the report says so.
pub fn run(options: &Options, stop: &AtomicBool, tell: &dyn Fn(&str)) -> Result<Report> {
    ensure!(options.servers >= 2, "there is nothing to share: at least two servers");
    let clock = Clock::start();
    let place = Place::temporary()?;
    let random = Random::new(options.seed);
    let mut field = start(options, &place)?;
    let sequences = create(&field.servers[0])?;
    field.owned = sequences
        .iter()
        .filter(|sequence| sequence.promise == Promise::Strict)
        .map(|sequence| sequence.name.clone())
        .collect();
    let ports: Vec<_> = field.servers.iter().map(|server| (server.resp, server.http)).collect();
    let begun_us = clock.now_us();
    let clients = Clients::start(clock, &ports, &sequences, &random.part(1));
    std::thread::sleep(WARM_UP);
    let until_us = clock.now_us() + micros(options.lasts);
    let nemesis = Nemesis::new(clock, &mut field, options.lease, random.part(2), stop, tell);
    let done = nemesis.rage(until_us)?;
    let revival = Revival {
        healed_us: clock.now_us(),
        bound_us: micros(options.lease + REVIVAL),
        far_ahead: done.faults.iter().filter_map(|fault| fault.far_ahead).collect(),
    };
    wait_for_revival(clock, &clients, &revival);
    let commits = field.servers.iter().filter_map(commits).sum();
    let lasted_us = clock.now_us() - begun_us;
    let count = clients.count();
    let calls = clients.stop();
    tell("checking");
    let marks = marks(options, &place, &field, &sequences)?;
    let mut found = check(&calls, &sequences, &marks);
    revived(&calls, &sequences, count, &revival, &mut found);
    for (server, said) in &done.ended {
        let what = format!("server {server} ended by itself: {}", said.trim());
        found.add(check::Kind::Server, what, Vec::new());
    }
    let violations_file = write_violations(options, &found, &calls, &sequences, &done)?;
    let latencies = calls.iter().filter(|call| call.ids().is_some() && !call.is_more);
    Ok(Report {
        engine: options.engine.clone(),
        seed: options.seed,
        lasted_us,
        requests: Outcomes::of(&calls),
        latency: Latency::of(latencies.map(|call| call.end_us - call.start_us).collect()),
        commits,
        felt: felt(&calls, &done.faults),
        found,
        violations_file,
    })
}

/// Starts the engine and the servers.
fn start(options: &Options, place: &Place) -> Result<Field> {
    // The last node is a server that only looks, at the end.
    let net = Net::new(options.servers + MEMBERS_MAX + 1);
    let engine = engine::start(&options.engine, &net, options.servers)?;
    let (url, lease) = (engine.url(), format!("{}ms", options.lease.as_millis()));
    let args = ["--store", &url, "--lease", &lease];
    let start = |node| Server::start(&options.ticketd, place, &net, node, &args);
    let servers = (0..options.servers).map(start).collect::<Result<Vec<_>>>()?;
    Ok(Field::new(servers, engine, net, Vec::new()))
}

/// Creates the sequences that are asked.
fn create(server: &Server) -> Result<Vec<Asked>> {
    let wanted = [
        ("strict-a", Promise::Strict, r#"{"kind":"ticket"}"#),
        ("strict-b", Promise::Strict, r#"{"kind":"ticket"}"#),
        ("strict-c", Promise::Strict, r#"{"kind":"ticket"}"#),
        // Short blocks, and none reserved ahead: each has its own ways to go wrong.
        ("strict-short", Promise::Strict, r#"{"kind":"ticket","block_len":"40"}"#),
        ("strict-none-ahead", Promise::Strict, r#"{"kind":"ticket","block_len":"1"}"#),
        ("loose", Promise::Loose, r#"{"kind":"ticket","order":"loose"}"#),
        ("loose-short", Promise::Loose, r#"{"kind":"ticket","order":"loose","block_len":"60"}"#),
        ("snowflake", Promise::Unique, r#"{"kind":"snowflake"}"#),
    ];
    let create = |(name, promise, body): (&str, Promise, &str)| {
        let path = format!("/v1/sequences/{name}");
        let (status, told) = http::ask(server.http, "PUT", &path, body)?;
        ensure!(status == 201, "{name} could not be created: {told}");
        Ok(Asked { name: name.to_owned(), promise })
    };
    wanted.into_iter().map(create).collect()
}

/// Waits until all clients are served again, or ought to be.
fn wait_for_revival(clock: Clock, clients: &Clients, revival: &Revival) {
    let until_us = revival.healed_us + revival.bound_us;
    while clock.now_us() < until_us && !clients.are_served_since(revival.healed_us) {
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(CALM);
}

/// What the engine has committed for a server.
fn commits(server: &Server) -> Option<u64> {
    let metrics = http::text(server.http, "/metrics").ok()?;
    let line = metrics.lines().find(|line| line.starts_with("ticketd_store_commits_total "))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// The durable marks of the sequences, as a server sees them that has opened none of them.
fn marks(
    options: &Options,
    place: &Place,
    field: &Field,
    sequences: &[Asked],
) -> Result<Vec<Option<u64>>> {
    let node = options.servers + MEMBERS_MAX;
    let url = field.engine.direct_url();
    let witness = Server::start(&options.ticketd, place, &field.net, node, &["--store", &url])?;
    let mark = |sequence: &Asked| {
        if sequence.promise == Promise::Unique {
            return Ok(None);
        }
        let path = format!("/v1/sequences/{}", sequence.name);
        let (_, told) = http::ask(witness.http, "GET", &path, "")?;
        let mark = told["high_water_mark"].as_str().and_then(|mark| mark.parse().ok());
        mark.map(Some).with_context(|| format!("{} has no mark: {told}", sequence.name))
    };
    sequences.iter().map(mark).collect()
}

/// Calls of the same sequence that ended so long before a violation or began so long after it are
/// written down with it.
const AROUND_US: u64 = 2_000_000;

/// Writes down what happened around violations, if there are some.
fn write_violations(
    options: &Options,
    found: &Found,
    calls: &[Call],
    sequences: &[Asked],
    done: &Done,
) -> Result<Option<PathBuf>> {
    if found.violations.is_empty() {
        return Ok(None);
    }
    let name = format!("chaos-{}-{}.txt", options.engine, options.seed);
    std::fs::create_dir_all(&options.violations_dir)?;
    let path = options.violations_dir.join(name);
    let mut out = BufWriter::new(File::create(&path)?);
    for Fault { kind, what, from_us, until_us, .. } in &done.faults {
        writeln!(out, "fault {from_us} to {until_us} us: {}: {what}", kind.name())?;
    }
    for violation in &found.violations {
        write_violation(&mut out, violation, calls, sequences)?;
    }
    out.flush()?;
    Ok(Some(path))
}

fn write_violation(
    out: &mut impl Write,
    violation: &Violation,
    calls: &[Call],
    sequences: &[Asked],
) -> Result<()> {
    writeln!(out, "\n{violation}")?;
    for call in &violation.calls {
        writeln!(out, "{}", call.to_json(sequences))?;
    }
    let Some(last) = violation.calls.last() else {
        return Ok(());
    };
    writeln!(out, "around it:")?;
    let is_near = |call: &&Call| {
        call.sequence == last.sequence
            && call.end_us + AROUND_US > last.start_us
            && call.start_us < last.end_us + AROUND_US
    };
    let mut near: Vec<&Call> = calls.iter().filter(is_near).collect();
    near.sort_by_key(|call| call.start_us);
    for call in near {
        writeln!(out, "{}", call.to_json(sequences))?;
    }
    Ok(())
}

/// A run as a test: an error if a promise was broken or something did not work.
///
/// # Errors
/// With the whole report.
pub fn assert_good(options: &Options) -> Result<Report> {
    let report = run(options, &AtomicBool::new(false), &|_| {})?;
    ensure!(report.is_good(), "{report}");
    Ok(report)
}
