//! The store over an engine: alone, behind the liar, and several at once over one engine.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail it as the test itself does")]

use std::sync::Arc;
use std::time::Duration;

use ticketd_core::block::Block;
use ticketd_core::cluster::{Claim, Claimed, ServerId};
use ticketd_core::definition::{Definition, Kind, KindName, Order};
use ticketd_core::failure::FailureKind;
use ticketd_core::name::Name;
use ticketd_core::record::{HandBack, Reserve};
use ticketd_core::snowflake::lease::LeaseAsk;
use ticketd_core::snowflake::{CounterStart, Snowflake, preset};
use ticketd_store::conformance::{Nature, run_all};
use ticketd_store::engine::{Change, Engine, Key, MemoryEngine, Outcome, Version};
use ticketd_store::liar::{Liar, Patient};
use ticketd_store::{Announcement, EngineStore, Store};

mod cut_off;

use cut_off::Failing;

const A: ServerId = ServerId(0xa);
const B: ServerId = ServerId(0xb);

async fn over(engine: &Arc<MemoryEngine>) -> EngineStore {
    EngineStore::open(Arc::clone(engine) as Arc<dyn Engine>, 7).await.unwrap()
}

/// Two servers that share an engine and have announced themselves.
async fn two() -> (Arc<MemoryEngine>, EngineStore, EngineStore) {
    let engine = Arc::new(MemoryEngine::new());
    let (a, b) = (over(&engine).await, over(&engine).await);
    for (store, id) in [(&a, A), (&b, B)] {
        assert!(store.announce(id, None, &says()).await.unwrap().is_some());
    }
    (engine, a, b)
}

fn says() -> Announcement {
    Announcement {
        address: "127.0.0.1:7118".to_owned(),
        version: "1.2.3".to_owned(),
        protocol: 1,
        ttl_ms: 5000,
        renewals: 3,
    }
}

fn name() -> Name {
    Name::new("notes").unwrap()
}

fn ask(turn: u64) -> Reserve {
    Reserve { floor: 1, len: 10, spent: 1, generation: 0, turn }
}

fn block(start: u64, end: u64) -> Block {
    Block::new(start, end).unwrap()
}

async fn claim(store: &EngineStore, server: ServerId) -> Claimed {
    let create = Some(Definition::default());
    store.claim(&name(), Claim { create, ..Claim::of(server) }).await.unwrap()
}

async fn turn(store: &EngineStore, server: ServerId) -> u64 {
    match claim(store, server).await {
        Claimed::Mine(_, turn) => turn,
        Claimed::Theirs(owner, _) => panic!("{owner} owns it"),
    }
}

fn kind<T: std::fmt::Debug>(result: Result<T, ticketd_store::StoreError>) -> FailureKind {
    result.unwrap_err().kind
}

#[tokio::test]
async fn it_conforms_alone_and_behind_the_liar() {
    let make = || async { over(&Arc::new(MemoryEngine::new())).await };
    run_all(Nature::Direct, make).await;
    let seeds = std::sync::atomic::AtomicU64::new(0);
    run_all(Nature::Retried, || async {
        let seed = seeds.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Patient::new(Liar::new(make().await, seed)).with_patience(Duration::from_millis(25))
    })
    .await;
}

#[tokio::test]
async fn one_server_owns_a_sequence_until_its_lease_has_ended() {
    let (_, a, b) = two().await;
    let of_a = turn(&a, A).await;
    assert_eq!(a.reserve(&name(), ask(of_a)).await.unwrap(), block(1, 11));
    assert_eq!(claim(&b, B).await, Claimed::Theirs(A, KindName::Ticket));
    assert_eq!(kind(b.reserve(&name(), ask(0)).await), FailureKind::Fenced);

    let seen = b.servers().await.unwrap();
    let entry = seen.iter().find(|server| server.id == A).unwrap();
    assert_eq!((seen.len(), &entry.says), (2, &says()));
    assert!(b.end(A, entry.version).await.unwrap());
    let of_b = turn(&b, B).await;
    assert_eq!(b.reserve(&name(), ask(of_b)).await.unwrap(), block(11, 21));
    // What A remembers of the record is old, and what it asks in its turn comes to nothing.
    assert_eq!(kind(a.reserve(&name(), ask(of_a)).await), FailureKind::Fenced);
    let late = HandBack { start: 5, end: 11, turn: of_a };
    assert!(!a.hand_back(&name(), late).await.unwrap());
    assert_eq!(a.announce(A, Some(entry.version), &says()).await.unwrap(), None, "A has ended");
    assert_eq!(claim(&a, ServerId(0xa1)).await, Claimed::Theirs(B, KindName::Ticket));
}

