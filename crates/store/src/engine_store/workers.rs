//! The worker IDs of snowflake sequences: a key each, so that servers do not stand in each other's
//! way when they renew.

use std::collections::{BTreeMap, HashMap};
use std::sync::{MutexGuard, PoisonError};

use ticketd_core::cluster::Shared;
use ticketd_core::failure::FailureKind;
use ticketd_core::name::Name;
use ticketd_core::snowflake::lease::{
    self, LeaseAsk, Leased, Leases, NoLease, Release, Worker, Workers,
};

use super::{ATTEMPTS_MAX, EngineStore, sequence_key};
use crate::engine::{Change, Entry, Key, LIST_MAX, Outcome, Version};
use crate::error::StoreError;

impl EngineStore {
    /// As [`Store::lease`](crate::Store::lease): one change that holds only if neither the worker
    /// ID nor the record was changed since they were read.
    pub(super) async fn lease_window(
        &self,
        name: &Name,
        ask: LeaseAsk,
    ) -> Result<Result<Leased, NoLease>, StoreError> {
        for attempt in 0..ATTEMPTS_MAX {
            // What the engine says now must follow what was known before it was asked.
            let before = self.ends(name, ask.holder);
            // Whoever renews looks at its own worker ID alone.
            let own = if attempt == 0 { self.own_worker(name, ask.holder) } else { None };
            let (state, of_record) =
                self.fetch(name).await?.ok_or_else(|| StoreError::not_found(name))?;
            let Leasing { mut workers, versions } = self.look(name, own).await?;
            let ask = LeaseAsk { preferred: own.or(ask.preferred), ..ask };
            self.known_of(&mut workers, ask);
            let leased = match lease::lease(&mut workers, state.record.mark, ask) {
                Ok(leased) => leased,
                // It may be that only its own does not do any more.
                Err(_) if own.is_some() => continue,
                Err(why) => return Ok(Err(why)),
            };
            // Nor may it have been released meanwhile.
            let now = self.ends(name, ask.holder);
            match check_rises(name, [&before, &now], leased) {
                // Of the others it knows nothing yet.
                Err(_) if own.is_some() => continue,
                risen => risen?,
            }
            let worker = workers[&leased.worker];
            let version = versions.iter().find(|(id, _)| *id == leased.worker);
            let version = version.map_or(Version::ABSENT, |(_, version)| *version);
            let change = with_record(name, of_record, leased.worker, version, worker);
            if let Outcome::Applied(_) = self.engine.commit(&change).await? {
                self.remember(name, ask.holder, leased);
                self.saw_worker(name, leased.worker, worker);
                return Ok(Ok(leased));
            }
        }
        let message = format!("others lease at the same time: try again, with {name}");
        Err(StoreError::new(FailureKind::Conflict, message))
    }

    /// As [`Store::release`](crate::Store::release).
    pub(super) async fn release_window(
        &self,
        name: &Name,
        unspent: Release,
    ) -> Result<bool, StoreError> {
        let (Shared { .. }, of_record) =
            self.fetch(name).await?.ok_or_else(|| StoreError::not_found(name))?;
        let Leasing { mut workers, versions } = self.look(name, Some(unspent.worker)).await?;
        if !lease::release(&mut workers, unspent) {
            return Ok(false);
        }
        self.forget(name, unspent);
        let (worker, version) = (workers[&unspent.worker], versions[0].1);
        // Before it is so: the witness never runs ahead.
        self.saw_worker(name, unspent.worker, worker);
        let change = with_record(name, of_record, unspent.worker, version, worker);
        // Once: a second attempt could give back what the first gave and another has leased.
        Ok(self.engine.commit(&change).await? != Outcome::Differs)
    }

    /// As [`Store::leases`](crate::Store::leases).
    pub(super) async fn count_leases(&self, name: &Name, tick: u64) -> Result<Leases, StoreError> {
        self.fetch(name).await?.ok_or_else(|| StoreError::not_found(name))?;
        Ok(lease::leases(&self.look(name, None).await?.workers, tick))
    }

    fn mine(&self) -> MutexGuard<'_, HashMap<(Name, u64), Mine>> {
        // Every change below is a single assignment.
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own_worker(&self, name: &Name, holder: u64) -> Option<u32> {
        self.mine().get(&(name.clone(), holder)).map(|mine| mine.last)
    }

    /// The first tick of each worker ID that `holder` was never given.
    fn ends(&self, name: &Name, holder: u64) -> BTreeMap<u32, u64> {
        self.mine().get(&(name.clone(), holder)).map(|mine| mine.ends.clone()).unwrap_or_default()
    }

    fn remember(&self, name: &Name, holder: u64, leased: Leased) {
        let mut mine = self.mine();
        let mine = mine.entry((name.clone(), holder)).or_default();
        mine.last = leased.worker;
        let end = mine.ends.entry(leased.worker).or_default();
        *end = leased.window.end().max(*end);
    }

    /// Whoever releases gives up all from there on.
    fn forget(&self, name: &Name, unspent: Release) {
        if let Some(mine) = self.mine().get_mut(&(name.clone(), unspent.holder)) {
            mine.ends.insert(unspent.worker, unspent.from);
        }
    }

