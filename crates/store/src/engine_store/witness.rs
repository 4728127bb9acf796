//! The witness of an engine: what this server has seen of it, kept where the engine's loss does not
//! reach.
//!
//! An engine that was restored from a backup, emptied or exchanged cannot know it. So a server
//! remembers the newest value that it saw under each key of what it has used, and at its next start
//! the engine must have come from there ([`check`]). The witness lags by little and never runs
//! ahead; how it is kept is up to a [`Witness`].

mod file;
mod keeper;

use std::collections::BTreeMap;

use ticketd_core::cluster::Shared;
use ticketd_core::failure::FailureKind;
use ticketd_core::name::Name;
use ticketd_core::snowflake::lease::Worker;

use super::meta::{self, Meta};
use super::{SEQUENCES, parse, read, sequence_key, workers};
use crate::engine::{Engine, Entry, Key, Version};
use crate::error::StoreError;

pub use keeper::DirWitness;

/// What was seen of an engine: the newest value under each key. Under `meta` it is the ID of the
/// cluster.
pub type Seen = BTreeMap<Key, String>;

/// Remembers beyond the end of this process what was seen.
pub trait Witness: Send + Sync {
    /// What the process before has seen.
    fn seen(&self) -> &Seen;

    /// Notes that `value` is under `key`. Must not block; may lag.
    fn saw(&self, key: Key, value: String);
}

/// The same, with a meaning.
#[derive(Debug, Default)]
pub(super) struct Memories {
    /// The ID of the cluster; `None` if nothing was seen.
    pub cluster: Option<String>,
    /// The newest state of each sequence.
    pub sequences: BTreeMap<Name, Shared>,
    /// The newest state of each worker ID that this server has leased.
    pub workers: BTreeMap<(Name, u32), Worker>,
}

impl Memories {
    /// Understands `seen`.
    pub(super) fn new(seen: &Seen) -> Result<Self, StoreError> {
        let mut memories = Self::default();
        for (key, value) in seen {
            let understood = memories.add(key, value);
            understood.ok_or_else(|| not_understood(key))?;
        }
        Ok(memories)
    }

    fn add(&mut self, key: &Key, value: &str) -> Option<()> {
        let entry = Entry { key: key.clone(), version: Version::ABSENT, value: value.to_owned() };
        if *key == meta::key() {
            self.cluster = Some(value.to_owned());
        } else if let Some(name) = key.as_str().strip_prefix(SEQUENCES) {
            let name = Name::new(name).ok()?;
            self.sequences.insert(name.clone(), parse(&name, &entry).ok()?);
        } else {
            let (name, id, worker) = workers::named(&entry)?;
            self.workers.insert((name, id), worker);
        }
        Some(())
    }

    /// The highest tick below which this server has leased of `name`.
    pub(super) fn ticks(&self, name: &Name) -> u64 {
        let of_name = self.workers.iter().filter(|((of, _), _)| of == name);
        of_name.map(|(_, worker)| worker.mark).max().unwrap_or(0)
    }
}

/// Makes sure that `engine`, whose `meta` is as given, has all that `memories` of `witness` say.
/// Answers what it has of these sequences now, which the witness has been told.
///
/// # Errors
/// `Corrupt` if it has not; or whatever the engine says.
pub(super) async fn check(
    engine: &dyn Engine,
    meta: Option<&Meta>,
    memories: &Memories,
    witness: &dyn Witness,
) -> Result<Vec<Present>, StoreError> {
    let Some(cluster) = &memories.cluster else { return Ok(Vec::new()) };
    match meta {
        Some(meta) if meta.cluster != *cluster => {
            return Err(another(engine, &meta.cluster, cluster));
        }
        None if !memories.sequences.is_empty() => {
            return Err(refusal(engine, "the engine is empty", Vec::new()));
        }
        Some(_) | None => {}
    }
    let present = present(engine, memories).await?;
    for (name, state, _) in &present {
        let seen = &memories.sequences[name];
        if state != seen && state.can_follow(seen) {
            witness.saw(sequence_key(name), state.to_text(name));
        }
    }
    let behind = behind(engine, memories, &present).await?;
    if behind.is_empty() {
        Ok(present)
    } else {
        Err(refusal(engine, "the engine went back", behind))
    }
}

