//! What redb writes its pages to: the store file of a disk, behind a fuse.
//!
//! The first error blows the fuse: every later call fails without reaching the disk. What redb
//! does after an error, while it is dropped for instance, therefore cannot change the file, and
//! the kind of the first error decides what the store does about it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use redb::StorageBackend;

use super::disk::{Counted, DiskFile};
use super::fault::{Fault, Operation};
use super::mutant::Mutant;

/// The first error, shared between redb's backend and the one who asks what happened.
#[derive(Debug, Clone, Default)]
pub(super) struct Fuse(Arc<Mutex<Option<Fault>>>);

impl Fuse {
    /// The first error, if there was one.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets nothing through any more.
    pub(super) fn blow(&self) {
        let text = "the store was closed over a failure".to_owned();
        let fault = Fault { operation: Operation::Write, kind: io::ErrorKind::Other, text };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
    }

    fn pass<T>(&self, operation: Operation, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if let Some(fault) = self.fault() {
            return Err(io::Error::new(fault.kind, fault.text));
        }
        call().inspect_err(|error| {
            let fault = Fault::new(operation, error);
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
        })
    }
}

/// The store file as redb's backend.
///
/// It offers no locks: the disk holds one on the file for as long as it lives, also while redb is
/// closed and opened again.
#[derive(Debug)]
pub(super) struct Pages {
    pub disk: Arc<Counted>,
    pub fuse: Fuse,
}

impl StorageBackend for Pages {
    fn len(&self) -> io::Result<u64> {
        let len = || self.disk.disk().len(DiskFile::Store);
        Ok(self.fuse.pass(Operation::Read, len)?.unwrap_or(0))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.fuse.pass(Operation::Read, || self.disk.disk().read(DiskFile::Store, offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fuse.pass(Operation::SetLen, || self.disk.disk().set_len(DiskFile::Store, len))
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.disk.is_mutant(Mutant::HeaderFirst) && self.disk.skips_sync() {
            return Ok(());
        }
        self.fuse.pass(Operation::Sync, || self.disk.sync(DiskFile::Store))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.fuse.pass(Operation::Write, || self.disk.disk().write(DiskFile::Store, offset, data))
    }
}
