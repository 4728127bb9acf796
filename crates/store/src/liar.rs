//! A store that lies, and a caller that copes: for tests.
//!
//! [`Liar`] does to every call what networks and disks do to some. [`Patient`] treats it as a
//! correct owner of a sequence treats its store: what may have been applied is forgotten and asked
//! afresh, a hand-back is never repeated.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ticketd_core::block::Block;
use ticketd_core::cluster::{Claim, Claimed};
use ticketd_core::definition::Definition;
use ticketd_core::failure::FailureKind;
use ticketd_core::name::Name;
use ticketd_core::record::{HandBack, Record, Reserve};
use ticketd_core::snowflake::lease::{LeaseAsk, Leased, Leases, NoLease, Release};
use ticketd_core::stride::resize::{NotTaken, Step};

use crate::contract::{Answer, Sizes, Store};
use crate::error::StoreError;

/// What is done to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// None.
    Truth,
    /// Not applied, and said so: `Unavailable`.
    FailBefore,
    /// Applied, and then `Indeterminate`.
    FailAfter,
    /// Not applied, and then `Indeterminate`.
    FailUnsaid,
    /// Not applied: `Conflict`.
    Conflict,
    /// Applied and answered, late.
    Delay,
    /// Applied, and never answered.
    HangAfter,
    /// Not applied, and never answered.
    HangBefore,
}

/// Every kind of lie, in the order of [`Told`].
pub const LIES: [Lie; 7] = [
    Lie::FailBefore,
    Lie::FailAfter,
    Lie::FailUnsaid,
    Lie::Conflict,
    Lie::Delay,
    Lie::HangAfter,
    Lie::HangBefore,
];

/// How long a delayed answer takes.
const DELAY: Duration = Duration::from_millis(1);

/// How often each lie of [`LIES`] was told.
pub type Told = [u64; LIES.len()];

/// A store before another one, lying about half of the calls.
#[derive(Debug)]
pub struct Liar<S> {
    inner: S,
    plan: Mutex<Plan>,
}

/// What is decided next, and what was decided so far.
#[derive(Debug)]
struct Plan {
    state: u64,
    told: Told,
}

impl<S: Store> Liar<S> {
    /// Lies before `inner`, in an order that `seed` decides.
    pub fn new(inner: S, seed: u64) -> Self {
        Self { inner, plan: Mutex::new(Plan { state: seed, told: Told::default() }) }
    }

    /// How often each lie was told.
    pub fn told(&self) -> Told {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).told
    }

    fn next_lie(&self) -> Lie {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let drawn = usize::try_from(splitmix(&mut plan.state) % (2 * LIES.len() as u64));
        let Some(lie) = drawn.ok().and_then(|at| LIES.get(at).copied()) else {
            return Lie::Truth;
        };
        let at = LIES.iter().position(|&known| known == lie).expect("every lie is listed");
        plan.told[at] += 1;
        lie
    }

    fn tell<'a, T: Send + 'a>(
        &'a self,
        call: impl FnOnce(&'a S) -> Answer<'a, T>,
    ) -> Answer<'a, T> {
        let lie = self.next_lie();
        let applied = match lie {
            Lie::Truth | Lie::FailAfter | Lie::Delay | Lie::HangAfter => Some(call(&self.inner)),
            Lie::FailBefore | Lie::FailUnsaid | Lie::Conflict | Lie::HangBefore => None,
        };
        Box::pin(async move {
            let answer = match applied {
                Some(call) => Some(call.await?),
                None => None,
            };
            match (lie, answer) {
                (Lie::Truth, Some(answer)) => Ok(answer),
                (Lie::Delay, Some(answer)) => {
                    tokio::time::sleep(DELAY).await;
                    Ok(answer)
                }
                (Lie::FailBefore, _) => Err(lied(FailureKind::Unavailable)),
                (Lie::Conflict, _) => Err(lied(FailureKind::Conflict)),
                (Lie::HangAfter | Lie::HangBefore, _) => std::future::pending().await,
                (Lie::FailAfter | Lie::FailUnsaid | Lie::Truth | Lie::Delay, _) => {
                    Err(lied(FailureKind::Indeterminate))
                }
            }
        })
    }
}

