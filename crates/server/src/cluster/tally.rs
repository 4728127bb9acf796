//! What happens among several servers, counted for the metrics: once for each batch that is
//! forwarded, and never where a server issues from memory.

use std::sync::atomic::{AtomicU64, Ordering};

use super::peer::{Told, Unanswered};
use crate::error::ErrorKind;

/// What became of a batch of requests that one server sent to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered.
    Answered,
    /// The owner refused it.
    Refused,
    /// Another server owns the sequence.
    Moved,
    /// There was no answer, or not in time: it is asked again.
    Failed,
}

impl Outcome {
    /// Every outcome, in the order of their numbers.
    pub(crate) const ALL: [Self; 4] = [Self::Answered, Self::Refused, Self::Moved, Self::Failed];

    /// As it is called in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Moved => "moved",
            Self::Failed => "failed",
        }
    }

    /// What an answer is, for who asked and for who was asked.
    pub(crate) fn of(answer: Result<&Told, &Unanswered>) -> Self {
        match answer {
            Ok(Told::Ids { .. } | Told::Raised(_)) => Self::Answered,
            Ok(Told::OwnedBy(_)) => Self::Moved,
            // It had less time than those who wait have.
            Ok(Told::Refused { kind, .. }) if kind == ErrorKind::Unavailable.as_str() => {
                Self::Failed
            }
            Ok(Told::Refused { .. }) | Err(Unanswered::OtherVersion(_)) => Self::Refused,
            Err(_) => Self::Failed,
        }
    }
}

/// A number for each outcome.
pub(crate) type ByOutcome = [u64; Outcome::ALL.len()];

/// The counters of this server as one of several, since it started.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    batches: [AtomicU64; Outcome::ALL.len()],
    requests: [AtomicU64; Outcome::ALL.len()],
    received: [AtomicU64; Outcome::ALL.len()],
    renewals_failed: AtomicU64,
    own_ended: AtomicU64,
    others_ended: AtomicU64,
}

impl Tally {
    /// A batch of `requests` was sent to another server.
    pub(crate) fn sent(&self, requests: usize, outcome: Outcome) {
        self.batches[outcome as usize].fetch_add(1, Ordering::Relaxed);
        self.requests[outcome as usize].fetch_add(requests as u64, Ordering::Relaxed);
    }

    /// A batch came from another server.
    pub(crate) fn received(&self, outcome: Outcome) {
        self.received[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The lease was perhaps not renewed.
    pub(crate) fn renewal_failed(&self) {
        self.renewals_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Another server has ended the lease of this one.
    pub(crate) fn own_ended(&self) {
        self.own_ended.fetch_add(1, Ordering::Relaxed);
    }

    /// This server has ended the lease of another.
    pub(crate) fn other_ended(&self) {
        self.others_ended.fetch_add(1, Ordering::Relaxed);
    }

    /// All of them at one moment.
    pub(crate) fn read(&self) -> Counted {
        let each = |counters: &[AtomicU64; Outcome::ALL.len()]| {
            Outcome::ALL.map(|outcome| counters[outcome as usize].load(Ordering::Relaxed))
        };
        Counted {
            batches: each(&self.batches),
            requests: each(&self.requests),
            received: each(&self.received),
            renewals_failed: self.renewals_failed.load(Ordering::Relaxed),
            own_ended: self.own_ended.load(Ordering::Relaxed),
            others_ended: self.others_ended.load(Ordering::Relaxed),
        }
    }
}

/// What a [`Tally`] had counted at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    /// Batches sent to other servers.
    pub(crate) batches: ByOutcome,
    /// Requests in them; one that is asked again counts again.
    pub(crate) requests: ByOutcome,
    /// Batches that came from other servers.
    pub(crate) received: ByOutcome,
    /// Renewals of the own lease that failed.
    pub(crate) renewals_failed: u64,
    /// Ends of the own lease against this server's will.
    pub(crate) own_ended: u64,
    /// Leases of others that this server has ended.
    pub(crate) others_ended: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_its_outcome_and_every_outcome_its_counter() {
        let refused = |kind: ErrorKind| Told::Refused {
            kind: kind.as_str().to_owned(),
            message: String::new(),
        };
        let answers = [
            Told::Ids { first: 1, step: 1, count: 1 },
            Told::Raised(None),
            refused(ErrorKind::Exhausted),
            Told::OwnedBy(String::new()),
            refused(ErrorKind::Unavailable),
        ];
        let tally = Tally::default();
        for (n, told) in answers.iter().enumerate() {
            tally.sent(10 + n, Outcome::of(Ok(told)));
            tally.received(Outcome::of(Ok(told)));
        }
        tally.sent(7, Outcome::of(Err(&Unanswered::Late)));
        let counted = tally.read();
        assert_eq!(counted.batches, [2, 1, 1, 2]);
        assert_eq!(counted.requests, [21, 12, 13, 21]);
        assert_eq!(counted.received, [2, 1, 1, 1]);
    }
}
