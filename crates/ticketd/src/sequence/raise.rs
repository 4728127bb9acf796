//! `ticketd sequence raise`: to an ID, all by a distance, or above what a table holds.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use ticketd_core::limits::ID_MAX;
use ticketd_core::name::Name;
use ticketd_store::engine::{Column, highest};

use super::{all, repair, text, value};
use crate::client::{Client, ServerArgs};
use crate::failure::Failure;
use crate::offline::wait_for;
use crate::output;

/// What is raised, and to where.
#[derive(Debug, Args)]
pub struct RaiseArgs {
    /// Name of the sequence
    #[arg(value_parser = Name::new, required_unless_present = "all", requires = "goal")]
    name: Option<Name>,

    /// The last ID to skip: of tickets, the next one is N + 1
    #[arg(long, value_name = "N", allow_hyphen_values = true, requires = "name", group = "goal",
          value_parser = clap::value_parser!(u64).range(1..=ID_MAX))]
    to: Option<u64>,

    /// The highest ID in a column of your own table, as [SCHEMA.]TABLE.COLUMN
    #[arg(long, value_name = "COLUMN", requires = "name", group = "goal")]
    from_table: Option<Column>,

    /// With --from-table: the database of the table, a URL as of --store: postgres://... or
    /// mysql://...
    #[arg(long, value_name = "URL", env = "TICKETD_DATABASE", hide_env_values = true)]
    database: Option<String>,

    /// Every sequence that counts, after its store was restored from a backup
    #[arg(long, conflicts_with_all = ["name", "goal"], requires = "by")]
    all: bool,

    /// With --all: so far above what each has reserved
    #[arg(long, value_name = "N", allow_hyphen_values = true, requires = "all",
          value_parser = clap::value_parser!(u64).range(1..=ID_MAX))]
    by: Option<u64>,

    /// With --all: in this store, a URL as of serve, while no server uses it; an engine gets back
    /// what --data-dir remembers, and is one that servers start on again
    #[arg(long, value_name = "URL", requires = "all")]
    store: Option<String>,

    /// With --store of an engine: the data directory of a server, which may have seen more than the
    /// engine has now; once for each that is at hand
    #[arg(long, value_name = "DIR", requires = "all")]
    data_dir: Vec<PathBuf>,

    /// With --all and --from-table: only say what would be done
    #[arg(long, conflicts_with = "to")]
    dry_run: bool,
}

/// Raises what `args` say, of a store that no server uses or on a running server.
pub fn run(server: &ServerArgs, args: &RaiseArgs, json: bool) -> Result<(), Failure> {
    match (&args.store, args.data_dir.as_slice(), args.by) {
        (Some(store), dirs, Some(by)) => repair::run(store, dirs, by, args.dry_run, json),
        (None, [_, ..], _) => Err(Failure::usage(
            "--data-dir is of use with the --store of an engine only; see 'ticketd sequence raise \
             --help'",
        )),
        _ => on_server(&mut Client::connect(server)?, args, json),
    }
}

fn on_server(client: &mut Client, args: &RaiseArgs, json: bool) -> Result<(), Failure> {
    match (&args.name, args.to, &args.from_table, args.by) {
        (Some(name), Some(to), ..) => raise_one(client, name, to, json),
        (Some(name), _, Some(column), _) => {
            let to = look_up(column, args.database.as_deref())?;
            raise_above(client, name, column, to, args.dry_run, json)
        }
        (.., Some(by)) => raise_all(client, by, args.dry_run, json),
        _ => unreachable!("the parser asks for a name and a goal, or for --all and --by"),
    }
}

fn raise_one(client: &mut Client, name: &Name, to: u64, json: bool) -> Result<(), Failure> {
    let raised = client.raise(name, to)?;
    output::write(|out| match json {
        true => writeln!(out, "{raised}"),
        false => writeln!(out, "{name}: {}", told(&value(&raised))),
    })
}

/// Raises every sequence that counts by `by` above what it has reserved. The others carry a time
/// or are random, and are left alone.
fn raise_all(client: &mut Client, by: u64, dry_run: bool, json: bool) -> Result<(), Failure> {
    for info in all(client)? {
        let info = value(&info);
        let name = info["sequence"].as_str().and_then(|name| Name::new(name).ok());
        let (Some(mark), Some(name)) = (mark_of(&info), name) else { continue };
        let to = (mark - 1).saturating_add(by).min(ID_MAX);
        if dry_run {
            would_raise(&name, Some(mark - 1), to, json)?;
        } else {
            raise_one(client, &name, to, json)?;
        }
    }
    Ok(())
}

