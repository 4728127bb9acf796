//! `ticketd cluster`: the servers that share an engine, and who owns what.

use std::io::{self, Write};

use clap::Args;
use serde_json::Value;

use crate::client::{Client, ServerArgs};
use crate::failure::Failure;
use crate::{output, table};

/// How `ticketd cluster` is called.
#[derive(Debug, Args)]
pub struct ClusterArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: ServerArgs,
}

/// Asks a running server and prints what it says.
pub fn run(args: &ClusterArgs) -> Result<(), Failure> {
    let cluster = Client::connect(&args.server)?.cluster()?;
    let shown: Value = serde_json::from_str(cluster.get()).unwrap_or_default();
    output::write(|out| if args.json { writeln!(out, "{cluster}") } else { print(out, &shown) })
}

fn print(out: &mut impl Write, cluster: &Value) -> io::Result<()> {
    let none = Vec::new();
    let rows_of = |key: &str| cluster[key].as_array().unwrap_or(&none).clone();
    writeln!(out, "cluster {} on {}\n", text(&cluster["cluster"]), text(&cluster["engine"]))?;
    let servers = rows_of("servers");
    let rows: Vec<_> = servers.iter().map(server).collect();
    let columns = [
        ("server", false),
        ("address", false),
        ("version", false),
        ("protocol", true),
        ("lease", true),
        ("age", true),
        ("owns", true),
    ];
    table::write(out, columns, &rows)?;
    let sequences = rows_of("sequences");
    if sequences.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let rows: Vec<_> = sequences.iter().map(|sequence| owned(sequence, &servers)).collect();
    table::write(out, [("sequence", false), ("owner", false), ("turn", true)], &rows)
}

fn server(server: &Value) -> [String; 7] {
    let seconds = |key: &str| format!("{:.1} s", server[key].as_f64().unwrap_or_default());
    let me = if server["is_me"].as_bool() == Some(true) { " (asked)" } else { "" };
    [
        format!("{}{me}", text(&server["id"])),
        text(&server["address"]),
        text(&server["version"]),
        text(&server["protocol"]),
        seconds("lease_seconds"),
        seconds("age_seconds"),
        text(&server["owns"]),
    ]
}

fn owned(sequence: &Value, servers: &[Value]) -> [String; 3] {
    let owner = &sequence["owner"];
    let found = servers.iter().find(|server| server["id"] == *owner);
    let owner = match (owner, found) {
        (Value::Null, _) => "nobody".to_owned(),
        (_, Some(server)) => text(&server["address"]),
        // Whoever is asked for an ID next takes over.
        (id, None) => format!("{}, which is gone", text(id)),
    };
    [text(&sequence["sequence"]), owner, text(&sequence["turn"])]
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
