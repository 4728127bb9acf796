//! An engine whose changes are cut off, or whose answers.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(clippy::allow_attributes, reason = "an expectation would fail in the file that uses all")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ticketd_core::failure::FailureKind;
use ticketd_store::engine::{Change, Engine, Entry, Key, MemoryEngine, Outcome};
use ticketd_store::{Answer, StoreError};

/// An engine that takes `left` changes and no more.
pub struct Failing {
    engine: Arc<MemoryEngine>,
    left: AtomicUsize,
    loses_answer: AtomicBool,
    label: &'static str,
}

impl Failing {
    pub fn over(engine: &Arc<MemoryEngine>, label: &'static str, left: usize) -> Arc<dyn Engine> {
        Self::new(engine, label, left)
    }

    /// One that takes as many as come.
    pub fn reliable(engine: &Arc<MemoryEngine>) -> Arc<Self> {
        Self::new(engine, "reliable", usize::MAX)
    }

    fn new(engine: &Arc<MemoryEngine>, label: &'static str, left: usize) -> Arc<Self> {
        let (left, loses_answer) = (AtomicUsize::new(left), AtomicBool::new(false));
        Arc::new(Self { engine: Arc::clone(engine), left, loses_answer, label })
    }

    /// The next change is applied, and nobody hears of it.
    pub fn lose_next_answer(&self) {
        self.loses_answer.store(true, Ordering::SeqCst);
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
        let applied = self.engine.commit(change);
        if !self.loses_answer.swap(false, Ordering::SeqCst) {
            return applied;
        }
        Box::pin(async {
            applied.await?;
            Err(StoreError::new(FailureKind::Indeterminate, "the answer is lost"))
        })
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
