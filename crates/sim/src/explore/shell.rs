//! The server's shell around the core, as the real one is: connections spend the cursors, owners
//! drive the allocators, and what the allocators want is carried out.

use std::sync::Arc;

use ticketd_core::allocator::{Action, Allocator, AttemptId, Config, Event, Refusal};
use ticketd_core::block::Block;
use ticketd_core::count::Count;
use ticketd_core::cursor::Cursor;
use ticketd_core::definition::BlockLen;
use ticketd_core::failure::{Failure, FailureKind};
use ticketd_core::limits::{COUNT_MAX, ID_MAX};
use ticketd_core::time::Instant;

use super::check::Refused;
use super::clients::{Answer, RequestId, State, Wish};
use super::schedule::{Happening, Note};
use super::stats::Mark;
use super::store::{Op, Reply};
use super::words::What;
use super::world::World;

/// Whether there is a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Down,
    Up,
    Stopping,
}

/// A question to the store that the shell waits for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) message: u64,
    pub(super) attempt: AttemptId,
    pub(super) is_hand_back: bool,
}

/// One sequence of a running server.
#[derive(Debug)]
pub(super) struct Seat {
    allocator: Allocator<RequestId>,
    cursor: Arc<Cursor>,
    pub(super) pending: Option<Pending>,
    /// When the allocator will be woken; `u64::MAX` if not.
    wake: u64,
    ended: bool,
}

/// The server: one at a time.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) life: u32,
    pub(super) standing: Standing,
    pub(super) seats: Vec<Seat>,
    /// The lives that ended in a crash.
    pub(super) crashed: Vec<u32>,
}

impl Server {
    pub(super) const fn new() -> Self {
        Self { life: 0, standing: Standing::Down, seats: Vec::new(), crashed: Vec::new() }
    }

    /// Whether a message is for the server that runs now.
    pub(super) fn lives(&self, life: u32) -> bool {
        self.life == life && self.standing != Standing::Down
    }

    pub(super) fn has_ended(&self) -> bool {
        self.standing == Standing::Stopping && self.seats.iter().all(|seat| seat.ended)
    }
}

impl Seat {
    pub(super) fn new(config: Config) -> Self {
        let cursor = Arc::new(Cursor::closed());
        let allocator = Allocator::new(config, Arc::clone(&cursor));
        Self { allocator, cursor, pending: None, wake: u64::MAX, ended: false }
    }
}

impl World {
    /// Takes IDs from the cursor for a request, if it has enough: `count` of them, or of a `batch`
    /// as many as there are.
    pub(super) fn hot_take(&mut self, id: RequestId, count: u64, batch: bool) -> bool {
        let sequence = self.requests[id.0].sequence;
        let cursor = &self.server.seats[sequence].cursor;
        let taken = if batch { cursor.take_up_to(count) } else { cursor.take(count) };
        let Some(taken) = taken else { return false };
        let (block, gone) = (taken.block, self.requests[id.0].gone);
        self.line(sequence, What::HotTake, [id.0 as u64, block.start(), block.end()]);
        self.stats.mark(Mark::HotTake);
        if taken.refill_due {
            self.post(sequence, Note::LowWater);
        }
        self.issued(id, if batch { 0 } else { count }, block);
        if gone {
            self.stats.mark(Mark::HotUndelivered);
            self.post(sequence, Note::Undelivered(block));
        }
        self.send(id, Answer::Ids(block));
        true
    }

    fn issued(&mut self, id: RequestId, count: u64, block: Block) {
        let request = &self.requests[id.0];
        if count == COUNT_MAX {
            self.stats.mark(Mark::LongRange);
        }
        if block.last() == ID_MAX {
            self.stats.mark(Mark::LastId);
        }
        self.stats.issued += block.len();
        let mark = self.checks.issue(request.sequence, request.known, count, block);
        mark.into_iter().for_each(|mark| self.stats.mark(mark));
    }

    /// Sends a message to the owner of a sequence.
    pub(super) fn post(&mut self, sequence: usize, note: Note) {
        let at = self.now + self.draw.between(0, self.config.mailbox_us);
        let life = self.server.life;
        self.schedule.plan(at, Happening::Tell { life, sequence, note });
    }