#[tokio::test]
async fn who_hands_back_leaves_the_rest_to_the_next() {
    let (_, a, b) = two().await;
    let of_a = turn(&a, A).await;
    a.reserve(&name(), ask(of_a)).await.unwrap();
    let unissued = HandBack { start: 4, end: 11, turn: of_a };
    assert!(a.hand_back(&name(), unissued).await.unwrap());
    let of_b = turn(&b, B).await;
    assert_eq!(b.reserve(&name(), ask(of_b)).await.unwrap(), block(4, 14));
    assert!(!a.hand_back(&name(), unissued).await.unwrap());
}

#[tokio::test]
async fn a_server_leaves_a_free_sequence_to_whom_it_defers_as_long_as_that_one_is_there() {
    let (_, a, b) = two().await;
    let create = Some(Definition::default());
    let deferring = Claim { create, defer_to: Some(B), ..Claim::of(A) };
    let claimed = a.claim(&name(), deferring).await.unwrap();
    assert_eq!(claimed, Claimed::Theirs(B, KindName::Ticket));
    let entry = a.servers().await.unwrap().into_iter().find(|server| server.id == B).unwrap();
    assert!(a.end(B, entry.version).await.unwrap());
    let claimed = a.claim(&name(), deferring).await.unwrap();
    assert!(matches!(claimed, Claimed::Mine(_, turn) if turn > 0), "{claimed:?}");
    b.announce(ServerId(0xb2), None, &says()).await.unwrap();
    let again = Claim { defer_to: Some(ServerId(0xb2)), ..deferring };
    assert!(matches!(a.claim(&name(), again).await.unwrap(), Claimed::Mine(..)), "it owns it");
}

#[tokio::test]
async fn a_lease_that_is_renewed_cannot_be_ended() {
    let (_, a, b) = two().await;
    let seen = b.servers().await.unwrap()[0].clone();
    let renewed = a.announce(A, Some(seen.version), &says()).await.unwrap().unwrap();
    assert_ne!(renewed, seen.version);
    assert!(!b.end(A, seen.version).await.unwrap());
    // A server that does not know that its last attempt was applied goes on all the same.
    assert!(a.announce(A, Some(seen.version), &says()).await.unwrap().is_some());
}

#[tokio::test]
async fn servers_that_share_a_loose_sequence_get_disjoint_blocks() {
    let engine = Arc::new(MemoryEngine::new());
    let loose = Definition { order: Order::Loose, ..Definition::default() };
    let mut tasks = Vec::new();
    for server in 0..4 {
        let store = over(&engine).await;
        store.create(&name(), loose).await.unwrap();
        tasks.push(tokio::spawn(async move {
            let claimed = store.claim(&name(), Claim::of(ServerId(server)));
            assert!(matches!(claimed.await.unwrap(), Claimed::Mine(_, 0)));
            let mut blocks = Vec::new();
            for _ in 0..50 {
                match store.reserve(&name(), ask(0)).await {
                    Ok(block) => blocks.push(block),
                    Err(error) => assert_eq!(error.kind, FailureKind::Conflict),
                }
                tokio::task::yield_now().await;
            }
            blocks
        }));
    }
    let mut blocks = Vec::new();
    for task in tasks {
        blocks.extend(task.await.unwrap());
    }
    assert!(blocks.len() >= 100, "{}", blocks.len());
    blocks.sort_by_key(|block| block.start());
    assert!(blocks.windows(2).all(|pair| pair[0].end() <= pair[1].start()));
}

