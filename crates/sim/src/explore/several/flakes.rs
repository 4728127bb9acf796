//! Snowflake sequences as a world draws them and sees them: layouts, wall clocks, leases.

use ticketd_core::cluster::Shared;
use ticketd_core::definition::{Definition, Kind};
use ticketd_core::ids::Range;
use ticketd_core::snowflake::layout::{Layout, Parts};
use ticketd_core::snowflake::lease::{LeaseAsk, Worker};
use ticketd_core::snowflake::{CounterStart, Snowflake};
use ticketd_core::time::UnixMillis;
use ticketd_store::engine::{Change, Engine, Key, Version};

use super::check::Moment;
use super::config::MS;
use super::engine::at_once;
use super::flake::FlakeSettings;
use super::service::Refused;
use super::wall::{BEGIN_US, Turn, truth_us};
use super::words::What;
use super::world::{Life, World};
use crate::explore::fault::Fault;
use crate::explore::random::Draw;
use crate::explore::stats::Mark;

/// How far a wall clock may jump ahead and still be believed: further than a world lasts, as the
/// real limit is further than a sequence rests.
const JUMP_MAX_MS: u64 = 3_600_000;

/// How long a generator that has come too late waits for a worker ID: for a window, for the pause
/// before it asks again, and for as many ticks.
const TURN_US: u64 = 4_000_000;

/// What is the same for all snowflake sequences of a world.
#[derive(Debug, Clone, Copy)]
pub(super) struct FlakesConfig {
    workers: u32,
    prefers: bool,
    ahead_max_ms: u64,
    /// Whether they were made before, with a clock that was right: then the time is known.
    pub(super) are_made: bool,
    /// How far a clock may be ahead and is believed.
    pub(super) ahead_us: u64,
}

impl FlakesConfig {
    pub(super) fn draw(draw: &mut Draw, ttl_us: u64) -> Self {
        Self {
            workers: draw.between(1, 3) as u32,
            prefers: draw.chance(500),
            ahead_max_ms: if draw.chance(500) { 1_000 } else { draw.magnitude(1, 300) },
            are_made: draw.chance(700),
            ahead_us: 3 * ttl_us,
        }
    }

    /// What the server at `slot` is told.
    pub(super) fn settings(&self, slot: usize) -> FlakeSettings {
        FlakeSettings {
            workers: self.workers,
            worker_id: self.prefers.then_some(slot as u32),
            ahead_max_ms: self.ahead_max_ms,
            clock_jump_max_ms: JUMP_MAX_MS,
        }
    }
}

/// A snowflake sequence. Most layouts are small, so that worker IDs are scarce, counters and some
/// times even ticks run out.
pub(super) fn definition(draw: &mut Draw) -> Definition {
    let worker_bits = draw.below(5);
    let counter_bits = if draw.chance(300) { 12 } else { draw.below(5) };
    // Where few IDs fit into a tick, it is short, or nobody would ever be done.
    let longest = if counter_bits < 3 { 20 } else { 200 };
    let tick_ms = draw.magnitude(1, longest);
    let begin_ms = BEGIN_US / 1_000;
    let (time_bits, epoch_ms) = if draw.chance(200) {
        let lasts_ms = draw.magnitude(2_000, 60_000);
        let bits = (lasts_ms / tick_ms + 2).ilog2() + 2;
        (u64::from(bits), begin_ms + lasts_ms - (tick_ms << bits))
    } else {
        (40, begin_ms - draw.magnitude(2 * tick_ms, 20_000))
    };
    let fields = [("worker", worker_bits), ("counter", counter_bits)];
    let order = if draw.chance(800) { [0, 1] } else { [1, 0] };
    let mut text = format!("time:{time_bits}");
    for (label, bits) in order.map(|index| fields[index]) {
        if bits > 0 {
            text.push_str(&format!(",{label}:{bits}"));
        }
    }
    let layout = Layout::with_fields(&text, tick_ms as u32, UnixMillis(epoch_ms), false);
    let layout = layout.expect("time comes first, and all together have at most 56 bits");
    let counter_start = if draw.chance(200) { CounterStart::Random } else { CounterStart::Zero };
    Definition::of(Kind::Snowflake(Snowflake { layout, counter_start }))
}

/// The layout of a sequence, if it is a snowflake.
pub(super) const fn layout_of(definition: &Definition) -> Option<Layout> {
    match definition.kind {
        Kind::Snowflake(Snowflake { layout, .. }) => Some(layout),
        _ => None,
    }
}

