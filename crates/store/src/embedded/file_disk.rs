//! A data directory on a real file system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ticketd_core::failure::{Failure, FailureKind};

use super::disk::{Disk, DiskFile};
use super::fault;

/// The files of a data directory, and the lock on it.
#[derive(Debug)]
pub struct FileDisk {
    dir: PathBuf,
    dir_handle: File,
    /// Its lock (flock) keeps every other ticketd out, and every tool that uses redb's own file
    /// backend, which takes the same one.
    store: File,
    witness: Mutex<Option<File>>,
    draft: Mutex<Option<File>>,
}

impl FileDisk {
    /// Opens the directory `dir`, making it if there is none, and locks it.
    ///
    /// # Errors
    /// `Invalid` if the directory cannot be used or is in use, `Unavailable` if there is no room.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        create_dir(dir).map_err(|e| fault::at_start("make the data directory", dir, &e))?;
        let dir_handle =
            File::open(dir).map_err(|e| fault::at_start("open the data directory", dir, &e))?;
        let path = dir.join(DiskFile::Store.name());
        let store = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| fault::at_start("open the store", &path, &e))?;
        lock(&store, dir)?;
        let disk = Self {
            dir: dir.to_owned(),
            dir_handle,
            store,
            witness: Mutex::new(None),
            draft: Mutex::new(None),
        };
        *disk.slot(DiskFile::Witness) = disk
            .open_existing(DiskFile::Witness)
            .map_err(|e| fault::at_start("open the witness", dir, &e))?;
        Ok(disk)
    }

    fn path(&self, file: DiskFile) -> PathBuf {
        self.dir.join(file.name())
    }

    fn slot(&self, file: DiskFile) -> MutexGuard<'_, Option<File>> {
        let slot = if file == DiskFile::Witness { &self.witness } else { &self.draft };
        slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_existing(&self, file: DiskFile) -> io::Result<Option<File>> {
        match OpenOptions::new().read(true).write(true).open(self.path(file)) {
            Ok(handle) => Ok(Some(handle)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Calls `with` on the open file, or `None` if there is none.
    fn with<T>(
        &self,
        file: DiskFile,
        with: impl FnOnce(&File) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        if file == DiskFile::Store {
            return with(&self.store).map(Some);
        }
        self.slot(file).as_ref().map(with).transpose()
    }

    /// Calls `with` on the open file, making it if there is none.
    fn with_new<T>(
        &self,
        file: DiskFile,
        with: impl FnOnce(&File) -> io::Result<T>,
    ) -> io::Result<T> {
        if file == DiskFile::Store {
            return with(&self.store);
        }
        let mut slot = self.slot(file);
        let handle = match slot.take() {
            Some(handle) => handle,
            None => OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(self.path(file))?,
        };
        with(slot.insert(handle))
    }
}

impl Disk for FileDisk {
    fn dir(&self) -> &Path {
        &self.dir
    }

    fn len(&self, file: DiskFile) -> io::Result<Option<u64>> {
        self.with(file, |f| Ok(f.metadata()?.len()))
    }

    fn read(&self, file: DiskFile, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(file, |f| f.read_exact_at(out, offset))?.ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn write(&self, file: DiskFile, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with_new(file, |f| f.write_all_at(data, offset))
    }

    fn set_len(&self, file: DiskFile, len: u64) -> io::Result<()> {
        self.with_new(file, |f| f.set_len(len))
    }

    fn sync(&self, file: DiskFile) -> io::Result<()> {
        // The data and the length: fdatasync writes what is needed to read the data back.
        self.with(file, File::sync_data)?.ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn rename_draft(&self) -> io::Result<()> {
        fs::rename(self.path(DiskFile::WitnessDraft), self.path(DiskFile::Witness))?;
        let handle = self.slot(DiskFile::WitnessDraft).take();
        *self.slot(DiskFile::Witness) = handle;
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.dir_handle.sync_all()
    }

    fn uncache(&self) {
        // Advice only: what is dirty stays, and a file system without it loses nothing.
        let everything = rustix::fs::Advice::DontNeed;
        if let Err(error) = rustix::fs::fadvise(&self.store, 0, None, everything) {
            tracing::debug!(%error, "the cache of the store cannot be dropped");
        }
    }

    fn is_in_place(&self) -> io::Result<bool> {
        let open = self.store.metadata()?;
        let named = match fs::metadata(self.path(DiskFile::Store)) {
            Ok(named) => named,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        Ok(open.nlink() > 0 && (open.dev(), open.ino()) == (named.dev(), named.ino()))
    }
}

impl Drop for FileDisk {
    /// Unlocks in so many words. Closing would not always do: a process that was forked meanwhile
    /// has a duplicate of the descriptor until it runs its own program, and the lock is held as
    /// long as any duplicate is open. Whoever writes has the disk in an `Arc`, redb too, so that
    /// nobody is left who could write when this runs.
    fn drop(&mut self) {
        if let Err(error) = self.store.unlock() {
            tracing::debug!(%error, "the store is unlocked by closing it");
        }
    }
}

fn lock(store: &File, dir: &Path) -> Result<(), Failure> {
    match store.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Failure::new(
            FailureKind::Invalid,
            format!(
                "data directory {} is in use by another ticketd; stop it or give --data-dir \
                 another directory",
                dir.display()
            ),
        )),
        Err(TryLockError::Error(error)) => Err(fault::at_start("lock the store", dir, &error)),
    }
}

/// Makes `dir` and whatever is missing above it, and makes their names durable.
pub(crate) fn create_dir(dir: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        dir.ancestors().take_while(|d| !d.as_os_str().is_empty() && !d.exists()).collect();
    fs::create_dir_all(dir)?;
    for made in &missing {
        sync_parent(made)?;
    }
    if missing.is_empty()
        && let Err(error) = sync_parent(dir)
    {
        // An earlier start may have been cut off between making the directory and this sync.
        // Where the parent may not be read, somebody else made the directory.
        tracing::debug!(%error, "the parent of the data directory cannot be synced");
    }
    Ok(())
}

fn sync_parent(dir: &Path) -> io::Result<()> {
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => return Ok(()),
    };
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Embedded;

    #[test]
    fn a_duplicate_of_the_descriptor_does_not_keep_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let disk = FileDisk::open(dir.path()).unwrap();
        // As in a child between fork and exec: the same open file, in other hands.
        let duplicate = disk.store.try_clone().unwrap();
        let store = Embedded::open_on(Arc::new(disk), 1).unwrap();
        FileDisk::open(dir.path()).expect_err("the store is open");
        drop(store);
        drop(Embedded::open(dir.path()).unwrap());
        drop(duplicate);
    }
}
