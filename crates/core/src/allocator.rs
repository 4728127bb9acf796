//! The owner's part of a sequence: a state machine that reserves blocks and serves those who wait.
//!
//! Events go in, actions come out, time is an argument. The shell carries the actions out: it asks
//! the store, answers requests, and calls again with what came of it. At most one question to the
//! store is in flight, so the outcomes of two can never be mixed up.
//!
//! | state | holds | meanwhile |
//! | --- | --- | --- |
//! | opening | nothing | the record is read, or made |
//! | empty | nothing | nothing: nobody has asked yet, or all is spent |
//! | reserving | nothing | a reservation is in flight, or pauses after a failure |
//! | serving | the block under the cursor, and perhaps one beyond a hole | perhaps a refill |
//! | stopping | what is left | what is in flight ends, then the rest is handed back |
//! | ended, broken | nothing | every request is refused with the reason |
//! | elsewhere | nothing | every request is told whom to ask: another server, or another source, since its IDs do not come in blocks |
//!
//! The rules that make it right, each of them attacked by a mutant of the deterministic world:
//!
//! - A block is what the store returned, both ends, after it said that it is durable.
//! - After an indeterminate failure nothing of the attempt is used, and nothing is assumed about
//!   it. The next reservation shows by its start what was lost, and that is booked as burnt.
//! - A block that starts below one that was held before means that the store lost its memory. The
//!   sequence stops, because any number might be a duplicate.
//! - Handing back is tried once and only by value: if the mark is not where this owner left it,
//!   nothing happens.

mod config;
mod demand;
mod event;
mod gathering;
mod holding;
mod queue;
mod raising;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::backoff::pause_us;
use crate::block::Block;
use crate::cursor::Cursor;
use crate::definition::Definition;
use crate::failure::{Failure, FailureKind};
use crate::limits::{CONFLICT_RETRIES_MAX, MARK_MAX, WAITING_MAX};
use crate::record::{HandBack, Record, Reserve};
use crate::time::Instant;

pub use config::{Config, Mutant};
pub use demand::Demand;
pub use event::{Action, AttemptId, Event, Observation, Refusal};
use gathering::Gathering;
use holding::Holding;
pub use holding::{Burn, Burnt, Tally};
use queue::{Queue, Raising, Waiting};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Life {
    Opening,
    Serving,
    Stopping,
    Ended,
    Broken(Failure),
    /// This owner issues nothing, and what everybody is told.
    Elsewhere(Refusal),
}

#[derive(Debug, Clone, Copy)]
enum Question {
    Open,
    Reserve(Reserve),
    Raise(u64),
    HandBack(HandBack),
}

/// The allocator of one sequence. See the [module](self).
#[derive(Debug)]
pub struct Allocator<R> {
    config: Config,
    life: Life,
    definition: Option<Definition>,
    /// See [`Record::generation`].
    generation: u32,
    /// See [`Reserve::turn`].
    turn: u64,
    holding: Holding,
    demand: Demand,
    queue: Queue<R>,
    gathering: Gathering,
    in_flight: Option<(AttemptId, Question)>,
    attempts: u64,
    refill_due: bool,
    /// The store knows less than this owner has spent, so a clean stop has something to write.
    dirty: bool,
    failures_in_row: u32,
    retry_at: Option<Instant>,
    last_failure: Option<Failure>,
    waits: u64,
    retries: u64,
}

impl<R> Allocator<R> {
    /// An allocator that will spend through `cursor`, which must be closed and nobody else's. It
    /// asks for the record as soon as it is first called.
    pub fn new(config: Config, cursor: Arc<Cursor>) -> Self {
        Self {
            config,
            life: Life::Opening,
            definition: None,
            generation: 0,
            turn: 0,
            holding: Holding::new(cursor),
            demand: Demand::new(config.block_len, config.auto_min, config.auto_max),
            queue: Queue::new(),
            gathering: Gathering::default(),
            in_flight: None,
            attempts: 0,
            refill_due: false,
            dirty: false,
            failures_in_row: 0,
            retry_at: None,
            last_failure: None,
            waits: 0,
            retries: 0,
        }
    }

    /// Takes in what happened at `now` and appends to `out` what is to be done.
    pub fn handle(&mut self, now: Instant, event: Event<R>, out: &mut Vec<Action<R>>) {
        self.handle_all(now, [event], out);
    }

