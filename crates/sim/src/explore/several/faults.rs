//! What goes wrong with processes, links and the engine.

use super::schedule::Happening;
use super::words::{NOWHERE, What};
use super::world::{ENGINE, Life, Phase, Standing, World};
use crate::explore::stats::Mark;

/// Something that goes wrong now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Crash,
    Stop,
    Pause,
    EngineCut,
    PeerCut,
    Away,
    Clock,
}

/// All of them.
const FAULTS: [Fault; 7] = [
    Fault::Crash,
    Fault::Stop,
    Fault::Pause,
    Fault::EngineCut,
    Fault::PeerCut,
    Fault::Away,
    Fault::Clock,
];

impl World {
    pub(super) fn plan_faults(&mut self) {
        FAULTS.into_iter().for_each(|fault| self.plan_fault(fault));
    }

    fn plan_fault(&mut self, fault: Fault) {
        let every = match fault {
            Fault::Crash => self.faults.crash_every,
            Fault::Stop => self.faults.stop_every,
            Fault::Pause => self.faults.pause_every,
            Fault::EngineCut => self.faults.engine_cut_every,
            Fault::PeerCut => self.faults.peer_cut_every,
            Fault::Away => self.faults.away_every,
            Fault::Clock => self.faults.clock_every,
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
        let slot = self.draw.below(self.slots.len() as u64) as usize;
        let ttl = self.config.ttl_us;
        match fault {
            Fault::Crash => self.crash(slot),
            Fault::Stop => {
                self.stop(slot);
                // What it holds may be worth nothing any more when it goes on.
                if self.faults.pause_every > 0 && self.draw.chance(800) {
                    let lasts = self.draw.between(ttl, ttl * 3);
                    self.pause(slot, lasts);
                }
            }
            Fault::Pause => {
                let lasts = self.draw.magnitude(ttl / 32, ttl * 3);
                self.pause(slot, lasts);
            }
            Fault::EngineCut => {
                let lasts = self.draw.magnitude(ttl / 16, ttl * 3);
                self.cut(slot, ENGINE, lasts);
            }
            Fault::PeerCut => {
                let others = self.slots.len() as u64 - 1;
                let other = (slot + 1 + self.draw.below(others) as usize) % self.slots.len();
                let lasts = self.draw.magnitude(ttl / 16, ttl * 3);
                self.cut(slot, other, lasts);
            }
            Fault::Away => {
                let lasts = self.draw.magnitude(ttl / 16, ttl * 3);
                self.go_away(lasts);
            }
            Fault::Clock => self.turn_clock(slot),
        }
        self.plan_fault(fault);
    }

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

    /// A process stands still.
    pub(super) fn pause(&mut self, slot: usize, lasts: u64) {
        if self.slots[slot].standing == Standing::Down || self.slots[slot].paused {
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
            self.pause(life.slot, lasts);
            return Some(0);
        }
        let lasts = self.draw.magnitude(10, ttl * 2);
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
        let mark = if other == ENGINE { Mark::EngineCut } else { Mark::PeerCut };
        self.stats.mark(mark);
        if ways.len() == 1 {
            self.stats.mark(Mark::CutOneWay);
        }
        for (from, to) in ways {
            let link = self.link(from, to);
            self.line(one, NOWHERE, What::Cut, [link as u64, lasts, 0]);
            self.cuts[link] += 1;
            self.schedule.plan(self.now + lasts, Happening::Mend(link));
        }
    }

    pub(super) fn mend(&mut self, link: usize) {
        self.line(NOWHERE, NOWHERE, What::Mend, [link as u64, 0, 0]);
        self.cuts[link] -= 1;
    }

    /// The number of the link from one place to another.
    fn link(&self, from: usize, to: usize) -> usize {
        // The engine comes after the last server.
        let number = |place: usize| place.min(self.slots.len());
        number(from) * (self.slots.len() + 1) + number(to)
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
