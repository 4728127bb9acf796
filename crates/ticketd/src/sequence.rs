//! `ticketd sequence`: shows and changes the sequences of a running server.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use ticketd_core::definition::{BlockLen, Kind};
use ticketd_core::limits::ID_MAX;
use ticketd_core::name::Name;

use crate::client::{Client, Raw, ServerArgs};
use crate::failure::Failure;
use crate::{output, table};

/// What `show` tells people, in this order.
const SHOWN: [&str; 13] = [
    "sequence",
    "kind",
    "order",
    "block_len",
    "last",
    "high_water_mark",
    "left",
    "issued",
    "burnt",
    "held",
    "waiting",
    "rate_per_second",
    "lasts",
];

/// How `ticketd sequence` is called.
#[derive(Debug, Args)]
pub struct SequenceArgs {
    #[command(subcommand)]
    command: SequenceCommand,

    #[command(flatten)]
    server: ServerArgs,

    /// Print JSON, an object a line
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum SequenceCommand {
    /// List all sequences
    List,

    /// Show one sequence
    Show {
        /// Name of the sequence
        #[arg(value_parser = Name::new)]
        name: Name,
    },

    /// Create a sequence; the same again is no error, another definition is
    Create {
        /// Name of the sequence
        #[arg(value_parser = Name::new)]
        name: Name,

        /// What an ID of it is
        #[arg(long, value_name = "KIND", default_value = "ticket", value_parser = kind)]
        kind: Kind,

        /// How many IDs are reserved at a time; without it, as the server is set
        #[arg(long, value_name = "auto|N", allow_hyphen_values = true)]
        block_len: Option<BlockLen>,
    },

    /// Move a sequence forward: nothing at or below N is issued from then on
    Raise {
        /// Name of the sequence
        #[arg(value_parser = Name::new)]
        name: Name,

        /// The next ID is N + 1
        #[arg(long, value_name = "N", allow_hyphen_values = true,
              value_parser = clap::value_parser!(u64).range(1..=ID_MAX))]
        to: u64,
    },
}

/// Reads the word for a kind.
pub fn kind(word: &str) -> Result<Kind, String> {
    Kind::parse(word).ok_or_else(|| "this version has the kind ticket".to_owned())
}

/// Asks a running server and prints what it says.
pub fn run(args: &SequenceArgs) -> Result<(), Failure> {
    let mut client = Client::connect(&args.server)?;
    match &args.command {
        SequenceCommand::List => list(&mut client, args.json),
        SequenceCommand::Show { name } => {
            let info = client.show(name)?;
            output::write(|out| print(out, &info, args.json))
        }
        SequenceCommand::Create { name, kind, block_len } => {
            create(&mut client, name, *kind, *block_len, args.json)
        }
        SequenceCommand::Raise { name, to } => {
            let raised = client.raise(name, *to)?;
            output::write(|out| match args.json {
                true => writeln!(out, "{raised}"),
                false => writeln!(out, "{name}: the next ID is {}", text(&value(&raised)["next"])),
            })
        }
    }
}

fn list(client: &mut Client, json: bool) -> Result<(), Failure> {
    let mut infos = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let (page, next) = client.list(after.as_deref())?;
        infos.extend(page);
        if next.is_none() || next == after {
            break;
        }
        after = next;
    }
    output::write(|out| {
        if json {
            infos.iter().try_for_each(|info| writeln!(out, "{info}"))
        } else {
            rows(out, &infos)
        }
    })
}

fn create(
    client: &mut Client,
    name: &Name,
    kind: Kind,
    block_len: Option<BlockLen>,
    json: bool,
) -> Result<(), Failure> {
    let mut definition = json!({ "kind": kind.as_str() });
    if let Some(len) = block_len {
        definition["block_len"] = match len {
            BlockLen::Auto => json!("auto"),
            BlockLen::Fixed(len) => json!(len),
        };
    }
    let (is_new, info) = client.create(name, &definition)?;
    output::write(|out| {
        if json {
            return writeln!(out, "{info}");
        }
        let what = if is_new { "created" } else { "was there already" };
        writeln!(out, "{name}: {what}")
    })
}

fn rows(out: &mut impl Write, infos: &[Raw]) -> io::Result<()> {
    let columns = [
        ("sequence", false),
        ("kind", false),
        ("order", false),
        ("block_len", true),
        ("last", true),
        ("left", true),
        ("rate_per_second", true),
        ("lasts", false),
    ];
    let row = |info: &Raw| {
        let info = value(info);
        columns.map(|(key, _)| text(&info[key]))
    };
    table::write(out, columns, &infos.iter().map(row).collect::<Vec<_>>())
}

/// Prints a sequence: a line for each thing that people want to know of it.
fn print(out: &mut impl Write, info: &Raw, json: bool) -> io::Result<()> {
    if json {
        return writeln!(out, "{info}");
    }
    let info = value(info);
    SHOWN.iter().try_for_each(|key| writeln!(out, "{key:<16}  {}", text(&info[key])))
}

fn value(raw: &Raw) -> Value {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

/// A value as people write it.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            format!("{:.1}", number.as_f64().unwrap_or_default())
        }
        Value::Object(fields) => {
            let told: Vec<String> =
                fields.iter().map(|(key, value)| format!("{key} {}", text(value))).collect();
            told.join(", ")
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => value.to_string(),
    }
}
