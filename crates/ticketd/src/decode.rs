//! `ticketd decode`: explains an ID.

use std::io::Write;

use clap::Args;
use serde::Deserialize;
use ticketd_core::decode::{Known, Meaning, decode};
use ticketd_core::definition::Kind;
use ticketd_core::name::Name;
use ticketd_core::snowflake::layout::Layout;
use ticketd_core::snowflake::{CounterStart, Snowflake};
use ticketd_core::stride::Seat;
use ticketd_core::text::Format;
use ticketd_core::time::Rfc3339;
use ticketd_server::clock::Clock;
use ticketd_server::http::Decoded;

use crate::client::{Client, ServerArgs};
use crate::failure::Failure;
use crate::output;

/// How `ticketd decode` is called.
#[derive(Debug, Args)]
pub struct DecodeArgs {
    /// The ID, in any form
    #[arg(allow_hyphen_values = true)]
    id: String,

    /// The layout of the integer that it is: default, js53, twitter, discord, instagram, sonyflake,
    /// sonyflake2, mastodon, baidu, or one as 'sequence show' prints it
    #[arg(long, value_name = "LAYOUT", conflicts_with = "sequence")]
    layout: Option<Layout>,

    /// The sequence that it is of; only then a server is asked
    #[arg(long, value_name = "NAME", value_parser = Name::new)]
    sequence: Option<Name>,

    /// How it is written: native, decimal, hex, base58, base62, crockford, perhaps with a prefix
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: ServerArgs,
}

/// Explains an ID.
///
/// # Errors
/// It is no ID, or the server does not say what the sequence is.
pub fn run(args: &DecodeArgs) -> Result<(), Failure> {
    let known = match (&args.layout, &args.sequence) {
        (Some(layout), _) => Known::Layout(*layout),
        (None, Some(name)) => Known::Kind(kind_of(&args.server, name)?),
        (None, None) => Known::Nothing,
    };
    let now = Clock::start().wall();
    let meanings = decode(&args.id, &known, args.format.as_ref(), now)
        .map_err(|malformed| Failure::work(format!("no ID: {malformed}")))?;
    output::write(|out| {
        if args.json {
            serde_json::to_writer(&mut *out, &Decoded::new(&args.id, &meanings))?;
            return writeln!(out);
        }
        for (index, meaning) in meanings.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            show(out, meaning)?;
        }
        Ok(())
    })
}

fn show(out: &mut impl Write, meaning: &Meaning) -> std::io::Result<()> {
    writeln!(out, "kind     {}", meaning.kind)?;
    if let Some(ms) = meaning.time_ms {
        writeln!(out, "time     {}", Rfc3339(ms))?;
    }
    for (name, value) in &meaning.notes {
        writeln!(out, "{name:<8} {value}")?;
    }
    meaning.drawing().iter().try_for_each(|row| writeln!(out, "  {row}"))
}

/// What decides about the IDs of a sequence, as the server shows it.
#[derive(Debug, Deserialize)]
struct Shown {
    kind: String,
    members: Option<u32>,
    offset: Option<u32>,
    layout: Option<String>,
}

fn kind_of(server: &ServerArgs, name: &Name) -> Result<Kind, Failure> {
    let raw = Client::connect(server)?.show(name)?;
    let shown: Shown = serde_json::from_str(raw.get()).map_err(Failure::work)?;
    let kind = match (&*shown.kind, shown.layout.map(|layout| layout.parse::<Layout>())) {
        ("ticket", _) => Some(Kind::Ticket),
        ("uuid4", _) => Some(Kind::Uuid4),
        ("uuid7", _) => Some(Kind::Uuid7),
        ("ulid", _) => Some(Kind::Ulid),
        ("snowflake", Some(Ok(layout))) => {
            Some(Kind::Snowflake(Snowflake { layout, counter_start: CounterStart::Zero }))
        }
        ("stride", _) => shown
            .members
            .zip(shown.offset)
            .and_then(|(members, offset)| Seat::new(members, offset).ok())
            .map(Kind::Stride),
        _ => None,
    };
    kind.ok_or_else(|| {
        Failure::work(format!(
            "{name} is of a kind that this version does not know: {}",
            shown.kind
        ))
    })
}
