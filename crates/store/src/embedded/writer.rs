//! The writer: the one thread that changes the store file.
//!
//! It takes all calls that wait, works them out on an overlay, and commits them in one
//! transaction. Only then are the records that readers see replaced, and only then is anybody
//! answered: also a call that changed nothing may rest on an earlier one of its group.
//!
//! | what fails | the group hears | afterwards |
//! | --- | --- | --- |
//! | no room, before redb's commit | unavailable: nothing refers to what was written | redb is opened again, now or before the next group |
//! | no room, within redb's commit | indeterminate | the same; what is found then counts |
//! | a sync, a read, any other write | unavailable or indeterminate, as above | stopped: nobody knows what the disk holds until it is read afresh |
//! | the file is not where it was, before | corrupt | stopped |
//! | the file is not where it was, after | corrupt: the commit went to a file that is gone | stopped |

use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, PoisonError};

use ticketd_core::failure::{Failure, FailureKind};

use super::Shared;
use super::database::{Database, NotCommitted, Records};
use super::disk::DiskFile;
use super::fault::{self, Fault, Operation};
use super::mutant::Mutant;
use super::op::{Op, Overlay, Settle};
use super::stamp::Stamp;
use super::start::{self, Started};
use super::witness;

/// The most calls that are committed together; more only makes the first of them wait longer.
const GROUP_LEN_MAX: usize = 4096;

