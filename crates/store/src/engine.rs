//! The seam to an engine that several servers share: values under keys, each with a version,
//! changed by compare-and-swap.
//!
//! An [`Engine`] knows nothing of sequences: it is little more than three calls. [`conformance`] is
//! the contract as tests.

pub mod conformance;
pub mod etcd;
mod highest;
mod memory;
mod mysql;
mod postgres;
mod sql;

use std::fmt;
use std::sync::Arc;

use ticketd_core::failure::FailureKind;

use crate::contract::Answer;
use crate::error::StoreError;

pub use etcd::{Etcd, EtcdUrl};
pub use highest::{Column, highest};
pub use memory::MemoryEngine;
pub use mysql::MysqlEngine;
pub use postgres::PostgresEngine;

/// What the URLs of engines start with, before `://`.
pub const SCHEMES: [&str; 5] = ["etcd", "postgres", "postgresql", "mysql", "mariadb"];

/// Opens the engine at `url`.
///
/// # Errors
/// `Invalid` if it is no URL of an engine, or credentials, permissions or TLS are wrong;
/// `Unavailable` if nobody answers there.
pub async fn open(url: &str) -> Result<Arc<dyn Engine>, StoreError> {
    let scheme = url.split_once(':').map_or(url, |(scheme, _)| scheme);
    match scheme {
        "etcd" => Ok(Arc::new(Etcd::open(&url.parse()?).await?)),
        "postgres" | "postgresql" => Ok(Arc::new(PostgresEngine::open(url).await?)),
        "mysql" | "mariadb" => Ok(Arc::new(MysqlEngine::open(url).await?)),
        other => {
            let message = format!("there is no such engine; not {other}");
            Err(StoreError::new(FailureKind::Invalid, message))
        }
    }
}

/// Whether there is a place for values at `url`: of SQL engines a table. Nothing is made.
///
/// # Errors
/// As [`open`].
pub async fn is_there(url: &str) -> Result<bool, StoreError> {
    let scheme = url.split_once(':').map_or(url, |(scheme, _)| scheme);
    match scheme {
        "postgres" | "postgresql" => {
            let (server, address) = postgres::reach(url)?;
            sql::is_there(server, address).await
        }
        "mysql" | "mariadb" => {
            let (server, address) = mysql::reach(url)?;
            sql::is_there(server, address).await
        }
        // Opening makes nothing there.
        _ => Ok(true),
    }
}

/// The longest key in bytes: a name of 128 and what goes around it.
pub const KEY_LEN_MAX: usize = 192;

/// The longest value in bytes. Values are a few hundred at most.
pub const VALUE_LEN_MAX: usize = 4096;

/// The most entries of one [`Engine::list`].
pub const LIST_MAX: usize = 10_000;

/// Where a value is: 1 to [`KEY_LEN_MAX`] characters of `A-Z a-z 0-9 . _ : - / #`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// The key `text`.
    ///
    /// # Panics
    /// If it is none. Keys are made of names that were checked before.
    pub fn new(text: impl Into<String>) -> Self {
        Self::checked(text).expect("a key is made of a checked name")
    }

    /// The key `text`, which comes from outside, if it is one.
    pub fn checked(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        is_key(&text).then_some(Self(text))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_key(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-/#".contains(&byte);
    (1..=KEY_LEN_MAX).contains(&text.len()) && text.bytes().all(good)
}

/// Whether `text` can be a value.
pub(crate) fn is_value(text: &str) -> bool {
    text.len() <= VALUE_LEN_MAX && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// Tells the states of one key apart: 0 if there is no value, otherwise positive, another one after
/// each change, as long as the key is not made again after it was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(pub u64);

impl Version {
    /// There is no value under the key.
    pub const ABSENT: Self = Self(0);
}

/// What is under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The version of the value.
    pub version: Version,
    /// The value: printable ASCII in one line, so that people can read it with the engine's own
    /// tools. At most [`VALUE_LEN_MAX`].
    pub value: String,
}

/// A change of some keys, applied as a whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// The versions that the keys must have when it is applied. Every key that is put or deleted
    /// is among them; others may be. No key comes twice.
    pub expect: Vec<(Key, Version)>,
    /// New values of keys in `expect`.
    pub put: Vec<(Key, String)>,
    /// Keys in `expect` whose values go. They are never made again.
    pub delete: Vec<Key>,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is applied and durable; every key that was put has this version now.
    Applied(Version),
    /// A version is another one; nothing has changed.
    Differs,
}

