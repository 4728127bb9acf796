//! The binary: parses the command line, runs the command, and makes an exit code of what became
//! of it.
//!
//! 0: done. 1: the work failed. 2: wrong usage. 3: the server could not start. Data goes to
//! standard output, everything else to standard error, and an error in one line.

mod cli;
mod client;
mod cluster;
mod compare;
mod decode;
mod explore;
mod failure;
mod logs;
mod next;
mod offline;
mod open_files;
mod output;
mod packaging;
mod page;
mod sequence;
mod serve;
mod settings;
mod signals;
mod simulate;
mod store;
mod store_url;
mod stride;
mod table;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};
use failure::Failure;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if cli::is_help(&error) => {
            // Whoever asked for it may have stopped reading.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
        Err(error) => {
            return report(&cli::usage(
                &error,
                std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()),
            ));
        }
    };
    let done = match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Next(args) => next::run(&args),
        Command::Decode(args) => decode::run(&args),
        Command::Sequence(args) => sequence::run(&args),
        Command::Cluster(args) => cluster::run(&args),
        Command::Store(args) => store::run(&args),
        Command::Stride(args) => stride::run(&args),
        Command::Simulate(args) => simulate::run(args),
        Command::Explore(args) => explore::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Completions(args) => packaging::completions(&args),
        Command::Man(args) => packaging::man(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

fn report(failure: &Failure) -> ExitCode {
    // Not `eprintln`: it panics when standard error is closed.
    drop(writeln!(std::io::stderr(), "ticketd: {failure}"));
    ExitCode::from(failure.code())
}