/// The writer's own state.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// `None` after it was closed over a failure, until it is opened again.
    database: Option<Database>,
    stamp: Stamp,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, started: Started) -> Self {
        *shared.records.write().unwrap_or_else(PoisonError::into_inner) = started.records;
        Self { shared, database: Some(started.database), stamp: started.stamp }
    }

    /// How many commits the store has made since it was made.
    pub(super) const fn commits(&self) -> u64 {
        self.stamp.commits
    }

    /// Serves until everybody who could ask is gone, then closes the store cleanly.
    pub(super) fn run(mut self, queue: &Receiver<Op>) {
        while let Ok(first) = queue.recv() {
            self.serve_group(first, queue);
        }
        self.close();
    }

    /// Serves `first`, and what else waits in the `queue`, as one group.
    pub(super) fn serve_group(&mut self, first: Op, queue: &Receiver<Op>) {
        let mut group = vec![first];
        group.extend(queue.try_iter().take(GROUP_LEN_MAX - 1));
        self.serve(group);
    }

    fn serve(&mut self, group: Vec<Op>) {
        if let Err(failure) = self.make_ready() {
            group.into_iter().for_each(|op| op.refuse(&failure));
            return;
        }
        let (mut settles, changes) = self.work_out(group);
        if self.shared.disk.is_mutant(Mutant::AnswersFirst) {
            settles.drain(..).for_each(|settle| settle(None));
        }
        let failed = if changes.is_empty() { None } else { self.commit(changes).err() };
        settles.into_iter().for_each(|settle| settle(failed.as_ref()));
    }

    /// Makes sure that a commit can be tried at all.
    fn make_ready(&mut self) -> Result<(), Failure> {
        if let Some(failure) = self.shared.stopped.get() {
            return Err(failure.clone());
        }
        self.check_place()?;
        if self.database.is_none() { self.reopen() } else { Ok(()) }
    }

    fn work_out(&self, group: Vec<Op>) -> (Vec<Settle>, Records) {
        let durable = self.shared.records();
        let mut overlay = Overlay::over(&durable);
        let settles = group.into_iter().map(|op| op.apply(&mut overlay)).collect();
        (settles, overlay.into_changes())
    }

    fn commit(&mut self, changes: Records) -> Result<(), Failure> {
        let database = self.database.as_ref().expect("a ready writer has an open store");
        let next = self.stamp.next();
        if self.shared.disk.is_mutant(Mutant::WitnessFirst) {
            drop(witness::update(&self.shared.disk, next));
        }
        if let Err(failed) = database.commit(&changes, next)
            && !(failed.perhaps_applied && self.shared.disk.is_mutant(Mutant::UnknownIsDone))
        {
            return Err(self.not_committed(&failed));
        }
        self.stamp = next;
        self.check_place()?;
        self.update_witness();
        self.shared.records.write().unwrap_or_else(PoisonError::into_inner).extend(changes);
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Decides what a failed commit means, for its group and for all after it.
    fn not_committed(&mut self, failed: &NotCommitted) -> Failure {
        let unknown_is_not = self.shared.disk.is_mutant(Mutant::UnknownIsNot);
        let kind = if failed.perhaps_applied && !unknown_is_not {
            FailureKind::Indeterminate
        } else {
            FailureKind::Unavailable
        };
        // Dropping redb cannot touch the file any more: the fuse in front of it has blown.
        let fault = self.database.take().and_then(|database| database.fault());
        match fault {
            Some(fault) if fault.is_no_room() || self.tries_on_after(&fault) => {
                // At once, so that readers see what is durable; if it fails, before the next group.
                drop(self.reopen());
                fault::no_room(kind, self.shared.disk.disk().dir(), &fault.text)
            }
            Some(fault) => {
                let path = self.shared.disk.path(DiskFile::Store);
                let stopped = self.shared.stop(fault::disk_failed(&fault, &path));
                Failure::new(kind, stopped.message)
            }
            None => {
                let path = self.shared.disk.path(DiskFile::Store);
                let stopped = self.shared.stop(fault::damaged(&path, &failed.text));
                Failure::new(kind, stopped.message)
            }
        }
    }

    /// A deliberate bug: the kernel's word is taken for a file whose sync has failed.
    fn tries_on_after(&self, fault: &Fault) -> bool {
        fault.operation == Operation::Sync && self.shared.disk.is_mutant(Mutant::TriesOnAfterSync)
    }

    /// Opens the store again after there was no room. Safe because no sync has failed: all that
    /// was written is in the kernel's cache or on the disk, two-phase commit makes it the old
    /// state or the new one, and opening ends with a sync of whichever it is.
    fn reopen(&mut self) -> Result<(), Failure> {
        let reopened = start::reopen(&self.shared.disk, self.stamp, &self.shared.records());
        match reopened {
            Ok((database, applied)) => {
                self.database = Some(database);
                if let Some(records) = applied {
                    self.stamp = self.stamp.next();
                    self.update_witness();
                    *self.shared.records.write().unwrap_or_else(PoisonError::into_inner) = records;
                }
                Ok(())
            }
            Err(failure) if failure.kind == FailureKind::Unavailable => Err(failure),
            Err(failure) => Err(self.shared.stop(failure)),
        }
    }

    fn check_place(&self) -> Result<(), Failure> {
        let disk = self.shared.disk.disk();
        match disk.is_in_place() {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.shared.stop(fault::out_of_place(disk.dir()))),
            Err(error) => {
                let fault = Fault::new(Operation::Read, &error);
                let path = self.shared.disk.path(DiskFile::Store);
                Err(self.shared.stop(fault::disk_failed(&fault, &path)))
            }
        }
    }

    /// Tells the witness. The commit is durable whether or not this succeeds, so it is answered
    /// as such; a witness that lags guards less and does no harm.
    fn update_witness(&self) {
        let Err(error) = witness::update(&self.shared.disk, self.stamp) else {
            return;
        };
        if fault::is_no_room(error.kind()) {
            tracing::warn!(%error, "the witness could not be written and lags behind the store");
            return;
        }
        let fault = Fault::new(Operation::Write, &error);
        self.shared.stop(fault::disk_failed(&fault, &self.shared.disk.path(DiskFile::Witness)));
    }

    /// Closes the store cleanly, unless it has stopped.
    pub(super) fn close(self) {
        let Some(database) = self.database else {
            return;
        };
        if self.shared.stopped.get().is_some() {
            // The file may be gone, or not ours any more: what it holds is left as it is.
            database.abandon();
            return;
        }
        if let Err(error) = database.close() {
            tracing::warn!(%error, "the store was not closed cleanly; it is checked at each start");
        }
        if let Err(error) = witness::sync(&self.shared.disk) {
            tracing::warn!(%error, "the witness was not synced and may lag behind the store");
        }
    }
}
