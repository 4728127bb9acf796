//! Replaces servers by another release while clients work: builds the older one from the history,
//! and runs `ticketd_chaos::upgrade`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use ticketd_chaos::upgrade::{self, Upgrade};

use crate::needs;

/// What the program is built from.
const SOURCES: [&str; 3] = ["crates", "Cargo.toml", "Cargo.lock"];

/// One run, with the report at the end.
pub fn run(root: &Path, words: &[&str]) -> Result<()> {
    let from = match words {
        [] => None,
        ["--from", rev] => Some(*rev),
        _ => bail!("unknown option: {}; see cargo xtask help", words.join(" ")),
    };
    needs::provide()?;
    let from = older(root, from)?;
    println!("from {}", git(root, &["log", "-1", "--format=%h, %s", &from])?);
    let upgrade = Upgrade {
        old: build_old(root, &from)?,
        new: build(root, root)?,
        violations_dir: root.join("target/upgrade"),
    };
    let shows = std::io::stderr().is_terminal();
    let tell = |what: &str| {
        if shows {
            eprintln!("{what}");
        }
    };
    let report = upgrade::run(&upgrade, &tell)?;
    print!("{report}");
    if !report.is_good() {
        bail!("promises were broken");
    }
    Ok(())
}

/// The commit of the older release: the one that is given, the last release that has a tag, or the
/// last commit whose program was built from something else.
fn older(root: &Path, given: Option<&str>) -> Result<String> {
    let tag = || git(root, &["describe", "--tags", "--abbrev=0", "HEAD^"]).ok();
    if let Some(rev) = given.map(str::to_owned).or_else(tag) {
        return commit(root, &rev).with_context(|| format!("there is no such commit: {rev}"));
    }
    let log = ["log", "-1", "--first-parent", "--format=%H", "HEAD", "--"];
    let last = git(root, &[&log, SOURCES.as_slice()].concat())?;
    commit(root, &format!("{last}^")).context(
        "there is no older release in the history: give one with --from REV, or, if this is a \
         shallow clone, git fetch --unshallow first",
    )
}

fn commit(root: &Path, rev: &str) -> Result<String> {
    git(root, &["rev-parse", "--verify", "--quiet", &format!("{rev}^{{commit}}")])
}

/// What git answers.
fn git(root: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new("git").args(args).current_dir(root).output();
    let output = output.context("git could not be started: apt-get install git")?;
    if !output.status.success() {
        bail!("git {}: {}", args[0], String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The program of the commit `from`. Its sources have a folder of their own, so that cargo does not
/// take what it has built of other sources for theirs; the dependencies are shared.
fn build_old(root: &Path, from: &str) -> Result<PathBuf> {
    let folder = root.join("target/upgrade").join(from);
    let sources = folder.join("sources");
    if !sources.exists() {
        let unpacked = folder.join("unpacking");
        std::fs::create_dir_all(&unpacked)?;
        unpack(root, from, &unpacked)?;
        std::fs::rename(unpacked, &sources)?;
    }
    // The next build puts another one in its place.
    let program = folder.join("ticketd");
    std::fs::copy(build(root, &sources)?, &program)?;
    Ok(program)
}

fn unpack(root: &Path, from: &str, to: &Path) -> Result<()> {
    let mut archive = Command::new("git")
        .args(["archive", from])
        .current_dir(root)
        .stdout(Stdio::piped())
        .spawn()
        .context("git could not be started")?;
    let stdout = archive.stdout.take().expect("it is piped");
    let unpacked = Command::new("tar").args(["-x", "-C"]).arg(to).stdin(stdout).status();
    let unpacked = unpacked.context("tar could not be started")?;
    if !archive.wait()?.success() || !unpacked.success() {
        bail!("the sources of {from} could not be unpacked");
    }
    Ok(())
}

/// Builds the program from `sources`, as the tests do.
fn build(root: &Path, sources: &Path) -> Result<PathBuf> {
    let target = root.join("target");
    let build = ["build", "--quiet", "--locked", "--package", "ticketd"];
    let status = Command::new(env!("CARGO"))
        .args(build)
        .current_dir(sources)
        .env("CARGO_TARGET_DIR", &target)
        .status()?;
    if !status.success() {
        bail!("the build failed, in {}", sources.display());
    }
    Ok(target.join("debug/ticketd"))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A commit in which `path` says `text`; returns its ID.
    fn add(root: &Path, path: &str, text: &str) -> String {
        let file = root.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
        git(root, &["add", "--all"]).unwrap();
        let who = ["-c", "user.name=a", "-c", "user.email=a@localhost"];
        git(root, &[&who[..], &["commit", "--quiet", "--message", text]].concat()).unwrap();
        commit(root, "HEAD").unwrap()
    }

    #[test]
    fn the_older_program_is_the_last_release_or_the_last_that_differs() {
        let home = TempDir::new().unwrap();
        let root = home.path();
        git(root, &["init", "--quiet"]).unwrap();
        let first = add(root, "crates/a.rs", "one");
        add(root, "README.md", "words");
        let second = add(root, "Cargo.lock", "two");
        add(root, "README.md", "more words");
        let before = commit(root, &format!("{second}^")).unwrap();
        assert_eq!(older(root, None).unwrap(), before);
        assert_eq!(older(root, Some(&first[..12])).unwrap(), first);
        assert!(older(root, Some("nowhere")).is_err());
        git(root, &["tag", "v1", &first]).unwrap();
        assert_eq!(older(root, None).unwrap(), first);
    }

    #[test]
    fn a_history_that_is_cut_off_is_an_error_with_the_way_out() {
        let home = TempDir::new().unwrap();
        let (root, clone) = (home.path().join("all"), home.path().join("some"));
        std::fs::create_dir(&root).unwrap();
        git(&root, &["init", "--quiet"]).unwrap();
        add(&root, "crates/a.rs", "one");
        add(&root, "crates/a.rs", "two");
        let url = format!("file://{}", root.display());
        git(&root, &["clone", "--quiet", "--depth", "1", &url, &clone.display().to_string()])
            .unwrap();
        let told = older(&clone, None).unwrap_err().to_string();
        assert!(told.contains("git fetch --unshallow"), "{told}");
    }
}
