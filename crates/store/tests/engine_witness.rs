//! What a server has seen of its engine outlives it, and an engine that has lost it is refused.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail it as the test itself does")]

use std::path::Path;
use std::sync::Arc;

use ticketd_core::block::Block;
use ticketd_core::cluster::{Claim, Claimed, ServerId};
use ticketd_core::definition::{Definition, Kind, KindName, Order};
use ticketd_core::failure::FailureKind;
use ticketd_core::name::Name;
use ticketd_core::record::{HandBack, Reserve};
use ticketd_core::snowflake::lease::{LeaseAsk, Release};
use ticketd_core::snowflake::{CounterStart, Snowflake, preset};
use ticketd_store::engine::{Engine, MemoryEngine};
use ticketd_store::{DirWitness, EngineStore, Repair, Repaired, Seen, Store, StoreError, Witness};

mod cut_off;

use cut_off::Failing;

const A: ServerId = ServerId(0xa);
const B: ServerId = ServerId(0xb);

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn ask(turn: u64) -> Reserve {
    Reserve { floor: 1, len: 10, spent: 1, generation: 0, turn }
}

/// A server with the data directory `dir`.
async fn start(engine: &Arc<MemoryEngine>, dir: &Path) -> Result<EngineStore, StoreError> {
    let witness = Box::new(DirWitness::open(dir)?);
    EngineStore::open_witnessed(Arc::clone(engine) as Arc<dyn Engine>, 7, witness).await
}

async fn refused(engine: &Arc<MemoryEngine>, dir: &Path) -> String {
    let error = start(engine, dir).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Corrupt, "{error}");
    error.message
}

fn seen(dir: &Path) -> Seen {
    DirWitness::open(dir).unwrap().seen().clone()
}

async fn turn(store: &EngineStore, of: &str, server: ServerId) -> u64 {
    let claim = Claim { create: Some(Definition::default()), ..Claim::of(server) };
    match store.claim(&name(of), claim).await.unwrap() {
        Claimed::Mine(_, turn) => turn,
        Claimed::Theirs(other, _) => panic!("{other} owns it"),
    }
}

async fn repair(engine: &MemoryEngine, dir: &Path, by: u64) -> Vec<Repaired> {
    let repair = Repair::new(by, [&seen(dir)]).unwrap();
    let planned = repair.plan(engine).await.unwrap();
    let mut done = Vec::new();
    assert!(!repair.begin(engine, 99).await.unwrap());
    repair.end(engine, |repaired| done.push(repaired)).await.unwrap();
    assert_eq!(planned, done);
    done
}

fn copy(engine: &MemoryEngine) -> Arc<MemoryEngine> {
    Arc::new(engine.copy())
}

#[tokio::test]
async fn an_engine_that_went_on_is_followed() {
    let (engine, dir) = (Arc::new(MemoryEngine::new()), tempfile::tempdir().unwrap());
    let a = start(&engine, dir.path()).await.unwrap();
    let of_a = turn(&a, "notes", A).await;
    a.reserve(&name("notes"), ask(of_a)).await.unwrap();
    drop(a);
    // Others reserve, and hand back: the mark is lower than one that was seen, in another turn.
    let a = start(&engine, dir.path()).await.unwrap();
    let of_a = turn(&a, "notes", A).await;
    a.reserve(&name("notes"), ask(of_a)).await.unwrap();
    drop(a);
    let b = EngineStore::open(Arc::clone(&engine) as Arc<dyn Engine>, 8).await.unwrap();
    let back = HandBack { start: 12, end: 21, turn: of_a };
    assert!(b.hand_back(&name("notes"), back).await.unwrap());
    let a = start(&engine, dir.path()).await.unwrap();
    let of_a = turn(&a, "notes", A).await;
    let next = a.reserve(&name("notes"), ask(of_a)).await.unwrap();
    assert_eq!(next, Block::new(12, 22).unwrap());
}

