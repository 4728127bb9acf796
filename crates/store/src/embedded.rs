//! The embedded store: a data directory on a local disk, and nothing else to run.
//!
//! One thread, the [`writer`], owns the file and commits whatever waits in one transaction. All
//! records are also kept in memory, as of the last durable commit, and readers see only those.
//! A second small file, the [`witness`], notices a store that was lost or taken back. When the
//! disk fails, the table in [`writer`] says who hears what.

mod database;
mod disk;
mod fault;
mod file_disk;
mod hand;
mod mutant;
mod op;
mod pages;
pub mod sim_disk;
mod stamp;
mod start;
mod transfer;
mod witness;
mod writer;

use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::thread::{self, JoinHandle};

use ticketd_core::block::Block;
use ticketd_core::definition::Definition;
use ticketd_core::failure::{Failure, FailureKind};
use ticketd_core::name::Name;
use ticketd_core::record::{HandBack, Record, Reserve};
use ticketd_core::snowflake::lease::{self, LeaseAsk, Leased, Leases, NoLease, Release};
use ticketd_core::stride::resize::{NotTaken, Step};
use tokio::sync::oneshot;

use crate::contract::{Answer, Sizes, Store};
use crate::error::StoreError;
use database::Records;
use disk::Counted;
pub use disk::{Disk, DiskFile};
pub(crate) use fault::at_start;
pub use file_disk::FileDisk;
pub(crate) use file_disk::create_dir;
pub use hand::{Hand, Setup};
pub use mutant::Mutant;
use op::{Op, Reply, to_error};
use writer::Writer;

/// The most calls that may wait for the writer. Each sequence has one in flight at most, so this
/// is beyond what a server with as many busy sequences can ask.
const QUEUE_LEN_MAX: usize = 16_384;

/// A store in a data directory of its own.
///
/// Dropping it finishes what waits and closes the file cleanly; that blocks, for a commit or two.
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    /// Taken when it is dropped.
    queue: Option<SyncSender<Op>>,
    /// Taken when it is dropped; `None` if a [`Hand`] works instead of a thread.
    writer: Option<JoinHandle<()>>,
}

/// What the writer and everybody else share.
#[derive(Debug)]
struct Shared {
    disk: Arc<Counted>,
    /// As of the last durable commit.
    records: RwLock<Records>,
    commits: AtomicU64,
    /// Why no more work is done, once that is so.
    stopped: OnceLock<Failure>,
}

impl Shared {
    fn new(disk: Counted) -> Self {
        Self {
            disk: Arc::new(disk),
            records: RwLock::default(),
            commits: AtomicU64::new(0),
            stopped: OnceLock::new(),
        }
    }

    fn records(&self) -> RwLockReadGuard<'_, Records> {
        self.records.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the store, once and for all; returns the first reason for it.
    fn stop(&self, why: Failure) -> Failure {
        if self.stopped.set(why).is_ok() {
            tracing::error!(why = %self.stopped.wait(), "the store has stopped");
        }
        self.stopped.wait().clone()
    }

    fn check(&self) -> Result<(), StoreError> {
        self.stopped.get().map_or(Ok(()), |why| Err(to_error(why)))
    }
}

impl Embedded {
    /// Opens the store in the directory `dir`, or makes both. Blocks: call it at start.
    ///
    /// # Errors
    /// `Invalid` if the directory cannot be used or another process uses it, or it is closed,
    /// `Unavailable` if there is no room, `Corrupt` if what is there is damaged or is not the latest
    /// state.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_closed(dir)?.checked()
    }

    /// As [`Embedded::open`], whether or not it is closed.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub fn open_closed(dir: &Path) -> Result<Self, StoreError> {
        let disk = FileDisk::open(dir).map_err(|failure| to_error(&failure))?;
        let mut fresh = [0; 16];
        getrandom::fill(&mut fresh).map_err(|error| {
            let message = "the operating system gives no random numbers";
            StoreError::because(FailureKind::Unavailable, message, error)
        })?;
        Self::open_on(Arc::new(disk), u128::from_le_bytes(fresh))
    }

    /// Opens the store on `disk`. A store that has to be made gets the instance ID `fresh`.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub fn open_on(disk: Arc<dyn Disk>, fresh: u128) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::new(Counted::new(disk)));
        let (queue, waiting) = mpsc::sync_channel(QUEUE_LEN_MAX);
        let (started, outcome) = mpsc::sync_channel(1);
        let path = shared.disk.path(DiskFile::Store);
        let theirs = Arc::clone(&shared);
        let writer = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || work(theirs, fresh, &waiting, &started))
            .map_err(|error| {
                let message = "the store's thread cannot be started";
                StoreError::because(FailureKind::Unavailable, message, error)
            })?;
        // redb may panic on a file that was damaged with a valid checksum. That ends its thread,
        // and nothing is answered here: it is one more way of saying that the file is damaged.
        let panicked = |_| fault::damaged(&path, "it was not even possible to read it");
        let outcome = outcome.recv().map_err(panicked).and_then(|outcome| outcome);
        let embedded = Self { shared, queue: Some(queue), writer: Some(writer) };
        outcome.map(|()| embedded).map_err(|failure| to_error(&failure))
    }

    /// Hands a call to the writer and waits for its answer.
    fn ask<T: Send + 'static>(&self, op: impl FnOnce(Reply<T>) -> Op) -> Answer<'_, T> {
        let (reply, answer) = oneshot::channel();
        let sent = self.shared.check().and_then(|()| {
            let queue = self.queue.as_ref().expect("the queue is taken when the store is dropped");
            queue.try_send(op(reply)).map_err(|error| self.not_sent(&error))
        });
        Box::pin(async move {
            sent?;
            answer.await.unwrap_or_else(|_| {
                let message = "the store's thread ended before it answered; restart ticketd";
                Err(StoreError::new(FailureKind::Indeterminate, message))
            })
        })
    }

    fn not_sent(&self, error: &TrySendError<Op>) -> StoreError {
        match error {
            TrySendError::Full(_) => StoreError::new(
                FailureKind::Unavailable,
                format!("the store is behind: too many calls wait for it, {QUEUE_LEN_MAX}"),
            ),
            TrySendError::Disconnected(_) => to_error(&self.shared.stop(thread_ended())),
        }
    }
}