    /// As [`Allocator::handle`], for all that has happened by `now`. The store is asked only after
    /// the last, so that requests which came together share a reservation.
    pub fn handle_all(
        &mut self,
        now: Instant,
        events: impl IntoIterator<Item = Event<R>>,
        out: &mut Vec<Action<R>>,
    ) {
        for event in events {
            self.take_in(now, event, out);
        }
        self.refuse_late(now, out);
        self.pump(now, out);
    }

    fn take_in(&mut self, now: Instant, event: Event<R>, out: &mut Vec<Action<R>>) {
        match event {
            Event::Wanted { request, count, deadline } => {
                self.wanted(Waiting { request, count, deadline }, out);
            }
            Event::Raise { request, floor, deadline } => {
                self.raise_asked(Raising { request, floor: floor.min(MARK_MAX), deadline }, out);
            }
            Event::LowWater => self.refill_due = true,
            Event::Opened(attempt, record, turn) => self.opened(attempt, record, turn, out),
            Event::OwnedBy(attempt, server, kind) => {
                self.answered(attempt);
                self.leave(&Refusal::OwnedBy(server, kind), out);
            }
            Event::LeaseEnded => self.lease_ended(out),
            Event::Reserved(attempt, block) => self.reserved(now, attempt, block, out),
            Event::Raised(attempt, mark) => self.raised(attempt, mark, out),
            Event::HandedBack(attempt, done) => self.handed_back(attempt, done, out),
            Event::Failed(attempt, failure) => self.failed(now, attempt, failure, out),
            Event::Undelivered(block) => self.holding.undelivered(block),
            Event::Tick => {}
            Event::Stop => self.stop(out),
        }
    }

    /// Books IDs that were taken, and must not be answered since the lease has ended, as burnt.
    pub fn forget(&mut self, taken: Block) {
        self.holding.forget(taken);
    }

    /// Forgets the waiting requests that `gone` picks: whoever asked does not wait any more.
    pub fn abandon(&mut self, gone: impl FnMut(&R) -> bool) {
        self.queue.abandon(gone);
    }

    /// When to call with [`Event::Tick`] at the latest, if nothing else happens before.
    pub fn next_wake(&self, now: Instant) -> Option<Instant> {
        let retry = if self.in_flight.is_none() { self.retry_at } else { None };
        let moments = [retry, self.queue.first_deadline(), self.gathers_until(now)];
        moments.into_iter().flatten().min()
    }

    /// What there is to see. It is exact if nothing is taken from the cursor meanwhile, and
    /// otherwise as of some moment during the call.
    pub fn observe(&self) -> Observation {
        let next = self.holding.next_id();
        Observation {
            definition: self.definition,
            block_len: self.demand.block_len(),
            mark: self.holding.mark(),
            next,
            last: self.holding.last_id(),
            held: self.holding.held(),
            tally: self.holding.tally(),
            waiting: self.queue.waiting.len(),
            waits: self.waits,
            retries: self.retries,
        }
    }

    fn wanted(&mut self, waiting: Waiting<R>, out: &mut Vec<Action<R>>) {
        let refusal = match &self.life {
            Life::Broken(failure) => Some(Refusal::Store(failure.clone())),
            Life::Elsewhere(refusal) => Some(refusal.clone()),
            Life::Stopping | Life::Ended => Some(Refusal::Stopping),
            Life::Opening | Life::Serving if self.queue.waiting.len() >= WAITING_MAX => {
                Some(Refusal::Overloaded)
            }
            Life::Opening | Life::Serving => None,
        };
        if let Some(refusal) = refusal {
            out.push(Action::Refuse(waiting.request, refusal));
            return;
        }
        self.queue.push_waiting(waiting);
        self.waits += 1;
        // Whoever waited before is still not served, so nobody behind them can be.
        if self.queue.waiting.len() == 1 {
            self.settle(out);
        }
    }

    /// Matches an answer of the store to the question in flight. An answer to no question would be
    /// a defect of the shell: taking it for another's could issue what is not durable.
    fn answered(&mut self, attempt: AttemptId) -> Question {
        let (asked, question) = self.in_flight.take().expect("an answer follows a question");
        assert_eq!(asked, attempt, "the answer is to the question in flight");
        question
    }

    fn succeeded(&mut self) {
        self.failures_in_row = 0;
        self.retry_at = None;
        self.last_failure = None;
    }