/// A lease on its way: whose, of which sequence, and from which tick on.
#[derive(Debug, Clone, Copy)]
pub(super) struct AskedWindow {
    pub(super) life: Life,
    pub(super) sequence: usize,
    pub(super) floor: u64,
}

impl World {
    /// What the wall clock of the server at `slot` says.
    pub(super) fn wall(&self, slot: usize) -> UnixMillis {
        self.walls[slot].shows(self.now)
    }

    pub(super) fn is_flake(&self, sequence: usize) -> bool {
        layout_of(&self.config.sequences[sequence]).is_some()
    }

    /// Somebody has made the snowflake sequences before the world begins.
    pub(super) fn make_flakes(&mut self) {
        if !self.config.flakes.are_made {
            return;
        }
        for index in 0..self.config.sequences.len() {
            let definition = self.config.sequences[index];
            let Some(layout) = layout_of(&definition) else { continue };
            let mut made = Shared::new(definition);
            let tick = layout.tick_at(UnixMillis(truth_us(0) / 1_000));
            made.record.raise(tick.unwrap_or(1).max(1));
            let key = Key::new(format!("sequence/{}", self.names[index]));
            let change = Change {
                expect: vec![(key.clone(), Version::ABSENT)],
                put: vec![(key, made.to_text(&self.names[index]))],
                delete: Vec::new(),
            };
            at_once(self.memory.commit(&change));
            self.checks.made(index, made);
        }
    }

    // What servers do.

    /// A server asks for a window.
    pub(super) fn asks_window(&mut self, life: Life, sequence: usize, ask: LeaseAsk) {
        let asked = AskedWindow { life, sequence, floor: ask.floor };
        self.asked_windows.insert(ask.holder, asked);
    }

    fn moment(&self, life: Life) -> Moment {
        let ahead_max_ms = self.config.flakes.ahead_max_ms;
        let credible = UnixMillis(truth_us(self.now) / 1_000 + JUMP_MAX_MS);
        Moment { life, wall: self.wall(life.slot), ahead_max_ms, credible }
    }

    /// A server takes IDs from a generator: it will answer them.
    pub(super) fn flake_taken(&mut self, life: Life, sequence: usize, holder: u64, range: Range) {
        self.stats.issued += range.count;
        self.stats.mark(Mark::FlakeTaken);
        self.line(life.slot, sequence, What::FlakeTaken, [range.first, range.count, holder >> 48]);
        let at = self.moment(life);
        self.checks.flake_taken(sequence, at, holder, range);
    }

    /// A raise is done on a server.
    pub(super) fn flake_raised(&mut self, life: Life, sequence: usize, tick: u64) {
        self.stats.mark(Mark::FlakeRaised);
        self.checks.flake_raised(sequence, life, tick);
    }

    /// A server refuses because of time or worker IDs. Whether it may depends on its clock.
    pub(super) fn flake_refused(&mut self, life: Life, sequence: usize, refused: Refused) {
        let at = self.moment(life);
        let right = match refused {
            Refused::NotBelieved => {
                self.stats.mark(Mark::ClockNotBelieved);
                at.wall.0 > BEGIN_US / 1_000 + JUMP_MAX_MS
            }
            Refused::NotYet => {
                self.stats.mark(Mark::AheadOfClock);
                self.checks.can_be_ahead(sequence, at.wall, at.ahead_max_ms)
            }
            Refused::BeforeEpoch => {
                self.stats.mark(Mark::ClockBeforeEpoch);
                self.checks.layout(sequence).is_some_and(|layout| at.wall < layout.epoch())
            }
            Refused::Exhausted => {
                self.stats.mark(Mark::TicksRunOut);
                self.has_run_out(sequence) || self.checks.is_past(sequence, at.wall)
            }
            Refused::AllTaken => self.checks.are_all_taken(sequence),
            _ => true,
        };
        if !right {
            let message =
                format!("{refused:?} of s{sequence} by {life:?}, whose clock says {at:?}");
            self.checks.find("refusal", message);
        }
    }

    /// Whether no tick is left of a sequence, or soon none will be.
    pub(super) fn has_run_out(&self, sequence: usize) -> bool {
        let now = UnixMillis(truth_us(self.now) / 1_000);
        self.checks.has_run_out(sequence) || self.checks.is_past(sequence, now)
    }

