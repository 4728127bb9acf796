//! What a store says when it fails.

use std::error::Error;

use ticketd_core::failure::{Failure, FailureKind};
use ticketd_core::name::Name;
use ticketd_core::record::NoBlock;

/// A failure of a store: a kind to act on, a message for people, and what caused it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What the caller is to do.
    pub kind: FailureKind,
    /// What happened and the way out: lower case, no full stop, values last, not repeating the
    /// source.
    pub message: String,
    /// What caused it.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// A failure of `kind` without a deeper cause.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// A failure of `kind` that `source` caused.
    pub fn because(
        kind: FailureKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { kind, message: message.into(), source: Some(source.into()) }
    }

    /// There is no sequence `name`.
    pub fn not_found(name: &Name) -> Self {
        Self::new(FailureKind::NotFound, format!("there is no sequence {name}"))
    }

    /// There is no block to reserve in the sequence `name`, and why.
    pub fn no_block(name: &Name, why: NoBlock) -> Self {
        let (kind, message) = match why {
            NoBlock::Exhausted => {
                (FailureKind::Exhausted, format!("every ID is reserved in sequence {name}"))
            }
            NoBlock::Capped => (
                FailureKind::Unavailable,
                format!("a resize keeps the next IDs back: finish or abandon it, of {name}"),
            ),
            NoBlock::Fenced => (
                FailureKind::Fenced,
                format!("another generation has opened: restart ticketd, for {name}"),
            ),
            NoBlock::NotOwner => (
                FailureKind::Fenced,
                format!("another server owns the sequence now: ask again, of {name}"),
            ),
            NoBlock::Left => (
                FailureKind::Invalid,
                format!("this member has left: ask another member of {name}"),
            ),
        };
        Self::new(kind, message)
    }

    /// The message and its causes in one line, as the core passes them on.
    pub fn to_failure(&self) -> Failure {
        let mut line = self.message.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&error.to_string());
            cause = error.source();
        }
        Failure::new(self.kind, line)
    }
}
