//! Deliberate bugs of the world's servers: where their shells could go wrong. Each must be caught.

use ticketd_core::snowflake::generator::Generator;
use ticketd_store::EngineStore;

use crate::explore::Bug;

/// A deliberate bug of a server's shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerMutant {
    /// Looks at the lease before it takes an ID, and not after.
    LooksFirst,
    /// Counts a lease from the answer, not from the question.
    CountsFromAnswer,
    /// Believes in its lease for the whole of it, as if no clock were slow.
    NoDrift,
    /// Ends a lease after half of its time.
    HalfLease,
    /// Ends the lease of a server that was silent in whatever version it is by then.
    EndsAnyVersion,
    /// Keeps what it holds when its lease has ended, and issues it under the next one.
    KeepsHeld,
    /// Spends a window of ticks before the store has leased it.
    UsesBeforeLease,
    /// Starts without asking the engine for what it remembers of it.
    StartsUnasked,
}

impl Bug {
    pub(super) fn looks_first(self) -> bool {
        self.is(ServerMutant::LooksFirst)
    }

    pub(super) fn counts_from_answer(self) -> bool {
        self.is(ServerMutant::CountsFromAnswer)
    }

    pub(super) fn ends_any_version(self) -> bool {
        self.is(ServerMutant::EndsAnyVersion)
    }

    pub(super) fn keeps_held(self) -> bool {
        self.is(ServerMutant::KeepsHeld)
    }

    pub(super) fn uses_before_lease(self) -> bool {
        self.is(ServerMutant::UsesBeforeLease)
    }

    pub(super) fn starts_unasked(self) -> bool {
        self.is(ServerMutant::StartsUnasked)
    }

    /// The time of a lease as its own server counts it: one without drift is as one that is longer
    /// by the drift.
    pub(super) fn lease_us(self, ttl_us: u64) -> u64 {
        if self.is(ServerMutant::NoDrift) { ttl_us * 50 / 49 } else { ttl_us }
    }

    /// The time of a lease as others count it.
    pub(super) fn watched_us(self, ttl_us: u64) -> u64 {
        if self.is(ServerMutant::HalfLease) { ttl_us / 2 } else { ttl_us }
    }

    #[cfg(feature = "mutants")]
    fn is(self, mutant: ServerMutant) -> bool {
        self.mutant == Some(crate::explore::AnyMutant::Server(mutant))
    }

    #[cfg(not(feature = "mutants"))]
    #[expect(clippy::unused_self, reason = "the same call in both builds")]
    const fn is(self, _: ServerMutant) -> bool {
        false
    }

    /// The generator with its bug, if it has one.
    #[cfg(feature = "mutants")]
    pub(super) fn in_generator(self, generator: Generator) -> Generator {
        generator.with_mutant(self.mutant.and_then(crate::explore::AnyMutant::generator))
    }

    #[cfg(not(feature = "mutants"))]
    #[expect(clippy::unused_self, reason = "the same call in both builds")]
    pub(super) const fn in_generator(self, generator: Generator) -> Generator {
        generator
    }

    /// The store with its bug, if it has one.
    #[cfg(feature = "mutants")]
    pub(super) fn in_store(self, store: EngineStore) -> EngineStore {
        store.with_mutant(self.mutant.and_then(crate::explore::AnyMutant::engine_store))
    }

    #[cfg(not(feature = "mutants"))]
    #[expect(clippy::unused_self, reason = "the same call in both builds")]
    pub(super) fn in_store(self, store: EngineStore) -> EngineStore {
        store
    }
}
