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
    /// What was felt of rounds with two faults at once.
    pub felt_of_two: Felt,
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

/// What was felt of faults, from their beginning until the next one's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Felt {
    /// How many there were. What follows is of those that were alone.
    pub count: u64,
    /// How many were not alone.
    pub with_another: u64,
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

/// What clients felt of `faults`: of those of each kind that were alone, and of two at once.
pub fn felt(calls: &[Call], faults: &[Fault]) -> (BTreeMap<Kind, Felt>, Felt) {
    let mut by_client: BTreeMap<usize, Vec<&Call>> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.ids().is_some()) {
        by_client.entry(call.place.client).or_default().push(call);
    }
    let mut kinds: BTreeMap<Kind, Feeling> = BTreeMap::new();
    let mut of_two = Feeling::default();
    for fault in faults {
        let at_once = |other: &&Fault| {
            other.from_us < fault.felt_until_us && fault.from_us < other.felt_until_us
        };
        let round: Vec<&Fault> = faults.iter().filter(at_once).collect();
        let kind = kinds.entry(fault.kind).or_default();
        kind.felt.count += 1;
        if round.len() > 1 {
            kind.felt.with_another += 1;
            of_two.felt.count += 1;
            of_two.felt.with_another += 1;
            of_two.feel(&by_client, fault, &round);
        } else {
            kind.feel(&by_client, fault, &round);
        }
    }
    (kinds.into_iter().map(|(kind, feeling)| (kind, feeling.sum())).collect(), of_two.sum())
}

/// What is gathered of faults that are summed up together.
#[derive(Default)]
struct Feeling {
    felt: Felt,
    times_us: Vec<u64>,
}

impl Feeling {
    fn feel(&mut self, by_client: &BTreeMap<usize, Vec<&Call>>, fault: &Fault, round: &[&Fault]) {
        let felt = &mut self.felt;
        let hit: BTreeSet<usize> =
            round.iter().flat_map(|fault| fault.hit.iter().copied()).collect();
        for answered in by_client.values() {
            if hit.contains(&answered[0].place.server) {
                felt.hit_us = felt.hit_us.max(back_after(answered, fault));
            } else {
                felt.others_us = felt.others_us.max(Some(longest_wait(answered, fault)));
                let times = during(answered, fault).map(|call| call.end_us - call.start_us);
                self.times_us.extend(times);
            }
        }
    }

    fn sum(self) -> Felt {
        Felt { latency: Latency::of(self.times_us), ..self.felt }
    }
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

/// How long after the end of `fault` a client had an answer, as long as it is not the next fault
/// that is felt.
fn back_after(answered: &[&Call], fault: &Fault) -> Option<u64> {
    let first = answered.partition_point(|call| call.end_us < fault.until_us);
    answered.get(first).map(|call| call.end_us.min(fault.felt_until_us) - fault.until_us)
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
        writeln!(f, "{:26} {HEADINGS}", "faults")?;
        for (kind, felt) in &self.felt {
            writeln!(f, "  {:24} {felt}", kind.name())?;
        }
        if self.felt_of_two.count > 0 {
            writeln!(f, "  {:24} {}", "of two at once", self.felt_of_two)?;
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

/// What the columns of [`Felt`] are.
const HEADINGS: &str = "number (alone)  others waited  hit served after  latency at the others";

impl fmt::Display for Felt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |us: Option<u64>| {
            us.map_or_else(|| "-".to_owned(), |us| format!("{:.3} s", us as f64 / 1e6))
        };
        let alone = format!("({})", self.count - self.with_another);
        let (others, hit) = (shown(self.others_us), shown(self.hit_us));
        write!(f, "{:6} {alone:>7} {others:>14} {hit:>17}", self.count)?;
        if self.latency == Latency::default() {
            return Ok(());
        }
        write!(f, "  {}", self.latency)
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
        let (kinds, of_two) = felt(&calls, std::slice::from_ref(&fault));
        let alone = &kinds[&Kind::KillServer];
        assert_eq!((alone.count, alone.others_us, alone.hit_us), (1, Some(310), Some(300)));
        assert_eq!((alone.latency.p50_us, alone.latency.max_us), (50, 300));
        assert_eq!(of_two, Felt::default());
        let other = Fault { kind: Kind::Slow, hit: vec![1], ..fault.clone() };
        let (kinds, of_two) = felt(&calls, &[fault, other]);
        assert_eq!((kinds[&Kind::Slow].with_another, kinds[&Kind::Slow].hit_us), (1, None));
        assert_eq!((of_two.count, of_two.others_us, of_two.hit_us), (2, None, Some(300)));
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
