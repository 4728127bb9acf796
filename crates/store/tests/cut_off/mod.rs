//! An engine whose changes are cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ticketd_core::failure::FailureKind;
use ticketd_store::engine::{Change, Engine, Entry, Key, MemoryEngine, Outcome};
use ticketd_store::{Answer, StoreError};

/// An engine that takes `left` changes and no more.
pub struct Failing {
    engine: Arc<MemoryEngine>,
    left: AtomicUsize,
    label: &'static str,
}

impl Failing {
    pub fn over(engine: &Arc<MemoryEngine>, label: &'static str, left: usize) -> Arc<dyn Engine> {
        Arc::new(Self { engine: Arc::clone(engine), left: AtomicUsize::new(left), label })
    }
}

impl Engine for Failing {
    fn read<'a>(&'a self, keys: &'a [Key]) -> Answer<'a, Vec<Option<Entry>>> {
        self.engine.read(keys)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a Key>,
        limit: usize,
    ) -> Answer<'a, Vec<Entry>> {
        self.engine.list(prefix, after, limit)
    }

    fn commit<'a>(&'a self, change: &'a Change) -> Answer<'a, Outcome> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if left.is_err() {
            let gone = StoreError::new(FailureKind::Unavailable, "cut off");
            return Box::pin(std::future::ready(Err(gone)));
        }
        self.engine.commit(change)
    }

    fn vet(&self) -> Answer<'_, Vec<String>> {
        self.engine.vet()
    }

    fn commits(&self) -> u64 {
        self.engine.commits()
    }

    fn label(&self) -> &str {
        self.label
    }
}
