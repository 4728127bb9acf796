//! Attacks real servers that share a real engine: see `ticketd-chaos`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use ticketd_chaos::Options;
use ticketd_chaos::report::Report;

use crate::needs;

/// Set when an interrupt asks for the end.
static STOP: AtomicBool = AtomicBool::new(false);

/// How the program ends on a second interrupt, as shells have it. What was started ends with it.
const INTERRUPTED: i32 = 130;

/// One run, with the report at the end.
pub fn run(root: &Path, words: &[&str]) -> Result<()> {
    let options = parse(root, words)?;
    needs::provide()?;
    if options.ticketd == built(root) {
        build(root)?;
    }
    stop_on_interrupt()?;
    let shows = std::io::stderr().is_terminal();
    let tell = |what: &str| {
        if shows {
            eprintln!("{what}");
        }
    };
    let report: Report = ticketd_chaos::run(&options, &STOP, &tell)?;
    print!("{report}");
    if !report.is_good() {
        bail!("promises were broken");
    }
    Ok(())
}

/// Where cargo puts the program.
fn built(root: &Path) -> PathBuf {
    root.join("target/release/ticketd")
}

fn build(root: &Path) -> Result<()> {
    let build = ["build", "--release", "--quiet", "--package", "ticketd"];
    let built = Command::new(env!("CARGO")).args(build).current_dir(root).status()?;
    if !built.success() {
        bail!("the release build failed");
    }
    Ok(())
}

fn parse(root: &Path, words: &[&str]) -> Result<Options> {
    let mut options = Options {
        ticketd: built(root),
        engine: "etcd".to_owned(),
        lasts: Duration::from_secs(60),
        seed: some_seed(),
        servers: 3,
        lease: Duration::from_secs(3),
        violations_dir: root.join("target/chaos"),
    };
    for pair in words.chunks(2) {
        match pair {
            ["--engine", name] => options.engine = (*name).to_owned(),
            ["--ticketd", path] => options.ticketd = path.into(),
            ["--seconds", n] => {
                options.lasts = Duration::from_secs(n.parse().context("--seconds takes a number")?);
            }
            ["--seed", n] => options.seed = n.parse().context("--seed takes a number")?,
            ["--servers", n] => options.servers = n.parse().context("--servers takes a number")?,
            ["--lease", n] => {
                options.lease = Duration::from_secs(n.parse().context("--lease takes seconds")?);
            }
            _ => bail!("unknown option: {}; see cargo xtask help", pair.join(" ")),
        }
    }
    Ok(options)
}

/// Another one each time; the report says which.
#[expect(clippy::disallowed_methods, reason = "a run without a seed is to be another each time")]
fn some_seed() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_secs() % 1_000_000
}

/// The first interrupt ends the faults, after which all is checked as ever; the second ends all.
fn stop_on_interrupt() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if STOP.swap(true, Ordering::Relaxed) {
                    std::process::exit(INTERRUPTED);
                }
                eprintln!("ending the faults; once more ends all");
            }
        });
    });
    Ok(())
}
