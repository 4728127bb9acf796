//! The command line as a whole: its commands, and how wrong usage is told.

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::cluster::ClusterArgs;
use crate::compare::CompareArgs;
use crate::decode::DecodeArgs;
use crate::explore::ExploreArgs;
use crate::failure::Failure;
use crate::next::NextArgs;
use crate::packaging::{CompletionsArgs, ManArgs};
use crate::sequence::SequenceArgs;
use crate::serve::ServeArgs;
use crate::simulate::SimulateArgs;
use crate::store::StoreArgs;
use crate::stride::StrideArgs;

/// A ticket server: unique IDs for many processes, durable before they are answered.
#[derive(Debug, Parser)]
#[command(name = "ticketd", version, arg_required_else_help = true, args_override_self = true)]
#[command(after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 the work failed; 2 wrong usage; 3 the server could not start.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),

    /// Print the next IDs of a sequence, one a line
    #[command(after_help = NEXT_EXAMPLES)]
    Next(NextArgs),

    /// Explain an ID of any kind: its time, worker, counter and bits
    #[command(after_help = DECODE_EXAMPLES)]
    Decode(DecodeArgs),

    /// Show and change the sequences of a running server
    #[command(after_help = SEQUENCE_EXAMPLES, arg_required_else_help = true)]
    Sequence(SequenceArgs),

    /// Show the servers that share an engine, and which of them owns which sequence
    #[command(after_help = CLUSTER_EXAMPLES)]
    Cluster(ClusterArgs),

    /// Move all sequences to another store, while no server runs
    #[command(after_help = STORE_EXAMPLES, arg_required_else_help = true)]
    Store(StoreArgs),

    /// Change the members of a stride sequence while they go on issuing
    #[command(after_help = STRIDE_EXAMPLES, arg_required_else_help = true)]
    Stride(StrideArgs),

    /// Let live agents ask for IDs all at once, and check every one
    #[command(after_help = SIMULATE_EXAMPLES)]
    Simulate(SimulateArgs),

    /// Search a deterministic world of crashes and failures for a broken promise
    #[command(after_help = EXPLORE_EXAMPLES)]
    Explore(ExploreArgs),

    /// Measure all kinds of ID side by side: speed, size, order, outages, resizes, index, guessing
    #[command(after_help = COMPARE_EXAMPLES)]
    Compare(CompareArgs),

    /// Print a completion script for a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),

    /// Print the manual page, or write the pages of all commands into a directory
    #[command(after_help = MAN_EXAMPLES)]
    Man(ManArgs),
}

const SERVE_EXAMPLES: &str = "\
Each setting may also come from the environment or from a TOML file; a flag goes before the \
environment, that before the file, and that before the default.

Examples:
  ticketd serve
  ticketd serve --data-dir /var/lib/ticketd --resp 127.0.0.1:6379
  ticketd serve --store etcd://10.0.0.1,10.0.0.2,10.0.0.3 --advertise ids-1.example.org:7118
  TICKETD_BLOCK_LEN=1 ticketd serve --config ticketd.toml --print-config
  ticketd serve --resp 127.0.0.1:0 --http 127.0.0.1:0   # then read: ticketd ready resp=... http=...";

const NEXT_EXAMPLES: &str = "\
Examples:
  ticketd next notes
  ticketd next notes --count 1000 > ids.txt
  ticketd next notes --format order_base58
  ticketd next notes --json --server ids.example.org:7118";

const DECODE_EXAMPLES: &str = "\
Without --layout or --sequence all layouts are told in which the ID would be of a plausible time.

Examples:
  ticketd decode 1541815603606036480 --layout twitter
  ticketd decode 017f22e2-79b0-7cc3-98c4-dc0c0c07398f
  ticketd decode order_0n5phs1nv2000 --format order_ --sequence orders";

const SEQUENCE_EXAMPLES: &str = "\
Examples:
  ticketd sequence list
  ticketd sequence show notes --json
  ticketd sequence create invoices --block-len 1
  ticketd sequence create events --kind snowflake --layout twitter
  ticketd sequence create orders --kind stride --members 3 --offset 1
  ticketd sequence create traces --kind uuid7
  ticketd sequence raise notes --to 5000   # the next ID is 5001
  ticketd sequence raise notes --from-table notes.id --database postgres://me@db/app --dry-run
  ticketd sequence raise --all --by 1000000 --dry-run";

