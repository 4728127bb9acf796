//! Raises: requests that nothing below a floor be issued any more.

use alloc::vec::Vec;

use super::queue::Raising;
use super::{Action, Allocator, AttemptId, Life, Mutant, Question, Refusal};
use crate::failure::Failure;
use crate::limits::WAITING_MAX;

impl<R> Allocator<R> {
    pub(super) fn raise_asked(&mut self, raising: Raising<R>, out: &mut Vec<Action<R>>) {
        let refusal = match &self.life {
            Life::Broken(failure) => Refusal::Store(failure.clone()),
            Life::Elsewhere(refusal) => refusal.clone(),
            Life::Stopping | Life::Ended => Refusal::Stopping,
            Life::Opening | Life::Serving if self.queue.raises.len() >= WAITING_MAX => {
                Refusal::Overloaded
            }
            Life::Opening | Life::Serving => {
                self.queue.push_raising(raising);
                return;
            }
        };
        out.push(Action::Refuse(raising.request, refusal));
    }

    pub(super) fn raised(&mut self, attempt: AttemptId, mark: u64, out: &mut Vec<Action<R>>) {
        let question = self.answered(attempt);
        let Question::Raise(floor) = question else {
            unreachable!("a raised mark answers a raise, not {question:?}");
        };
        self.succeeded();
        let known = self.holding.mark().max(floor);
        if mark < known {
            self.break_down(Failure::state_lost(mark, known), out);
            return;
        }
        self.holding.raise(mark);
        // Whoever asked may have given up meanwhile; then the next raise is another one.
        if let Some(raising) = self.queue.raises.pop_front_if(|raising| raising.floor == floor) {
            out.push(Action::Acknowledge(raising.request));
        }
        self.settle(out);
    }

    /// Answers the raises that need no store, because the durable mark lies above them already.
    /// Returns the floor of the first that does.
    pub(super) fn raise_by_memory(&mut self, out: &mut Vec<Action<R>>) -> Option<u64> {
        while let Some(raising) = self.queue.raises.front() {
            let (floor, next) = (raising.floor, self.holding.next_id());
            if self.is_mutant(Mutant::RaiseBeforeCommit) && floor > self.holding.mark() {
                let raising = self.queue.raises.pop_front().expect("looked at");
                out.push(Action::Acknowledge(raising.request));
                return Some(floor);
            }
            if floor > self.holding.mark() {
                return Some(floor);
            }
            let raising = self.queue.raises.pop_front().expect("looked at");
            if self.holding.skip_to(floor) {
                out.push(Action::Acknowledge(raising.request));
            } else {
                out.push(Action::Refuse(raising.request, Refusal::Lowering { next }));
            }
            self.refill_due |= self.holding.open(&self.demand);
        }
        None
    }
}
