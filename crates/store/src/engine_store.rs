//! A store over an engine that several servers share.
//!
//! Every change of a record is one compare-and-swap: the record as it was last seen, moved by the
//! arithmetic of the core, replaces exactly the version that it was worked out from. So both ends
//! of a block are as the engine has them, whoever else has written meanwhile. The last version is
//! remembered, and a reservation costs one call of the engine.
//!
//! | key | what is there |
//! | --- | --- |
//! | `meta` | the form of all this, and the ID of the cluster: `meta.rs` |
//! | `sequence/NAME` | a sequence: [`Shared::to_text`] |
//! | `worker/NAME#ID` | a worker ID of a snowflake sequence: `workers.rs` |
//! | `server/ID` | a server that is there: `servers.rs` |
//!
//! What a server has seen there may be remembered beyond its end: `witness.rs`. If the engine has
//! lost it, `repair.rs` puts something above it.

mod known;
mod meta;
mod mutant;
mod repair;
mod servers;
mod transfer;
mod witness;
mod workers;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ticketd_core::block::Block;
use ticketd_core::cluster::{Claim, Claimed, ServerId, Shared};
use ticketd_core::definition::Definition;
use ticketd_core::failure::FailureKind;
use ticketd_core::name::Name;
use ticketd_core::record::{HandBack, Record, Reserve};
use ticketd_core::snowflake::lease::{LeaseAsk, Leased, Leases, NoLease, Release};
use ticketd_core::stride::resize::{self, NotTaken, Step};

use crate::contract::{Answer, Sizes, Store};
use crate::engine::{Change, Engine, Entry, Key, LIST_MAX, Outcome, Version};
use crate::error::StoreError;

use known::Known;
use meta::Meta;
pub use mutant::Mutant;
pub use repair::{Repair, Repaired};
pub use servers::{Announced, Announcement, nobody_serves};
use witness::Memories;
pub use witness::{DirWitness, Seen, Witness};
use workers::Mine;

/// Lost compare-and-swaps in a row after which a call gives up as `Conflict`. With an owner per
/// sequence there is rarely one; several servers that share a loose sequence lose some.
const ATTEMPTS_MAX: u32 = 8;

/// How many keys are read at once.
const READ_MAX: usize = 100;

const SEQUENCES: &str = "sequence/";

/// A store over an engine. See the [module](self).
pub struct EngineStore {
    engine: Arc<dyn Engine>,
    cluster: String,
    known: Mutex<HashMap<Name, Known>>,
    /// The server that claimed last: this one.
    server: Mutex<Option<ServerId>>,
    sequences: AtomicU64,
    claims: AtomicU64,
    takeovers: AtomicU64,
    /// What each holder has leased.
    workers: Mutex<HashMap<(Name, u64), Mine>>,
    witness: Option<Box<dyn Witness>>,
    /// Sequences that others have issued from since they were last read.
    others: Mutex<BTreeSet<Name>>,
    /// A deliberate bug, for the tests of the tests.
    #[cfg(feature = "mutants")]
    mutant: Option<Mutant>,
}

/// How often this server became the owner of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Claims {
    /// In all, also where it was the owner and began another turn.
    pub made: u64,
    /// Of these, from another server whose lease had ended.
    pub taken_over: u64,
}

impl std::fmt::Debug for EngineStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineStore").field("engine", &self.engine.label()).finish_non_exhaustive()
    }
}

/// What a change of a record comes to.
enum Changed<T> {
    /// The record was moved, or left as it is, and this is the answer.
    To(T),
    /// It cannot be, and why.
    Not(StoreError),
}

impl EngineStore {
    /// A store over `engine`; `id` names the cluster if this is its first server.
    ///
    /// # Errors
    /// `Invalid` if a newer version has written there, or whatever the engine says.
    pub async fn open(engine: Arc<dyn Engine>, id: u64) -> Result<Self, StoreError> {
        Self::open_any(engine, id, None).await
    }

    /// As [`EngineStore::open`], if the engine has all that `witness` has seen of it. From then on
    /// the witness is told what else is seen.
    ///
    /// # Errors
    /// `Corrupt` if the engine is behind, or another one; otherwise as [`EngineStore::open`].
    pub async fn open_witnessed(
        engine: Arc<dyn Engine>,
        id: u64,
        witness: Box<dyn Witness>,
    ) -> Result<Self, StoreError> {
        let memories = Memories::new(witness.seen())?;
        let meta = Meta::read(engine.as_ref()).await?;
        let present =
            witness::check(engine.as_ref(), meta.as_ref(), &memories, witness.as_ref()).await?;
        let store = Self::open_any(engine, id, Some(witness)).await?;
        for (name, seen, version) in present {
            store.known().insert(name, Known { seen, version: Some(version), given: 0 });
        }
        Ok(store)
    }