    /// The owner reads a message.
    pub(super) fn hear_note(&mut self, sequence: usize, note: Note) {
        match note {
            Note::Wanted(id) => self.hear_wanted(sequence, id),
            Note::LowWater => {
                self.stats.mark(Mark::LowWater);
                self.line(sequence, What::LowWater, [0; 3]);
                self.tell(sequence, Event::LowWater);
            }
            Note::Undelivered(block) => self.tell_undelivered(sequence, block),
        }
    }

    fn hear_wanted(&mut self, sequence: usize, id: RequestId) {
        let request = &mut self.requests[id.0];
        request.told_at = self.now;
        let deadline = Instant::from_micros(request.deadline);
        let wish = request.wish;
        self.stats.mark(Mark::Waited);
        match wish {
            Wish::Take(count) | Wish::Batch(count) => {
                self.line(sequence, What::Wanted, [id.0 as u64, count, 0]);
                self.checks.wait(sequence, count);
                let count = Count::new(count).expect("clients ask for 1 to COUNT_MAX");
                self.tell(sequence, Event::Wanted { request: id, count, deadline });
            }
            Wish::Raise(floor) => {
                self.line(sequence, What::Wanted, [id.0 as u64, 0, 0]);
                self.tell(sequence, Event::Raise { request: id, floor, deadline });
            }
        }
    }

    fn tell_undelivered(&mut self, sequence: usize, block: Block) {
        self.line(sequence, What::Undelivered, [0, block.start(), block.end()]);
        self.checks.undelivered(sequence, block);
        self.tell(sequence, Event::Undelivered(block));
    }

    /// The owner is woken by its own clock.
    pub(super) fn wake(&mut self, sequence: usize) {
        if self.server.seats[sequence].wake != self.now {
            // Planned before an earlier one was, which has done it.
            return;
        }
        self.line(sequence, What::Wake, [0; 3]);
        self.server.seats[sequence].wake = u64::MAX;
        self.tell(sequence, Event::Tick);
    }

    /// The store's answer reaches the owner.
    pub(super) fn hear_reply(&mut self, sequence: usize, message: u64, reply: Reply) {
        let pending = self.server.seats.get(sequence).and_then(|seat| seat.pending);
        let Some(pending) = pending.filter(|pending| pending.message == message) else {
            self.stats.mark(Mark::ReplyTooLate);
            self.line(sequence, What::ReplyTooLate, [message, 0, 0]);
            return;
        };
        self.server.seats[sequence].pending = None;
        if self.draw.chance(700) {
            self.abandon(sequence);
        }
        let attempt = pending.attempt;
        match reply {
            Reply::Opened(record) => {
                self.line(sequence, What::Opened, [0, record.mark, record.spent]);
                if record.unaccounted() > 0 {
                    self.stats.mark(Mark::CrashBurn);
                }
                self.checks.opened(sequence, &record);
                self.tell(sequence, Event::Opened(attempt, record, 0));
            }
            Reply::Reserved(block) => {
                self.line(sequence, What::Reserved, [0, block.start(), block.end()]);
                let mark = self.checks.reserved(sequence, block);
                mark.into_iter().for_each(|mark| self.stats.mark(mark));
                self.tell(sequence, Event::Reserved(attempt, block));
            }
            Reply::Raised(mark) => {
                self.line(sequence, What::Raised, [0, mark, 0]);
                self.stats.mark(Mark::RaisedByStore);
                self.checks.raised(sequence, mark);
                self.tell(sequence, Event::Raised(attempt, mark));
            }
            Reply::HandedBack(done) => {
                self.line(sequence, What::HandedBack, [0, u64::from(done), 0]);
                self.stats.mark(if done { Mark::HandedBack } else { Mark::HandBackRefused });
                self.checks.handed_back(sequence, done);
                self.tell(sequence, Event::HandedBack(attempt, done));
            }
            Reply::Failed(kind) => self.hear_failure(sequence, pending, kind),
        }
    }

