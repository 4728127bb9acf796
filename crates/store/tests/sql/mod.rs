//! What the tests of both SQL engines share: counters that several servers count up while the
//! engine is killed and paused, and what must be true of them afterwards.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(clippy::allow_attributes, reason = "an expectation would fail in the file that uses all")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ticketd_core::failure::FailureKind;
use ticketd_engines::Place;
use ticketd_store::StoreError;
use ticketd_store::engine::{Change, Engine, Entry, Key, Outcome, Version};
use tokio::task::JoinHandle;

/// How often a call is tried again while the engine comes back, and the pause between.
const TRIES: usize = 200;
const PAUSE: Duration = Duration::from_millis(100);

/// What one task knows of the numbers that it has tried to write.
#[derive(Debug, Default)]
pub struct Attempts {
    acknowledged: Vec<u64>,
    unknown: BTreeSet<u64>,
    /// How often each kind of failure was seen.
    failures: BTreeMap<String, usize>,
}

/// Tasks that count up.
pub struct Count {
    stop: Arc<AtomicBool>,
    tasks: Vec<(usize, JoinHandle<Attempts>)>,
}

/// One of two counters: of one key, or of one key with another one made anew at each step.
fn counter(task: usize) -> Key {
    Key::new(if task.is_multiple_of(2) { "solo" } else { "pair" })
}

/// Under which the second counter notes who has made which step.
fn step_key(number: u64) -> Key {
    Key::new(format!("step/{number:08}"))
}

impl Count {
    /// Starts tasks on `engines`, which are several servers on the same table.
    pub fn start<E: Engine>(engines: &[Arc<E>]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let task = |n: usize| {
            let (engine, stop) = (Arc::clone(&engines[n % engines.len()]), Arc::clone(&stop));
            (n, tokio::spawn(async move { count(&*engine, n, &stop).await }))
        };
        Self { tasks: (0..6).map(task).collect(), stop }
    }

    /// Ends them when they have gone on for a while, and checks what they have done on `engine`:
    /// each acknowledged step is there, none is there twice, and nothing is there that nobody
    /// tried. Answers how many steps were acknowledged, and of unknown outcome.
    pub async fn check(self, engine: &impl Engine) -> (usize, usize) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        again(|| engine.list("", None, 1)).await;
        self.stop.store(true, Ordering::Relaxed);
        let mut done = Vec::new();
        for (n, task) in self.tasks {
            done.push((n, task.await.unwrap()));
        }
        for parity in 0..2 {
            let of: Vec<_> = done.iter().filter(|(n, _)| n % 2 == parity).collect();
            let last = last(engine, &counter(parity)).await;
            check_numbers(last, &of);
            if parity == 1 {
                check_steps(engine, last, &of).await;
            }
        }
        let failures: Vec<_> = done.iter().map(|(_, a)| &a.failures).collect();
        println!("failures by task: {failures:?}");
        let acknowledged = done.iter().map(|(_, a)| a.acknowledged.len()).sum();
        (acknowledged, done.iter().map(|(_, a)| a.unknown.len()).sum())
    }
}

