//! `ticketd next`: prints IDs, one a line.

use std::io::{self, Write};

use clap::Args;
use ticketd_core::count::Count;
use ticketd_core::name::Name;
use ticketd_core::text::Format;

use crate::client::{Client, Ids, ServerArgs};
use crate::failure::Failure;
use crate::output;

/// How `ticketd next` is called.
#[derive(Debug, Args)]
pub struct NextArgs {
    /// Name of the sequence
    #[arg(value_parser = Name::new)]
    name: Name,

    /// How many IDs: 1 to 1000000; tickets are contiguous
    #[arg(long, value_name = "N", default_value = "1", allow_hyphen_values = true,
          value_parser = count)]
    count: Count,

    /// How to write IDs: native, decimal, hex, base58, base62, crockford, or a prefix before one,
    /// such as order_base58; order_ alone is order_crockford
    #[arg(long, value_name = "FORMAT", default_value = "native")]
    format: Format,

    /// Print {"sequence":"NAME","id":"N"} a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: ServerArgs,
}

/// Asks a running server for IDs and prints them.
pub fn run(args: &NextArgs) -> Result<(), Failure> {
    let ids = Client::connect(&args.server)?.next(&args.name, args.count, &args.format)?;
    let name = args.json.then_some(&args.name);
    output::write(|out| match ids {
        Ids::Range(range) => {
            let mut digits = itoa::Buffer::new();
            range.iter().try_for_each(|id| print(out, name, digits.format(id)))
        }
        Ids::Each(ids) => ids.iter().try_for_each(|id| print(out, name, id)),
    })
}

/// Prints an ID; as JSON if the name of its sequence is given.
fn print(out: &mut impl Write, name: Option<&Name>, id: &str) -> io::Result<()> {
    match name {
        // Neither a name nor an ID has a character that JSON would want escaped.
        Some(name) => writeln!(out, r#"{{"sequence":"{name}","id":"{id}"}}"#),
        None => writeln!(out, "{id}"),
    }
}

fn count(text: &str) -> Result<Count, String> {
    Count::parse(text.as_bytes()).map_err(|error| error.to_string())
}
