//! Group commit: whether those who were just served are worth a short wait.
//!
//! Where nothing is reserved ahead, clients come back as soon as they are served. If the store were
//! asked at once, it would be asked for those alone who came meanwhile: two halves of the clients
//! would take turns for ever, and each commit serve one half. So the next reservation waits until
//! as many are there as there were, for at most half of what the last one took.

use crate::limits::GATHER_MAX_US;
use crate::time::Instant;

/// Watches one sequence of which nothing is reserved ahead.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    asked_at: Instant,
    /// How many requests there were in all when the last reservation came.
    expected: usize,
    until: Option<Instant>,
}

impl Gathering {
    /// A reservation is asked for.
    pub(super) fn asked(&mut self, now: Instant) {
        self.asked_at = now;
        self.until = None;
    }

    /// A reservation came and served `served` requests; `waiting` are left.
    pub(super) fn served(&mut self, now: Instant, served: usize, waiting: usize) {
        let took = now.micros_since(self.asked_at);
        self.expected = served + waiting;
        self.until = Some(now.plus_micros((took / 2).min(GATHER_MAX_US)));
    }

    /// When the `waiting` requests have waited long enough for others to join them; `None` if they
    /// have.
    pub(super) fn goes_on_until(&self, now: Instant, waiting: usize) -> Option<Instant> {
        self.until.filter(|until| waiting < self.expected && now < *until)
    }
}
