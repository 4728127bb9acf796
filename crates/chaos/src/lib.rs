//! The chaos bench: real servers that share a real engine, clients that write down every answer, a
//! nemesis that kills, pauses and cuts off, and a checker over what was written down.
//!
//! [`run`] is one run; `cargo xtask chaos` and a test of the binary call it. Everything that it
//! starts ends with it, also when it fails.

pub mod check;
mod clients;
mod clock;
pub mod engine;
mod evidence;
mod faults;
pub mod history;
mod nemesis;
mod net;
mod random;
pub mod report;
mod servers;
mod talk;
pub mod upgrade;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ticketd_engines::Place;

use check::{Found, Revival, check, revived};
use clients::Clients;
use clock::{Clock, micros};
use engine::MEMBERS_MAX;
use faults::Field;
use history::{Asked, Call, Promise};
use nemesis::{Done, Nemesis};
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
    let place = Place::temporary()?;
    let mut field = start(options, &place)?;
    let sequences = create(&field.servers[0])?;
    let owned = sequences.iter().filter(|sequence| sequence.promise == Promise::Strict);
    field.owned = owned.map(|sequence| sequence.name.clone()).collect();
    let played = play(options, &mut field, &sequences, stop, tell)?;
    tell("checking");
    let marks = marks_of(&options.ticketd, &place, &field, &sequences)?;
    let found = judge(&played, &sequences, &marks);
    let Played { calls, done, .. } = &played;
    let name = format!("chaos-{}-{}.txt", options.engine, options.seed);
    let to = (options.violations_dir.as_path(), name.as_str());
    let violations_file = evidence::write(to, &found, calls, &sequences, &done.faults)?;
    let (felt, felt_of_two) = felt(calls, &done.faults);
    let latencies = calls.iter().filter(|call| call.ids().is_some() && !call.is_more);
    Ok(Report {
        engine: options.engine.clone(),
        seed: options.seed,
        lasted_us: played.lasted_us,
        requests: Outcomes::of(calls),
        latency: Latency::of(latencies.map(|call| call.end_us - call.start_us).collect()),
        commits: played.commits,
        felt,
        felt_of_two,
        found,
        violations_file,
    })
}

/// What has happened in a run.
struct Played {
    /// Of all clients: those of each in their order.
    calls: Vec<Call>,
    clients: usize,
    done: Done,
    revival: Revival,
    lasted_us: u64,
    commits: u64,
}

/// Lets the clients work while the nemesis rages, and then until they are served again.
fn play(
    options: &Options,
    field: &mut Field,
    sequences: &[Asked],
    stop: &AtomicBool,
    tell: &dyn Fn(&str),
) -> Result<Played> {
    let (clock, random) = (Clock::start(), Random::new(options.seed));
    let ports: Vec<_> = field.servers.iter().map(|server| (server.resp, server.http)).collect();
    let clients = Clients::start(clock, &ports, sequences, &random.part(1));
    std::thread::sleep(WARM_UP);
    let until_us = clock.now_us() + micros(options.lasts);
    let nemesis = Nemesis::new(clock, field, options.lease, random.part(2), stop, tell);
    let done = nemesis.rage(until_us)?;
    let revival = Revival {
        healed_us: clock.now_us(),
        bound_us: micros(options.lease + REVIVAL),
        far_ahead: done.faults.iter().filter_map(|fault| fault.far_ahead).collect(),
    };
    wait_for_revival(clock, &clients, &revival);
    let commits = field.servers.iter().filter_map(commits).sum();
    let (lasted_us, count) = (clock.now_us(), clients.count());
    Ok(Played { calls: clients.stop(), clients: count, done, revival, lasted_us, commits })
}

/// What is wrong with it.
fn judge(played: &Played, sequences: &[Asked], marks: &[Option<u64>]) -> Found {
    let mut found = check(&played.calls, sequences, marks);
    revived(&played.calls, sequences, played.clients, &played.revival, &mut found);
    for (server, said) in &played.done.ended {
        let what = format!("server {server} ended by itself: {}", said.trim());
        found.add(check::Kind::Server, what, Vec::new());
    }
    found
}

/// Starts the engine and the servers.
fn start(options: &Options, place: &Place) -> Result<Field> {
    // The last node is a server that only looks, at the end.
    let net = Net::new(options.servers + MEMBERS_MAX + 1);
    let engine = engine::start(&options.engine, &net, options.servers)?;
    let lease = format!("{}ms", options.lease.as_millis());
    let start = |node| {
        let url = engine::url_for(engine.as_ref(), &net, node, options.servers)?;
        Server::start(&options.ticketd, place, &net, node, &["--store", &url, "--lease", &lease])
    };
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
fn marks_of(
    ticketd: &Path,
    place: &Place,
    field: &Field,
    sequences: &[Asked],
) -> Result<Vec<Option<u64>>> {
    let node = field.servers.len() + MEMBERS_MAX;
    let url = field.engine.url();
    let witness = Server::start(ticketd, place, &field.net, node, &["--store", &url])?;
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

/// A run as a test: an error if a promise was broken or something did not work.
///
/// # Errors
/// With the whole report.
pub fn assert_good(options: &Options) -> Result<Report> {
    let report = run(options, &AtomicBool::new(false), &|_| {})?;
    ensure!(report.is_good(), "{report}");
    Ok(report)
}