    fn opened(&mut self, attempt: AttemptId, record: Record, turn: u64, out: &mut Vec<Action<R>>) {
        self.answered(attempt);
        self.succeeded();
        if !record.definition.kind.name().has_blocks() {
            self.leave(&Refusal::OtherKind(Box::new(record)), out);
            return;
        }
        self.definition = Some(record.definition);
        self.generation = record.generation();
        self.turn = turn;
        let block_len = record.definition.block_len.unwrap_or(self.config.block_len);
        self.demand = Demand::new(block_len, self.config.auto_min, self.config.auto_max);
        self.holding.begin(&record);
        if self.life == Life::Opening {
            self.life = Life::Serving;
        }
        self.settle(out);
    }

    /// Ends, since somebody else has the IDs. Whoever is on the way is told the same.
    fn leave(&mut self, refusal: &Refusal, out: &mut Vec<Action<R>>) {
        self.in_flight = None;
        self.holding.burn_all(Burn::Fenced);
        self.refuse_all(refusal, out);
        self.life = Life::Elsewhere(refusal.clone());
        out.push(Action::Ended);
    }

    /// The lease of this server has ended: what it holds is worth nothing any more, since another
    /// server may have issued larger IDs.
    fn lease_ended(&mut self, out: &mut Vec<Action<R>>) {
        match self.life {
            Life::Opening | Life::Serving => self.leave(&Refusal::Moved, out),
            Life::Stopping => {
                if let Some((_, Question::HandBack(unissued))) = self.in_flight.take() {
                    self.holding.burn(Burn::Stop, unissued.end - unissued.start);
                }
                self.holding.burn_all(Burn::Fenced);
                self.refuse_all(&Refusal::Stopping, out);
                self.life = Life::Ended;
                out.push(Action::Ended);
            }
            Life::Broken(_) => self.stop(out),
            Life::Ended | Life::Elsewhere(_) => {}
        }
    }

    fn reserved(
        &mut self,
        now: Instant,
        attempt: AttemptId,
        block: Block,
        out: &mut Vec<Action<R>>,
    ) {
        let question = self.answered(attempt);
        let Question::Reserve(asked) = question else {
            unreachable!("a block answers a reservation, not {question:?}");
        };
        self.succeeded();
        self.refill_due = false;
        if self.is_mutant(Mutant::AdoptBeforeCommit) {
            return;
        }
        let block = if self.is_mutant(Mutant::StartBySubtraction) {
            Block::new(block.end().saturating_sub(asked.len).max(1), block.end()).unwrap_or(block)
        } else if block.start() < self.holding.mark() || block.start() < asked.floor {
            let known = self.holding.mark().max(asked.floor);
            self.break_down(Failure::state_lost(block.start(), known), out);
            return;
        } else {
            block
        };
        let waited = self.queue.waiting.len();
        self.adopt(block, out);
        let waiting = self.queue.waiting.len();
        self.gathering.served(now, waited - waiting, waiting);
    }

    fn adopt(&mut self, block: Block, out: &mut Vec<Action<R>>) {
        if !self.is_mutant(Mutant::HoleNotBooked) {
            self.holding.book_hole_before(block.start());
        }
        if self.is_mutant(Mutant::NewestBlockFirst) && self.holding.held() > 0 {
            self.holding.put_in_front(block);
        } else {
            self.refill_due |=
                self.holding.adopt(block, self.queue.waiting.is_empty(), &self.demand);
        }
        self.settle(out);
    }

    fn handed_back(&mut self, attempt: AttemptId, done: bool, out: &mut Vec<Action<R>>) {
        let question = self.answered(attempt);
        let Question::HandBack(unissued) = question else {
            unreachable!("an end answers a hand-back, not {question:?}");
        };
        if !done {
            self.holding.burn(Burn::Stop, unissued.end - unissued.start);
        }
        self.life = Life::Ended;
        out.push(Action::Ended);
    }

