//! What a run has shown, in numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use crate::check::Found;
use crate::faults::Kind;
use crate::history::{Answer, Call};
use crate::nemesis::Fault;

/// What a run has shown.
#[derive(Debug)]
pub struct Report {
    /// The engine.
    pub engine: String,
    /// The seed that the faults were drawn from.
    pub seed: u64,
    /// How long the clients were at work, in microseconds.
    pub lasted_us: u64,
    /// Requests, of all clients.
    pub requests: Outcomes,
    /// All answered requests' latencies.
    pub latency: Latency,
    /// Transactions of the engine, of servers that have not been started anew.
    pub commits: u64,
    /// What was felt of the faults of each kind.
    pub felt: BTreeMap<Kind, Felt>,
    /// What is wrong.
    pub found: Found,
    /// Where the calls are that show it.
    pub violations_file: Option<PathBuf>,
}

/// How many requests ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// With IDs.
    pub answered: u64,
    /// How many IDs.
    pub ids: u64,
    /// With a refusal.
    pub refused: u64,
    /// Without an answer.
    pub unknown: u64,
}

/// Of some calls that were answered, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latency {
    /// Half of them took no longer.
    pub p50_us: u64,
    /// 99 of a hundred.
    pub p99_us: u64,
    /// 999 of a thousand.
    pub p999_us: u64,
    /// The slowest.
    pub max_us: u64,
}

/// What was felt of the faults of a kind, from their beginning until the next one's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Felt {
    /// How many there were.
    pub count: u64,
    /// The longest time without an answer of a client at a server that was up and connected; `None`
    /// if there was no such server.
    pub others_us: Option<u64>,
    /// The longest time from their end until a client at a server that was hit had an answer.
    pub hit_us: Option<u64>,
    /// The latency at servers that were up and connected.
    pub latency: Latency,
}

impl Outcomes {
    /// Of these calls.
    pub fn of(calls: &[Call]) -> Self {
        let mut outcomes = Self::default();
        for call in calls {
            match call.answer {
                Answer::Ids { first, last } => {
                    outcomes.ids += last - first + 1;
                    outcomes.answered += u64::from(!call.is_more);
                }
                Answer::Refused => outcomes.refused += 1,
                Answer::Unknown => outcomes.unknown += 1,
            }
        }
        outcomes
    }

    const fn all(self) -> u64 {
        self.answered + self.refused + self.unknown
    }
}

impl Latency {
    /// Of these times.
    pub fn of(mut times_us: Vec<u64>) -> Self {
        times_us.sort_unstable();
        let at = |thousandth: usize| {
            let index = (times_us.len() * thousandth).div_ceil(1000).max(1) - 1;
            times_us.get(index).copied().unwrap_or(0)
        };
        Self { p50_us: at(500), p99_us: at(990), p999_us: at(999), max_us: at(1000) }
    }
}

/// What clients felt of `faults`.
pub fn felt(calls: &[Call], faults: &[Fault]) -> BTreeMap<Kind, Felt> {
    let mut by_client: BTreeMap<usize, Vec<&Call>> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.ids().is_some()) {
        by_client.entry(call.place.client).or_default().push(call);
    }
    let mut all: BTreeMap<Kind, (Felt, Vec<u64>)> = BTreeMap::new();
    for fault in faults {
        let (felt, times) = all.entry(fault.kind).or_default();
        felt.count += 1;
        let at_once = |other: &&Fault| {
            other.from_us < fault.felt_until_us && fault.from_us < other.felt_until_us
        };
        let hit: BTreeSet<usize> =
            faults.iter().filter(at_once).flat_map(|other| other.hit.iter().copied()).collect();
        for answered in by_client.values() {
            if hit.contains(&answered[0].place.server) {
                felt.hit_us = felt.hit_us.max(back_after(answered, fault));
            } else {
                felt.others_us = felt.others_us.max(Some(longest_wait(answered, fault)));
                times.extend(during(answered, fault).map(|call| call.end_us - call.start_us));
            }
        }
    }
    let finish = |(kind, (felt, times))| (kind, Felt { latency: Latency::of(times), ..felt });
    all.into_iter().map(finish).collect()
}

