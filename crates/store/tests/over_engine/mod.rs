//! The store over an engine passes the suite of stores, alone and behind the liar.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ticketd_store::EngineStore;
use ticketd_store::conformance::{Nature, run_all};
use ticketd_store::engine::Engine;
use ticketd_store::liar::{Liar, Patient};

/// Longer than an engine takes on a busy machine: what the liar never answers costs as much.
const PATIENCE: Duration = Duration::from_millis(200);

/// Runs both on engines that `make` makes, each empty and another one for each number.
pub async fn store_conforms<E, F>(make: impl Fn(u64) -> F)
where
    E: Engine,
    F: Future<Output = E>,
{
    let numbers = AtomicU64::new(0);
    let store = || async {
        let engine = make(numbers.fetch_add(1, Ordering::Relaxed)).await;
        EngineStore::open(Arc::new(engine), 1)
            .await
            .unwrap_or_else(|e| panic!("{}", e.to_failure()))
    };
    run_all(Nature::Direct, store).await;
    run_all(Nature::Retried, || async {
        let seed = numbers.load(Ordering::Relaxed);
        Patient::new(Liar::new(store().await, seed)).with_patience(PATIENCE)
    })
    .await;
}
