//! The servers of one kind, in this process: each a service of its own, over the stores that the
//! kind needs.

use std::io;
use std::sync::Arc;

use ticketd_core::definition::{Definition, KindName};
use ticketd_core::name::Name;
use ticketd_server::clock::Clock;
use ticketd_store::{Memory, Store};

use crate::live::{Dispenser, Local, kind_in_seat};

/// Servers that issue IDs of one kind.
pub(super) struct Fleet {
    kind: KindName,
    /// The worker IDs of snowflakes are leased from one store; everybody else has one alone.
    shared: Arc<dyn Store>,
    servers: Vec<Local>,
}

impl Fleet {
    /// Starts so many servers with the sequences `tables`, each by the clock that `clock` gives it.
    pub(super) fn start(
        kind: KindName,
        tables: &[Name],
        count: usize,
        clock: impl Fn(usize) -> Clock,
    ) -> io::Result<Self> {
        let mut fleet = Self { kind, shared: Arc::new(Memory::new()), servers: Vec::new() };
        for index in 0..count {
            fleet.add(tables, count, clock(index))?;
        }
        Ok(fleet)
    }

    /// Starts one more, which of stride is one of so many `members`.
    pub(super) fn add(&mut self, tables: &[Name], members: usize, clock: Clock) -> io::Result<()> {
        let store = store_for(self.kind, &self.shared);
        let server = Local::by_clock(store, clock)?;
        let kind = kind_in_seat(self.kind, members, self.servers.len() + 1);
        for table in tables {
            server.create(table, Definition::of(kind))?;
        }
        self.servers.push(server);
        Ok(())
    }

    /// Who asks server number `server`, counted from 0, for IDs of `table`.
    pub(super) fn dispenser(&self, server: usize, table: &Name) -> Dispenser {
        self.servers[server].dispenser(table)
    }

    /// Ends all servers.
    pub(super) fn stop(self) -> io::Result<()> {
        if self.servers.iter().all(Local::stop) {
            return Ok(());
        }
        Err(io::Error::other("a service did not stop in time"))
    }
}

/// The store of one more server of `kind`.
pub(super) fn store_for(kind: KindName, shared: &Arc<dyn Store>) -> Arc<dyn Store> {
    match kind {
        KindName::Snowflake => Arc::clone(shared),
        _ => Arc::new(Memory::new()),
    }
}