    async fn open_any(
        engine: Arc<dyn Engine>,
        id: u64,
        witness: Option<Box<dyn Witness>>,
    ) -> Result<Self, StoreError> {
        let cluster = Meta::new(id).read_or_put(engine.as_ref()).await?.cluster;
        Self::over(engine, cluster, witness).await
    }

    async fn over(
        engine: Arc<dyn Engine>,
        cluster: String,
        witness: Option<Box<dyn Witness>>,
    ) -> Result<Self, StoreError> {
        if let Some(witness) = &witness {
            witness.saw(meta::key(), cluster.clone());
        }
        let store = Self {
            engine,
            cluster,
            known: Mutex::default(),
            server: Mutex::default(),
            sequences: AtomicU64::new(0),
            claims: AtomicU64::new(0),
            takeovers: AtomicU64::new(0),
            workers: Mutex::default(),
            witness,
            others: Mutex::default(),
            #[cfg(feature = "mutants")]
            mutant: None,
        };
        let mut after = None;
        loop {
            let page = store.page(after.as_ref(), LIST_MAX).await?;
            store.sequences.fetch_add(page.len() as u64, Ordering::Relaxed);
            match page.into_iter().next_back() {
                Some((name, _)) => after = Some(name),
                None => return Ok(store),
            }
        }
    }

    /// The engine below.
    pub fn engine(&self) -> &dyn Engine {
        self.engine.as_ref()
    }