const CLUSTER_EXAMPLES: &str = "\
Examples:
  ticketd cluster
  ticketd cluster --json --server ids-2.example.org:7118";

const STORE_EXAMPLES: &str = "\
Examples:
  ticketd store copy --from embedded:/var/lib/ticketd --to etcd://a,b,c/ids --dry-run
  ticketd store copy --from embedded:/var/lib/ticketd --to etcd://a,b,c/ids
  TICKETD_TO=postgres://ids:PASSWORD@db/ids ticketd store copy --from etcd://a,b,c/ids
  ticketd store reopen --store embedded:/var/lib/ticketd   # after a copy that was given up";

const STRIDE_EXAMPLES: &str = "\
Examples:
  ticketd stride resize orders --members a:7118,b:7118,c:7118 --dry-run
  ticketd stride resize orders --members a:7118,b:7118,c:7118,d:7118,e:7118
  ticketd stride resize orders --members a:7118,b:7118 --leaving c:7118,d:7118,e:7118
  ticketd stride resize orders --members a:7118,b:7118 --leaving c:7118,d:7118,e:7118 --abandon";

const SIMULATE_EXAMPLES: &str = "\
Without a flag: four agents, two for notes and two for tasks, over unbuffered channels, a line for \
each ticket, until Ctrl-C; then a summary. It ends with code 1 if any promise broke.

Examples:
  ticketd simulate
  ticketd simulate --tickets 100000 --quiet --json
  ticketd simulate --agents 8 --tables a,b,c --buffer 1024 --duration 10s --quiet
  ticketd simulate --kind snowflake --tickets 100000 --quiet
  ticketd simulate --server 127.0.0.1:7118 --rate 5";

const EXPLORE_EXAMPLES: &str = "\
Examples:
  ticketd explore --seeds 2000
  ticketd explore --world several --seeds 10000
  ticketd explore --world several --seed 42 --trace
  ticketd explore --world several --seed 42 --html page.html
  ticketd explore --world members --seeds 10000";

const COMPARE_EXAMPLES: &str = "\
It takes about a minute, uses all cores, and starts and kills servers of its own on free ports of \
loopback, with data in a temporary directory. Each row says how it was measured. It ends with code 1 \
if an ID came twice.

Examples:
  ticketd compare
  ticketd compare --html report.html
  ticketd compare --kind ticket,uuid7 --seconds 2
  ticketd compare --agents 16 --tables a,b,c --json";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  ticketd completions bash > /etc/bash_completion.d/ticketd
  ticketd completions fish > ~/.config/fish/completions/ticketd.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  ticketd man | man -l -
  ticketd man /usr/local/share/man/man1";

/// Whether this is no error but a page of help, or the version.
pub fn is_help(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
}

/// Wrong usage in one line: the error, the tip if there is one, and where to read more.
pub fn usage(error: &clap::Error, args: impl Iterator<Item = String>) -> Failure {
    let text = error.render().to_string();
    let pieces = text.split("\n\n").map(|piece| {
        let lines: Vec<&str> = piece.lines().map(str::trim).collect();
        lines.join(" ")
    });
    let told: Vec<String> = pieces
        .filter(|piece| !piece.starts_with("Usage:") && !piece.starts_with("For more"))
        .map(|piece| piece.trim_start_matches("error: ").to_owned())
        .collect();
    Failure::usage(format!("{}; see '{} --help'", told.join("; "), command_of(args)))
}

/// The command that `args` name, as far as they name one.
fn command_of(args: impl Iterator<Item = String>) -> String {
    let root = Cli::command();
    let (mut command, mut path) = (&root, vec![root.get_name()]);
    for arg in args.skip(1) {
        if let Some(found) = command.find_subcommand(&arg) {
            command = found;
            path.push(found.get_name());
        }
    }
    path.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(args: &[&str]) -> String {
        let error = Cli::try_parse_from(args).unwrap_err();
        usage(&error, args.iter().map(ToString::to_string)).to_string()
    }

    #[test]
    fn the_definition_of_the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_usage_is_told_in_one_line() {
        let line = told(&["ticketd", "next"]);
        assert_eq!(
            line,
            "the following required arguments were not provided: <NAME>; see 'ticketd next --help'"
        );
        let line = told(&["ticketd", "sequence", "lst"]);
        assert!(line.contains("'lst'") && line.contains("tip") && !line.contains('\n'), "{line}");
    }
}
