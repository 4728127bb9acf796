//! The store file: one redb database of records and a stamp.
//!
//! Of redb no more is used than this: four small tables, one writer, durable two-phase
//! commits. No savepoints, no compaction, no check of a live handle; each of them had
//! errors in the past that took commits back (its changelog, 4.0 to 4.6).

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use redb::backends::InMemoryBackend;
use redb::{
    Durability, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition,
    WriteTransaction,
};
use ticketd_core::failure::{Failure, FailureKind};
use ticketd_core::name::Name;
use ticketd_core::record::{ENCODED_LEN, Record};
use ticketd_core::snowflake::lease::{WORKER_LEN, Worker, Workers};
use ticketd_core::transfer::Closed;

use super::disk::{Counted, DiskFile};
use super::fault::{self, Fault};
use super::pages::{Fuse, Pages};
use super::stamp::{STAMP_LEN, Stamp};

/// What a store file holds of sequences, or changes of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    /// The records by name.
    pub sequences: BTreeMap<Name, Record>,
    /// Of snowflake sequences, the worker IDs that were ever leased.
    pub workers: BTreeMap<Name, Workers>,
    /// Why no server may issue, if that is so.
    pub closed: Option<Closed>,
    /// Of changes: takes `closed` away.
    pub opens: bool,
}

impl Records {
    pub(super) fn is_empty(&self) -> bool {
        self.sequences.is_empty() && self.workers.is_empty() && self.closed.is_none() && !self.opens
    }

    /// Takes over `changes`.
    pub(super) fn extend(&mut self, changes: Self) {
        self.sequences.extend(changes.sequences);
        for (name, workers) in changes.workers {
            self.workers.entry(name).or_default().extend(workers);
        }
        if changes.opens || changes.closed.is_some() {
            self.closed = changes.closed;
        }
    }
}

const SEQUENCES: TableDefinition<&str, &[u8; ENCODED_LEN]> = TableDefinition::new("sequences");
/// What was leased on a worker ID.
const WORKERS: TableDefinition<(&str, u32), &[u8; WORKER_LEN]> = TableDefinition::new("workers");
/// What was chosen about a kind that leaves something to choose, and of stride where a resize has
/// led. Written with the record.
const CHOSEN: TableDefinition<&str, &[u8]> = TableDefinition::new("chosen");
/// Why no server may issue, if that is so; and among the sequences what no version takes for one
/// that does not know this.
const CLOSED: TableDefinition<(), &str> = TableDefinition::new("closed");
const CLOSED_KEY: &str = "#closed";
const STAMP: TableDefinition<(), &[u8; STAMP_LEN]> = TableDefinition::new("stamp");

/// redb's page cache in bytes. The records of a hundred thousand sequences fit; reads do not use
/// it anyway.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// How much of the file is copied at a time.
const COPY_BYTES: usize = 1024 * 1024;

/// An open store file.
#[derive(Debug)]
pub(super) struct Database {
    redb: redb::Database,
    fuse: Fuse,
}

/// What an open store file holds.
#[derive(Debug)]
pub(super) struct Content {
    /// `None` in a store whose making has not ended.
    pub stamp: Option<Stamp>,
    pub records: Records,
}

/// A commit that failed.
#[derive(Debug)]
pub(super) struct NotCommitted {
    /// Whether it may be found in the file nevertheless.
    pub perhaps_applied: bool,
    /// What redb said.
    pub text: String,
}

impl Database {
    /// Opens the store file, verifies all of it, and reads it; makes it if it is empty.
    ///
    /// The verification ends with a durable commit of redb's own, so that what was read is what
    /// the next opening finds: an earlier transaction of unknown outcome is decided here.
    pub(super) fn open(disk: &Arc<Counted>) -> Result<(Self, Content), Failure> {
        let fuse = Fuse::default();
        let pages = Pages { disk: Arc::clone(disk), fuse: fuse.clone() };
        let redb = verified(pages).map_err(|error| not_opened(disk, &fuse, &error))?;
        let database = Self { redb, fuse };
        match read_all(&database.redb, disk) {
            Ok(content) => Ok((database, content)),
            Err(failure) => {
                database.abandon();
                Err(failure)
            }
        }
    }

