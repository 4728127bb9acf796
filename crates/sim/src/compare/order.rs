//! In what order IDs come, within a server and across servers, and from how far apart one can tell
//! which of two is older.
//!
//! One monotonic clock says when each ID was asked for and when it was answered. One ID is *surely
//! older* than another if it was answered before the other was asked for; an inversion is an ID that
//! is smaller than one surely older.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::AtomicI64;
use std::thread;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde::Serialize;
use ticketd_core::definition::KindName;
use ticketd_server::clock::Clock;

use super::fleet::Fleet;
use super::guess::{Guess, guess};
use super::{SEED, SERVERS, Scenario, UNEVEN, duplicates, servers_of, share, value_of};
use crate::live::Dispenser;

/// How far the wall clocks of the servers are wrong where that is measured, in milliseconds.
pub const SKEWS_MS: [i64; SERVERS] = [0, 25, 50];

static SKEWED: [AtomicI64; SERVERS] =
    [AtomicI64::new(SKEWS_MS[0]), AtomicI64::new(SKEWS_MS[1]), AtomicI64::new(SKEWS_MS[2])];

/// The mean pause between two requests to the busiest server.
const PAUSE_US: u64 = 200;

/// The most IDs that an agent asks for in one run.
const SAMPLES_MAX: usize = 20_000;

/// Where the buckets of distances in time begin, in microseconds; the last has no end.
const FROM_US: [u64; 9] = [0, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000];

/// Pairs of each bucket that are drawn for each ID.
const PAIRS_PER_ID: usize = 2;

/// One can tell which of two is older if this share of pairs is in the right order.
pub const SURE_SHARE: f64 = 0.999;

/// Fewer pairs say nothing about [`SURE_SHARE`].
const PAIRS_MIN: u64 = 100;

/// An ID that an agent was answered, with the times in microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub agent: usize,
    pub server: usize,
    pub asked_us: u64,
    pub answered_us: u64,
    pub id: u128,
}

/// In what order IDs came.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Order {
    /// How many there were.
    pub ids: u64,
    /// IDs that had come before.
    pub duplicates: u64,
    /// IDs smaller than a surely older one of the same server.
    pub inversions_within_a_server: u64,
    /// IDs smaller than a surely older one of another server; of tickets, which have one server, of
    /// another agent.
    pub inversions_across_servers: u64,
    /// Pairs across servers, by how long after the answer to one the other was asked for.
    pub distances: Vec<Distance>,
    /// The shortest distance from which on one can tell which is older; `None` for never.
    pub tellable_from_us: Option<u64>,
}

/// Pairs of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Distance {
    /// The shortest distance in it.
    pub from_us: u64,
    /// How many were looked at.
    pub pairs: u64,
    /// The share in which the older ID is the smaller.
    pub right_share: f64,
}

/// Lets agents of three servers, or as many clients of the one ticket server, draw at random
/// moments. Also guesses the next ID, as the first agent sees them.
///
/// # Errors
/// If a service cannot start, or refuses an ID.
pub fn order(kind: KindName, scenario: &Scenario) -> io::Result<(Order, Guess)> {
    let samples = sample(kind, scenario, |_| Clock::start())?;
    let mut seen: Vec<&Sample> = samples.iter().filter(|sample| sample.agent == 0).collect();
    seen.sort_unstable_by_key(|sample| sample.asked_us);
    let seen: Vec<u128> = seen.iter().map(|sample| sample.id).collect();
    Ok((judge(&samples), guess(&seen)))
}

/// The same with servers whose wall clocks differ by [`SKEWS_MS`].
///
/// # Errors
/// As [`order`].
pub fn skewed_order(kind: KindName, scenario: &Scenario) -> io::Result<Order> {
    let skewed = |index: usize| Clock::start_skewed(&SKEWED[index % SERVERS]);
    Ok(judge(&sample(kind, scenario, skewed)?))
}