/// The highest ID of `column`; `None` if there is none.
fn look_up(column: &Column, database: Option<&str>) -> Result<Option<u64>, Failure> {
    let url = database.filter(|url| !url.is_empty()).ok_or_else(|| {
        Failure::usage(
            "--from-table needs the database of the table: --database URL, or TICKETD_DATABASE; \
             see 'ticketd sequence raise --help'",
        )
    })?;
    let highest = wait_for(highest(url, column))?;
    highest.map_err(|error| {
        let line = error.to_failure().message.to_string();
        // As the store's URL is read, so is this one.
        Failure::work(line.replacen("the URL of the store", "the URL of --database", 1))
    })
}

/// Raises `name` to `to`, unless it is above that already.
fn raise_above(
    client: &mut Client,
    name: &Name,
    column: &Column,
    to: Option<u64>,
    dry_run: bool,
    json: bool,
) -> Result<(), Failure> {
    let Some(to) = to else {
        return nothing_to_do(name, None, &format!("there is no ID in {column}"), json);
    };
    if dry_run {
        return dry_raise(client, name, to, json);
    }
    match client.raise_if_below(name, to)? {
        Some(raised) if json => output::write(|out| writeln!(out, "{raised}")),
        Some(raised) => {
            let next = told(&value(&raised));
            output::write(|out| writeln!(out, "{name}: {column} is at {to}; {next}"))
        }
        None => {
            let why = format!("{column} is at {to}, and higher IDs are next already");
            nothing_to_do(name, Some(to), &why, json)
        }
    }
}

/// Says what a raise of `name` to `to` would do.
fn dry_raise(client: &mut Client, name: &Name, to: u64, json: bool) -> Result<(), Failure> {
    let Some(info) = client.show_if_there::<Value>(name)? else {
        return would_raise(name, Some(0), to, json);
    };
    let kind = info["kind"].as_str().unwrap_or_default();
    match (kind, mark_of(&info)) {
        // A snowflake sequence is raised to a time, whatever is reserved.
        ("snowflake", _) => would_raise(name, None, to, json),
        (_, Some(mark)) => would_raise(name, Some(mark - 1), to, json),
        (kind, None) => Err(Failure::work(format!(
            "a {kind} sequence does not count, so nothing is raised: {name}"
        ))),
    }
}

/// The high-water mark of a sequence that has one.
fn mark_of(info: &Value) -> Option<u64> {
    info["high_water_mark"].as_str()?.parse().ok()
}

/// Says so. `from`: the last ID that is reserved.
fn would_raise(name: &Name, from: Option<u64>, to: u64, json: bool) -> Result<(), Failure> {
    output::write(|out| match (json, from) {
        (true, from) => {
            let from = from.map(|from| from.to_string());
            let line = json!({ "sequence": name.as_str(), "from": from, "to": to.to_string() });
            writeln!(out, "{line}")
        }
        (false, Some(from)) if from < to => {
            writeln!(out, "{name}: would be raised from {from} to {to}")
        }
        // What a server holds it may not have issued.
        (false, Some(from)) => writeln!(
            out,
            "{name}: is at {from}; of what servers hold, IDs up to {to} would be skipped"
        ),
        (false, None) => writeln!(out, "{name}: would be raised to {to}"),
    })
}

fn nothing_to_do(name: &Name, to: Option<u64>, why: &str, json: bool) -> Result<(), Failure> {
    let to = to.map(|to| to.to_string());
    output::write(|out| match json {
        true => writeln!(out, "{}", json!({ "sequence": name.as_str(), "to": to, "next": null })),
        false => writeln!(out, "{name}: nothing to do: {why}"),
    })
}

/// What is next after a raise, for people.
fn told(raised: &Value) -> String {
    let next = text(&raised["next"]);
    match raised["kind"].as_str() {
        _ if raised["next"].is_null() => "there is no ID left".to_owned(),
        // Its time goes on meanwhile.
        Some("snowflake") => format!("the next ID is {next} or a later one"),
        _ => format!("the next ID is {next}"),
    }
}