impl Store for Embedded {
    fn read(&self, name: &Name) -> Answer<'_, Option<Record>> {
        let read = self.shared.check().map(|()| self.shared.records().sequences.get(name).copied());
        Box::pin(std::future::ready(read))
    }

    fn create(&self, name: &Name, definition: Definition) -> Answer<'_, Record> {
        self.ask(|reply| Op::Create(name.clone(), definition, reply))
    }

    fn list(&self, after: Option<&Name>, limit: usize) -> Answer<'_, Vec<(Name, Record)>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let list = self.shared.check().map(|()| {
            let records = self.shared.records();
            let range = records.sequences.range::<Name, _>((from, Bound::Unbounded)).take(limit);
            range.map(|(name, record)| (name.clone(), *record)).collect()
        });
        Box::pin(std::future::ready(list))
    }

    fn reserve(&self, name: &Name, asked: Reserve) -> Answer<'_, Block> {
        self.ask(|reply| Op::Reserve(name.clone(), asked, reply))
    }

    fn raise(&self, name: &Name, floor: u64) -> Answer<'_, u64> {
        self.ask(|reply| Op::Raise(name.clone(), floor, reply))
    }

    fn hand_back(&self, name: &Name, unissued: HandBack) -> Answer<'_, bool> {
        self.ask(|reply| Op::HandBack(name.clone(), unissued, reply))
    }

    fn lease(&self, name: &Name, ask: LeaseAsk) -> Answer<'_, Result<Leased, NoLease>> {
        self.ask(|reply| Op::Lease(name.clone(), ask, reply))
    }

    fn release(&self, name: &Name, unspent: Release) -> Answer<'_, bool> {
        self.ask(|reply| Op::Release(name.clone(), unspent, reply))
    }

    fn resize(&self, name: &Name, step: Step) -> Answer<'_, Result<Record, NotTaken>> {
        self.ask(|reply| Op::Resize(name.clone(), step, reply))
    }

    fn leases(&self, name: &Name, tick: u64) -> Answer<'_, Leases> {
        let leases = self.shared.check().and_then(|()| {
            let records = self.shared.records();
            if !records.sequences.contains_key(name) {
                return Err(StoreError::not_found(name));
            }
            let workers = records.workers.get(name);
            Ok(workers.map_or_else(Leases::default, |workers| lease::leases(workers, tick)))
        });
        Box::pin(std::future::ready(leases))
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            commits: self.shared.commits.load(Ordering::Relaxed),
            syncs: self.shared.disk.syncs(),
            sequences: self.shared.records().sequences.len() as u64,
        }
    }

    fn health(&self) -> Result<(), StoreError> {
        self.shared.check()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // The writer ends when nobody can ask any more.
        self.queue.take();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's thread has panicked");
        }
    }
}

/// The writer's thread, from opening the store to closing it.
fn work(
    shared: Arc<Shared>,
    fresh: u128,
    waiting: &Receiver<Op>,
    started: &SyncSender<Result<(), Failure>>,
) {
    let last_words = LastWords(Arc::clone(&shared));
    match start::start(&shared.disk, fresh) {
        Ok(found) => {
            let writer = Writer::new(shared, found);
            if started.send(Ok(())).is_ok() {
                writer.run(waiting);
            }
        }
        Err(failure) => drop(started.send(Err(failure))),
    }
    drop(last_words);
}

/// Stops the store if its thread panics, so that its health says so before anybody asks.
struct LastWords(Arc<Shared>);

impl Drop for LastWords {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop(thread_ended());
        }
    }
}

fn thread_ended() -> Failure {
    Failure::new(
        FailureKind::Corrupt,
        "the store's thread has panicked, which is a bug of ticketd or of redb: restart ticketd, \
         which checks the whole store",
    )
}
