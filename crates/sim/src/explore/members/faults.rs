//! What goes wrong with processes, disks and links.

use super::member::Standing;
use super::schedule::Happening;
use super::words::{What, of_operator};
use super::world::{Phase, World};
use crate::explore::fault::Fault;
use crate::explore::stats::Mark;

/// A fault that comes now and then by itself, not with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coming {
    Crash,
    Stop,
    Pause,
    Cut,
    Full,
    Kill,
}

/// All of them.
const COMING: [Coming; 6] =
    [Coming::Crash, Coming::Stop, Coming::Pause, Coming::Cut, Coming::Full, Coming::Kill];

impl World {
    pub(super) fn plan_faults(&mut self) {
        COMING.into_iter().for_each(|fault| self.plan_fault(fault));
    }

    fn plan_fault(&mut self, fault: Coming) {
        let every = match fault {
            Coming::Crash => self.faults.crash_every,
            Coming::Stop => self.faults.stop_every,
            Coming::Pause => self.faults.pause_every,
            Coming::Cut => self.faults.cut_every,
            Coming::Full => self.faults.full_every,
            Coming::Kill => self.faults.kill_every,
        };
        if every > 0 {
            let at = self.now + self.draw.between(1, 2 * every);
            self.schedule.plan(at, Happening::Strike(fault));
        }
    }

    pub(super) fn strike(&mut self, fault: Coming) {
        if self.phase != Phase::Faults {
            return;
        }
        let at = self.draw.below(self.members.len() as u64) as usize;
        let operator = self.draw.below(self.operators.len() as u64) as usize;
        match fault {
            Coming::Crash => {
                if self.members[at].standing != Standing::Down && self.admits(at, Fault::Crash) {
                    self.crash(at, What::Crash);
                }
            }
            Coming::Stop => {
                if self.members[at].standing == Standing::Up && self.admits(at, Fault::Stop) {
                    self.stop(at);
                }
            }
            Coming::Pause => self.pause(at),
            Coming::Cut => self.cut(operator, at),
            Coming::Full => self.fill(at),
            Coming::Kill => self.kill(operator),
        }
        self.plan_fault(fault);
    }

    fn cut(&mut self, operator: usize, at: usize) {
        let lasts = self.draw.magnitude(1_000, 200_000);
        if self.admits(of_operator(operator), Fault::LinkCut) {
            self.stats.mark(Mark::LinkCut);
            self.cuts[operator][at] = self.now + lasts;
            self.line(of_operator(operator), What::Cut, [at as u64, lasts, 0]);
        }
    }

    fn fill(&mut self, at: usize) {
        let lasts = self.draw.magnitude(500, 100_000);
        if self.admits(at, Fault::Full) {
            self.members[at].store.full = true;
            self.line(at, What::Full, [lasts, 0, 0]);
            self.schedule.plan(self.now + lasts, Happening::Room(at));
        }
    }

    fn pause(&mut self, at: usize) {
        let member = &self.members[at];
        let is_over = member.standing == Standing::Down || member.paused_until > self.now;
        if is_over || !self.admits(at, Fault::Pause) {
            return;
        }
        self.stats.mark(Mark::Paused);
        let lasts = self.draw.magnitude(500, 200_000);
        self.line(at, What::Pause, [lasts, 0, 0]);
        self.members[at].paused_until = self.now + lasts;
    }

    pub(super) fn room(&mut self, at: usize) {
        self.members[at].store.full = false;
    }

    /// Nothing goes wrong any more. Who stands still goes on in time.
    pub(super) fn mend_all(&mut self) {
        self.members.iter_mut().for_each(|member| member.store.full = false);
        self.cuts.iter_mut().for_each(|links| links.fill(0));
    }
}
