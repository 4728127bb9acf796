//! Those who wait: for IDs, and for raises, each until a deadline.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::count::Count;
use crate::limits::RESERVE_LEN_MAX;
use crate::time::Instant;

/// A request for IDs that found the cursor short.
#[derive(Debug)]
pub(super) struct Waiting<R> {
    pub request: R,
    pub count: Count,
    pub deadline: Instant,
}

/// A request that nothing below `floor` be issued any more.
#[derive(Debug)]
pub(super) struct Raising<R> {
    pub request: R,
    pub floor: u64,
    pub deadline: Instant,
}

/// All who wait for one sequence, in the order in which they came.
#[derive(Debug)]
pub(super) struct Queue<R> {
    pub waiting: VecDeque<Waiting<R>>,
    pub raises: VecDeque<Raising<R>>,
    /// At or before the first deadline of all of them.
    first_deadline: Option<Instant>,
}

impl<R> Queue<R> {
    pub(super) fn new() -> Self {
        Self { waiting: VecDeque::new(), raises: VecDeque::new(), first_deadline: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.raises.is_empty()
    }

    pub(super) fn push_waiting(&mut self, waiting: Waiting<R>) {
        self.await_deadline(waiting.deadline);
        self.waiting.push_back(waiting);
    }

    pub(super) fn push_raising(&mut self, raising: Raising<R>) {
        self.await_deadline(raising.deadline);
        self.raises.push_back(raising);
    }

    fn await_deadline(&mut self, deadline: Instant) {
        self.first_deadline = Some(self.first_deadline.map_or(deadline, |at| at.min(deadline)));
    }

    /// A moment not after the first deadline.
    pub(super) fn first_deadline(&self) -> Option<Instant> {
        if self.is_empty() { None } else { self.first_deadline }
    }

    /// How many IDs are waited for, as far as one reservation may serve them.
    pub(super) fn wanted(&self) -> u64 {
        let counts = self.waiting.iter().map(|waiting| waiting.count.get());
        counts.fold(0, |sum: u64, count| sum.saturating_add(count)).min(RESERVE_LEN_MAX)
    }

    /// Forgets those whom `gone` picks.
    pub(super) fn abandon(&mut self, mut gone: impl FnMut(&R) -> bool) {
        self.waiting.retain(|waiting| !gone(&waiting.request));
        self.raises.retain(|raising| !gone(&raising.request));
    }

    /// Takes out those whose deadline is `now` or before.
    pub(super) fn take_late(&mut self, now: Instant) -> Vec<R> {
        if self.first_deadline().is_none_or(|first| now < first) {
            return Vec::new();
        }
        let mut late = Vec::new();
        for waiting in core::mem::take(&mut self.waiting) {
            if waiting.deadline <= now {
                late.push(waiting.request);
            } else {
                self.waiting.push_back(waiting);
            }
        }
        for raising in core::mem::take(&mut self.raises) {
            if raising.deadline <= now {
                late.push(raising.request);
            } else {
                self.raises.push_back(raising);
            }
        }
        let waiting = self.waiting.iter().map(|waiting| waiting.deadline);
        self.first_deadline = waiting.chain(self.raises.iter().map(|r| r.deadline)).min();
        late
    }

    /// Takes out everybody.
    pub(super) fn take_all(&mut self) -> Vec<R> {
        self.first_deadline = None;
        let waiting = self.waiting.drain(..).map(|waiting| waiting.request);
        waiting.chain(self.raises.drain(..).map(|raising| raising.request)).collect()
    }
}
