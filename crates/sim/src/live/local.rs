//! The ticket server inside the simulation: the service that every protocol calls, over a store
//! in memory, and a dispenser per table that hands its IDs out over a channel.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use ticketd_core::count::Count;
use ticketd_core::definition::Definition;
use ticketd_core::ids::Id;
use ticketd_core::name::Name;
use ticketd_server::clock::Clock;
use ticketd_server::error::ServiceError;
use ticketd_server::service::{Service, ServiceSettings};
use ticketd_server::source::Source;
use ticketd_store::{Memory, Store};
use tokio::runtime::{Builder, Handle, Runtime};

use super::kinds::not_made;

/// How long the end of a run waits for the owner tasks. They have nothing to wait for.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// A service with a runtime for its owner tasks.
#[derive(Debug)]
pub struct Local {
    service: Arc<Service>,
    runtime: Runtime,
}

impl Local {
    /// A service over a new store in memory.
    ///
    /// # Errors
    /// If the system has no thread left for it.
    pub fn start() -> io::Result<Self> {
        Self::over(Arc::new(Memory::new()))
    }

    /// A service over `store`.
    ///
    /// # Errors
    /// As [`Local::start`].
    pub fn over(store: Arc<dyn Store>) -> io::Result<Self> {
        Self::by_clock(store, Clock::start())
    }

    /// A service over `store` that tells the time by `clock`.
    ///
    /// # Errors
    /// As [`Local::start`].
    pub(crate) fn by_clock(store: Arc<dyn Store>, clock: Clock) -> io::Result<Self> {
        // One worker is enough for refills; the tickets are taken on the dispensers' threads.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build()?;
        let service = Service::new(store, ServiceSettings::default(), clock);
        Ok(Self { service, runtime })
    }

    /// A dispenser of IDs of `table`.
    pub(crate) fn dispenser(&self, table: &Name) -> Dispenser {
        Dispenser {
            service: Arc::clone(&self.service),
            runtime: self.runtime.handle().clone(),
            table: table.clone(),
            source: None,
        }
    }

    /// Makes the sequence `table`.
    pub(crate) fn create(&self, table: &Name, definition: Definition) -> io::Result<()> {
        let made = self.runtime.block_on(self.service.create(table, definition, false));
        made.map(drop).map_err(|error| not_made(table, error))
    }

    /// How many IDs of `table` the service knows to be lost.
    pub(super) fn burnt(&self, table: &Name) -> u64 {
        let blocks = self.service.opened_info(table).and_then(|info| info.blocks);
        blocks.and_then(|blocks| blocks.open).map_or(0, |open| open.tally.burnt.total())
    }

    /// Ends the service. Returns whether it ended in time.
    pub(crate) fn stop(&self) -> bool {
        self.runtime.block_on(self.service.stop(STOP_TIMEOUT))
    }
}

/// Takes IDs of one table from the service, one after the other.
pub(crate) struct Dispenser {
    service: Arc<Service>,
    runtime: Handle,
    table: Name,
    source: Option<Source>,
}

impl Dispenser {
    /// Hands IDs out until nobody takes them any more.
    pub(super) fn run(mut self, hatch: &Sender<Id>) -> Result<(), ServiceError> {
        loop {
            let id = self.next_id()?;
            if hatch.send(id).is_err() {
                return Ok(());
            }
        }
    }

    /// The next ID: from memory as a rule, and when the block is spent by way of the owner.
    pub(crate) fn next_id(&mut self) -> Result<Id, ServiceError> {
        if let Some(range) = self.source.as_ref().and_then(|source| source.take_up_to(1)) {
            return Ok(Id::Integer(range.first));
        }
        let asked = self.service.next(&self.table, Count::ONE);
        let issued = self.runtime.block_on(asked)?;
        self.source = self.service.opened(self.table.as_str());
        Ok(issued.ids.iter(issued.kind).next().expect("one was asked for"))
    }
}