/// The calls of a client that ended while `fault` was felt.
fn during<'a>(answered: &'a [&'a Call], fault: &Fault) -> impl Iterator<Item = &'a Call> {
    let from = answered.partition_point(|call| call.end_us < fault.from_us);
    let until = answered.partition_point(|call| call.end_us <= fault.felt_until_us);
    answered[from..until].iter().copied()
}

/// The longest time between two answers, or an edge of the time in which `fault` was felt.
fn longest_wait(answered: &[&Call], fault: &Fault) -> u64 {
    let mut last = fault.from_us;
    let mut longest = 0;
    for call in during(answered, fault) {
        longest = longest.max(call.end_us - last);
        last = call.end_us;
    }
    longest.max(fault.felt_until_us - last)
}

/// How long after the end of `fault` a client had an answer.
fn back_after(answered: &[&Call], fault: &Fault) -> Option<u64> {
    let first = answered.partition_point(|call| call.end_us < fault.until_us);
    answered.get(first).map(|call| call.end_us - fault.until_us)
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
        let seconds = self.lasted_us as f64 / 1e6;
        let (all, rate) = (self.requests.all(), answered as f64 / seconds);
        writeln!(f, "engine {}, seed {}, {seconds:.1} s", self.engine, self.seed)?;
        writeln!(
            f,
            "requests {all}: {answered} answered with {ids} IDs, {refused} refused, {unknown} \
             unknown; {rate:.0} answers/s"
        )?;
        writeln!(f, "latency {}", self.latency)?;
        writeln!(
            f,
            "{} commits of the engine/s",
            self.commits * 1_000_000 / self.lasted_us.max(1)
        )?;
        writeln!(
            f,
            "faults                    number   others waited   hit served after   latency of the others"
        )?;
        for (kind, felt) in &self.felt {
            let shown = |us: Option<u64>| {
                us.map_or("-".to_owned(), |us| format!("{:.3} s", us as f64 / 1e6))
            };
            writeln!(
                f,
                "  {:24} {:5} {:>15} {:>18}   {}",
                kind.name(),
                felt.count,
                shown(felt.others_us),
                shown(felt.hit_us),
                felt.latency
            )?;
        }
        writeln!(
            f,
            "duplicates {}, order violations {}, answers above the mark {}",
            self.found.duplicates, self.found.disorders, self.found.above_mark
        )?;
        for violation in &self.found.violations {
            writeln!(f, "VIOLATION {violation}")?;
        }
        match &self.violations_file {
            Some(path) => writeln!(f, "what happened around it: {}", path.display()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |us: u64| us as f64 / 1e3;
        let Self { p50_us, p99_us, p999_us, max_us } = *self;
        let [p50, p99, p999, max] = [ms(p50_us), ms(p99_us), ms(p999_us), ms(max_us)];
        write!(f, "p50 {p50:.2} p99 {p99:.1} p99.9 {p999:.1} max {max:.1} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Place;

    fn call(server: usize, start_us: u64, end_us: u64) -> Call {
        Call {
            place: Place { server, client: server, connection: 0 },
            sequence: 0,
            start_us,
            end_us,
            answer: Answer::Ids { first: end_us, last: end_us + 1 },
            is_more: false,
        }
    }

    #[test]
    fn waits_are_told_apart_by_whether_the_server_was_hit() {
        let calls = [
            call(0, 0, 90),
            call(0, 90, 180),
            call(0, 400, 650),
            call(1, 0, 120),
            call(1, 120, 170),
            call(1, 180, 480),
            call(1, 480, 500),
        ];
        let fault = Fault {
            kind: Kind::KillServer,
            what: String::new(),
            from_us: 100,
            until_us: 300,
            felt_until_us: 600,
            hit: vec![0],
            far_ahead: None,
        };
        let felt = felt(&calls, &[fault]);
        let felt = &felt[&Kind::KillServer];
        assert_eq!((felt.count, felt.others_us, felt.hit_us), (1, Some(310), Some(350)));
        assert_eq!((felt.latency.p50_us, felt.latency.max_us), (50, 300));
    }

    #[test]
    fn outcomes_count_requests_and_ids() {
        let more = Call { is_more: true, ..call(0, 0, 5) };
        let refused = Call { answer: Answer::Refused, ..more };
        let outcomes = Outcomes::of(&[call(0, 0, 5), more, refused]);
        assert_eq!(outcomes, Outcomes { answered: 1, ids: 4, refused: 1, unknown: 0 });
        assert_eq!(Latency::of(vec![]).max_us, 0);
        assert_eq!(Latency::of((1..=1000).collect()).p999_us, 999);
    }
}
