//! What a copy does, told to people and to programs.

use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};
use ticketd_core::definition::Kind;
use ticketd_core::transfer::Whole;
use ticketd_store::transfer::Planned;

use crate::failure::Failure;
use crate::{output, table};

/// How many sequences are copied between two reports of the progress.
const TELL_EVERY: usize = 1000;

/// Writes a row for each sequence.
///
/// # Errors
/// Standard output cannot be written.
pub fn planned(planned: &[Planned], json: bool) -> Result<(), Failure> {
    output::write(|out| {
        if json {
            return planned.iter().try_for_each(|one| writeln!(out, "{}", object(one)));
        }
        let columns = [("name", false), ("kind", false), ("from", true), ("to", true), ("", false)];
        table::write(out, columns, &planned.iter().map(row).collect::<Vec<_>>())
    })
}

/// The last lines of a copy.
pub fn moved(out: &mut impl Write, all: &[Planned], old: &str, new: &str) -> io::Result<()> {
    let due = super::due(all);
    writeln!(out, "\n{} sequences are in {new}, {due} of them by this copy", all.len())?;
    writeln!(out, "{old} is closed: no server starts on it any more, and none needs to")
}

/// A line of a command that has no more to say.
pub fn line(out: &mut impl Write, place: &Value, told: &str) -> io::Result<()> {
    writeln!(out, "{} {told}", place.as_str().unwrap_or_default())
}

fn row(one: &Planned) -> [String; 5] {
    let text = |mark: Option<u64>| mark.map_or_else(|| "-".to_owned(), |mark| mark.to_string());
    [
        one.name.to_string(),
        one.theirs.record.definition.kind.name().as_str().to_owned(),
        text(mark(&one.theirs)),
        text(one.here.as_ref().and_then(mark)),
        what(one).to_owned(),
    ]
}

fn object(one: &Planned) -> Value {
    let text = |mark: Option<u64>| mark.map(|mark| mark.to_string());
    json!({
        "sequence": one.name.as_str(),
        "kind": one.theirs.record.definition.kind.name().as_str(),
        "from_mark": text(mark(&one.theirs)),
        "to_mark": text(one.here.as_ref().and_then(mark)),
        "action": what(one),
    })
}

fn what(one: &Planned) -> &'static str {
    match (&one.here, one.is_due) {
        (None, _) => "new",
        (Some(_), true) => "raised",
        (Some(_), false) => "unchanged",
    }
}

/// How far it is: the first ID never yet reserved; of a snowflake sequence the first tick; `None`
/// if it does not count.
fn mark(whole: &Whole) -> Option<u64> {
    let record = &whole.record;
    match record.definition.kind {
        Kind::Ticket | Kind::Stride(_) => Some(record.id_of(record.mark)),
        Kind::Snowflake(_) => {
            let leased = whole.workers.values().map(|worker| worker.mark).max();
            Some(leased.unwrap_or(0).max(record.mark))
        }
        Kind::Uuid4 | Kind::Uuid7 | Kind::Ulid => None,
    }
}

/// How many sequences are copied, on a terminal.
pub struct Progress {
    done: usize,
    all: usize,
    is_shown: bool,
}

impl Progress {
    /// Of a copy of `all` sequences.
    pub fn new(all: usize) -> Self {
        Self { done: 0, all, is_shown: all >= TELL_EVERY && io::stderr().is_terminal() }
    }

    /// One is durable.
    pub fn one_more(&mut self) {
        self.done += 1;
        if self.is_shown && self.done.is_multiple_of(TELL_EVERY) {
            eprint!("\r{} of {} sequences", self.done, self.all);
        }
    }

    /// All are.
    pub fn end(self) {
        if self.is_shown {
            eprintln!("\r{} of {} sequences", self.done, self.all);
        }
    }
}
