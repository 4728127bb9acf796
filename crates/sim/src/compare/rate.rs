//! How many IDs per second: agents that draw as fast as they can, in process and over RESP.
//!
//! Every ID is kept and compared with all others afterwards, so that uniqueness is checked exactly.
//! What bounds the memory is that a run ends when so many are kept, if its time is not over before.

use std::io;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde::Serialize;
use ticketd_core::definition::KindName;
use ticketd_server::clock::Clock;

use super::fleet::Fleet;
use super::loopback::Loopback;
use super::wire::Client;
use super::{Scenario, duplicates, servers_of, value_of};

/// Requests in flight on a connection.
pub const PIPELINE: usize = 64;

/// The most IDs of a run, which are all kept: 64 MB.
const KEPT_MAX: usize = 4_000_000;

/// IDs drawn between two looks at the clock.
const TURN: usize = 64;

/// What a run at full speed came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// IDs drawn, all of which were compared.
    pub ids: u64,
    /// How long that took.
    pub seconds: f64,
    /// One by the other.
    pub ids_per_second: f64,
    /// IDs that had come before, of the same table.
    pub duplicates: u64,
}

/// Draws a few IDs and keeps them.
type Draw<'a> = Box<dyn FnMut(&mut Vec<u128>) -> io::Result<()> + Send + 'a>;

/// An agent and the number of its table.
struct Racer<'a> {
    table: usize,
    draw: Draw<'a>,
}

/// Agents ask the services of `kind` directly.
///
/// # Errors
/// If a service cannot start, or refuses an ID.
pub fn rate_in_process(kind: KindName, scenario: &Scenario) -> io::Result<Rate> {
    let fleet = Fleet::start(kind, &scenario.tables, servers_of(kind), |_| Clock::start())?;
    let racer = |agent: usize| {
        let table = scenario.table_of(agent);
        let name = &scenario.tables[table];
        let mut dispenser = fleet.dispenser(agent % servers_of(kind), name);
        let draw: Draw<'_> = Box::new(move |kept| {
            for _ in 0..TURN {
                kept.push(value_of(dispenser.next_id().map_err(io::Error::other)?));
            }
            Ok(())
        });
        Racer { table, draw }
    };
    let rate = race(scenario, (0..scenario.agents).map(racer).collect())?;
    fleet.stop()?;
    Ok(rate)
}

/// Agents ask listeners on loopback, with so many requests in flight each.
///
/// # Errors
/// If a server cannot start, or refuses an ID.
pub fn rate_over_resp(kind: KindName, scenario: &Scenario, in_flight: usize) -> io::Result<Rate> {
    let servers = Loopback::start(kind, &scenario.tables, servers_of(kind))?;
    let racer = |agent: usize| -> io::Result<Racer<'_>> {
        let table = scenario.table_of(agent);
        let name = &scenario.tables[table];
        let mut client = Client::connect(servers.addr(agent % servers_of(kind)), kind)?;
        let draw: Draw<'_> = Box::new(move |kept| client.draw(name, in_flight, kept));
        Ok(Racer { table, draw })
    };
    let racers = (0..scenario.agents).map(racer).collect::<io::Result<_>>()?;
    race(scenario, racers)
}

/// Lets all draw at once until the time is over, or enough is kept.
fn race(scenario: &Scenario, racers: Vec<Racer<'_>>) -> io::Result<Rate> {
    let clock = Clock::start();
    let room = KEPT_MAX / racers.len();
    let (start, is_over) = (Barrier::new(racers.len()), AtomicBool::new(false));
    let run = |mut draw: Draw<'_>| -> io::Result<(Vec<u128>, u64)> {
        let mut kept = Vec::with_capacity(room + TURN);
        // The first draw opens the sequence.
        let opened = draw(&mut kept);
        kept.clear();
        start.wait();
        opened?;
        let from = clock.now();
        let end = from.plus(scenario.duration);
        while !is_over.load(Ordering::Relaxed) {
            draw(&mut kept).inspect_err(|_| is_over.store(true, Ordering::Relaxed))?;
            if kept.len() >= room || clock.now() >= end {
                is_over.store(true, Ordering::Relaxed);
            }
        }
        Ok((kept, clock.now().micros_since(from)))
    };
    let mut tables = vec![Vec::new(); scenario.tables.len()];
    let mut longest = 0;
    thread::scope(|scope| {
        let running: Vec<_> = racers
            .into_iter()
            .map(|racer| (racer.table, scope.spawn(|| run(racer.draw))))
            .collect();
        running.into_iter().try_for_each(|(table, running)| -> io::Result<()> {
            let (kept, micros) = running.join().expect("an agent does not panic")?;
            tables[table].extend(kept);
            longest = longest.max(micros);
            Ok(())
        })
    })?;
    Ok(rate_of(tables, longest))
}

/// The rate of what was kept of each table in so many microseconds.
fn rate_of(tables: Vec<Vec<u128>>, micros: u64) -> Rate {
    let ids: u64 = tables.iter().map(|kept| kept.len() as u64).sum();
    let seconds = micros.max(1) as f64 / 1e6;
    let duplicates = tables.into_iter().map(duplicates).sum();
    Rate { ids, seconds, ids_per_second: ids as f64 / seconds, duplicates }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_counts_all_and_finds_duplicates_within_a_table_only() {
        let rate = rate_of(vec![vec![1, 2, 3, 2], vec![1, 2]], 2_000_000);
        let expected = Rate { ids: 6, seconds: 2.0, ids_per_second: 3.0, duplicates: 1 };
        assert_eq!(rate, expected);
    }
}
