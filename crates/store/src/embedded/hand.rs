//! The writer without its thread: whoever holds it says when it works.
//!
//! The deterministic world runs the store this way, all in one thread. What the thread does between
//! two waits is done by one call here, and nothing else is different.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

use ticketd_core::name::Name;
use ticketd_core::snowflake::lease::Workers;

use super::disk::{Counted, Disk};
#[cfg(feature = "mutants")]
use super::mutant::Mutant;
use super::op::{Op, to_error};
use super::writer::Writer;
use super::{Embedded, Shared, start};
use crate::error::StoreError;

/// The most calls that may wait until they are served: more than a world makes at a time.
const QUEUE_LEN: usize = 256;

/// What a store without a thread is opened with.
#[derive(Debug)]
pub struct Setup {
    /// Where it is.
    pub disk: Arc<dyn Disk>,
    /// The instance ID that it gets if it has to be made.
    pub fresh: u128,
    /// A deliberate bug.
    #[cfg(feature = "mutants")]
    pub mutant: Option<Mutant>,
}

/// Does what the store's thread does, when it is called.
///
/// Dropping it is as if the process had been killed: redb may still write when it is dropped, so
/// that the disk must not take any more by then.
#[derive(Debug)]
pub struct Hand {
    writer: Writer,
    waiting: Receiver<Op>,
    shared: Arc<Shared>,
}

impl Embedded {
    /// Opens the store as [`open_on`](Embedded::open_on) does, but for its thread: a call waits
    /// until [`Hand::serve`].
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub fn by_hand(setup: &Setup) -> Result<(Self, Hand), StoreError> {
        let shared = Arc::new(Shared::new(setup.counted()));
        let found = start::start(&shared.disk, setup.fresh);
        let found = found.map_err(|failure| to_error(&failure))?;
        let (queue, waiting) = mpsc::sync_channel(QUEUE_LEN);
        let writer = Writer::new(Arc::clone(&shared), found);
        let embedded = Self { shared: Arc::clone(&shared), queue: Some(queue), writer: None };
        Ok((embedded, Hand { writer, waiting, shared }))
    }
}

impl Setup {
    fn counted(&self) -> Counted {
        let counted = Counted::new(Arc::clone(&self.disk));
        #[cfg(feature = "mutants")]
        let counted = counted.with_mutant(self.mutant);
        counted
    }
}

impl Hand {
    /// Serves everything that waits as one group, and answers it.
    pub fn serve(&mut self) {
        if let Ok(first) = self.waiting.try_recv() {
            self.writer.serve_group(first, &self.waiting);
        }
    }

    /// Closes the store cleanly, as at the end of a server. What still waits is not served.
    pub fn close(self) {
        self.writer.close();
    }

    /// How many commits the store has made since it was made.
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }

    /// What is durably leased on each worker ID of the snowflake sequence `name`.
    pub fn workers(&self, name: &Name) -> Workers {
        self.shared.records().workers.get(name).cloned().unwrap_or_default()
    }
}
