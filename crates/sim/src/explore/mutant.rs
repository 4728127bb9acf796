//! Deliberate bugs: those of the core, of the stores, and of servers. Each must be caught.

use ticketd_core::allocator::Mutant;
use ticketd_core::snowflake::generator::Mutant as GeneratorMutant;
use ticketd_store::Mutant as EngineStoreMutant;
use ticketd_store::embedded::Mutant as EmbeddedMutant;

use super::members::MemberMutant;
use super::several::ServerMutant;
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
    /// Remembers of a block that all of it is spent.
    AllIsSpent,
}

/// A deliberate bug, wherever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnyMutant {
    /// Of the allocator.
    Core(Mutant),
    /// Of the store.
    Store(StoreMutant),
    /// Of the store over an engine.
    EngineStore(EngineStoreMutant),
    /// Of the embedded store.
    Embedded(EmbeddedMutant),
    /// Of a generator of snowflakes.
    Generator(GeneratorMutant),
    /// Of one of several servers.
    Server(ServerMutant),
    /// Of a member of a stride sequence, or of who resizes it.
    Member(MemberMutant),
}

impl AnyMutant {
    /// Those that the world of one server must catch.
    pub const ONE: [Self; 14] = [
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
        Self::Store(StoreMutant::AllIsSpent),
    ];

    /// Those that the world of several servers must catch.
    pub const SEVERAL: [Self; 23] = [
        Self::Core(Mutant::AdoptBeforeCommit),
        Self::Core(Mutant::AdoptAfterIndeterminate),
        Self::Core(Mutant::HandBackIssued),
        Self::Core(Mutant::NeverRetry),
        Self::Core(Mutant::NewestBlockFirst),
        Self::Core(Mutant::RaiseBeforeCommit),
        Self::EngineStore(EngineStoreMutant::TurnNotCompared),
        Self::EngineStore(EngineStoreMutant::HandBackInAnyTurn),
        Self::EngineStore(EngineStoreMutant::ClaimWithoutAsking),
        Self::Server(ServerMutant::LooksFirst),
        Self::Server(ServerMutant::CountsFromAnswer),
        Self::Server(ServerMutant::NoDrift),
        Self::Server(ServerMutant::HalfLease),
        Self::Server(ServerMutant::EndsAnyVersion),
        Self::Server(ServerMutant::KeepsHeld),
        Self::EngineStore(EngineStoreMutant::WindowNotCompared),
        Self::EngineStore(EngineStoreMutant::LastTickForgotten),
        Self::EngineStore(EngineStoreMutant::ForgetsSeen),
        Self::EngineStore(EngineStoreMutant::WitnessFirst),
        Self::Generator(GeneratorMutant::FollowsClockBack),
        Self::Generator(GeneratorMutant::ReleasesBetween),
        Self::Server(ServerMutant::UsesBeforeLease),
        Self::Server(ServerMutant::StartsUnasked),
    ];

    /// Those that the world of members must catch.
    pub const MEMBERS: [Self; 16] = [
        Self::Core(Mutant::AdoptBeforeCommit),
        Self::Core(Mutant::AdoptAfterIndeterminate),
        Self::Core(Mutant::HandBackIssued),
        Self::Core(Mutant::NeverRetry),
        Self::Core(Mutant::NewestBlockFirst),
        Self::Core(Mutant::RaiseBeforeCommit),
        Self::Core(Mutant::HoleNotBooked),
        Self::Member(MemberMutant::OpensEarly),
        Self::Member(MemberMutant::FloorTooLow),
        Self::Member(MemberMutant::ReleasesUnrefused),
        Self::Member(MemberMutant::CapNotKept),
        Self::Member(MemberMutant::CapAsTold),
        Self::Member(MemberMutant::AcceptsAgain),
        Self::Member(MemberMutant::ForgetsAccepted),
        Self::Member(MemberMutant::OpensInMemory),
        Self::Member(MemberMutant::HandsBackAcross),
    ];

    /// Those that the world of one server on the real store must catch.
    pub const DISK: [Self; 9] = [
        Self::Embedded(EmbeddedMutant::AnswersFirst),
        Self::Embedded(EmbeddedMutant::DirNotSynced),
        Self::Embedded(EmbeddedMutant::TriesOnAfterSync),
        Self::Embedded(EmbeddedMutant::UnknownIsDone),
        Self::Embedded(EmbeddedMutant::UnknownIsNot),
        Self::Embedded(EmbeddedMutant::WitnessFirst),
        Self::Embedded(EmbeddedMutant::WitnessNotAsked),
        Self::Embedded(EmbeddedMutant::HeaderFirst),
        Self::Core(Mutant::AdoptAfterIndeterminate),
    ];

    /// Its name.
    pub fn name(self) -> String {
        match self {
            Self::Core(mutant) => format!("{mutant:?}"),
            Self::Store(mutant) => format!("{mutant:?}"),
            Self::EngineStore(mutant) => format!("{mutant:?}"),
            Self::Embedded(mutant) => format!("{mutant:?}"),
            Self::Server(mutant) => format!("{mutant:?}"),
            Self::Member(mutant) => format!("{mutant:?}"),
            Self::Generator(mutant) => format!("{mutant:?}"),
        }
    }

    pub(super) const fn core(self) -> Option<Mutant> {
        match self {
            Self::Core(mutant) => Some(mutant),
            _ => None,
        }
    }

    pub(super) const fn engine_store(self) -> Option<EngineStoreMutant> {
        match self {
            Self::EngineStore(mutant) => Some(mutant),
            _ => None,
        }
    }

    pub(super) const fn embedded(self) -> Option<EmbeddedMutant> {
        match self {
            Self::Embedded(mutant) => Some(mutant),
            _ => None,
        }
    }

    pub(super) const fn generator(self) -> Option<GeneratorMutant> {
        match self {
            Self::Generator(mutant) => Some(mutant),
            _ => None,
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
                StoreMutant::AllIsSpent => bugs.all_is_spent = true,
            }
        }
        bugs
    }
}
