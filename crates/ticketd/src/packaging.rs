//! `ticketd completions` and `ticketd man`: what a packager needs.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::failure::Failure;
use crate::output;

/// How `ticketd completions` is called.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// How `ticketd man` is called.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write a page for each command into this directory, instead of printing the main one
    dir: Option<PathBuf>,
}

/// Prints a completion script.
pub fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    // Into memory first: the generator panics when it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ticketd", &mut script);
    output::write(|out| out.write_all(&script))
}

/// Prints the manual page, or writes all of them.
pub fn man(args: &ManArgs) -> Result<(), Failure> {
    let command = Cli::command();
    let Some(dir) = &args.dir else {
        let page = clap_mangen::Man::new(command);
        return output::write(|out| page.render(out));
    };
    let written =
        std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(command, dir));
    written.map_err(|error| {
        Failure::work(format!("the manual cannot be written into {}: {error}", dir.display()))
    })
}
