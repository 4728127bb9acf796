//! This server among others that share its engine: its lease, who else is there, and where the
//! owner of a sequence is reached. What all that means is in [`ticketd_core::cluster`].

pub(crate) mod elsewhere;
mod lease;
pub(crate) mod peer;
pub(crate) mod tally;
pub(crate) mod versions;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use ticketd_core::cluster::{Roster, ServerId, ServerLease, preferred};
use ticketd_core::name::Name;
use ticketd_core::time::Instant;
use ticketd_store::engine::Version;
use ticketd_store::{Announced, Announcement, EngineStore, StoreError};
use tracing::{info, warn};

use crate::clock::Clock;

use tally::Tally;
use versions::SPOKEN;

pub use lease::Lease;
pub use peer::PROTOCOL;

/// How much of a lease passes between two looks at who is there.
const LOOKS_PER_LEASE: u32 = 10;

/// The longest time between two looks, so that a dead owner is replaced within a second after its
/// lease has ended.
const LOOK_MAX: Duration = Duration::from_millis(500);

/// What the user may choose about this server as one of several.
#[derive(Debug, Clone)]
pub struct ClusterSettings {
    /// Where the others reach this server: host and port of its HTTP.
    pub address: String,
    /// The length of its lease.
    pub lease: Duration,
}

/// This server among others. See the [module](self).
pub struct Cluster {
    store: Arc<EngineStore>,
    clock: Clock,
    settings: ClusterSettings,
    /// Renewed by one task alone; replaced when somebody has ended it.
    lease: RwLock<Arc<Lease>>,
    view: Mutex<View>,
    pub(crate) peers: peer::Client,
    pub(crate) tally: Tally,
}

/// Who is there, as of the last look.
#[derive(Default)]
struct View {
    roster: Roster,
    servers: HashMap<ServerId, Announcement>,
}

/// A server as it is shown.
#[derive(Debug, Clone)]
pub struct ServerSeen {
    /// Which.
    pub id: ServerId,
    /// What it says of itself.
    pub says: Announcement,
    /// For how long it has not been seen to renew its lease.
    pub age: Duration,
    /// Whether it is this one.
    pub is_me: bool,
}

/// A lease with what its renewal needs.
struct Session {
    lease: Arc<Lease>,
    timing: ServerLease,
    version: Version,
    renewals: u64,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The task that keeps this server among the others; it ends when it is dropped.
pub struct Membership {
    cluster: Arc<Cluster>,
    session: Session,
}

impl Cluster {
    /// Announces this server and looks at who else is there.
    ///
    /// # Errors
    /// `Invalid` if it cannot speak with one that is there, or whatever the engine says.
    pub async fn join(
        store: Arc<EngineStore>,
        clock: Clock,
        settings: ClusterSettings,
    ) -> Result<Membership, StoreError> {
        SPOKEN.meet(&store.servers().await?)?;
        let session = announce(&store, clock, &settings).await?;
        let cluster = Arc::new(Self {
            store,
            clock,
            settings,
            lease: RwLock::new(Arc::clone(&session.lease)),
            view: Mutex::default(),
            peers: peer::Client::new(),
            tally: Tally::default(),
        });
        cluster.look().await?;
        Ok(Membership { cluster, session })
    }

    /// The store that all servers share.
    pub fn store(&self) -> &EngineStore {
        &self.store
    }