    /// What opening the store file would find, without touching it.
    ///
    /// Opening writes: redb settles which of its two commit slots counts and overwrites the other.
    /// In a file that is then refused, because a flipped byte made it choose the older one, that
    /// would destroy the latest state. So it is done on a copy in memory first.
    pub(super) fn rehearse(disk: &Arc<Counted>) -> Result<Content, Failure> {
        let fuse = Fuse::default();
        let pages = Pages { disk: Arc::clone(disk), fuse: fuse.clone() };
        let redb = copy_of(&pages).map_err(Into::into).and_then(verified);
        let redb = redb.map_err(|error| not_opened(disk, &fuse, &error))?;
        read_all(&redb, disk)
    }

    /// Writes `changes` and `stamp` in one durable transaction.
    pub(super) fn commit(&self, changes: &Records, stamp: Stamp) -> Result<(), NotCommitted> {
        let before =
            |error: redb::Error| NotCommitted { perhaps_applied: false, text: error.to_string() };
        let transaction = self.write(changes, stamp).map_err(before)?;
        // From here on an error says nothing about the file: redb also reports one that came
        // after the commit was durable.
        transaction
            .commit()
            .map_err(|e| NotCommitted { perhaps_applied: true, text: e.to_string() })
    }

    /// The first error of the disk since this was opened.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fuse.fault()
    }

    /// Closes the file cleanly, so that the next opening has nothing to repair.
    pub(super) fn close(self) -> Result<(), redb::DatabaseError> {
        self.redb.close()
    }

    /// Drops the file without another write to it.
    pub(super) fn abandon(self) {
        self.fuse.blow();
    }

    fn write(&self, changes: &Records, stamp: Stamp) -> Result<WriteTransaction, redb::Error> {
        let mut transaction = self.redb.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        // The pages are synced before the byte that makes them valid is written. One phase would
        // be quicker by a sync and would rest on a checksum to notice that they were not.
        transaction.set_two_phase_commit(true);
        {
            let mut sequences = transaction.open_table(SEQUENCES)?;
            for (name, record) in &changes.sequences {
                sequences.insert(name.as_str(), &record.encode(name))?;
                if let Some(chosen) = record.encode_chosen(name) {
                    transaction.open_table(CHOSEN)?.insert(name.as_str(), &*chosen)?;
                }
            }
            if let Some(closed) = &changes.closed {
                transaction.open_table(CLOSED)?.insert((), &*closed.to_string())?;
                sequences.insert(CLOSED_KEY, &[0; ENCODED_LEN])?;
            } else if changes.opens {
                transaction.open_table(CLOSED)?.remove(())?;
                sequences.remove(CLOSED_KEY)?;
            }
            for (name, workers) in &changes.workers {
                let mut table = transaction.open_table(WORKERS)?;
                for (id, worker) in workers {
                    table.insert((name.as_str(), *id), &worker.encode(name, *id))?;
                }
            }
            transaction.open_table(STAMP)?.insert((), &stamp.encode())?;
        }
        Ok(transaction)
    }
}

/// Opens `pages` with a check of every page that is in use; makes an empty one a database.
fn verified(pages: impl StorageBackend) -> Result<redb::Database, redb::DatabaseError> {
    redb::Builder::new()
        .set_cache_size(CACHE_BYTES)
        .set_check_integrity_on_open(true)
        .create_with_backend(pages)
}

fn copy_of(pages: &Pages) -> std::io::Result<InMemoryBackend> {
    let len = pages.len()?;
    let copy = InMemoryBackend::new();
    copy.set_len(len)?;
    let mut chunk = vec![0; COPY_BYTES];
    let mut at = 0;
    while at < len {
        let left = usize::try_from(len - at).map_or(COPY_BYTES, |left| left.min(COPY_BYTES));
        pages.read(at, &mut chunk[..left])?;
        copy.write(at, &chunk[..left])?;
        at += left as u64;
    }
    Ok(copy)
}

