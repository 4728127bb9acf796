//! `ticketd simulate --faults`: what happens to the servers, in words and as JSON.

use std::fmt::{self, Display, Formatter};
use std::io::{self, Write};
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use ticketd_core::definition::KindName;
use ticketd_core::name::Name;
use ticketd_sim::live::faults::{Event, LEASE, SERVERS, Servers, run_with_faults};
use ticketd_sim::live::{Plan, Stop, Summary};

use super::no_threads;
use super::printer::Printer;
use super::remote::{self, Whereabouts};
use crate::client::Place;
use crate::failure::Failure;

/// Goes before what happens to servers, so that it stands out among tickets.
const MARGIN: &str = "    -- ";

/// What is told of the faults of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    seed: u64,
    servers: usize,
    lease_seconds: f64,
    crashes: u64,
    stops: u64,
    takeovers: u64,
    /// Reserved, and got by no agent; not known of snowflakes.
    #[serde(skip_serializing_if = "Option::is_none")]
    burnt: Option<u64>,
}

/// Checks that several servers can share a sequence of `kind`.
pub fn check(kind: KindName) -> Result<(), Failure> {
    match kind {
        KindName::Ticket | KindName::Snowflake => Ok(()),
        KindName::Stride | KindName::Uuid4 | KindName::Uuid7 | KindName::Ulid => {
            Err(Failure::usage(format!(
                "--faults shows servers that share an engine, which IDs of kind {0} do not need; \
                 give --kind ticket or snowflake with it, or --kind {0} alone",
                kind.as_str()
            )))
        }
    }
}

/// Runs `plan` on servers that crash and come back, as `seed` says or as it happens.
pub fn run(
    plan: &Plan,
    seed: Option<u64>,
    printer: &Arc<Printer>,
    stop: &Stop,
) -> Result<(Summary, Report), Failure> {
    let seed = seed.map_or_else(any_seed, Ok)?;
    let told = Arc::clone(printer);
    let servers = Servers::start(Arc::new(move |event| told.event(event))).map_err(no_threads)?;
    let addresses = servers.addresses();
    let find = move |at| addresses.of(at).map(Place::http);
    let sources = remote::dial(&Whereabouts { servers: SERVERS, find: Arc::new(find) }, plan)?;
    let (summary, counts) = run_with_faults(plan, servers, seed, sources, &**printer, stop);
    let burnt = summary.tables.iter().map(|table| table.burnt).sum();
    let report = Report {
        seed,
        servers: SERVERS,
        lease_seconds: LEASE.as_secs_f64(),
        crashes: counts.crashes,
        stops: counts.stops,
        takeovers: counts.takeovers,
        burnt,
    };
    Ok((summary, report))
}

/// A seed that is short enough to be typed again.
fn any_seed() -> Result<u64, Failure> {
    let drawn = getrandom::u32().map_err(|error| {
        Failure::work(format!("the system gives no random number: {error}; give one with --seed"))
    })?;
    Ok(u64::from(drawn))
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { seed, servers, crashes, stops, takeovers, .. } = self;
        write!(
            f,
            "seed {seed}: servers {servers}, crashes {crashes}, stops {stops}, takeovers {takeovers}"
        )?;
        self.burnt.map_or(Ok(()), |burnt| write!(f, ", IDs burnt {burnt}"))
    }
}

/// Writes `event` for people.
pub fn text(event: &Event, out: &mut impl Write) -> io::Result<()> {
    out.write_all(MARGIN.as_bytes())?;
    match event {
        Event::Crashed { server, owned } if owned.is_empty() => {
            writeln!(out, "server {server} crashes; it owned nothing")
        }
        Event::Crashed { server, owned } => {
            let (names, wait) = (names(owned), if owned.len() == 1 { "waits" } else { "wait" });
            writeln!(out, "server {server} crashes; {names} {wait} for its lease to end")
        }
        Event::Stops { server, owned } if owned.is_empty() => {
            writeln!(out, "server {server} stops; it owns nothing")
        }
        Event::Stops { server, owned } => {
            writeln!(out, "server {server} stops, and hands over {}", names(owned))
        }
        Event::LeaseEnded { server } => writeln!(out, "the lease of server {server} has ended"),
        Event::Owns { server, table, turn, .. } => {
            writeln!(out, "server {server} now owns {table}, turn {turn}")
        }
        Event::Back { server } => writeln!(out, "server {server} is back"),
    }
}

fn names(tables: &[Name]) -> String {
    let names: Vec<&str> = tables.iter().map(Name::as_str).collect();
    match names.as_slice() {
        [some @ .., before, last] => [some, &[&format!("{before} and {last}")]].concat().join(", "),
        few => few.concat(),
    }
}

/// Writes `event` as a line of JSON.
pub fn json(event: &Event, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", json!({ "fault": object(event) }))
}

fn object(event: &Event) -> Value {
    let all = |tables: &[Name]| tables.iter().map(Name::as_str).collect::<Value>();
    match event {
        Event::Crashed { server, owned } => {
            json!({ "event": "crash", "server": server, "owned": all(owned) })
        }
        Event::Stops { server, owned } => {
            json!({ "event": "stop", "server": server, "owned": all(owned) })
        }
        Event::LeaseEnded { server } => json!({ "event": "lease ended", "server": server }),
        Event::Owns { server, table, turn, is_takeover } => json!({
            "event": if *is_takeover { "takeover" } else { "owner" },
            "server": server,
            "table": table.as_str(),
            "turn": turn,
        }),
        Event::Back { server } => json!({ "event": "back", "server": server }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(event: &Event) -> String {
        let mut out = Vec::new();
        text(event, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_crash_says_who_has_to_wait() {
        let crash = |owned: &[&str]| {
            let owned = owned.iter().map(|name| Name::new(name).unwrap()).collect();
            told(&Event::Crashed { server: 2, owned })
        };
        assert_eq!(crash(&[]), "    -- server 2 crashes; it owned nothing\n");
        assert_eq!(crash(&["a"]), "    -- server 2 crashes; a waits for its lease to end\n");
        assert_eq!(
            crash(&["a", "b"]),
            "    -- server 2 crashes; a and b wait for its lease to end\n"
        );
        let three = crash(&["a", "b", "c"]);
        assert_eq!(three, "    -- server 2 crashes; a, b and c wait for its lease to end\n");
    }
}