fn lied(kind: FailureKind) -> StoreError {
    StoreError::new(kind, "the liar says so")
}

/// SplitMix64 (Steele, Lea and Flood, 2014): enough for a plan, and the same on every machine.
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl<S: Store> Store for Liar<S> {
    fn read(&self, name: &Name) -> Answer<'_, Option<Record>> {
        let name = name.clone();
        self.tell(move |store| Box::pin(async move { store.read(&name).await }))
    }

    fn create(&self, name: &Name, definition: Definition) -> Answer<'_, Record> {
        let name = name.clone();
        self.tell(move |store| Box::pin(async move { store.create(&name, definition).await }))
    }

    fn claim<'a>(&'a self, name: &Name, claim: Claim) -> Answer<'a, Claimed> {
        let name = name.clone();
        self.tell(move |store| Box::pin(async move { store.claim(&name, claim).await }))
    }

    fn list(&self, after: Option<&Name>, limit: usize) -> Answer<'_, Vec<(Name, Record)>> {
        let after = after.cloned();
        self.tell(move |store| Box::pin(async move { store.list(after.as_ref(), limit).await }))
    }

    fn reserve(&self, name: &Name, asked: Reserve) -> Answer<'_, Block> {
        let name = name.clone();
        self.tell(move |store| Box::pin(async move { store.reserve(&name, asked).await }))
    }

    fn raise(&self, name: &Name, floor: u64) -> Answer<'_, u64> {
        let name = name.clone();
        self.tell(move |store| Box::pin(async move { store.raise(&name, floor).await }))
    }

    fn hand_back(&self, name: &Name, unissued: HandBack) -> Answer<'_, bool> {
        let name = name.clone();
        self.tell(move |store| Box::pin(async move { store.hand_back(&name, unissued).await }))
    }

    fn lease(&self, name: &Name, ask: LeaseAsk) -> Answer<'_, Result<Leased, NoLease>> {
        let name = name.clone();
        self.tell(move |store| Box::pin(async move { store.lease(&name, ask).await }))
    }

    fn release(&self, name: &Name, unspent: Release) -> Answer<'_, bool> {
        let name = name.clone();
        self.tell(move |store| Box::pin(async move { store.release(&name, unspent).await }))
    }

    fn leases(&self, name: &Name, tick: u64) -> Answer<'_, Leases> {
        let name = name.clone();
        self.tell(move |store| Box::pin(async move { store.leases(&name, tick).await }))
    }

    fn resize(&self, name: &Name, step: Step) -> Answer<'_, Result<Record, NotTaken>> {
        let name = name.clone();
        self.tell(move |store| Box::pin(async move { store.resize(&name, step).await }))
    }

    fn sizes(&self) -> Sizes {
        self.inner.sizes()
    }

    fn health(&self) -> Result<(), StoreError> {
        self.inner.health()
    }
}

/// How long [`Patient`] waits for an answer: many times what any store of the tests takes.
const PATIENCE: Duration = Duration::from_millis(250);

/// How often [`Patient`] asks before it gives up, so that a store which never works fails a test
/// and does not hang it.
const ATTEMPTS_MAX: u32 = 200;

/// A caller that asks until it is answered, as the owner of a sequence does.
#[derive(Debug)]
pub struct Patient<S> {
    inner: S,
    patience: Duration,
}

