//! The way to the store and back, and what goes wrong on it.

use ticketd_core::allocator::AttemptId;
use ticketd_core::failure::FailureKind;

use super::fault::Fault;
use super::schedule::Happening;
use super::shell::{Pending, Standing};
use super::stats::Mark;
use super::store::{Effect, Message, Op, Reply};
use super::words::{NO_SEQUENCE, What};
use super::world::{Phase, World};

/// The longest way of an answer from the store to the owner.
const REPLY_US: u64 = 20;

/// What becomes of one question.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Fine,
    NotApplied(FailureKind),
    AppliedUnknown,
    ReplyLost,
}

impl World {
    /// Puts an allocator's question on its way.
    pub(super) fn ask_store(&mut self, sequence: usize, attempt: AttemptId, op: Op) {
        let message = self.message(sequence, Some(attempt), op);
        let is_hand_back = matches!(op, Op::HandBack(_));
        let pending = Pending { message: message.id, attempt, is_hand_back };
        self.server.seats[sequence].pending = Some(pending);
        let (what, b, c) = match op {
            Op::Reserve(asked) => (What::AskReserve, asked.len, asked.floor),
            Op::Raise(floor) | Op::ForeignRaise(floor) => (What::AskRaised, floor, 0),
            Op::HandBack(unissued) => (What::AskHandBack, unissued.start, unissued.end),
            Op::Open | Op::ForeignReserve(_) => (What::AskOpen, 0, 0),
        };
        self.line(sequence, what, [message.id, b, c]);
        let at = self.now + self.config.store_timeout_us;
        self.schedule.plan(at, Happening::Timeout { message: message.id, sequence });
        self.store.push(message);
        self.start_commit();
    }

    fn message(&mut self, sequence: usize, attempt: Option<AttemptId>, op: Op) -> Message {
        self.messages += 1;
        let mut longest = u64::MAX;
        if let Op::Reserve(asked) = op {
            if asked.len == 1 {
                self.stats.mark(Mark::BlockOfOne);
            }
            if asked.len > 1 && self.strikes(self.faults.short, sequence, Fault::Short) {
                self.stats.mark(Mark::ShortBlock);
                longest = self.draw.between(1, asked.len - 1);
            }
        }
        Message { id: self.messages, sequence, attempt, op, longest }
    }

    /// Begins the next commit if none is under way.
    pub(super) fn start_commit(&mut self) {
        let size = self.store.begin(self.config.group_commit);
        if size == 0 {
            return;
        }
        if size > 1 {
            self.stats.mark(Mark::GroupCommit);
        }
        let (fast, slow) = self.config.store_us;
        let mut takes = self.draw.between(fast, slow);
        if self.strikes(self.faults.slow, NO_SEQUENCE, Fault::Slow) {
            self.stats.mark(Mark::SlowStore);
            takes = takes.saturating_mul(self.draw.magnitude(5, 1_000)).min(2_000_000);
        }
        let batch = self.store.batch_id;
        self.schedule.plan(self.now + takes, Happening::Commit { batch });
        if self.store.bugs.answer_before_durable {
            for (message, reply) in self.store.apply_early() {
                self.reply(&message, reply);
            }
        }
    }

    /// The commit under way reaches the disk, or the disk fails.
    pub(super) fn commit(&mut self, batch: u64) {
        if batch != self.store.batch_id || self.store.batch().is_empty() {
            return;
        }
        let runs = self.server.standing != Standing::Down;
        if runs && self.strikes(self.faults.sync_error, NO_SEQUENCE, Fault::SyncError) {
            self.stats.mark(Mark::SyncError);
            self.crash(What::SyncError);
            return;
        }
        let batch_len = self.store.batch().len() as u64;
        self.line(NO_SEQUENCE, What::Commit, [batch, batch_len, 0]);
        let messages = self.store.take_batch();
        if self.real.is_some() {
            self.commit_for_real(&messages);
            self.store.recycle(messages);
            self.start_commit();
            return;
        }
        if self.store.bugs.answer_before_durable {
            self.commit_early();
        } else {
            for message in &messages {
                self.complete(message);
            }
        }
        self.store.recycle(messages);
        self.start_commit();
    }

    fn commit_early(&mut self) {
        for (sequence, effect) in self.store.early_done() {
            self.checks.commit(sequence, effect, self.store.record(sequence));
        }
    }

    fn complete(&mut self, message: &Message) {
        match self.fate(message) {
            Fate::Fine => {
                let reply = self.apply(message);
                self.reply(message, reply);
            }
            Fate::NotApplied(kind) => {
                self.line(message.sequence, What::NotApplied, [message.id, 0, 0]);
                self.reply(message, Reply::Failed(kind));
            }
            Fate::AppliedUnknown => {
                self.apply(message);
                self.reply(message, Reply::Failed(FailureKind::Indeterminate));
            }
            Fate::ReplyLost => {
                self.apply(message);
            }
        }
    }

