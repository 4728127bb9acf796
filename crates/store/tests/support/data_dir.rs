//! Data directories on a real file system.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use ticketd_core::failure::FailureKind;
use ticketd_store::{Embedded, StoreError};

use super::checker::{Promises, Step, wait, workload};

pub const STORE: &str = "tickets.redb";
pub const WITNESS: &str = "witness";

pub fn open_error(dir: &Path) -> StoreError {
    Embedded::open(dir).expect_err("it must not open")
}

/// Where syncs cost nothing: for tests that open thousands of times.
pub fn quick_dir() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A directory with a store that made promises and was closed cleanly; its last step is a
/// reservation, so that a store which is one commit behind breaks a promise.
pub fn used(dir: &Path) -> Promises {
    let mut promises = Promises::default();
    let store = Embedded::open(dir).unwrap();
    use_it(&store, &mut promises);
    promises
}

pub fn use_it(store: &Embedded, promises: &mut Promises) {
    for (at, step) in workload(11, 12).into_iter().chain([(0, Step::Reserve(5))]) {
        wait(promises.step(store, at, step)).unwrap();
    }
}

/// The two files of a data directory.
#[derive(Clone)]
pub struct Files {
    pub store: Vec<u8>,
    pub witness: Vec<u8>,
}

impl Files {
    pub fn read(dir: &Path) -> Self {
        let read = |name| fs::read(dir.join(name)).unwrap();
        Self { store: read(STORE), witness: read(WITNESS) }
    }

    pub fn write(&self, dir: &Path) {
        fs::write(dir.join(STORE), &self.store).unwrap();
        fs::write(dir.join(WITNESS), &self.witness).unwrap();
    }
}

/// Refused as damaged, or opened with every promise kept.
pub fn refused_or_kept(dir: &Path, promises: &Promises, what: &str) -> bool {
    match Embedded::open(dir) {
        Ok(store) => {
            wait(promises.check(&store)).unwrap_or_else(|e| panic!("{what}: {e}"));
            false
        }
        Err(error) => {
            assert_eq!(error.kind, FailureKind::Corrupt, "{what}: {}", error.to_failure());
            assert!(error.message.contains(&dir.display().to_string()), "{}", error.message);
            true
        }
    }
}