/// A sequence as the engine has it.
type Present = (Name, Shared, Version);

/// Those of the sequences that were seen.
async fn present(engine: &dyn Engine, memories: &Memories) -> Result<Vec<Present>, StoreError> {
    let names: Vec<&Name> = memories.sequences.keys().collect();
    let keys: Vec<Key> = names.iter().map(|name| sequence_key(name)).collect();
    let mut present = Vec::new();
    for (name, entry) in names.into_iter().zip(read(engine, &keys).await?) {
        if let Some(entry) = entry {
            present.push((name.clone(), parse(name, &entry)?, entry.version));
        }
    }
    Ok(present)
}

/// What `engine` is behind in, which has `present`: a sentence for each sequence.
async fn behind(
    engine: &dyn Engine,
    memories: &Memories,
    present: &[Present],
) -> Result<Vec<String>, StoreError> {
    let present: BTreeMap<&Name, &Shared> =
        present.iter().map(|(name, state, _)| (name, state)).collect();
    let mut behind = BTreeMap::new();
    for (name, seen) in &memories.sequences {
        let found = present.get(name).copied();
        if !found.is_some_and(|found| found.can_follow(seen)) {
            behind.insert(name, told(name, found, seen));
        }
    }
    let ids: Vec<&(Name, u32)> = memories.workers.keys().collect();
    let keys: Vec<Key> = ids.iter().map(|(name, id)| workers::worker_key(name, *id)).collect();
    for (id, entry) in ids.into_iter().zip(read(engine, &keys).await?) {
        let (name, seen) = (&id.0, memories.workers[id].mark);
        let worker =
            entry.map(|entry| workers::named(&entry).ok_or_else(|| workers::changed(name, &entry)));
        let of_worker = worker.transpose()?.map_or(0, |(_, _, worker)| worker.mark);
        if of_worker.max(present.get(name).map_or(0, |state| state.record.mark)) < seen {
            behind.entry(name).or_insert_with(|| {
                format!("{name} has worker ID {} at tick {of_worker}, and {seen} was seen", id.1)
            });
        }
    }
    Ok(behind.into_values().collect())
}

fn told(name: &Name, found: Option<&Shared>, seen: &Shared) -> String {
    let mark = seen.record.mark;
    match found {
        None => format!("{name} is missing, and mark {mark} was seen"),
        Some(found) if found.record.mark < mark => {
            format!("{name} has mark {}, and {mark} was seen", found.record.mark)
        }
        // IDs were handed back in the turn that is missing.
        Some(found) => format!(
            "{name} has mark {} in turn {}, and turn {} was seen",
            found.record.mark, found.turn, seen.turn
        ),
    }
}

fn refusal(engine: &dyn Engine, what: &str, behind: Vec<String>) -> StoreError {
    let mut lines = behind.into_iter();
    let first = lines.next().map(|line| format!(": sequence {line}")).unwrap_or_default();
    let more = match lines.count() {
        0 => String::new(),
        n => format!("; and {n} more"),
    };
    let message = format!(
        "{what}{first}{more}; bring its latest state back, or if that is lost, raise all sequences \
         above whatever was issued: ticketd sequence raise --all --by N --store URL --data-dir DIR \
         --dry-run; of {}",
        engine.label()
    );
    StoreError::new(FailureKind::Corrupt, message)
}

pub(super) fn another(engine: &dyn Engine, found: &str, seen: &str) -> StoreError {
    let message = format!(
        "the engine belongs to cluster {found}, and this data directory was used with cluster \
         {seen}: give the --store of that one, or another --data-dir; of {}",
        engine.label()
    );
    StoreError::new(FailureKind::Corrupt, message)
}

fn not_understood(key: &Key) -> StoreError {
    let message = format!(
        "the witness of the engine was written by another version of ticketd: start that one, or \
         give this one another --data-dir; at {key}"
    );
    StoreError::new(FailureKind::Invalid, message)
}
