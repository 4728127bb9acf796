//! The model of the embedded store: records that move by [`Record`]'s arithmetic, a queue, and one
//! commit at a time, of one write or of all that wait.
//!
//! It does not know of time: the world plans the moment of each commit and says what goes wrong.

use std::collections::VecDeque;

use ticketd_core::allocator::AttemptId;
use ticketd_core::block::Block;
use ticketd_core::failure::FailureKind;
use ticketd_core::record::{HandBack, Record, Reserve};

/// The most writes of one commit.
const GROUP_MAX: usize = 64;

/// What the store is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Op {
    Open,
    Reserve(Reserve),
    Raise(u64),
    HandBack(HandBack),
    /// Somebody else raises the mark by so much.
    ForeignRaise(u64),
    /// Somebody else reserves a block of so many.
    ForeignReserve(u64),
}

/// One question on its way through the store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message {
    pub(super) id: u64,
    pub(super) sequence: usize,
    /// The question's name at the allocator; `None` for somebody else's.
    pub(super) attempt: Option<AttemptId>,
    pub(super) op: Op,
    /// A block is cut to this length.
    pub(super) longest: u64,
}

/// What the server hears.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::large_enum_variant, reason = "it is copied, and the world makes few of them")]
pub(super) enum Reply {
    Opened(Record),
    Reserved(Block),
    Raised(u64),
    HandedBack(bool),
    Failed(FailureKind),
}

/// What became of the durable image.
#[derive(Debug, Clone, Copy)]
pub(super) enum Effect {
    Nothing,
    Reserved(Block),
    Raised { from: u64, to: u64 },
    HandedBack(HandBack),
    ForeignRaised { from: u64, to: u64 },
    ForeignReserved(Block),
}

/// A write of which the server was told before it was durable: a deliberate bug.
#[derive(Debug)]
struct Early {
    sequence: usize,
    before: Record,
    effect: Effect,
}

/// Deliberate bugs of the store that are on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bugs {
    pub(super) forget_mark: bool,
    pub(super) answer_before_durable: bool,
    pub(super) raise_as_set: bool,
    pub(super) hand_back_blindly: bool,
    pub(super) all_is_spent: bool,
}

/// The store. See the [module](self).
#[derive(Debug)]
pub(super) struct Store {
    records: Vec<Record>,
    /// Each record before its last write.
    previous: Vec<Record>,
    queue: VecDeque<Message>,
    batch: Vec<Message>,
    early: Vec<Early>,
    pub(super) batch_id: u64,
    pub(super) full: bool,
    pub(super) bugs: Bugs,
}

impl Store {
    pub(super) fn new(records: Vec<Record>, bugs: Bugs) -> Self {
        Self {
            previous: records.clone(),
            records,
            queue: VecDeque::new(),
            batch: Vec::new(),
            early: Vec::new(),
            batch_id: 0,
            full: false,
            bugs,
        }
    }

    pub(super) fn record(&self, sequence: usize) -> &Record {
        &self.records[sequence]
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    pub(super) fn push(&mut self, message: Message) {
        self.queue.push_back(message);
    }

    /// Begins the next commit, if none is under way and something waits. Returns how many writes
    /// it has.
    pub(super) fn begin(&mut self, group: bool) -> usize {
        if !self.batch.is_empty() || self.queue.is_empty() {
            return 0;
        }
        let size = if group { self.queue.len().min(GROUP_MAX) } else { 1 };
        self.batch.extend(self.queue.drain(..size));
        self.batch_id += 1;
        size
    }

    pub(super) fn batch(&self) -> &[Message] {
        &self.batch
    }

    /// Ends the commit under way; the caller applies what of it succeeds.
    pub(super) fn take_batch(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.batch)
    }

    /// Gives the space of a batch back.
    pub(super) fn recycle(&mut self, mut batch: Vec<Message>) {
        if self.batch.is_empty() {
            batch.clear();
            self.batch = batch;
        }
    }

    /// Takes everything that is on its way: the process that asked is gone.
    pub(super) fn take_all(&mut self) -> Vec<Message> {
        self.batch.drain(..).chain(self.queue.drain(..)).collect()
    }

    /// Does what `message` asks. Returns the answer and what became of the image.
    pub(super) fn apply(&mut self, message: &Message) -> (Reply, Effect) {
        let before = self.records[message.sequence];
        let bugs = self.bugs;
        let record = &mut self.records[message.sequence];
        let done = match message.op {
            Op::Open => (Reply::Opened(*record), Effect::Nothing),
            Op::Reserve(asked) => {
                let len = asked.len.min(message.longest);
                let spent = if bugs.all_is_spent { u64::MAX } else { asked.spent };
                reserve(record, Reserve { len, spent, ..asked }, Effect::Reserved)
            }
            Op::ForeignReserve(len) => reserve(
                record,
                Reserve { floor: 1, len, spent: 1, generation: 0, turn: 0 },
                Effect::ForeignReserved,
            ),
            Op::Raise(floor) => {
                let from = record.mark;
                let to = raise(record, floor, bugs.raise_as_set);
                (Reply::Raised(to), Effect::Raised { from, to })
            }
            Op::ForeignRaise(by) => {
                let from = record.mark;
                let to = record.raise(from.saturating_add(by));
                (Reply::Raised(to), Effect::ForeignRaised { from, to })
            }
            Op::HandBack(unissued) => hand_back(record, unissued, bugs.hand_back_blindly),
        };
        if *record != before {
            self.previous[message.sequence] = before;
        }
        done
    }

    /// The deliberate bug of answering first: applies all of the batch at its beginning.
    pub(super) fn apply_early(&mut self) -> Vec<(Message, Reply)> {
        let batch = self.batch.clone();
        let apply = |message: Message| {
            let (sequence, before) = (message.sequence, self.records[message.sequence]);
            let (reply, effect) = self.apply(&message);
            self.early.push(Early { sequence, before, effect });
            (message, reply)
        };
        batch.into_iter().map(apply).collect()
    }

    /// What was answered first has become durable.
    pub(super) fn early_done(&mut self) -> Vec<(usize, Effect)> {
        self.early.drain(..).map(|early| (early.sequence, early.effect)).collect()
    }

    /// The server crashed: what was answered first is lost.
    pub(super) fn forget_early(&mut self) {
        for early in self.early.drain(..).rev() {
            self.records[early.sequence] = early.before;
        }
    }

    /// The server starts again: the deliberate bug of missing the last commit.
    pub(super) fn reopen(&mut self) {
        if self.bugs.forget_mark {
            self.records.clone_from(&self.previous);
        }
    }
}

fn reserve(record: &mut Record, asked: Reserve, effect: fn(Block) -> Effect) -> (Reply, Effect) {
    match record.reserve(asked) {
        Ok(block) => (Reply::Reserved(block), effect(block)),
        Err(_) => (Reply::Failed(FailureKind::Exhausted), Effect::Nothing),
    }
}

fn raise(record: &mut Record, floor: u64, as_set: bool) -> u64 {
    if as_set {
        (record.mark, record.spent) = (floor, floor);
    }
    record.raise(floor)
}

fn hand_back(record: &mut Record, unissued: HandBack, blindly: bool) -> (Reply, Effect) {
    if blindly {
        (record.mark, record.spent) = (unissued.start, unissued.start);
        return (Reply::HandedBack(true), Effect::HandedBack(unissued));
    }
    let done = record.hand_back(unissued);
    (Reply::HandedBack(done), if done { Effect::HandedBack(unissued) } else { Effect::Nothing })
}
