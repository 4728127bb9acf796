//! One life of one server: its lease, who else is there, and what is open on it:
//! `server/src/cluster.rs` on virtual time.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use ticketd_core::backoff::pause_us;
use ticketd_core::cluster::{Roster, ServerId, ServerLease, preferred};
use ticketd_core::failure::FailureKind;
use ticketd_core::name::Name;
use ticketd_core::time::Instant;
use ticketd_store::engine::Version;
use ticketd_store::{Announced, Announcement, EngineStore, StoreError};
use tokio::sync::Notify;

use super::engine::WorldEngine;
use super::hub::Hub;
use super::lease::{Clock, Lease, within};
use super::service::Source;
use super::words::What;
use super::world::Life;
use crate::explore::Bug;
use crate::explore::stats::Mark;

/// One life of one server. See the [module](self).
pub(super) struct Node {
    pub(super) hub: Hub,
    pub(super) life: Life,
    pub(super) clock: Clock,
    pub(super) bug: Bug,
    pub(super) store: Arc<EngineStore>,
    names: Rc<[Name]>,
    ttl_us: u64,
    look_us: u64,
    stop_timeout_us: u64,
    lease: RefCell<Rc<Lease>>,
    roster: RefCell<Roster>,
    /// Where the servers that are there are reached.
    addresses: RefCell<BTreeMap<ServerId, usize>>,
    pub(super) sequences: RefCell<Vec<Option<Source>>>,
    /// Not tokio's `watch`, which wakes those who wait in an order that it draws by itself.
    pub(super) stopping: Cell<bool>,
    told_to_stop: Notify,
    leaving: Notify,
    /// Requests that are being answered, and owners that have not ended.
    pub(super) busy: Cell<usize>,
    pub(super) owners: Cell<usize>,
    pub(super) less: Notify,
}

/// A lease with what its renewal needs.
struct Session {
    lease: Rc<Lease>,
    timing: ServerLease,
    version: Version,
    renewals: u64,
}

/// A server starts: it opens the store, announces itself, and serves from then on. Whatever fails
/// is tried again, as a process would be that is started again.
pub(super) async fn boot(hub: Hub, life: Life, clock: Clock) {
    let mut failures = 0;
    let (node, session) = loop {
        let was_fallen = hub.world().fallen.is_some();
        match begin(&hub, life, clock).await {
            Ok(begun) => break begun,
            // It has asked an engine that was not yet repaired, and heard of it after that.
            Err(error) if was_fallen && error.kind == FailureKind::Corrupt => {
                hub.world().loss_noticed(life, &error);
            }
            Err(error) => hub.world().failed(life, &error),
        }
        failures += 1;
        hub.sleep(pause_us(failures)).await;
    };
    hub.world().up(&node);
    node.keep(session).await;
}

async fn begin(hub: &Hub, life: Life, clock: Clock) -> Result<(Rc<Node>, Session), StoreError> {
    let (engine, cluster) = {
        let mut world = hub.world();
        (WorldEngine::new(life, Arc::clone(&world.outbox)), world.draw.below(u64::MAX))
    };
    let names = Rc::clone(&hub.world().names);
    let bug = hub.world().bug;
    let witness = hub.world().witness(life).filter(|_| !bug.starts_unasked());
    let store = match witness {
        Some(witness) => EngineStore::open_witnessed(Arc::new(engine), cluster, witness).await?,
        None => EngineStore::open(Arc::new(engine), cluster).await?,
    };
    let (ttl_us, look_us, stop_timeout_us) = hub.world().config.times();
    let store = Arc::new(bug.in_store(store));
    let session = announce(hub, &store, life, clock, ttl_us, bug).await?;
    let sequences = RefCell::new(names.iter().map(|_| None).collect());
    let node = Rc::new(Node {
        hub: hub.clone(),
        life,
        clock,
        bug,
        store,
        names,
        ttl_us,
        look_us,
        stop_timeout_us,
        lease: RefCell::new(Rc::clone(&session.lease)),
        roster: RefCell::default(),
        addresses: RefCell::default(),
        sequences,
        stopping: Cell::new(false),
        told_to_stop: Notify::new(),
        leaving: Notify::new(),
        busy: Cell::new(0),
        owners: Cell::new(0),
        less: Notify::new(),
    });
    node.look().await?;
    Ok((node, session))
}