    /// How much longer than others these sequences need once all clocks are right: until all that
    /// was leased by a clock that was ahead has passed, and all generators had their turn on the
    /// worker IDs, one after the other.
    pub(super) fn flakes_need(&self) -> u64 {
        // While an operator is at work, there are starts and raises besides.
        let operator = if self.fallen.is_some() { 20 * self.config.ttl_us + 60_000_000 } else { 0 };
        let Some(until) = self.checks.leased_until() else { return operator };
        let ahead_us = (until.0 * MS).saturating_sub(truth_us(self.now));
        let generators = self.slots.len() as u64 * u64::from(self.config.flakes.workers);
        operator + ahead_us + generators * TURN_US
    }

    /// An ID to raise a snowflake sequence to: some ticks beyond `known`.
    pub(super) fn raise_beyond(&mut self, sequence: usize, known: u64) -> u64 {
        let Some(layout) = self.checks.layout(sequence) else { return known };
        let Some(parts) = layout.decompose(known) else { return known };
        let tick = parts.tick.max(1) + self.draw.below(8) * self.draw.magnitude(1, 32) / 4;
        layout.compose(Parts { tick: tick.min(layout.ticks() - 1), ..parts }).max(1)
    }

    // What the engine does.

    /// The lease that a change belongs to, if it is of a worker ID.
    pub(super) fn asked_window(&self, change: &Change) -> Option<AskedWindow> {
        let (key, value) = change.put.first()?;
        let (_, worker) = worker(key, value)?;
        self.asked_windows.get(&worker.holder).copied()
    }

    /// A change of a worker ID is durable.
    pub(super) fn put_worker(&mut self, asked: Option<AskedWindow>, key: &Key, value: &str) {
        let (Some(asked), Some((id, worker))) = (asked, worker(key, value)) else {
            self.checks.find("stray", format!("nobody has asked for {value} at {key}"));
            return;
        };
        let AskedWindow { life, sequence, floor } = asked;
        let numbers = [u64::from(id), worker.mark, worker.holder >> 48];
        self.line(life.slot, sequence, What::CommitWindow, numbers);
        if let Some(mark) = self.checks.put_worker(sequence, id, worker, floor) {
            self.stats.mark(mark);
        }
    }

    // What clocks do.

    /// Something happens to the wall clock of a server.
    pub(super) fn turn_clock(&mut self, slot: usize) {
        let turn = self.draw_turn(slot);
        if !self.admits(slot, super::words::NOWHERE, Fault::Clock) {
            return;
        }
        let mark = match turn {
            Turn::Back(_) => Mark::ClockBack,
            Turn::Forward(by) if by >= JUMP_MAX_MS * MS => Mark::ClockFarForward,
            Turn::Forward(_) => Mark::ClockForward,
            Turn::Freeze => Mark::ClockFrozen,
            Turn::Drift(_) => Mark::ClockDrifts,
            Turn::Right => Mark::ClockSetRight,
        };
        self.stats.mark(mark);
        self.walls[slot].turn(self.now, turn);
        let shown = self.walls[slot].shows_us(self.now);
        self.line(slot, super::words::NOWHERE, What::Wall, [shown / MS, 0, 0]);
    }

    fn draw_turn(&mut self, slot: usize) -> Turn {
        let ahead_us = self.config.flakes.ahead_us;
        // Who is ahead as far as may be is set right, so that the world ends within a bounded time.
        let room = ahead_us.saturating_sub(self.walls[slot].ahead_us(self.now));
        match self.draw.below(8) {
            0 | 1 => Turn::Back(self.draw.magnitude(MS, 4 * ahead_us)),
            2 if room > MS => Turn::Forward(self.draw.magnitude(MS, room)),
            3 if self.config.flakes.are_made => {
                let years = self.draw.magnitude(1, 40) * 31_557_600_000_000;
                Turn::Forward(2 * JUMP_MAX_MS * MS + self.draw.below(years))
            }
            4 => Turn::Freeze,
            5 if room > MS => Turn::Drift(self.draw.between(0, 200_000) as i64 - 100_000),
            _ => Turn::Right,
        }
    }
}

/// What is written of a worker ID.
fn worker(key: &Key, value: &str) -> Option<(u32, Worker)> {
    let (_, id) = key.as_str().strip_prefix("worker/")?.split_once('#')?;
    let (mark, rest) = value.strip_prefix("mark=")?.split_once(" holder=")?;
    let (holder, _) = rest.split_once(' ')?;
    let holder = u64::from_str_radix(holder, 16).ok()?;
    Some((id.parse().ok()?, Worker { mark: mark.parse().ok()?, holder }))
}
