//! What can be asked of the writer, and how a group of it is worked out before it is committed.

use ticketd_core::block::Block;
use ticketd_core::definition::Definition;
use ticketd_core::failure::Failure;
use ticketd_core::name::Name;
use ticketd_core::record::{HandBack, Record, Reserve};
use ticketd_core::snowflake::lease::{self, LeaseAsk, Leased, NoLease, Release, Worker, Workers};
use ticketd_core::stride::resize::{self, NotTaken, Step};
use ticketd_core::transfer::{self, Closed, Differs, Whole};
use tokio::sync::oneshot;

use super::database::Records;
use crate::error::StoreError;

/// Where an answer goes. Nobody may be listening any more.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// A call that may change a record.
#[derive(Debug)]
pub(super) enum Op {
    Create(Name, Definition, Reply<Record>),
    Reserve(Name, Reserve, Reply<Block>),
    Raise(Name, u64, Reply<u64>),
    HandBack(Name, HandBack, Reply<bool>),
    Lease(Name, LeaseAsk, Reply<Result<Leased, NoLease>>),
    Release(Name, Release, Reply<bool>),
    Resize(Name, Step, Reply<Result<Record, NotTaken>>),
    Adopt(Name, Whole, Reply<Result<(), Differs>>),
    Close(Option<Closed>, Reply<()>),
}

/// An answer that waits for the commit: called with the failure, if it failed.
pub(super) type Settle = Box<dyn FnOnce(Option<&Failure>) + Send>;

/// The records as a group of calls leaves them: what is durable, and the changes above it.
#[derive(Debug)]
pub(super) struct Overlay<'a> {
    durable: &'a Records,
    changes: Records,
}

impl<'a> Overlay<'a> {
    pub(super) fn over(durable: &'a Records) -> Self {
        Self { durable, changes: Records::default() }
    }

    /// What there is to commit.
    pub(super) fn into_changes(self) -> Records {
        self.changes
    }

    fn get(&self, name: &Name) -> Option<Record> {
        let changed = self.changes.sequences.get(name);
        changed.or_else(|| self.durable.sequences.get(name)).copied()
    }

    /// Applies `change` to the record of `name`; keeps it only if it succeeds and is one.
    fn change<T>(
        &mut self,
        name: &Name,
        change: impl FnOnce(&mut Record) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let before = self.get(name).ok_or_else(|| StoreError::not_found(name))?;
        let mut record = before;
        let answer = change(&mut record)?;
        if record != before {
            self.changes.sequences.insert(name.clone(), record);
        }
        Ok(answer)
    }

    fn create(&mut self, name: &Name, definition: Definition) -> Record {
        self.get(name).unwrap_or_else(|| {
            let record = Record::new(definition);
            self.changes.sequences.insert(name.clone(), record);
            record
        })
    }
}

impl Overlay<'_> {
    fn resize(&mut self, name: &Name, step: Step) -> Result<Record, NotTaken> {
        let before = self.get(name);
        let mut record = before;
        resize::take(&mut record, step)?;
        let after = record.ok_or(NotTaken::Missing)?;
        if record != before {
            self.changes.sequences.insert(name.clone(), after);
        }
        Ok(after)
    }

    fn adopt(&mut self, name: &Name, theirs: &Whole) -> Result<(), Differs> {
        let before = self.get(name);
        let after = transfer::adopt(before.as_ref(), &theirs.record)?;
        if before != Some(after) {
            self.changes.sequences.insert(name.clone(), after);
        }
        for (id, theirs) in &theirs.workers {
            let here = self.worker(name, *id);
            let after = transfer::adopt_worker(here, *theirs);
            if here != Some(after) {
                self.changes.workers.entry(name.clone()).or_default().insert(*id, after);
            }
        }
        Ok(())
    }

    fn worker(&self, name: &Name, id: u32) -> Option<Worker> {
        let of = |records: &Records| records.workers.get(name)?.get(&id).copied();
        of(&self.changes).or_else(|| of(self.durable))
    }

    /// Applies `change` to the worker IDs of `name`, and keeps what it made of the one that it
    /// names.
    fn change_workers<T>(
        &mut self,
        name: &Name,
        change: impl FnOnce(&Record, &mut Workers) -> (T, Option<u32>),
    ) -> Result<T, StoreError> {
        let record = self.get(name).ok_or_else(|| StoreError::not_found(name))?;
        let mut workers = self.durable.workers.get(name).cloned().unwrap_or_default();
        if let Some(changed) = self.changes.workers.get(name) {
            workers.extend(changed);
        }
        let (answer, changed) = change(&record, &mut workers);
        if let Some(id) = changed {
            let worker = workers[&id];
            self.changes.workers.entry(name.clone()).or_default().insert(id, worker);
        }
        Ok(answer)
    }
}