/// Announces a server under a new ID.
async fn announce(
    hub: &Hub,
    store: &EngineStore,
    life: Life,
    clock: Clock,
    ttl_us: u64,
    bug: Bug,
) -> Result<Session, StoreError> {
    let id = hub.world().new_server(life);
    let mut timing = ServerLease::new(bug.lease_us(ttl_us));
    timing.asking(clock.shows(hub.now()));
    let version = store.announce(id, None, &says(life, ttl_us, 0)).await?;
    let version = version.ok_or_else(|| {
        StoreError::new(FailureKind::Unavailable, "the lease was ended as soon as it began")
    })?;
    let lease = Rc::new(Lease::new(id, life, clock, hub.clone()));
    let mut session = Session { lease, timing, version, renewals: 0 };
    if bug.counts_from_answer() {
        session.timing.asking(clock.shows(hub.now()));
    }
    session.timing.renewed();
    session.lease.extend(session.timing.valid_until());
    Ok(session)
}

fn says(life: Life, ttl_us: u64, renewals: u64) -> Announcement {
    Announcement {
        address: life.slot.to_string(),
        version: "0".to_owned(),
        protocol: 1,
        ttl_ms: ttl_us / 1_000,
        renewals,
    }
}

impl Node {
    pub(super) fn now(&self) -> Instant {
        self.clock.shows(self.hub.now())
    }

    pub(super) async fn sleep_until(&self, moment: Instant) {
        self.hub.sleep_until(self.clock.true_time(moment)).await;
    }

    pub(super) fn name(&self, index: usize) -> &Name {
        &self.names[index]
    }

    pub(super) fn line(&self, index: usize, what: What, numbers: [u64; 3]) {
        self.hub.world().line(self.life.slot, index, what, numbers);
    }

    pub(super) fn mark(&self, mark: Mark) {
        self.hub.world().stats.mark(mark);
    }

    pub(super) fn lease(&self) -> Rc<Lease> {
        Rc::clone(&self.lease.borrow())
    }

    pub(super) fn me(&self) -> ServerId {
        self.lease.borrow().id()
    }

    /// Who should own a sequence if nobody does.
    pub(super) fn preferred(&self, index: usize) -> Option<ServerId> {
        preferred(self.name(index), self.roster.borrow().servers())
    }

    pub(super) fn address_of(&self, server: ServerId) -> Option<usize> {
        self.addresses.borrow().get(&server).copied()
    }

    /// Looks at who is there, and ends the leases of those who have been silent for too long.
    pub(super) async fn look(&self) -> Result<(), StoreError> {
        let servers = self.store.servers().await?;
        let now = self.now();
        for (id, version) in self.note(now, &servers) {
            if id != self.me() && self.end(id, version).await? {
                self.mark(Mark::SilentEnded);
                self.hub.world().line_here(self.life, What::Ended, [id.0 >> 48, 0, 0]);
                self.addresses.borrow_mut().remove(&id);
            }
        }
        Ok(())
    }

    async fn end(&self, id: ServerId, version: u64) -> Result<bool, StoreError> {
        if self.bug.ends_any_version() {
            return self.store.leave(id).await.map(|()| true);
        }
        let ended = self.store.end(id, Version(version)).await?;
        if !ended {
            self.mark(Mark::SilentRenewed);
        }
        Ok(ended)
    }

    /// Returns who is silent.
    fn note(&self, now: Instant, servers: &[Announced]) -> Vec<(ServerId, u64)> {
        let entry = |server: &Announced| {
            let ttl_us = server.says.ttl_ms.saturating_mul(1_000);
            (server.id, server.version.0, self.bug.watched_us(ttl_us))
        };
        let mut roster = self.roster.borrow_mut();
        roster.saw(now, servers.iter().map(entry));
        let address = |server: &Announced| server.says.address.parse().unwrap_or(usize::MAX);
        *self.addresses.borrow_mut() =
            servers.iter().map(|server| (server.id, address(server))).collect();
        roster.silent(now)
    }