    fn saw_worker(&self, name: &Name, id: u32, worker: Worker) {
        if let Some(witness) = &self.witness {
            witness.saw(worker_key(name, id), to_text(name, id, worker));
        }
    }

    /// Reads one worker ID of `name`, or all that were ever leased.
    pub(super) async fn look(&self, name: &Name, only: Option<u32>) -> Result<Leasing, StoreError> {
        let entries = match only {
            Some(id) => {
                let keys = [worker_key(name, id)];
                self.engine.read(&keys).await?.into_iter().flatten().collect()
            }
            None => self.all_workers(name).await?,
        };
        let mut leasing = Leasing { workers: Workers::new(), versions: Vec::new() };
        for entry in entries {
            let (id, worker) = parse(name, &entry).ok_or_else(|| changed(name, &entry))?;
            leasing.workers.insert(id, worker);
            leasing.versions.push((id, entry.version));
        }
        Ok(leasing)
    }

    async fn all_workers(&self, name: &Name) -> Result<Vec<Entry>, StoreError> {
        let prefix = workers_of(name);
        let mut all: Vec<Entry> = Vec::new();
        loop {
            let after = all.last().map(|entry| &entry.key);
            let page = self.engine.list(&prefix, after, LIST_MAX).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }
}

/// What one holder has leased.
#[derive(Debug, Default)]
pub(super) struct Mine {
    /// The worker ID of its last lease, so that it need not look at all of them.
    last: u32,
    /// The first tick of each worker ID that it was never given.
    ends: BTreeMap<u32, u64>,
}

/// Worker IDs as they were read.
pub(super) struct Leasing {
    pub workers: Workers,
    pub versions: Vec<(u32, Version)>,
}

/// Puts `worker`, if neither it nor the record of `name` has changed.
fn with_record(
    name: &Name,
    of_record: Version,
    id: u32,
    version: Version,
    worker: Worker,
) -> Change {
    let key = worker_key(name, id);
    Change {
        expect: vec![(sequence_key(name), of_record), (key.clone(), version)],
        put: vec![(key, to_text(name, id, worker))],
        delete: Vec::new(),
    }
}

const WORKERS: &str = "worker/";

pub(super) fn workers_of(name: &Name) -> String {
    // No name holds a #, so the workers of one sequence are not among those of another.
    format!("{WORKERS}{name}#")
}

pub(super) fn worker_key(name: &Name, id: u32) -> Key {
    // As many digits as the largest has: in byte order they are in their own order.
    Key::new(format!("{}{id:08}", workers_of(name)))
}

pub(super) fn to_text(name: &Name, id: u32, worker: Worker) -> String {
    let fields = format!("mark={} holder={:016x}", worker.mark, worker.holder);
    let sum = checksum(name, id, &fields);
    format!("{fields} crc={sum:08x}")
}

/// The worker ID that `entry` is of, with the name of its sequence.
pub(super) fn named(entry: &Entry) -> Option<(Name, u32, Worker)> {
    let (name, _) = entry.key.as_str().strip_prefix(WORKERS)?.split_once('#')?;
    let name = Name::new(name).ok()?;
    let (id, worker) = parse(&name, entry)?;
    Some((name, id, worker))
}

fn parse(name: &Name, entry: &Entry) -> Option<(u32, Worker)> {
    let id = entry.key.as_str().strip_prefix(&workers_of(name))?.parse().ok()?;
    let (fields, sum) = entry.value.split_once(" crc=")?;
    let (mark, holder) = fields.strip_prefix("mark=")?.split_once(" holder=")?;
    let holder = u64::from_str_radix(holder, 16).ok()?;
    let worker = Worker { mark: mark.parse().ok()?, holder };
    let intact = format!("{:08x}", checksum(name, id, fields)) == sum
        && *entry == (Entry { value: to_text(name, id, worker), ..entry.clone() });
    intact.then_some((id, worker))
}

fn checksum(name: &Name, id: u32, fields: &str) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(name.as_str().as_bytes());
    hasher.update(&id.to_le_bytes());
    hasher.update(fields.as_bytes());
    hasher.finalize()
}

/// Windows of a holder rise on each worker ID: whoever is given less has another engine than before.
fn check_rises(
    name: &Name,
    known: [&BTreeMap<u32, u64>; 2],
    leased: Leased,
) -> Result<(), StoreError> {
    let ends = known.map(|ends| ends.get(&leased.worker).copied().unwrap_or_default());
    let end = ends[0].min(ends[1]);
    if leased.window.start() < end { Err(went_back(name, leased, end)) } else { Ok(()) }
}

fn went_back(name: &Name, leased: Leased, end: u64) -> StoreError {
    let (worker, start) = (leased.worker, leased.window.start());
    let message = format!(
        "the store went back: worker ID {worker} is free from tick {start}, after {end}; restore \
         its latest state, or restart all servers and, once it has come, raise the sequence to an \
         ID of tick {end} or above: {name}"
    );
    StoreError::new(FailureKind::Corrupt, message)
}

pub(super) fn changed(name: &Name, entry: &Entry) -> StoreError {
    let message = format!(
        "a worker ID was changed by something else than ticketd: put back what was at {}, of \
         sequence {name}",
        entry.key
    );
    StoreError::new(FailureKind::Corrupt, message)
}