    /// What the cluster is called: the same for all servers that share the engine's contents.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Up to `limit` of the sequences that one server at a time owns, after `after` in byte order.
    ///
    /// # Errors
    /// Whatever the engine says.
    pub async fn owners(
        &self,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<(Name, Shared)>, StoreError> {
        let page = self.page(after, limit).await?;
        let owned = |(_, shared): &(Name, Shared)| shared.record.definition.has_owner();
        Ok(page.into_iter().filter(owned).collect())
    }

    /// How often this server became the owner of a sequence, as far as the engine has said so.
    pub fn claims(&self) -> Claims {
        // The part first: what is counted in between can then only add to the whole.
        let taken_over = self.takeovers.load(Ordering::Relaxed);
        Claims { made: self.claims.load(Ordering::Relaxed), taken_over }
    }

    fn count_claim(&self, before: Option<ServerId>, server: ServerId) {
        self.claims.fetch_add(1, Ordering::Relaxed);
        if before.is_some_and(|owner| owner != server) {
            self.takeovers.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reads the present state.
    async fn fetch(&self, name: &Name) -> Result<Option<(Shared, Version)>, StoreError> {
        // What the engine says now must follow what was known before it was asked.
        let before = self.seen(name).filter(|_| !self.is_mutant(Mutant::ForgetsSeen));
        let keys = [sequence_key(name)];
        let entry = self.engine.read(&keys).await?.into_iter().next().flatten();
        self.believe(name, before, entry)
    }

    /// The state to try a change on: as remembered if `may_remember`.
    async fn state(
        &self,
        name: &Name,
        may_remember: bool,
    ) -> Result<Option<(Shared, Version)>, StoreError> {
        let remembered = self.known().get(name).copied();
        match remembered {
            Some(Known { seen, version: Some(version), .. }) if may_remember => {
                Ok(Some((seen, version)))
            }
            _ => self.fetch(name).await,
        }
    }

    /// Changes the record of `name` as `change` says, which may be called several times.
    async fn change<T>(
        &self,
        name: &Name,
        mut change: impl FnMut(&mut Option<Shared>) -> Changed<T>,
    ) -> Result<T, StoreError> {
        for attempt in 0..ATTEMPTS_MAX {
            let is_fresh = attempt > 0;
            let state = self.state(name, !is_fresh).await?;
            let (before, version) = state.map_or((None, Version::ABSENT), |(s, v)| (Some(s), v));
            let mut after = before;
            let answer = match change(&mut after) {
                // Only the present state is a reason to refuse, or to write nothing.
                Changed::Not(error) if is_fresh => return Err(error),
                Changed::To(answer) if is_fresh && after == before => return Ok(answer),
                Changed::To(answer) if after != before => answer,
                Changed::Not(_) | Changed::To(_) => continue,
            };
            let after = after.expect("a record is never taken away");
            if self.swap(name, version, after).await? {
                if before.is_none() {
                    self.sequences.fetch_add(1, Ordering::Relaxed);
                }
                return Ok(answer);
            }
        }
        let message = format!("others were faster {ATTEMPTS_MAX} times: try again, with {name}");
        Err(StoreError::new(FailureKind::Conflict, message))
    }

    /// Replaces the state of `version` by `after`. Returns whether it was still that version.
    async fn swap(&self, name: &Name, version: Version, after: Shared) -> Result<bool, StoreError> {
        let key = sequence_key(name);
        let change = Change {
            expect: vec![(key.clone(), version)],
            put: vec![(key, after.to_text(name))],
            delete: Vec::new(),
        };
        // Until the engine has answered, nobody knows what is there; nor if nobody waits for it.
        self.doubt(name);
        if self.is_mutant(Mutant::WitnessFirst) {
            self.tell_witness(name, &after);
        }
        match self.engine.commit(&change).await? {
            Outcome::Applied(version) => {
                self.note_own(name, after, version);
                Ok(true)
            }
            Outcome::Differs => Ok(false),
        }
    }

    /// As [`EngineStore::change`], for a sequence that must be there.
    async fn change_existing<T>(
        &self,
        name: &Name,
        mut change: impl FnMut(&mut Shared) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.change(name, |state| match state.as_mut().map(&mut change) {
            None => Changed::Not(StoreError::not_found(name)),
            Some(Ok(answer)) => Changed::To(answer),
            Some(Err(error)) => Changed::Not(error),
        })
        .await
    }

    fn server(&self) -> Option<ServerId> {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn claim_once(&self, name: &Name, claim: Claim) -> Result<Option<Claimed>, StoreError> {
        let (before, version) = match (self.fetch(name).await?, claim.create) {
            (Some((state, version)), _) => (Some(state), version),
            (None, Some(_)) => (None, Version::ABSENT),
            (None, None) => return Err(StoreError::not_found(name)),
        };
        let mut after = before.unwrap_or_else(|| Shared::new(claim.create.unwrap_or_default()));
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(claim.server);
        let owned = after.owner.filter(|_| after.record.definition.has_owner());
        let has_ended = match owned.filter(|owner| *owner != claim.server) {
            Some(_) if self.is_mutant(Mutant::ClaimWithoutAsking) => true,
            Some(owner) => !self.is_there(owner).await?,
            None => true,
        };
        let other = claim.defer_to.filter(|other| *other != claim.server);
        let defers = after.record.definition.has_owner() && after.owner.is_none_or(|_| has_ended);
        let claimed = match other.filter(|_| defers && after.owner != Some(claim.server)) {
            Some(other) if self.is_there(other).await? => {
                Claimed::Theirs(other, after.record.definition.kind.name())
            }
            _ => after.claim(claim.server, |_| has_ended),
        };
        if Some(after) == before {
            return Ok(Some(claimed));
        }
        let swapped = self.swap(name, version, after).await?;
        if swapped && before.is_none() {
            self.sequences.fetch_add(1, Ordering::Relaxed);
        }
        if swapped && matches!(claimed, Claimed::Mine(_, 1..)) {
            self.count_claim(before.and_then(|state| state.owner), claim.server);
        }
        Ok(swapped.then_some(claimed))
    }

    async fn page(
        &self,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<(Name, Shared)>, StoreError> {
        let after = after.map(sequence_key);
        let entries = self.engine.list(SEQUENCES, after.as_ref(), limit).await?;
        entries.iter().map(named).collect()
    }
}

/// What is under `keys`, however many.
async fn read(engine: &dyn Engine, keys: &[Key]) -> Result<Vec<Option<Entry>>, StoreError> {
    let mut entries = Vec::with_capacity(keys.len());
    for keys in keys.chunks(READ_MAX) {
        entries.extend(engine.read(keys).await?);
    }
    Ok(entries)
}

fn sequence_key(name: &Name) -> Key {
    Key::new(format!("{SEQUENCES}{name}"))
}

fn named(entry: &Entry) -> Result<(Name, Shared), StoreError> {
    let name = entry.key.as_str().strip_prefix(SEQUENCES).and_then(|text| Name::new(text).ok());
    let name = name.ok_or_else(|| {
        let message = format!("ticketd has not written the key: take it away; {}", entry.key);
        StoreError::new(FailureKind::Corrupt, message)
    })?;
    let state = parse(&name, entry)?;
    Ok((name, state))
}

fn parse(name: &Name, entry: &Entry) -> Result<Shared, StoreError> {
    Shared::from_text(name, &entry.value).map_err(|error| {
        let message = format!(
            "the record was changed by something else than ticketd ({error}): put back what was \
             there, of sequence {name}"
        );
        StoreError::new(FailureKind::Corrupt, message)
    })
}

impl Store for EngineStore {
    fn read(&self, name: &Name) -> Answer<'_, Option<Record>> {
        let name = name.clone();
        Box::pin(async move { Ok(self.fetch(&name).await?.map(|(state, _)| state.record)) })
    }

    fn create(&self, name: &Name, definition: Definition) -> Answer<'_, Record> {
        let name = name.clone();
        Box::pin(async move {
            self.change(&name, |state| {
                Changed::To(state.get_or_insert(Shared::new(definition)).record)
            })
            .await
        })
    }

    fn claim<'a>(&'a self, name: &Name, claim: Claim) -> Answer<'a, Claimed> {
        let name = name.clone();
        Box::pin(async move {
            for _ in 0..ATTEMPTS_MAX {
                if let Some(claimed) = self.claim_once(&name, claim).await? {
                    return Ok(claimed);
                }
            }
            let message = format!("others claim it at the same time: try again, with {name}");
            Err(StoreError::new(FailureKind::Conflict, message))
        })
    }

    fn list(&self, after: Option<&Name>, limit: usize) -> Answer<'_, Vec<(Name, Record)>> {
        let after = after.cloned();
        Box::pin(async move {
            let page = self.page(after.as_ref(), limit).await?;
            Ok(page.into_iter().map(|(name, shared)| (name, shared.record)).collect())
        })
    }

