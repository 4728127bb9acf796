//! Deliberate bugs: those of the core, and those of the world's store. Each must be caught.

use ticketd_core::allocator::Mutant;

use super::store::Bugs;

/// A deliberate bug of the world's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreMutant {
    /// After a crash the store has the state from before its last commit.
    ForgetMark,
    /// Answers when a commit begins; a crash loses it.
    AnswerBeforeDurable,
    /// A raise sets the mark, even to a lower one.
    RaiseAsSet,
    /// Takes IDs back without looking where the mark is.
    HandBackBlindly,
}

/// A deliberate bug, wherever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnyMutant {
    /// Of the allocator.
    Core(Mutant),
    /// Of the store.
    Store(StoreMutant),
}

impl AnyMutant {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Core(Mutant::AdoptBeforeCommit),
        Self::Core(Mutant::StartBySubtraction),
        Self::Core(Mutant::AdoptAfterIndeterminate),
        Self::Core(Mutant::HandBackIssued),
        Self::Core(Mutant::NewestBlockFirst),
        Self::Core(Mutant::ForgetWaiting),
        Self::Core(Mutant::NeverRetry),
        Self::Core(Mutant::RaiseBeforeCommit),
        Self::Core(Mutant::HoleNotBooked),
        Self::Store(StoreMutant::ForgetMark),
        Self::Store(StoreMutant::AnswerBeforeDurable),
        Self::Store(StoreMutant::RaiseAsSet),
        Self::Store(StoreMutant::HandBackBlindly),
    ];

    /// Its name.
    pub fn name(self) -> String {
        match self {
            Self::Core(mutant) => format!("{mutant:?}"),
            Self::Store(mutant) => format!("{mutant:?}"),
        }
    }

    pub(super) const fn core(self) -> Option<Mutant> {
        match self {
            Self::Core(mutant) => Some(mutant),
            Self::Store(_) => None,
        }
    }

    pub(super) fn bugs(self) -> Bugs {
        let mut bugs = Bugs::default();
        if let Self::Store(mutant) = self {
            match mutant {
                StoreMutant::ForgetMark => bugs.forget_mark = true,
                StoreMutant::AnswerBeforeDurable => bugs.answer_before_durable = true,
                StoreMutant::RaiseAsSet => bugs.raise_as_set = true,
                StoreMutant::HandBackBlindly => bugs.hand_back_blindly = true,
            }
        }
        bugs
    }
}
