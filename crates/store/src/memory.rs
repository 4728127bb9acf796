//! A store in memory: for simulations and tests. It forgets everything when the process ends.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ticketd_core::block::Block;
use ticketd_core::definition::Definition;
use ticketd_core::name::Name;
use ticketd_core::record::{HandBack, Record, Reserve};
use ticketd_core::snowflake::lease::{self, LeaseAsk, Leased, Leases, NoLease, Release, Workers};
use ticketd_core::stride::resize::{self, NotTaken, Step};

use crate::contract::{Answer, Sizes, Store};
use crate::error::StoreError;

/// Records in a map. "Durable" means: for as long as the process lives.
#[derive(Debug, Default)]
pub struct Memory {
    records: Mutex<BTreeMap<Name, Record>>,
    workers: Mutex<BTreeMap<Name, Workers>>,
}

impl Memory {
    /// A store without sequences.
    pub fn new() -> Self {
        Self::default()
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<Name, Record>> {
        // Every change below is a single assignment, so a panic elsewhere leaves no half of one.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `with` with the mark and the worker IDs of `name`.
    fn with_workers<T>(
        &self,
        name: &Name,
        with: impl FnOnce(u64, &mut Workers) -> T,
    ) -> Result<T, StoreError> {
        let mark = self.records().get(name).ok_or_else(|| StoreError::not_found(name))?.mark;
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(with(mark, workers.entry(name.clone()).or_default()))
    }

    fn change<T>(
        &self,
        name: &Name,
        change: impl FnOnce(&mut Record) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut records = self.records();
        let record = records.get_mut(name).ok_or_else(|| StoreError::not_found(name))?;
        change(record)
    }
}

/// A future that is ready: the memory store never waits.
fn ready<'a, T: Send + 'a>(result: Result<T, StoreError>) -> Answer<'a, T> {
    Box::pin(std::future::ready(result))
}

impl Store for Memory {
    fn read(&self, name: &Name) -> Answer<'_, Option<Record>> {
        ready(Ok(self.records().get(name).copied()))
    }

    fn create(&self, name: &Name, definition: Definition) -> Answer<'_, Record> {
        let mut records = self.records();
        ready(Ok(*records.entry(name.clone()).or_insert_with(|| Record::new(definition))))
    }

    fn list(&self, after: Option<&Name>, limit: usize) -> Answer<'_, Vec<(Name, Record)>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let records = self.records();
        let range = records.range::<Name, _>((from, Bound::Unbounded)).take(limit);
        ready(Ok(range.map(|(name, record)| (name.clone(), *record)).collect()))
    }

    fn reserve(&self, name: &Name, asked: Reserve) -> Answer<'_, Block> {
        ready(self.change(name, |record| {
            record.reserve(asked).map_err(|why| StoreError::no_block(name, why))
        }))
    }

    fn raise(&self, name: &Name, floor: u64) -> Answer<'_, u64> {
        ready(self.change(name, |record| Ok(record.raise(floor))))
    }

    fn hand_back(&self, name: &Name, unissued: HandBack) -> Answer<'_, bool> {
        ready(self.change(name, |record| Ok(record.hand_back(unissued))))
    }

    fn lease(&self, name: &Name, ask: LeaseAsk) -> Answer<'_, Result<Leased, NoLease>> {
        ready(self.with_workers(name, |mark, workers| lease::lease(workers, mark, ask)))
    }

    fn release(&self, name: &Name, unspent: Release) -> Answer<'_, bool> {
        ready(self.with_workers(name, |_, workers| lease::release(workers, unspent)))
    }

    fn leases(&self, name: &Name, tick: u64) -> Answer<'_, Leases> {
        ready(self.with_workers(name, |_, workers| lease::leases(workers, tick)))
    }

    fn resize(&self, name: &Name, step: Step) -> Answer<'_, Result<Record, NotTaken>> {
        let mut records = self.records();
        let mut record = records.get(name).copied();
        let taken = resize::take(&mut record, step);
        ready(Ok(taken.and_then(|()| {
            let record = record.ok_or(NotTaken::Missing)?;
            records.insert(name.clone(), record);
            Ok(record)
        })))
    }

    fn sizes(&self) -> Sizes {
        Sizes { sequences: self.records().len() as u64, ..Sizes::default() }
    }

    fn health(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
