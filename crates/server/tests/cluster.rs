//! Several servers over one engine in memory, with real sockets between them.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail it as the test itself does")]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ticketd_core::cluster::Claim;
use ticketd_core::count::Count;
use ticketd_core::definition::{Definition, Order};
use ticketd_core::failure::FailureKind;
use ticketd_core::ids::Ids;
use ticketd_core::name::Name;
use ticketd_server::clock::Clock;
use ticketd_server::cluster::{Cluster, ClusterSettings, Membership};
use ticketd_server::error::{ErrorKind, ServiceError};
use ticketd_server::metrics::Traffic;
use ticketd_server::server::{Server, ServerSettings};
use ticketd_server::service::{Service, ServiceSettings};
use ticketd_store::engine::{Change, Engine, Entry, Key, MemoryEngine, Outcome, Version};
use ticketd_store::{Answer, EngineStore, Store, StoreError};
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
    async fn start<E: Engine>(engine: &Arc<E>) -> Self {
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

    /// Ends without a care: nothing is handed back, though its lease is ended.
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

/// Every metric of several servers, its type and its samples.
const METRICS: [(&str, &str, &[&str]); 10] = [
    ("ticketd_lease_left_seconds", "gauge", &[""]),
    ("ticketd_lease_renewals_failed_total", "counter", &[""]),
    ("ticketd_leases_ended_total", "counter", &[r#"{whose="own"}"#, r#"{whose="other"}"#]),
    ("ticketd_servers", "gauge", &[""]),
    ("ticketd_sequences_owned", "gauge", &[""]),
    ("ticketd_claims_total", "counter", &[""]),
    ("ticketd_takeovers_total", "counter", &[""]),
    ("ticketd_forwarded_batches_total", "counter", OUTCOMES),
    ("ticketd_forwarded_requests_total", "counter", OUTCOMES),
    ("ticketd_received_batches_total", "counter", OUTCOMES),
];

const OUTCOMES: &[&str] = &[
    r#"{outcome="answered"}"#,
    r#"{outcome="refused"}"#,
    r#"{outcome="moved"}"#,
    r#"{outcome="failed"}"#,
];

fn metrics(member: &Member) -> String {
    ticketd_server::metrics::encode(&member.service, &Traffic::default())
}

fn sample(text: &str, name: &str) -> f64 {
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    text.lines().find_map(value).unwrap_or_else(|| panic!("{name} is not in {text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_tell_of_leases_owners_and_what_is_forwarded() {
    let (engine, members) = three().await;
    for member in &members {
        member.next("notes", 1).await.unwrap();
        member.next("tasks", 1).await.unwrap();
    }
    let told: Vec<String> = members.iter().map(metrics).collect();
    let sum = |name: &str| told.iter().map(|text| sample(text, name)).sum::<f64>();
    for (name, kind, labels) in METRICS {
        assert!(told[0].contains(&format!("# TYPE {name} {kind}\n")), "{name}");
        let samples = told[0].lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        assert_eq!(samples.count(), labels.len(), "{name}");
        assert!(labels.iter().all(|label| sum(&format!("{name}{label}")) >= 0.0), "{name}");
    }
    assert!(told.iter().all(|text| sample(text, "ticketd_lease_left_seconds") > 0.0));
    assert_eq!((sum("ticketd_sequences_owned"), sum("ticketd_takeovers_total")), (2.0, 0.0));
    assert!(sum("ticketd_claims_total") >= 2.0);
    // Each of two sequences was asked for at its owner and at two others.
    let answered = |name: &str| sum(&format!(r#"ticketd_{name}_total{{outcome="answered"}}"#));
    assert_eq!(answered("forwarded_batches"), 4.0);
    assert_eq!((answered("forwarded_requests"), answered("received_batches")), (4.0, 4.0));

    let _silent = own_and_be_silent(&engine, "lost").await;
    let ids = members[0].next("lost", 1).await.unwrap();
    assert_eq!(ids, [1]);
    let told: Vec<String> = members.iter().map(metrics).collect();
    let sum = |name: &str| told.iter().map(|text| sample(text, name)).sum::<f64>();
    assert_eq!((sum("ticketd_takeovers_total"), sum("ticketd_sequences_owned")), (1.0, 3.0));
    assert!(sum(r#"ticketd_leases_ended_total{whose="other"}"#) >= 1.0);
    assert_eq!(sum(r#"ticketd_leases_ended_total{whose="own"}"#), 0.0);
    assert!(sum(r#"ticketd_forwarded_batches_total{outcome="failed"}"#) >= 1.0);
    assert_eq!(sample(&told[0], "ticketd_servers"), 3.0);
}

/// A server that owns `name`, does not renew its lease, and cannot be reached.
async fn own_and_be_silent(engine: &Arc<MemoryEngine>, name: &str) -> Membership {
    let store = EngineStore::open(Arc::clone(engine) as _, 1).await.unwrap();
    let (store, clock) = (Arc::new(store), Clock::start());
    let settings = ClusterSettings { address: "127.0.0.1:1".to_owned(), lease: LEASE };
    let membership = Cluster::join(Arc::clone(&store), clock, settings).await.unwrap();
    let claim =
        Claim { create: Some(Definition::default()), ..Claim::of(membership.cluster().me()) };
    store.claim(&named(name), claim).await.unwrap();
    membership
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

/// An engine that takes no new key while it is told to refuse, and its time over sequences while it
/// is told to be slow.
#[derive(Default)]
struct Hampered {
    memory: MemoryEngine,
    refuses: AtomicBool,
    is_slow: AtomicBool,
}

/// How long it takes then: longer than one attempt to forward, and shorter than a request waits.
const SLOW: Duration = Duration::from_millis(1300);

impl Engine for Hampered {
    fn read<'a>(&'a self, keys: &'a [Key]) -> Answer<'a, Vec<Option<Entry>>> {
        self.memory.read(keys)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a Key>,
        limit: usize,
    ) -> Answer<'a, Vec<Entry>> {
        self.memory.list(prefix, after, limit)
    }

    fn commit<'a>(&'a self, change: &'a Change) -> Answer<'a, Outcome> {
        let is_new = change.expect.iter().any(|(_, version)| *version == Version::ABSENT);
        if is_new && self.refuses.load(Ordering::SeqCst) {
            let error = StoreError::new(FailureKind::Unavailable, "no new key is taken");
            return Box::pin(std::future::ready(Err(error)));
        }
        let of_sequence = change.put.iter().any(|(key, _)| key.as_str().starts_with("sequence/"));
        let delay =
            if of_sequence && self.is_slow.load(Ordering::SeqCst) { SLOW } else { Duration::ZERO };
        Box::pin(async move {
            tokio::time::sleep(delay).await;
            self.memory.commit(change).await
        })
    }

    fn vet(&self) -> Answer<'_, Vec<String>> {
        self.memory.vet()
    }

    fn commits(&self) -> u64 {
        self.memory.commits()
    }

    fn label(&self) -> &str {
        "hampered:"
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forwarded_request_waits_as_long_as_its_client_does() {
    let engine = Arc::new(Hampered::default());
    let members = [Member::start(&engine).await, Member::start(&engine).await];
    members[0].next("notes", 1).await.unwrap();
    engine.is_slow.store(true, Ordering::SeqCst);
    // More than is held: one asks the owner, and one is the owner.
    for (member, count) in members.iter().zip([100_000, 1_000_000]) {
        assert_eq!(member.next("notes", count).await.unwrap().len() as u64, count);
    }
}

#[test]
fn a_request_waits_without_a_fuss_while_no_new_lease_is_to_be_had() {
    let (done, waited) = std::sync::mpsc::channel();
    // On virtual time, which stands still for as long as anybody goes round in a circle.
    std::thread::spawn(move || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build().unwrap();
        done.send(runtime.block_on(lose_the_lease())).unwrap();
    });
    let answers = waited.recv_timeout(Duration::from_secs(60)).expect("it goes round in a circle");
    let kinds = answers.map(|answer| answer.map_err(|error| error.kind));
    assert!(
        matches!(kinds, [Ok(1), Err(ErrorKind::Unavailable), Ok(next)] if next > 1),
        "{kinds:?}"
    );
}

/// The answers before, while and after a server has lost its lease and gets no new one.
async fn lose_the_lease() -> [Result<u64, ServiceError>; 3] {
    let engine = Arc::new(Hampered::default());
    let store = EngineStore::open(Arc::clone(&engine) as _, 1).await.unwrap();
    let (store, clock) = (Arc::new(store), Clock::start());
    let service = Service::new(Arc::clone(&store) as _, ServiceSettings::default(), clock);
    let settings = ClusterSettings { address: "here:1".to_owned(), lease: LEASE };
    let mut membership = Cluster::join(Arc::clone(&store), clock, settings).await.unwrap();
    let cluster = membership.cluster();
    service.join(Arc::clone(&cluster));
    let told = Arc::clone(&service);
    tokio::spawn(async move {
        let ended = || {
            let service = Arc::clone(&told);
            tokio::spawn(async move { service.lease_ended().await });
        };
        membership.keep(ended).await;
    });
    let next = async || {
        let issued = service.next(&named("notes"), Count::ONE).await?;
        Ok(issued.ids.integers().next().unwrap())
    };
    let before = next().await;
    engine.refuses.store(true, Ordering::SeqCst);
    store.leave(cluster.me()).await.unwrap();
    tokio::time::sleep(LEASE).await;
    let meanwhile = next().await;
    engine.refuses.store(false, Ordering::SeqCst);
    [before, meanwhile, next().await]
}