#[tokio::test]
async fn an_engine_that_went_back_is_refused_until_it_is_raised_above_what_each_server_has_seen() {
    let engine = Arc::new(MemoryEngine::new());
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [a, b] = [&dirs[0], &dirs[1]].map(|dir| start(&engine, dir.path()));
    let (a, b) = (a.await.unwrap(), b.await.unwrap());
    let of_a = turn(&a, "notes", A).await;
    let first = a.reserve(&name("notes"), ask(of_a)).await.unwrap();
    let backup = engine.copy();
    for _ in 0..3 {
        a.reserve(&name("notes"), ask(of_a)).await.unwrap();
    }
    // B has only forwarded, and learns nothing but by looking.
    b.others_issue(&name("notes"));
    b.catch_up().await.unwrap();
    let last = a.reserve(&name("notes"), ask(of_a)).await.unwrap();
    assert_eq!((first.start(), last.end()), (1, 51));
    drop((a, b));
    let restored = copy(&backup);
    let told = [refused(&restored, dirs[0].path()).await, refused(&restored, dirs[1].path()).await];
    assert!(told[0].contains("notes has mark 11, and 51 was seen"), "{}", told[0]);
    assert!(told[1].contains("notes has mark 11, and 41 was seen"), "{}", told[1]);
    assert!(told[0].contains("raise --all --by N --store URL"), "{}", told[0]);
    // With the witness of B alone, and too little room, A is refused again.
    let too_low = copy(&backup);
    repair(&too_low, dirs[1].path(), 5).await;
    let told = refused(&too_low, dirs[0].path()).await;
    assert!(told.contains("notes has mark 46, and 51 was seen"), "{told}");
    // That of A has seen more than B.
    let done = repair(&restored, dirs[0].path(), 5).await;
    let kind = KindName::Ticket;
    assert_eq!(done, [Repaired { name: name("notes"), kind, from: Some(11), to: 56 }]);
    for (dir, server, start_of_block) in [(&dirs[0], A, 56), (&dirs[1], B, 66)] {
        let store = start(&restored, dir.path()).await.unwrap();
        let turn = turn(&store, "notes", server).await;
        let stale = store.reserve(&name("notes"), ask(of_a)).await.unwrap_err();
        assert_eq!(stale.kind, FailureKind::Fenced, "no turn of before is one of now");
        let block = store.reserve(&name("notes"), ask(turn)).await.unwrap();
        assert_eq!(block.start(), start_of_block);
    }
}

/// Found by the world of several servers, as seed 3017367 made it then: a server started, had seen
/// more of the engine by that than it remembered, and forgot it.
#[tokio::test]
async fn what_is_seen_at_the_start_counts_as_well() {
    let (engine, dir) = (Arc::new(MemoryEngine::new()), tempfile::tempdir().unwrap());
    let a = start(&engine, dir.path()).await.unwrap();
    let loose = Definition { order: Order::Loose, ..Definition::default() };
    a.create(&name("loose"), loose).await.unwrap();
    drop(a);
    let b = EngineStore::open(Arc::clone(&engine) as Arc<dyn Engine>, 8).await.unwrap();
    b.reserve(&name("loose"), ask(0)).await.unwrap();
    let backup = engine.copy();
    b.reserve(&name("loose"), ask(0)).await.unwrap();
    drop(start(&engine, dir.path()).await.unwrap());
    let told = refused(&copy(&backup), dir.path()).await;
    assert!(told.contains("loose has mark 11, and 21 was seen"), "{told}");
}

#[tokio::test]
async fn an_empty_engine_is_refused_and_gets_back_what_was_seen() {
    let (engine, dir) = (Arc::new(MemoryEngine::new()), tempfile::tempdir().unwrap());
    let a = start(&engine, dir.path()).await.unwrap();
    let of_a = turn(&a, "notes", A).await;
    a.reserve(&name("notes"), ask(of_a)).await.unwrap();
    let loose = Definition { order: Order::Loose, ..Definition::default() };
    a.create(&name("loose"), loose).await.unwrap();
    a.reserve(&name("loose"), ask(0)).await.unwrap();
    a.create(&name("u"), Definition::of(Kind::Uuid7)).await.unwrap();
    let cluster = a.cluster().to_owned();
    drop(a);
    let empty = Arc::new(MemoryEngine::new());
    let told = refused(&empty, dir.path()).await;
    assert!(told.starts_with("the engine is empty;"), "{told}");
    assert!(empty.list("", None, 10).await.unwrap().is_empty(), "it was left as it was");
    let plan = Repair::new(100, [&seen(dir.path())]).unwrap().plan(empty.as_ref()).await.unwrap();
    assert!(empty.list("", None, 10).await.unwrap().is_empty(), "a plan changes nothing");
    let to: Vec<(&str, Option<u64>, u64)> =
        plan.iter().map(|r| (r.name.as_str(), r.from, r.to)).collect();
    assert_eq!(to, [("loose", None, 111), ("notes", None, 111), ("u", None, 1)]);
    repair(&empty, dir.path(), 100).await;
    let again = start(&empty, dir.path()).await.unwrap();
    assert_eq!(again.cluster(), cluster);
    assert_eq!(again.reserve(&name("loose"), ask(0)).await.unwrap().start(), 111);
    let record = again.read(&name("loose")).await.unwrap().unwrap();
    assert_eq!(record.definition, loose);
}

