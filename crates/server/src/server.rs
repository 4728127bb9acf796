//! The listeners: accepting, limiting, and stopping without losing what is in flight.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use crate::cluster::Membership;
use crate::http::{self, HttpContext};
use crate::limits::{HTTP_HEAD_TIMEOUT_SECONDS, STOP_TIMEOUT_SECONDS};
use crate::metrics::{ProtocolTraffic, Traffic};
use crate::resp::connection;
use crate::resp::context::RespContext;
use crate::service::Service;
use crate::stopping::stopped;

/// Connections that may wait to be accepted: a burst of clients that all connect at once. The
/// kernel lowers it to its own limit.
const BACKLOG: u32 = 4096;

/// The pause after an accept that failed for want of file descriptors or memory, so that the loop
/// does not spin until there are some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the user may choose about the listeners.
#[derive(Debug, Clone, Copy)]
pub struct ServerSettings {
    /// Where to serve RESP; port 0 picks a free one.
    pub resp: SocketAddr,
    /// Where to serve HTTP; port 0 picks a free one.
    pub http: SocketAddr,
    /// The most connections of both protocols together.
    pub max_connections: usize,
}

/// A server that listens on both ports.
#[derive(Debug)]
pub struct Server {
    service: Arc<Service>,
    resp: TcpListener,
    http: TcpListener,
    resp_addr: SocketAddr,
    http_addr: SocketAddr,
    max_connections: usize,
}

/// What the two accept loops share.
struct Accepting {
    traffic: Arc<Traffic>,
    room: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
    /// A clone lives as long as any connection does.
    alive: mpsc::Sender<()>,
}

impl Server {
    /// Listens on both addresses. Clients may connect from now on; they are served by
    /// [`Server::run`].
    ///
    /// # Errors
    /// The address that could not be had, and why.
    pub async fn bind(service: Arc<Service>, settings: ServerSettings) -> io::Result<Self> {
        let resp = listen(settings.resp)?;
        let http = listen(settings.http)?;
        let (resp_addr, http_addr) = (resp.local_addr()?, http.local_addr()?);
        let max_connections = settings.max_connections;
        Ok(Self { service, resp, http, resp_addr, http_addr, max_connections })
    }

    /// Where RESP is served.
    pub const fn resp_addr(&self) -> SocketAddr {
        self.resp_addr
    }

    /// Where HTTP is served.
    pub const fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// Serves until `stop` is ready; then stops accepting, answers what is in flight, hands the
    /// unissued rest back, and returns whether all of that ended in time. One of several servers
    /// keeps its `membership` meanwhile, and leaves at the end.
    pub async fn run(self, stop: impl Future<Output = ()>, membership: Option<Membership>) -> bool {
        let (stopping, stopped) = watch::channel(false);
        let (alive, mut all_gone) = mpsc::channel(1);
        let accepting = Arc::new(Accepting {
            traffic: Arc::default(),
            room: Arc::new(Semaphore::new(self.max_connections)),
            stopping: stopped,
            alive,
        });
        let service = Arc::clone(&self.service);
        let keeper = membership.map(|membership| Keeper::start(membership, &service));
        tokio::select! {
            () = self.accept(accepting) => unreachable!("accepting never ends by itself"),
            () = service.watch_rates() => unreachable!("watching never ends by itself"),
            () = stop => info!("stopping"),
        }
        // The listeners are closed by now, and only connections hold `alive`.
        stopping.send_replace(true);
        let limit = Duration::from_secs(STOP_TIMEOUT_SECONDS);
        let drained = tokio::time::timeout(limit, all_gone.recv()).await.is_ok();
        if !drained {
            warn!("some connections did not end within {limit:?}");
        }
        let clean = service.stop(limit).await;
        if !clean {
            warn!("the store did not take the rest back within {limit:?}; it is burnt");
        }
        if let Some(keeper) = keeper {
            keeper.leave(limit).await;
        }
        clean
    }