fn sample(
    kind: KindName,
    scenario: &Scenario,
    clock_of: impl Fn(usize) -> Clock,
) -> io::Result<Vec<Sample>> {
    let (table, servers) = (&scenario.tables[0], servers_of(kind));
    let fleet = Fleet::start(kind, std::slice::from_ref(table), servers, clock_of)?;
    let clock = Clock::start();
    let samples = thread::scope(|scope| {
        let draw = |agent: usize| {
            let sampler = Sampler { agent, server: agent % servers, clock };
            let dispenser = fleet.dispenser(sampler.server, table);
            scope.spawn(move || sampler.run(dispenser, scenario.duration))
        };
        let running: Vec<_> = (0..scenario.agents_for(SERVERS)).map(draw).collect();
        let each = running.into_iter().map(|agent| agent.join().expect("an agent does not panic"));
        each.collect::<io::Result<Vec<_>>>()
    })?;
    fleet.stop()?;
    Ok(samples.concat())
}

/// Draws IDs at random moments.
#[derive(Debug, Clone, Copy)]
struct Sampler {
    agent: usize,
    server: usize,
    clock: Clock,
}

impl Sampler {
    fn run(self, mut dispenser: Dispenser, duration: Duration) -> io::Result<Vec<Sample>> {
        let Self { agent, server, clock } = self;
        let mut random = Pcg64::seed_from_u64(SEED + agent as u64);
        // Of tickets, too, agents ask unevenly.
        let slower = UNEVEN[0] / UNEVEN[agent % SERVERS];
        let pause_max = 2 * PAUSE_US * u64::from(slower);
        dispenser.next_id().map_err(io::Error::other)?;
        let end = clock.now().plus(duration);
        let mut samples = Vec::new();
        while samples.len() < SAMPLES_MAX && clock.now() < end {
            let asked_us = clock.now().as_micros();
            let id = value_of(dispenser.next_id().map_err(io::Error::other)?);
            let answered_us = clock.now().as_micros();
            samples.push(Sample { agent, server, asked_us, answered_us, id });
            thread::sleep(Duration::from_micros(random.random_range(0..pause_max)));
        }
        Ok(samples)
    }
}

/// Works out the order of what was seen.
fn judge(samples: &[Sample]) -> Order {
    let is_one_server = samples.iter().all(|sample| sample.server == samples[0].server);
    let across = |sample: &Sample| if is_one_server { sample.agent } else { sample.server };
    let distances = distances(samples, across);
    Order {
        ids: samples.len() as u64,
        duplicates: duplicates(samples.iter().map(|sample| sample.id).collect()),
        inversions_within_a_server: inversions(samples, |sample| sample.server, true),
        inversions_across_servers: inversions(samples, across, false),
        tellable_from_us: tellable_from(&distances),
        distances,
    }
}

/// IDs smaller than a surely older one of the same group, or of another.
fn inversions(samples: &[Sample], group_of: impl Fn(&Sample) -> usize, same: bool) -> u64 {
    let mut by_asked: Vec<&Sample> = samples.iter().collect();
    by_asked.sort_unstable_by_key(|sample| sample.asked_us);
    let mut by_answered = by_asked.clone();
    by_answered.sort_unstable_by_key(|sample| sample.answered_us);
    let mut older = by_answered.into_iter().peekable();
    // The largest surely older ID of each group.
    let mut largest: BTreeMap<usize, u128> = BTreeMap::new();
    let mut is_inverted = |sample: &&Sample| {
        while let Some(sample) = older.next_if(|older| older.answered_us < sample.asked_us) {
            let largest = largest.entry(group_of(sample)).or_default();
            *largest = sample.id.max(*largest);
        }
        let group = group_of(sample);
        largest.iter().any(|(of, id)| (*of == group) == same && *id > sample.id)
    };
    by_asked.iter().filter(|sample| is_inverted(sample)).count() as u64
}

