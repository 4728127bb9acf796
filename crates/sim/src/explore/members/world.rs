//! One world of members: its parts, its clock, its phases, and the lives of its processes.
//!
//! First everything that the seed chose goes wrong while clients ask and operators resize. Then the
//! world heals: one operator finishes or gives up whatever somebody has accepted, everybody is
//! answered at every member, a resize succeeds at the first try, and after a clean stop no member
//! has left a gap.

use ticketd_core::allocator::Action;
use ticketd_core::block::Block;
use ticketd_core::definition::{Definition, Kind};
use ticketd_core::name::Name;
use ticketd_core::record::Record;
use ticketd_core::stride::{Seat, Standing as Place};

use super::check::Checks;
use super::clients::{Request, State};
use super::config::{Config, DELAY_MAX_US, Faults};
use super::coordinator::{Call, Operator, Want};
use super::disk::SLOW_MAX_US;
use super::member::{Member, Standing};
use super::schedule::Happening;
use super::store::Store;
use super::words::{NOWHERE, What};
use crate::explore::check::Found;
use crate::explore::fault::{Fault, Gate};
use crate::explore::random::Draw;
use crate::explore::schedule::Schedule;
use crate::explore::stats::{Mark, Stats};
use crate::explore::trace::Trace;
use crate::explore::{Bug, Options, Ran};

/// Within this virtual time each phase without faults must end: the longest deadline of clients,
/// and as much again for pauses and slow commits that began before.
const PEACE_US: u64 = 60_000_000;

/// No world takes as many steps. One that does is caught in a circle.
const HAPPENINGS_MAX: u64 = 1_000_000;

/// What the world is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Clients ask, operators resize, and everything goes wrong.
    Faults,
    /// Nothing goes wrong any more; who waits is answered, and what is on its way arrives.
    Drain,
    /// One operator finishes or gives up whatever somebody has accepted.
    Settle,
    /// Every client asks every member.
    Fresh,
    /// One more resize, which succeeds at once.
    Resize,
    /// Every member is asked.
    Round,
    /// All stop cleanly and start again.
    LastStop,
    /// Every member is asked, and the IDs are those after the last.
    LastRound,
    Over,
}

/// One world. See the [module](self).
#[derive(Debug)]
pub(in crate::explore) struct World {
    pub(super) config: Config,
    pub(super) faults: Faults,
    pub(super) gate: Gate,
    pub(super) now: u64,
    pub(super) draw: Draw,
    pub(super) schedule: Schedule<Happening>,
    pub(super) trace: Trace<What>,
    pub(super) stats: Stats,
    pub(super) checks: Checks,
    pub(super) name: Name,
    pub(super) members: Vec<Member>,
    pub(super) operators: Vec<Operator>,
    pub(super) calls: Vec<Call>,
    /// Until when each link between an operator and a member is cut.
    pub(super) cuts: Vec<Vec<u64>>,
    pub(super) requests: Vec<Request>,
    pub(super) outstanding: u64,
    pub(super) phase: Phase,
    /// Messages to stores, owners and runs of the command that there have been.
    pub(super) messages: u64,
    pub(super) owners: u64,
    pub(super) runs: u64,
    /// Nothing that somebody has accepted is left; the last resize is done.
    pub(super) settled: bool,
    pub(super) resized_in_peace: bool,
    /// Issued to requests that were gone, and not yet told to the owner.
    pub(super) undelivered: Vec<(usize, Block)>,
    /// Room for an allocator's actions.
    pub(super) actions: Vec<Action<usize>>,
    pub(super) bug: Bug,
    phase_limit: u64,
    /// Of what went wrong nothing is on its way by then.
    quiet_at: u64,
    goal: u64,
}

impl World {
    pub(in crate::explore) fn new(seed: u64, options: &Options) -> Self {
        let mut draw = Draw::new(seed);
        let mut config = Config::draw(&mut draw);
        config.narrow(&options.scope);
        let records: Vec<Option<Record>> =
            (0..config.servers).map(|at| first_record(&config, at)).collect();
        let (servers, operators) = (config.servers, config.operators);
        Self {
            now: 0,
            faults: config.faults,
            gate: Gate::new(&options.scope),
            checks: Checks::new(&records),
            schedule: Schedule::new(),
            trace: Trace::new(options.trace),
            stats: Stats::default(),
            name: Name::new("notes").expect("letters are a name"),
            members: records.into_iter().map(|record| Member::new(Store::new(record))).collect(),
            operators: (0..operators).map(|_| Operator::new()).collect(),
            calls: Vec::new(),
            cuts: vec![vec![0; servers]; operators],
            requests: Vec::with_capacity(2 * options.requests as usize),
            outstanding: 0,
            phase: Phase::Faults,
            messages: 0,
            owners: 0,
            runs: 0,
            settled: false,
            resized_in_peace: false,
            undelivered: Vec::new(),
            actions: Vec::new(),
            bug: Bug::of(options),
            phase_limit: u64::MAX,
            quiet_at: 0,
            goal: u64::from(options.requests),
            draw,
            config,
        }
    }

