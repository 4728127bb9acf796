//! `ticketd next`: prints IDs, one a line.

use std::io::{self, Write};

use clap::Args;
use ticketd_core::block::Block;
use ticketd_core::count::Count;
use ticketd_core::name::Name;

use crate::client::{Client, ServerArgs};
use crate::failure::Failure;
use crate::output;

/// How `ticketd next` is called.
#[derive(Debug, Args)]
pub struct NextArgs {
    /// Name of the sequence
    #[arg(value_parser = Name::new)]
    name: Name,

    /// How many IDs: 1 to 1000000, contiguous
    #[arg(long, value_name = "N", default_value = "1", allow_hyphen_values = true,
          value_parser = count)]
    count: Count,

    /// Print {"sequence":"NAME","id":"N"} a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: ServerArgs,
}

/// Asks a running server for IDs and prints them.
pub fn run(args: &NextArgs) -> Result<(), Failure> {
    let block = Client::connect(&args.server)?.next(&args.name, args.count)?;
    output::write(
        |out| {
            if args.json { print_json(out, &args.name, block) } else { print(out, block) }
        },
    )
}

fn print(out: &mut impl Write, block: Block) -> io::Result<()> {
    let mut digits = itoa::Buffer::new();
    for id in block.ids() {
        out.write_all(digits.format(id).as_bytes())?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn print_json(out: &mut impl Write, name: &Name, block: Block) -> io::Result<()> {
    for id in block.ids() {
        // A name has no character that JSON would want escaped.
        writeln!(out, r#"{{"sequence":"{name}","id":"{id}"}}"#)?;
    }
    Ok(())
}

fn count(text: &str) -> Result<Count, String> {
    Count::parse(text.as_bytes()).map_err(|error| error.to_string())
}
