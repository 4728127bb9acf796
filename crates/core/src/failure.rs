//! What can go wrong at a store, by what the caller does about it.

use alloc::sync::Arc;
use core::fmt;

/// What a failure means for the caller. A kind exists because the caller acts differently on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Definite: surely not applied. Retry within the deadline.
    Unavailable,
    /// Perhaps applied. Forget the attempt and reserve afresh; never repeat it as if it had failed,
    /// never use it as if it had succeeded.
    Indeterminate,
    /// Lost a compare-and-swap; surely not applied. Retry at once, a bounded number of times.
    Conflict,
    /// Another owner has taken over: drop all blocks and stop issuing.
    Fenced,
    /// The ID space of the sequence is used up.
    Exhausted,
    /// There is no such sequence.
    NotFound,
    /// Bad name, schema or credentials: repeating it will not help.
    Invalid,
    /// The store contradicts itself or what was read from it before. Stop; a person must look.
    Corrupt,
}

/// A failure of the store, as the core sees it: a kind to act on and a message to pass on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What to do about it.
    pub kind: FailureKind,
    /// What happened, for people: lower case, no full stop, the way out included.
    pub message: Arc<str>,
}

impl Failure {
    /// The store's mark, or what it offers, is `found` and lies below `known`, which it has
    /// confirmed before.
    pub(crate) fn state_lost(found: u64, known: u64) -> Self {
        Self::new(
            FailureKind::Corrupt,
            alloc::format!(
                "the store went back: it offers IDs from {found}, but had reserved all below \
                 {known}; restore its latest state, or raise the sequence to {known} or above, and \
                 restart"
            ),
        )
    }

    /// A failure of `kind`, described by `message`.
    pub fn new(kind: FailureKind, message: impl Into<Arc<str>>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for Failure {}
