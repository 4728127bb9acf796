//! The store trait: what ticketd asks of whatever keeps its records.

use std::future::Future;
use std::pin::Pin;

use ticketd_core::block::Block;
use ticketd_core::cluster::{Claim, Claimed};
use ticketd_core::definition::Definition;
use ticketd_core::name::Name;
use ticketd_core::record::{HandBack, Record, Reserve};
use ticketd_core::snowflake::lease::{LeaseAsk, Leased, Leases, NoLease, Release};
use ticketd_core::stride::resize::{NotTaken, Step};

use crate::error::StoreError;

/// The future of a store's answer. It may be dropped at any time: what was asked may then still
/// happen, as after an indeterminate failure.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// How much work a store has done, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sizes {
    /// Transactions committed since the store was opened.
    pub commits: u64,
    /// Calls of fsync or its like since the store was opened; 0 for a store that has none.
    pub syncs: u64,
    /// Sequences that the store remembers.
    pub sequences: u64,
}

/// Keeps the records of sequences, durably.
///
/// What an implementation owes to its caller:
///
/// 1. **Durable before `Ok`.** When a call has answered `Ok`, what it did survives a crash of the
///    process and a loss of power (as far as the store's documentation claims any durability).
/// 2. **Linearizable per sequence.** Each call acts at one moment between its start and its answer,
///    on what all calls before that moment have made of the record.
/// 3. **Blocks are disjoint.** No ID is in two blocks that [`reserve`](Store::reserve) returned,
///    except for IDs that [`hand_back`](Store::hand_back) gave back in between.
/// 4. **The mark only rises**, but for [`hand_back`](Store::hand_back).
/// 5. **Errors tell the truth.** `Unavailable` and `Conflict`: surely not applied. Whenever that is
///    not sure, `Indeterminate`. After any error the record is as if the call had been applied once
///    or not at all.
/// 6. **A call that is dropped** is as one that failed as `Indeterminate`.
pub trait Store: Send + Sync + 'static {
    /// Reads the record of `name`; `None` if there is no such sequence.
    fn read(&self, name: &Name) -> Answer<'_, Option<Record>>;

    /// Makes the sequence `name` if there is none, and returns its record: the new one, or the one
    /// that was there, whose definition may be another. Compare it.
    fn create(&self, name: &Name, definition: Definition) -> Answer<'_, Record>;

    /// Asks to issue from the sequence `name`: as [`create`](Store::create) or
    /// [`read`](Store::read), and then, if the sequence is one that is owned, becomes its owner
    /// unless another is whose lease has not ended.
    ///
    /// A store that only one server uses has no owners: whoever asks may issue, in turn 0.
    ///
    /// Fails with `NotFound` if there is no such sequence and none is to be made.
    fn claim<'a>(&'a self, name: &Name, claim: Claim) -> Answer<'a, Claimed> {
        let name = name.clone();
        Box::pin(async move {
            let record = match claim.create {
                Some(definition) => self.create(&name, definition).await?,
                None => self.read(&name).await?.ok_or_else(|| StoreError::not_found(&name))?,
            };
            Ok(Claimed::Mine(record, 0))
        })
    }

    /// Up to `limit` sequences with names after `after` in byte order, in that order.
    fn list(&self, after: Option<&Name>, limit: usize) -> Answer<'_, Vec<(Name, Record)>>;

    /// Reserves a block: at least one ID, at most `asked.len`, at or above both the mark and
    /// `asked.floor`; the mark is its end from then on.
    ///
    /// Fails with `Exhausted` if no ID is left there, `NotFound` if there is no such sequence,
    /// `Fenced` if it is owned and `asked.turn` is another than its own. Of a stride sequence also with `Unavailable` while a resize keeps the rest back, `Invalid` if this
    /// member has left, and `Fenced` if `asked.generation` is not the one that it is in.
    fn reserve(&self, name: &Name, asked: Reserve) -> Answer<'_, Block>;

    /// Raises the mark to at least `floor` and returns it.
    ///
    /// Fails with `NotFound` if there is no such sequence.
    fn raise(&self, name: &Name, floor: u64) -> Answer<'_, u64>;

    /// Takes back the unissued rest of the last reservation, if the mark is still its end; answers
    /// whether it was. The caller has stopped issuing from it, and asks this at most once.
    ///
    /// Fails with `NotFound` if there is no such sequence.
    fn hand_back(&self, name: &Name, unissued: HandBack) -> Answer<'_, bool>;

    /// Leases a window of ticks on a worker ID of the snowflake sequence `name`, as
    /// [`lease::lease`](ticketd_core::snowflake::lease::lease) works it out over the worker IDs
    /// leased so far and the mark of the record: durable before `Ok`. Windows of one worker ID are
    /// disjoint and rise, but for what [`release`](Store::release) gave back in between.
    ///
    /// Fails with `NotFound` if there is no such sequence.
    fn lease(&self, name: &Name, ask: LeaseAsk) -> Answer<'_, Result<Leased, NoLease>>;

    /// Takes unspent ticks back, if whoever asks leased last on that worker ID; answers whether it
    /// was so. The caller has stopped issuing, and asks this at most once.
    ///
    /// Fails with `NotFound` if there is no such sequence.
    fn release(&self, name: &Name, unspent: Release) -> Answer<'_, bool>;

    /// What is leased of the sequence `name` at `tick`.
    ///
    /// Fails with `NotFound` if there is no such sequence.
    fn leases(&self, name: &Name, tick: u64) -> Answer<'_, Leases>;

    /// Takes a step of a resize of the stride sequence `name`, as
    /// [`resize::take`](ticketd_core::stride::resize::take) works it out: durable before `Ok`.
    /// Returns the record as it is then.
    fn resize(&self, name: &Name, step: Step) -> Answer<'_, Result<Record, NotTaken>>;

    /// How much work the store has done.
    fn sizes(&self) -> Sizes;

    /// `Err` if the store can do no more work until a person has looked or the process has been
    /// started again.
    ///
    /// # Errors
    /// The reason, with the way out.
    fn health(&self) -> Result<(), StoreError>;
}

