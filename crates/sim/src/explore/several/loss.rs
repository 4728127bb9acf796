//! The engine falls back, and what the operator does about it.
//!
//! An engine is restored from a backup, or a standby that is behind takes over: then it knows
//! nothing of what was committed after its image. Servers that have seen more notice it. The
//! operator starts all servers afresh, and then raises every sequence above what anybody saw; or,
//! where servers remember beyond their end what they have seen and do not start on less, he repairs
//! what the engine holds while they are stopped. After that all is as if nothing had happened. What
//! is asked of the world in between is told in `check/loss.rs`.

use std::sync::{Arc, Mutex, PoisonError};

use ticketd_core::block::Block;
use ticketd_core::cluster::Shared;
use ticketd_core::snowflake::layout::Parts;
use ticketd_store::engine::{Engine, Key, MemoryEngine, Outcome};
use ticketd_store::{Repair, Seen, Witness};

use super::check::Image;
use super::engine::{Op, Sent, Value, at_once, ready};
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
    /// Servers remember what they have seen of the engine, and the operator repairs it while they
    /// are stopped; otherwise he raises all when they have been started afresh.
    witnessed: bool,
    at_us: u64,
    age_us: u64,
}

impl Loss {
    pub(super) fn draw(draw: &mut Draw, ttl_us: u64) -> Self {
        let kind = match draw.below(8) {
            0..4 => Kind::Steady,
            4 => Kind::Failover,
            5..7 => Kind::Stale,
            _ => Kind::Restore,
        };
        let at_us = draw.magnitude(4 * ttl_us, 14 * ttl_us);
        let age_us = match kind {
            Kind::Restore => draw.between(ttl_us / 2, 3 * ttl_us),
            Kind::Steady | Kind::Failover | Kind::Stale => draw.magnitude(1_000, 2 * ttl_us),
        };
        let witnessed = matches!(kind, Kind::Stale | Kind::Restore) && draw.chance(500);
        Self { kind, witnessed, at_us, age_us }
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
    /// The operator stops all servers, to repair what the engine holds; none starts meanwhile.
    stops: bool,
    /// He has.
    repaired: bool,
    /// How often he has repaired, and how often he has looked since and no server served.
    repairs: u32,
    waits: u32,
}

/// How often the operator looks for a server that serves before he repairs once more.
const WAITS_MAX: u32 = 3;

/// Where one server remembers what it has seen, over all of its lives.
pub(super) type Kept = Arc<Mutex<Seen>>;

/// The same as one life of it reads and writes it.
pub(super) struct WorldWitness {
    before: Seen,
    kept: Kept,
}

impl WorldWitness {
    pub(super) fn new(kept: Kept) -> Self {
        Self { before: copy(&kept), kept }
    }
}

impl Witness for WorldWitness {
    fn seen(&self) -> &Seen {
        &self.before
    }

    fn saw(&self, key: Key, value: String) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(key, value);
    }
}