#[tokio::test]
async fn servers_that_lease_at_once_get_worker_ids_of_their_own() {
    let engine = Arc::new(MemoryEngine::new());
    let layout = preset::find(preset::DEFAULT).unwrap();
    let counter_start = CounterStart::Zero;
    let definition = Definition::of(Kind::Snowflake(Snowflake { layout, counter_start }));
    let mut tasks = Vec::new();
    for holder in 1..=4 {
        let store = over(&engine).await;
        store.create(&name(), definition).await.unwrap();
        tasks.push(tokio::spawn(async move {
            let mut windows = Vec::new();
            for floor in 1..=20 {
                let ask = LeaseAsk {
                    holder,
                    preferred: None,
                    floor,
                    len: 100,
                    workers: 8,
                    ticks: 1 << 41,
                };
                windows.push(store.lease(&name(), ask).await.unwrap().unwrap());
                tokio::task::yield_now().await;
            }
            windows
        }));
    }
    let mut workers = Vec::new();
    for task in tasks {
        let windows = task.await.unwrap();
        assert!(
            windows
                .windows(2)
                .all(|w| w[0].worker == w[1].worker && w[0].window.end() == w[1].window.start())
        );
        workers.push(windows[0].worker);
    }
    workers.sort_unstable();
    assert_eq!(workers, [0, 1, 2, 3]);
}

/// Writes `value` under `key`, as somebody with the engine's own tools would.
async fn meddle(engine: &MemoryEngine, key: &str, value: &str) {
    let keys = [Key::new(key)];
    let version =
        engine.read(&keys).await.unwrap()[0].as_ref().map_or(Version::ABSENT, |e| e.version);
    let [key] = keys;
    let change = Change {
        expect: vec![(key.clone(), version)],
        put: vec![(key, value.to_owned())],
        delete: vec![],
    };
    assert!(matches!(engine.commit(&change).await.unwrap(), Outcome::Applied(_)));
}

async fn value(engine: &MemoryEngine, key: &str) -> String {
    engine.read(&[Key::new(key)]).await.unwrap()[0].clone().unwrap().value
}

#[tokio::test]
async fn a_record_that_was_edited_by_hand_is_refused() {
    let (engine, a, b) = two().await;
    let of_a = turn(&a, A).await;
    a.reserve(&name(), ask(of_a)).await.unwrap();
    let good = value(&engine, "sequence/notes").await;
    for mark in ["mark=5", "mark=-5", "mark=99"] {
        meddle(&engine, "sequence/notes", &good.replace("mark=11", mark)).await;
        for refused in [kind(a.reserve(&name(), ask(of_a)).await), kind(b.read(&name()).await)] {
            assert_eq!(refused, FailureKind::Corrupt, "{mark}");
        }
    }
    meddle(&engine, "sequence/notes", &good).await;
    assert_eq!(a.reserve(&name(), ask(of_a)).await.unwrap(), block(11, 21));
}

#[tokio::test]
async fn a_store_that_went_back_is_noticed_by_all_who_have_seen_more() {
    let (engine, a, b) = two().await;
    let of_a = turn(&a, A).await;
    let old = value(&engine, "sequence/notes").await;
    a.reserve(&name(), ask(of_a)).await.unwrap();
    b.read(&name()).await.unwrap();
    meddle(&engine, "sequence/notes", &old).await;
    for store in [&a, &b] {
        let refused = store.read(&name()).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Corrupt);
        assert!(refused.message.contains("raise the sequence to 11"), "{}", refused.message);
    }
    assert_eq!(kind(a.reserve(&name(), ask(of_a)).await), FailureKind::Corrupt);
}

/// Found by the world of several servers, as seed 1057892 made it then: a standby that was behind
/// gave a block a second time, and whoever had it first handed it back.
#[tokio::test]
async fn a_block_that_was_given_again_is_handed_back_by_nobody_but_the_last() {
    let (engine, a, b) = two().await;
    let loose = Definition { order: Order::Loose, ..Definition::default() };
    a.create(&name(), loose).await.unwrap();
    let old = value(&engine, "sequence/notes").await;
    for (store, server) in [(&a, A), (&b, B)] {
        meddle(&engine, "sequence/notes", &old).await;
        assert!(matches!(claim(store, server).await, Claimed::Mine(_, 0)));
        assert_eq!(store.reserve(&name(), ask(0)).await.unwrap(), block(1, 11));
    }
    let unissued = HandBack { start: 1, end: 11, turn: 0 };
    assert!(!a.hand_back(&name(), unissued).await.unwrap());
    assert!(b.hand_back(&name(), unissued).await.unwrap());
}

