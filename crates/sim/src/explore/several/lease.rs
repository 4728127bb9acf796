//! A server's clock, and its lease as its requests look at it: `server/src/cluster/lease.rs` on
//! virtual time.

use std::cell::Cell;

use ticketd_core::cluster::ServerId;
use ticketd_core::time::Instant;
use tokio::sync::Notify;

use super::hub::Hub;
use super::world::Life;

/// The monotonic clock of one life of a server, against the true time of the world.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) origin_us: u64,
    /// Millionths by which it is fast.
    pub(super) speed: i64,
}

impl Clock {
    const MILLION: i128 = 1_000_000;

    /// What it shows at the true time `at`.
    pub(super) fn shows(self, at: u64) -> Instant {
        let passed = i128::from(at) * (Self::MILLION + i128::from(self.speed)) / Self::MILLION;
        Instant::from_micros(self.origin_us + u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// The first true time at which it shows `moment` or later.
    pub(super) fn true_time(self, moment: Instant) -> u64 {
        let passed = i128::from(moment.as_micros().saturating_sub(self.origin_us));
        let rate = Self::MILLION + i128::from(self.speed);
        let at = (passed * Self::MILLION + rate - 1) / rate;
        u64::try_from(at).unwrap_or(u64::MAX)
    }
}

/// Until when a server may answer with IDs of the sequences that it owns.
pub(super) struct Lease {
    id: ServerId,
    life: Life,
    clock: Clock,
    hub: Hub,
    valid_until: Cell<Instant>,
    lapsed: Cell<bool>,
    ended: Cell<bool>,
    changed: Notify,
}

impl Lease {
    pub(super) fn new(id: ServerId, life: Life, clock: Clock, hub: Hub) -> Self {
        Self {
            id,
            life,
            clock,
            hub,
            valid_until: Cell::default(),
            lapsed: Cell::new(true),
            ended: Cell::new(false),
            changed: Notify::const_new(),
        }
    }

    pub(super) const fn id(&self) -> ServerId {
        self.id
    }

    pub(super) fn holds(&self) -> bool {
        let holds = self.clock.shows(self.hub.now()) < self.valid_until.get();
        if !holds {
            self.lapsed.set(true);
        }
        holds
    }

    pub(super) const fn has_lapsed(&self) -> bool {
        self.lapsed.get()
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Waits until it holds or has ended, or until `deadline`. Returns whether it holds.
    pub(super) async fn wait(&self, deadline: Instant) -> bool {
        loop {
            let changed = self.changed.notified();
            if self.holds() {
                return true;
            }
            let late = self.hub.sleep_until(self.clock.true_time(deadline));
            if self.has_ended() || within(late, changed).await.is_none() {
                return false;
            }
        }
    }

    pub(super) fn extend(&self, until: Instant) {
        self.valid_until.set(until);
        self.lapsed.set(false);
        self.hub.world().lease_extended(self.life, self.id, self.clock.true_time(until));
        self.changed.notify_waiters();
    }

    pub(super) fn end(&self) {
        self.ended.set(true);
        self.valid_until.set(Instant::default());
        self.lapsed.set(true);
        self.hub.world().lease_extended(self.life, self.id, 0);
        self.changed.notify_waiters();
    }
}

/// What `future` comes to before `late` does; `None` if that is too early for it.
pub(super) async fn within<T>(
    late: impl Future<Output = ()>,
    future: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        done = future => Some(done),
        () = late => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn true_times_are_the_first_at_which_a_clock_shows_a_moment() {
        for speed in [-10_000, -1, 0, 7, 10_000] {
            let clock = Clock { origin_us: 12_345, speed };
            for at in [0, 1, 99, 1_000_003, 77_777_777_777] {
                let moment = clock.shows(at).plus_micros(5);
                let first = clock.true_time(moment);
                assert!(clock.shows(first) >= moment, "{speed} {at}");
                assert!(clock.shows(first - 1) < moment, "{speed} {at}");
            }
        }
    }
}
