//! One world: its parts, its clock, and its phases.
//!
//! First everything that the seed chose goes wrong while clients ask. Then the world heals: who
//! still waits is answered, everybody asks once more and must succeed, the server stops cleanly
//! and starts again, and the next ID of each sequence is the one after the last.

use ticketd_core::allocator::{Action, Config as AllocatorConfig, Event};
use ticketd_core::block::Block;
use ticketd_core::record::Record;

use super::check::{Checks, Found};
use super::clients::{Request, RequestId, State};
use super::config::{Config, Faults};
use super::embedded::{self, DiskFaults, RealStore};
use super::fault::{Fault, Gate};
use super::random::Draw;
use super::schedule::{Happening, Schedule};
use super::shell::{Seat, Server, Standing};
use super::stats::{Mark, Stats};
use super::store::Store;
use super::trace::Trace;
use super::words::{NO_SEQUENCE, What};
use super::{Bug, Options};

/// Within this virtual time each phase without faults must end: the longest deadline of clients,
/// and as much again for pauses and slow commits that began before.
const PEACE_US: u64 = 60_000_000;

/// No world takes as many steps. One that does is caught in a circle.
const HAPPENINGS_MAX: u64 = 2_000_000;

/// What the world is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Clients ask and everything goes wrong.
    Faults,
    /// Nothing goes wrong any more; who waits is answered.
    Drain,
    /// Everybody asks once more.
    Fresh,
    /// The server stops cleanly and starts again.
    LastStop,
    /// One ID of each sequence.
    LastRound,
    Over,
}

/// One world. See the [module](self).
#[derive(Debug)]
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
    pub(super) store: Store,
    /// The store itself, in a world that has more of it than the model.
    pub(super) real: Option<Box<RealStore>>,
    pub(super) server: Server,
    pub(super) requests: Vec<Request>,
    /// How many answers each client waits for, and all together.
    pub(super) busy: Vec<u64>,
    pub(super) outstanding: u64,
    pub(super) messages: u64,
    pub(super) phase: Phase,
    /// Issued to requests that were gone, and not yet told to the owner.
    pub(super) undelivered: Vec<(usize, Block)>,
    /// Room for an allocator's actions.
    pub(super) actions: Vec<Action<RequestId>>,
    phase_limit: u64,
    goal: u64,
    pub(super) crash_in: u64,
    stop_in: u64,
    #[cfg(feature = "mutants")]
    bug: Bug,
}

impl World {
    pub(super) fn new(seed: u64, options: &Options) -> Self {
        let mut draw = Draw::new(seed);
        let config = Config::draw(&mut draw);
        Self::with(draw, config, None, options)
    }

    /// The world of one server on the real store.
    pub(super) fn on_disk(seed: u64, options: &Options) -> Self {
        let mut draw = Draw::new(seed);
        let mut config = Config::draw(&mut draw);
        embedded::shrink(&mut config, &mut draw);
        config.narrow(&options.scope);
        let faults = DiskFaults::draw(&mut draw);
        let names = embedded::names(&config.sequences);
        let real = RealStore::new(names, faults, draw.below(u64::MAX), Bug::of(options));
        let fewer = Options { requests: options.requests / embedded::SHARE, ..options.clone() };
        Self::with(draw, config, Some(Box::new(real)), &fewer)
    }

    fn with(
        draw: Draw,
        mut config: Config,
        real: Option<Box<RealStore>>,
        options: &Options,
    ) -> Self {
        config.narrow(&options.scope);
        let record = |s: &super::config::Sequence| Record {
            mark: s.mark,
            spent: s.mark,
            ..Record::new(s.definition)
        };
        let bug = Bug::of(options);
        let store = Store::new(config.sequences.iter().map(record).collect(), bug.store());
        let checks = Checks::new(store.records());
        #[cfg(feature = "mutants")]
        let checks = if options.without_books { checks.without_books() } else { checks };
        Self {
            now: 0,
            faults: config.faults,
            checks,
            gate: Gate::new(&options.scope),
            schedule: Schedule::new(),
            trace: Trace::new(options.trace),
            stats: Stats::default(),
            store,
            real,
            server: Server::new(),
            requests: Vec::with_capacity(2 * options.requests as usize),
            busy: vec![0; config.clients as usize],
            outstanding: 0,
            messages: 0,
            phase: Phase::Faults,
            undelivered: Vec::new(),
            actions: Vec::new(),
            phase_limit: u64::MAX,
            goal: u64::from(options.requests),
            crash_in: 0,
            stop_in: 0,
            #[cfg(feature = "mutants")]
            bug,
            draw,
            config,
        }
    }