    /// Listens no more to those who look behind what users see.
    #[cfg(feature = "mutants")]
    pub(in crate::explore) const fn ignore_books(&mut self) {
        self.checks.ignore_books();
    }

    /// Lets the world run to its end, or until a checker finds something.
    pub(in crate::explore) fn run(&mut self) -> Option<Found> {
        self.begin();
        while self.phase != Phase::Over && !self.checks.has_found() {
            let Some((at, happening)) = self.schedule.next() else {
                self.checks.find("liveness", self.stuck());
                break;
            };
            if at > self.phase_limit || self.stats.happenings > HAPPENINGS_MAX {
                self.checks.find("liveness", self.stuck());
                break;
            }
            self.now = at;
            self.stats.happenings += 1;
            self.happen(happening);
            let mut phase = self.phase;
            self.advance();
            while phase != self.phase {
                phase = self.phase;
                self.advance();
            }
        }
        self.stats.virtual_us = self.now;
        self.checks.take_found()
    }

    /// What is left of it.
    pub(in crate::explore) fn ran(mut self) -> Ran {
        let (hash, story) = (self.trace.hash(), self.trace.story());
        let struck = self.gate.take_struck();
        Ran { hash, stats: self.stats, struck, story, steps: self.trace.into_steps() }
    }

    /// A fault is drawn. Returns whether it comes to pass.
    pub(super) fn admits(&mut self, place: usize, fault: Fault) -> bool {
        let number = self.gate.admit(fault);
        if let Some(number) = number {
            self.line(place, What::Fault, [number, fault as u64, 0]);
        }
        number.is_some()
    }

    /// Whether a fault that comes so often per mille comes to pass at `place` now.
    pub(super) fn strikes(&mut self, per_mille: u64, place: usize, fault: Fault) -> bool {
        self.draw.chance(per_mille) && self.admits(place, fault)
    }

    pub(super) fn line(&mut self, place: usize, what: What, numbers: [u64; 3]) {
        self.trace.line(self.now, place, what, numbers);
    }

    /// Whether the server at `at` is a member that issues, as its store remembers.
    pub(super) fn issues(&self, at: usize) -> bool {
        let member = self.members[at].store.record().and_then(|record| record.member);
        member.is_some_and(|member| member.standing == Place::Issuing)
    }

