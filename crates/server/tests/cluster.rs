//! Several servers over one engine in memory, with real sockets between them.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail it as the test itself does")]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use ticketd_core::count::Count;
use ticketd_core::definition::{Definition, Order};
use ticketd_core::ids::Ids;
use ticketd_core::name::Name;
use ticketd_server::clock::Clock;
use ticketd_server::cluster::{Cluster, ClusterSettings};
use ticketd_server::error::{ErrorKind, ServiceError};
use ticketd_server::server::{Server, ServerSettings};
use ticketd_server::service::{Service, ServiceSettings};
use ticketd_store::EngineStore;
use ticketd_store::engine::{Engine, MemoryEngine};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const LEASE: Duration = Duration::from_millis(600);

/// One of several servers.
struct Member {
    service: Arc<Service>,
    running: JoinHandle<bool>,
    stop: oneshot::Sender<()>,
}

impl Member {
    async fn start(engine: &Arc<MemoryEngine>) -> Self {
        let engine = Arc::clone(engine) as Arc<dyn Engine>;
        let store = Arc::new(EngineStore::open(engine, 1).await.unwrap());
        let clock = Clock::start();
        let service = Service::new(Arc::clone(&store) as _, ServiceSettings::default(), clock);
        let any = "127.0.0.1:0".parse().unwrap();
        let settings = ServerSettings { resp: any, http: any, max_connections: 100 };
        let server = Server::bind(Arc::clone(&service), settings).await.unwrap();
        let address = server.http_addr().to_string();
        let settings = ClusterSettings { address, lease: LEASE };
        let membership = Cluster::join(store, clock, settings).await.unwrap();
        service.join(membership.cluster());
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move { drop(stopped.await) };
        let running = tokio::spawn(server.run(stopped, Some(membership)));
        Self { service, running, stop }
    }

    async fn next(&self, name: &str, count: u64) -> Result<Vec<u64>, ServiceError> {
        let issued = self.service.next(&named(name), Count::new(count).unwrap()).await?;
        assert!(matches!(issued.ids, Ids::Range(_)));
        Ok(issued.ids.integers().collect())
    }

    /// Dies without a word: nothing is handed back, and the lease is not ended.
    fn die(&self) {
        self.running.abort();
    }

    async fn stop(self) -> bool {
        drop(self.stop);
        self.running.await.unwrap()
    }
}

fn named(name: &str) -> Name {
    Name::new(name).unwrap()
}

async fn three() -> (Arc<MemoryEngine>, Vec<Member>) {
    let engine = Arc::new(MemoryEngine::new());
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(Member::start(&engine).await);
    }
    (engine, members)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_server_is_asked_the_next_ticket_is_larger() {
    let (_, members) = three().await;
    let mut last = 0;
    for round in 0..200 {
        for member in &members {
            for id in member.next("notes", 1 + round % 3).await.unwrap() {
                assert_eq!(id, last + 1, "strict, and without a gap as long as nobody dies");
                last = id;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sequences_are_spread_over_the_servers() {
    let (_, members) = three().await;
    // Until each has seen the others, it takes what it is asked for.
    tokio::time::sleep(LEASE).await;
    for n in 0..60 {
        assert_eq!(members[0].next(&format!("table-{n}"), 1).await.unwrap(), [1]);
    }
    let store = members[0].service.cluster().unwrap().store().owners(None, 100).await.unwrap();
    let owners: Vec<_> = store.iter().map(|(_, shared)| shared.owner.unwrap()).collect();
    for member in &members {
        let me = member.service.cluster().unwrap().me();
        let owned = owners.iter().filter(|owner| **owner == me).count();
        assert!((8..=35).contains(&owned), "{owned} of {}", owners.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_hands_over_without_a_gap_or_an_error() {
    let (_, mut members) = three().await;
    let mut last = 0;
    for _ in 0..2 {
        for _ in 0..50 {
            for member in &members {
                let ids = member.next("notes", 1).await.unwrap();
                assert_eq!(ids, [last + 1]);
                last += 1;
            }
        }
        let owner = members[0].service.cluster().unwrap().store().owners(None, 1).await.unwrap();
        let owner = owner[0].1.owner.unwrap();
        let at = |m: &Member| m.service.cluster().unwrap().me() == owner;
        let at = members.iter().position(at).unwrap();
        assert!(members.remove(at).stop().await);
    }
    assert_eq!(members[0].next("notes", 1).await.unwrap(), [last + 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_owner_is_replaced_and_nothing_comes_twice_or_too_low() {
    let (_, members) = three().await;
    let mut seen = HashSet::new();
    let mut last = 0;
    for member in &members {
        for id in member.next("notes", 5).await.unwrap() {
            assert!(id > last && seen.insert(id));
            last = id;
        }
    }
    let owner = members[0].service.cluster().unwrap().store().owners(None, 1).await.unwrap();
    let owner = owner[0].1.owner.unwrap();
    let is_owner = |m: &&Member| m.service.cluster().unwrap().me() == owner;
    members.iter().find(is_owner).unwrap().die();
    for member in members.iter().filter(|m| !is_owner(m)) {
        // Within its deadline of five seconds a request outlives the lease of the dead.
        let ids = member.next("notes", 3).await.unwrap();
        assert!(ids[0] > last, "{ids:?} after {last}");
        last = ids[2];
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raise_reaches_the_owner_from_wherever_it_comes() {
    let (_, members) = three().await;
    members[0].next("notes", 1).await.unwrap();
    for (n, member) in members.iter().enumerate() {
        let to = 1000 * (n as u64 + 1);
        assert_eq!(member.service.raise(&named("notes"), to).await.unwrap().next, Some(to + 1));
        for other in &members {
            assert!(other.next("notes", 1).await.unwrap()[0] > to);
        }
        let lower = member.service.raise(&named("notes"), 5).await.unwrap_err();
        assert_eq!(lower.kind, ErrorKind::Conflict);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loose_sequence_is_issued_by_every_server_and_unique() {
    let (_, members) = three().await;
    let loose = Definition { order: Order::Loose, ..Definition::default() };
    members[0].service.create(&named("loose"), loose, false).await.unwrap();
    let mut seen = HashSet::new();
    for _ in 0..100 {
        for member in &members {
            for id in member.next("loose", 7).await.unwrap() {
                assert!(seen.insert(id), "{id} came twice");
            }
        }
    }
    let issued = |m: &Member| m.service.opened_info(&named("loose")).unwrap().issued;
    assert!(members.iter().all(|member| issued(member) == 700), "nobody forwards");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_requests_get_what_is_left_of_an_exhausted_sequence() {
    let (_, members) = three().await;
    let last = ticketd_core::limits::ID_MAX;
    members[0].service.raise(&named("notes"), last - 5).await.unwrap();
    let mut answers = Vec::new();
    for member in &members {
        let (service, name) = (Arc::clone(&member.service), named("notes"));
        answers.push(tokio::spawn(async move {
            let asks = (0..4).map(|_| service.next(&name, Count::ONE));
            let mut ids = Vec::new();
            for ask in asks {
                match ask.await {
                    Ok(issued) => ids.extend(issued.ids.integers()),
                    Err(error) => assert_eq!(error.kind, ErrorKind::Exhausted),
                }
            }
            ids
        }));
    }
    let mut ids = Vec::new();
    for answer in answers {
        ids.extend(answer.await.unwrap());
    }
    ids.sort_unstable();
    assert_eq!(ids, (last - 4..=last).collect::<Vec<_>>());
}