    async fn accept(self, accepting: Arc<Accepting>) {
        let resp_context = Arc::new(RespContext {
            service: Arc::clone(&self.service),
            traffic: Arc::clone(&accepting.traffic),
            resp_addr: self.resp_addr.to_string(),
            http_addr: self.http_addr.to_string(),
            max_connections: self.max_connections,
        });
        let http_context = Arc::new(HttpContext {
            service: self.service,
            traffic: Arc::clone(&accepting.traffic),
            resp_addr: self.resp_addr.to_string(),
            http_addr: self.http_addr.to_string(),
        });
        tokio::join!(
            accept_resp(self.resp, resp_context, &accepting),
            accept_http(self.http, http_context, &accepting),
        );
    }
}

/// The task that keeps a membership.
struct Keeper {
    leave: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Keeper {
    fn start(mut membership: Membership, service: &Arc<Service>) -> Self {
        let (leave, told) = oneshot::channel();
        let service = Arc::clone(service);
        let task = tokio::spawn(async move {
            let ended = || {
                let service = Arc::clone(&service);
                tokio::spawn(async move { service.lease_ended().await });
            };
            tokio::select! {
                () = membership.keep(ended) => unreachable!("keeping never ends by itself"),
                // Whoever could say so may be gone: that is a stop as well.
                _ = told => {}
            }
            membership.leave().await;
        });
        Self { leave, task }
    }

    /// Ends the lease, so that nobody waits for it.
    async fn leave(self, within: Duration) {
        // If it is not there any more, it has left.
        let _left = self.leave.send(());
        if tokio::time::timeout(within, self.task).await.is_err() {
            warn!("the lease was not ended within {within:?}; it runs out");
        }
    }
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{addr}: {error}"));
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // So that a restart need not wait for the connections of the last run to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(addr).map_err(named)?;
    socket.listen(BACKLOG).map_err(named)
}

async fn accept_resp(listener: TcpListener, context: Arc<RespContext>, accepting: &Accepting) {
    let mut id = 0;
    loop {
        let stream = next_client(&listener).await;
        let traffic = Arc::clone(&accepting.traffic);
        let Ok(room) = Arc::clone(&accepting.room).try_acquire_owned() else {
            traffic.resp.refused();
            drop(stream.try_write(b"-ERR max number of clients reached\r\n"));
            continue;
        };
        id += 1;
        let (context, stopping) = (Arc::clone(&context), accepting.stopping.clone());
        let alive = accepting.alive.clone();
        tokio::spawn(async move {
            let _open = Open::new(traffic, |traffic| &traffic.resp);
            connection::serve(context, stream, id, stopping).await;
            drop((room, alive));
        });
    }
}

async fn accept_http(listener: TcpListener, context: Arc<HttpContext>, accepting: &Accepting) {
    let router = http::router(context);
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(HTTP_HEAD_TIMEOUT_SECONDS));
    loop {
        let stream = next_client(&listener).await;
        let traffic = Arc::clone(&accepting.traffic);
        let Ok(room) = Arc::clone(&accepting.room).try_acquire_owned() else {
            traffic.http.refused();
            drop(
                stream.try_write(b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n"),
            );
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut stopping = accepting.stopping.clone();
        let alive = accepting.alive.clone();
        tokio::spawn(async move {
            let _open = Open::new(traffic, |traffic| &traffic.http);
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stopped(&mut stopping) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                debug!("an HTTP connection ended early: {error}");
            }
            drop((room, alive));
        });
    }
}

/// Counts a connection for as long as it lives.
struct Open {
    traffic: Arc<Traffic>,
    of: fn(&Traffic) -> &ProtocolTraffic,
}

impl Open {
    fn new(traffic: Arc<Traffic>, of: fn(&Traffic) -> &ProtocolTraffic) -> Self {
        of(&traffic).opened();
        Self { traffic, of }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        (self.of)(&self.traffic).closed();
    }
}

/// The next client, whatever it takes.
async fn next_client(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are written whole, so waiting to fill a packet would only delay them.
                // Fails only if the client has gone already.
                drop(stream.set_nodelay(true));
                return stream;
            }
            // The client left before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                warn!("a client could not be accepted: {error}; raise the limit on open files");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
