//! The engine as one server reaches it: in memory, and a little away, so that a crash may come
//! between a change and the answer. What is changed is told before it is answered.

use std::sync::Arc;
use std::time::Duration;

use ticketd_store::Answer;
use ticketd_store::engine::{Change, Engine, Entry, Key, MemoryEngine, Outcome};

use super::story::Story;

/// The way to the engine, and the way back.
const WAY: Duration = Duration::from_millis(1);

/// An engine in memory that tells what a server changes there.
pub(super) struct ToldEngine {
    memory: Arc<MemoryEngine>,
    story: Arc<Story>,
    server: usize,
}

impl ToldEngine {
    pub(super) const fn new(memory: Arc<MemoryEngine>, story: Arc<Story>, server: usize) -> Self {
        Self { memory, story, server }
    }
}

impl Engine for ToldEngine {
    fn read<'a>(&'a self, keys: &'a [Key]) -> Answer<'a, Vec<Option<Entry>>> {
        self.memory.read(keys)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a Key>,
        limit: usize,
    ) -> Answer<'a, Vec<Entry>> {
        self.memory.list(prefix, after, limit)
    }

    fn commit<'a>(&'a self, change: &'a Change) -> Answer<'a, Outcome> {
        Box::pin(async move {
            tokio::time::sleep(WAY).await;
            let outcome = self.memory.commit(change).await?;
            if matches!(outcome, Outcome::Applied(_)) {
                self.story.changed(self.server, change);
            }
            tokio::time::sleep(WAY).await;
            Ok(outcome)
        })
    }

    fn vet(&self) -> Answer<'_, Vec<String>> {
        self.memory.vet()
    }

    fn commits(&self) -> u64 {
        self.memory.commits()
    }

    fn label(&self) -> &str {
        self.memory.label()
    }
}
