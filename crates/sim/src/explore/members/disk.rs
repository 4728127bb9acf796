//! The way from a member to its store and back, and what goes wrong on it.

use ticketd_core::allocator::AttemptId;
use ticketd_core::failure::FailureKind;

use super::config::DELAY_MAX_US;
use super::member::{Pending, Standing};
use super::schedule::Happening;
use super::store::{Message, Op, Reply};
use super::words::What;
use super::world::World;
use crate::explore::fault::Fault;
use crate::explore::stats::Mark;
use crate::explore::store::Effect;

/// The longest way of an answer from a store to whoever asked.
const REPLY_US: u64 = 20;

/// The longest commit.
pub(super) const SLOW_MAX_US: u64 = 500_000;

/// What becomes of one question.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Fine,
    NotApplied(FailureKind),
    AppliedUnknown,
    ReplyLost,
    /// Applied at some later time.
    Aside,
}

impl World {
    /// Puts an allocator's question on its way.
    pub(super) fn ask_store(&mut self, at: usize, attempt: AttemptId, op: Op) {
        let message = self.message(at, Some(attempt), op);
        let is_hand_back = matches!(op, Op::HandBack(_));
        if let Some(owner) = &mut self.members[at].owner {
            owner.pending = Some(Pending { message: message.id, attempt, is_hand_back });
        }
        let (what, b, c) = match op {
            Op::Reserve(asked) => (What::AskReserve, asked.len, asked.floor),
            Op::Raise(floor) => (What::AskRaised, floor, 0),
            Op::HandBack(unissued) => (What::AskHandBack, unissued.start, unissued.end),
            Op::Open | Op::Resize(_) => (What::AskOpen, 0, 0),
        };
        self.line(at, what, [message.id, b, c]);
        let gives_up = self.now + self.config.store_timeout_us;
        self.schedule.plan(gives_up, Happening::Timeout { at, message: message.id });
        self.push(at, message);
    }

    /// Puts a step on its way. The shell waits for it as long as it takes.
    pub(super) fn ask_to_resize(&mut self, at: usize, op: Op) -> u64 {
        let message = self.message(at, None, op);
        self.line(at, What::AskStep, [message.id, 0, 0]);
        self.push(at, message);
        message.id
    }

    fn push(&mut self, at: usize, message: Message) {
        self.members[at].store.push(message);
        self.start_commit(at);
    }

    fn message(&mut self, at: usize, attempt: Option<AttemptId>, op: Op) -> Message {
        self.messages += 1;
        let mut longest = u64::MAX;
        if let Op::Reserve(asked) = op
            && asked.len > 1
            && self.strikes(self.faults.short, at, Fault::Short)
        {
            self.stats.mark(Mark::ShortBlock);
            longest = self.draw.between(1, asked.len - 1);
        }
        Message { id: self.messages, attempt, op, longest }
    }

    /// Begins the next commit if none is under way.
    fn start_commit(&mut self, at: usize) {
        let size = self.members[at].store.begin(self.config.group_commit);
        if size == 0 {
            return;
        }
        if size > 1 {
            self.stats.mark(Mark::GroupCommit);
        }
        let (fast, slow) = self.config.store_us;
        let mut takes = self.draw.between(fast, slow);
        if self.strikes(self.faults.slow, at, Fault::Slow) {
            self.stats.mark(Mark::SlowStore);
            takes = takes.saturating_mul(self.draw.magnitude(5, 200)).min(SLOW_MAX_US);
        }
        let batch = self.members[at].store.batch_id;
        self.schedule.plan(self.now + takes, Happening::Commit { at, batch });
    }

    /// The commit under way reaches the disk, or the disk fails.
    pub(super) fn commit(&mut self, at: usize, batch: u64) {
        if !self.members[at].store.is_committing(batch) {
            return;
        }
        let runs = self.members[at].standing != Standing::Down;
        if runs && self.strikes(self.faults.sync_error, at, Fault::SyncError) {
            self.stats.mark(Mark::SyncError);
            self.crash(at, What::SyncError);
            return;
        }
        for message in self.members[at].store.take_batch() {
            self.complete(at, &message);
        }
        self.start_commit(at);
    }

    fn complete(&mut self, at: usize, message: &Message) {
        match self.fate(at, message) {
            Fate::Fine => {
                let reply = self.apply(at, message);
                self.reply(at, message.id, reply);
            }
            Fate::NotApplied(kind) => {
                self.line(at, What::NotApplied, [message.id, 0, 0]);
                self.reply(at, message.id, Reply::Failed(kind));
            }
            Fate::AppliedUnknown => {
                self.apply(at, message);
                self.reply(at, message.id, Reply::Failed(FailureKind::Indeterminate));
            }
            Fate::ReplyLost => {
                self.apply(at, message);
            }
            Fate::Aside => {
                self.line(at, What::Aside, [message.id, 0, 0]);
                self.members[at].store.set_aside(*message);
                let longest = self.config.store_timeout_us + DELAY_MAX_US;
                let then = self.now + self.draw.between(1, longest);
                self.schedule.plan(then, Happening::Late { at, message: message.id });
            }
        }
    }