    fn failed(
        &mut self,
        now: Instant,
        attempt: AttemptId,
        failure: Failure,
        out: &mut Vec<Action<R>>,
    ) {
        let question = self.answered(attempt);
        if let Question::HandBack(unissued) = question {
            // Never tried again: a repetition could meet a mark that it does not know.
            self.holding.burn(Burn::Stop, unissued.end - unissued.start);
            self.life = Life::Ended;
            out.push(Action::Ended);
            return;
        }
        match failure.kind {
            FailureKind::Unavailable | FailureKind::Indeterminate | FailureKind::Conflict => {
                self.failed_for_now(now, question, failure, out);
            }
            FailureKind::Exhausted => {
                self.succeeded();
                self.holding.exhaust();
                self.settle(out);
            }
            FailureKind::NotFound if matches!(question, Question::Open) => {
                self.refuse_all(&Refusal::Store(failure.clone()), out);
                // Whoever is on the way is refused for the same reason.
                self.life = Life::Broken(failure);
                out.push(Action::Ended);
            }
            FailureKind::Fenced if self.life == Life::Serving => {
                self.leave(&Refusal::Moved, out);
            }
            FailureKind::Fenced if self.life == Life::Stopping => {
                self.leave(&Refusal::Stopping, out);
            }
            FailureKind::Fenced
            | FailureKind::NotFound
            | FailureKind::Invalid
            | FailureKind::Corrupt => self.break_down(failure, out),
        }
    }

    fn failed_for_now(
        &mut self,
        now: Instant,
        question: Question,
        failure: Failure,
        out: &mut Vec<Action<R>>,
    ) {
        self.failures_in_row = self.failures_in_row.saturating_add(1);
        self.retries += 1;
        let at_once =
            failure.kind == FailureKind::Conflict && self.failures_in_row <= CONFLICT_RETRIES_MAX;
        let pause = if at_once { 0 } else { pause_us(self.failures_in_row) };
        self.retry_at = Some(now.plus_micros(pause));
        if failure.kind == FailureKind::Indeterminate
            && let Question::Reserve(asked) = question
        {
            self.holding.doubt(asked.len);
        }
        if self.is_mutant(Mutant::NeverRetry) {
            self.retry_at = Some(Instant::from_micros(u64::MAX));
        }
        if self.is_mutant(Mutant::ForgetWaiting) {
            self.queue.waiting.clear();
        }
        if self.is_mutant(Mutant::AdoptAfterIndeterminate)
            && failure.kind == FailureKind::Indeterminate
            && let Question::Reserve(asked) = question
            && let Some(block) = Block::new(asked.floor, asked.floor.saturating_add(asked.len))
        {
            self.adopt(block, out);
        }
        if self.life == Life::Stopping {
            self.refuse_all(&Refusal::Late(Some(failure.clone())), out);
        }
        self.last_failure = Some(failure);
    }

    /// Gives up everything and refuses everybody, now and from now on.
    fn break_down(&mut self, failure: Failure, out: &mut Vec<Action<R>>) {
        self.holding.burn_all(Burn::Broken);
        self.refuse_all(&Refusal::Store(failure.clone()), out);
        if self.life == Life::Stopping {
            self.life = Life::Ended;
            out.push(Action::Ended);
        } else {
            self.life = Life::Broken(failure);
        }
    }

    fn refuse_all(&mut self, refusal: &Refusal, out: &mut Vec<Action<R>>) {
        out.extend(self.queue.take_all().into_iter().map(|r| Action::Refuse(r, refusal.clone())));
    }

    fn refuse_late(&mut self, now: Instant, out: &mut Vec<Action<R>>) {
        let late = self.queue.take_late(now);
        if late.is_empty() {
            return;
        }
        let refusal = Refusal::Late(self.last_failure.clone());
        out.extend(late.into_iter().map(|request| Action::Refuse(request, refusal.clone())));
        // Those in front may have blocked smaller requests behind them.
        self.settle(out);
    }

    /// Serves those who wait, first come first served, from what is held.
    fn settle(&mut self, out: &mut Vec<Action<R>>) {
        if !matches!(self.life, Life::Serving | Life::Stopping) || self.definition.is_none() {
            return;
        }
        if !self.queue.waiting.is_empty() {
            self.holding.close();
            while let Some(waiting) = self.queue.waiting.front() {
                let count = waiting.count.get();
                if let Some(block) = self.holding.draw(count) {
                    let waiting = self.queue.waiting.pop_front().expect("looked at");
                    out.push(Action::Issue(waiting.request, block));
                    // Whoever comes next should not have to wait as well.
                    self.refill_due |= self.holding.held() <= self.demand.low_water();
                } else if self.holding.is_exhausted() {
                    let waiting = self.queue.waiting.pop_front().expect("looked at");
                    let left = self.holding.held();
                    out.push(Action::Refuse(waiting.request, Refusal::Exhausted { left }));
                } else {
                    break;
                }
            }
        }
        self.refill_due |= self.holding.open(&self.demand);
    }

