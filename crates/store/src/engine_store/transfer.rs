//! A store over an engine as one end of a copy.

use std::sync::Arc;

use ticketd_core::cluster::Shared;
use ticketd_core::failure::FailureKind;
use ticketd_core::name::Name;
use ticketd_core::snowflake::lease::Workers;
use ticketd_core::transfer::{Closed, Differs, Whole, adopt, adopt_worker};

use super::meta::Meta;
use super::workers::{to_text, worker_key};
use super::{ATTEMPTS_MAX, Changed, EngineStore};
use crate::contract::Answer;
use crate::engine::{Change, Engine, Version};
use crate::error::StoreError;
use crate::transfer::Transfer;

/// How many worker IDs are changed at once: within what every engine takes in a transaction.
const WORKERS_AT_ONCE: usize = 32;

impl EngineStore {
    /// The store that is there already, whether or not it is closed; nothing is written.
    ///
    /// # Errors
    /// As [`EngineStore::open`].
    pub async fn open_closed(engine: Arc<dyn Engine>) -> Result<Option<Self>, StoreError> {
        match Meta::read_any(engine.as_ref()).await? {
            Some((meta, _)) => Self::over(engine, meta.cluster, None).await.map(Some),
            None => Ok(None),
        }
    }

    /// Before the record: a sequence that is there has the worker IDs of the other store.
    async fn adopt_workers(&self, name: &Name, theirs: &Workers) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS_MAX {
            let here = self.look(name, None).await?;
            let mut changes = Vec::new();
            for (id, theirs) in theirs {
                let before = here.workers.get(id).copied();
                let after = adopt_worker(before, *theirs);
                if before != Some(after) {
                    let version = here.versions.iter().find(|(of, _)| of == id);
                    let version = version.map_or(Version::ABSENT, |(_, version)| *version);
                    changes.push((worker_key(name, *id), version, to_text(name, *id, after)));
                }
            }
            if changes.is_empty() {
                return Ok(());
            }
            for some in changes.chunks(WORKERS_AT_ONCE) {
                let change = Change {
                    expect: some.iter().map(|(key, version, _)| (key.clone(), *version)).collect(),
                    put: some.iter().map(|(key, _, text)| (key.clone(), text.clone())).collect(),
                    delete: Vec::new(),
                };
                // If it differs, all are looked at again.
                self.engine.commit(&change).await?;
            }
        }
        let message = format!("something else leases at the same time: stop it, of {name}");
        Err(StoreError::new(FailureKind::Conflict, message))
    }

    async fn adopt_record(
        &self,
        name: &Name,
        theirs: &Whole,
    ) -> Result<Result<(), Differs>, StoreError> {
        self.change(name, |state| {
            let before = state.map(|state| state.record);
            let after = match adopt(before.as_ref(), &theirs.record) {
                Ok(after) => after,
                Err(differs) => return Changed::To(Err(differs)),
            };
            if before != Some(after) {
                let state = state.get_or_insert(Shared::new(after.definition));
                state.record = after;
                // Whoever owned it before knows nothing of this.
                state.turn += 1;
                state.owner = None;
            }
            Changed::To(Ok(()))
        })
        .await
    }
}

impl Transfer for EngineStore {
    fn workers(&self, name: &Name) -> Answer<'_, Workers> {
        let name = name.clone();
        Box::pin(async move { Ok(self.look(&name, None).await?.workers) })
    }

    fn adopt(&self, name: &Name, theirs: Whole) -> Answer<'_, Result<(), Differs>> {
        let name = name.clone();
        Box::pin(async move {
            self.adopt_workers(&name, &theirs.workers).await?;
            self.adopt_record(&name, &theirs).await
        })
    }

    fn closed(&self) -> Answer<'_, Option<Closed>> {
        Box::pin(async move {
            Ok(Meta::read_any(self.engine()).await?.and_then(|(meta, _)| meta.closed))
        })
    }

    fn close(&self, why: Option<Closed>) -> Answer<'_, ()> {
        Box::pin(Meta::close(self.engine(), why))
    }

    fn place(&self) -> String {
        // A value is printable ASCII, and the name of a database need not be.
        let printable = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
        self.engine().label().chars().map(printable).take(PLACE_LEN_MAX).collect()
    }
}

/// How much of a label is kept: there is room for more than a dozen hosts.
const PLACE_LEN_MAX: usize = 1000;