/// A shared store is a store.
impl<S: Store> Store for std::sync::Arc<S> {
    fn read(&self, name: &Name) -> Answer<'_, Option<Record>> {
        (**self).read(name)
    }

    fn create(&self, name: &Name, definition: Definition) -> Answer<'_, Record> {
        (**self).create(name, definition)
    }

    fn claim<'a>(&'a self, name: &Name, claim: Claim) -> Answer<'a, Claimed> {
        (**self).claim(name, claim)
    }

    fn list(&self, after: Option<&Name>, limit: usize) -> Answer<'_, Vec<(Name, Record)>> {
        (**self).list(after, limit)
    }

    fn reserve(&self, name: &Name, asked: Reserve) -> Answer<'_, Block> {
        (**self).reserve(name, asked)
    }

    fn raise(&self, name: &Name, floor: u64) -> Answer<'_, u64> {
        (**self).raise(name, floor)
    }

    fn hand_back(&self, name: &Name, unissued: HandBack) -> Answer<'_, bool> {
        (**self).hand_back(name, unissued)
    }

    fn lease(&self, name: &Name, ask: LeaseAsk) -> Answer<'_, Result<Leased, NoLease>> {
        (**self).lease(name, ask)
    }

    fn release(&self, name: &Name, unspent: Release) -> Answer<'_, bool> {
        (**self).release(name, unspent)
    }

    fn leases(&self, name: &Name, tick: u64) -> Answer<'_, Leases> {
        (**self).leases(name, tick)
    }

    fn resize(&self, name: &Name, step: Step) -> Answer<'_, Result<Record, NotTaken>> {
        (**self).resize(name, step)
    }

    fn sizes(&self) -> Sizes {
        (**self).sizes()
    }

    fn health(&self) -> Result<(), StoreError> {
        (**self).health()
    }
}
