//! What a store must hold: the records that the answers so far leave possible.
//!
//! The arithmetic is the core's own. What is checked against it is everything between that and the
//! disk: that a call was applied once or not at all, and all of its group with it.

use std::collections::BTreeMap;

use ticketd_core::block::Block;
use ticketd_core::definition::Definition;
use ticketd_core::failure::FailureKind;
use ticketd_core::name::Name;
use ticketd_core::record::{HandBack, NoBlock, Record, Reserve};
use ticketd_core::snowflake::lease::{self, LeaseAsk, Leased, NoLease, Release, Workers};
use ticketd_core::stride::resize::{self, NotTaken, Step};

use crate::explore::store::Message;

/// A call of a store.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) name: Name,
    pub(super) asked: Asked,
}

/// What is asked of a sequence.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked {
    Create(Definition),
    Reserve(Reserve),
    Raise(u64),
    HandBack(HandBack),
    Lease(LeaseAsk),
    Release(Release),
    Resize(Step),
}

/// What a store answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Record(Record),
    Block(Block),
    Mark(u64),
    Taken(bool),
    Leased(Result<Leased, NoLease>),
    Resized(Result<Record, NotTaken>),
    Failed(FailureKind),
}

/// All that a store remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) records: BTreeMap<Name, Record>,
    /// Of sequences of which a worker ID was ever leased.
    pub(super) workers: BTreeMap<Name, Workers>,
}

impl Image {
    /// Does what `call` asks, and answers it.
    fn apply(&mut self, call: &Call) -> Answer {
        if let Asked::Create(definition) = call.asked {
            let record = self.records.entry(call.name.clone());
            return Answer::Record(*record.or_insert_with(|| Record::new(definition)));
        }
        if let Asked::Resize(step) = call.asked {
            return Answer::Resized(self.resize(&call.name, step));
        }
        let Some(record) = self.records.get_mut(&call.name) else {
            return Answer::Failed(FailureKind::NotFound);
        };
        match call.asked {
            Asked::Reserve(asked) => record.reserve(asked).map_or_else(no_block, Answer::Block),
            Asked::Raise(floor) => Answer::Mark(record.raise(floor)),
            Asked::HandBack(unissued) => Answer::Taken(record.hand_back(unissued)),
            Asked::Lease(ask) => {
                let base = record.mark;
                Answer::Leased(self.change_workers(&call.name, |w| lease::lease(w, base, ask)))
            }
            Asked::Release(unspent) => {
                Answer::Taken(self.change_workers(&call.name, |w| lease::release(w, unspent)))
            }
            Asked::Create(_) | Asked::Resize(_) => Answer::Failed(FailureKind::Invalid),
        }
    }

    fn resize(&mut self, name: &Name, step: Step) -> Result<Record, NotTaken> {
        let mut record = self.records.get(name).copied();
        resize::take(&mut record, step)?;
        let record = record.ok_or(NotTaken::Missing)?;
        self.records.insert(name.clone(), record);
        Ok(record)
    }

    fn change_workers<T>(&mut self, name: &Name, change: impl FnOnce(&mut Workers) -> T) -> T {
        let mut workers = self.workers.remove(name).unwrap_or_default();
        let answer = change(&mut workers);
        if !workers.is_empty() {
            self.workers.insert(name.clone(), workers);
        }
        answer
    }

    fn apply_all(&mut self, calls: &[Call]) -> Vec<Answer> {
        calls.iter().map(|call| self.apply(call)).collect()
    }
}

fn no_block(why: NoBlock) -> Answer {
    Answer::Failed(match why {
        NoBlock::Exhausted => FailureKind::Exhausted,
        NoBlock::Capped => FailureKind::Unavailable,
        NoBlock::Fenced | NoBlock::NotOwner => FailureKind::Fenced,
        NoBlock::Left => FailureKind::Invalid,
    })
}

/// One way in which things may stand.
#[derive(Debug, Clone)]
struct Possible {
    image: Image,
    /// What of the allocators' questions was applied, and is not yet known to be.
    applied: Vec<Message>,
}

/// All ways in which things may stand: one, but after a failure of unknown outcome.
#[derive(Debug)]
pub(super) struct Images(Vec<Possible>);

impl Images {
    pub(super) fn new() -> Self {
        Self(vec![Possible { image: Image::default(), applied: Vec::new() }])
    }

    /// Whether it is known how things stand.
    pub(super) const fn is_known(&self) -> bool {
        self.0.len() == 1
    }

    /// A group of calls, with the allocators' `messages` in it, may have been applied or not.
    pub(super) fn perhaps(&mut self, calls: &[Call], messages: &[Message]) {
        let mut applied = self.0.clone();
        for possible in &mut applied {
            possible.image.apply_all(calls);
            possible.applied.extend(messages);
        }
        self.0.extend(applied);
        // What changes nothing leaves no doubt.
        let mut seen = Vec::<Image>::new();
        self.0.retain(|possible| {
            let is_new = !seen.contains(&possible.image);
            seen.push(possible.image.clone());
            is_new
        });
    }

    /// A group of calls was answered: only what gives these answers was possible. `None` of them
    /// is not known. Returns whether anything does.
    pub(super) fn answered(
        &mut self,
        calls: &[Call],
        messages: &[Message],
        answers: &[Option<Answer>],
    ) -> bool {
        let fits = |ours: &Answer, theirs: &Option<Answer>| theirs.is_none_or(|t| t == *ours);
        self.0.retain_mut(|possible| {
            let expected = possible.image.apply_all(calls);
            possible.applied.extend(messages);
            expected.iter().zip(answers).all(|(ours, theirs)| fits(ours, theirs))
        });
        !self.0.is_empty()
    }

    /// Whether `answers` fit any way in which things may stand.
    pub(super) fn would_answer(&self, calls: &[Call], answers: &[Option<Answer>]) -> bool {
        Self(self.0.clone()).answered(calls, &[], answers)
    }

    /// The store was looked at: only this was possible. Returns what of the allocators' questions
    /// was applied; `None` if it was not possible.
    pub(super) fn found(&mut self, image: &Image) -> Option<Vec<Message>> {
        self.0.retain(|possible| possible.image == *image);
        self.0.truncate(1);
        self.0.first_mut().map(|possible| std::mem::take(&mut possible.applied))
    }

    /// The first way in which things may stand.
    pub(super) fn first(&self) -> Option<&Image> {
        self.0.first().map(|possible| &possible.image)
    }

    /// What is wrong about `image`.
    pub(super) fn difference_to(&self, image: &Image) -> String {
        format!("the store holds {image:?}, but must hold {:?}", self.first())
    }
}
