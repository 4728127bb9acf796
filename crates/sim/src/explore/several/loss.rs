//! The engine falls back, and what the operator does about it.
//!
//! An engine is restored from a backup, or a standby that is behind takes over: then it knows
//! nothing of what was committed after its image. Servers that have seen more notice it. The
//! operator starts all servers afresh, and then raises every sequence above what anybody saw: after
//! that all is as if nothing had happened. What is asked of the world in between is told in
//! `check/loss.rs`.

use ticketd_core::block::Block;
use ticketd_core::cluster::Shared;
use ticketd_core::snowflake::layout::Parts;
use ticketd_store::engine::{Key, MemoryEngine, Outcome};

use super::check::Image;
use super::engine::{Op, Sent, Value};
use super::schedule::Happening;
use super::service::Refused;
use super::words::{NOWHERE, What};
use super::world::{Life, Standing, World};
use crate::explore::fault::Fault;
use crate::explore::random::Draw;
use crate::explore::stats::Mark;

/// What an engine loses when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing happens to it.
    Steady,
    /// A synchronous standby takes over: nothing is lost but calls on their way.
    Failover,
    /// A standby takes over that was behind. Nobody is told.
    Stale,
    /// A backup is restored, as another cluster: its clients notice that at once.
    Restore,
}

/// When that is, and how old the image is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loss {
    pub(super) kind: Kind,
    at_us: u64,
    age_us: u64,
}

impl Loss {
    pub(super) fn draw(draw: &mut Draw, ttl_us: u64) -> Self {
        let kind = match draw.below(8) {
            0..5 => Kind::Steady,
            5 => Kind::Failover,
            6 => Kind::Stale,
            _ => Kind::Restore,
        };
        let at_us = draw.magnitude(4 * ttl_us, 14 * ttl_us);
        let age_us = match kind {
            Kind::Restore => draw.between(ttl_us / 2, 3 * ttl_us),
            Kind::Steady | Kind::Failover | Kind::Stale => draw.magnitude(1_000, 2 * ttl_us),
        };
        Self { kind, at_us, age_us }
    }

    /// Whether commits can be lost.
    pub(super) const fn loses(self) -> bool {
        matches!(self.kind, Kind::Stale | Kind::Restore)
    }
}

/// What a backup, or a standby, holds.
pub(super) struct Backup {
    memory: MemoryEngine,
    images: Vec<Image>,
}

/// The engine has lost something, and not everything is right again.
#[derive(Debug)]
pub(super) struct Fallen {
    /// The lives of all servers at that moment.
    lives: Vec<Life>,
    /// Sequences that are still to be raised.
    low: Vec<usize>,
}

impl World {
    pub(super) fn plan_loss(&mut self) {
        let Loss { kind, at_us, age_us } = self.config.loss;
        if kind != Kind::Steady {
            self.schedule.plan(at_us, Happening::Fall);
            self.schedule.plan(at_us - age_us, Happening::Backup);
        }
    }

    pub(super) fn back_up(&mut self) {
        if self.config.loss.loses() {
            let images = self.checks.images();
            self.backup = Some(Backup { memory: self.memory.copy(), images });
        }
    }

    /// The engine fails. What was on its way there never arrives.
    pub(super) fn fall(&mut self) {
        if !self.has_faults() || !self.admits(NOWHERE, NOWHERE, Fault::FallsBack) {
            return;
        }
        self.era += 1;
        let backup = self.backup.take();
        self.line(NOWHERE, NOWHERE, What::Fall, [u64::from(backup.is_some()), 0, 0]);
        let lasts = self.draw.magnitude(self.config.ttl_us / 16, self.config.ttl_us);
        self.go_away(lasts);
        let Some(Backup { memory, images }) = backup else {
            return self.stats.mark(Mark::FailedOver);
        };
        self.stats.mark(match self.config.loss.kind {
            Kind::Restore => Mark::Restored,
            Kind::Steady | Kind::Failover | Kind::Stale => Mark::FellBack,
        });
        memory.take_over(&self.memory);
        self.memory = memory;
        self.checks.fall(&images);
        let lives = (0..self.slots.len()).map(|slot| self.life(slot)).collect();
        let low = (0..self.config.sequences.len()).collect();
        self.fallen = Some(Fallen { lives, low });
        let pause = self.draw.magnitude(self.config.ttl_us / 4, 4 * self.config.ttl_us);
        self.schedule.plan(self.now + pause, Happening::Operate);
    }

