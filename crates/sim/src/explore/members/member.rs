//! A member: the shell around the core, as `crates/server` is. Connections spend the cursor, an
//! owner drives the allocator, and what the allocator wants is carried out.

use std::collections::VecDeque;
use std::sync::Arc;

use ticketd_core::allocator::{Action, Allocator, AttemptId, Config, Event, Refusal};
use ticketd_core::block::Block;
use ticketd_core::count::Count;
use ticketd_core::cursor::Cursor;
use ticketd_core::definition::BlockLen;
use ticketd_core::failure::{Failure, FailureKind};
use ticketd_core::stride::Generation;
use ticketd_core::time::Instant;

use super::check::Refused;
use super::clients::{Answer, State, Wish};
use super::schedule::{Happening, Note};
use super::step::{Lock, Running};
use super::store::{Op, Reply, Store};
use super::words::What;
use super::world::World;
use crate::explore::stats::Mark;

/// Whether there is a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Down,
    Up,
    Stopping,
}

/// A question to the store that an owner waits for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) message: u64,
    pub(super) attempt: AttemptId,
    pub(super) is_hand_back: bool,
}

/// An open sequence and its owner.
#[derive(Debug)]
pub(super) struct Owner {
    /// Which of all that the world has seen.
    pub(super) number: u64,
    allocator: Allocator<usize>,
    cursor: Arc<Cursor>,
    pub(super) pending: Option<Pending>,
    /// As it was when the sequence was opened: its number, and what positions stand for.
    pub(super) generation: Option<(u32, Generation)>,
    /// When the allocator will be woken; `u64::MAX` if not.
    wake: u64,
    /// It was told to hand back and end.
    closing: bool,
    ended: bool,
}

/// A server that may be a member.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) life: u32,
    pub(super) standing: Standing,
    pub(super) store: Store,
    pub(super) owner: Option<Owner>,
    /// Its process stands still until then.
    pub(super) paused_until: u64,
    /// Steps and raises that keep each other out.
    pub(super) locks: VecDeque<Lock>,
    pub(super) raises: usize,
    pub(super) step: Option<Running>,
    /// Requests that wait until the step is over.
    pub(super) shut_out: Vec<usize>,
}

impl Member {
    pub(super) const fn new(store: Store) -> Self {
        Self {
            life: 0,
            standing: Standing::Down,
            store,
            owner: None,
            paused_until: 0,
            locks: VecDeque::new(),
            raises: 0,
            step: None,
            shut_out: Vec::new(),
        }
    }

    /// Forgets what a process has in memory.
    pub(super) fn forget(&mut self) {
        self.standing = Standing::Down;
        self.owner = None;
        self.locks.clear();
        self.raises = 0;
        self.step = None;
        self.shut_out.clear();
    }

    pub(super) fn is_owned_by(&self, number: u64) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.number == number)
    }

    /// The first position that may still be issued.
    pub(super) fn next(&self) -> Option<u64> {
        self.owner.as_ref().map(|owner| owner.allocator.observe().next)
    }
}

impl World {
    /// Opens the sequence: who is its owner begins.
    pub(super) fn open(&mut self, at: usize) {
        self.owners += 1;
        let cursor = Arc::new(Cursor::closed());
        let allocator = Allocator::new(self.allocator_config(), Arc::clone(&cursor));
        self.members[at].owner = Some(Owner {
            number: self.owners,
            allocator,
            cursor,
            pending: None,
            generation: None,
            wake: u64::MAX,
            closing: false,
            ended: false,
        });
        self.checks.owner_begins(at);
        self.line(at, What::OwnerBegins, [self.owners, 0, 0]);
        self.tell(at, Event::Tick);
    }

    fn allocator_config(&self) -> Config {
        Config {
            block_len: self.config.block_len,
            auto_min: self.config.auto_min,
            auto_max: self.config.auto_max,
            #[cfg(feature = "mutants")]
            mutant: self.bug.core(),
        }
    }

    /// Takes IDs from the cursor for a request, if it has enough.
    pub(super) fn hot_take(&mut self, id: usize, count: u64) -> bool {
        let at = self.requests[id].at;
        let Some(owner) = &self.members[at].owner else { return false };
        let Some(taken) = owner.cursor.take(count) else { return false };
        let (block, gone) = (taken.block, self.requests[id].gone);
        self.stats.mark(Mark::HotTake);
        self.line(at, What::HotTake, [id as u64, block.start(), block.end()]);
        if taken.refill_due {
            self.post(at, Note::LowWater);
        }
        self.issued(at, id, block);
        if gone {
            self.stats.mark(Mark::HotUndelivered);
            self.post(at, Note::Undelivered(block));
        }
        true
    }

