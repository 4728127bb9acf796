//! The parts of one world of several servers, its phases, and the lives of its processes.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use ticketd_core::cluster::{ServerId, Shared};
use ticketd_core::failure::{Failure, FailureKind};
use ticketd_core::name::Name;
use ticketd_core::record::Record;
use ticketd_store::StoreError;
use ticketd_store::engine::{Key, MemoryEngine, Version};

use super::check::{Checks, Took};
use super::clients::Request;
use super::config::{Config, Faults};
use super::engine::{Ask, Asking, Outbox, Sent};
use super::flakes::AskedWindow;
use super::lease::Clock;
use super::loss::{Backup, Fallen, Kept};
use super::node::Node;
use super::peer::Questions;
use super::schedule::Happening;
use super::sequence::Sequence;
use super::tasks::Job;
use super::wall::Wall;
use super::words::{NOWHERE, What, place};
use crate::explore::fault::{Fault, Gate};
use crate::explore::random::Draw;
use crate::explore::schedule::Schedule;
use crate::explore::stats::{Mark, Stats};
use crate::explore::trace::Trace;
use crate::explore::{Bug, Options};

/// The place of the engine, among those of servers.
pub(super) const ENGINE: usize = usize::MAX;

/// One run of one server's process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Life {
    pub(super) slot: usize,
    pub(super) number: u32,
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server {} in life {}", self.slot + 1, self.number)
    }
}

/// Whether there is a process, and what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Down,
    Starting,
    Up,
    Stopping,
}

/// A server: at one address, one life after the other.
pub(super) struct Slot {
    pub(super) standing: Standing,
    pub(super) number: u32,
    node: Option<Rc<Node>>,
    /// Its process stands still, and these tasks would go on.
    pub(super) paused: bool,
    /// Which engine it knows.
    pub(super) era: u32,
    pub(super) held: Vec<usize>,
    /// What all of its lives have seen of the engine, if that is remembered.
    pub(super) witness: Kept,
    /// Sequences whose owners have not ended.
    seats: Vec<Rc<Sequence>>,
}

/// What the world is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Clients ask and everything goes wrong.
    Faults,
    /// Nothing goes wrong any more; who waits is answered, and all servers start.
    Drain,
    /// Every client asks of every sequence until it succeeds.
    Fresh,
    /// Each server is asked of each sequence, and must succeed at once.
    Round,
    /// All servers stop cleanly, and start again.
    Stop,
    Start,
    /// As `Round`: everything that is held was reserved in peace.
    LastRound,
    /// All servers stop cleanly, and there is no gap.
    LastStop,
    Over,
}

/// One world.
pub(super) struct World {
    pub(super) config: Config,
    pub(super) faults: Faults,
    pub(super) gate: Gate,
    pub(super) now: u64,
    pub(super) draw: Draw,
    pub(super) schedule: Schedule<Happening>,
    pub(super) trace: Trace<What>,
    pub(super) stats: Stats,
    pub(super) checks: Checks,
    pub(super) names: Rc<[Name]>,
    /// What the engine remembers.
    pub(super) memory: MemoryEngine,
    pub(super) outbox: Outbox,
    pub(super) calls: Vec<Sent>,
    pub(super) questions: Questions,
    /// What the owner of each sequence wants of the store now, by slot and sequence.
    pub(super) asking: Vec<Vec<Option<Asking>>>,
    /// How often each link is cut.
    pub(super) cuts: Vec<u32>,
    pub(super) away: bool,
    /// How often another engine has taken over, what that one will hold, and what is not right yet.
    pub(super) era: u32,
    pub(super) backup: Option<Backup>,
    pub(super) fallen: Option<Fallen>,
    /// The wall clocks of the servers.
    pub(super) walls: Vec<Wall>,
    /// The lease that each generator asks for, by its holder.
    pub(super) asked_windows: BTreeMap<u64, AskedWindow>,
    pub(super) slots: Vec<Slot>,
    pub(super) requests: Vec<Request>,
    /// How many requests were made, a batch as one.
    pub(super) asked: u64,
    pub(super) outstanding: usize,
    pub(super) phase: Phase,
    pub(super) bug: Bug,
    /// Tasks to begin, processes to begin, lives whose tasks end, tasks that go on.
    pub(super) spawned: Vec<(Life, Job)>,
    pub(super) booting: Vec<(Life, Clock)>,
    pub(super) killed: Vec<Life>,
    pub(super) resumed: Vec<usize>,
    phase_limit: u64,
    /// Of what went wrong nothing is left by then.
    settled_at: u64,
    goal: u64,
}