    fn hear_failure(&mut self, sequence: usize, pending: Pending, kind: FailureKind) {
        self.line(sequence, What::Failed, [pending.message, kind as u64, 0]);
        if kind == FailureKind::Exhausted {
            self.checks.exhausted(sequence);
        } else {
            self.checks.failed(sequence);
        }
        if pending.is_hand_back {
            self.stats.mark(Mark::HandBackFailed);
            self.checks.handed_back(sequence, false);
        }
        if kind == FailureKind::Corrupt && !pending.is_hand_back {
            self.checks.broken(sequence);
        }
        let failure = Failure::new(kind, "the world's store fails as it was told");
        self.tell(sequence, Event::Failed(pending.attempt, failure));
        let seat = &self.server.seats[sequence];
        let asks_again = seat.pending.is_some();
        if asks_again && kind == FailureKind::Conflict {
            self.stats.mark(Mark::ConflictRetried);
        }
        if !asks_again && !pending.is_hand_back && kind != FailureKind::Exhausted {
            self.stats.mark(Mark::Backoff);
        }
    }

    /// The shell does not wait for the store any longer; what came of the question is unknown.
    pub(super) fn time_out(&mut self, sequence: usize, message: u64) {
        let pending = self.server.seats.get(sequence).and_then(|seat| seat.pending);
        if pending.is_some_and(|pending| pending.message == message) {
            self.stats.mark(Mark::TimedOut);
            self.line(sequence, What::Timeout, [message, 0, 0]);
            self.hear_reply(sequence, message, Reply::Failed(FailureKind::Indeterminate));
        }
    }

    /// Tells the allocator which of those who wait are gone.
    fn abandon(&mut self, sequence: usize) {
        let (requests, checks, stats) = (&mut self.requests, &mut self.checks, &mut self.stats);
        self.server.seats[sequence].allocator.abandon(|id| {
            let request = &mut requests[id.0];
            if request.gone {
                request.state = State::Done;
                stats.mark(Mark::Abandoned);
                if let Wish::Take(count) = request.wish {
                    checks.wait_no_more(sequence, count);
                }
            }
            request.gone
        });
    }

    /// Gives an event to an allocator, carries out what it wants, and compares the books.
    pub(super) fn tell(&mut self, sequence: usize, event: Event<RequestId>) {
        let mut actions = std::mem::take(&mut self.actions);
        let now = Instant::from_micros(self.now);
        self.server.seats[sequence].allocator.handle(now, event, &mut actions);
        for action in actions.drain(..) {
            self.act(sequence, action);
        }
        self.actions = actions;
        let seen = self.server.seats[sequence].allocator.observe();
        let block_len = match seen.block_len {
            BlockLen::Auto => self.config.auto_max,
            BlockLen::Fixed(len) => len,
        };
        self.checks.compare(sequence, &seen, block_len);
        self.plan_wake(sequence);
        while let Some((sequence, block)) = self.undelivered.pop() {
            self.tell_undelivered(sequence, block);
        }
    }

    fn plan_wake(&mut self, sequence: usize) {
        let seat = &mut self.server.seats[sequence];
        let now = Instant::from_micros(self.now);
        let Some(at) = seat.allocator.next_wake(now) else {
            return;
        };
        let at = at.as_micros().max(self.now);
        if at < seat.wake {
            seat.wake = at;
            let life = self.server.life;
            self.schedule.plan(at, Happening::Wake { life, sequence });
        }
    }

    fn act(&mut self, sequence: usize, action: Action<RequestId>) {
        match action {
            Action::Open(attempt) => self.ask_store(sequence, attempt, Op::Open),
            Action::Reserve(attempt, asked) => {
                self.checks.asks(sequence, asked);
                self.ask_store(sequence, attempt, Op::Reserve(asked));
            }
            Action::Raise(attempt, floor) => self.ask_store(sequence, attempt, Op::Raise(floor)),
            Action::HandBack(attempt, unissued) => {
                self.checks.hand_back(sequence, unissued);
                self.ask_store(sequence, attempt, Op::HandBack(unissued));
            }
            Action::Issue(id, block) => self.issue(sequence, id, block),
            Action::Acknowledge(id) => self.acknowledge(sequence, id),
            Action::Refuse(id, refusal) => self.refuse(sequence, id, &refusal),
            Action::Ended => {
                self.line(sequence, What::Ended, [0; 3]);
                self.server.seats[sequence].ended = true;
                if self.checks.ended(sequence) {
                    self.stats.mark(Mark::CalmStop);
                }
            }
        }
    }

