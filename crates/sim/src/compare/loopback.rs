//! Real listeners on loopback, in this process: for measurements over RESP, and for servers that
//! share a store that is only in this process.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ticketd_core::definition::{Definition, KindName};
use ticketd_core::name::Name;
use ticketd_server::clock::Clock;
use ticketd_server::server::{Server, ServerSettings};
use ticketd_server::service::{Service, ServiceSettings};
use ticketd_store::{Memory, Store};
use tokio::runtime::{Builder, Runtime};

use super::fleet::store_for;
use super::outage::Servers;
use crate::live::kind_in_seat;

/// More than any scenario has agents.
const CONNECTIONS_MAX: usize = 4096;

/// Servers that listen on free ports.
#[derive(Debug)]
pub struct Loopback(Vec<Listening>);

#[derive(Debug)]
struct Listening {
    addr: SocketAddr,
    /// `None` once it is dead.
    runtime: Option<Runtime>,
}

impl Loopback {
    /// Starts so many servers of `kind` with the sequences `tables`.
    ///
    /// # Errors
    /// If the system has no thread or port left, or a sequence cannot be made.
    pub fn start(kind: KindName, tables: &[Name], count: usize) -> io::Result<Self> {
        let shared: Arc<dyn Store> = Arc::new(Memory::new());
        let start = |index| {
            let kind_here = kind_in_seat(kind, count, index + 1);
            let definition = Definition::of(kind_here);
            Listening::start(store_for(kind, &shared), tables, definition)
        };
        (0..count).map(start).collect::<io::Result<_>>().map(Self)
    }

    /// Where server number `server`, counted from 0, listens.
    pub(super) fn addr(&self, server: usize) -> SocketAddr {
        self.0[server].addr
    }
}

impl Servers for Loopback {
    fn addrs(&self) -> Vec<SocketAddr> {
        self.0.iter().map(|server| server.addr).collect()
    }

    /// Drops all its tasks where they stand: connections break off, nothing is given back.
    fn kill(&mut self, server: usize) -> io::Result<()> {
        self.0[server].kill();
        Ok(())
    }

    fn revive(&mut self, _: usize) -> io::Result<()> {
        Err(io::Error::other("a server in this process does not come back"))
    }
}

impl Listening {
    fn start(store: Arc<dyn Store>, tables: &[Name], definition: Definition) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let service = Service::new(store, ServiceSettings::default(), Clock::start());
        let server = runtime.block_on(async {
            for table in tables {
                let made = service.create(table, definition, false).await;
                made.map_err(io::Error::other)?;
            }
            let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let settings =
                ServerSettings { resp: free, http: free, max_connections: CONNECTIONS_MAX };
            Server::bind(service, settings).await
        })?;
        let addr = server.resp_addr();
        runtime.spawn(server.run(std::future::pending(), None));
        Ok(Self { addr, runtime: Some(runtime) })
    }

    fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.kill();
    }
}
