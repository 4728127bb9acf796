//! Servers that share an engine are replaced by another release, one after the other and back again,
//! while clients work: nobody at another server notices.

use std::fmt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ticketd_engines::Place;

use crate::check::{Found, Kind, Revival, check, revived};
use crate::clients::Clients;
use crate::clock::{Clock, micros};
use crate::engine::{self, MEMBERS_MAX};
use crate::history::{Asked, Call};
use crate::net::Net;
use crate::random::Random;
use crate::report::Outcomes;
use crate::servers::Server;
use crate::{Field, REVIVAL, create, evidence, marks_of, wait_for_revival};

/// What is run.
#[derive(Debug, Clone)]
pub struct Upgrade {
    /// The program of the older release.
    pub old: PathBuf,
    /// The program of the newer one.
    pub new: PathBuf,
    /// Where a file with violations and what happened around them is written.
    pub violations_dir: PathBuf,
}

const SERVERS: usize = 3;

/// The length of the leases. Much longer than [`UNANSWERED_MAX`], so that a hand-over that has to
/// wait for a lease to run out is noticed.
const LEASE: Duration = Duration::from_secs(20);

/// The longest time that a client at a server that goes on may be without an answer.
const UNANSWERED_MAX: Duration = Duration::from_secs(5);

/// How long a server works between two that are replaced.
const BETWEEN: Duration = Duration::from_millis(500);

/// What a run has shown.
#[derive(Debug)]
pub struct Report {
    /// How often a server was replaced.
    pub replaced: usize,
    /// Requests, of all clients.
    pub requests: Outcomes,
    /// The longest time that a client at a server that went on was without an answer.
    pub unanswered_us: u64,
    /// What is wrong.
    pub found: Found,
    /// Where the calls are that show it.
    pub violations_file: Option<PathBuf>,
}

/// When a server was being replaced.
#[derive(Debug, Clone, Copy)]
struct Absence {
    server: usize,
    from_us: u64,
    until_us: u64,
}

/// Starts servers of the older release, replaces each by the newer one, and then by the older one
/// again.
///
/// # Errors
/// If something cannot be started or replaced. A promise that was broken is no error here: the
/// report says so.
pub fn run(upgrade: &Upgrade, tell: &dyn Fn(&str)) -> Result<Report> {
    let place = Place::temporary()?;
    let links = links(&place);
    let mut field = start(upgrade, &place, &links)?;
    let sequences = create(&field.servers[0])?;
    let clock = Clock::start();
    let ports: Vec<_> = field.servers.iter().map(|server| (server.resp, server.http)).collect();
    let clients = Clients::start(clock, &ports, &sequences, &Random::new(1));
    std::thread::sleep(BETWEEN);
    let mut absences = Vec::new();
    for (program, what) in [(&upgrade.new, "the newer"), (&upgrade.old, "the older")] {
        for (n, link) in links.iter().enumerate() {
            tell(&format!("server {n} becomes {what} release"));
            let from_us = clock.now_us();
            replace(&mut field.servers[n], link, program)?;
            absences.push(Absence { server: n, from_us, until_us: clock.now_us() });
            std::thread::sleep(BETWEEN);
        }
    }
    let healed_us = clock.now_us();
    let bound_us = micros(UNANSWERED_MAX + REVIVAL);
    let revival = Revival { healed_us, bound_us, far_ahead: Vec::new() };
    wait_for_revival(clock, &clients, &revival);
    let count = clients.count();
    let calls = clients.stop();
    tell("checking");
    let marks = marks_of(&upgrade.new, &place, &field, &sequences)?;
    let mut found = check(&calls, &sequences, &marks);
    revived(&calls, &sequences, count, &revival, &mut found);
    let unanswered_us = unanswered(&calls, count, &absences, healed_us, &mut found);
    unserved(&calls, &absences, &sequences, &mut found);
    let to = (upgrade.violations_dir.as_path(), "upgrade.txt");
    Ok(Report {
        replaced: absences.len(),
        requests: Outcomes::of(&calls),
        unanswered_us,
        violations_file: evidence::write(to, &found, &calls, &sequences, &[])?,
        found,
    })
}

/// A name for the program of each server, which can come to mean another program.
fn links(place: &Place) -> Vec<PathBuf> {
    (0..SERVERS).map(|n| place.path().join(format!("ticketd-{n}"))).collect()
}

fn start(upgrade: &Upgrade, place: &Place, links: &[PathBuf]) -> Result<Field> {
    let net = Net::new(SERVERS + MEMBERS_MAX + 1);
    let engine = engine::start("etcd", &net, SERVERS)?;
    let lease = format!("{}ms", LEASE.as_millis());
    let start = |(node, link): (usize, &PathBuf)| {
        point(link, &upgrade.old)?;
        let url = engine::url_for(engine.as_ref(), &net, node, SERVERS)?;
        let server = Server::start(link, place, &net, node, &["--store", &url, "--lease", &lease])?;
        runs(&server, &upgrade.old)?;
        Ok(server)
    };
    let servers = links.iter().enumerate().map(start).collect::<Result<Vec<_>>>()?;
    Ok(Field::new(servers, engine, net, Vec::new()))
}

/// Stops a server in peace, and starts `program` in its place.
fn replace(server: &mut Server, link: &Path, program: &Path) -> Result<()> {
    server.stop()?;
    point(link, program)?;
    server.start_again()?;
    server.wait_until_ready()?;
    runs(server, program)
}

/// Makes `link` mean `program`.
fn point(link: &Path, program: &Path) -> Result<()> {
    let new = link.with_extension("new");
    symlink(program, &new)?;
    std::fs::rename(new, link).with_context(|| format!("{} cannot be replaced", link.display()))
}

