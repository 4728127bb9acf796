//! Whether servers use a store.
//!
//! A data directory is locked by whoever has it open. In an engine each server has a lease; one that
//! died leaves it, and it is ended here as other servers would.

use std::io::{self, IsTerminal};
use std::time::Duration;

use ticketd_core::cluster::Roster;
use ticketd_server::clock::Clock;
use ticketd_store::engine::Version;
use ticketd_store::{Announced, EngineStore};

use super::failed;
use crate::failure::Failure;
use crate::store_url::End;

/// How often leases are looked at: a few times in the shortest one.
const LOOK: Duration = Duration::from_millis(200);

/// Waits until no server has a lease: each that is there must be silent for the whole of it.
///
/// # Errors
/// One renews its lease, so that it runs.
pub async fn wait(end: &End) -> Result<(), Failure> {
    let End::Engine(store) = end else { return Ok(()) };
    let clock = Clock::start_of_machine();
    let mut roster = Roster::new();
    let first = store.servers().await.map_err(failed)?;
    tell(&first);
    loop {
        let servers = store.servers().await.map_err(failed)?;
        let now = clock.now();
        for server in &servers {
            let known = first.iter().find(|known| known.id == server.id);
            if known.is_none_or(|known| known.version != server.version) {
                return Err(runs(store, server));
            }
        }
        roster.saw(now, servers.iter().map(|s| (s.id, s.version.0, s.says.ttl_ms * 1000)));
        for (id, version) in roster.silent(now) {
            store.end(id, Version(version)).await.map_err(failed)?;
        }
        if servers.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Looks once more, after those that are silent are gone.
///
/// # Errors
/// One has come.
pub async fn check(end: &End) -> Result<(), Failure> {
    let End::Engine(store) = end else { return Ok(()) };
    match store.servers().await.map_err(failed)?.first() {
        Some(server) => Err(runs(store, server)),
        None => Ok(()),
    }
}

/// Says which servers have a lease.
///
/// # Errors
/// Whatever the engine says.
pub async fn warn(end: &End) -> Result<(), Failure> {
    let End::Engine(store) = end else { return Ok(()) };
    for server in store.servers().await.map_err(failed)? {
        tracing::warn!(
            "a server is announced at {}: stop it before the copy; of {}",
            server.says.address,
            store.engine().label()
        );
    }
    Ok(())
}

fn runs(store: &EngineStore, server: &Announced) -> Failure {
    Failure::work(format!(
        "a server runs on the store: stop all of them, and copy then; nothing was copied; it is at \
         {}, on {}",
        server.says.address,
        store.engine().label()
    ))
}

fn tell(servers: &[Announced]) {
    if let Some(longest) = servers.iter().map(|server| server.says.ttl_ms).max()
        && io::stderr().is_terminal()
    {
        eprintln!(
            "{} servers are announced: looking for {} s whether one still runs",
            servers.len(),
            longest.div_ceil(1000)
        );
    }
}
