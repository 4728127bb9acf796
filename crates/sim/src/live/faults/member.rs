//! One of several servers, with a thread and a runtime of its own: a crash drops all its tasks
//! where they wait, as the end of a process does. None of them runs any further, so nothing is
//! handed back, its lease stands, and its connections break off.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use ticketd_server::clock::Clock;
use ticketd_server::cluster::{Cluster, ClusterSettings, Membership};
use ticketd_server::server::{Server, ServerSettings};
use ticketd_server::service::{Service, ServiceSettings};
use ticketd_store::engine::Engine;
use ticketd_store::{EngineStore, StoreError};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// Every agent may come to one server, and the other servers.
const CONNECTIONS_MAX: usize = super::super::AGENTS_MAX + 100;

/// What the cluster is called: there is one in an engine.
const CLUSTER: u64 = 1;

/// How a server ends.
enum End {
    Crash,
    Stop,
}

/// A server that runs.
pub(super) struct Member {
    address: SocketAddr,
    end: oneshot::Sender<End>,
    /// Answers whether the server has ended as it should.
    thread: JoinHandle<bool>,
}

impl Member {
    /// Starts server `number` on free ports of loopback.
    pub(super) fn start(
        number: usize,
        engine: Arc<dyn Engine>,
        lease: Duration,
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = oneshot::channel();
        let (started, starts) = bounded(1);
        let life = move || live(runtime, engine, lease, &started, ended);
        let thread = thread::Builder::new().name(format!("server {number}")).spawn(life)?;
        let address = starts.recv().expect("a server says how its start went")?;
        Ok(Self { address, end, thread })
    }

    /// Where it serves HTTP.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it without a care; it is gone when this returns.
    pub(super) fn crash(self) {
        self.end(End::Crash);
    }

    /// Ends it as an operator would. Returns whether it ended in time.
    pub(super) fn stop(self) -> bool {
        self.end(End::Stop)
    }

    fn end(self, end: End) -> bool {
        let told = self.end.send(end).is_ok();
        self.thread.join().expect("a panic ends the process") && told
    }
}

/// The life of a server, from its start to its end.
fn live(
    runtime: Runtime,
    engine: Arc<dyn Engine>,
    lease: Duration,
    started: &Sender<io::Result<SocketAddr>>,
    ended: oneshot::Receiver<End>,
) -> bool {
    let in_order = runtime.block_on(async {
        let (server, membership) = match bind(engine, lease).await {
            Ok(bound) => bound,
            Err(error) => {
                drop(started.send(Err(error)));
                return false;
            }
        };
        drop(started.send(Ok(server.http_addr())));
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move { drop(stopped.await) };
        let mut running = pin!(server.run(stopped, Some(membership)));
        tokio::select! {
            in_order = &mut running => in_order,
            end = ended => match end {
                Ok(End::Stop) => {
                    drop(stop);
                    running.await
                }
                Ok(End::Crash) | Err(_) => true,
            }
        }
    });
    // What has not ended by now never goes on.
    runtime.shutdown_background();
    in_order
}

async fn bind(engine: Arc<dyn Engine>, lease: Duration) -> io::Result<(Server, Membership)> {
    let store = Arc::new(EngineStore::open(engine, CLUSTER).await.map_err(no_store)?);
    let clock = Clock::start_of_machine();
    let service = Service::new(Arc::clone(&store) as _, ServiceSettings::default(), clock);
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let settings = ServerSettings { resp: any, http: any, max_connections: CONNECTIONS_MAX };
    let server = Server::bind(Arc::clone(&service), settings).await?;
    let settings = ClusterSettings { address: server.http_addr().to_string(), lease };
    let membership = Cluster::join(store, clock, settings).await.map_err(no_store)?;
    service.join(membership.cluster());
    Ok((server, membership))
}

fn no_store(error: StoreError) -> io::Error {
    io::Error::other(error)
}