impl World {
    pub(super) fn new(seed: u64, options: &Options) -> Self {
        let mut draw = Draw::new(seed);
        let mut config = Config::draw(&mut draw);
        config.narrow(&options.scope);
        let name = |n: usize| Name::new(&format!("s{n}")).expect("a letter and a number");
        let slot = |_| Slot {
            standing: Standing::Down,
            number: 0,
            node: None,
            paused: false,
            era: 0,
            held: Vec::new(),
            witness: Kept::default(),
            seats: Vec::new(),
        };
        let servers = config.servers;
        Self {
            faults: config.faults,
            gate: Gate::new(&options.scope),
            now: 0,
            schedule: Schedule::new(),
            trace: Trace::new(options.trace),
            stats: Stats::default(),
            checks: Checks::new(&config.sequences),
            names: (0..config.sequences.len()).map(name).collect(),
            memory: MemoryEngine::new(),
            outbox: Arc::default(),
            calls: Vec::new(),
            questions: Questions::default(),
            asking: vec![vec![None; config.sequences.len()]; servers],
            cuts: vec![0; (servers + 1) * (servers + 1)],
            away: false,
            era: 0,
            backup: None,
            fallen: None,
            walls: vec![Wall::right(0); servers],
            asked_windows: BTreeMap::new(),
            slots: (0..servers).map(slot).collect(),
            requests: Vec::with_capacity(2 * options.requests as usize),
            asked: 0,
            outstanding: 0,
            phase: Phase::Faults,
            bug: Bug::of(options),
            spawned: Vec::new(),
            booting: Vec::new(),
            killed: Vec::new(),
            resumed: Vec::new(),
            phase_limit: u64::MAX,
            settled_at: 0,
            goal: u64::from(options.requests),
            draw,
            config,
        }
    }

    pub(super) fn line(&mut self, slot: usize, sequence: usize, what: What, numbers: [u64; 3]) {
        self.trace.line(self.now, place(slot, sequence), what, numbers);
    }

    /// A fault is drawn. Returns whether it comes to pass.
    pub(super) fn admits(&mut self, slot: usize, sequence: usize, fault: Fault) -> bool {
        let number = self.gate.admit(fault);
        if let Some(number) = number {
            self.line(slot, sequence, What::Fault, [number, fault as u64, 0]);
        }
        number.is_some()
    }

    /// Whether a fault that comes so often per mille comes to pass at `slot` now.
    pub(super) fn strikes(&mut self, per_mille: u64, slot: usize, fault: Fault) -> bool {
        self.draw.chance(per_mille) && self.admits(slot, NOWHERE, fault)
    }

    /// A line about a server as a whole.
    pub(super) fn line_here(&mut self, life: Life, what: What, numbers: [u64; 3]) {
        self.line(life.slot, NOWHERE, what, numbers);
    }

    /// Before the first happening.
    pub(super) fn begin(&mut self) {
        self.make_flakes();
        for slot in 0..self.slots.len() {
            let at = self.draw.magnitude(1, self.config.ttl_us / 4);
            self.schedule.plan(at, Happening::Boot(slot));
        }
        for client in 0..self.config.clients {
            let at = self.draw.between(0, self.config.think_us);
            self.schedule.plan(at, Happening::Ask(client));
        }
        self.plan_faults();
        self.plan_loss();
    }