    /// Positions become IDs, and are answered.
    fn issued(&mut self, at: usize, id: usize, block: Block) {
        let owner = self.members[at].owner.as_ref();
        let opened = owner.and_then(|owner| owner.generation);
        let (number, generation) = opened.expect("nothing is issued before the record was read");
        let range = generation.ids_of(block);
        let Wish::Take(count) = self.requests[id].wish else {
            self.checks.find("range", format!("request {id} asked for no IDs"));
            return;
        };
        self.stats.issued += block.len();
        self.line(at, What::Issued, [range.first, range.last(), u64::from(number)]);
        let known = self.requests[id].known;
        self.checks.issue(at, known, count, block, range, number);
        self.send(id, Answer::Ids(range));
    }

    /// Sends a message to the owner.
    pub(super) fn post(&mut self, at: usize, note: Note) {
        let then = self.now + self.draw.between(0, self.config.mailbox_us);
        let owner = self.members[at].owner.as_ref().map_or(0, |owner| owner.number);
        self.schedule.plan(then, Happening::Tell { at, owner, note });
    }

    /// The owner reads a message.
    pub(super) fn hear_note(&mut self, at: usize, owner: u64, note: Note) {
        if !self.members[at].is_owned_by(owner) {
            // It has ended meanwhile: whoever waits may ask the next one.
            if let Note::Wanted(id) = note
                && self.requests[id].state == State::Waiting
            {
                self.requests[id].told_at = self.now;
                self.try_again(id);
            }
            return;
        }
        match note {
            Note::Wanted(id) => self.hear_wanted(at, id),
            Note::LowWater => {
                self.stats.mark(Mark::LowWater);
                self.tell(at, Event::LowWater);
            }
            Note::Undelivered(block) => self.tell_undelivered(at, block),
            Note::Close => {
                self.line(at, What::Close, [0; 3]);
                self.close_owner(at);
            }
        }
    }

    pub(super) fn close_owner(&mut self, at: usize) {
        if let Some(owner) = &mut self.members[at].owner {
            owner.closing = true;
            self.tell(at, Event::Stop);
        }
    }

    fn hear_wanted(&mut self, at: usize, id: usize) {
        if self.requests[id].state != State::Waiting {
            return;
        }
        self.requests[id].told_at = self.now;
        let deadline = Instant::from_micros(self.requests[id].deadline);
        self.stats.mark(Mark::Waited);
        match self.requests[id].wish {
            Wish::Take(count) => {
                self.line(at, What::Wanted, [id as u64, count, 0]);
                self.checks.wait(at, count);
                let count = Count::new(count).expect("clients ask for 1 to COUNT_MAX");
                self.tell(at, Event::Wanted { request: id, count, deadline });
            }
            Wish::Raise(_) => {
                let floor = self.requests[id].floor;
                self.line(at, What::WantsRaise, [id as u64, floor, 0]);
                self.tell(at, Event::Raise { request: id, floor, deadline });
            }
        }
    }

    fn tell_undelivered(&mut self, at: usize, block: Block) {
        self.checks.undelivered(at, block);
        self.tell(at, Event::Undelivered(block));
    }

    /// The owner is woken by its own clock.
    pub(super) fn wake(&mut self, at: usize, number: u64) {
        let Some(owner) = &mut self.members[at].owner else { return };
        // One that was planned before an earlier one is not needed; one that comes late is.
        if owner.number != number || owner.wake > self.now {
            return;
        }
        owner.wake = u64::MAX;
        self.tell(at, Event::Tick);
    }

