//! What happens when one server dies while agents draw.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use serde::Serialize;
use ticketd_core::definition::KindName;
use ticketd_server::clock::Clock;

use super::load::{Load, Request, ids_of, longest_wait_us};
use super::wire::Client;
use super::{Scenario, duplicates, share};

/// How long a slot of the timeline is, in milliseconds.
pub const SLOT_MS: u64 = 100;

/// How long agents draw before the server dies, and after it.
const BEFORE: Duration = Duration::from_millis(500);
const AFTER: Duration = Duration::from_millis(1500);

/// The span after the death in which failures are counted.
const COUNTED_US: u64 = 1_000_000;

/// The server that dies: the one that most agents prefer.
const VICTIM: usize = 0;

/// Servers that can be killed.
pub trait Servers {
    /// Where they listen.
    fn addrs(&self) -> Vec<SocketAddr>;

    /// Kills one, so that it can give nothing back.
    ///
    /// # Errors
    /// If that fails.
    fn kill(&mut self, server: usize) -> io::Result<()>;

    /// Starts one again that was killed, at the same address, and waits until it serves.
    ///
    /// # Errors
    /// If it does not come back.
    fn revive(&mut self, server: usize) -> io::Result<()>;
}

/// What the death of a server did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outage {
    /// IDs drawn, before and after.
    pub ids: u64,
    /// IDs that had come before.
    pub duplicates: u64,
    /// Requests that ended in the second after the death.
    pub requests_in_the_second_after: u64,
    /// Of these, the share that failed.
    pub failed_share: f64,
    /// The longest that any agent was without an ID.
    pub longest_wait_ms: f64,
    /// How long the dead server took to serve again; `None` where the others went on without it.
    pub restarted_in_ms: Option<f64>,
    /// IDs that were reserved and can no more be issued; `None` where that cannot be counted in IDs.
    pub burnt_ids: Option<u64>,
    /// IDs and failures over time.
    pub timeline: Vec<Slot>,
}

/// A slot of the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Slot {
    /// Its begin, from the death on.
    pub from_ms: i64,
    /// IDs answered.
    pub ids: u64,
    /// Requests that failed.
    pub failed: u64,
}

/// Lets agents draw from `servers` of `kind`, kills one, and goes on. Where there is no other one
/// it is started again at once, as a supervisor would.
///
/// # Errors
/// If a server cannot be killed or started again.
pub fn outage(
    kind: KindName,
    scenario: &Scenario,
    servers: &mut dyn Servers,
) -> io::Result<Outage> {
    let addrs = servers.addrs();
    let (table, clock) = (&scenario.tables[0], Clock::start());
    let agents = scenario.agents_for(addrs.len());
    let load = Load { kind, table, servers: &addrs, agents, clock };
    let (requests, death) = load.during(|| -> io::Result<Death> {
        thread::sleep(BEFORE);
        let at_us = clock.now().as_micros();
        servers.kill(VICTIM)?;
        let end = clock.now().plus(AFTER);
        let is_alone = addrs.len() == 1;
        if is_alone {
            servers.revive(VICTIM)?;
        }
        let restarted_us = is_alone.then(|| clock.now().as_micros() - at_us);
        thread::sleep(Duration::from_micros(end.micros_since(clock.now())));
        Ok(Death { at_us, restarted_us })
    });
    let (death, end_us) = (death?, clock.now().as_micros());
    let burnt_ids = match kind {
        KindName::Ticket => Some(missing(&ids_of(&requests))),
        KindName::Stride => Some(burnt_of_member(table, servers, &requests)?),
        // A window of ticks, of which nobody counts the IDs.
        KindName::Snowflake => None,
        KindName::Uuid4 | KindName::Uuid7 | KindName::Ulid => Some(0),
    };
    Ok(outage_of(&requests, death, end_us, burnt_ids))
}

/// The moment of the death, and how long the restart took if there was one.
#[derive(Debug, Clone, Copy)]
struct Death {
    at_us: u64,
    restarted_us: Option<u64>,
}

