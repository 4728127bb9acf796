//! The disk as the embedded store sees it: a seam, so that tests can cut its power.

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The files of a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DiskFile {
    /// The records: a redb database.
    Store,
    /// The stamp outside the store.
    Witness,
    /// A witness in the making, before it is renamed.
    WitnessDraft,
}

impl DiskFile {
    /// The name of the file within the data directory.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Store => "tickets.redb",
            Self::Witness => "witness",
            Self::WitnessDraft => "witness.new",
        }
    }
}

/// A data directory that this process alone has open, until it is dropped.
///
/// What is written is durable after [`sync`](Disk::sync) of that file, and a new name after
/// [`sync_dir`](Disk::sync_dir); before that, any part of it may survive a loss of power.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Where it is, for messages.
    fn dir(&self) -> &Path;

    /// The length of `file`; `None` if there is none.
    ///
    /// # Errors
    /// What the operating system says.
    fn len(&self, file: DiskFile) -> io::Result<Option<u64>>;

    /// Fills `out` from `offset` on.
    ///
    /// # Errors
    /// What the operating system says; `UnexpectedEof` beyond the end.
    fn read(&self, file: DiskFile, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes all of `data` at `offset`, making the file if there is none.
    ///
    /// # Errors
    /// What the operating system says; a part may then have been written.
    fn write(&self, file: DiskFile, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Makes the file `len` bytes long, with zeros at the end if it grows, making it if there is
    /// none.
    ///
    /// # Errors
    /// What the operating system says.
    fn set_len(&self, file: DiskFile, len: u64) -> io::Result<()>;

    /// Makes all that was written to the file durable.
    ///
    /// # Errors
    /// What the operating system says. What was not durable before may then be lost, even if a
    /// later sync succeeds.
    fn sync(&self, file: DiskFile) -> io::Result<()>;

    /// Renames the draft over the witness.
    ///
    /// # Errors
    /// What the operating system says.
    fn rename_draft(&self) -> io::Result<()>;

    /// Makes the names in the directory durable.
    ///
    /// # Errors
    /// What the operating system says.
    fn sync_dir(&self) -> io::Result<()>;

    /// Forgets what is cached of the store, where that can be done, so that what is read next is
    /// what the disk holds. After a failed sync the cache may hold what the disk never got.
    fn uncache(&self);

    /// Whether the open store is still the file that its path names.
    ///
    /// # Errors
    /// What the operating system says, other than that there is no such file.
    fn is_in_place(&self) -> io::Result<bool>;
}

/// A disk, and the count of its syncs.
#[derive(Debug)]
pub(super) struct Counted {
    disk: Arc<dyn Disk>,
    syncs: AtomicU64,
    #[cfg(feature = "mutants")]
    pub(super) bug: super::mutant::Bug,
}

impl Counted {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self {
            disk,
            syncs: AtomicU64::new(0),
            #[cfg(feature = "mutants")]
            bug: super::mutant::Bug::default(),
        }
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(super) fn sync(&self, file: DiskFile) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.disk.sync(file)
    }

    pub(super) fn sync_dir(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.disk.sync_dir()
    }

    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// The path of `file`, for messages.
    pub(super) fn path(&self, file: DiskFile) -> String {
        self.disk.dir().join(file.name()).display().to_string()
    }
}