    /// Lets the world run to its end, or until a checker finds something.
    pub(super) fn run(&mut self) -> Option<Found> {
        self.begin();
        while self.phase != Phase::Over && !self.checks.has_found() {
            let Some((at, happening)) = self.schedule.next() else {
                self.checks.find("liveness", format!("{} wait for ever", self.outstanding));
                break;
            };
            if at > self.phase_limit || self.stats.happenings > HAPPENINGS_MAX {
                self.checks.find("liveness", self.stuck());
                break;
            }
            self.now = at;
            self.stats.happenings += 1;
            self.happen(happening);
            self.strike();
            self.advance();
        }
        self.stats.virtual_us = self.now;
        self.checks.take_found()
    }

    pub(super) fn line(&mut self, sequence: usize, what: What, numbers: [u64; 3]) {
        self.trace.line(self.now, sequence, what, numbers);
    }

    /// A fault is drawn. Returns whether it comes to pass.
    pub(super) fn admits(&mut self, sequence: usize, fault: Fault) -> bool {
        let number = self.gate.admit(fault);
        if let Some(number) = number {
            self.line(sequence, What::Fault, [number, fault as u64, 0]);
        }
        number.is_some()
    }

    /// Whether a fault that comes so often per mille comes to pass now.
    pub(super) fn strikes(&mut self, per_mille: u64, sequence: usize, fault: Fault) -> bool {
        self.draw.chance(per_mille) && self.admits(sequence, fault)
    }

    fn begin(&mut self) {
        self.crash_in = self.distance(self.faults.crash_every);
        self.stop_in = self.distance(self.faults.stop_every);
        self.plan_full();
        self.plan_foreign();
        self.boot();
        for client in 0..self.busy.len() {
            let at = self.draw.between(0, self.config.think_us);
            self.schedule.plan(at, Happening::Ask { client });
        }
    }

    /// How many happenings until the next, `mean` on average; 0 for never.
    fn distance(&mut self, mean: u64) -> u64 {
        if mean == 0 { 0 } else { self.draw.between(1, 2 * mean) }
    }