    /// The lease under which this server issues now.
    pub fn lease(&self) -> Arc<Lease> {
        Arc::clone(&self.lease.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who this server is now.
    pub fn me(&self) -> ServerId {
        self.lease().id()
    }

    /// Who should own `name` if nobody does.
    pub(crate) fn preferred(&self, name: &Name) -> Option<ServerId> {
        preferred(name, self.view().roster.servers())
    }

    /// What `server` says of itself; `None` if it is not there any more.
    pub(crate) fn announced(&self, server: ServerId) -> Option<Announcement> {
        self.view().servers.get(&server).cloned()
    }

    /// How many servers are there, this one included.
    pub(crate) fn servers_there(&self) -> u64 {
        self.view().servers.len() as u64
    }

    /// All servers that are there, in the order of their addresses.
    pub fn servers(&self) -> Vec<ServerSeen> {
        let (view, now, me) = (self.view(), self.clock.now(), self.me());
        let seen = |(id, says): (&ServerId, &Announcement)| ServerSeen {
            id: *id,
            says: says.clone(),
            age: Duration::from_micros(view.roster.age_us(*id, now).unwrap_or(0)),
            is_me: *id == me,
        };
        let mut servers: Vec<ServerSeen> = view.servers.iter().map(seen).collect();
        servers.sort_by(|a, b| (&a.says.address, a.id).cmp(&(&b.says.address, b.id)));
        servers
    }

    fn view(&self) -> MutexGuard<'_, View> {
        // It is replaced as a whole.
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at who is there, and ends the leases of those who have been silent for too long.
    pub(crate) async fn look(&self) -> Result<(), StoreError> {
        let servers = self.store.servers().await?;
        // After the answer: whoever is seen unchanged has been so since before now.
        let now = self.clock.now();
        let silent = self.note(now, servers);
        for (id, version) in silent {
            if id != self.me() && self.store.end(id, Version(version)).await? {
                info!(server = %id, "the lease of a silent server has ended; its sequences are free");
                self.tally.other_ended();
                let mut view = self.view();
                view.servers.remove(&id);
            }
        }
        Ok(())
    }

    /// Returns who is silent.
    fn note(&self, now: Instant, servers: Vec<Announced>) -> Vec<(ServerId, u64)> {
        let mut view = self.view();
        let entry = |server: &Announced| {
            (server.id, server.version.0, server.says.ttl_ms.saturating_mul(1000))
        };
        view.roster.saw(now, servers.iter().map(entry));
        view.servers = servers.into_iter().map(|server| (server.id, server.says)).collect();
        view.roster.silent(now)
    }

    /// Looks again and again.
    async fn watch(&self) {
        let pause = (self.settings.lease / LOOKS_PER_LEASE).min(LOOK_MAX);
        loop {
            tokio::time::sleep(pause).await;
            if let Err(error) = self.look().await {
                warn!("who else is there cannot be seen: {}", error.to_failure());
            }
            if let Err(error) = self.store.catch_up().await {
                warn!("what other servers have reserved cannot be seen: {}", error.to_failure());
            }
        }
    }
}

impl Membership {
    /// What it keeps up.
    pub fn cluster(&self) -> Arc<Cluster> {
        Arc::clone(&self.cluster)
    }

    /// Renews the lease and watches the others until it is dropped. Whenever the lease has ended
    /// against its will, it takes a new one and calls `ended`.
    pub async fn keep(&mut self, ended: impl Fn()) {
        let cluster = Arc::clone(&self.cluster);
        tokio::join!(self.renew(ended), cluster.watch());
    }

    /// Ends the lease at once: whoever waits for the sequences of this server need not wait longer.
    pub async fn leave(&mut self) {
        self.session.lease.end();
        if let Err(error) = self.cluster.store.leave(self.session.lease.id()).await {
            warn!("the lease could not be ended; it runs out: {}", error.to_failure());
        }
    }

    async fn renew(&mut self, ended: impl Fn()) {
        let clock = self.cluster.clock;
        loop {
            clock.sleep_until(self.session.timing.due()).await;
            self.session.timing.asking(clock.now());
            let says = says(&self.cluster.settings, self.session.renewals + 1);
            let (id, version) = (self.session.lease.id(), Some(self.session.version));
            match self.cluster.store.announce(id, version, &says).await {
                Ok(Some(version)) => self.session.renewed(version),
                Ok(None) => {
                    warn!("this server was silent for so long that its lease was ended");
                    self.cluster.tally.own_ended();
                    self.session.lease.end();
                    self.begin_again().await;
                    ended();
                }
                Err(error) => {
                    self.cluster.tally.renewal_failed();
                    self.session.timing.failed(clock.now());
                    warn!("the lease could not be renewed: {}", error.to_failure());
                }
            }
        }
    }

    async fn begin_again(&mut self) {
        let Cluster { store, clock, settings, .. } = &*self.cluster;
        let mut failures = 0;
        loop {
            match announce(store, *clock, settings).await {
                Ok(session) => {
                    self.session = session;
                    let mut lease =
                        self.cluster.lease.write().unwrap_or_else(PoisonError::into_inner);
                    *lease = Arc::clone(&self.session.lease);
                    return;
                }
                Err(error) => warn!("no new lease could be had: {}", error.to_failure()),
            }
            failures += 1;
            let pause = Duration::from_micros(ticketd_core::backoff::pause_us(failures));
            tokio::time::sleep(pause).await;
        }
    }
}

impl Session {
    fn renewed(&mut self, version: Version) {
        self.version = version;
        self.renewals += 1;
        self.timing.renewed();
        self.lease.extend(self.timing.valid_until());
    }
}

/// Announces a server under a new ID, which is not used again if that fails: its entry may be
/// there all the same, and then somebody ends it.
async fn announce(
    store: &EngineStore,
    clock: Clock,
    settings: &ClusterSettings,
) -> Result<Session, StoreError> {
    let ttl_us = u64::try_from(settings.lease.as_micros()).unwrap_or(u64::MAX);
    let id = ServerId(uuid::Uuid::new_v4().as_u64_pair().0);
    let mut timing = ServerLease::new(ttl_us);
    timing.asking(clock.now());
    let version = store.announce(id, None, &says(settings, 0)).await?;
    let version = version.ok_or_else(|| {
        let message = "the lease of this server was ended as soon as it began: try again";
        StoreError::new(ticketd_core::failure::FailureKind::Unavailable, message)
    })?;
    let mut session =
        Session { lease: Arc::new(Lease::new(id, clock)), timing, version, renewals: 0 };
    session.timing.renewed();
    session.lease.extend(session.timing.valid_until());
    Ok(session)
}

fn says(settings: &ClusterSettings, renewals: u64) -> Announcement {
    Announcement {
        address: settings.address.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PROTOCOL,
        ttl_ms: u64::try_from(settings.lease.as_millis()).unwrap_or(u64::MAX),
        renewals,
    }
}
