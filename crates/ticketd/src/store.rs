//! `ticketd store`: moves all sequences from one store to another while no server runs.

mod quiet;
mod report;

use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;
use ticketd_core::transfer::Closed;
use ticketd_store::StoreError;
use ticketd_store::transfer::{Begun, Planned, plan};

use crate::failure::Failure;
use crate::offline::wait_for;
use crate::output;
use crate::store_url::{End, StoreUrl};

/// How `ticketd store` is called.
#[derive(Debug, Args)]
pub struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Move all sequences to another store: nothing that the old one has reserved is issued again.
    /// The old one is closed for good
    Copy(CopyArgs),

    /// Let servers start again on a store whose copy was begun and is given up
    Reopen(ReopenArgs),
}

#[derive(Debug, Args)]
struct CopyArgs {
    /// The old store: embedded:DIR, or an engine, as --store of 'ticketd serve' names it
    #[arg(long, value_name = "URL", env = "TICKETD_FROM", hide_env_values = true)]
    from: String,

    /// The new store, likewise. What it has already stays, and no mark there is lowered
    #[arg(long, value_name = "URL", env = "TICKETD_TO", hide_env_values = true)]
    to: String,

    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,

    /// Print JSON, an object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ReopenArgs {
    /// The store, as --store of 'ticketd serve' names it
    #[arg(long, value_name = "URL", env = "TICKETD_STORE", hide_env_values = true)]
    store: String,
}

/// Does what `args` say.
pub fn run(args: &StoreArgs) -> Result<(), Failure> {
    match &args.command {
        StoreCommand::Copy(args) if args.dry_run => wait_for(dry_run(args))?,
        StoreCommand::Copy(args) => wait_for(copy(args))?,
        StoreCommand::Reopen(args) => wait_for(reopen(args))?,
    }
}

/// Both ends as they are; the new one may not be there yet.
async fn open(args: &CopyArgs) -> Result<(End, Option<End>, StoreUrl), Failure> {
    let (old, new) = (StoreUrl::parse(&args.from)?, StoreUrl::parse(&args.to)?);
    if let (StoreUrl::Embedded(old), StoreUrl::Embedded(new)) = (&old, &new)
        && old.canonicalize().is_ok_and(|old| new.canonicalize().is_ok_and(|new| new == old))
    {
        return Err(the_same());
    }
    let from = old.open_end().await?.ok_or_else(|| {
        Failure::start(format!("there is no store to copy from: see --from, which says {old}"))
    })?;
    let to = new.open_end().await?;
    match to {
        Some(to) if to.is(&from) => Err(the_same()),
        to => Ok((from, to, new)),
    }
}

fn the_same() -> Failure {
    Failure::usage("--from and --to are the same store: give another one to copy to")
}

async fn dry_run(args: &CopyArgs) -> Result<(), Failure> {
    let (from, to, _) = open(args).await?;
    for end in [Some(&from), to.as_ref()].into_iter().flatten() {
        quiet::warn(end).await?;
    }
    let new = to.map(|to| to.store());
    let planned = plan(&*from.store(), new.as_deref()).await.map_err(failed)?;
    report::planned(&planned, args.json)
}

async fn copy(args: &CopyArgs) -> Result<(), Failure> {
    let (from, to, url) = open(args).await?;
    let old = from.store();
    let to = match to {
        Some(to) => to,
        None => {
            // Nothing is made for a copy that cannot be.
            plan(&*old, None).await.map_err(failed)?;
            quiet::wait(&from).await?;
            url.make_end().await?
        }
    };
    let new = to.store();
    let planned = plan(&*old, Some(&*new)).await.map_err(failed)?;
    quiet::wait(&from).await?;
    quiet::wait(&to).await?;
    let begun = Begun::new(Arc::clone(&old), Arc::clone(&new)).await.map_err(not_ended)?;
    for end in [&from, &to] {
        if let Err(runs) = quiet::check(end).await {
            begun.give_up().await.map_err(not_ended)?;
            return Err(runs);
        }
    }
    let mut progress = report::Progress::new(due(&planned));
    begun.end(|_| progress.one_more()).await.map_err(not_ended)?;
    progress.end();
    report::planned(&planned, args.json)?;
    if args.json {
        return Ok(());
    }
    let (old, new) = (old.place(), new.place());
    output::write(|out| report::moved(out, &planned, &old, &new))
}

fn due(planned: &[Planned]) -> usize {
    planned.iter().filter(|planned| planned.is_due).count()
}

async fn reopen(args: &ReopenArgs) -> Result<(), Failure> {
    let url = StoreUrl::parse(&args.store)?;
    let end = url.open_end().await?;
    let end = end.ok_or_else(|| Failure::start(format!("there is no store at {url}")))?;
    let store = end.store();
    let told = match store.closed().await.map_err(failed)? {
        None => "is open already",
        Some(Closed::Moving { .. }) => {
            store.close(None).await.map_err(failed)?;
            "is open again; the copy that was begun is good for nothing until it is done again"
        }
        Some(closed @ (Closed::Filling { .. } | Closed::Moved { .. } | Closed::Repairing)) => {
            return Err(Failure::work(closed.told()));
        }
    };
    let place = store.place();
    output::write(|out| report::line(out, &json!(place), told))
}

fn failed(error: StoreError) -> Failure {
    Failure::work(error.to_failure().message)
}

/// A copy that has begun leaves both closed.
fn not_ended(error: StoreError) -> Failure {
    let message = error.to_failure().message;
    Failure::work(format!(
        "the copy has not ended, and both stores are closed: mend what follows and copy again, or \
         give it up with 'ticketd store reopen --store' and the old one: {message}"
    ))
}
