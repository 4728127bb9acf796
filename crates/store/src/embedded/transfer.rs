//! The embedded store as one end of a copy.

use std::future::ready;
use std::path::Path;

use ticketd_core::failure::FailureKind;
use ticketd_core::name::Name;
use ticketd_core::snowflake::lease::Workers;
use ticketd_core::transfer::{Closed, Differs, Whole};

use super::Embedded;
use super::disk::DiskFile;
use super::op::Op;
use crate::contract::Answer;
use crate::error::StoreError;
use crate::transfer::Transfer;

impl Embedded {
    /// Whether there is a store in the directory `dir`; nothing is made.
    pub fn is_there(dir: &Path) -> bool {
        dir.join(DiskFile::Store.name()).exists()
    }

    /// The store, unless it is closed.
    pub(super) fn checked(self) -> Result<Self, StoreError> {
        let closed = self.shared.records().closed.clone();
        match closed {
            None => Ok(self),
            Some(closed) => {
                let dir = self.shared.disk.disk().dir().display();
                let message = format!("{}, and this is data directory {dir}", closed.told());
                Err(StoreError::new(FailureKind::Invalid, message))
            }
        }
    }
}

impl Transfer for Embedded {
    fn workers(&self, name: &Name) -> Answer<'_, Workers> {
        let workers = self
            .shared
            .check()
            .map(|()| self.shared.records().workers.get(name).cloned().unwrap_or_default());
        Box::pin(ready(workers))
    }

    fn adopt(&self, name: &Name, theirs: Whole) -> Answer<'_, Result<(), Differs>> {
        self.ask(|reply| Op::Adopt(name.clone(), theirs, reply))
    }

    fn closed(&self) -> Answer<'_, Option<Closed>> {
        Box::pin(ready(self.shared.check().map(|()| self.shared.records().closed.clone())))
    }

    fn close(&self, why: Option<Closed>) -> Answer<'_, ()> {
        self.ask(|reply| Op::Close(why, reply))
    }

    fn place(&self) -> String {
        let dir = self.shared.disk.disk().dir();
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        format!("embedded:{}", dir.display())
    }
}