    /// Asks the store for what is needed next, if it is free to be asked.
    fn pump(&mut self, now: Instant, out: &mut Vec<Action<R>>) {
        let pausing = self.retry_at.is_some_and(|at| now < at) && self.life != Life::Stopping;
        if self.in_flight.is_some() || pausing {
            return;
        }
        self.retry_at = None;
        match self.life {
            Life::Opening => self.ask(Question::Open, out),
            Life::Serving => self.pump_serving(now, out),
            Life::Stopping if self.queue.is_empty() => self.finish(out),
            Life::Stopping if self.definition.is_none() => self.ask(Question::Open, out),
            Life::Stopping => self.pump_serving(now, out),
            Life::Ended | Life::Broken(_) | Life::Elsewhere(_) => {}
        }
    }

    fn pump_serving(&mut self, now: Instant, out: &mut Vec<Action<R>>) {
        if let Some(floor) = self.raise_by_memory(out) {
            self.ask(Question::Raise(floor), out);
            return;
        }
        if self.holding.is_exhausted() {
            return;
        }
        if self.gathers_until(now).is_some() {
            return;
        }
        let wanted = self.queue.wanted();
        let refill = self.refill_due && self.demand.refills_ahead() && self.holding.has_room();
        if wanted > 0 || (refill && self.life == Life::Serving) {
            let len = self.demand.reserve_len(now, self.holding.tally().issued, wanted);
            let spent = self.holding.spent();
            self.gathering.asked(now);
            let floor = self.holding.mark();
            let wanted =
                Reserve { floor, len, spent, generation: self.generation, turn: self.turn };
            self.ask(Question::Reserve(wanted), out);
        }
    }

    /// Until when the next reservation waits for more requests to join it, if it does.
    fn gathers_until(&self, now: Instant) -> Option<Instant> {
        let gathers = !self.demand.refills_ahead()
            && self.life == Life::Serving
            && self.in_flight.is_none()
            && !self.queue.waiting.is_empty();
        if gathers { self.gathering.goes_on_until(now, self.queue.waiting.len()) } else { None }
    }

    fn stop(&mut self, out: &mut Vec<Action<R>>) {
        match self.life {
            Life::Opening | Life::Serving => self.life = Life::Stopping,
            Life::Broken(_) => {
                self.life = Life::Ended;
                out.push(Action::Ended);
            }
            Life::Stopping | Life::Ended | Life::Elsewhere(_) => {}
        }
    }

    /// Nobody waits any more: hand back what is left, once.
    fn finish(&mut self, out: &mut Vec<Action<R>>) {
        let opened_at = self.holding.opened_at();
        let mut unissued = HandBack { turn: self.turn, ..self.holding.give_up() };
        if self.is_mutant(Mutant::HandBackIssued) {
            unissued.start = opened_at.unwrap_or(unissued.start);
        }
        if self.dirty {
            self.ask(Question::HandBack(unissued), out);
        } else {
            self.life = Life::Ended;
            out.push(Action::Ended);
        }
    }

    fn ask(&mut self, question: Question, out: &mut Vec<Action<R>>) {
        let attempt = AttemptId(self.attempts);
        self.attempts += 1;
        self.in_flight = Some((attempt, question));
        self.dirty |= !matches!(question, Question::Open);
        out.push(match question {
            Question::Open => Action::Open(attempt),
            Question::Reserve(asked) => Action::Reserve(attempt, asked),
            Question::Raise(floor) => Action::Raise(attempt, floor),
            Question::HandBack(unissued) => Action::HandBack(attempt, unissued),
        });
        if self.is_mutant(Mutant::AdoptBeforeCommit)
            && let Question::Reserve(asked) = question
            && let Some(block) = Block::new(asked.floor, asked.floor.saturating_add(asked.len))
        {
            self.adopt(block, out);
        }
    }

    #[cfg(feature = "mutants")]
    fn is_mutant(&self, mutant: Mutant) -> bool {
        self.config.mutant == Some(mutant)
    }

    #[cfg(not(feature = "mutants"))]
    #[expect(clippy::unused_self, reason = "the same call in both builds")]
    const fn is_mutant(&self, _: Mutant) -> bool {
        false
    }
}