/// Found by the world of several servers, as seed 4057103 made it then: a standby that was behind
/// took over, and somebody who knew nothing else handed back there. That begins a turn, which hid
/// from another server that its own last block was lost.
#[tokio::test]
async fn a_turn_that_others_begin_does_not_hide_that_a_block_is_lost() {
    let (engine, a, b) = two().await;
    let loose = Definition { order: Order::Loose, ..Definition::default() };
    a.create(&name(), loose).await.unwrap();
    for (store, server) in [(&a, A), (&b, B)] {
        assert!(matches!(claim(store, server).await, Claimed::Mine(_, 0)));
    }
    assert_eq!(b.reserve(&name(), ask(0)).await.unwrap(), block(1, 11));
    let old = value(&engine, "sequence/notes").await;
    assert_eq!(a.reserve(&name(), ask(0)).await.unwrap(), block(11, 21));
    meddle(&engine, "sequence/notes", &old).await;
    assert!(b.hand_back(&name(), HandBack { start: 8, end: 11, turn: 0 }).await.unwrap());
    let refused = a.reserve(&name(), ask(0)).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Corrupt);
    assert!(refused.message.contains("has left it at 21"), "{}", refused.message);
    assert_eq!(b.reserve(&name(), ask(0)).await.unwrap(), block(8, 18));
}

/// What was given up must not be missed: it is told before the engine is asked, since the answer may
/// be lost.
#[tokio::test]
async fn a_hand_back_of_which_nobody_hears_is_no_loss() {
    let engine = Failing::reliable(&Arc::new(MemoryEngine::new()));
    let a = EngineStore::open(Arc::clone(&engine) as Arc<dyn Engine>, 7).await.unwrap();
    let of_a = turn(&a, A).await;
    assert_eq!(a.reserve(&name(), ask(of_a)).await.unwrap(), block(1, 11));
    engine.lose_next_answer();
    let unissued = HandBack { start: 4, end: 11, turn: of_a };
    assert_eq!(kind(a.hand_back(&name(), unissued).await), FailureKind::Indeterminate);
    let again = turn(&a, A).await;
    assert_eq!(a.reserve(&name(), ask(again)).await.unwrap(), block(4, 14));
}

/// Found by the world of several servers: a stale standby took over and leased the same ticks to
/// the same generator, whose assertion ended the server.
#[tokio::test]
async fn ticks_that_a_store_that_went_back_gives_twice_are_refused_until_a_raise() {
    let (engine, a, b) = two().await;
    let layout = preset::find(preset::DEFAULT).unwrap();
    let counter_start = CounterStart::Zero;
    let definition = Definition::of(Kind::Snowflake(Snowflake { layout, counter_start }));
    a.create(&name(), definition).await.unwrap();
    let ask = |holder| LeaseAsk {
        holder,
        preferred: Some(0),
        floor: 1,
        len: 10,
        workers: layout.workers(),
        ticks: layout.ticks(),
    };
    let first = a.lease(&name(), ask(1)).await.unwrap().unwrap();
    let old = value(&engine, "worker/notes#00000000").await;
    let second = a.lease(&name(), ask(1)).await.unwrap().unwrap();
    assert_eq!(second.window.start(), first.window.end());
    meddle(&engine, "worker/notes#00000000", &old).await;
    for _ in 0..2 {
        let refused = a.lease(&name(), ask(1)).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Corrupt);
        assert!(refused.message.contains("raise the sequence"), "{}", refused.message);
    }
    assert_eq!(value(&engine, "worker/notes#00000000").await, old, "nothing is leased");
    b.raise(&name(), second.window.end()).await.unwrap();
    let third = a.lease(&name(), ask(1)).await.unwrap().unwrap();
    assert_eq!(third.window.start(), second.window.end());
}

#[tokio::test]
async fn all_servers_of_a_cluster_know_its_id_and_a_later_form_is_refused() {
    let engine = Arc::new(MemoryEngine::new());
    let first = over(&engine).await;
    let second = EngineStore::open(Arc::clone(&engine) as Arc<dyn Engine>, 99).await.unwrap();
    assert_eq!((first.cluster(), second.cluster()), ("0000000000000007", "0000000000000007"));
    meddle(&engine, "meta", "format=2 of something new").await;
    let refused = EngineStore::open(engine as Arc<dyn Engine>, 1).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Invalid);
    assert!(refused.message.contains("another version"), "{}", refused.message);
}
