//! What goes wrong with processes, disks and links.

use super::member::Standing;
use super::schedule::Happening;
use super::words::{What, of_operator};
use super::world::{Phase, World};
use crate::explore::stats::Mark;

/// Something that goes wrong now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Crash,
    Stop,
    Pause,
    Cut,
    Full,
    Kill,
}

/// All of them.
const FAULTS: [Fault; 6] =
    [Fault::Crash, Fault::Stop, Fault::Pause, Fault::Cut, Fault::Full, Fault::Kill];

impl World {
    pub(super) fn plan_faults(&mut self) {
        FAULTS.into_iter().for_each(|fault| self.plan_fault(fault));
    }

    fn plan_fault(&mut self, fault: Fault) {
        let every = match fault {
            Fault::Crash => self.faults.crash_every,
            Fault::Stop => self.faults.stop_every,
            Fault::Pause => self.faults.pause_every,
            Fault::Cut => self.faults.cut_every,
            Fault::Full => self.faults.full_every,
            Fault::Kill => self.faults.kill_every,
        };
        if every > 0 {
            let at = self.now + self.draw.between(1, 2 * every);
            self.schedule.plan(at, Happening::Strike(fault));
        }
    }

    pub(super) fn strike(&mut self, fault: Fault) {
        if self.phase != Phase::Faults {
            return;
        }
        let at = self.draw.below(self.members.len() as u64) as usize;
        let operator = self.draw.below(self.operators.len() as u64) as usize;
        match fault {
            Fault::Crash if self.members[at].standing != Standing::Down => {
                self.crash(at, What::Crash);
            }
            Fault::Crash => {}
            Fault::Stop => self.stop(at),
            Fault::Pause => self.pause(at),
            Fault::Cut => {
                self.stats.mark(Mark::LinkCut);
                let lasts = self.draw.magnitude(1_000, 200_000);
                self.cuts[operator][at] = self.now + lasts;
                self.line(of_operator(operator), What::Cut, [at as u64, lasts, 0]);
            }
            Fault::Full => {
                self.members[at].store.full = true;
                let lasts = self.draw.magnitude(500, 100_000);
                self.line(at, What::Full, [lasts, 0, 0]);
                self.schedule.plan(self.now + lasts, Happening::Room(at));
            }
            Fault::Kill => self.kill(operator),
        }
        self.plan_fault(fault);
    }

    fn pause(&mut self, at: usize) {
        let member = &self.members[at];
        if member.standing == Standing::Down || member.paused_until > self.now {
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
