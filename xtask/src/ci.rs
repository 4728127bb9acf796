//! The test command: every check, in the order in which failures are cheapest to find.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::needs;

/// One step: what it shows, the cargo arguments, and extra environment.
struct Step {
    what: &'static str,
    args: Vec<String>,
    env: &'static [(&'static str, &'static str)],
}

fn step(what: &'static str, args: &[&str]) -> Step {
    Step { what, args: args.iter().map(ToString::to_string).collect(), env: &[] }
}

/// All steps. `fresh` is the first of the seeds that no run before has seen.
fn steps(fresh: u64) -> Vec<Step> {
    let clippy =
        ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"].as_slice();
    let loom = ["test", "--package", "ticketd-core", "--release", "--lib", "loom_tests"].as_slice();
    let mutants = ["test", "--package", "ticketd-sim", "--features", "mutants", "--release"];
    let explore = ["run", "--quiet", "--release", "--", "explore"];
    let fresh = fresh.to_string();
    vec![
        step("the format", &["fmt", "--all", "--check"]),
        step("the lints", clippy),
        step("the tests", &["test", "--workspace", "--no-fail-fast"]),
        step("the upgrade, one server at a time, and back", &["xtask", "upgrade"]),
        Step {
            env: &[("RUSTFLAGS", "--cfg loom"), ("CARGO_TARGET_DIR", "target/loom")],
            ..step("the cursor against every interleaving", loom)
        },
        step(
            "the deterministic worlds against deliberate bugs",
            &[&mutants[..], &["--test", "explore_mutants"]].concat(),
        ),
        step("the deterministic worlds", &[&explore[..], &["--seeds", "2000"]].concat()),
        step(
            "the deterministic worlds, with fresh seeds",
            &[&explore[..], &["--seeds", "500", "--from", &fresh]].concat(),
        ),
    ]
}

/// The seconds since 1970: another number for each run, and printed with it.
#[expect(clippy::disallowed_methods, reason = "each run is to see other seeds")]
fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Runs all steps, and ends with how many tests passed and failed.
pub fn run(root: &Path) -> Result<()> {
    needs::provide()?;
    let (mut passed, mut failed) = (0, 0);
    let mut broken = Vec::new();
    for step in &steps(seconds()) {
        println!("\n== {}: cargo {}", step.what, step.args.join(" "));
        let outcome = run_step(root, step)?;
        passed += outcome.passed;
        failed += outcome.failed;
        if !outcome.ok {
            broken.push(step.what);
        }
    }
    println!("\n{passed} passed, {failed} failed");
    if !broken.is_empty() {
        bail!("failed: {}", broken.join("; "));
    }
    Ok(())
}

struct Outcome {
    ok: bool,
    passed: u64,
    failed: u64,
}

/// Runs a step, passing on what it prints, and counts the tests in it.
fn run_step(root: &Path, step: &Step) -> Result<Outcome> {
    let mut child = Command::new(env!("CARGO"))
        .args(&step.args)
        .envs(step.env.iter().copied())
        .current_dir(root)
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cargo could not be started for {}", step.what))?;
    let stdout = child.stdout.take().expect("it is piped");
    let (mut passed, mut failed) = (0, 0);
    for line in BufReader::new(stdout).lines() {
        let line = line.context("what cargo printed could not be read")?;
        println!("{line}");
        if let Some((p, f)) = test_result(&line) {
            passed += p;
            failed += f;
        }
    }
    let ok = child.wait().context("cargo could not be waited for")?.success();
    Ok(Outcome { ok, passed, failed })
}

/// How many tests passed and failed, if `line` is the closing line of a test program.
fn test_result(line: &str) -> Option<(u64, u64)> {
    let rest = line.strip_prefix("test result: ")?;
    let count = |what: &str| {
        let (before, _) = rest.split_once(what)?;
        before.split_whitespace().last()?.parse().ok()
    };
    Some((count(" passed")?, count(" failed")?))
}

#[cfg(test)]
mod tests {
    use super::test_result;

    #[test]
    fn closing_lines_are_counted() {
        let line = "test result: ok. 27 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(test_result(line), Some((27, 1)));
        assert_eq!(test_result("test a ... ok"), None);
    }
}
