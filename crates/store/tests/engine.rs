//! Every engine passes the conformance suite.

use ticketd_store::engine::MemoryEngine;
use ticketd_store::engine::conformance::run_all;

#[tokio::test]
async fn the_engine_in_memory_conforms() {
    run_all(|| std::future::ready(MemoryEngine::new())).await;
}