fn forget(kept: &Kept) {
    kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

fn copy(kept: &Kept) -> Seen {
    kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl World {
    pub(super) fn plan_loss(&mut self) {
        let Loss { kind, at_us, age_us, .. } = self.config.loss;
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
        self.fallen =
            Some(Fallen { lives, low, stops: false, repaired: false, repairs: 0, waits: 0 });
        let pause = self.draw.magnitude(self.config.ttl_us / 4, 4 * self.config.ttl_us);
        self.schedule.plan(self.now + pause, Happening::Operate);
    }

    /// Whether `life` knows that the engine is another one now.
    pub(super) fn is_foreign(&self, life: Life) -> bool {
        self.config.loss.kind == Kind::Restore && self.slots[life.slot].era != self.era
    }

    /// The operator goes on.
    pub(super) fn operate(&mut self) {
        let Some(fallen) = &self.fallen else { return };
        if self.config.loss.witnessed && !fallen.repaired {
            self.stop_and_repair();
        } else {
            self.start_and_raise();
            self.see_who_serves();
        }
        let pause = self.config.ttl_us / 2;
        self.schedule.plan(self.now + pause, Happening::Operate);
    }

    /// Starts all servers afresh, then raises everything.
    fn start_and_raise(&mut self) {
        let Some(Fallen { lives, low, .. }) = &self.fallen else { return };
        let (lives, low) = (lives.clone(), low.clone());
        let old = lives.into_iter().filter(|life| self.is_alive(*life));
        let old: Vec<Life> = old.collect();
        for life in &old {
            self.start_afresh(*life);
        }
        if old.is_empty() {
            low.into_iter().for_each(|sequence| self.raise_after_loss(sequence));
        }
    }

    /// Where no server starts the repair has left out what they remember.
    fn see_who_serves(&mut self) {
        let nobody = self.slots.iter().all(|slot| slot.standing != Standing::Up);
        let Some(fallen) = &mut self.fallen else { return };
        fallen.waits = if nobody { fallen.waits + 1 } else { 0 };
        if fallen.waits > WAITS_MAX {
            fallen.waits = 0;
            fallen.repaired = false;
        }
    }

    /// Stops all servers, then puts everything that counts above what was issued.
    fn stop_and_repair(&mut self) {
        if let Some(fallen) = &mut self.fallen {
            fallen.stops = true;
        }
        let lives: Vec<Life> = (0..self.slots.len()).map(|slot| self.life(slot)).collect();
        let alive: Vec<Life> = lives.into_iter().filter(|life| self.is_alive(*life)).collect();
        for life in &alive {
            self.start_afresh(*life);
        }
        if alive.is_empty() {
            self.repair();
        }
    }

    /// No server may start now.
    pub(super) fn is_kept_down(&self) -> bool {
        self.fallen.as_ref().is_some_and(|fallen| fallen.stops)
    }

    /// The real repair, with the witnesses of some servers, and if that was too few, of all.
    fn repair(&mut self) {
        let witnesses: Vec<Seen> = self.slots.iter().map(|slot| copy(&slot.witness)).collect();
        let is_first = self.fallen.as_ref().is_some_and(|fallen| fallen.repairs == 0);
        let given = witnesses.into_iter().filter(|_| !is_first || self.draw.chance(700));
        let given: Vec<Seen> = given.collect();
        let sequences = 0..self.config.sequences.len();
        // The operator knows what was issued from elsewhere.
        let mark = |n: usize| self.checks.image(n).map_or(1, |image| image.record.mark);
        let short = |n: usize| self.checks.latest(n).saturating_sub(mark(n));
        let counts = sequences.clone().filter(|n| !self.is_flake(*n));
        let by = counts.map(short).max().unwrap_or(0) + self.draw.magnitude(1, 1_000);
        let cluster = self.draw.below(u64::MAX);
        if !self.apply_repair(by, cluster, &given) {
            // An engine that was empty for a while got another name, and is not of these servers.
            self.slots.iter().for_each(|slot| forget(&slot.witness));
            assert!(self.apply_repair(by, cluster, &[]), "nothing is in the way of a repair");
        }
        self.stats.mark(Mark::Repaired);
        for sequence in sequences {
            self.note_repaired(sequence);
        }
        if let Some(fallen) = &mut self.fallen {
            (fallen.stops, fallen.repaired) = (false, true);
            fallen.repairs += 1;
        }
        self.end_if_raised();
    }

    fn apply_repair(&self, by: u64, cluster: u64, given: &[Seen]) -> bool {
        let repair = Repair::new(by, given).expect("the world's witnesses are whole");
        let memory = &self.memory;
        ready(Box::pin(async move {
            repair.begin(memory, cluster).await?;
            repair.end(memory, |_| {}).await
        }))
        .is_ok()
    }

    fn note_repaired(&mut self, sequence: usize) {
        let keys = [Key::new(format!("sequence/{}", self.names[sequence]))];
        let entry = at_once(self.memory.read(&keys)).swap_remove(0);
        // What nobody knows is made again when it is raised.
        let Some(entry) = entry else { return };
        let after = Shared::from_text(&self.names[sequence], &entry.value);
        let after = after.expect("a repair leaves a record");
        self.line(NOWHERE, sequence, What::Repaired, [after.record.mark, after.turn >> 32, 0]);
        self.checks.repaired(sequence, after);
        // Ticks are raised by hand, to where the clocks are.
        if !self.is_flake(sequence)
            && let Some(fallen) = &mut self.fallen
        {
            fallen.low.retain(|low| *low != sequence);
        }
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
            world.raised_after_loss(sequence, to, raised.is_ok() || is_over, is_over);
        };
        self.spawned.push((life, Box::pin(job)));
    }

    fn raised_after_loss(&mut self, sequence: usize, to: u64, raised: bool, is_over: bool) {
        let Some(fallen) = &mut self.fallen else { return };
        if !raised || !fallen.low.contains(&sequence) {
            return;
        }
        if is_over && self.config.loss.witnessed && fallen.repairs == 1 {
            // It cannot be raised to what servers remember, but for a repair with all witnesses.
            fallen.repaired = false;
            return;
        }
        fallen.low.retain(|low| *low != sequence);
        self.stats.mark(Mark::RaisedAfterLoss);
        self.line(NOWHERE, sequence, What::RaisedAfterLoss, [to, 0, 0]);
        self.end_if_raised();
    }

    fn end_if_raised(&mut self) {
        if self.fallen.as_ref().is_some_and(|fallen| fallen.low.is_empty()) {
            self.fallen = None;
            self.checks.stands_again();
        }
    }

    /// The witness of a server that starts, if it has one.
    pub(super) fn witness(&self, life: Life) -> Option<Box<dyn Witness>> {
        let kept = || Arc::clone(&self.slots[life.slot].witness);
        self.config.loss.witnessed.then(|| Box::new(WorldWitness::new(kept())) as Box<dyn Witness>)
    }

    /// A server serves: what it remembered, the engine has.
    pub(super) fn check_witness(&mut self, life: Life) {
        // The engine may have fallen since it was asked.
        if self.config.loss.witnessed && self.slots[life.slot].era == self.era {
            self.checks.starts(life);
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
