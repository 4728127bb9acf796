//! A line for each ticket, whole whoever writes it, or a progress bar.

use std::io::{self, ErrorKind, Write};
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ticketd_core::ids::Id;
use ticketd_core::name::Name;
use ticketd_core::text::Format;
use ticketd_sim::live::faults::Event;
use ticketd_sim::live::{Plan, Watch};

use super::faults;
use crate::output::{self, Output};

/// What became of standard output.
#[derive(Debug)]
pub enum Ended {
    /// It takes more.
    Open,
    /// Whoever read it has stopped, as `head` does.
    NobodyReads,
    /// It fails.
    Failed(io::Error),
}

/// Prints tickets from many threads, or shows how far they are.
pub struct Printer {
    quiet: bool,
    json: bool,
    page: Mutex<Page>,
    /// Counts tickets or, if the run ends by time alone, milliseconds.
    bar: ProgressBar,
    counts_tickets: bool,
}

struct Page {
    /// `None` at the end.
    out: Option<Output>,
    ended: Ended,
}

impl Printer {
    /// A printer for a run of `plan`.
    pub fn new(plan: &Plan, quiet: bool, json: bool) -> Self {
        let millis = plan.duration.map(|duration| duration.as_millis() as u64);
        let (bar, template) = match (plan.tickets, millis) {
            (Some(tickets), _) => (ProgressBar::new(tickets), "{wide_bar} {pos}/{len} {msg}"),
            (None, Some(millis)) => (ProgressBar::new(millis), "{wide_bar} {elapsed} {msg}"),
            (None, None) => (ProgressBar::no_length(), "{elapsed} {msg}"),
        };
        // Standard error draws nothing unless it is a terminal.
        let target =
            if quiet { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        bar.set_draw_target(target);
        bar.set_style(ProgressStyle::with_template(template).expect("the template is well formed"));
        let page = Mutex::new(Page { out: Some(output::open()), ended: Ended::Open });
        Self { quiet, json, page, bar, counts_tickets: plan.tickets.is_some() }
    }

    /// Prints what is left, and says what became of standard output. After that nothing is printed
    /// any more.
    pub fn finish(&self) -> Ended {
        self.bar.finish_and_clear();
        let mut page = self.page();
        page.attempt(Write::flush);
        // After an error the rest cannot be written either.
        drop(page.out.take().map(Output::into_parts));
        mem::replace(&mut page.ended, Ended::Open)
    }

    /// Prints what happened to a server.
    pub fn event(&self, event: &Event) {
        if !self.quiet {
            self.page().attempt(|out| {
                if self.json { faults::json(event, out) } else { faults::text(event, out) }
            });
        }
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Page {
    /// Writes, unless that failed before. Returns whether it went well.
    fn attempt(&mut self, write: impl FnOnce(&mut Output) -> io::Result<()>) -> bool {
        if matches!(self.ended, Ended::Open)
            && let Some(out) = &mut self.out
            && let Err(error) = write(out)
        {
            let is_closed = error.kind() == ErrorKind::BrokenPipe;
            self.ended = if is_closed { Ended::NobodyReads } else { Ended::Failed(error) };
        }
        matches!(self.ended, Ended::Open)
    }
}

impl Watch for Printer {
    fn ticket(&self, agent: usize, table: &Name, ticket: Id) -> bool {
        if self.quiet {
            return true;
        }
        let ticket = Format::default().write(ticket);
        self.page().attempt(|out| {
            if self.json {
                // A name has no character that JSON would want escaped.
                writeln!(out, r#"{{"agent":{agent},"table":"{table}","id":"{ticket}"}}"#)
            } else {
                writeln!(out, "agent {agent}  {table}  {ticket}")
            }
        })
    }

    fn tick(&self, issued: u64, elapsed: Duration) -> bool {
        if !self.quiet {
            return self.page().attempt(Write::flush);
        }
        let position = if self.counts_tickets { issued } else { elapsed.as_millis() as u64 };
        self.bar.set_position(position);
        let per_second = issued as f64 / elapsed.as_secs_f64().max(0.001);
        self.bar.set_message(format!("{issued} tickets, {per_second:.0} a second"));
        true
    }
}
