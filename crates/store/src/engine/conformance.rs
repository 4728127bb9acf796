//! The contract of [`Engine`] as named cases. Every engine passes them.

use std::future::Future;
use std::sync::Arc;

use super::{Change, Engine, Entry, Key, Outcome, VALUE_LEN_MAX, Version};
use crate::error::StoreError;

macro_rules! cases {
    ($($case:ident),* $(,)?) => {
        /// The names of all cases, in the order in which they run.
        pub const CASES: &[&str] = &[$(stringify!($case)),*];

        /// Runs every case on an engine that `make` makes, which must be empty.
        ///
        /// # Panics
        /// If a case fails; its name goes to standard error.
        pub async fn run_all<E, F>(make: impl Fn() -> F)
        where
            E: Engine,
            F: Future<Output = E>,
        {
            $({
                let _named = Named(stringify!($case));
                $case(Arc::new(make().await)).await;
            })*
        }
    };
}

cases![
    what_is_put_is_read_back_with_a_version,
    a_change_applies_as_a_whole_or_not_at_all,
    every_change_gives_another_version,
    what_is_only_expected_is_checked_and_kept,
    what_is_deleted_is_absent,
    lists_are_in_byte_order_and_in_pages,
    of_many_at_once_one_is_applied,
    keys_and_values_are_kept_to_the_letter,
    what_was_applied_is_seen_by_the_next_read,
];

/// Says which case was running when it panicked.
struct Named(&'static str);

impl Drop for Named {
    #[expect(clippy::print_stderr, reason = "the panic itself does not name the case")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("conformance case failed: {}", self.0);
        }
    }
}

fn ok<T>(what: &str, result: Result<T, StoreError>) -> T {
    result.unwrap_or_else(|e| panic!("{what} failed as {:?}: {}", e.kind, e.to_failure()))
}

fn put(key: &Key, version: Version, value: &str) -> Change {
    Change {
        expect: vec![(key.clone(), version)],
        put: vec![(key.clone(), value.to_owned())],
        delete: vec![],
    }
}

async fn applied(engine: &impl Engine, change: Change) -> Version {
    match ok("commit", engine.commit(&change).await) {
        Outcome::Applied(version) => version,
        Outcome::Differs => panic!("{change:?} was not applied"),
    }
}

async fn differs(engine: &impl Engine, change: Change) {
    let outcome = ok("commit", engine.commit(&change).await);
    assert_eq!(outcome, Outcome::Differs, "{change:?}");
}

async fn read(engine: &impl Engine, key: &Key) -> Option<Entry> {
    let mut entries = ok("read", engine.read(std::slice::from_ref(key)).await);
    assert_eq!(entries.len(), 1);
    entries.remove(0)
}

async fn value(engine: &impl Engine, key: &Key) -> Option<String> {
    read(engine, key).await.map(|entry| entry.value)
}

async fn what_is_put_is_read_back_with_a_version<E: Engine>(engine: Arc<E>) {
    let (a, b) = (Key::new("a/1"), Key::new("b/1"));
    assert_eq!(read(&engine, &a).await, None);
    let version = applied(&engine, put(&a, Version::ABSENT, "one")).await;
    assert!(version > Version::ABSENT);
    let entry = Entry { key: a.clone(), version, value: "one".to_owned() };
    let both = ok("read", engine.read(&[b, a]).await);
    assert_eq!(both, [None, Some(entry)]);
    assert_eq!(ok("read", engine.read(&[]).await), []);
}

async fn a_change_applies_as_a_whole_or_not_at_all<E: Engine>(engine: Arc<E>) {
    let (a, b) = (Key::new("a"), Key::new("b"));
    let of_a = applied(&engine, put(&a, Version::ABSENT, "1")).await;
    let both = |version_of_b| Change {
        expect: vec![(a.clone(), of_a), (b.clone(), version_of_b)],
        put: vec![(a.clone(), "2".into()), (b.clone(), "2".into())],
        delete: vec![],
    };
    differs(&engine, both(Version(77))).await;
    assert_eq!(value(&engine, &a).await.as_deref(), Some("1"));
    assert_eq!(value(&engine, &b).await, None);
    let version = applied(&engine, both(Version::ABSENT)).await;
    for key in [&a, &b] {
        let entry = Entry { key: key.clone(), version, value: "2".to_owned() };
        assert_eq!(read(&engine, key).await, Some(entry));
    }
}

async fn every_change_gives_another_version<E: Engine>(engine: Arc<E>) {
    let a = Key::new("a");
    let mut seen = vec![Version::ABSENT];
    for _ in 0..5 {
        // The same value again is a change as well.
        let version = applied(&engine, put(&a, seen[seen.len() - 1], "same")).await;
        assert!(!seen.contains(&version), "{version:?} came before: {seen:?}");
        seen.push(version);
    }
    for old in &seen[..5] {
        differs(&engine, put(&a, *old, "late")).await;
    }
    assert_eq!(value(&engine, &a).await.as_deref(), Some("same"));
}

