//! What `meta` says of an engine's contents: their form, and whose they are.

use std::fmt;

use ticketd_core::failure::FailureKind;
use ticketd_core::transfer::Closed;

use super::ATTEMPTS_MAX;
use crate::engine::{Change, Engine, Entry, Key, Outcome, Version};
use crate::error::StoreError;

/// The form of all keys and values.
const FORMAT: &str = "format=1";

/// What stands before the ID of the cluster, where no server may issue. Versions that do not know
/// it take it for another form, and do not start either.
const CLOSED: &str = "closed";

/// What is under `meta`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meta {
    /// The ID of the cluster, drawn by its first server.
    pub cluster: String,
    /// Why no server may issue, if that is so.
    pub closed: Option<Closed>,
}

pub(super) fn key() -> Key {
    Key::new("meta")
}

impl Meta {
    /// The contents of a cluster that is called `id`.
    pub(super) fn new(id: u64) -> Self {
        Self { cluster: format!("{id:016x}"), closed: None }
    }

    /// Reads it, if there is any.
    ///
    /// # Errors
    /// `Invalid` if another version has written it, or it is closed; or whatever the engine says.
    pub(super) async fn read(engine: &dyn Engine) -> Result<Option<Self>, StoreError> {
        let meta = Self::read_any(engine).await?;
        meta.map(|(meta, _)| meta.opened(engine)).transpose()
    }

    /// This, if it is not closed.
    fn opened(self, engine: &dyn Engine) -> Result<Self, StoreError> {
        match &self.closed {
            Some(closed) => Err(refused(closed, engine)),
            None => Ok(self),
        }
    }

    /// Closes what is there, or opens it again.
    ///
    /// # Errors
    /// `Corrupt` if nothing is there, or whatever the engine says.
    pub(super) async fn close(engine: &dyn Engine, why: Option<Closed>) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS_MAX {
            let (before, version) = Self::read_any(engine).await?.ok_or_else(|| {
                let message = "the store is gone: bring it back, or copy to another place";
                StoreError::new(FailureKind::Corrupt, message)
            })?;
            let after = Self { closed: why.clone(), ..before.clone() };
            if after == before {
                return Ok(());
            }
            let change = Change {
                expect: vec![(key(), version)],
                put: vec![(key(), after.to_string())],
                delete: Vec::new(),
            };
            if engine.commit(&change).await? != Outcome::Differs {
                return Ok(());
            }
        }
        let message = "something else changes the store at the same time: stop it, and try again";
        Err(StoreError::new(FailureKind::Conflict, message))
    }

    /// Reads it, whether or not it is closed.
    ///
    /// # Errors
    /// `Invalid` if another version has written it, or whatever the engine says.
    pub(super) async fn read_any(
        engine: &dyn Engine,
    ) -> Result<Option<(Self, Version)>, StoreError> {
        let Some(entry) = engine.read(&[key()]).await?.into_iter().next().flatten() else {
            return Ok(None);
        };
        let meta = Self::parse(&entry.value).ok_or_else(|| other_format(engine, &entry))?;
        Ok(Some((meta, entry.version)))
    }

    fn parse(text: &str) -> Option<Self> {
        let (form, rest) = text.split_once(" cluster=")?;
        if form == FORMAT {
            return Some(Self { cluster: rest.to_owned(), closed: None });
        }
        let (cluster, closed) = rest.split_once(' ').filter(|_| form == CLOSED)?;
        Some(Self { cluster: cluster.to_owned(), closed: Some(closed.parse().ok()?) })
    }

    /// Reads what is there, unless it is closed; if that is nothing, puts this there first.
    ///
    /// # Errors
    /// As [`Meta::read`], and `Corrupt` if what was put is not read back.
    pub(super) async fn read_or_put(self, engine: &dyn Engine) -> Result<Self, StoreError> {
        self.read_any_or_put(engine).await?.opened(engine)
    }

    /// The same, whether or not it is closed.
    pub(super) async fn read_any_or_put(self, engine: &dyn Engine) -> Result<Self, StoreError> {
        for _ in 0..ATTEMPTS_MAX {
            if let Some((meta, _)) = Self::read_any(engine).await? {
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
        match &self.closed {
            None => write!(f, "{FORMAT} cluster={}", self.cluster),
            Some(closed) => write!(f, "{CLOSED} cluster={} {closed}", self.cluster),
        }
    }
}

/// What to say to whoever comes to a store that is closed.
pub(super) fn refused(closed: &Closed, engine: &dyn Engine) -> StoreError {
    let message = format!("{}, and this is {}", closed.told(), engine.label());
    StoreError::new(FailureKind::Invalid, message)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote_and_an_older_version_does_not_take_what_is_closed() {
        let open = Meta::new(7);
        assert_eq!(open.to_string(), "format=1 cluster=0000000000000007");
        let closed = Some(Closed::Moved { to: "etcd://a/x".to_owned() });
        let closed = Meta { closed, ..open.clone() };
        assert!(!closed.to_string().starts_with(FORMAT), "{closed}");
        for meta in [open, closed] {
            assert_eq!(Meta::parse(&meta.to_string()), Some(meta));
        }
        for text in ["", "format=2 cluster=7", "closed cluster=7", "closed cluster=7 for a while"] {
            assert_eq!(Meta::parse(text), None, "{text}");
        }
    }
}