/// The share of pairs across groups in the right order, by distance: pairs are drawn at random.
fn distances(samples: &[Sample], group_of: impl Fn(&Sample) -> usize) -> Vec<Distance> {
    let mut by_answered: Vec<&Sample> = samples.iter().collect();
    by_answered.sort_unstable_by_key(|sample| sample.answered_us);
    let mut random = Pcg64::seed_from_u64(SEED);
    let of_bucket = |(index, from_us): (usize, &u64)| {
        let to_us = FROM_US.get(index + 1).copied().unwrap_or(u64::MAX);
        let (mut pairs, mut right) = (0, 0);
        for sample in samples {
            // Answered long enough before this one was asked for, but not longer; and never in the
            // same microsecond.
            let early = sample.asked_us.saturating_sub(to_us);
            let late = sample.asked_us.saturating_sub((*from_us).max(1));
            let start = by_answered.partition_point(|other| other.answered_us <= early);
            let end = by_answered.partition_point(|other| other.answered_us <= late);
            for _ in 0..if start < end { PAIRS_PER_ID } else { 0 } {
                let older = by_answered[random.random_range(start..end)];
                if group_of(older) != group_of(sample) {
                    pairs += 1;
                    right += u64::from(older.id < sample.id);
                }
            }
        }
        Distance { from_us: *from_us, pairs, right_share: share(right, pairs) }
    };
    FROM_US.iter().enumerate().map(of_bucket).filter(|distance| distance.pairs > 0).collect()
}

/// The shortest distance from which on nearly all pairs are right.
fn tellable_from(distances: &[Distance]) -> Option<u64> {
    let telling = distances.iter().rev().filter(|distance| distance.pairs >= PAIRS_MIN);
    telling.take_while(|distance| distance.right_share >= SURE_SHARE).last().map(|d| d.from_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(server: usize, asked_us: u64, answered_us: u64, id: u128) -> Sample {
        Sample { agent: server, server, asked_us, answered_us, id }
    }

    #[test]
    fn planted_inversions_are_counted_within_and_across_servers() {
        let samples = [
            sample(0, 0, 10, 100),
            sample(0, 20, 30, 90),   // within
            sample(1, 40, 50, 95),   // across: 100 is surely older
            sample(1, 60, 70, 200),  // none
            sample(2, 65, 80, 150),  // none: 200 was answered later
            sample(2, 90, 100, 160), // across: 200
            sample(2, 95, 105, 155), // across: 200; 160 is not surely older
        ];
        let order = judge(&samples);
        assert_eq!(order.inversions_within_a_server, 1);
        assert_eq!(order.inversions_across_servers, 3);
        assert_eq!((order.ids, order.duplicates), (7, 0));
    }

    #[test]
    fn agents_of_one_server_count_as_across() {
        let one = |agent, asked_us, id| Sample { agent, ..sample(0, asked_us, asked_us + 1, id) };
        let order = judge(&[one(0, 0, 5), one(1, 10, 4), one(1, 20, 3), one(1, 30, 9)]);
        assert_eq!(order.inversions_across_servers, 2);
        assert_eq!(order.inversions_within_a_server, 2);
    }

    #[test]
    fn ids_of_two_servers_a_millisecond_apart_are_told_from_a_millisecond_on() {
        // Each microsecond-stamped ID is its millisecond, then the server, which ties the order.
        let samples: Vec<Sample> = (0..20_000_u64)
            .map(|at| {
                let (server, us) = ((at % 2) as usize, at * 50);
                let id = u128::from(us / 1000) << 20 | (1 - server as u128) << 19 | u128::from(at);
                sample(server, us, us + 1, id)
            })
            .collect();
        let order = judge(&samples);
        assert_eq!(order.tellable_from_us, Some(1_000), "{:?}", order.distances);
        assert_eq!(order.inversions_within_a_server, 0);
        assert!(order.inversions_across_servers > 1_000);
    }

    #[test]
    fn random_ids_are_never_told_and_counted_ones_always() {
        let counted: Vec<Sample> = (0..5_000)
            .map(|at| sample(at % 3, at as u64 * 90, at as u64 * 90 + 1, at as u128))
            .collect();
        assert_eq!(judge(&counted).tellable_from_us, Some(0));
        let mut random = Pcg64::seed_from_u64(1);
        let mixed: Vec<Sample> =
            counted.iter().map(|sample| Sample { id: random.random(), ..*sample }).collect();
        assert_eq!(judge(&mixed).tellable_from_us, None);
    }
}
