//! An engine in memory: for tests, and the model of what a real one does.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Change, Engine, Entry, Key, LIST_MAX, Outcome, Version, assert_well_formed};
use crate::contract::Answer;
use crate::error::StoreError;

/// Values in a map. "Durable" means: for as long as the process lives.
#[derive(Debug, Default)]
pub struct MemoryEngine(Mutex<Contents>);

#[derive(Debug, Default, Clone)]
struct Contents {
    values: BTreeMap<Key, (Version, String)>,
    /// The version of the last change, of whatever key: as etcd counts.
    revision: u64,
}

impl MemoryEngine {
    /// An engine without values.
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of all there is: what a backup holds, or a standby.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(Mutex::new(self.contents().clone()))
    }

    /// Takes over from `other`, which was ahead: no version of its comes a second time, as none
    /// does in an SQL engine, where they are random.
    pub fn take_over(&self, other: &Self) {
        self.contents().revision = other.contents().revision;
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        // A change is checked before its first assignment, and nothing panics after that.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn entry(&self, key: &Key) -> Option<Entry> {
        let (version, value) = self.values.get(key)?;
        Some(Entry { key: key.clone(), version: *version, value: value.clone() })
    }

    fn version(&self, key: &Key) -> Version {
        self.values.get(key).map_or(Version::ABSENT, |(version, _)| *version)
    }

    fn apply(&mut self, change: &Change) -> Outcome {
        if change.expect.iter().any(|(key, version)| self.version(key) != *version) {
            return Outcome::Differs;
        }
        self.revision += 1;
        let version = Version(self.revision);
        for (key, value) in &change.put {
            self.values.insert(key.clone(), (version, value.clone()));
        }
        for key in &change.delete {
            self.values.remove(key);
        }
        Outcome::Applied(version)
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> Answer<'a, T> {
    Box::pin(std::future::ready(Ok::<T, StoreError>(value)))
}

impl Engine for MemoryEngine {
    fn read<'a>(&'a self, keys: &'a [Key]) -> Answer<'a, Vec<Option<Entry>>> {
        let contents = self.contents();
        ready(keys.iter().map(|key| contents.entry(key)).collect())
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a Key>,
        limit: usize,
    ) -> Answer<'a, Vec<Entry>> {
        let contents = self.contents();
        // Keys with a prefix follow each other, from the prefix itself on.
        let first = Key::checked(prefix);
        let from = match (after, &first) {
            (Some(after), Some(first)) if after < first => Bound::Included(first),
            (Some(after), _) => Bound::Excluded(after),
            (None, Some(first)) => Bound::Included(first),
            (None, None) => Bound::Unbounded,
        };
        let entries = contents.values.range::<Key, _>((from, Bound::Unbounded));
        let entries = entries.take_while(|(key, _)| key.as_str().starts_with(prefix));
        let entry = |(key, (version, value)): (&Key, &(Version, String))| Entry {
            key: key.clone(),
            version: *version,
            value: value.clone(),
        };
        ready(entries.take(limit.min(LIST_MAX)).map(entry).collect())
    }

    fn commit<'a>(&'a self, change: &'a Change) -> Answer<'a, Outcome> {
        assert_well_formed(change);
        ready(self.contents().apply(change))
    }

    fn vet(&self) -> Answer<'_, Vec<String>> {
        ready(Vec::new())
    }

    fn commits(&self) -> u64 {
        self.contents().revision
    }

    fn label(&self) -> &str {
        "memory:"
    }
}