    pub(super) fn issuing(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|&at| self.issues(at)).collect()
    }

    fn begin(&mut self) {
        (0..self.members.len()).for_each(|at| self.boot(at));
        for client in 0..self.config.clients {
            let at = self.draw.between(0, self.config.think_us);
            self.schedule.plan(at, Happening::Ask(client));
        }
        for operator in 0..self.operators.len() {
            self.plan_run(operator, self.config.resize_every_us);
        }
        self.plan_faults();
    }

    fn stuck(&self) -> String {
        let waits = |request: &Request| !request.gone && request.state != State::Done;
        let first = self.requests.iter().position(waits);
        let standing: Vec<Standing> = self.members.iter().map(|member| member.standing).collect();
        format!(
            "phase {:?} does not end: {} answers are owed, the first to request {first:?}, members \
             {standing:?}",
            self.phase, self.outstanding
        )
    }

    /// The process that something happens to, if it is one.
    fn process_of(&self, happening: &Happening) -> Option<usize> {
        match *happening {
            Happening::Arrive(id) | Happening::Again(_, id) | Happening::Deadline(id) => {
                Some(self.requests[id].at)
            }
            Happening::Tell { at, .. }
            | Happening::Wake { at, .. }
            | Happening::Commit { at, .. }
            | Happening::Late { at, .. }
            | Happening::Reply { at, .. }
            | Happening::Timeout { at, .. } => Some(at),
            Happening::CallArrive(call) => Some(self.called(call)),
            _ => None,
        }
    }

    fn happen(&mut self, happening: Happening) {
        if let Some(at) = self.process_of(&happening)
            && self.members[at].paused_until > self.now
        {
            self.schedule.plan(self.members[at].paused_until, happening);
            return;
        }
        match happening {
            Happening::Ask(client) => self.ask(client),
            Happening::Arrive(id) => self.arrive(id),
            Happening::Again(life, id) => self.again(life, id),
            Happening::Deadline(id) => self.deadline(id),
            Happening::Answer(id, answer) => self.answer(id, answer),
            Happening::Leave(id) => self.leave(id),
            Happening::Tell { at, owner, note } => self.hear_note(at, owner, note),
            Happening::Wake { at, owner } => self.wake(at, owner),
            Happening::Commit { at, batch } => self.commit(at, batch),
            Happening::Late { at, message } => self.commit_late(at, message),
            Happening::Reply { at, message, reply } => self.hear_reply(at, message, reply),
            Happening::Timeout { at, message } => self.time_out(at, message),
            Happening::Boot(at) => self.boot(at),
            Happening::Room(at) => self.room(at),
            Happening::Run(operator) => self.run_again(operator),
            Happening::GoOn(operator, run) => self.go_on(operator, run),
            Happening::CallArrive(call) => self.call_arrives(call),
            Happening::CallAnswer(call, told) => self.call_answered(call, told),
            Happening::CallTimeout(call) => self.call_timed_out(call),
            Happening::Strike(fault) => self.strike(fault),
        }
    }

    fn boot(&mut self, at: usize) {
        self.members[at].life += 1;
        self.members[at].standing = Standing::Up;
        self.stats.starts += 1;
        self.line(at, What::Boot, [u64::from(self.members[at].life), 0, 0]);
        let read = self.members[at].store.reopen(&self.name);
        self.checks.boot(at, read);
        // A sequence may be opened at the start, or when it is first asked for.
        if self.members[at].store.record().is_some() && self.draw.chance(300) {
            self.open(at);
        }
    }

    /// A process is gone from one moment to the next.
    pub(super) fn crash(&mut self, at: usize, what: What) {
        self.stats.crashes += 1;
        self.stats.mark(Mark::Crash);
        if self.members[at]
            .store
            .record()
            .is_some_and(|record| record.member.is_some_and(|member| member.accepted.is_some()))
        {
            self.stats.mark(Mark::CrashBetween);
        }
        self.line(at, what, [u64::from(self.members[at].life), 0, 0]);
        self.down(at, true);
    }

    /// Tells a process to stop.
    pub(super) fn stop(&mut self, at: usize) {
        if self.members[at].standing != Standing::Up {
            return;
        }
        self.members[at].standing = Standing::Stopping;
        self.line(at, What::Stop, [u64::from(self.members[at].life), 0, 0]);
        if self.members[at].owner.is_some() {
            self.close_owner(at);
        } else if self.members[at].step.is_none() {
            self.down(at, false);
        }
    }

    /// A process is over: its memory and its connections are gone.
    pub(super) fn down(&mut self, at: usize, crashed: bool) {
        if !crashed {
            self.stats.mark(Mark::CleanStop);
            self.line(at, What::Down, [u64::from(self.members[at].life), 0, 0]);
        }
        self.members[at].forget();
        self.members[at].paused_until = 0;
        self.settle_store(at);
        for id in 0..self.requests.len() {
            if self.requests[id].at == at && self.requests[id].state == State::Waiting {
                self.cut_off(id);
            }
        }
        self.checks.down(at);
        let pause = self.draw.magnitude(100, 50_000);
        self.schedule.plan(self.now + pause, Happening::Boot(at));
    }

    /// Goes on to the next phase when this one is done.
    fn advance(&mut self) {
        let up = |member: &Member| member.standing == Standing::Up;
        let all_up = self.members.iter().all(up);
        let answered = self.outstanding == 0;
        match self.phase {
            Phase::Faults if self.stats.requests >= self.goal => self.heal(),
            Phase::Drain if answered && all_up && self.now >= self.quiet_at => {
                self.enter(Phase::Settle);
                self.settle();
            }
            Phase::Settle if self.settled => {
                self.enter(Phase::Fresh);
                self.checks.membership();
                self.ask_all(self.config.clients);
            }
            Phase::Fresh if answered => {
                self.enter(Phase::Resize);
                let wish = self.wish();
                self.begin_run(0, Want::Resize(wish));
            }
            Phase::Resize if self.resized_in_peace => {
                self.enter(Phase::Round);
                self.checks.membership();
                self.ask_all(1);
            }
            Phase::Round if answered => {
                self.enter(Phase::LastStop);
                (0..self.members.len()).for_each(|at| self.stop(at));
            }
            Phase::LastStop if all_up => {
                self.enter(Phase::LastRound);
                self.ask_all(1);
            }
            Phase::LastRound if answered => {
                self.enter(Phase::Over);
                for at in 0..self.members.len() {
                    self.members[at].store.take_all();
                    self.checks.down(at);
                }
            }
            _ => {}
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_limit = self.now + PEACE_US;
        self.line(NOWHERE, What::Phase, [phase as u64, 0, 0]);
    }

    fn heal(&mut self) {
        self.enter(Phase::Drain);
        self.faults = Faults::default();
        self.mend_all();
        self.forget_runs();
        self.quiet_at = self.now + self.config.store_timeout_us + 2 * DELAY_MAX_US + SLOW_MAX_US;
        // So that something happens by then.
        self.schedule.plan(self.quiet_at, Happening::Run(0));
    }
}

fn first_record(config: &Config, at: usize) -> Option<Record> {
    let seat = Seat::new(config.members, u32::try_from(at).ok()? + 1).ok()?;
    let mut record = Record::new(Definition::of(Kind::Stride(seat)));
    let mark = record.member?.generation.position_at_or_above(config.mark);
    record.raise(mark);
    Some(record)
}
