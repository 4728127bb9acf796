//! Deliberate bugs of the store over an engine. The deterministic world must catch each.

use ticketd_core::cluster::Shared;
use ticketd_core::snowflake::lease::{LeaseAsk, Workers};

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
    /// Takes a worker ID for free before its window has passed, and leases what another holds.
    WindowNotCompared,
    /// Leases the last tick of whoever held the worker ID before once more.
    LastTickForgotten,
    /// Does not compare what the engine says with what it has said before.
    ForgetsSeen,
    /// Tells the witness what it is about to write, before the engine has it.
    WitnessFirst,
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

    /// What is known of the worker IDs when `ask` is answered: all, but for a deliberate bug.
    pub(super) fn known_of(&self, workers: &mut Workers, ask: LeaseAsk) {
        let early = self.is_mutant(Mutant::WindowNotCompared);
        let forgets = self.is_mutant(Mutant::LastTickForgotten);
        if !early && !forgets {
            return;
        }
        for worker in workers.values_mut().filter(|worker| worker.holder != ask.holder) {
            if early && worker.mark <= ask.floor + ask.len {
                worker.mark = worker.mark.min(ask.floor);
            }
            if forgets {
                worker.mark = worker.mark.saturating_sub(1);
            }
        }
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