    /// The store's answer reaches whoever asked.
    pub(super) fn hear_reply(&mut self, at: usize, message: u64, reply: Reply) {
        if self.members[at].step.as_ref().is_some_and(|step| step.message == Some(message)) {
            self.step_stored(at, reply);
            return;
        }
        let pending = self.members[at].owner.as_ref().and_then(|owner| owner.pending);
        let Some(pending) = pending.filter(|pending| pending.message == message) else {
            self.stats.mark(Mark::ReplyTooLate);
            self.line(at, What::ReplyTooLate, [message, 0, 0]);
            return;
        };
        if let Some(owner) = &mut self.members[at].owner {
            owner.pending = None;
        }
        if self.draw.chance(700) {
            self.abandon(at);
        }
        let attempt = pending.attempt;
        match reply {
            Reply::Opened(record) => {
                self.line(at, What::Opened, [record.mark, u64::from(record.generation()), 0]);
                if let (Some(owner), Some(member)) = (&mut self.members[at].owner, record.member) {
                    owner.generation.get_or_insert((member.number, member.generation));
                }
                self.checks.opened(at, &record);
                self.tell(at, Event::Opened(attempt, record, 0));
            }
            Reply::Reserved(block) => {
                self.line(at, What::Reserved, [block.start(), block.end(), 0]);
                self.checks.reserved(at, block);
                self.tell(at, Event::Reserved(attempt, block));
            }
            Reply::Raised(mark) => {
                self.stats.mark(Mark::RaisedByStore);
                self.checks.raised(at, mark);
                self.tell(at, Event::Raised(attempt, mark));
            }
            Reply::HandedBack(done) => {
                self.stats.mark(if done { Mark::HandedBack } else { Mark::HandBackRefused });
                self.line(at, What::HandedBack, [u64::from(done), 0, 0]);
                self.checks.handed_back(at, done);
                self.tell(at, Event::HandedBack(attempt, done));
            }
            Reply::Failed(kind) => self.hear_failure(at, pending, kind),
            Reply::Resized(_) => self.checks.find("refusal", "an owner takes no step".to_owned()),
        }
    }

    fn hear_failure(&mut self, at: usize, pending: Pending, kind: FailureKind) {
        self.line(at, What::Failed, [pending.message, kind as u64, 0]);
        self.checks.failed(at, kind, pending.is_hand_back);
        let failure = Failure::new(kind, "the world's store fails as it was told");
        self.tell(at, Event::Failed(pending.attempt, failure));
    }

    /// The owner does not wait for the store any longer; what came of the question is unknown.
    pub(super) fn time_out(&mut self, at: usize, message: u64) {
        let pending = self.members[at].owner.as_ref().and_then(|owner| owner.pending);
        if pending.is_some_and(|pending| pending.message == message) {
            self.stats.mark(Mark::TimedOut);
            self.hear_reply(at, message, Reply::Failed(FailureKind::Indeterminate));
        }
    }

    /// Tells the allocator which of those who wait are gone.
    fn abandon(&mut self, at: usize) {
        let (requests, checks, stats) = (&mut self.requests, &mut self.checks, &mut self.stats);
        let Some(owner) = &mut self.members[at].owner else { return };
        let mut raises = Vec::new();
        owner.allocator.abandon(|&id| {
            let request = &mut requests[id];
            if request.gone {
                request.state = State::Done;
                stats.mark(Mark::Abandoned);
                match request.wish {
                    Wish::Take(count) => checks.wait_no_more(at, count),
                    Wish::Raise(_) => raises.push(id),
                }
            }
            request.gone
        });
        raises.into_iter().for_each(|id| self.raise_over(id));
    }

    /// Gives an event to an allocator, carries out what it wants, and compares the books.
    pub(super) fn tell(&mut self, at: usize, event: Event<usize>) {
        let now = Instant::from_micros(self.now);
        let mut actions = std::mem::take(&mut self.actions);
        let Some(owner) = &mut self.members[at].owner else { return };
        owner.allocator.handle(now, event, &mut actions);
        for action in actions.drain(..) {
            self.act(at, action);
        }
        self.actions = actions;
        self.compare(at);
        self.plan_wake(at);
        while let Some((at, block)) = self.undelivered.pop() {
            self.tell_undelivered(at, block);
        }
        if self.members[at].owner.as_ref().is_some_and(|owner| owner.ended) {
            self.owner_ended(at);
        }
    }

    fn compare(&mut self, at: usize) {
        let Some(owner) = &self.members[at].owner else { return };
        let seen = owner.allocator.observe();
        let block_len = match seen.block_len {
            BlockLen::Auto => self.config.auto_max,
            BlockLen::Fixed(len) => len,
        };
        self.checks.compare(at, &seen, block_len);
    }

