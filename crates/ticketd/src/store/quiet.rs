//! Whether servers use a store.
//!
//! A data directory is locked by whoever has it open. In an engine each server has a lease.

use ticketd_store::{Announced, EngineStore, nobody_serves};

use super::failed;
use crate::failure::Failure;
use crate::store_url::End;

/// Makes sure that no server has a lease. Those that one which died has left are waited for.
///
/// # Errors
/// One renews its lease, so that it runs.
pub async fn wait(end: &End) -> Result<(), Failure> {
    let End::Engine(store) = end else { return Ok(()) };
    nobody_serves(store.engine()).await.map_err(failed)
}

/// Looks once more, after those that are silent are gone.
///
/// # Errors
/// One has come.
pub async fn check(end: &End) -> Result<(), Failure> {
    match announced(end).await?.first() {
        Some(server) => Err(Failure::work(format!(
            "a server has come meanwhile: stop it, and copy again; nothing was copied; it is at {}",
            server.says.address
        ))),
        None => Ok(()),
    }
}

/// Says which servers have a lease.
///
/// # Errors
/// Whatever the engine says.
pub async fn warn(end: &End) -> Result<(), Failure> {
    for server in announced(end).await? {
        let address = server.says.address;
        tracing::warn!("a server is announced at {address}: stop it before the copy");
    }
    Ok(())
}

async fn announced(end: &End) -> Result<Vec<Announced>, Failure> {
    match end {
        End::Embedded(_) => Ok(Vec::new()),
        End::Engine(store) => EngineStore::servers(store).await.map_err(failed),
    }
}
