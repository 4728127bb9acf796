//! What `meta` says of an engine's contents: their form, and whose they are.

use std::fmt;

use ticketd_core::failure::FailureKind;

use super::ATTEMPTS_MAX;
use crate::engine::{Change, Engine, Entry, Key, Version};
use crate::error::StoreError;

/// The form of all keys and values.
const FORMAT: &str = "format=1";

/// What is under `meta`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meta {
    /// The ID of the cluster, drawn by its first server.
    pub cluster: String,
}

pub(super) fn key() -> Key {
    Key::new("meta")
}

impl Meta {
    /// The contents of a cluster that is called `id`.
    pub(super) fn new(id: u64) -> Self {
        Self { cluster: format!("{id:016x}") }
    }

    /// Reads it, if there is any.
    ///
    /// # Errors
    /// `Invalid` if another version has written it, or whatever the engine says.
    pub(super) async fn read(engine: &dyn Engine) -> Result<Option<Self>, StoreError> {
        let Some(entry) = engine.read(&[key()]).await?.into_iter().next().flatten() else {
            return Ok(None);
        };
        let rest = entry.value.strip_prefix(FORMAT).and_then(|r| r.strip_prefix(" cluster="));
        let cluster = rest.ok_or_else(|| other_format(engine, &entry))?.to_owned();
        Ok(Some(Self { cluster }))
    }

    /// Reads what is there; if that is nothing, puts this there first.
    ///
    /// # Errors
    /// As [`Meta::read`], and `Corrupt` if what was put is not read back.
    pub(super) async fn read_or_put(self, engine: &dyn Engine) -> Result<Self, StoreError> {
        for _ in 0..ATTEMPTS_MAX {
            if let Some(meta) = Self::read(engine).await? {
                return Ok(meta);
            }
            let change = Change {
                expect: vec![(key(), Version::ABSENT)],
                put: vec![(key(), self.to_string())],
                delete: Vec::new(),
            };
            // Applied or not, by this server or another: it is there when it is read again.
            engine.commit(&change).await?;
        }
        let message = format!("what was written is not read back: look at {}", engine.label());
        Err(StoreError::new(FailureKind::Corrupt, message))
    }
}

impl fmt::Display for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FORMAT} cluster={}", self.cluster)
    }
}

fn other_format(engine: &dyn Engine, entry: &Entry) -> StoreError {
    let message = format!(
        "the store was written by another version of ticketd: start that one, or give this one a \
         place of its own; at {} {} is '{}'",
        engine.label(),
        entry.key,
        entry.value.chars().take(40).collect::<String>()
    );
    StoreError::new(FailureKind::Invalid, message)
}
