//! What goes wrong with processes, links and the engine.

use super::schedule::Happening;
use super::words::{NOWHERE, What};
use super::world::{ENGINE, Life, Phase, Standing, World};
use crate::explore::fault::Fault;
use crate::explore::stats::Mark;
use crate::explore::trace::ENGINE_NUMBER;

/// A fault that comes now and then by itself, not with a message or an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coming {
    Crash,
    Stop,
    Pause,
    EngineCut,
    PeerCut,
    Away,
    Clock,
}

/// All of them.
const COMING: [Coming; 7] = [
    Coming::Crash,
    Coming::Stop,
    Coming::Pause,
    Coming::EngineCut,
    Coming::PeerCut,
    Coming::Away,
    Coming::Clock,
];

impl World {
    pub(super) fn plan_faults(&mut self) {
        COMING.into_iter().for_each(|fault| self.plan_fault(fault));
    }

    fn plan_fault(&mut self, fault: Coming) {
        let every = match fault {
            Coming::Crash => self.faults.crash_every,
            Coming::Stop => self.faults.stop_every,
            Coming::Pause => self.faults.pause_every,
            Coming::EngineCut => self.faults.engine_cut_every,
            Coming::PeerCut => self.faults.peer_cut_every,
            Coming::Away => self.faults.away_every,
            Coming::Clock => self.faults.clock_every,
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
        let slot = self.draw.below(self.slots.len() as u64) as usize;
        let ttl = self.config.ttl_us;
        match fault {
            Coming::Crash => {
                let is_down = self.slots[slot].standing == Standing::Down;
                if !is_down && self.admits(slot, NOWHERE, Fault::Crash) {
                    self.crash(slot);
                }
            }
            Coming::Stop => {
                if self.serving(slot).is_some() && self.admits(slot, NOWHERE, Fault::Stop) {
                    self.stop(slot);
                }
                // What it holds may be worth nothing any more when it goes on.
                if self.faults.pause_every > 0 && self.draw.chance(800) {
                    let lasts = self.draw.between(ttl, ttl * 3);
                    self.pause(slot, lasts, Fault::Pause);
                }
            }
            Coming::Pause => {
                let lasts = self.draw.magnitude(ttl / 32, ttl * 3);
                self.pause(slot, lasts, Fault::Pause);
            }
            Coming::EngineCut => {
                let lasts = self.draw.magnitude(ttl / 16, ttl * 3);
                self.cut(slot, ENGINE, lasts);
            }
            Coming::PeerCut => {
                let others = self.slots.len() as u64 - 1;
                let other = (slot + 1 + self.draw.below(others) as usize) % self.slots.len();
                let lasts = self.draw.magnitude(ttl / 16, ttl * 3);
                self.cut(slot, other, lasts);
            }
            Coming::Away => {
                let lasts = self.draw.magnitude(ttl / 16, ttl * 3);
                if !self.away && self.admits(NOWHERE, NOWHERE, Fault::Away) {
                    self.go_away(lasts);
                }
            }
            Coming::Clock => self.turn_clock(slot),
        }
        self.plan_fault(fault);
    }

    /// A process ends at once.
    pub(super) fn crash(&mut self, slot: usize) {
        if self.slots[slot].standing == Standing::Down {
            return;
        }
        let life = self.life(slot);
        self.stats.crashes += 1;
        self.stats.mark(Mark::Crash);
        self.line(slot, NOWHERE, What::Crash, [u64::from(life.number), 0, 0]);
        self.down(life, true);
    }

    /// Tells a server to stop.
    pub(super) fn stop(&mut self, slot: usize) {
        let Some(node) = self.serving(slot) else { return };
        let life = node.life;
        self.line(slot, NOWHERE, What::Stop, [u64::from(life.number), 0, 0]);
        self.slots[slot].standing = Standing::Stopping;
        self.spawned.push((life, Box::pin(node.stop())));
    }

    /// A process stands still, by a fault of this kind.
    fn pause(&mut self, slot: usize, lasts: u64, fault: Fault) {
        let is_over = self.slots[slot].standing == Standing::Down || self.slots[slot].paused;
        if is_over || !self.admits(slot, NOWHERE, fault) {
            return;
        }
        self.stats.mark(Mark::Paused);
        self.line(slot, NOWHERE, What::Pause, [lasts, 0, 0]);
        self.slots[slot].paused = true;
        let life = self.life(slot);
        self.schedule.plan(self.now + lasts, Happening::Resume(life));
    }

    pub(super) fn resume(&mut self, life: Life) {
        if self.is_alive(life) && self.slots[life.slot].paused {
            self.line_here(life, What::Resume, [0; 3]);
            self.slots[life.slot].paused = false;
            let mut held = std::mem::take(&mut self.slots[life.slot].held);
            // Who goes on first is anybody's guess.
            if self.draw.chance(500) {
                held.reverse();
            }
            self.resumed.append(&mut held);
        }
    }

    /// Another server has taken over from `life`. If its process stands still, it may go on right
    /// now, which is the worst moment.
    pub(super) fn provoke(&mut self, life: Life) {
        if self.is_alive(life) && self.slots[life.slot].paused && self.draw.chance(700) {
            self.stats.mark(Mark::Provoked);
            let at = self.now + self.draw.between(1, self.config.engine_us.1);
            self.schedule.plan(at, Happening::Resume(life));
        }
    }

    /// Whether a thread of `life` stands still now, and for how long by itself; 0 if its whole
    /// process does.
    pub(super) fn stalls(&mut self, life: Life) -> Option<u64> {
        if !self.draw.chance(self.faults.stall) {
            return None;
        }
        let ttl = self.config.ttl_us;
        if self.draw.chance(400) {
            let lasts = self.draw.magnitude(ttl / 32, ttl * 3);
            self.stats.mark(Mark::PausedWithin);
            self.pause(life.slot, lasts, Fault::Stall);
            return Some(0);
        }
        let lasts = self.draw.magnitude(10, ttl * 2);
        if !self.admits(life.slot, NOWHERE, Fault::Stall) {
            return None;
        }
        self.stats.mark(Mark::Stalled);
        self.line_here(life, What::Stall, [lasts, 0, 0]);
        Some(lasts)
    }

    /// Cuts the link between two places, one way or both.
    fn cut(&mut self, one: usize, other: usize, lasts: u64) {
        let ways = match self.draw.below(3) {
            0 => vec![(one, other)],
            1 => vec![(other, one)],
            _ => vec![(one, other), (other, one)],
        };
        let (mark, fault) = match other {
            ENGINE => (Mark::EngineCut, Fault::EngineCut),
            _ => (Mark::PeerCut, Fault::PeerCut),
        };
        if !self.admits(one, NOWHERE, fault) {
            return;
        }
        self.stats.mark(mark);
        if ways.len() == 1 {
            self.stats.mark(Mark::CutOneWay);
        }
        for (from, to) in ways {
            let link = self.link(from, to);
            let [from, to] = self.ends(link);
            self.line(one, NOWHERE, What::Cut, [from, to, lasts]);
            self.cuts[link] += 1;
            self.schedule.plan(self.now + lasts, Happening::Mend(link));
        }
    }

    pub(super) fn mend(&mut self, link: usize) {
        let [from, to] = self.ends(link);
        self.line(NOWHERE, NOWHERE, What::Mend, [from, to, 0]);
        self.cuts[link] -= 1;
    }

    /// The number of the link from one place to another.
    fn link(&self, from: usize, to: usize) -> usize {
        // The engine comes after the last server.
        let number = |place: usize| place.min(self.slots.len());
        number(from) * (self.slots.len() + 1) + number(to)
    }

    /// The numbers of the places that a link goes from and to.
    fn ends(&self, link: usize) -> [u64; 2] {
        let servers = self.slots.len();
        let end = |place: usize| if place == servers { ENGINE_NUMBER } else { place as u64 };
        [end(link / (servers + 1)), end(link % (servers + 1))]
    }

    pub(super) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.phase == Phase::Faults && self.cuts[self.link(from, to)] > 0
    }

    pub(super) fn is_peer_cut(&self, from: usize, to: usize) -> bool {
        to < self.slots.len() && from < self.slots.len() && self.is_cut(from, to)
    }

    pub(super) fn go_away(&mut self, lasts: u64) {
        if !self.away {
            self.stats.mark(Mark::Away);
            self.line(NOWHERE, NOWHERE, What::Away, [lasts, 0, 0]);
            self.away = true;
            self.schedule.plan(self.now + lasts, Happening::Back);
        }
    }

    pub(super) fn back(&mut self) {
        self.line(NOWHERE, NOWHERE, What::Back, [0; 3]);
        self.away = false;
    }
}