impl<S: Store> Patient<S> {
    /// Asks `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner, patience: PATIENCE }
    }

    /// Waits `patience` for each answer.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// What is asked.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// One attempt; no answer in time is an indeterminate failure.
    async fn once<T>(&self, call: Answer<'_, T>) -> Result<T, StoreError> {
        tokio::time::timeout(self.patience, call)
            .await
            .unwrap_or_else(|_| Err(StoreError::new(FailureKind::Indeterminate, "no answer")))
    }

    /// Attempts until one succeeds or fails for good. Every attempt is a new question.
    async fn until_answered<'a, T, F>(&'a self, ask: impl Fn(&'a S) -> F) -> Result<T, StoreError>
    where
        T: 'a,
        F: Future<Output = Result<T, StoreError>> + Send + 'a,
    {
        let mut attempt = 1;
        loop {
            let error = match self.once(Box::pin(ask(&self.inner))).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let may_retry = match error.kind {
                FailureKind::Unavailable | FailureKind::Indeterminate | FailureKind::Conflict => {
                    attempt < ATTEMPTS_MAX
                }
                FailureKind::Fenced
                | FailureKind::Exhausted
                | FailureKind::NotFound
                | FailureKind::Invalid
                | FailureKind::Corrupt => false,
            };
            if !may_retry {
                return Err(error);
            }
            attempt += 1;
        }
    }
}

impl<S: Store> Store for Patient<S> {
    fn read(&self, name: &Name) -> Answer<'_, Option<Record>> {
        let name = name.clone();
        Box::pin(async move { self.until_answered(|store| store.read(&name)).await })
    }

    fn create(&self, name: &Name, definition: Definition) -> Answer<'_, Record> {
        let name = name.clone();
        Box::pin(async move { self.until_answered(|store| store.create(&name, definition)).await })
    }

    fn claim<'a>(&'a self, name: &Name, claim: Claim) -> Answer<'a, Claimed> {
        let name = name.clone();
        Box::pin(async move { self.until_answered(|store| store.claim(&name, claim)).await })
    }

    fn list(&self, after: Option<&Name>, limit: usize) -> Answer<'_, Vec<(Name, Record)>> {
        let after = after.cloned();
        Box::pin(
            async move { self.until_answered(|store| store.list(after.as_ref(), limit)).await },
        )
    }

    fn reserve(&self, name: &Name, asked: Reserve) -> Answer<'_, Block> {
        let name = name.clone();
        Box::pin(async move { self.until_answered(|store| store.reserve(&name, asked)).await })
    }

    fn raise(&self, name: &Name, floor: u64) -> Answer<'_, u64> {
        let name = name.clone();
        Box::pin(async move { self.until_answered(|store| store.raise(&name, floor)).await })
    }

    /// Asked once. A failure burns what would have been given back, and counts as "not taken".
    fn hand_back(&self, name: &Name, unissued: HandBack) -> Answer<'_, bool> {
        let name = name.clone();
        Box::pin(async move {
            match self.once(self.inner.hand_back(&name, unissued)).await {
                Err(error)
                    if matches!(
                        error.kind,
                        FailureKind::Unavailable
                            | FailureKind::Indeterminate
                            | FailureKind::Conflict
                    ) =>
                {
                    Ok(false)
                }
                answer => answer,
            }
        })
    }

    fn lease(&self, name: &Name, ask: LeaseAsk) -> Answer<'_, Result<Leased, NoLease>> {
        let name = name.clone();
        Box::pin(async move { self.until_answered(|store| store.lease(&name, ask)).await })
    }

    /// Asked once, as [`Patient::hand_back`].
    fn release(&self, name: &Name, unspent: Release) -> Answer<'_, bool> {
        let name = name.clone();
        Box::pin(async move {
            match self.once(self.inner.release(&name, unspent)).await {
                Err(error) if error.kind != FailureKind::NotFound => Ok(false),
                answer => answer,
            }
        })
    }

    fn leases(&self, name: &Name, tick: u64) -> Answer<'_, Leases> {
        let name = name.clone();
        Box::pin(async move { self.until_answered(|store| store.leases(&name, tick)).await })
    }

    fn resize(&self, name: &Name, step: Step) -> Answer<'_, Result<Record, NotTaken>> {
        let name = name.clone();
        Box::pin(async move { self.until_answered(|store| store.resize(&name, step)).await })
    }

    fn sizes(&self) -> Sizes {
        self.inner.sizes()
    }

    fn health(&self) -> Result<(), StoreError> {
        self.inner.health()
    }
}