    fn plan_wake(&mut self, at: usize) {
        let now = Instant::from_micros(self.now);
        let Some(owner) = &mut self.members[at].owner else { return };
        let Some(moment) = owner.allocator.next_wake(now) else { return };
        let moment = moment.as_micros().max(self.now);
        if moment < owner.wake {
            owner.wake = moment;
            let owner = owner.number;
            self.schedule.plan(moment, Happening::Wake { at, owner });
        }
    }

    fn act(&mut self, at: usize, action: Action<usize>) {
        match action {
            Action::Open(attempt) => self.ask_store(at, attempt, Op::Open),
            Action::Reserve(attempt, asked) => {
                self.checks.asks(at, asked);
                self.ask_store(at, attempt, Op::Reserve(asked));
            }
            Action::Raise(attempt, floor) => self.ask_store(at, attempt, Op::Raise(floor)),
            Action::HandBack(attempt, unissued) => {
                self.checks.hand_back(at, unissued);
                self.ask_store(at, attempt, Op::HandBack(unissued));
            }
            Action::Issue(id, block) => {
                self.line(at, What::Issue, [id as u64, block.start(), block.end()]);
                self.checks.wait_no_more(at, block.len());
                self.check_in_time(id);
                self.issued(at, id, block);
                if self.requests[id].gone {
                    self.stats.mark(Mark::Undelivered);
                    self.undelivered.push((at, block));
                }
            }
            Action::Acknowledge(id) => self.acknowledge(at, id),
            Action::Refuse(id, refusal) => self.refuse(at, id, &refusal),
            Action::Ended => {
                if let Some(owner) = &mut self.members[at].owner {
                    owner.ended = true;
                }
            }
        }
    }

    fn acknowledge(&mut self, at: usize, id: usize) {
        let Wish::Raise(to) = self.requests[id].wish else { return };
        let floor = self.requests[id].floor;
        self.line(at, What::Acknowledge, [id as u64, floor, to]);
        self.check_in_time(id);
        if self.checks.acknowledge(at, floor) {
            self.stats.mark(Mark::RaiseBurn);
        }
        self.raise_over(id);
        self.send(id, Answer::Raised(to));
    }

    fn refuse(&mut self, at: usize, id: usize, refusal: &Refusal) {
        let (count, floor) = match self.requests[id].wish {
            Wish::Take(count) => (count, 0),
            Wish::Raise(_) => (0, self.requests[id].floor),
        };
        self.checks.wait_no_more(at, count);
        let owner = self.members[at].owner.as_ref();
        let closing = owner.is_some_and(|owner| owner.closing);
        let (now, deadline) = (self.now, self.requests[id].deadline);
        self.checks.refuse(at, refusal, Refused { now, deadline, closing, count, floor });
        if matches!(refusal, Refusal::Stopping | Refusal::Moved) {
            // It is closed for a moment, perhaps: somebody else may be there to ask.
            self.try_again(id);
            return;
        }
        let mark = match refusal {
            Refusal::Late(_) => Some(Mark::LateRefused),
            Refusal::Exhausted { .. } => Some(Mark::ExhaustedRefused),
            Refusal::Lowering { .. } => Some(Mark::LoweringRefused),
            Refusal::Store(failure) if failure.kind == FailureKind::Invalid => {
                Some(Mark::LeftRefused)
            }
            Refusal::Store(_) => Some(Mark::MissingRefused),
            _ => None,
        };
        mark.into_iter().for_each(|mark| self.stats.mark(mark));
        self.check_in_time(id);
        self.raise_over(id);
        self.refuse_with(id, matches!(refusal, Refusal::Exhausted { .. }));
    }

    /// Whoever waits is told at the deadline at the latest, but for a process that stands still.
    pub(super) fn check_in_time(&mut self, id: usize) {
        let request = &self.requests[id];
        let resumed = self.members[request.at].paused_until;
        let latest = request.deadline.max(request.told_at).max(resumed);
        if request.state != State::Waiting {
            self.checks.find("liveness", format!("request {id} is answered twice"));
        } else if self.now > latest {
            let message = format!("request {id} is answered at {}, not by {latest}", self.now);
            self.checks.find("liveness", message);
        }
    }

    fn owner_ended(&mut self, at: usize) {
        self.line(at, What::OwnerEnded, [0; 3]);
        self.members[at].owner = None;
        self.checks.owner_ended(at);
        self.owner_closed(at);
    }
}
