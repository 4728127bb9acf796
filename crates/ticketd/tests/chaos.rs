//! Servers that share an engine are killed, paused and cut off, and every answer is checked. The
//! long form is `cargo xtask chaos`.
//!
//! `TICKETD_CHAOS_SECONDS=600 TICKETD_CHAOS_SEED=7 cargo test --release -p ticketd --test chaos`

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ticketd_chaos::{Options, assert_good};

/// A number from the environment.
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |n| n.parse().unwrap())
}

/// One run at a time: what a machine is too slow for is no fault.
static RUNS: Mutex<()> = Mutex::new(());

fn attack(engine: &str) {
    if ticketd_engines::skipped_without(engine, ticketd_chaos::engine::is_installed(engine)) {
        return;
    }
    let _alone = RUNS.lock().unwrap_or_else(PoisonError::into_inner);
    let report = assert_good(&Options {
        ticketd: env!("CARGO_BIN_EXE_ticketd").into(),
        engine: engine.to_owned(),
        lasts: Duration::from_secs(number("TICKETD_CHAOS_SECONDS", 60)),
        // The same each time: whoever has broken something sees it again.
        seed: number("TICKETD_CHAOS_SEED", 1),
        servers: 3,
        // Short, so that many faults have their turn in a minute.
        lease: Duration::from_secs(2),
        violations_dir: Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned(),
    });
    let report = report.unwrap();
    println!("{report}");
    // A run that showed nothing is no success.
    assert!(report.requests.answered > 10_000, "{report}");
    assert!(report.felt.len() >= 5, "{report}");
}

#[test]
fn promises_hold_over_etcd_whatever_fails() {
    attack("etcd");
}

#[test]
fn promises_hold_over_postgresql_whatever_fails() {
    attack("postgres");
}

#[test]
fn promises_hold_over_mariadb_whatever_fails() {
    attack("mariadb");
}