impl Op {
    /// Works the call out on `overlay`. The answer must wait until the changes are durable.
    pub(super) fn apply(self, overlay: &mut Overlay<'_>) -> Settle {
        match self {
            Self::Create(name, definition, reply) => {
                settle(reply, Ok(overlay.create(&name, definition)))
            }
            Self::Reserve(name, asked, reply) => {
                let block = overlay.change(&name, |record| {
                    record.reserve(asked).map_err(|why| StoreError::no_block(&name, why))
                });
                settle(reply, block)
            }
            Self::Raise(name, floor, reply) => {
                settle(reply, overlay.change(&name, |record| Ok(record.raise(floor))))
            }
            Self::HandBack(name, unissued, reply) => {
                settle(reply, overlay.change(&name, |record| Ok(record.hand_back(unissued))))
            }
            Self::Lease(name, ask, reply) => {
                let leased = overlay.change_workers(&name, |record, workers| {
                    let leased = lease::lease(workers, record.mark, ask);
                    (leased, leased.ok().map(|leased| leased.worker))
                });
                settle(reply, leased)
            }
            Self::Release(name, unspent, reply) => {
                let released = overlay.change_workers(&name, |_, workers| {
                    let done = lease::release(workers, unspent);
                    (done, done.then_some(unspent.worker))
                });
                settle(reply, released)
            }
            Self::Resize(name, step, reply) => settle(reply, Ok(overlay.resize(&name, step))),
            Self::Adopt(name, whole, reply) => settle(reply, Ok(overlay.adopt(&name, &whole))),
            Self::Close(closed, reply) => {
                overlay.changes.opens = closed.is_none();
                overlay.changes.closed = closed;
                settle(reply, Ok(()))
            }
        }
    }

    /// Answers that it was not applied.
    pub(super) fn refuse(self, failure: &Failure) {
        let error = to_error(failure);
        // A caller that has gone needs no answer.
        match self {
            Self::Create(_, _, reply) => drop(reply.send(Err(error))),
            Self::Reserve(_, _, reply) => drop(reply.send(Err(error))),
            Self::Raise(_, _, reply) => drop(reply.send(Err(error))),
            Self::HandBack(_, _, reply) => drop(reply.send(Err(error))),
            Self::Lease(_, _, reply) => drop(reply.send(Err(error))),
            Self::Release(_, _, reply) => drop(reply.send(Err(error))),
            Self::Resize(_, _, reply) => drop(reply.send(Err(error))),
            Self::Adopt(_, _, reply) => drop(reply.send(Err(error))),
            Self::Close(_, reply) => drop(reply.send(Err(error))),
        }
    }
}

/// One failure may have to be told to many.
pub(super) fn to_error(failure: &Failure) -> StoreError {
    StoreError::new(failure.kind, &*failure.message)
}

fn settle<T: Send + 'static>(reply: Reply<T>, answer: Result<T, StoreError>) -> Settle {
    Box::new(move |failed| {
        drop(reply.send(match failed {
            None => answer,
            Some(failure) => Err(to_error(failure)),
        }));
    })
}
