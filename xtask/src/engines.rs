//! Starts engines for tests and for trying ticketd on them: each in a folder under
//! `target/engines`, on free loopback ports, until they are stopped by their process ids.

mod etcd;
mod mariadb;
mod postgres;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use ticketd_engines::{Place, is_running_in, stop_pid};

/// An engine as this chore knows it.
struct Engine {
    name: &'static str,
    up: fn(Place) -> Result<Up>,
}

/// What was started.
pub struct Up {
    pids: Vec<u32>,
    /// Variables for the environment of whoever uses it: of tests, `TICKETD_TEST_...`.
    exports: Vec<(&'static str, String)>,
}

const ENGINES: [Engine; 3] = [
    Engine { name: "etcd", up: etcd::up },
    Engine { name: "postgres", up: postgres::up },
    Engine { name: "mariadb", up: mariadb::up },
];

/// Starts the engines of these names, or all, and prints what to put in the environment.
pub fn up(root: &Path, names: &[&str]) -> Result<()> {
    for engine in chosen(names)? {
        let folder = folder(root, engine);
        let state = State::read(&folder).filter(|state| state.is_running(&folder));
        let state = match state {
            Some(state) => state,
            None => start(engine, &folder)?,
        };
        println!("{}", state.exports.join("\n"));
    }
    Ok(())
}

/// Stops the engines of these names, or all, and deletes their files.
pub fn down(root: &Path, names: &[&str]) -> Result<()> {
    for engine in chosen(names)? {
        let folder = folder(root, engine);
        let Some(state) = State::read(&folder) else {
            continue;
        };
        for pid in state.pids {
            stop_pid(pid, &folder).with_context(|| format!("{} goes on", engine.name))?;
        }
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

fn chosen(names: &[&str]) -> Result<Vec<&'static Engine>> {
    let known: Vec<&str> = ENGINES.iter().map(|engine| engine.name).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        bail!("unknown engine: {name}; there are {}", known.join(", "));
    }
    Ok(ENGINES.iter().filter(|e| names.is_empty() || names.contains(&e.name)).collect())
}

fn folder(root: &Path, engine: &Engine) -> PathBuf {
    root.join("target/engines").join(engine.name)
}

fn start(engine: &Engine, folder: &Path) -> Result<State> {
    let up = (engine.up)(Place::kept(folder)?)
        .with_context(|| format!("{} was not started", engine.name))?;
    let exports = up.exports.iter().map(|(name, value)| format!("export {name}='{value}'"));
    let state = State { pids: up.pids, exports: exports.collect() };
    state.write(folder)?;
    Ok(state)
}

/// What `down` and a second `up` must know: a file in the folder of the engine, with the process
/// ids in the first line and then the exports.
struct State {
    pids: Vec<u32>,
    exports: Vec<String>,
}

impl State {
    fn read(folder: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(folder.join("state")).ok()?;
        let mut lines = text.lines();
        let pids = lines.next()?.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        Some(Self { pids, exports: lines.map(str::to_owned).collect() })
    }

    fn write(&self, folder: &Path) -> Result<()> {
        let pids: Vec<_> = self.pids.iter().map(u32::to_string).collect();
        let text = format!("{}\n{}\n", pids.join(" "), self.exports.join("\n"));
        std::fs::write(folder.join("state"), text).context("the process ids cannot be noted")
    }

    fn is_running(&self, folder: &Path) -> bool {
        self.pids.iter().all(|pid| is_running_in(*pid, folder))
    }
}
