//! What can be asked of the writer, and how a group of it is worked out before it is committed.

use ticketd_core::block::Block;
use ticketd_core::definition::Definition;
use ticketd_core::failure::Failure;
use ticketd_core::name::Name;
use ticketd_core::record::{HandBack, Record, Reserve};
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
        Self { durable, changes: Records::new() }
    }

    /// What there is to commit.
    pub(super) fn into_changes(self) -> Records {
        self.changes
    }

    fn get(&self, name: &Name) -> Option<Record> {
        self.changes.get(name).or_else(|| self.durable.get(name)).copied()
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
            self.changes.insert(name.clone(), record);
        }
        Ok(answer)
    }

    fn create(&mut self, name: &Name, definition: Definition) -> Record {
        self.get(name).unwrap_or_else(|| {
            let record = Record::new(definition);
            self.changes.insert(name.clone(), record);
            record
        })
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
                    record.reserve(asked).map_err(|_| StoreError::exhausted(&name))
                });
                settle(reply, block)
            }
            Self::Raise(name, floor, reply) => {
                settle(reply, overlay.change(&name, |record| Ok(record.raise(floor))))
            }
            Self::HandBack(name, unissued, reply) => {
                settle(reply, overlay.change(&name, |record| Ok(record.hand_back(unissued))))
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