    fn fate(&mut self, at: usize, message: &Message) -> Fate {
        let faults = self.faults;
        let is_step = message.attempt.is_none();
        let writes = !matches!(message.op, Op::Open);
        let (mark, fate) = if writes && self.members[at].store.full {
            (Mark::StoreFull, Fate::NotApplied(FailureKind::Unavailable))
        } else if self.strikes(faults.unavailable, at, Fault::Unavailable) {
            (Mark::Unavailable, Fate::NotApplied(FailureKind::Unavailable))
        } else if writes && !is_step && self.strikes(faults.conflict, at, Fault::Conflict) {
            (Mark::Conflict, Fate::NotApplied(FailureKind::Conflict))
        } else if self.strikes(faults.indeterminate, at, Fault::Indeterminate) {
            if self.draw.chance(500) {
                (Mark::IndeterminateApplied, Fate::AppliedUnknown)
            } else {
                (Mark::IndeterminateNotApplied, Fate::NotApplied(FailureKind::Indeterminate))
            }
        } else if !is_step && self.strikes(faults.reply_lost, at, Fault::ReplyLost) {
            (Mark::ReplyLost, Fate::ReplyLost)
        } else if writes && !is_step && self.strikes(faults.late, at, Fault::Late) {
            (Mark::SetAside, Fate::Aside)
        } else {
            return Fate::Fine;
        };
        self.stats.mark(mark);
        fate
    }

    /// What was set aside becomes durable.
    pub(super) fn commit_late(&mut self, at: usize, id: u64) {
        let Some(message) = self.members[at].store.take_aside(id) else { return };
        let waits = self.members[at].owner.as_ref().and_then(|owner| owner.pending);
        if waits.is_none_or(|pending| pending.message != id) {
            self.stats.mark(Mark::AppliedLate);
        }
        let reply = self.apply(at, &message);
        self.reply(at, id, reply);
    }

    /// Makes a message durable, and shows the checkers what it did.
    fn apply(&mut self, at: usize, message: &Message) -> Reply {
        let bug = self.bug;
        let waits = self.members[at].owner.as_ref().and_then(|owner| owner.pending);
        if message.attempt.is_some() && waits.is_none_or(|pending| pending.message != message.id) {
            self.checks.disturb(at);
        }
        let (reply, effect) = self.members[at].store.apply(message, bug);
        let (what, b, c) = match effect {
            Effect::Reserved(block) => (What::CommitReserve, block.start(), block.end()),
            Effect::Raised { from, to } => (What::CommitRaise, from, to),
            Effect::HandedBack(ids) => (What::CommitHandBack, ids.start, ids.end),
            _ => match message.op {
                Op::Resize(_) => {
                    (What::CommitStep, u64::from(matches!(reply, Reply::Resized(Ok(_)))), 0)
                }
                _ => (What::NotApplied, 0, 0),
            },
        };
        if !matches!(message.op, Op::Open) {
            self.line(at, what, [message.id, b, c]);
        }
        // What a bug has written and would forget is not durable.
        if self.members[at].store.forgotten.is_none()
            && let Some(record) = self.members[at].store.record()
        {
            let step = match message.op {
                Op::Resize(step) => Some(step),
                _ => None,
            };
            self.checks.commit(at, effect, step, record);
        }
        if matches!(message.op, Op::Resize(_)) {
            self.hurry(at);
        }
        reply
    }

    /// What was set aside may be for the generation before: then is the moment that matters.
    fn hurry(&mut self, at: usize) {
        for message in self.members[at].store.aside() {
            if self.draw.chance(500) {
                let then = self.now + self.draw.magnitude(1, self.config.store_us.0);
                self.schedule.plan(then, Happening::Late { at, message });
            }
        }
    }

    fn reply(&mut self, at: usize, message: u64, reply: Reply) {
        let then = self.now + self.draw.between(1, REPLY_US);
        self.schedule.plan(then, Happening::Reply { at, message, reply });
    }

    /// The member is gone: of what is on its way each may have come to pass or not.
    pub(super) fn settle_store(&mut self, at: usize) {
        for message in self.members[at].store.take_all() {
            if self.draw.chance(500) {
                self.stats.mark(Mark::AppliedAtCrash);
                self.apply(at, &message);
            } else {
                self.stats.mark(Mark::LostAtCrash);
                self.line(at, What::NotApplied, [message.id, 0, 0]);
            }
        }
    }
}
