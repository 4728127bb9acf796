//! What it takes to go from three servers to five.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use serde::Serialize;
use ticketd_core::definition::KindName;
use ticketd_server::clock::Clock;

use super::fleet::Fleet;
use super::load::{Load, ids_of, longest_wait_us};
use super::loopback::Loopback;
use super::outage::Servers as _;
use super::wire::Client;
use super::{SERVERS, SERVERS_AFTER, Scenario, duplicates, servers_of, value_of};

/// How long agents draw before and after the resize.
const MARGIN: Duration = Duration::from_millis(200);

/// What a resize took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Resize {
    /// From the first step until all five have issued an ID.
    pub took_ms: f64,
    /// The longest that an agent of the old servers was without an ID; `None` where nothing happens
    /// to those.
    pub longest_wait_ms: Option<f64>,
    /// IDs between the old and the new that nobody gets.
    pub skipped_ids: u64,
    /// Old IDs that had to change.
    pub remapped_ids: u64,
    /// IDs drawn, before, meanwhile and after.
    pub ids: u64,
    /// IDs that had come before.
    pub duplicates: u64,
}

/// Starts two more servers beside three, which need not know, and draws an ID from each. Of tickets
/// these are two more clients of the one server.
///
/// # Errors
/// If a server cannot start, or refuses an ID.
pub fn grow(kind: KindName, scenario: &Scenario) -> io::Result<Resize> {
    let tables = &scenario.tables[..1];
    if servers_of(kind) == 1 {
        return more_clients(kind, scenario);
    }
    let mut fleet = Fleet::start(kind, tables, SERVERS, |_| Clock::start())?;
    let mut ids = Vec::new();
    let mut draw = |fleet: &Fleet, server: usize| -> io::Result<()> {
        let id = fleet.dispenser(server, &tables[0]).next_id().map_err(io::Error::other)?;
        ids.push(value_of(id));
        Ok(())
    };
    (0..SERVERS).try_for_each(|server| draw(&fleet, server))?;
    let clock = Clock::start();
    for server in SERVERS..SERVERS_AFTER {
        fleet.add(tables, SERVERS_AFTER, Clock::start())?;
        draw(&fleet, server)?;
    }
    let took_us = clock.now().as_micros();
    fleet.stop()?;
    Ok(undisturbed(took_us, ids))
}

fn more_clients(kind: KindName, scenario: &Scenario) -> io::Result<Resize> {
    let tables = &scenario.tables[..1];
    let server = Loopback::start(kind, tables, 1)?;
    let mut ids = Vec::new();
    let mut draw = || Client::connect(server.addrs()[0], kind)?.draw(&tables[0], 1, &mut ids);
    (0..SERVERS).try_for_each(|_| draw())?;
    let clock = Clock::start();
    (SERVERS..SERVERS_AFTER).try_for_each(|_| draw())?;
    Ok(undisturbed(clock.now().as_micros(), ids))
}

/// A resize of which the old servers notice nothing.
fn undisturbed(took_us: u64, ids: Vec<u128>) -> Resize {
    Resize {
        took_ms: took_us as f64 / 1000.0,
        longest_wait_ms: None,
        skipped_ids: 0,
        remapped_ids: 0,
        ids: ids.len() as u64,
        duplicates: duplicates(ids),
    }
}

/// Lets agents draw a stride from the first three of `servers` while `resize` makes all five members, then
/// from the new ones too.
///
/// # Errors
/// What `resize` says, or that a new member issues nothing.
pub fn resize_under_load(
    scenario: &Scenario,
    servers: &[SocketAddr],
    resize: impl FnOnce() -> io::Result<()>,
) -> io::Result<Resize> {
    let (kind, table, clock) = (KindName::Stride, &scenario.tables[0], Clock::start());
    let (old, new) = servers.split_at(SERVERS);
    let load = Load { kind, table, servers: old, agents: scenario.agents_for(SERVERS), clock };
    let mut joined = Vec::new();
    let (requests, times) = load.during(|| -> io::Result<(u64, u64)> {
        thread::sleep(MARGIN);
        let from_us = clock.now().as_micros();
        resize()?;
        new.iter()
            .try_for_each(|addr| Client::connect(*addr, kind)?.draw(table, 1, &mut joined))?;
        let to_us = clock.now().as_micros();
        thread::sleep(MARGIN);
        Ok((from_us, to_us))
    });
    let (from_us, to_us) = times?;
    if let Some(failed) = requests.iter().find(|request| request.id.is_none()) {
        let at = old[failed.server];
        return Err(io::Error::other(format!("member {at} refused an ID during the resize")));
    }
    let ids: Vec<u128> = ids_of(&requests).into_iter().chain(joined).collect();
    let longest_wait = longest_wait_us(&requests, from_us, clock.now().as_micros());
    Ok(Resize {
        took_ms: (to_us - from_us) as f64 / 1000.0,
        longest_wait_ms: Some(longest_wait as f64 / 1000.0),
        skipped_ids: largest_gap(ids.clone()),
        // No step of a resize changes an ID; that none comes twice is checked.
        remapped_ids: 0,
        ids: ids.len() as u64,
        duplicates: duplicates(ids),
    })
}

/// How many numbers lie between the two neighbours that are furthest apart.
fn largest_gap(mut ids: Vec<u128>) -> u64 {
    ids.sort_unstable();
    let gaps = ids.windows(2).map(|pair| (pair[1] - pair[0]).saturating_sub(1));
    gaps.max().map_or(0, |gap| u64::try_from(gap).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_between_generations_is_the_largest() {
        assert_eq!(largest_gap(vec![1, 1000, 2, 4, 1005]), 995);
        assert_eq!(largest_gap(vec![7]), 0);
    }
}