/// Makes sure that `server` runs `program`.
fn runs(server: &Server, program: &Path) -> Result<()> {
    let running = std::fs::read_link(format!("/proc/{}/exe", server.process.pid()))?;
    let meant = program.canonicalize()?;
    ensure!(running == meant, "{} runs and not {}", running.display(), meant.display());
    Ok(())
}

/// The longest time that a client had no answer while its server was there.
fn unanswered(
    calls: &[Call],
    clients: usize,
    absences: &[Absence],
    until_us: u64,
    found: &mut Found,
) -> u64 {
    let mut longest = 0;
    for client in 0..clients {
        let of_client = calls.iter().filter(|call| call.place.client == client);
        let Some(server) = of_client.clone().map(|call| call.place.server).next() else {
            continue;
        };
        let mut answers: Vec<u64> =
            of_client.filter(|call| call.ids().is_some()).map(|call| call.end_us).collect();
        answers.push(until_us);
        // While its own server is away nobody answers it; it is asked again once that is back.
        let away = absences.iter().filter(|absence| absence.server == server);
        answers.extend(away.flat_map(|absence| [absence.from_us, absence.until_us]));
        answers.sort_unstable();
        let is_away = |from_us: u64, until_us: u64| {
            let mut own = absences.iter().filter(|absence| absence.server == server);
            own.any(|absence| absence.from_us <= from_us && until_us <= absence.until_us)
        };
        let waits = answers.windows(2).filter(|pair| !is_away(pair[0], pair[1]));
        let wait = waits.map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        if wait > micros(UNANSWERED_MAX) {
            let what = format!("client {client} had no answer for {} ms", wait / 1000);
            found.add(Kind::NotRevived, what, Vec::new());
        }
        longest = longest.max(wait);
    }
    longest
}

/// Whoever asks a server that goes on is served: another one that stops is no reason to refuse.
fn unserved(calls: &[Call], absences: &[Absence], sequences: &[Asked], found: &mut Found) {
    let is_away = |call: &Call| {
        let mut own = absences.iter().filter(|absence| absence.server == call.place.server);
        // A request that its own server had when it was told to stop may end a little later.
        own.any(|absence| call.start_us <= absence.until_us && absence.from_us <= call.end_us)
    };
    for call in calls.iter().filter(|call| call.ids().is_none() && !is_away(call)) {
        let name = &sequences[call.sequence].name;
        let what = format!("server {} did not serve {name}, and goes on", call.place.server);
        found.add(Kind::Server, what, vec![*call]);
    }
}

impl Report {
    /// Whether all promises held.
    pub fn is_good(&self) -> bool {
        self.found.violations.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcomes { answered, ids, refused, unknown } = self.requests;
        writeln!(
            f,
            "{} times a server was replaced: {answered} requests answered with {ids} IDs, \
             {refused} refused, {unknown} without an answer at servers that were replaced; {} \
             duplicates, {} out of order; at most {} ms without an answer at a server that goes on",
            self.replaced,
            self.found.duplicates,
            self.found.disorders,
            self.unanswered_us / 1000
        )?;
        for violation in &self.found.violations {
            writeln!(f, "  {violation}")?;
        }
        match &self.violations_file {
            Some(file) => writeln!(f, "what happened around it: {}", file.display()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Answer, Place as At, Promise};

    const SECOND: u64 = 1_000_000;

    /// A call of the client of `server` in these seconds.
    fn call(server: usize, start: u64, end: u64, answer: Answer) -> Call {
        let place = At { server, client: server, connection: 0 };
        let (start_us, end_us) = (start * SECOND, end * SECOND);
        Call { place, sequence: 0, start_us, end_us, answer, is_more: false }
    }

    fn answered(server: usize, at: u64) -> Call {
        call(server, at, at, Answer::Ids { first: at, last: at })
    }

    /// Server 0 was away from second 10 to second 30.
    const AWAY: [Absence; 1] = [Absence { server: 0, from_us: 10 * SECOND, until_us: 30 * SECOND }];

    #[test]
    fn who_waits_at_a_server_that_goes_on_is_noticed_and_nobody_else() {
        let at_both = |seconds: &[u64]| -> Vec<Call> {
            seconds.iter().flat_map(|at| [answered(0, *at), answered(1, *at)]).collect()
        };
        let mut found = Found::default();
        let calls = [at_both(&[7, 10]), vec![answered(1, 15)], at_both(&[31, 33])].concat();
        let longest = unanswered(&calls, 2, &AWAY, 34 * SECOND, &mut found);
        assert_eq!(longest, 16 * SECOND, "of the client of server 1");
        assert_eq!(found.violations.len(), 1);
        let only_of_0: Vec<_> = calls.iter().filter(|c| c.place.server == 0).copied().collect();
        let longest = unanswered(&only_of_0, 2, &AWAY, 34 * SECOND, &mut Found::default());
        assert_eq!(longest, 3 * SECOND);
    }

    #[test]
    fn who_is_refused_at_a_server_that_goes_on_is_noticed_and_nobody_else() {
        let sequences = [Asked { name: "a".to_owned(), promise: Promise::Strict }];
        let unserved_of = |call: Call| {
            let mut found = Found::default();
            unserved(&[call], &AWAY, &sequences, &mut found);
            found.violations.len()
        };
        assert_eq!(unserved_of(call(0, 9, 10, Answer::Unknown)), 0);
        assert_eq!(unserved_of(call(0, 29, 31, Answer::Refused)), 0);
        assert_eq!(unserved_of(call(0, 31, 32, Answer::Refused)), 1);
        assert_eq!(unserved_of(call(1, 15, 16, Answer::Refused)), 1);
        assert_eq!(unserved_of(answered(1, 15)), 0);
    }
}