    fn issue(&mut self, sequence: usize, id: RequestId, block: Block) {
        self.line(sequence, What::Issue, [id.0 as u64, block.start(), block.end()]);
        let Wish::Take(count) = self.requests[id.0].wish else {
            self.checks.find("range", format!("request {} asked for no range", id.0));
            return;
        };
        self.checks.wait_no_more(sequence, count);
        self.issued(id, count, block);
        self.check_in_time(id);
        if self.requests[id.0].gone {
            self.stats.mark(Mark::Undelivered);
            self.undelivered.push((sequence, block));
        }
        self.send(id, Answer::Ids(block));
    }

    fn acknowledge(&mut self, sequence: usize, id: RequestId) {
        let Wish::Raise(floor) = self.requests[id.0].wish else {
            self.checks.find("raise", format!("request {} asked for no raise", id.0));
            return;
        };
        let floor = floor.min(ticketd_core::limits::MARK_MAX);
        self.line(sequence, What::Acknowledge, [id.0 as u64, floor, 0]);
        if floor == ticketd_core::limits::MARK_MAX {
            self.stats.mark(Mark::RaisedToEnd);
        }
        if self.draw.chance(100) {
            // What is promised must outlive the promise.
            self.crash_in = self.crash_in.min(2);
        }
        let mark = self.checks.acknowledge(sequence, floor);
        if let Some(mark) = mark {
            self.stats.mark(Mark::RaisedByMemory);
            self.stats.mark(mark);
        }
        self.check_in_time(id);
        self.send(id, Answer::Done(floor));
    }

    fn refuse(&mut self, sequence: usize, id: RequestId, refusal: &Refusal) {
        let (kind, mark) = match refusal {
            Refusal::Late(_) => (0, Some(Mark::LateRefused)),
            Refusal::Store(_) => (1, Some(Mark::StoreRefused)),
            Refusal::Exhausted { .. } => (2, Some(Mark::ExhaustedRefused)),
            Refusal::Overloaded => (3, None),
            Refusal::Stopping => (4, Some(Mark::StoppingRefused)),
            Refusal::Lowering { .. } => (5, Some(Mark::LoweringRefused)),
            Refusal::OtherKind(_) => (6, None),
            Refusal::OwnedBy(..) | Refusal::Moved => (7, None),
        };
        mark.into_iter().for_each(|mark| self.stats.mark(mark));
        self.line(sequence, What::Refuse, [id.0 as u64, kind, 0]);
        let request = &self.requests[id.0];
        let (count, floor) = match request.wish {
            Wish::Take(count) | Wish::Batch(count) => (count, 0),
            Wish::Raise(floor) => (0, floor),
        };
        let refused = Refused {
            now: self.now,
            deadline: request.deadline,
            stopping: self.server.standing == Standing::Stopping,
            count,
            floor,
            store_stopped: !self.store_is_well(),
        };
        self.checks.wait_no_more(sequence, count);
        self.checks.refuse(sequence, refusal, refused);
        self.check_in_time(id);
        let exhausted = matches!(refusal, Refusal::Exhausted { .. });
        if let Refusal::Exhausted { left } = refusal {
            self.mark_exhausted(id, count, *left);
        }
        self.send(id, Answer::Refused { exhausted });
    }

    /// Tells apart who finds the ID space used up.
    fn mark_exhausted(&mut self, id: RequestId, count: u64, left: u64) {
        self.stats.mark(match (count, self.requests[id.0].of_batch) {
            (_, true) => Mark::ExhaustedBatch,
            (1, false) => Mark::ExhaustedOne,
            (_, false) => Mark::ExhaustedRange,
        });
        if left > 0 {
            self.stats.mark(Mark::ExhaustedLeft);
        }
    }

    /// Whoever waits is told at the deadline at the latest.
    fn check_in_time(&mut self, id: RequestId) {
        let request = &self.requests[id.0];
        let latest = request.deadline.max(request.told_at);
        if request.state != State::Waiting {
            self.checks.find("liveness", format!("request {} is answered twice", id.0));
        } else if self.now > latest {
            let message = format!("request {} is answered at {}, not by {latest}", id.0, self.now);
            self.checks.find("liveness", message);
        }
    }
}