/// An engine that several servers share.
///
/// What an implementation owes to its caller:
///
/// 1. **Durable before `Ok`**, as far as `docs/guarantees.md` demands of the engine: what has been
///    applied survives the loss of a machine of the engine, and is never taken back.
/// 2. **Linearizable.** Each call acts at one moment between its start and its answer, on what all
///    calls before that moment have made; a read never answers from a copy that may be behind.
///    Of [`list`](Engine::list) each entry by itself.
/// 3. **Errors tell the truth.** `Unavailable` and `Conflict`: surely not applied. `Indeterminate`
///    as soon as that is not sure: the connection broke, or time ran out, after the change had been
///    sent. `Invalid`: credentials, permissions, a schema that is not ours. `Corrupt`: the engine
///    contradicts itself.
/// 4. **Every call ends**, within a time-out of its own.
/// 5. **A call that is dropped** is as one that failed as `Indeterminate`.
/// 6. **No secret** is in an error, and no text of the engine that could hold one.
pub trait Engine: Send + Sync + 'static {
    /// What is under `keys`, in their order.
    fn read<'a>(&'a self, keys: &'a [Key]) -> Answer<'a, Vec<Option<Entry>>>;

    /// Up to `limit` (at most [`LIST_MAX`]) entries whose keys start with `prefix` and lie after
    /// `after` in byte order, in that order.
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a Key>,
        limit: usize,
    ) -> Answer<'a, Vec<Entry>>;

    /// Applies `change` if the versions are as it expects.
    fn commit<'a>(&'a self, change: &'a Change) -> Answer<'a, Outcome>;

    /// Looks at the settings of the engine that durability and order depend on. Answers what
    /// weakens them, a line each with the way out; empty if nothing does.
    ///
    /// Fails with `Invalid` if with these settings a promise would surely be broken.
    fn vet(&self) -> Answer<'_, Vec<String>>;

    /// Transactions committed since it was opened, for the metrics.
    fn commits(&self) -> u64;

    /// What it is called in messages: its scheme and where it is, without credentials.
    fn label(&self) -> &str;
}

/// An engine that is shared is an engine.
impl<E: Engine + ?Sized> Engine for Arc<E> {
    fn read<'a>(&'a self, keys: &'a [Key]) -> Answer<'a, Vec<Option<Entry>>> {
        (**self).read(keys)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a Key>,
        limit: usize,
    ) -> Answer<'a, Vec<Entry>> {
        (**self).list(prefix, after, limit)
    }

    fn commit<'a>(&'a self, change: &'a Change) -> Answer<'a, Outcome> {
        (**self).commit(change)
    }

    fn vet(&self) -> Answer<'_, Vec<String>> {
        (**self).vet()
    }

    fn commits(&self) -> u64 {
        (**self).commits()
    }

    fn label(&self) -> &str {
        (**self).label()
    }
}

/// Checks what every engine relies on of `change`.
///
/// # Panics
/// If a key is changed whose version is not expected, a key comes twice, or a value is too long or
/// not in one line: defects of the caller.
pub fn assert_well_formed(change: &Change) {
    let expected = |key: &Key| change.expect.iter().filter(|(k, _)| k == key).count();
    let changed = change.put.iter().map(|(key, _)| key).chain(&change.delete);
    assert!(changed.clone().all(|key| expected(key) == 1), "what is changed is expected once");
    let mut keys: Vec<&Key> = changed.collect();
    keys.sort_unstable();
    assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "a key is changed once");
    assert!(change.put.iter().all(|(_, value)| is_value(value)), "a value is a line of ASCII");
}
