//! `ticketd sequence raise --all --store`: raises a store that no server uses, such as one that was
//! restored from a backup.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;
use ticketd_core::limits::MARK_MAX;
use ticketd_store::engine::Engine;
use ticketd_store::{
    DirWitness, Embedded, Repair, Repaired, Store, StoreError, Witness, nobody_serves,
};

use crate::failure::Failure;
use crate::offline::wait_for;
use crate::output;
use crate::store_url::{EngineUrl, StoreUrl, new_cluster};

/// How many sequences are read at once.
const PAGE: usize = 1000;

/// Raises every sequence that counts in the store at `url` by `by`.
pub fn run(
    url: &str,
    data_dirs: &[PathBuf],
    by: u64,
    dry_run: bool,
    json: bool,
) -> Result<(), Failure> {
    let tell = |repaired: Repaired| tell(&repaired, dry_run, json);
    match StoreUrl::parse(url).map_err(Failure::usage)? {
        StoreUrl::Engine(url) => wait_for(engine(&url, data_dirs, by, dry_run, tell))?,
        StoreUrl::Embedded(dir) if data_dirs.is_empty() => {
            wait_for(embedded(&dir, by, dry_run, tell))?
        }
        StoreUrl::Embedded(_) => Err(Failure::usage(
            "--data-dir is for the --store of an engine; the embedded store is in its URL",
        )),
        StoreUrl::Memory => {
            Err(Failure::usage("--store memory: forgets all at its end; nothing is there to raise"))
        }
    }
}

async fn engine(
    url: &EngineUrl,
    data_dirs: &[PathBuf],
    by: u64,
    dry_run: bool,
    mut tell: impl FnMut(Repaired) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let witnesses = data_dirs.iter().map(|dir| witness(dir));
    let witnesses = witnesses.collect::<Result<Vec<DirWitness>, Failure>>()?;
    let engine = url.connect().await.map_err(failed)?;
    let repair = Repair::new(by, witnesses.iter().map(Witness::seen)).map_err(failed)?;
    if dry_run {
        let planned = repair.plan(engine.as_ref()).await.map_err(failed)?;
        return planned.into_iter().try_for_each(tell);
    }
    let cluster = new_cluster().map_err(failed)?;
    let was_begun = repair.begin(engine.as_ref(), cluster).await.map_err(failed)?;
    // A server that starts from here on finds the store closed; one that is there is seen.
    if let Err(served) = nobody_serves(engine.as_ref()).await {
        if !was_begun {
            repair.give_up(engine.as_ref()).await.map_err(not_ended)?;
        }
        return Err(failed(served));
    }
    end(&repair, engine.as_ref(), &mut tell).await
}

/// What a server has seen; its directory is kept from other servers meanwhile.
fn witness(dir: &Path) -> Result<DirWitness, Failure> {
    is_there(dir)?;
    if !DirWitness::is_there(dir) {
        let line = format!(
            "no server over an engine has used the directory: see --data-dir, {}",
            dir.display()
        );
        return Err(Failure::work(line));
    }
    DirWitness::open(dir).map_err(failed)
}

fn is_there(dir: &Path) -> Result<(), Failure> {
    if dir.is_dir() {
        return Ok(());
    }
    Err(Failure::work(format!("there is no directory of that name: {}", dir.display())))
}

async fn end(
    repair: &Repair,
    engine: &dyn Engine,
    tell: &mut impl FnMut(Repaired) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut told = Ok(());
    let tell = |repaired| {
        // Whoever stops reading does not stop the work.
        if told.is_ok() {
            told = tell(repaired);
        }
    };
    repair.end(engine, tell).await.map_err(not_ended)?;
    told
}

/// The embedded store keeps its directory to itself, so no server uses it.
async fn embedded(
    dir: &Path,
    by: u64,
    dry_run: bool,
    mut tell: impl FnMut(Repaired) -> Result<(), Failure>,
) -> Result<(), Failure> {
    is_there(dir)?;
    let store = Embedded::open(dir).map_err(failed)?;
    let mut after = None;
    loop {
        let page = store.list(after.as_ref(), PAGE).await.map_err(failed)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(last.clone());
        for (name, record) in page {
            let kind = record.definition.kind.name();
            if !kind.has_blocks() {
                continue;
            }
            let floor = record.mark.saturating_add(by).min(MARK_MAX);
            let to = match dry_run {
                true => floor,
                false => store.raise(&name, floor).await.map_err(failed)?,
            };
            tell(Repaired { name, kind, from: Some(record.mark), to })?;
        }
    }
}

fn tell(repaired: &Repaired, dry_run: bool, json: bool) -> Result<(), Failure> {
    let Repaired { name, kind, from, to } = repaired;
    output::write(|out| {
        if json {
            let from = from.map(|mark| mark.to_string());
            let line = json!({
                "sequence": name.as_str(),
                "kind": kind.as_str(),
                "mark_before": from,
                "mark": to.to_string(),
            });
            return writeln!(out, "{line}");
        }
        let would = if dry_run { "would be" } else { "is" };
        match from {
            Some(from) => writeln!(out, "{name}: mark {from} {would} raised to {to}"),
            None => writeln!(out, "{name}: {would} made again, with mark {to}"),
        }
    })
}

fn not_ended(error: StoreError) -> Failure {
    let message = error.to_failure().message;
    Failure::work(format!(
        "the repair has not ended, and servers do not start meanwhile: mend what follows, and do it \
         again: {message}"
    ))
}

fn failed(error: StoreError) -> Failure {
    Failure::work(error.to_failure().message)
}