    fn reserve(&self, name: &Name, asked: Reserve) -> Answer<'_, Block> {
        let (name, server) = (name.clone(), self.server());
        Box::pin(async move {
            self.change_existing(&name, |state| {
                let asked = Reserve {
                    turn: self.turn(asked.turn, state, Mutant::TurnNotCompared),
                    ..asked
                };
                let block = state.reserve(asked);
                state.note_last(server);
                block.map_err(|why| StoreError::no_block(&name, why))
            })
            .await
        })
    }

    fn raise(&self, name: &Name, floor: u64) -> Answer<'_, u64> {
        let name = name.clone();
        Box::pin(
            async move { self.change_existing(&name, |state| Ok(state.record.raise(floor))).await },
        )
    }

    fn hand_back(&self, name: &Name, unissued: HandBack) -> Answer<'_, bool> {
        let (name, server) = (name.clone(), self.server());
        Box::pin(async move {
            // Before it is so: it may be done although nobody hears of it.
            self.give_up(&name, unissued.start);
            self.change_existing(&name, |state| {
                let turn = self.turn(unissued.turn, state, Mutant::HandBackInAnyTurn);
                Ok(state.is_last(server) && state.hand_back(HandBack { turn, ..unissued }))
            })
            .await
        })
    }

    fn lease(&self, name: &Name, ask: LeaseAsk) -> Answer<'_, Result<Leased, NoLease>> {
        let name = name.clone();
        Box::pin(async move { self.lease_window(&name, ask).await })
    }

    fn release(&self, name: &Name, unspent: Release) -> Answer<'_, bool> {
        let name = name.clone();
        Box::pin(async move { self.release_window(&name, unspent).await })
    }

    fn leases(&self, name: &Name, tick: u64) -> Answer<'_, Leases> {
        let name = name.clone();
        Box::pin(async move { self.count_leases(&name, tick).await })
    }

    fn resize(&self, name: &Name, step: Step) -> Answer<'_, Result<Record, NotTaken>> {
        let name = name.clone();
        Box::pin(async move {
            // A refusal is an answer, and as such believed only of the present state.
            let taken = self
                .change(&name, |state| {
                    let mut record = state.map(|state| state.record);
                    if let Err(why) = resize::take(&mut record, step) {
                        return Changed::To(Err(why));
                    }
                    let record = record.expect("a step leaves a record");
                    state.get_or_insert(Shared::new(record.definition)).record = record;
                    Changed::To(Ok(record))
                })
                .await?;
            Ok(taken)
        })
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            commits: self.engine.commits(),
            syncs: 0,
            sequences: self.sequences.load(Ordering::Relaxed),
        }
    }

    fn health(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