    /// Lets go of all servers.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.spawned.clear();
    }

    pub(super) const fn is_late(&self, at: u64) -> bool {
        at > self.phase_limit
    }

    pub(super) fn stuck(&self) -> String {
        let waits = self.requests.iter().position(|request| !request.done);
        let standing: Vec<Standing> = self.slots.iter().map(|slot| slot.standing).collect();
        format!(
            "phase {:?} does not end: {} answers are owed, the first to request {waits:?}, servers \
             {standing:?}",
            self.phase, self.outstanding
        )
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Wake(waker) => waker.wake(),
            Happening::Ask(client) => self.ask(client),
            Happening::AskAgain(client, sequence, slot) => self.ask_again(client, sequence, slot),
            Happening::Arrive(request) => self.arrive(request),
            Happening::Answer(request, answer) => self.answer(request, answer),
            Happening::GiveUp(request) => self.give_up(request),
            Happening::Apply(call, read) => self.apply(call, read),
            Happening::Reply(call, result) => self.call_answered(call, result),
            Happening::Timeout(call) => self.call_timed_out(call),
            Happening::PeerArrive(question) => self.peer_arrives(question),
            Happening::PeerAnswer(question, told) => self.peer_answered(question, told),
            Happening::Boot(slot) => self.boot(slot),
            Happening::Resume(life) => self.resume(life),
            Happening::Strike(fault) => self.strike(fault),
            Happening::Mend(link) => self.mend(link),
            Happening::Fall => self.fall(),
            Happening::Backup => self.back_up(),
            Happening::Operate => self.operate(),
            Happening::Back => self.back(),
        }
    }

    pub(super) fn life(&self, slot: usize) -> Life {
        Life { slot, number: self.slots[slot].number }
    }

    pub(super) fn is_alive(&self, life: Life) -> bool {
        self.life(life.slot) == life && self.slots[life.slot].standing != Standing::Down
    }

    /// The server at `slot`, if it accepts requests.
    pub(super) fn serving(&self, slot: usize) -> Option<Rc<Node>> {
        let slot = self.slots.get(slot)?;
        slot.node.clone().filter(|_| slot.standing == Standing::Up)
    }

    fn boot(&mut self, slot: usize) {
        if self.is_kept_down() {
            let later = self.now + self.config.ttl_us / 4;
            self.schedule.plan(later, Happening::Boot(slot));
            return;
        }
        self.slots[slot].number += 1;
        self.slots[slot].standing = Standing::Starting;
        self.slots[slot].era = self.era;
        self.stats.starts += 1;
        let life = self.life(slot);
        self.line_here(life, What::Boot, [u64::from(life.number), 0, 0]);
        let mut speed = self.config.speed(&mut self.draw);
        if speed != 0 {
            if self.admits(slot, NOWHERE, Fault::Clock) {
                self.stats.mark(Mark::ClockApart);
            } else {
                speed = 0;
            }
        }
        let clock = Clock { origin_us: self.draw.magnitude(1, 1 << 50), speed };
        self.booting.push((life, clock));
    }

    /// A server serves.
    pub(super) fn up(&mut self, node: &Rc<Node>) {
        let life = node.life;
        self.line_here(life, What::Up, [node.me().0 >> 48, u64::from(life.number), 0]);
        self.slots[life.slot].standing = Standing::Up;
        self.slots[life.slot].node = Some(Rc::clone(node));
        self.check_witness(life);
    }

    /// A process is over: its memory, its clients' connections and its tasks are gone.
    pub(super) fn down(&mut self, life: Life, crashed: bool) {
        if !crashed {
            self.stats.mark(Mark::CleanStop);
            self.line_here(life, What::Down, [u64::from(life.number), 0, 0]);
        }
        for sequence in std::mem::take(&mut self.slots[life.slot].seats) {
            self.checks.note("books", sequence.compare(false));
        }
        let slot = &mut self.slots[life.slot];
        slot.standing = Standing::Down;
        slot.node = None;
        slot.paused = false;
        slot.held.clear();
        self.asking[life.slot].fill(None);
        self.killed.push(life);
        self.checks.down(life);
        self.lose_all(life);
        if !matches!(self.phase, Phase::Stop | Phase::LastStop) {
            let pause = self.draw.magnitude(1_000, self.config.ttl_us * 2);
            self.schedule.plan(self.now + pause, Happening::Boot(life.slot));
        }
    }

    /// The ID of a server that announces itself.
    pub(super) fn new_server(&mut self, life: Life) -> ServerId {
        let id = ServerId(self.draw.below(u64::MAX));
        self.checks.new_lease(life, id);
        id
    }

    pub(super) fn lease_extended(&mut self, life: Life, id: ServerId, until: u64) {
        let what = if until == 0 { What::LetGo } else { What::Extended };
        self.line_here(life, what, [id.0 >> 48, until, 0]);
        self.checks.extended(self.now, id, until);
    }

    /// Something that is no question of an owner failed.
    pub(super) fn failed(&mut self, life: Life, error: &StoreError) {
        self.line_here(life, What::Failed, [error.kind as u64, 0, 0]);
        self.check_kind(error.kind, &error.message);
    }

    /// A server does not start on an engine that has lost something.
    pub(super) fn loss_noticed(&mut self, life: Life, error: &StoreError) {
        self.line_here(life, What::Failed, [error.kind as u64, 0, 0]);
        self.stats.mark(Mark::LossNoticed);
    }

    fn check_kind(&mut self, kind: FailureKind, message: &str) {
        let right = matches!(
            kind,
            FailureKind::Unavailable | FailureKind::Indeterminate | FailureKind::Conflict
        );
        if kind == FailureKind::Corrupt && self.fallen.is_some() {
            self.stats.mark(Mark::LossNoticed);
        } else if !right {
            self.checks.find("refusal", format!("the store fails as {kind:?}: {message}"));
        }
    }

    /// A question of an owner failed.
    pub(super) fn store_failed(&mut self, life: Life, sequence: usize, failure: &Failure) {
        if failure.kind == FailureKind::Fenced && self.checks.is_strict(sequence) {
            self.stats.mark(Mark::Fenced);
            // Whoever is fenced believes no longer, and the owner of the record is another.
            self.checks.gives_up(life, sequence);
            return;
        }
        self.check_kind(failure.kind, &failure.message);
    }

    pub(super) fn asks(
        &mut self,
        life: Life,
        sequence: usize,
        ask: Ask,
        server: ServerId,
        turn: u64,
    ) {
        self.checks.asks(life, sequence);
        self.asking[life.slot][sequence] = Some(Asking { life, sequence, ask, server, turn });
    }

    /// An owner starts.
    pub(super) fn seated(&mut self, life: Life, sequence: Rc<Sequence>) {
        self.slots[life.slot].seats.push(sequence);
    }

    pub(super) fn opened(
        &mut self,
        life: Life,
        sequence: usize,
        record: &Record,
        server: ServerId,
        turn: u64,
    ) {
        if record.unaccounted() > 0 && !self.is_flake(sequence) {
            self.stats.mark(Mark::CrashBurn);
        }
        self.checks.opened(self.now, life, sequence, server, turn);
    }

    /// An owner has ended by itself.
    pub(super) fn seat_ended(&mut self, life: Life, sequence: &Rc<Sequence>) {
        self.line(life.slot, sequence.index, What::SeatEnded, [0; 3]);
        self.checks.gives_up(life, sequence.index);
        self.checks.note("books", sequence.compare(true));
        self.slots[life.slot].seats.retain(|seat| !Rc::ptr_eq(seat, sequence));
    }

    /// A server decides that what it took may be answered.
    pub(super) fn issued(&mut self, life: Life, sequence: usize, took: Took) {
        let block = took.block;
        self.stats.issued += block.len();
        self.line(life.slot, sequence, What::Issued, [block.start(), block.end(), took.turn]);
        if self.checks.is_issued_again(sequence, took) {
            self.stats.mark(Mark::IssuedAgain);
        }
        self.checks.issue(self.now, life, sequence, took);
    }

    /// A value becomes durable.
    pub(super) fn put(
        &mut self,
        life: Life,
        asking: Option<Asking>,
        key: &Key,
        value: &str,
        version: Version,
    ) {
        if let Some(id) = key.as_str().strip_prefix("server/").and_then(|id| id.parse().ok()) {
            let ServerId(number) = id;
            self.line_here(life, What::Announced, [number >> 48, version.0, 0]);
        }
        let Some(name) = key.as_str().strip_prefix("sequence/") else { return };
        let known = self.names.iter().position(|known| known.as_str() == name);
        let (Some(sequence), Some(asking)) = (known, asking) else {
            self.checks.find("stray", format!("no owner has asked for a change of {name}"));
            return;
        };
        let after = Shared::from_text(&self.names[sequence], value);
        let Ok(after) = after else {
            self.checks.find("stray", format!("what is written is no record: {value}"));
            return;
        };
        let before = self.checks.image(sequence);
        let from = before.map_or(1, |before| before.record.mark);
        let (what, numbers) = match asking.ask {
            Ask::Claim => {
                let owner = after.owner.map_or(0, |owner| owner.0 >> 48);
                (What::Claimed, [after.turn, owner, after.record.mark])
            }
            Ask::Reserve { floor } => {
                (What::CommitReserve, [from.max(floor), after.record.mark, after.turn])
            }
            Ask::Raise => (What::CommitRaise, [from, after.record.mark, 0]),
            Ask::HandBack => (What::CommitHandBack, [from, after.record.mark, 0]),
        };
        self.line(life.slot, sequence, what, numbers);
        if let Some(owner) = before.and_then(|before| before.owner)
            && after.owner != Some(owner)
            && after.record.definition.has_owner()
            && let Some(life) = self.checks.life_of(owner)
        {
            self.provoke(life);
        }
        let marks = self.checks.committed(self.now, &asking, after);
        marks.into_iter().flatten().for_each(|mark| self.stats.mark(mark));
    }

    /// An entry of the engine is gone.
    pub(super) fn deleted(&mut self, life: Life, key: &Key) {
        let id = key.as_str().strip_prefix("server/").and_then(|id| id.parse().ok());
        if let Some(id @ ServerId(number)) = id {
            self.line_here(life, What::Gone, [number >> 48, 0, 0]);
            self.checks.gone(self.now, life, id);
        }
    }

    /// Goes on to the next phase when this one is done.
    pub(super) fn advance(&mut self) {
        let all = |standing| self.slots.iter().all(|slot| slot.standing == standing);
        let done = self.outstanding == 0;
        match self.phase {
            Phase::Faults if self.asked >= self.goal => self.heal(),
            Phase::Drain if done && all(Standing::Up) && self.fallen.is_none() => {
                self.enter(Phase::Fresh);
                self.ask_all();
            }
            Phase::Fresh if done && self.now >= self.settled_at => {
                self.enter(Phase::Round);
                self.ask_each();
            }
            Phase::Round if done => {
                self.stop_all(Phase::Stop);
            }
            Phase::Stop if all(Standing::Down) => {
                self.enter(Phase::Start);
                for slot in 0..self.slots.len() {
                    self.schedule.plan(self.now + 1, Happening::Boot(slot));
                }
            }
            Phase::Start if all(Standing::Up) => {
                self.enter(Phase::LastRound);
                self.ask_each();
            }
            Phase::LastRound if done => self.stop_all(Phase::LastStop),
            Phase::LastStop if all(Standing::Down) => {
                self.checks.all_stopped();
                self.enter(Phase::Over);
            }
            Phase::Faults
            | Phase::Drain
            | Phase::Fresh
            | Phase::Round
            | Phase::Stop
            | Phase::Start
            | Phase::LastRound
            | Phase::LastStop
            | Phase::Over => {}
        }
    }

    pub(super) fn has_faults(&self) -> bool {
        self.phase == Phase::Faults
    }

    fn stop_all(&mut self, phase: Phase) {
        self.enter(phase);
        (0..self.slots.len()).for_each(|slot| self.stop(slot));
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        // The lease of who died just now runs out, a stop takes what it may, and everybody asks.
        let Config { ttl_us, request_timeout_us, .. } = self.config;
        self.phase_limit =
            self.now + 4 * ttl_us + 2 * request_timeout_us + 10_000_000 + self.flakes_need();
        self.line(NOWHERE, NOWHERE, What::Phase, [phase as u64, 0, 0]);
    }

    fn heal(&mut self) {
        self.enter(Phase::Drain);
        self.faults = Faults::default();
        self.away = false;
        self.walls.fill(Wall::right(self.now));
        for slot in 0..self.slots.len() {
            self.resume(self.life(slot));
        }
        // What was slow on its way has arrived by then, or was given up.
        self.settled_at = self.now + 4 * self.config.ttl_us;
    }
}
