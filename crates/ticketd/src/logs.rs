//! Logs to standard error, and what happens when a promise of the code itself breaks.

use std::io::{self, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};

use tracing::error;
use tracing_subscriber::EnvFilter;

use crate::settings::{LogFilter, LogFormat};

/// Starts logging.
pub fn start(filter: &LogFilter, format: LogFormat) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&filter.0))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}

/// Starts logging for a command that has only warnings to tell.
pub fn start_warnings() {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("warn"))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

/// Makes a panic in any thread the end of the process: whatever state it left behind could issue
/// an ID twice. The store is made to be cut off at any moment.
pub fn crash_on_panic() {
    panic::set_hook(Box::new(|panic| {
        error!("{}", line_of(panic));
        std::process::abort();
    }));
}

/// As [`crash_on_panic`], for a command that does not log: none of its threads may wait for one
/// that is no more.
pub fn crash_on_panic_unlogged() {
    panic::set_hook(Box::new(|panic| {
        drop(writeln!(io::stderr(), "ticketd: {}", line_of(panic)));
        std::process::abort();
    }));
}

fn line_of(panic: &PanicHookInfo<'_>) -> String {
    let what = panic.payload_as_str().unwrap_or("no message").replace('\n', "; ");
    let place = panic.location().map(|at| format!(" at {at}")).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    format!("this is a bug, the process ends before it can do harm: {what}{place}, thread {thread}")
}
