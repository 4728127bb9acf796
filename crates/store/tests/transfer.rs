//! Sequences that move from store to store: nothing comes twice, whatever cuts the copy off.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail it as the test itself does")]

use std::sync::Arc;

use ticketd_core::cluster::{Claim, Claimed, ServerId};
use ticketd_core::definition::{BlockLen, Definition, Kind, Order};
use ticketd_core::failure::FailureKind;
use ticketd_core::name::Name;
use ticketd_core::record::Reserve;
use ticketd_core::snowflake::lease::LeaseAsk;
use ticketd_core::snowflake::{CounterStart, Snowflake, preset};
use ticketd_core::stride::Seat;
use ticketd_core::transfer::Closed;
use ticketd_store::engine::{Engine, MemoryEngine};
use ticketd_store::transfer::{Begun, Transfer, plan};
use ticketd_store::{Announcement, Embedded, EngineStore, Store, StoreError};

mod cut_off;

use cut_off::Failing;

const A: ServerId = ServerId(0xa);

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn layout() -> Kind {
    let layout = preset::find("twitter").unwrap();
    Kind::Snowflake(Snowflake { layout, counter_start: CounterStart::Random })
}

/// A sequence of each kind, and what else can be chosen.
fn definitions() -> Vec<(Name, Definition)> {
    let of = |text: &str, kind| (name(text), Definition::of(kind));
    let block_len = Some(BlockLen::Fixed(7));
    vec![
        of("notes", Kind::Ticket),
        (name("fixed"), Definition { block_len, ..Definition::default() }),
        (name("loose"), Definition { order: Order::Loose, ..Definition::default() }),
        of("stride", Kind::Stride(Seat::new(5, 3).unwrap())),
        of("events", layout()),
        of("u4", Kind::Uuid4),
        of("u7", Kind::Uuid7),
        of("ulid", Kind::Ulid),
    ]
}

fn ask(generation: u32, turn: u64) -> Reserve {
    Reserve { floor: 1, len: 10, spent: 1, generation, turn }
}

/// Ticks far beyond those of any clock, so that nothing but what is remembered keeps them apart.
fn lease(floor: u64) -> LeaseAsk {
    LeaseAsk { holder: 77, preferred: None, floor, len: 100, workers: 2, ticks: 1 << 40 }
}

/// Reserves and leases from `store`, each time something else; answers what was reserved.
async fn use_all(store: &dyn Transfer) -> Vec<(Name, u32, std::ops::Range<u64>)> {
    let mut used = Vec::new();
    for (name, definition) in definitions() {
        let claim = Claim { create: Some(definition), ..Claim::of(A) };
        let Claimed::Mine(record, turn) = store.claim(&name, claim).await.unwrap() else {
            panic!("{name} is somebody else's");
        };
        assert_eq!(record.definition, definition, "{name}");
        if definition.kind.name().has_blocks() {
            let block = store.reserve(&name, ask(record.generation(), turn)).await.unwrap();
            used.push((name, 0, block.start()..block.end()));
        } else if let Kind::Snowflake(_) = definition.kind {
            for floor in [1 << 35, 1, 1 << 34] {
                let Ok(leased) = store.lease(&name, lease(floor)).await.unwrap() else { continue };
                used.push((
                    name.clone(),
                    leased.worker,
                    leased.window.start()..leased.window.end(),
                ));
            }
        }
    }
    used
}

fn assert_disjoint(used: &[(Name, u32, std::ops::Range<u64>)]) {
    for (at, (name, worker, one)) in used.iter().enumerate() {
        for (other_name, other_worker, other) in &used[at + 1..] {
            let same = (name, worker) == (other_name, other_worker);
            let apart = one.end <= other.start || other.end <= one.start;
            assert!(!same || apart, "{name} has {one:?} and {other:?}");
        }
    }
}

async fn engine_store(engine: &Arc<MemoryEngine>, label: &'static str) -> Arc<EngineStore> {
    let engine = Failing::over(engine, label, usize::MAX);
    Arc::new(EngineStore::open(engine, label.len() as u64).await.unwrap())
}

/// The same, whether or not it is there and open.
async fn end(engine: &Arc<MemoryEngine>, label: &'static str) -> Arc<dyn Transfer> {
    let open = EngineStore::open_closed(Failing::over(engine, label, usize::MAX)).await.unwrap();
    match open {
        Some(store) => Arc::new(store),
        None => engine_store(engine, label).await,
    }
}

