//! The checker: what must hold of a history, whatever happened meanwhile. It knows nothing of how
//! ticketd works.
//!
//! A request without an answer counts as perhaps issued: nothing follows from it.

mod order;
mod revival;
#[cfg(test)]
mod wrong_histories;

use std::fmt;

use crate::history::{Asked, Call, Promise};

pub use revival::{Revival, revived};

/// A promise that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub kind: Kind,
    /// What has been seen, for people.
    pub what: String,
    /// The calls that show it.
    pub calls: Vec<Call>,
}

/// Which promise does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An ID came twice.
    Duplicate,
    /// An ID is not greater than one that was answered before it was asked for.
    Order,
    /// An answered ID is not below the durable mark.
    AboveMark,
    /// A client, or a sequence at a server, was not served again after the faults.
    NotRevived,
    /// A server did what no server does.
    Server,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.what)
    }
}

/// The first violations of each kind that `calls` of all clients show, and how many there are.
/// Calls of one client must be in the order in which they were made; `marks` are the durable marks
/// of the sequences at the end, where there are some.
pub fn check(calls: &[Call], sequences: &[Asked], marks: &[Option<u64>]) -> Found {
    let mut found = Found::default();
    for (n, sequence) in sequences.iter().enumerate() {
        let answered = |call: &&Call| call.sequence == n && call.ids().is_some();
        let calls: Vec<Call> = calls.iter().filter(answered).copied().collect();
        unique(&calls, sequence, &mut found);
        if let Some(mark) = marks[n] {
            below(mark, &calls, sequence, &mut found);
        }
        match sequence.promise {
            Promise::Strict => order::in_real_time(&calls, sequence, &mut found),
            Promise::Loose => order::per_server(&calls, sequence, &mut found),
            Promise::Unique => {}
        }
        if sequence.promise != Promise::Unique {
            order::per_connection(&calls, sequence, &mut found);
        }
    }
    found
}

/// How many violations of a kind are kept; the others are counted.
const KEPT_MAX: usize = 5;

/// What was found wrong.
#[derive(Debug, Default)]
pub struct Found {
    /// IDs that came twice.
    pub duplicates: u64,
    /// Calls whose IDs are not in order.
    pub disorders: u64,
    /// Calls with IDs at or above the mark.
    pub above_mark: u64,
    /// The first of each kind.
    pub violations: Vec<Violation>,
}

impl Found {
    /// Takes note of a violation.
    pub fn add(&mut self, kind: Kind, what: String, calls: Vec<Call>) {
        if self.violations.iter().filter(|found| found.kind == kind).count() < KEPT_MAX {
            self.violations.push(Violation { kind, what, calls });
        }
    }

    fn disorder(&mut self, what: String, calls: Vec<Call>) {
        self.disorders += 1;
        self.add(Kind::Order, what, calls);
    }
}

/// No ID comes twice.
fn unique(calls: &[Call], sequence: &Asked, found: &mut Found) {
    let mut ranges: Vec<(u64, u64, Call)> = calls
        .iter()
        .filter_map(|call| call.ids().map(|(first, last)| (first, last, *call)))
        .collect();
    ranges.sort_unstable_by_key(|(first, last, _)| (*first, *last));
    // The call that reaches furthest of those before.
    let mut furthest: Option<(u64, Call)> = None;
    for (first, last, call) in ranges {
        if let Some((reaches, before)) = furthest
            && first <= reaches
        {
            let again = reaches.min(last) - first + 1;
            found.duplicates += again;
            let what = format!("{} IDs of {} came twice, from {first} on", again, sequence.name);
            found.add(Kind::Duplicate, what, vec![before, call]);
        }
        if furthest.is_none_or(|(reaches, _)| last > reaches) {
            furthest = Some((last, call));
        }
    }
}

/// All IDs lie below the mark.
fn below(mark: u64, calls: &[Call], sequence: &Asked, found: &mut Found) {
    for call in calls {
        if let Some((_, last)) = call.ids().filter(|(_, last)| *last >= mark) {
            found.above_mark += 1;
            let what = format!("{last} of {} was answered, the mark is {mark}", sequence.name);
            found.add(Kind::AboveMark, what, vec![*call]);
        }
    }
}