    fn fate(&mut self, message: &Message) -> Fate {
        if message.attempt.is_none() {
            return Fate::Fine;
        }
        let (faults, sequence) = (self.faults, message.sequence);
        let writes = !matches!(message.op, Op::Open);
        let (mark, fate) = if writes && self.store.full {
            (Mark::StoreFull, Fate::NotApplied(FailureKind::Unavailable))
        } else if self.strikes(faults.unavailable, sequence, Fault::Unavailable) {
            (Mark::Unavailable, Fate::NotApplied(FailureKind::Unavailable))
        } else if writes && self.strikes(faults.conflict, sequence, Fault::Conflict) {
            (Mark::Conflict, Fate::NotApplied(FailureKind::Conflict))
        } else if self.strikes(faults.indeterminate, sequence, Fault::Indeterminate) {
            if self.draw.chance(500) {
                (Mark::IndeterminateApplied, Fate::AppliedUnknown)
            } else {
                (Mark::IndeterminateNotApplied, Fate::NotApplied(FailureKind::Indeterminate))
            }
        } else if self.strikes(faults.reply_lost, sequence, Fault::ReplyLost) {
            (Mark::ReplyLost, Fate::ReplyLost)
        } else {
            return Fate::Fine;
        };
        self.stats.mark(mark);
        fate
    }

    /// Makes a message durable, and shows the checkers what it did.
    pub(super) fn apply(&mut self, message: &Message) -> Reply {
        let (reply, effect) = self.store.apply(message);
        let sequence = message.sequence;
        let (what, a, b, c) = match effect {
            Effect::Nothing => (What::NotApplied, message.id, 0, 0),
            Effect::Reserved(block) => {
                (What::CommitReserve, message.id, block.start(), block.end())
            }
            Effect::Raised { from, to } if from >= to => {
                self.stats.mark(Mark::RaiseFoundHigher);
                (What::CommitRaise, message.id, from, to)
            }
            Effect::Raised { from, to } => (What::CommitRaise, message.id, from, to),
            Effect::HandedBack(ids) => (What::CommitHandBack, message.id, ids.start, ids.end),
            Effect::ForeignRaised { from, to } => {
                self.stats.mark(Mark::ForeignRaise);
                (What::CommitForeign, 0, from, to)
            }
            Effect::ForeignReserved(block) => {
                self.stats.mark(Mark::ForeignReserve);
                (What::CommitForeign, 0, block.start(), block.end())
            }
        };
        if !matches!(message.op, Op::Open) {
            self.line(sequence, what, [a, b, c]);
        }
        self.checks.commit(sequence, effect, self.store.record(sequence));
        reply
    }

    pub(super) fn reply(&mut self, message: &Message, reply: Reply) {
        if message.attempt.is_none() {
            return;
        }
        let at = self.now + self.draw.between(1, REPLY_US);
        let (message, sequence) = (message.id, message.sequence);
        self.schedule.plan(at, Happening::Reply { message, sequence, reply });
    }

    /// The server is gone: of what is on its way each may have come to pass or not.
    pub(super) fn settle_store(&mut self, crashed: bool) {
        if self.real.is_some() {
            self.end_store(crashed);
            return;
        }
        if self.store.bugs.answer_before_durable {
            if crashed {
                self.store.forget_early();
            } else {
                self.commit_early();
            }
            self.store.take_all();
            return;
        }
        for message in self.store.take_all() {
            let is_foreign = message.attempt.is_none();
            if is_foreign || self.draw.chance(500) {
                self.stats.mark(Mark::AppliedAtCrash);
                self.apply(&message);
            } else {
                self.stats.mark(Mark::LostAtCrash);
                self.line(message.sequence, What::NotApplied, [message.id, 0, 0]);
            }
        }
    }

    /// Somebody else writes to a sequence.
    pub(super) fn foreign(&mut self) {
        if self.phase != Phase::Faults {
            return;
        }
        let sequence = self.draw.below(self.config.sequences.len() as u64) as usize;
        let by_raise = self.draw.chance(500);
        let by = self.draw.magnitude(1, if by_raise { 5_000 } else { 500 });
        let op = if by_raise { Op::ForeignRaise(by) } else { Op::ForeignReserve(by) };
        if self.draw.chance(300) {
            // Higher than the server knows, and not as high as the mark will be.
            let above = self.draw.below(by);
            let mark = self.store.record(sequence).mark;
            self.ask_raise(sequence, mark.saturating_add(above));
        }
        if self.admits(sequence, Fault::Foreign) {
            self.line(sequence, What::Foreign, [0; 3]);
            let message = self.message(sequence, None, op);
            self.store.push(message);
            self.start_commit();
        }
        self.plan_foreign();
    }

    pub(super) fn plan_foreign(&mut self) {
        let every = self.faults.foreign_every_us;
        if every > 0 {
            let after = self.draw.between(1, 2 * every);
            self.schedule.plan(self.now + after, Happening::Foreign);
        }
    }

    /// The disk fills up, or has room again.
    pub(super) fn fill(&mut self, full: bool) {
        if self.phase != Phase::Faults {
            return;
        }
        if full && !self.admits(NO_SEQUENCE, Fault::Full) {
            return self.plan_full();
        }
        self.store.full = full;
        let what = if full { What::Full } else { What::Room };
        self.line(NO_SEQUENCE, what, [0; 3]);
        if full {
            let lasts = self.draw.magnitude(500, 200_000);
            self.schedule.plan(self.now + lasts, Happening::Full(false));
        } else {
            self.plan_full();
        }
    }

    pub(super) fn plan_full(&mut self) {
        let every = self.faults.full_every_us;
        if every > 0 {
            let after = self.draw.between(1, 2 * every);
            self.schedule.plan(self.now + after, Happening::Full(true));
        }
    }
}
