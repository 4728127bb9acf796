//! What an allocator is told when it is made.

use crate::definition::BlockLen;
use crate::limits::{AUTO_BLOCK_LEN_MAX, AUTO_BLOCK_LEN_MIN};

/// What an allocator is told when it is made.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// The block length of sequences whose definition names none.
    pub block_len: BlockLen,
    /// The shortest block of [`BlockLen::Auto`].
    pub auto_min: u64,
    /// The longest block of [`BlockLen::Auto`].
    pub auto_max: u64,
    /// A deliberate bug, for the tests of the tests.
    #[cfg(feature = "mutants")]
    pub mutant: Option<Mutant>,
}

impl Config {
    /// A configuration without deliberate bugs.
    pub const fn new(block_len: BlockLen, auto_min: u64, auto_max: u64) -> Self {
        Self {
            block_len,
            auto_min,
            auto_max,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new(BlockLen::Auto, AUTO_BLOCK_LEN_MIN, AUTO_BLOCK_LEN_MAX)
    }
}

/// A deliberate bug of the allocator. The deterministic world must catch each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// Spends a block as soon as it is asked for, before its commit is known.
    AdoptBeforeCommit,
    /// Computes a block's start from its end and the length asked for.
    StartBySubtraction,
    /// Takes an indeterminate failure for a success.
    AdoptAfterIndeterminate,
    /// Hands back the whole block at a clean stop, the issued part included.
    HandBackIssued,
    /// Opens a newer block before the older one is spent, and goes back to the older one later.
    NewestBlockFirst,
    /// Forgets those who wait when an attempt at the store fails.
    ForgetWaiting,
    /// Does not try again after a failure.
    NeverRetry,
    /// Acknowledges a raise when it is asked for, not when it is durable.
    RaiseBeforeCommit,
    /// Does not book what a hole between two blocks has burnt.
    HoleNotBooked,
}