    fn stuck(&self) -> String {
        let waits = |request: &Request| !request.gone && request.state != State::Done;
        let first = self.requests.iter().position(waits);
        format!(
            "phase {:?} does not end: {} answers are owed, the first to request {first:?}, server \
             {:?}",
            self.phase, self.outstanding, self.server.standing
        )
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Ask { client } => self.ask(client),
            Happening::Arrive { request } => self.arrive(request),
            Happening::Tell { life, sequence, note } => {
                if self.server.lives(life) {
                    self.hear_note(sequence, note);
                }
            }
            Happening::Answer { life, request, answer } => self.answer(life, request, answer),
            Happening::Leave { request } => self.leave(request),
            Happening::Commit { batch } => self.commit(batch),
            Happening::Reply { message, sequence, reply } => {
                self.hear_reply(sequence, message, reply);
            }
            Happening::Timeout { message, sequence } => self.time_out(sequence, message),
            Happening::Wake { life, sequence } => {
                if self.server.lives(life) {
                    self.wake(sequence);
                }
            }
            Happening::Boot => self.boot(),
            Happening::Full(full) => self.fill(full),
            Happening::Foreign => self.foreign(),
            Happening::Restart { life } => {
                if self.server.lives(life) {
                    self.restart();
                }
            }
        }
        if self.server.has_ended() {
            self.down(false);
        }
    }

    /// Crashes or stops the server, if it is time.
    fn strike(&mut self) {
        if self.phase != Phase::Faults || self.server.standing == Standing::Down {
            return;
        }
        self.crash_in = self.crash_in.saturating_sub(1);
        self.stop_in = self.stop_in.saturating_sub(1);
        if self.crash_in == 0 && self.faults.crash_every > 0 {
            self.crash_in = self.distance(self.faults.crash_every);
            if self.admits(NO_SEQUENCE, Fault::Crash) {
                self.crash(What::Crash);
            }
        } else if self.stop_in == 0 && self.faults.stop_every > 0 {
            self.stop_in = self.distance(self.faults.stop_every);
            if self.server.standing == Standing::Up && self.admits(NO_SEQUENCE, Fault::Stop) {
                self.stop();
            }
        }
    }

    fn boot(&mut self) {
        if !self.start_store() {
            return;
        }
        self.server.life += 1;
        self.server.standing = Standing::Up;
        self.stats.starts += 1;
        self.line(NO_SEQUENCE, What::Boot, [u64::from(self.server.life), 0, 0]);
        self.store.reopen();
        self.checks.boot();
        let config = self.allocator_config();
        self.server.seats = self.config.sequences.iter().map(|_| Seat::new(config)).collect();
        for sequence in 0..self.server.seats.len() {
            // A sequence may be opened at the start, or when it is first asked for.
            if self.draw.chance(500) {
                self.tell(sequence, Event::Tick);
            }
        }
    }

    fn allocator_config(&self) -> AllocatorConfig {
        AllocatorConfig {
            block_len: self.config.block_len,
            auto_min: self.config.auto_min,
            auto_max: self.config.auto_max,
            #[cfg(feature = "mutants")]
            mutant: self.bug.core(),
        }
    }

    /// The server is gone from one moment to the next.
    pub(super) fn crash(&mut self, what: What) {
        self.stats.crashes += 1;
        self.stats.mark(Mark::Crash);
        self.line(NO_SEQUENCE, what, [u64::from(self.server.life), 0, 0]);
        self.server.crashed.push(self.server.life);
        self.down(true);
    }

    /// Tells the server to stop.
    pub(super) fn stop(&mut self) {
        if self.server.standing != Standing::Up {
            return;
        }
        self.server.standing = Standing::Stopping;
        self.line(NO_SEQUENCE, What::Stop, [u64::from(self.server.life), 0, 0]);
        for sequence in 0..self.server.seats.len() {
            self.tell(sequence, Event::Stop);
        }
        if self.server.has_ended() {
            self.down(false);
        }
    }

    /// The server's process is over: its memory and its connections are gone.
    fn down(&mut self, crashed: bool) {
        if !crashed {
            self.stats.mark(Mark::CleanStop);
            self.line(NO_SEQUENCE, What::Down, [u64::from(self.server.life), 0, 0]);
        }
        self.server.standing = Standing::Down;
        self.server.seats.clear();
        self.settle_store(crashed);
        for index in 0..self.requests.len() {
            if self.requests[index].state == State::Waiting {
                self.cut_off(RequestId(index));
            }
        }
        self.checks.close(crashed);
        let pause = self.draw.magnitude(100, 50_000);
        self.schedule.plan(self.now + pause, Happening::Boot);
    }

    /// Goes on to the next phase when this one is done.
    fn advance(&mut self) {
        let up = self.server.standing == Standing::Up && self.store_is_well();
        match self.phase {
            Phase::Faults if self.stats.requests >= self.goal => self.heal(),
            Phase::Drain if up && self.outstanding == 0 => self.ask_all(),
            Phase::Fresh if self.outstanding == 0 => {
                self.enter(Phase::LastStop);
                self.stop();
            }
            Phase::LastStop if up => {
                self.enter(Phase::LastRound);
                for sequence in 0..self.config.sequences.len() {
                    self.ask_in_peace(0, sequence, 1);
                }
            }
            Phase::LastRound if self.outstanding == 0 => {
                self.enter(Phase::Over);
                self.store.take_all();
                self.checks.close(true);
            }
            Phase::Faults
            | Phase::Drain
            | Phase::Fresh
            | Phase::LastStop
            | Phase::LastRound
            | Phase::Over => {}
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_limit = self.now + PEACE_US;
        self.line(NO_SEQUENCE, What::Phase, [phase as u64, 0, 0]);
    }

    fn heal(&mut self) {
        self.faults = Faults::default();
        self.store.full = false;
        self.heal_store();
        self.enter(Phase::Drain);
    }

    fn ask_all(&mut self) {
        self.enter(Phase::Fresh);
        for client in 0..self.busy.len() {
            for sequence in 0..self.config.sequences.len() {
                self.ask_in_peace(client, sequence, 1);
            }
            let sequence = self.draw.below(self.config.sequences.len() as u64) as usize;
            let count = self.draw.magnitude(2, 100_000);
            self.ask_in_peace(client, sequence, count);
        }
    }
}