fn not_opened(disk: &Counted, fuse: &Fuse, error: &redb::DatabaseError) -> Failure {
    let path = disk.path(DiskFile::Store);
    match fuse.fault() {
        Some(fault) if fault.is_no_room() => {
            fault::no_room(FailureKind::Unavailable, disk.disk().dir(), &fault.text)
        }
        // Beyond the end of the file: redb followed a reference into what was cut off.
        Some(fault) if fault.kind != std::io::ErrorKind::UnexpectedEof => {
            fault::disk_failed(&fault, &path)
        }
        _ => fault::damaged(&path, &error.to_string()),
    }
}

fn read_all(redb: &redb::Database, disk: &Counted) -> Result<Content, Failure> {
    let path = disk.path(DiskFile::Store);
    let damaged = |why: &dyn Error| fault::damaged(&path, &why.to_string());
    let transaction = redb.begin_read().map_err(|e| damaged(&e))?;
    let mut content = Content { stamp: None, records: Records::default() };
    match transaction.open_table(STAMP) {
        Ok(table) => {
            if let Some(row) = table.get(()).map_err(|e| damaged(&e))? {
                let stamp = Stamp::decode(row.value());
                let stamp = stamp.map_err(|why| fault::damaged(&path, &why.to_string()))?;
                content.stamp = Some(stamp);
            }
        }
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(content),
        Err(error) => return Err(damaged(&error)),
    }
    let sequences = transaction.open_table(SEQUENCES).map_err(|e| damaged(&e))?;
    let chosen = match transaction.open_table(CHOSEN) {
        Ok(table) => Some(table),
        Err(redb::TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(damaged(&error)),
    };
    for row in sequences.iter().map_err(|e| damaged(&e))? {
        let (key, value) = row.map_err(|e| damaged(&e))?;
        if key.value() == CLOSED_KEY {
            content.records.closed = Some(read_closed(&transaction, &path)?);
            continue;
        }
        let name = Name::new(key.value()).map_err(|e| damaged(&e))?;
        let chosen = chosen.as_ref().map(|table| table.get(name.as_str())).transpose();
        let chosen = chosen.map_err(|e| damaged(&e))?.flatten();
        let chosen = chosen.as_ref().map(redb::AccessGuard::value);
        let record = Record::decode(&name, value.value(), chosen)
            .map_err(|e| fault::damaged(&path, &format!("{e}, in the record of {name}")))?;
        content.records.sequences.insert(name, record);
    }
    match transaction.open_table(WORKERS) {
        Ok(table) => content.records.workers = read_workers(&table, &path)?,
        Err(redb::TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(damaged(&error)),
    }
    Ok(content)
}

fn read_closed(transaction: &ReadTransaction, path: &str) -> Result<Closed, Failure> {
    let damaged = |why: &dyn Error| fault::damaged(path, &why.to_string());
    let table = transaction.open_table(CLOSED).map_err(|e| damaged(&e))?;
    let row = table.get(()).map_err(|e| damaged(&e))?;
    let closed = row.and_then(|row| row.value().parse().ok());
    closed.ok_or_else(|| fault::damaged(path, "it is closed, and does not say why"))
}

fn read_workers(
    table: &impl ReadableTable<(&'static str, u32), &'static [u8; WORKER_LEN]>,
    path: &str,
) -> Result<BTreeMap<Name, Workers>, Failure> {
    let damaged = |why: &dyn Error| fault::damaged(path, &why.to_string());
    let mut all = BTreeMap::<Name, Workers>::new();
    for row in table.iter().map_err(|e| damaged(&e))? {
        let (key, value) = row.map_err(|e| damaged(&e))?;
        let (name, id) = key.value();
        let name = Name::new(name).map_err(|e| damaged(&e))?;
        let worker = Worker::decode(&name, id, value.value()).map_err(|e| {
            fault::damaged(path, &format!("{e}, in the record of worker {id} of {name}"))
        })?;
        all.entry(name).or_default().insert(id, worker);
    }
    Ok(all)
}
