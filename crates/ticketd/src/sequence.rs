//! `ticketd sequence`: shows and changes the sequences of a running server.

mod raise;
mod repair;

use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use ticketd_core::definition::{BlockLen, KindName};
use ticketd_core::name::Name;

use crate::client::{Client, Raw, ServerArgs};
use crate::failure::Failure;
use crate::{output, table};

/// What `show` tells people, in this order.
const SHOWN: [&str; 24] = [
    "sequence",
    "kind",
    "order",
    "members",
    "offset",
    "layout_name",
    "layout",
    "counter_start",
    "time_bits_left",
    "runs_out",
    "workers",
    "workers_left",
    "workers_last",
    "ahead_seconds",
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

        #[command(flatten)]
        chosen: Chosen,
    },

    /// Move a sequence forward: nothing at or below N is issued from then on
    Raise(raise::RaiseArgs),
}

/// What is chosen about a new sequence. The server checks what belongs together.
#[derive(Debug, Args)]
struct Chosen {
    /// What an ID of it is: ticket, stride, snowflake, uuid4, uuid7 or ulid
    #[arg(long, value_name = "KIND", default_value = "ticket", value_parser = kind)]
    kind: KindName,

    /// ticket: strict, or loose, where each of several servers spends its own blocks
    /// [default: strict]
    #[arg(long, value_name = "strict|loose")]
    order: Option<String>,

    /// ticket, stride: how many IDs are reserved at a time; without it, as the server is set
    #[arg(long, value_name = "auto|N", allow_hyphen_values = true)]
    block_len: Option<BlockLen>,

    /// stride: how many members there are
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    members: Option<u32>,

    /// stride: which of them this server is, from 1 on
    #[arg(long, value_name = "I", allow_hyphen_values = true)]
    offset: Option<u32>,

    /// snowflake: default, js53, twitter, discord, instagram, sonyflake, sonyflake2, mastodon, or
    /// fields from the most significant bit down, such as time:41,worker:10,counter:12
    #[arg(long, value_name = "LAYOUT")]
    layout: Option<String>,

    /// snowflake, with fields: the moment that ticks are counted from, such as
    /// 2024-01-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    epoch: Option<String>,

    /// snowflake, with fields: the length of a tick [default: 1ms]
    #[arg(long, value_name = "TIME")]
    tick: Option<String>,

    /// snowflake, with fields: IDs may have 64 bits
    #[arg(long)]
    unsigned: bool,

    /// snowflake: where the counter starts in each tick [default: zero]
    #[arg(long, value_name = "zero|random")]
    counter_start: Option<String>,

    /// snowflake: take a layout although its time runs out within ten years, or a clock that is
    /// decades ahead
    #[arg(long)]
    insist: bool,
}

impl Chosen {
    /// The body of the request.
    fn to_json(&self) -> Value {
        let block_len = self.block_len.map(|len| len.to_string());
        let fields = [
            ("kind", Some(json!(self.kind.as_str()))),
            ("order", self.order.as_ref().map(|word| json!(word))),
            ("block_len", block_len.map(|len| json!(len))),
            ("members", self.members.map(|n| json!(n))),
            ("offset", self.offset.map(|n| json!(n))),
            ("layout", self.layout.as_ref().map(|text| json!(text))),
            ("epoch", self.epoch.as_ref().map(|text| json!(text))),
            ("tick", self.tick.as_ref().map(|text| json!(text))),
            ("unsigned", self.unsigned.then_some(json!(true))),
            ("counter_start", self.counter_start.as_ref().map(|text| json!(text))),
            ("insist", self.insist.then_some(json!(true))),
        ];
        let given = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        Value::Object(given.collect())
    }
}

/// Reads the word for a kind.
pub fn kind(word: &str) -> Result<KindName, String> {
    KindName::parse(word).ok_or_else(|| {
        let all: Vec<_> = KindName::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("a kind is one of {}", all.join(", "))
    })
}

/// Asks a running server and prints what it says.
pub fn run(args: &SequenceArgs) -> Result<(), Failure> {
    let connect = || Client::connect(&args.server);
    match &args.command {
        SequenceCommand::List => list(&mut connect()?, args.json),
        SequenceCommand::Show { name } => {
            let info = connect()?.show(name)?;
            output::write(|out| print(out, &info, args.json))
        }
        SequenceCommand::Create { name, chosen } => {
            create(&mut connect()?, name, chosen, args.json)
        }
        SequenceCommand::Raise(raise) => raise::run(&args.server, raise, args.json),
    }
}

fn list(client: &mut Client, json: bool) -> Result<(), Failure> {
    let infos = all(client)?;
    output::write(|out| {
        if json {
            infos.iter().try_for_each(|info| writeln!(out, "{info}"))
        } else {
            rows(out, &infos)
        }
    })
}

/// All sequences.
fn all(client: &mut Client) -> Result<Vec<Raw>, Failure> {
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
    Ok(infos)
}

fn create(client: &mut Client, name: &Name, chosen: &Chosen, json: bool) -> Result<(), Failure> {
    let (is_new, info) = client.create(name, &chosen.to_json())?;
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
    // What its kind does not have is absent.
    let shown = SHOWN.iter().filter(|key| info.get(**key).is_some());
    shown.into_iter().try_for_each(|key| writeln!(out, "{key:<16}  {}", text(&info[key])))
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