async fn copy(from: &Arc<dyn Transfer>, to: &Arc<dyn Transfer>) -> Result<(), StoreError> {
    plan(&**from, Some(&**to)).await?;
    Begun::new(Arc::clone(from), Arc::clone(to)).await?.end(|_| ()).await
}

#[tokio::test]
async fn around_all_stores_nothing_is_reserved_twice() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let engine = Arc::new(MemoryEngine::new());
    let embedded = |at: usize| Arc::new(Embedded::open(dirs[at].path()).unwrap());
    let mut used = Vec::new();
    let mut store: Arc<dyn Transfer> = embedded(0);
    for round in 0..3 {
        let next: Arc<dyn Transfer> =
            if round == 1 { embedded(1) } else { end(&engine, "one").await };
        used.extend(use_all(&*store).await);
        used.extend(use_all(&*store).await);
        copy(&store, &next).await.unwrap();
        for planned in plan(&*store, Some(&*next)).await.unwrap() {
            assert!(!planned.is_due, "{planned:?}");
        }
        // Once more does nothing.
        copy(&store, &next).await.unwrap();
        store = next;
    }
    used.extend(use_all(&*store).await);
    assert_disjoint(&used);
    assert!(used.len() > 30, "{used:?}");
}

#[tokio::test]
async fn wherever_it_is_cut_off_no_server_issues_from_half_of_it_and_it_can_be_done_again() {
    let old = Arc::new(MemoryEngine::new());
    let mut used = use_all(&*engine_store(&old, "old").await).await;
    used.extend(use_all(&*engine_store(&old, "old").await).await);
    for cut in 0.. {
        let (old, new) = (Arc::new(old.copy()), Arc::new(MemoryEngine::new()));
        engine_store(&new, "new+").await;
        let [from, to] = [(&old, "old"), (&new, "new+")].map(|(engine, label)| {
            // The two closings of the old store are its only changes.
            Failing::over(engine, label, if label == "old" { cut % 4 } else { cut / 4 })
        });
        let open = async |engine| EngineStore::open_closed(engine).await.unwrap().unwrap();
        let from: Arc<dyn Transfer> = Arc::new(open(from).await);
        let to: Arc<dyn Transfer> = Arc::new(open(to).await);
        let done = copy(&from, &to).await;
        let serves = async |engine: &Arc<MemoryEngine>| {
            EngineStore::open(Arc::clone(engine) as Arc<dyn Engine>, 9).await.is_ok()
        };
        let (old_serves, new_serves) = (serves(&old).await, serves(&new).await);
        assert!(!(old_serves && new_serves) || cut / 4 == 0, "after {cut} changes both serve");
        let is_begun = new.list("", None, 100).await.unwrap().len() > 1;
        assert!(!(old_serves && is_begun), "after {cut} changes");
        assert_eq!(done.is_ok(), new_serves && !old_serves, "after {cut} changes");
        if done.is_err() {
            let from: Arc<dyn Transfer> =
                Arc::new(open(Failing::over(&old, "old", usize::MAX)).await);
            let to: Arc<dyn Transfer> =
                Arc::new(open(Failing::over(&new, "new+", usize::MAX)).await);
            copy(&from, &to).await.unwrap();
        }
        assert!(serves(&new).await && !serves(&old).await);
        let again = use_all(&*engine_store(&new, "new+").await).await;
        assert_disjoint(&[used.clone(), again].concat());
        if done.is_ok() {
            assert!(cut > 40, "{cut}");
            return;
        }
    }
}

#[tokio::test]
async fn what_differs_is_told_and_nothing_is_written() {
    let [old, new] = [Arc::new(MemoryEngine::new()), Arc::new(MemoryEngine::new())];
    let (from, to) = (engine_store(&old, "old").await, engine_store(&new, "new+").await);
    use_all(&*from).await;
    for other in ["loose", "u7"] {
        to.create(&name(other), Definition::default()).await.unwrap();
    }
    let before = new.list("", None, 100).await.unwrap();
    let [from, to]: [Arc<dyn Transfer>; 2] = [from, to];
    let error = copy(&from, &to).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Invalid);
    let told = error.to_string();
    assert!(told.ends_with("loose is there with order strict, not loose; and 1 more"), "{told}");
    assert_eq!(new.list("", None, 100).await.unwrap(), before);
    assert_eq!((from.closed().await.unwrap(), to.closed().await.unwrap()), (None, None));
}