/// What the dead member does not issue any more: it is started again and asked for one ID.
fn burnt_of_member(
    table: &ticketd_core::name::Name,
    servers: &mut dyn Servers,
    requests: &[Request],
) -> io::Result<u64> {
    servers.revive(VICTIM)?;
    let addrs = servers.addrs();
    let mut next = Vec::new();
    Client::connect(addrs[VICTIM], KindName::Stride)?.draw(table, 1, &mut next)?;
    let own = requests.iter().filter(|request| request.server == VICTIM);
    let mut ids: Vec<u128> = own.filter_map(|request| request.id).chain(next).collect();
    let stride = addrs.len() as u128;
    ids.iter_mut().for_each(|id| *id = id.div_ceil(stride));
    Ok(missing(&ids))
}

/// How many numbers between the first and the last of `ids` are not among them.
fn missing(ids: &[u128]) -> u64 {
    let (Some(first), Some(last)) = (ids.iter().min(), ids.iter().max()) else { return 0 };
    let distinct = ids.len() as u64 - duplicates(ids.to_vec());
    u64::try_from(last - first + 1).unwrap_or(u64::MAX).saturating_sub(distinct)
}

fn outage_of(requests: &[Request], death: Death, end_us: u64, burnt_ids: Option<u64>) -> Outage {
    let killed_us = death.at_us;
    let counted = killed_us..killed_us + COUNTED_US;
    let after = requests.iter().filter(|request| counted.contains(&request.answered_us));
    let (ended, failed) = after.fold((0, 0), |(ended, failed), request| {
        (ended + 1, failed + u64::from(request.id.is_none()))
    });
    let ids = ids_of(requests);
    Outage {
        ids: ids.len() as u64,
        duplicates: duplicates(ids),
        requests_in_the_second_after: ended,
        failed_share: share(failed, ended),
        longest_wait_ms: longest_wait_us(requests, killed_us, end_us) as f64 / 1000.0,
        restarted_in_ms: death.restarted_us.map(|us| us as f64 / 1000.0),
        burnt_ids,
        timeline: timeline(requests, killed_us),
    }
}

/// Full slots only, before and after the death.
fn timeline(requests: &[Request], killed_us: u64) -> Vec<Slot> {
    let slots = |time: Duration| time.as_millis() as i64 / SLOT_MS as i64;
    let slot = |number: i64| {
        let from_ms = number * SLOT_MS as i64;
        let within = |request: &&Request| {
            let since_us = request.answered_us.cast_signed() - killed_us.cast_signed();
            since_us.div_euclid(SLOT_MS as i64 * 1000) == number
        };
        let all = requests.iter().filter(within);
        let (ids, failed) = all.fold((0, 0), |(ids, failed), request| {
            let is_served = request.id.is_some();
            (ids + u64::from(is_served), failed + u64::from(!is_served))
        });
        Slot { from_ms, ids, failed }
    };
    (-slots(BEFORE)..slots(AFTER)).map(slot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_between_first_and_last_is_counted() {
        assert_eq!(missing(&[7, 3, 4, 10]), 4);
        assert_eq!(missing(&[3, 3, 4]), 0);
        assert_eq!(missing(&[]), 0);
    }

    #[test]
    fn an_outage_counts_failures_of_the_second_after_and_draws_the_timeline() {
        let request = |asked_us: u64, id| Request {
            agent: 0,
            server: 0,
            asked_us,
            answered_us: asked_us + 10,
            id,
        };
        let requests = [
            request(400_000, None), // before
            request(490_000, Some(1)),
            request(510_000, None),
            request(520_000, Some(2)),
            request(900_000, Some(2)), // a duplicate
            request(1_400_000, None),
            request(1_600_000, None), // later than a second
        ];
        let death = Death { at_us: 500_000, restarted_us: Some(5_000) };
        let outage = outage_of(&requests, death, 1_700_000, None);
        assert_eq!((outage.restarted_in_ms, outage.burnt_ids), (Some(5.0), None));
        assert_eq!((outage.ids, outage.duplicates), (3, 1));
        assert_eq!((outage.requests_in_the_second_after, outage.failed_share), (4, 0.5));
        assert_eq!(outage.longest_wait_ms, 799.99);
        let at = |from_ms| outage.timeline.iter().find(|slot| slot.from_ms == from_ms).unwrap();
        assert_eq!(*at(0), Slot { from_ms: 0, ids: 1, failed: 1 });
        assert_eq!(*at(-100), Slot { from_ms: -100, ids: 1, failed: 1 });
        assert_eq!((outage.timeline.len(), outage.timeline[0].from_ms), (20, -500));
    }
}
