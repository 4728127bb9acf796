//! What an SQL engine says when it fails, before it is known what that means for a change.

use std::error::Error;

use ticketd_core::failure::FailureKind;

use crate::error::StoreError;

/// The table was there when the engine was opened.
pub const TABLE_GONE: &str =
    "the table is gone: bring it back from a backup, then raise each sequence, and restart";

/// A statement that was right does not fit the table.
pub const COLUMNS_CHANGED: &str =
    "the table was changed by hand: bring its columns back as they were, and restart";

/// A row that was locked has gone, or become two.
pub const NOT_ONE_ROW: &str =
    "a change of one row was not one: drop the triggers and rules of the table";

/// A failure of one statement.
#[derive(Debug)]
pub struct Fault {
    /// What the failure is, if the statement surely had no effect.
    pub kind: FailureKind,
    /// In our own words: what engines write may repeat what they were told.
    pub message: String,
    /// What caused it, if that is not the engine.
    pub source: Option<Box<dyn Error + Send + Sync>>,
    /// The engine itself has answered that it did nothing. Otherwise the connection broke, or the
    /// engine was about to end.
    pub is_sure: bool,
    /// The row or the table was there.
    pub is_duplicate: bool,
}

impl Fault {
    /// The engine refused, and nothing has changed.
    pub fn refused(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, is_sure: true, is_duplicate: false }
    }

    /// What the engine made of it is not known.
    pub fn unsure(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { is_sure: false, ..Self::refused(kind, message) }
    }

    /// The table is not as it was made.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::refused(FailureKind::Corrupt, message)
    }

    /// What is told to the caller of a change, of which nothing was sent that could have applied it
    /// unless `was_sent`.
    pub fn into_error(self, was_sent: bool) -> StoreError {
        let is_unknown = was_sent && !self.is_sure && self.kind != FailureKind::Corrupt;
        let kind = if is_unknown { FailureKind::Indeterminate } else { self.kind };
        StoreError { kind, message: self.message, source: self.source }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self { source: error.source, ..Self::refused(error.kind, error.message) }
    }
}
