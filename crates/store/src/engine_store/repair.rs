//! The repair of an engine that has lost its latest state, while no server uses it: every sequence
//! that counts is put above all that is known to have been reserved, and as far above that as an
//! operator says. The store is closed before the first is raised, and opened when all are: a server
//! that starts meanwhile, or on a repair that was cut off, refuses.

use std::collections::BTreeMap;

use ticketd_core::cluster::Shared;
use ticketd_core::definition::KindName;
use ticketd_core::failure::FailureKind;
use ticketd_core::limits::MARK_MAX;
use ticketd_core::name::Name;
use ticketd_core::transfer::Closed;

use super::meta::{self, Meta};
use super::witness::{self, Memories, Seen};
use super::{ATTEMPTS_MAX, SEQUENCES, named, parse, sequence_key};
use crate::engine::{Change, Engine, Key, LIST_MAX, Outcome, Version};
use crate::error::StoreError;

/// A repair that is asked for.
#[derive(Debug)]
pub struct Repair {
    /// How many IDs each sequence that counts is raised above what is known of it.
    by: u64,
    /// What each witness remembers.
    memories: Vec<Memories>,
}

/// What a repair does to a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// Which.
    pub name: Name,
    /// Its kind.
    pub kind: KindName,
    /// Its mark in the engine before, in the units of its record: tickets, positions, ticks. `None`
    /// if it was not there.
    pub from: Option<u64>,
    /// Its mark after it.
    pub to: u64,
}

impl Repair {
    /// A repair that leaves `by` IDs beyond what the engine knows, and what witnesses have `seen`.
    ///
    /// # Errors
    /// `Invalid` if another version of ticketd has seen it.
    pub fn new<'a>(by: u64, seen: impl IntoIterator<Item = &'a Seen>) -> Result<Self, StoreError> {
        let memories = seen.into_iter().map(Memories::new);
        Ok(Self { by, memories: memories.collect::<Result<_, _>>()? })
    }

    /// What it would do to `engine`, without a change.
    ///
    /// # Errors
    /// `Corrupt` if the engine belongs to another cluster than was seen, or whatever it says.
    pub async fn plan(&self, engine: &dyn Engine) -> Result<Vec<Repaired>, StoreError> {
        if let Some((meta, _)) = Meta::read_any(engine).await? {
            self.check(engine, &meta)?;
        }
        let remembered = self.memories.iter().flat_map(|memories| memories.sequences.keys());
        let mut found: BTreeMap<Name, Option<Shared>> =
            remembered.map(|name| (name.clone(), None)).collect();
        let mut after: Option<Key> = None;
        loop {
            let page = engine.list(SEQUENCES, after.as_ref(), LIST_MAX).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            for entry in &page {
                let (name, state) = named(entry)?;
                found.insert(name, Some(state));
            }
        }
        let planned = found.iter().filter_map(|(name, state)| self.plan_one(name, *state));
        Ok(planned.map(|(repaired, _)| repaired).collect())
    }

    /// Closes the store. `id` names the cluster if nobody has named it. Returns whether a repair
    /// that was cut off had closed it before.
    ///
    /// # Errors
    /// As [`Repair::plan`].
    pub async fn begin(&self, engine: &dyn Engine, id: u64) -> Result<bool, StoreError> {
        let found = Meta::read_any(engine).await?.map(|(meta, _)| meta);
        if let Some(meta) = &found {
            self.check(engine, meta)?;
        }
        let seen = self.memories.iter().find_map(|memories| memories.cluster.clone());
        let cluster = seen.unwrap_or_else(|| Meta::new(id).cluster);
        let closed = Some(Closed::Repairing);
        let meta = Meta { cluster, closed: closed.clone() }.read_any_or_put(engine).await?;
        // It may be that somebody else has made it meanwhile.
        self.check(engine, &meta)?;
        Meta::close(engine, closed).await?;
        Ok(found.is_some_and(|meta| meta.closed.is_some()))
    }

    /// Opens the store again, of which nothing was raised.
    ///
    /// # Errors
    /// Whatever the engine says.
    pub async fn give_up(&self, engine: &dyn Engine) -> Result<(), StoreError> {
        Meta::close(engine, None).await
    }

    /// Raises what is to be raised, and opens the store. Says what it has done to each sequence as
    /// soon as that is durable. After [`Repair::begin`], and when no server is there. Done again it
    /// raises again, so what was cut off can be begun anew.
    ///
    /// # Errors
    /// As [`Repair::plan`]. The store is then closed as before.
    pub async fn end(
        &self,
        engine: &dyn Engine,
        mut tell: impl FnMut(Repaired),
    ) -> Result<(), StoreError> {
        for Repaired { name, .. } in self.plan(engine).await? {
            if let Some(repaired) = self.apply_one(engine, &name).await? {
                tell(repaired);
            }
        }
        Meta::close(engine, None).await
    }

    /// Whether this may repair what `meta` is of.
    fn check(&self, engine: &dyn Engine, meta: &Meta) -> Result<(), StoreError> {
        if let Some(closed) = meta.closed.as_ref().filter(|why| **why != Closed::Repairing) {
            return Err(meta::refused(closed, engine));
        }
        let mut clusters = self.memories.iter().filter_map(|memories| memories.cluster.as_ref());
        match clusters.find(|seen| meta.cluster != **seen) {
            Some(seen) => Err(witness::another(engine, &meta.cluster, seen)),
            None => Ok(()),
        }
    }

    /// What `name` is to become, if it has to change.
    fn plan_one(&self, name: &Name, found: Option<Shared>) -> Option<(Repaired, Shared)> {
        let seen = || self.memories.iter().filter_map(|memories| memories.sequences.get(name));
        let state = found.or_else(|| seen().next().copied())?;
        let kind = state.record.definition.kind.name();
        let marks = seen().map(|seen| seen.record.mark);
        let known = marks.max().unwrap_or(0).max(state.record.mark);
        let floor = match kind {
            _ if kind.has_blocks() => known.saturating_add(self.by).min(MARK_MAX),
            // Its ticks follow the clock.
            KindName::Snowflake => {
                let ticks = self.memories.iter().map(|memories| memories.ticks(name));
                ticks.max().unwrap_or(0).max(known)
            }
            // What carries a time of its own, or is random, has nothing to lose.
            _ if found.is_some() => return None,
            _ => known,
        };
        let after = state.repaired(seen(), floor);
        let from = found.map(|found| found.record.mark);
        let to = after.record.mark;
        Some((Repaired { name: name.clone(), kind, from, to }, after))
    }

    async fn apply_one(
        &self,
        engine: &dyn Engine,
        name: &Name,
    ) -> Result<Option<Repaired>, StoreError> {
        let keys = [sequence_key(name)];
        for _ in 0..ATTEMPTS_MAX {
            let entry = engine.read(&keys).await?.into_iter().next().flatten();
            let version = entry.as_ref().map_or(Version::ABSENT, |entry| entry.version);
            let found = entry.map(|entry| parse(name, &entry)).transpose()?;
            let Some((repaired, after)) = self.plan_one(name, found) else { return Ok(None) };
            let change = Change {
                expect: vec![(keys[0].clone(), version)],
                put: vec![(keys[0].clone(), after.to_text(name))],
                delete: Vec::new(),
            };
            if let Outcome::Applied(_) = engine.commit(&change).await? {
                return Ok(Some(repaired));
            }
        }
        let message = format!("something else changes it at the same time: stop that, of {name}");
        Err(StoreError::new(FailureKind::Conflict, message))
    }
}
