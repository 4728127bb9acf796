//! Members are killed, frozen and cut off from their majority while counters are counted up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ticketd_core::failure::FailureKind;
use ticketd_engines::etcd::Cluster;
use ticketd_store::engine::{Change, Engine, Etcd, Key, Outcome, Version};

use crate::{assert_failed, cluster, open, put};

const COUNTERS: usize = 4;

/// How long it may take until all count again: an election and a time-out or two, on a busy machine.
const RECOVERY_BOUND: Duration = Duration::from_secs(30);

/// What those who count have heard.
#[derive(Default)]
struct Heard {
    /// Who got which number.
    acknowledged: BTreeMap<u64, String>,
    /// Who perhaps got a number.
    unknown: Vec<String>,
}

struct Count {
    engine: Etcd,
    heard: Mutex<Heard>,
    /// How often each has counted.
    counted: [AtomicU64; COUNTERS],
    is_over: AtomicBool,
}

impl Count {
    /// Counts the shared number up, leaving a mark of one's own at each.
    async fn run(&self, me: usize) {
        for attempt in 0.. {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            let mark = format!("{me}-{attempt}");
            match self.count_once(&mark).await {
                Ok(Some(n)) => {
                    let before = self.heard.lock().unwrap().acknowledged.insert(n, mark);
                    assert_eq!(before, None, "{n} was given twice");
                    self.counted[me].fetch_add(1, Ordering::Relaxed);
                }
                Ok(None) => {}
                Err(FailureKind::Indeterminate) => self.heard.lock().unwrap().unknown.push(mark),
                Err(FailureKind::Unavailable) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    async fn count_once(&self, mark: &str) -> Result<Option<u64>, FailureKind> {
        let counter = Key::new("counter");
        let found = self.engine.read(std::slice::from_ref(&counter)).await.map_err(|e| e.kind)?;
        let (n, version) = match &found[0] {
            Some(entry) => (entry.value.parse::<u64>().unwrap() + 1, entry.version),
            None => (1, Version::ABSENT),
        };
        let own = Key::new(format!("mark/{n:08}"));
        let change = Change {
            expect: vec![(counter.clone(), version), (own.clone(), Version::ABSENT)],
            put: vec![(counter, n.to_string()), (own, mark.to_owned())],
            delete: vec![],
        };
        match self.engine.commit(&change).await {
            Ok(Outcome::Applied(_)) => Ok(Some(n)),
            Ok(Outcome::Differs) => Ok(None),
            Err(error) => Err(error.kind),
        }
    }

    /// Waits until each has counted once more.
    async fn all_count_again(&self, when: &str) {
        let now = || self.counted.each_ref().map(|counted| counted.load(Ordering::Relaxed));
        let before = now();
        let all = async {
            while now().iter().zip(before).any(|(now, before)| *now <= before) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let all = tokio::time::timeout(RECOVERY_BOUND, all).await;
        assert!(all.is_ok(), "{when}: {before:?} and later {:?}", now());
    }

    /// Every number was given once, to whoever heard so, or perhaps heard nothing.
    async fn check(&self) -> (usize, usize) {
        let mut marks = Vec::new();
        while let page = self.engine.list("mark/", marks.last().map(|(key, _)| key), 500).await
            && let page = page.unwrap()
            && !page.is_empty()
        {
            marks.extend(page.into_iter().map(|entry| (entry.key, entry.value)));
        }
        let heard = self.heard.lock().unwrap();
        for (n, (key, mark)) in (1..).zip(&marks) {
            assert_eq!(key.as_str(), format!("mark/{n:08}"), "a number was left out");
            match heard.acknowledged.get(&n) {
                Some(acknowledged) => assert_eq!(acknowledged, mark, "{n} went to two"),
                None => assert!(heard.unknown.contains(mark), "{n}: {mark} heard that it failed"),
            }
        }
        let last = heard.acknowledged.keys().last().copied().unwrap_or(0);
        assert!(marks.len() as u64 >= last, "{last} was acknowledged and is gone");
        (heard.acknowledged.len(), heard.unknown.len())
    }
}

/// One fault after the other; each is healed before the next.
async fn trouble(cluster: &mut Cluster, count: &Count) {
    count.all_count_again("at first").await;
    for _ in 0..2 {
        let leader = cluster.leader().unwrap();
        cluster.members[leader].kill().unwrap();
        count.all_count_again("without the leader that was killed").await;
        cluster.members[leader].restart().unwrap();
        cluster.wait_until_serving(leader).unwrap();
        count.all_count_again("with all members").await;
    }
    let leader = cluster.leader().unwrap();
    for frozen in [leader, (leader + 1) % 3] {
        cluster.members[frozen].pause().unwrap();
        count.all_count_again("while a member is frozen").await;
        cluster.members[frozen].resume().unwrap();
        cluster.wait_until_serving(frozen).unwrap();
        count.all_count_again("with the member that was frozen").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_or_doubled_when_members_die_and_freeze() {
    let Some(mut cluster) = cluster(3, &[]) else { return };
    let engine = open(&format!("{}?timeout=1s", cluster.url())).await;
    let count = Arc::new(Count {
        engine,
        heard: Mutex::default(),
        counted: Default::default(),
        is_over: AtomicBool::new(false),
    });
    let counters: Vec<_> = (0..COUNTERS)
        .map(|me| {
            let count = Arc::clone(&count);
            tokio::spawn(async move { count.run(me).await })
        })
        .collect();
    trouble(&mut cluster, &count).await;
    count.is_over.store(true, Ordering::Relaxed);
    for counter in counters {
        counter.await.unwrap();
    }
    let (acknowledged, unknown) = count.check().await;
    println!("{acknowledged} acknowledged, {unknown} unknown");
    assert!(acknowledged > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_less_patient_than_the_time_out_reach_another_member() {
    let Some(cluster) = cluster(3, &[]) else { return };
    let engine = open(&format!("{}?timeout=60s", cluster.url())).await;
    // The one that answered last.
    cluster.members[0].pause().unwrap();
    let change = put("a", Version::ABSENT, "x");
    let impatient = async {
        let patience = Duration::from_millis(300);
        while !matches!(tokio::time::timeout(patience, engine.commit(&change)).await, Ok(Ok(_))) {}
    };
    assert!(tokio::time::timeout(RECOVERY_BOUND, impatient).await.is_ok());
    cluster.members[0].resume().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_nothing_is_answered_and_then_all_is_well_again() {
    let Some(mut cluster) = cluster(3, &[]) else { return };
    let engine = open(&format!("{}?timeout=500ms", cluster.url())).await;
    let lines = engine.vet().await.unwrap();
    assert_eq!(lines, Vec::<String>::new());
    for n in [0, 1] {
        cluster.members[n].kill().unwrap();
    }
    let change = put("a", Version::ABSENT, "x");
    // Until the last member has noticed that it is alone.
    let mut attempts = 0..100;
    let refused = loop {
        let error = engine.commit(&change).await.expect_err("there is no majority");
        if error.message.contains("no leader") {
            break error;
        }
        assert!(attempts.next().is_some(), "{error}");
    };
    assert_failed(Err::<(), _>(refused), FailureKind::Unavailable, &["most of its members"]);
    let read = engine.read(&[Key::new("a")]).await;
    assert_failed(read, FailureKind::Unavailable, &["most of its members"]);
    let lines = engine.vet().await.map_err(|e| e.kind);
    assert!(lines.as_ref().map_or(true, |lines| !lines.is_empty()), "{lines:?}");
    for n in [0, 1] {
        cluster.members[n].restart().unwrap();
    }
    cluster.wait_until_serving(0).unwrap();
    let outcome = engine.commit(&change).await.unwrap();
    // What was refused or of unknown outcome while members were missing may have been applied.
    if outcome == Outcome::Differs {
        assert_eq!(engine.read(&[Key::new("a")]).await.unwrap()[0].as_ref().unwrap().value, "x");
    }
}
