//! The lease of this server, as the hot path looks at it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ticketd_core::cluster::ServerId;
use ticketd_core::time::Instant;
use tokio::sync::Notify;

use crate::clock::Clock;

/// Until when this server may answer with IDs of the sequences that it owns.
///
/// An ID is taken first, and then the lease is looked at: if it holds at a moment after the ID was
/// taken, nobody else owned the sequence when it was.
#[derive(Debug)]
pub struct Lease {
    id: ServerId,
    clock: Clock,
    /// In microseconds of the clock. It only grows, until it ends as 0.
    valid_until: AtomicU64,
    /// It did not hold when it was last looked at, and was not renewed since. A hint that costs
    /// less than the clock.
    lapsed: AtomicBool,
    ended: AtomicBool,
    changed: Notify,
}

impl Lease {
    pub(crate) const fn new(id: ServerId, clock: Clock) -> Self {
        Self {
            id,
            clock,
            valid_until: AtomicU64::new(0),
            lapsed: AtomicBool::new(true),
            ended: AtomicBool::new(false),
            changed: Notify::const_new(),
        }
    }

    /// Whose it is.
    pub const fn id(&self) -> ServerId {
        self.id
    }

    /// Whether it holds now.
    pub fn holds(&self) -> bool {
        let until = Instant::from_micros(self.valid_until.load(Ordering::SeqCst));
        let holds = self.clock.now() < until;
        if !holds {
            self.lapsed.store(true, Ordering::Relaxed);
        }
        holds
    }

    /// For how long it holds if it is not renewed.
    pub(crate) fn left(&self) -> Duration {
        let until = Instant::from_micros(self.valid_until.load(Ordering::SeqCst));
        Duration::from_micros(until.micros_since(self.clock.now()))
    }

    /// Whether it is not worth while to take anything. It may hold no more all the same.
    pub(crate) fn has_lapsed(&self) -> bool {
        self.lapsed.load(Ordering::Relaxed)
    }

    /// Somebody has ended it, and it will never hold again.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Waits until it holds or has ended, or until `deadline`. Returns whether it holds.
    pub(crate) async fn wait(&self, deadline: Instant) -> bool {
        loop {
            let changed = self.changed.notified();
            if self.holds() {
                return true;
            }
            if self.has_ended() || self.clock.within(deadline, changed).await.is_none() {
                return false;
            }
        }
    }

    pub(crate) fn extend(&self, until: Instant) {
        self.valid_until.store(until.as_micros(), Ordering::SeqCst);
        self.lapsed.store(false, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.valid_until.store(0, Ordering::SeqCst);
        self.lapsed.store(true, Ordering::Relaxed);
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn holds_until_it_is_over_and_again_when_it_is_renewed() {
        let clock = Clock::start();
        let lease = Lease::new(ServerId(1), clock);
        assert!(!lease.holds() && lease.has_lapsed());
        lease.extend(clock.now().plus(Duration::from_secs(3)));
        assert!(lease.holds() && !lease.has_lapsed());
        assert_eq!(lease.left(), Duration::from_secs(3));
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(!lease.holds() && lease.has_lapsed());
        assert!(!lease.wait(clock.now().plus(Duration::from_secs(1))).await);
        lease.extend(clock.now().plus(Duration::from_secs(3)));
        assert!(lease.wait(clock.now()).await);
        lease.end();
        assert!(!lease.holds() && lease.has_ended() && lease.left().is_zero());
        assert!(!lease.wait(clock.now().plus(Duration::from_secs(3600))).await);
    }
}