#[tokio::test]
async fn a_repair_that_is_cut_off_leaves_no_store_that_a_server_starts_on() {
    let (engine, dir) = (Arc::new(MemoryEngine::new()), tempfile::tempdir().unwrap());
    let a = start(&engine, dir.path()).await.unwrap();
    let names = ["notes", "tasks", "orders"];
    for of in names {
        let turn = turn(&a, of, A).await;
        a.reserve(&name(of), ask(turn)).await.unwrap();
    }
    let backup = engine.copy();
    for of in names {
        let turn = turn(&a, of, A).await;
        a.reserve(&name(of), ask(turn)).await.unwrap();
    }
    drop(a);
    // It takes a change to close it, one for each sequence, and one to open it.
    for left in 0..5 {
        let restored = copy(&backup);
        // Whoever has seen nothing would start on anything.
        let ignorant = tempfile::tempdir().unwrap();
        let repair = Repair::new(5, [&seen(dir.path())]).unwrap();
        let engine = Failing::over(&restored, "cut off", left);
        let begun = repair.begin(engine.as_ref(), 1).await;
        let ended = match &begun {
            Ok(_) => repair.end(engine.as_ref(), |_| {}).await,
            Err(_) => Ok(()),
        };
        assert_eq!((begun.is_err(), ended.is_err()), (left == 0, left > 0), "after {left}");
        if left == 0 {
            start(&restored, ignorant.path()).await.expect("nothing was begun");
            continue;
        }
        let error = start(&restored, ignorant.path()).await.unwrap_err();
        assert_eq!(error.kind, FailureKind::Invalid);
        assert!(error.message.contains("a repair of the store has not ended"), "{error}");
        assert!(repair.begin(restored.as_ref(), 1).await.unwrap(), "it was begun before");
        repair.end(restored.as_ref(), |_| {}).await.unwrap();
        let store = start(&restored, dir.path()).await.unwrap();
        for of in names {
            let mark = store.read(&name(of)).await.unwrap().unwrap().mark;
            assert!(mark >= 26, "{of} at {mark} after {left}");
        }
    }
}

#[tokio::test]
async fn an_engine_of_another_cluster_is_refused_and_not_repaired() {
    let (engine, dir) = (Arc::new(MemoryEngine::new()), tempfile::tempdir().unwrap());
    drop(start(&engine, dir.path()).await.unwrap());
    let other = Arc::new(MemoryEngine::new());
    drop(EngineStore::open(Arc::clone(&other) as Arc<dyn Engine>, 8).await.unwrap());
    let told = refused(&other, dir.path()).await;
    for part in ["cluster 0000000000000008", "cluster 0000000000000007", "--data-dir"] {
        assert!(told.contains(part), "{told}");
    }
    let repair = Repair::new(1, [&seen(dir.path())]).unwrap();
    let refused = repair.begin(other.as_ref(), 1).await.unwrap_err();
    assert!(refused.message.contains("another --data-dir"), "{refused}");
    EngineStore::open(other as Arc<dyn Engine>, 8).await.expect("it is not closed");
    // Nobody has used a sequence yet, so an empty one is as good as that.
    start(&Arc::new(MemoryEngine::new()), dir.path()).await.unwrap();
}

#[tokio::test]
async fn ticks_that_were_leased_are_remembered_and_those_given_back_are_not() {
    let (engine, dir) = (Arc::new(MemoryEngine::new()), tempfile::tempdir().unwrap());
    let a = start(&engine, dir.path()).await.unwrap();
    let layout = preset::find(preset::DEFAULT).unwrap();
    let snowflake = Snowflake { layout, counter_start: CounterStart::Zero };
    a.create(&name("events"), Definition::of(Kind::Snowflake(snowflake))).await.unwrap();
    let ask = LeaseAsk {
        holder: 1,
        preferred: Some(3),
        floor: 1000,
        len: 10,
        workers: layout.workers(),
        ticks: layout.ticks(),
    };
    let window = a.lease(&name("events"), ask).await.unwrap().unwrap().window;
    let backup = engine.copy();
    let end = a.lease(&name("events"), ask).await.unwrap().unwrap().window.end();
    let back = Release { worker: 3, holder: 1, from: end - 2, end };
    assert!(a.release(&name("events"), back).await.unwrap());
    drop(a);
    drop(start(&engine, dir.path()).await.unwrap());
    let restored = copy(&backup);
    let told = refused(&restored, dir.path()).await;
    let wanted = format!("worker ID 3 at tick {}, and {} was seen", window.end(), end - 2);
    assert!(told.contains(&wanted), "{told}");
    let done = repair(&restored, dir.path(), 1_000_000).await;
    assert_eq!((done.len(), done[0].to), (1, end - 2), "their ticks follow the clock");
    let again = start(&restored, dir.path()).await.unwrap();
    let next = again.lease(&name("events"), LeaseAsk { floor: 1, ..ask }).await.unwrap().unwrap();
    assert!(next.window.start() >= end - 2);
}
