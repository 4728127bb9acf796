//! The engine on etcd, against Debian's etcd on free loopback ports.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps what it must have")]

mod edges;
mod faults;
mod proxy;
mod tls;

use std::hash::{BuildHasher, Hasher, RandomState};

use ticketd_core::failure::FailureKind;
use ticketd_engines::etcd::{Cluster, installed};
use ticketd_engines::{Place, skipped_without};
use ticketd_store::StoreError;
use ticketd_store::engine::conformance::run_all;
use ticketd_store::engine::{Change, Engine, Etcd, EtcdUrl, Key, Outcome, Version};

/// A cluster of `count` members with `options`; `None` if etcd may be missing and is.
fn cluster(count: usize, options: &[&str]) -> Option<Cluster> {
    if skipped_without("etcd", installed().is_some()) {
        return None;
    }
    Some(Cluster::start(Place::temporary().unwrap(), count, options).unwrap())
}

async fn try_open(url: &str) -> Result<Etcd, StoreError> {
    Etcd::open(&url.parse::<EtcdUrl>().unwrap()).await
}

/// An engine for what is not about time: it waits longer than a busy machine takes.
async fn open(url: &str) -> Etcd {
    let patient = if url.contains("timeout=") {
        url.to_owned()
    } else {
        format!("{url}{}timeout=20s", if url.contains('?') { '&' } else { '?' })
    };
    try_open(&patient).await.unwrap_or_else(|e| panic!("{}", e.to_failure().message))
}

/// A change of one key.
fn put(key: &str, version: Version, value: &str) -> Change {
    let key = Key::new(key);
    Change { expect: vec![(key.clone(), version)], put: vec![(key, value.into())], delete: vec![] }
}

async fn applied(engine: &Etcd, change: Change) -> Version {
    match engine.commit(&change).await {
        Ok(Outcome::Applied(version)) => version,
        other => panic!("{other:?}"),
    }
}

/// That `result` failed as `kind`, in one line that has `words` in it.
fn assert_failed<T>(result: Result<T, StoreError>, kind: FailureKind, words: &[&str]) {
    let Err(error) = result else {
        panic!("it did not fail: {words:?}");
    };
    let line = error.to_failure().message;
    assert_eq!(error.kind, kind, "{line}");
    assert!(words.iter().all(|word| line.contains(word)), "{words:?} in: {line}");
    assert!(!line.contains('\n') && !line.contains("secret"), "{line}");
}

/// Runs the suite under prefixes that nobody has used before.
async fn conforms(url: &str) {
    let run = RandomState::new().build_hasher().finish();
    let case = std::sync::atomic::AtomicU64::new(0);
    run_all(|| async {
        let case = case.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        open(&format!("{url}/test-{run:x}-{case}")).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_conforms() {
    let Some(cluster) = cluster(1, &[]) else { return };
    conforms(&cluster.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_conform() {
    // One that runs already, if there is.
    if let Ok(url) = std::env::var("TICKETD_TEST_ETCD") {
        return conforms(&url).await;
    }
    let Some(cluster) = cluster(3, &[]) else { return };
    conforms(&cluster.url()).await;
}

#[tokio::test]
async fn prefixes_keep_clusters_apart() {
    let Some(cluster) = cluster(1, &[]) else { return };
    let url = cluster.url();
    let (a, b) = (open(&format!("{url}/a")).await, open(&format!("{url}/a-b")).await);
    let key = Key::new("same");
    let version = applied(&a, put("same", Version::ABSENT, "of a")).await;
    assert_eq!(b.read(std::slice::from_ref(&key)).await.unwrap(), [None]);
    assert_eq!(b.list("", None, 10).await.unwrap(), []);
    applied(&b, put("same", Version::ABSENT, "of b")).await;
    let of_a = a.list("", None, 10).await.unwrap();
    assert_eq!((of_a.len(), of_a[0].version, of_a[0].value.as_str()), (1, version, "of a"));
    assert_eq!((a.commits(), b.commits()), (1, 1));
    assert_eq!(a.label(), format!("{url}/a"));
    assert_eq!(cluster.etcdctl(&["get", "a/same", "--print-value-only"]).unwrap(), "of a\n");
}

#[tokio::test]
async fn many_keys_are_read_and_listed_at_once() {
    let Some(cluster) = cluster(1, &[]) else { return };
    let engine = open(&cluster.url()).await;
    let keys: Vec<Key> = (0..300).map(|n| Key::new(format!("many/{n:03}"))).collect();
    for keys in keys.chunks(100) {
        let expect = keys.iter().map(|key| (key.clone(), Version::ABSENT)).collect();
        let put = keys.iter().map(|key| (key.clone(), key.to_string())).collect();
        applied(&engine, Change { expect, put, delete: vec![] }).await;
    }
    let read = engine.read(&keys).await.unwrap();
    let values: Vec<_> = read.into_iter().map(|entry| entry.unwrap().value).collect();
    assert_eq!(values, keys.iter().map(Key::to_string).collect::<Vec<_>>());
    assert_eq!(engine.list("many/", None, 10_000).await.unwrap().len(), 300);
    assert_eq!(engine.list("many/", Some(&keys[297]), 10_000).await.unwrap().len(), 2);
    assert_eq!(engine.list("many/", Some(&Key::new("zzz")), 10).await.unwrap(), []);
    assert_eq!(engine.list("many/", Some(&Key::new("a")), 0).await.unwrap(), []);
}

#[tokio::test]
async fn what_others_wrote_is_found() {
    let Some(cluster) = cluster(1, &[]) else { return };
    let engine = open(&cluster.url()).await;
    cluster.etcdctl(&["put", "ticketd/x", "two\nlines"]).unwrap();
    let read = engine.read(&[Key::new("x")]).await;
    assert_failed(read, FailureKind::Corrupt, &["value", "ticketd/x"]);
    cluster.etcdctl(&["put", "ticketd/not a key", "secret"]).unwrap();
    let list = engine.list("not", None, 10).await;
    assert_failed(list, FailureKind::Corrupt, &["delete it", "ticketd/"]);
}
