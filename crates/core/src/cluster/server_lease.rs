//! How long a server may issue from the sequences that it owns.

use crate::backoff::pause_us;
use crate::cluster::drift_us;
use crate::time::Instant;

/// A lease is renewed when this part of it has passed, so that two attempts may fail.
const RENEWALS: u64 = 3;

/// The lease of this server, as it counts it: always shorter than others do.
///
/// A renewal counts from when it was asked for, since it may have been applied right then; others
/// count from when they first saw it, which is later.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerLease {
    ttl_us: u64,
    valid_until: Instant,
    asked_at: Option<Instant>,
    due: Instant,
    failures_in_row: u32,
    ended: bool,
}

impl ServerLease {
    /// A lease of `ttl_us` microseconds that has not been had yet. It is due at once.
    pub const fn new(ttl_us: u64) -> Self {
        Self {
            ttl_us,
            valid_until: Instant::from_micros(0),
            asked_at: None,
            due: Instant::from_micros(0),
            failures_in_row: 0,
            ended: false,
        }
    }

    /// When to ask the engine next.
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// Before this moment the server may answer with IDs of sequences that it owns.
    pub const fn valid_until(&self) -> Instant {
        self.valid_until
    }

    /// Somebody has ended it, or it was given up: the server takes a new ID.
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    /// The engine is asked at `now`, before anything is sent.
    pub fn asking(&mut self, now: Instant) {
        self.asked_at = Some(now);
    }

    /// It is renewed, durably.
    pub fn renewed(&mut self) {
        let asked_at = self.asked_at.take().expect("an answer follows a question");
        self.failures_in_row = 0;
        self.due = asked_at.plus_micros(self.ttl_us / RENEWALS);
        let lasts = self.ttl_us - drift_us(self.ttl_us);
        // One that was renewed by an attempt which was thought to have failed is no longer for it.
        self.valid_until = self.valid_until.max(asked_at.plus_micros(lasts));
    }

    /// It was perhaps not renewed; it is as valid as before.
    pub fn failed(&mut self, now: Instant) {
        self.asked_at = None;
        self.failures_in_row = self.failures_in_row.saturating_add(1);
        let pause = pause_us(self.failures_in_row).min(self.ttl_us / (2 * RENEWALS));
        self.due = now.plus_micros(pause);
    }

    /// Its entry is gone: it has ended.
    pub fn ended(&mut self) {
        self.asked_at = None;
        self.ended = true;
        self.valid_until = Instant::from_micros(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    #[test]
    fn counts_from_when_it_was_asked_for_and_less_the_drift() {
        let mut lease = ServerLease::new(5_000_000);
        assert_eq!((lease.due(), lease.valid_until()), (at(0), at(0)));
        lease.asking(at(1000));
        assert_eq!(lease.valid_until(), at(0), "not before the engine has said so");
        lease.renewed();
        assert_eq!(lease.valid_until(), at(1000 + 4900));
        assert_eq!(lease.due().as_micros(), 1_000_000 + 5_000_000 / 3);
    }

    #[test]
    fn a_failure_neither_shortens_nor_lengthens_it_and_is_tried_again_soon() {
        let mut lease = ServerLease::new(3_000_000);
        lease.asking(at(0));
        lease.renewed();
        for n in 0..10 {
            lease.asking(at(1000 + n));
            lease.failed(at(1500 + n));
            let pause = lease.due().micros_since(at(1500 + n));
            assert!((10_000..=500_000).contains(&pause), "{pause}");
        }
        assert_eq!(lease.valid_until(), at(2940));
        lease.asking(at(4000));
        lease.renewed();
        assert_eq!(lease.valid_until(), at(6940), "nobody has ended it meanwhile");
    }

    #[test]
    fn one_that_ended_is_over_at_once() {
        let mut lease = ServerLease::new(3_000_000);
        lease.asking(at(10));
        lease.renewed();
        lease.asking(at(1000));
        lease.ended();
        assert!(lease.has_ended());
        assert_eq!(lease.valid_until(), at(0));
    }
}
