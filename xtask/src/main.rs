//! Chores of the workspace: `cargo xtask` lists them.

mod bench;
mod chaos;
mod ci;
mod engines;
mod needs;
mod tidy;
mod upgrade;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
Chores of the ticketd workspace

  cargo xtask ci       all checks and tests; installs what is missing if it may
  cargo xtask tidy     the rules of the house that no compiler checks
  cargo xtask bench    throughput beside redis-server, as ratios within one run
                       (--rounds N, --requests N)
  cargo xtask chaos    attacks servers that share an engine, and checks every answer
                       (--engine etcd|postgres|mariadb, --seconds N, --seed S, --servers N, --lease SECONDS,
                       --ticketd PROGRAM)
  cargo xtask upgrade  replaces servers by those of an earlier commit and back, under load
                       (--from REV)
  cargo xtask engines up|down [NAME...]
                       starts etcd and so on under target/engines, and stops them
  cargo xtask bench snowflake
                       snowflake IDs over RESP beside the cap of their layout
                       (--seconds N)
  cargo xtask bench servers
                       three servers over etcd beside one with the embedded store, as ratios
                       (--rounds N, --requests N)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["ci"] => ci::run(&root()),
        ["tidy"] => tidy::run(&root()),
        ["bench", options @ ..] => bench::run(&root(), options),
        ["chaos", options @ ..] => chaos::run(&root(), options),
        ["upgrade", options @ ..] => upgrade::run(&root(), options),
        ["engines", "up", names @ ..] => engines::up(&root(), names),
        ["engines", "down", names @ ..] => engines::down(&root(), names),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => {
            eprint!("xtask: unknown chore: {}\n\n{HELP}", words.join(" "));
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The top of the checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").to_owned()
}