#[tokio::test]
async fn a_mark_that_is_higher_already_stays() {
    let [old, new] = [Arc::new(MemoryEngine::new()), Arc::new(MemoryEngine::new())];
    let (from, to) = (engine_store(&old, "old").await, engine_store(&new, "new+").await);
    use_all(&*from).await;
    to.create(&name("notes"), Definition::default()).await.unwrap();
    to.create(&name("only-here"), Definition::default()).await.unwrap();
    to.raise(&name("notes"), 5000).await.unwrap();
    let [from, to]: [Arc<dyn Transfer>; 2] = [from, to];
    copy(&from, &to).await.unwrap();
    assert_eq!(to.read(&name("notes")).await.unwrap().unwrap().mark, 5000);
    assert!(to.read(&name("only-here")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_server_that_comes_while_the_store_is_closed_goes_again() {
    let engine = Arc::new(MemoryEngine::new());
    let server = engine_store(&engine, "old").await;
    let closer = EngineStore::open_closed(Arc::clone(&engine) as Arc<dyn Engine>).await.unwrap();
    let closer = closer.unwrap();
    // It was opened before, and announces itself after: as one that lost its lease does, too.
    closer.close(Some(Closed::Moved { to: "elsewhere".to_owned() })).await.unwrap();
    let says = Announcement {
        address: "a:1".to_owned(),
        version: "1".to_owned(),
        protocol: 1,
        ttl_ms: 1000,
        renewals: 0,
    };
    let error = server.announce(A, None, &says).await.unwrap_err();
    assert!(error.to_string().contains("the store was moved"), "{error}");
    assert_eq!(closer.servers().await.unwrap(), []);
    closer.close(None).await.unwrap();
    assert!(server.announce(A, None, &says).await.unwrap().is_some());
}

#[tokio::test]
async fn a_store_that_was_moved_elsewhere_is_neither_end_of_another_copy() {
    let engines = [(); 3].map(|()| Arc::new(MemoryEngine::new()));
    let mut stores: Vec<Arc<dyn Transfer>> = Vec::new();
    for (engine, label) in engines.iter().zip(["a", "bb", "ccc"]) {
        stores.push(engine_store(engine, label).await);
    }
    let [a, b, c] = [&stores[0], &stores[1], &stores[2]];
    use_all(&**a).await;
    copy(a, b).await.unwrap();
    for (from, to) in [(a, c), (c, a)] {
        let told = copy(from, to).await.unwrap_err().to_string();
        assert!(told.contains("the store was moved") && told.contains("it is at bb"), "{told}");
    }
    a.close(Some(Closed::Filling { from: "bb".to_owned() })).await.unwrap();
    let told = copy(a, c).await.unwrap_err().to_string();
    assert!(told.contains("half a copy"), "{told}");
    copy(b, a).await.unwrap();
    assert_eq!(a.closed().await.unwrap(), None);
}

#[tokio::test]
async fn a_copy_that_was_done_before_cannot_be_given_up_when_it_is_cut_off_the_next_time() {
    let [old, new] = [(); 2].map(|()| Arc::new(MemoryEngine::new()));
    let from: Arc<dyn Transfer> = engine_store(&old, "old").await;
    let to: Arc<dyn Transfer> = engine_store(&new, "new+").await;
    use_all(&*from).await;
    copy(&from, &to).await.unwrap();
    // The new store has gone on since, and the old one must not.
    use_all(&*to).await;
    for left in 0..2 {
        let cut = EngineStore::open_closed(Failing::over(&new, "new+", left)).await.unwrap();
        let cut: Arc<dyn Transfer> = Arc::new(cut.unwrap());
        copy(&from, &cut).await.unwrap_err();
        let moved = Closed::Moved { to: "new+".to_owned() };
        assert_eq!(from.closed().await.unwrap(), Some(moved), "after {left} changes");
    }
    copy(&from, &to).await.unwrap();
    assert_eq!(to.closed().await.unwrap(), None);
}