async fn what_is_only_expected_is_checked_and_kept<E: Engine>(engine: Arc<E>) {
    let (guard, a) = (Key::new("guard"), Key::new("a"));
    let of_guard = applied(&engine, put(&guard, Version::ABSENT, "g")).await;
    let guarded = |version, of_a| Change {
        expect: vec![(guard.clone(), version), (a.clone(), of_a)],
        put: vec![(a.clone(), "x".into())],
        delete: vec![],
    };
    differs(&engine, guarded(Version::ABSENT, Version::ABSENT)).await;
    applied(&engine, guarded(of_guard, Version::ABSENT)).await;
    let entry = Entry { key: guard.clone(), version: of_guard, value: "g".to_owned() };
    assert_eq!(read(&engine, &guard).await, Some(entry));
    let only = Change { expect: vec![(guard.clone(), of_guard)], ..Change::default() };
    applied(&engine, only).await;
}

async fn what_is_deleted_is_absent<E: Engine>(engine: Arc<E>) {
    let a = Key::new("a");
    let version = applied(&engine, put(&a, Version::ABSENT, "x")).await;
    let delete = |version| Change {
        expect: vec![(a.clone(), version)],
        delete: vec![a.clone()],
        ..Change::default()
    };
    differs(&engine, delete(Version(version.0 + 1))).await;
    applied(&engine, delete(version)).await;
    assert_eq!(read(&engine, &a).await, None);
    differs(&engine, put(&a, version, "y")).await;
    assert_eq!(ok("list", engine.list("a", None, 10).await), []);
}

async fn lists_are_in_byte_order_and_in_pages<E: Engine>(engine: Arc<E>) {
    // Byte order, which no collation of a language has; and neighbours of the prefix.
    let mut inside =
        ["s/B", "s/a", "s/A:1", "s/a-b", "s/a#0001", "s/a.b", "s/_x", "s/0"].map(Key::new);
    for key in inside.iter().cloned().chain(["s", "s0", "r/z", "t/a", "S/a"].map(Key::new)) {
        applied(&engine, put(&key, Version::ABSENT, key.as_str())).await;
    }
    inside.sort();
    let mut listed = Vec::new();
    while let page = ok("list", engine.list("s/", listed.last(), 3).await)
        && !page.is_empty()
    {
        assert!(page.len() <= 3 && page.iter().all(|entry| entry.value == entry.key.as_str()));
        listed.extend(page.into_iter().map(|entry| entry.key));
    }
    assert_eq!(listed, inside);
}

async fn of_many_at_once_one_is_applied<E: Engine>(engine: Arc<E>) {
    let a = Key::new("contended");
    let mut version = applied(&engine, put(&a, Version::ABSENT, "start")).await;
    for round in 0..5 {
        let attempts: Vec<_> = (0..8)
            .map(|n| {
                let engine = Arc::clone(&engine);
                let change = put(&a, version, &format!("{round}:{n}"));
                tokio::spawn(async move { (engine.commit(&change).await, change) })
            })
            .collect();
        let mut won = Vec::new();
        for attempt in attempts {
            let (outcome, change) = attempt.await.expect("no attempt panics");
            match outcome {
                Ok(Outcome::Applied(version)) => won.push((version, change.put[0].1.clone())),
                Ok(Outcome::Differs) => {}
                Err(e) => panic!("failed as {:?}: {}", e.kind, e.to_failure()),
            }
        }
        assert_eq!(won.len(), 1, "{won:?}");
        version = won[0].0;
        assert_eq!(value(&engine, &a).await.as_deref(), Some(won[0].1.as_str()));
    }
}

async fn keys_and_values_are_kept_to_the_letter<E: Engine>(engine: Arc<E>) {
    let longest = "n".repeat(super::KEY_LEN_MAX);
    for key in ["Case", "case", "case:/._-#", longest.as_str()].map(Key::new) {
        let text: String = (b' '..=b'~').map(char::from).chain(key.as_str().chars()).collect();
        applied(&engine, put(&key, Version::ABSENT, &text)).await;
        assert_eq!(value(&engine, &key).await, Some(text));
    }
    let (key, text) = (Key::new("long"), "v".repeat(VALUE_LEN_MAX));
    applied(&engine, put(&key, Version::ABSENT, &text)).await;
    assert_eq!(value(&engine, &key).await, Some(text));
    let (key, trailing) = (Key::new("trailing"), "a  ".to_owned());
    applied(&engine, put(&key, Version::ABSENT, &trailing)).await;
    assert_eq!(value(&engine, &key).await, Some(trailing));
}

async fn what_was_applied_is_seen_by_the_next_read<E: Engine>(engine: Arc<E>) {
    let a = Key::new("seen");
    let mut version = Version::ABSENT;
    for n in 0..50 {
        version = applied(&engine, put(&a, version, &n.to_string())).await;
        // By many connections at once: none may be behind.
        let reads: Vec<_> = (0..4)
            .map(|_| {
                let (engine, a) = (Arc::clone(&engine), a.clone());
                tokio::spawn(async move { value(&engine, &a).await })
            })
            .collect();
        for seen in reads {
            assert_eq!(seen.await.expect("no read panics"), Some(n.to_string()));
        }
    }
}
