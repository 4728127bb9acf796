//! Deliberate bugs of the embedded store. The deterministic world must catch each.

#[cfg(feature = "mutants")]
use std::sync::atomic::{AtomicU64, Ordering};

use super::disk::Counted;

/// A deliberate bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// Answers before it commits.
    AnswersFirst,
    /// Leaves the name of a new witness to the cache.
    DirNotSynced,
    /// Opens the store again after a failed sync, as if the cache could be trusted.
    TriesOnAfterSync,
    /// Takes a commit of unknown outcome for done.
    UnknownIsDone,
    /// Says of a commit of unknown outcome that it was surely not applied.
    UnknownIsNot,
    /// Tells the witness before the commit is durable.
    WitnessFirst,
    /// Opens whatever store it finds, without asking the witness.
    WitnessNotAsked,
    /// Skips the sync between the pages and the header that makes them valid.
    HeaderFirst,
}

/// The deliberate bug that is on.
#[cfg(feature = "mutants")]
#[derive(Debug, Default)]
pub(super) struct Bug {
    mutant: Option<Mutant>,
    /// Syncs of redb that were asked for.
    asked: AtomicU64,
}

#[cfg(feature = "mutants")]
impl Counted {
    /// The same with a deliberate bug.
    pub(super) fn with_mutant(mut self, mutant: Option<Mutant>) -> Self {
        self.bug.mutant = mutant;
        self
    }

    pub(super) fn is_mutant(&self, mutant: Mutant) -> bool {
        self.bug.mutant == Some(mutant)
    }

    /// Whether the sync that redb asks for is the first of the two that make a commit.
    pub(super) fn skips_sync(&self) -> bool {
        self.bug.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(2)
    }
}

#[cfg(not(feature = "mutants"))]
#[expect(clippy::unused_self, reason = "the same call in both builds")]
impl Counted {
    pub(super) const fn is_mutant(&self, _: Mutant) -> bool {
        false
    }

    pub(super) const fn skips_sync(&self) -> bool {
        false
    }
}