    /// Whether `life` knows that the engine is another one now.
    pub(super) fn is_foreign(&self, life: Life) -> bool {
        self.config.loss.kind == Kind::Restore && self.slots[life.slot].era != self.era
    }

    /// The operator goes on: starts all servers afresh, then raises everything.
    pub(super) fn operate(&mut self) {
        let Some(Fallen { lives, low }) = &self.fallen else { return };
        let (lives, low) = (lives.clone(), low.clone());
        let old = lives.into_iter().filter(|life| self.is_alive(*life));
        let old: Vec<Life> = old.collect();
        for life in &old {
            self.start_afresh(*life);
        }
        if old.is_empty() {
            low.into_iter().for_each(|sequence| self.raise_after_loss(sequence));
        }
        let pause = self.config.ttl_us / 2;
        self.schedule.plan(self.now + pause, Happening::Operate);
    }

    fn start_afresh(&mut self, life: Life) {
        let serves = self.slots[life.slot].standing == Standing::Up;
        if serves && !self.slots[life.slot].paused && self.draw.chance(600) {
            self.stop(life.slot);
        } else {
            self.crash(life.slot);
        }
    }

    /// Raises a sequence on some server, above all that anybody saw.
    fn raise_after_loss(&mut self, sequence: usize) {
        let slot = self.draw.below(self.slots.len() as u64) as usize;
        let Some(node) = self.serving(slot) else { return };
        let by = self.draw.magnitude(1, 1_000);
        let latest = self.checks.latest(sequence);
        let to = match self.checks.layout(sequence) {
            Some(layout) => {
                let tick = latest.min(layout.ticks() - 1);
                layout.compose(Parts { tick, worker: 0, counter: 0 }).max(1)
            }
            None => latest + by,
        };
        let (life, timeout) = (node.life, self.config.request_timeout_us);
        let job = async move {
            let raised = node.raise(sequence, to, timeout).await;
            let mut world = node.hub.world();
            // A sequence whose ticks have run out is above already.
            let is_over = matches!(raised, Err(Refused::Lowering)) && world.has_run_out(sequence);
            world.raised_after_loss(sequence, to, raised.is_ok() || is_over);
        };
        self.spawned.push((life, Box::pin(job)));
    }

    fn raised_after_loss(&mut self, sequence: usize, to: u64, raised: bool) {
        let Some(fallen) = &mut self.fallen else { return };
        if !raised || !fallen.low.contains(&sequence) {
            return;
        }
        fallen.low.retain(|low| *low != sequence);
        let is_over = fallen.low.is_empty();
        self.stats.mark(Mark::RaisedAfterLoss);
        self.line(NOWHERE, sequence, What::RaisedAfterLoss, [to, 0, 0]);
        if is_over {
            self.fallen = None;
            self.checks.stands_again();
        }
    }

    // What servers see.

    /// A server hears the answer of a call.
    pub(super) fn heard(&mut self, id: usize, value: &Value) {
        if !self.config.loss.loses() {
            return;
        }
        let Sent { life, op, .. } = &self.calls[id];
        let life = *life;
        let entries: Vec<(Key, String)> = match (op, value) {
            (_, Value::Read(entries)) => {
                let entries = entries.iter().flatten();
                entries.map(|entry| (entry.key.clone(), entry.value.clone())).collect()
            }
            (Op::Commit(change), Value::Commit(Outcome::Applied(_))) => change.put.clone(),
            _ => Vec::new(),
        };
        for (key, value) in entries {
            self.saw(life, key.as_str(), &value);
        }
    }

    fn saw(&mut self, life: Life, key: &str, value: &str) {
        let Some(name) = key.strip_prefix("sequence/") else { return };
        let sequence = self.names.iter().position(|known| known.as_str() == name);
        if let Some(sequence) = sequence
            && let Ok(state) = Shared::from_text(&self.names[sequence], value)
        {
            self.checks.saw(life, sequence, (state.turn, state.record.mark));
        }
    }

    /// The owner of a sequence hears that `block` is reserved for it.
    pub(super) fn told_block(&mut self, life: Life, sequence: usize, block: Block) {
        if self.config.loss.loses() {
            self.checks.told_block(life, sequence, block);
        }
    }
}
