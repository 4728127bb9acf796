//! Every store passes the conformance suite, alone and behind the liar.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail it as the test itself does")]

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use ticketd_core::block::Block;
use ticketd_core::cluster::{Claim, Claimed};
use ticketd_core::definition::Definition;
use ticketd_core::name::Name;
use ticketd_core::record::{HandBack, Record, Reserve};
use ticketd_core::snowflake::lease::{LeaseAsk, Leased, Leases, NoLease, Release};
use ticketd_core::stride::resize::{NotTaken, Step};
use ticketd_store::conformance::{CASES, Nature, run_all};
use ticketd_store::liar::{Liar, Patient};
use ticketd_store::{Answer, Embedded, Memory, Sizes, Store, StoreError};

/// An embedded store and the directory that goes with it.
struct InTempDir {
    store: Embedded,
    _dir: TempDir,
}

impl InTempDir {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { store: Embedded::open(dir.path()).unwrap(), _dir: dir }
    }
}

impl Store for InTempDir {
    fn read(&self, name: &Name) -> Answer<'_, Option<Record>> {
        self.store.read(name)
    }

    fn create(&self, name: &Name, definition: Definition) -> Answer<'_, Record> {
        self.store.create(name, definition)
    }

    fn claim<'a>(&'a self, name: &Name, claim: Claim) -> Answer<'a, Claimed> {
        self.store.claim(name, claim)
    }

    fn list(&self, after: Option<&Name>, limit: usize) -> Answer<'_, Vec<(Name, Record)>> {
        self.store.list(after, limit)
    }

    fn reserve(&self, name: &Name, asked: Reserve) -> Answer<'_, Block> {
        self.store.reserve(name, asked)
    }

    fn raise(&self, name: &Name, floor: u64) -> Answer<'_, u64> {
        self.store.raise(name, floor)
    }

    fn hand_back(&self, name: &Name, unissued: HandBack) -> Answer<'_, bool> {
        self.store.hand_back(name, unissued)
    }

    fn lease(&self, name: &Name, ask: LeaseAsk) -> Answer<'_, Result<Leased, NoLease>> {
        self.store.lease(name, ask)
    }

    fn release(&self, name: &Name, unspent: Release) -> Answer<'_, bool> {
        self.store.release(name, unspent)
    }

    fn leases(&self, name: &Name, tick: u64) -> Answer<'_, Leases> {
        self.store.leases(name, tick)
    }

    fn resize(&self, name: &Name, step: Step) -> Answer<'_, Result<Record, NotTaken>> {
        self.store.resize(name, step)
    }

    fn sizes(&self) -> Sizes {
        self.store.sizes()
    }

    fn health(&self) -> Result<(), StoreError> {
        self.store.health()
    }
}

/// Shares a liar with the test, which asks it afterwards what it did.
type Shared<S> = Patient<Arc<Liar<S>>>;

async fn behind_the_liar<S: Store>(make: impl Fn() -> S) {
    let liars = std::sync::Mutex::new(Vec::<Arc<Liar<S>>>::new());
    for seed in 0..2 {
        run_all(Nature::Retried, || {
            let mut liars = liars.lock().unwrap();
            let liar = Arc::new(Liar::new(make(), seed * 1000 + liars.len() as u64));
            liars.push(Arc::clone(&liar));
            let patient: Shared<S> = Patient::new(liar).with_patience(Duration::from_millis(25));
            std::future::ready(patient)
        })
        .await;
    }
    let mut told = ticketd_store::liar::Told::default();
    for liar in liars.lock().unwrap().iter() {
        told.iter_mut().zip(liar.told()).for_each(|(sum, n)| *sum += n);
    }
    assert!(told.iter().all(|&n| n > 0), "every lie must have been told: {told:?}");
}

#[test]
fn the_suite_has_every_case_once() {
    let mut names = CASES.to_vec();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CASES.len());
    assert!(names.len() >= 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_store_keeps_the_contract() {
    run_all(Nature::Direct, || std::future::ready(Memory::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_keeps_the_contract() {
    run_all(Nature::Direct, || std::future::ready(InTempDir::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_store_keeps_the_contract_behind_the_liar() {
    behind_the_liar(Memory::new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_keeps_the_contract_behind_the_liar() {
    behind_the_liar(InTempDir::new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[should_panic(expected = "starts below")]
async fn a_store_that_reserves_twice_is_caught() {
    run_all(Nature::Direct, || std::future::ready(Forgetful(Memory::new()))).await;
}

/// A mutant: it forgets at once that it has reserved a block of seven.
struct Forgetful(Memory);

impl Store for Forgetful {
    fn read(&self, name: &Name) -> Answer<'_, Option<Record>> {
        self.0.read(name)
    }

    fn create(&self, name: &Name, definition: Definition) -> Answer<'_, Record> {
        self.0.create(name, definition)
    }

    fn list(&self, after: Option<&Name>, limit: usize) -> Answer<'_, Vec<(Name, Record)>> {
        self.0.list(after, limit)
    }

    fn reserve(&self, name: &Name, asked: Reserve) -> Answer<'_, Block> {
        let (name, forgets) = (name.clone(), asked.len == 7);
        Box::pin(async move {
            let block = self.0.reserve(&name, asked).await?;
            if forgets {
                self.0
                    .hand_back(&name, HandBack { start: block.start(), end: block.end(), turn: 0 })
                    .await?;
            }
            Ok(block)
        })
    }

    fn raise(&self, name: &Name, floor: u64) -> Answer<'_, u64> {
        self.0.raise(name, floor)
    }

    fn hand_back(&self, name: &Name, unissued: HandBack) -> Answer<'_, bool> {
        self.0.hand_back(name, unissued)
    }

    fn lease(&self, name: &Name, ask: LeaseAsk) -> Answer<'_, Result<Leased, NoLease>> {
        self.0.lease(name, ask)
    }

    fn release(&self, name: &Name, unspent: Release) -> Answer<'_, bool> {
        self.0.release(name, unspent)
    }

    fn leases(&self, name: &Name, tick: u64) -> Answer<'_, Leases> {
        self.0.leases(name, tick)
    }

    fn resize(&self, name: &Name, step: Step) -> Answer<'_, Result<Record, NotTaken>> {
        self.0.resize(name, step)
    }

    fn sizes(&self) -> Sizes {
        self.0.sizes()
    }

    fn health(&self) -> Result<(), StoreError> {
        self.0.health()
    }
}
