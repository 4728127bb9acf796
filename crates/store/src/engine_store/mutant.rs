//! Deliberate bugs of the store over an engine. The deterministic world must catch each.

use ticketd_core::cluster::Shared;

use super::EngineStore;

/// A deliberate bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// Reserves whatever turn whoever asks believes in.
    TurnNotCompared,
    /// Takes IDs back whatever turn whoever asks believes in.
    HandBackInAnyTurn,
    /// Makes a server the owner without asking whether the lease of the owner has ended.
    ClaimWithoutAsking,
}

impl EngineStore {
    /// The same with a deliberate bug.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn with_mutant(self, mutant: Option<Mutant>) -> Self {
        Self { mutant, ..self }
    }

    /// The turn that is compared when `state` is changed for who believes in `asked`: that, but for
    /// the deliberate bug `unless`.
    pub(super) fn turn(&self, asked: u64, state: &Shared, unless: Mutant) -> u64 {
        let is_owned = state.record.definition.has_owner();
        if is_owned && self.is_mutant(unless) { state.turn } else { asked }
    }

    #[cfg(feature = "mutants")]
    pub(super) fn is_mutant(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    #[cfg(not(feature = "mutants"))]
    #[expect(clippy::unused_self, reason = "the same call in both builds")]
    pub(super) const fn is_mutant(&self, _: Mutant) -> bool {
        false
    }
}
