//! Starts the engines that the tests need, on free loopback ports and in a folder of their own, and
//! stops, kills and pauses them by their process ids.
//!
//! For tests and for `cargo xtask engines`; nothing that runs in production uses it.

mod between;
pub mod etcd;
pub mod mariadb;
mod place;
mod ports;
pub mod postgres;
mod process;

use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use anyhow::{Result, bail};

pub use between::{Between, Nobody};
pub use place::Place;
pub use ports::free_ports;
pub use process::{Process, is_running_in, stop_pid};

/// The pause between two looks at whether something has come about.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The first of `names` that is a program: found in `PATH` or in one of the folders `also`.
pub fn program(names: &[&str], also: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps servers where not every user's PATH looks.
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let folders: Vec<PathBuf> = folders.chain(also.iter().cloned()).collect();
    let mut places = names.iter().flat_map(|name| folders.iter().map(move |f| f.join(name)));
    places.find(|place| place.is_file())
}

/// Whether a test goes without an engine that is not there, saying so.
///
/// # Panics
/// With `CI=true` in the environment: there nothing is skipped.
#[expect(clippy::print_stderr, reason = "whoever runs the tests is to see what was not tested")]
pub fn skipped_without(engine: &str, there: bool) -> bool {
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(there || !in_ci, "{engine} is not installed: cargo xtask ci installs it");
    if !there {
        eprintln!("skipped: {engine} is not installed");
    }
    !there
}

/// Waits until `come_about` answers true.
///
/// # Errors
/// If it does not within `bound`, or fails.
pub fn wait_for(
    what: &str,
    bound: Duration,
    mut come_about: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let looks = bound.as_millis() / LOOK_EVERY.as_millis();
    for _ in 0..looks {
        if come_about()? {
            return Ok(());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    bail!("within {bound:?} it was not so: {what}");
}

/// What a program has printed.
fn done(name: &str, output: Output) -> Result<String> {
    if !output.status.success() {
        bail!("{name} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
