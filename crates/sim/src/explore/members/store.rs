//! The model of a member's store: a record that moves by the core's arithmetic, a queue, and one
//! commit at a time. When its process starts it is read by the real codec.

use std::collections::VecDeque;

use ticketd_core::allocator::AttemptId;
use ticketd_core::block::Block;
use ticketd_core::failure::FailureKind;
use ticketd_core::name::Name;
use ticketd_core::record::{HandBack, NoBlock, Record, Reserve};
use ticketd_core::stride::resize::{NotTaken, Step};

use crate::explore::Bug;
use crate::explore::store::Effect;

/// The most writes of one commit.
const GROUP_MAX: usize = 64;

/// What the store is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Op {
    Open,
    Reserve(Reserve),
    Raise(u64),
    HandBack(HandBack),
    Resize(Step),
}

/// One question on its way through the store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message {
    pub(super) id: u64,
    /// The question's name at the allocator; `None` for a step.
    pub(super) attempt: Option<AttemptId>,
    pub(super) op: Op,
    /// A block is cut to this length.
    pub(super) longest: u64,
}

/// What the member hears.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reply {
    Opened(Record),
    Reserved(Block),
    Raised(u64),
    HandedBack(bool),
    Resized(Result<Record, NotTaken>),
    Failed(FailureKind),
}

/// The store. See the [module](self).
#[derive(Debug)]
pub(super) struct Store {
    /// What is remembered; `None` of a sequence that is not there.
    record: Option<Record>,
    /// What a crash brings back instead, by a deliberate bug.
    pub(super) forgotten: Option<Option<Record>>,
    queue: VecDeque<Message>,
    batch: Vec<Message>,
    /// What is applied when nobody waits for it any more.
    aside: Vec<Message>,
    pub(super) batch_id: u64,
    pub(super) full: bool,
}

impl Store {
    pub(super) const fn new(record: Option<Record>) -> Self {
        Self {
            record,
            forgotten: None,
            queue: VecDeque::new(),
            batch: Vec::new(),
            aside: Vec::new(),
            batch_id: 0,
            full: false,
        }
    }

    pub(super) const fn record(&self) -> Option<&Record> {
        self.record.as_ref()
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

    pub(super) fn is_committing(&self, batch: u64) -> bool {
        batch == self.batch_id && !self.batch.is_empty()
    }

    /// Ends the commit under way; the caller applies what of it succeeds.
    pub(super) fn take_batch(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.batch)
    }

    pub(super) fn set_aside(&mut self, message: Message) {
        self.aside.push(message);
    }

    /// What was set aside, by number.
    pub(super) fn aside(&self) -> Vec<u64> {
        self.aside.iter().map(|message| message.id).collect()
    }

    pub(super) fn take_aside(&mut self, id: u64) -> Option<Message> {
        let at = self.aside.iter().position(|message| message.id == id)?;
        Some(self.aside.swap_remove(at))
    }

    /// Takes everything that is on its way: the process that asked is gone.
    pub(super) fn take_all(&mut self) -> Vec<Message> {
        let waiting = self.batch.drain(..).chain(self.queue.drain(..));
        waiting.chain(self.aside.drain(..)).collect()
    }

    /// Reads the record as a process does that starts.
    pub(super) fn reopen(&mut self, name: &Name) -> Result<(), String> {
        if let Some(before) = self.forgotten.take() {
            self.record = before;
        }
        let Some(record) = self.record else { return Ok(()) };
        let (bytes, chosen) = (record.encode(name), record.encode_chosen(name));
        let read = Record::decode(name, &bytes, chosen.as_deref());
        if read == Ok(record) {
            return Ok(());
        }
        Err(format!("{record:?} is written, but {read:?} is read"))
    }

    /// Does what `message` asks. Returns the answer and what became of the image.
    pub(super) fn apply(&mut self, message: &Message, bug: Bug) -> (Reply, Effect) {
        if let Op::Resize(step) = message.op {
            return (self.resize(step, bug), Effect::Nothing);
        }
        let Some(record) = &mut self.record else {
            return (Reply::Failed(FailureKind::NotFound), Effect::Nothing);
        };
        let before = *record;
        let done = match message.op {
            Op::Open | Op::Resize(_) => (Reply::Opened(*record), Effect::Nothing),
            Op::Reserve(asked) => {
                let len = asked.len.min(message.longest);
                match bug.reserve(record, Reserve { len, ..asked }) {
                    Ok(block) => (Reply::Reserved(block), Effect::Reserved(block)),
                    Err(why) => (Reply::Failed(kind_of(why)), Effect::Nothing),
                }
            }
            Op::Raise(floor) => {
                let from = record.mark;
                let to = record.raise(floor);
                (Reply::Raised(to), Effect::Raised { from, to })
            }
            Op::HandBack(unissued) => match bug.hand_back(record, unissued) {
                true => (Reply::HandedBack(true), Effect::HandedBack(unissued)),
                false => (Reply::HandedBack(false), Effect::Nothing),
            },
        };
        if *record != before {
            self.forgotten = None;
        }
        done
    }

    fn resize(&mut self, step: Step, bug: Bug) -> Reply {
        let before = self.record;
        let taken = bug.take(&mut self.record, step);
        if self.record != before {
            self.forgotten = bug.forgets(step).then_some(before);
        }
        Reply::Resized(taken.map(|()| self.record.expect("a step that is taken leaves a record")))
    }
}

/// What a member hears of why there is no block: as `StoreError::no_block` has it.
const fn kind_of(why: NoBlock) -> FailureKind {
    match why {
        NoBlock::Exhausted => FailureKind::Exhausted,
        NoBlock::Capped => FailureKind::Unavailable,
        NoBlock::Fenced | NoBlock::NotOwner => FailureKind::Fenced,
        NoBlock::Left => FailureKind::Invalid,
    }
}
