//! A witness in a data directory: a thread of its own appends to the file, so that nobody waits for
//! the disk.
//!
//! After the process was killed the file is exact but for what the thread had not yet been given;
//! after a loss of power it may lag by what the kernel had not yet written.

use std::mem;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ticketd_core::failure::FailureKind;

use super::file::WitnessFile;
use super::{Seen, Witness};
use crate::engine::Key;
use crate::error::StoreError;

/// The pause after which a write that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A witness in a data directory. See the [module](self).
#[derive(Debug)]
pub struct DirWitness {
    seen: Seen,
    notes: Arc<Notes>,
    writer: Option<JoinHandle<()>>,
}

/// What waits for the thread.
#[derive(Debug, Default)]
struct Notes {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Seen,
    is_over: bool,
}

impl DirWitness {
    /// Whether a witness is in the directory `dir`; nothing is made.
    pub fn is_there(dir: &Path) -> bool {
        WitnessFile::is_there(dir)
    }

    /// Locks the data directory `dir`, makes it if there is none, and reads its witness.
    ///
    /// # Errors
    /// `Invalid` if the directory cannot be used or another process uses it, `Corrupt` if the
    /// witness is damaged.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let mut file = WitnessFile::open(dir)?;
        // Now it can be told that it cannot be written.
        file.begin()?;
        let seen = file.seen().clone();
        let notes = Arc::new(Notes::default());
        let theirs = Arc::clone(&notes);
        let writer = thread::Builder::new()
            .name("witness".to_owned())
            .spawn(move || write(&theirs, &mut file))
            .map_err(|error| {
                let message = "the thread of the witness cannot be started";
                StoreError::because(FailureKind::Unavailable, message, error)
            })?;
        Ok(Self { seen, notes, writer: Some(writer) })
    }
}

impl Witness for DirWitness {
    fn seen(&self) -> &Seen {
        &self.seen
    }

    fn saw(&self, key: Key, value: String) {
        self.notes.waiting().lines.insert(key, value);
        self.notes.wake.notify_one();
    }
}

impl Drop for DirWitness {
    fn drop(&mut self) {
        self.notes.waiting().is_over = true;
        self.notes.wake.notify_one();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the thread of the witness has panicked");
        }
    }
}

impl Notes {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Every change of it is a single assignment.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to write; `None` when there is nothing any more.
    fn take(&self) -> Option<Seen> {
        let idle = |waiting: &mut Waiting| waiting.lines.is_empty() && !waiting.is_over;
        let waiting = self.wake.wait_while(self.waiting(), idle);
        let lines = mem::take(&mut waiting.unwrap_or_else(PoisonError::into_inner).lines);
        (!lines.is_empty()).then_some(lines)
    }

    /// Waits for a moment, or until it is over; returns whether it is.
    fn pause(&self) -> bool {
        let goes_on = |waiting: &mut Waiting| !waiting.is_over;
        let paused = self.wake.wait_timeout_while(self.waiting(), RETRY_AFTER, goes_on);
        paused.unwrap_or_else(PoisonError::into_inner).0.is_over
    }
}

/// The thread: writes whatever waits until it is over. That the disk fails stops nothing, since the
/// witness guards against a second fault.
fn write(notes: &Notes, file: &mut WitnessFile) {
    let mut is_failing = false;
    while let Some(lines) = notes.take() {
        let mut written = file.append(lines);
        while let Err(error) = written {
            if !is_failing {
                tracing::warn!("the witness of the engine cannot be written, and lags: {error}");
            }
            is_failing = true;
            if notes.pause() {
                return;
            }
            written = file.rewrite();
        }
        is_failing = false;
    }
    if let Err(error) = file.sync() {
        tracing::warn!("the witness of the engine cannot be synced: {error}");
    }
}