    async fn watch(&self) {
        loop {
            self.hub.sleep(self.look_us).await;
            if let Err(error) = self.look().await {
                self.hub.world().failed(self.life, &error);
            }
            if let Err(error) = self.store.catch_up().await {
                self.hub.world().failed(self.life, &error);
            }
        }
    }

    /// Renews the lease and watches the others until it leaves; then the process is over.
    async fn keep(self: Rc<Self>, mut session: Session) {
        let keeping = async { tokio::join!(self.renew(&mut session), self.watch()) };
        tokio::select! {
            biased;
            () = self.leaving.notified() => {}
            _ = keeping => unreachable!("keeping never ends by itself"),
        }
        let lease = self.lease();
        lease.end();
        let late = self.hub.sleep(self.stop_timeout_us);
        if let Some(Err(error)) = within(late, self.store.leave(lease.id())).await {
            self.hub.world().failed(self.life, &error);
        }
        self.hub.world().down(self.life, false);
    }

    async fn renew(self: &Rc<Self>, session: &mut Session) {
        loop {
            self.sleep_until(session.timing.due()).await;
            session.timing.asking(self.now());
            let says = says(self.life, self.ttl_us, session.renewals + 1);
            let (id, version) = (session.lease.id(), Some(session.version));
            match self.store.announce(id, version, &says).await {
                Ok(Some(version)) => {
                    session.version = version;
                    session.renewals += 1;
                    if self.bug.counts_from_answer() {
                        session.timing.asking(self.now());
                    }
                    session.timing.renewed();
                    if session.lease.has_lapsed() {
                        self.mark(Mark::LapsedAndRenewed);
                    }
                    session.lease.extend(session.timing.valid_until());
                }
                Ok(None) => {
                    self.mark(Mark::BeganAgain);
                    self.hub.world().line_here(self.life, What::LeaseLost, [id.0 >> 48, 0, 0]);
                    session.lease.end();
                    self.begin_again(session).await;
                    self.tell_lease_ended();
                }
                Err(error) => {
                    session.timing.failed(self.now());
                    self.mark(Mark::NotRenewed);
                    self.hub.world().failed(self.life, &error);
                }
            }
        }
    }

    async fn begin_again(&self, session: &mut Session) {
        let mut failures = 0;
        loop {
            let begun =
                announce(&self.hub, &self.store, self.life, self.clock, self.ttl_us, self.bug);
            match begun.await {
                Ok(new) => {
                    *session = new;
                    *self.lease.borrow_mut() = Rc::clone(&session.lease);
                    return;
                }
                Err(error) => self.hub.world().failed(self.life, &error),
            }
            failures += 1;
            self.hub.sleep(pause_us(failures)).await;
        }
    }

    /// Stops cleanly: answers what is in flight, hands back what is left, leaves.
    pub(super) async fn stop(self: Rc<Self>) {
        let late = self.hub.sleep(self.stop_timeout_us);
        let drained = within(late, self.until(|| self.busy.get() == 0)).await;
        self.stopping.set(true);
        self.told_to_stop.notify_waiters();
        let late = self.hub.sleep(self.stop_timeout_us);
        let ending = async {
            self.until(|| self.owners.get() == 0).await;
            for source in self.flakes() {
                source.stop(&self).await;
            }
        };
        let ended = within(late, ending).await;
        if drained.is_none() || ended.is_none() {
            self.mark(Mark::StopTimedOut);
        }
        self.leaving.notify_one();
    }

    /// Ready when the server stops.
    pub(super) async fn stopped(&self) {
        let told = self.told_to_stop.notified();
        if !self.stopping.get() {
            told.await;
        }
    }

    async fn until(&self, is_so: impl Fn() -> bool) {
        while !is_so() {
            self.less.notified().await;
        }
    }
}