async fn count(engine: &impl Engine, task: usize, stop: &AtomicBool) -> Attempts {
    let mut attempts = Attempts::default();
    while !stop.load(Ordering::Relaxed) {
        if let Err(error) = step(engine, task, &mut attempts).await {
            let line = format!("{:?}: {}", error.kind, error.to_failure());
            let passing = [FailureKind::Unavailable, FailureKind::Indeterminate];
            let may_be = passing.contains(&error.kind) || error.kind == FailureKind::Conflict;
            assert!(may_be, "failed as {line}");
            *attempts.failures.entry(line).or_default() += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert!(!attempts.acknowledged.is_empty(), "task {task} has done nothing: {attempts:?}");
    attempts
}

async fn step(
    engine: &impl Engine,
    task: usize,
    attempts: &mut Attempts,
) -> Result<(), StoreError> {
    let key = counter(task);
    let entry = engine.read(std::slice::from_ref(&key)).await?.remove(0);
    let (version, before) = entry.map_or((Version::ABSENT, 0), |e| (e.version, number(&e)));
    let next = before + 1;
    let value = format!("{next} {task}");
    let mut change = Change {
        expect: vec![(key.clone(), version)],
        put: vec![(key, value.clone())],
        delete: vec![],
    };
    if task % 2 == 1 {
        change.expect.push((step_key(next), Version::ABSENT));
        change.put.push((step_key(next), value));
    }
    match engine.commit(&change).await {
        Ok(Outcome::Applied(_)) => attempts.acknowledged.push(next),
        Ok(Outcome::Differs) => {}
        Err(error) => {
            if error.kind == FailureKind::Indeterminate {
                attempts.unknown.insert(next);
            }
            return Err(error);
        }
    }
    Ok(())
}

fn number(entry: &Entry) -> u64 {
    entry.value.split(' ').next().unwrap().parse().unwrap()
}

async fn last(engine: &impl Engine, key: &Key) -> u64 {
    let read = again(|| engine.read(std::slice::from_ref(key))).await;
    number(read[0].as_ref().unwrap())
}

fn check_numbers(last: u64, of: &[&(usize, Attempts)]) {
    let acknowledged: Vec<u64> =
        of.iter().flat_map(|(_, a)| a.acknowledged.iter().copied()).collect();
    let distinct: BTreeSet<u64> = acknowledged.iter().copied().collect();
    assert_eq!(distinct.len(), acknowledged.len(), "a step was acknowledged twice");
    assert!(distinct.last().is_none_or(|max| *max <= last), "an acknowledged step is lost");
    let unknown: BTreeSet<u64> = of.iter().flat_map(|(_, a)| a.unknown.iter().copied()).collect();
    for n in 1..=last {
        assert!(distinct.contains(&n) || unknown.contains(&n), "step {n} came from nowhere");
    }
}

/// Both keys of a change are there, or none, and of whoever was told so.
async fn check_steps(engine: &impl Engine, last: u64, of: &[&(usize, Attempts)]) {
    let mut steps = Vec::new();
    let mut after = None;
    while let page = again(|| engine.list("step/", after.as_ref(), 1000)).await
        && !page.is_empty()
    {
        after = page.last().map(|entry| entry.key.clone());
        steps.extend(page);
    }
    assert_eq!(steps.len() as u64, last, "steps and their counter go apart");
    for (n, entry) in (1..).zip(&steps) {
        assert_eq!((&entry.key, number(entry)), (&step_key(n), n));
    }
    for (task, attempts) in of {
        for n in &attempts.acknowledged {
            let noted = &steps[usize::try_from(*n).unwrap() - 1].value;
            assert_eq!(*noted, format!("{n} {task}"), "somebody else has made this step");
        }
    }
}

/// What `ask` answers when it is no longer that the engine is away.
pub async fn again<T, F>(ask: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, StoreError>>,
{
    for _ in 0..TRIES {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) if error.kind == FailureKind::Unavailable => {}
            Err(error) => panic!("failed as {:?}: {}", error.kind, error.to_failure()),
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("the engine did not come back");
}

/// What `engine` says when its disk has no room for another key.
pub async fn full(engine: &impl Engine) -> StoreError {
    for n in 0..5000 {
        let change = put(&format!("room/{n:04}"), Version::ABSENT, &"x".repeat(1000));
        if let Err(error) = engine.commit(&change).await {
            return error;
        }
    }
    panic!("there is always room");
}

/// A place with a disk of its own, for an engine of `user`; `None`, and says so, if this process
/// may not make one.
#[expect(clippy::print_stderr, reason = "whoever runs the tests is to see what was not tested")]
pub fn small_disk(user: &str) -> Option<Place> {
    let place = Place::with_disk(256, user).unwrap();
    if place.is_none() {
        eprintln!("skipped: a disk of its own for an engine takes root");
    }
    place
}

/// Whether `result` is a failure of `kind` in one line that says `says`, and nothing secret.
#[track_caller]
pub fn fails<T: std::fmt::Debug>(result: Result<T, StoreError>, kind: FailureKind, says: &str) {
    let error = result.expect_err(says);
    let line = error.to_failure().to_string();
    assert_eq!(error.kind, kind, "{line}");
    assert!(line.contains(says), "{line}");
    assert!(!line.contains('\n') && !line.contains("p@ss") && !line.contains("p%40ss"), "{line}");
}

/// A change of one key.
pub fn put(key: &str, version: Version, value: &str) -> Change {
    let key = Key::new(key);
    let (expect, put) = (vec![(key.clone(), version)], vec![(key, value.to_owned())]);
    Change { expect, put, delete: vec![] }
}

/// The version of what a change has put; nobody else is there.
pub async fn applied(engine: &impl Engine, change: &Change) -> Version {
    match engine.commit(change).await.unwrap() {
        Outcome::Applied(version) => version,
        Outcome::Differs => panic!("nobody else is there"),
    }
}

/// Two changes at once, each of which puts what the other one expects to be as it was: one at most
/// is applied, whether those keys are absent or there.
pub async fn no_two_changes_overlook_each_other<E: Engine>(engines: &[Arc<E>]) {
    let mut changes = 0;
    for round in 0..40 {
        let keys = [Key::new(format!("skew/{round}/x")), Key::new(format!("skew/{round}/y"))];
        let mut versions = [Version::ABSENT; 2];
        if round % 2 == 1 {
            for (key, version) in keys.iter().zip(&mut versions) {
                let absent = put(key.as_str(), Version::ABSENT, "0");
                *version = applied(engines[0].as_ref(), &absent).await;
            }
        }
        let change = |n: usize| {
            let engine = Arc::clone(&engines[n % engines.len()]);
            let change = Change {
                expect: keys.iter().cloned().zip(versions).collect(),
                put: vec![(keys[n].clone(), "1".to_owned())],
                delete: vec![],
            };
            tokio::spawn(async move { engine.commit(&change).await })
        };
        let mut of_round = 0;
        for outcome in [change(0), change(1)] {
            of_round += usize::from(outcome.await.unwrap().unwrap() != Outcome::Differs);
        }
        assert_eq!(of_round, 1, "round {round}");
        changes += of_round;
        let there = engines[0].list(&format!("skew/{round}/"), None, 9).await.unwrap();
        // What was only expected to be absent is not there afterwards.
        assert_eq!(there.len(), 1 + round % 2);
    }
    assert_eq!(changes, 40);
}

/// Of what is absent nothing can be deleted, and it stays so.
pub async fn what_is_absent_is_deleted_in_vain(engine: &impl Engine) {
    let (absent, there) = (Key::new("in_vain/a"), Key::new("in_vain/b"));
    let present = applied(engine, &put("in_vain/b", Version::ABSENT, "")).await;
    let both = |version| Change {
        expect: vec![(there.clone(), version), (absent.clone(), Version::ABSENT)],
        put: vec![],
        delete: vec![there.clone(), absent.clone()],
    };
    assert_eq!(engine.commit(&both(Version(7))).await.unwrap(), Outcome::Differs);
    assert_ne!(engine.commit(&both(present)).await.unwrap(), Outcome::Differs);
    assert_eq!(engine.read(&[absent, there]).await.unwrap(), [None, None]);
    assert_ne!(engine.commit(&Change::default()).await.unwrap(), Outcome::Differs);
}

/// An authority and a certificate of 127.0.0.1 that it has signed.
pub struct Certificates {
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// Makes them in `folder`.
pub fn certificates(folder: &Path) -> Certificates {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_cert = params.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(params, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let cert = params.signed_by(&key, &issuer).unwrap();
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let certificates = Certificates {
        ca: write("ca.pem", ca_cert.pem()),
        cert: write("cert.pem", cert.pem()),
        key: write("key.pem", key.serialize_pem()),
    };
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&certificates.key, private).unwrap();
    certificates
}
