//! The closing summary, for people and as JSON.

use std::io::{self, Write};

use serde::Serialize;
use ticketd_core::ids::Id;
use ticketd_core::text::Format;
use ticketd_sim::live::{Findings, Plan, Seen, Summary, TableSummary};

use super::faults;
use crate::table;

/// What is told of a run. IDs are strings, because JavaScript loses digits above 2^53.
#[derive(Debug, Serialize)]
pub struct Report {
    kind: &'static str,
    /// The order that the kind promises, and that was checked.
    order: &'static str,
    agents: usize,
    buffer: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    seconds: f64,
    issued: u64,
    per_second: f64,
    duplicates: u64,
    inversions: u64,
    gaps: u64,
    /// Tickets whose uniqueness could no longer be checked exactly.
    unchecked: u64,
    /// Whether every promise was kept.
    kept: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    faults: Option<faults::Report>,
    tables: Vec<TableReport>,
}

/// What is told of one table.
#[derive(Debug, Serialize)]
struct TableReport {
    table: String,
    issued: u64,
    per_second: f64,
    duplicates: u64,
    inversions: u64,
    gaps: u64,
    /// IDs that the server knows to be lost, which accounts for the gaps; a real one has metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    burnt: Option<u64>,
    first: Option<String>,
    last: Option<String>,
    exact_from: Option<String>,
    exact_to: Option<String>,
    unchecked: u64,
    /// What was checked, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    checked: Option<String>,
}

impl Report {
    /// The report on a run of `plan`.
    pub fn new(
        plan: &Plan,
        server: Option<&str>,
        summary: &Summary,
        faults: Option<faults::Report>,
    ) -> Self {
        let seconds = summary.elapsed.as_secs_f64();
        let sum = |count: fn(&Findings) -> u64| -> u64 {
            summary.tables.iter().map(|table| count(&table.found)).sum()
        };
        let issued = sum(|found| found.issued);
        Self {
            kind: plan.kind.as_str(),
            order: plan.kind.order(),
            agents: plan.agents,
            buffer: plan.buffer,
            server: server.map(str::to_owned),
            seconds,
            issued,
            per_second: per_second(issued, seconds),
            duplicates: sum(|found| found.duplicates),
            inversions: sum(|found| found.inversions),
            gaps: sum(|found| found.gaps),
            unchecked: sum(|found| found.unchecked),
            kept: summary.kept(),
            error: summary.trouble.clone(),
            faults,
            tables: summary.tables.iter().map(|table| TableReport::new(table, seconds)).collect(),
        }
    }

    /// Writes it as a line of JSON.
    pub fn json(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(b"{\"summary\":")?;
        serde_json::to_writer(&mut *out, self)?;
        out.write_all(b"}\n")
    }

    /// Writes it for people.
    pub fn text(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { agents, buffer, seconds, issued, per_second, .. } = self;
        let server = self.server.as_ref().map(|at| format!(", server {at}")).unwrap_or_default();
        writeln!(
            out,
            "\n{issued} {} in {seconds:.2} s, {per_second:.0} a second; agents {agents}, \
             buffer {buffer}{server}\n",
            if self.kind == "ticket" {
                "tickets".to_owned()
            } else {
                format!("IDs of kind {}", self.kind)
            }
        )?;
        let columns = [
            ("table", false),
            ("issued", true),
            ("duplicates", true),
            ("inversions", true),
            ("gaps", true),
            ("first", true),
            ("last", true),
            ("per second", true),
        ];
        let rows: Vec<_> = self.tables.iter().map(TableReport::row).collect();
        table::write(out, columns, &rows)?;
        writeln!(out)?;
        self.tables.iter().try_for_each(|table| table.exactness(out))?;
        if let Some(faults) = &self.faults {
            writeln!(out, "{faults}")?;
        }
        let verdict = if self.kept { "every promise was kept" } else { "A PROMISE BROKE" };
        writeln!(out, "{verdict}")
    }
}

impl TableReport {
    fn new(table: &TableSummary, seconds: f64) -> Self {
        let found = &table.found;
        Self {
            table: table.name.to_string(),
            issued: found.issued,
            per_second: per_second(found.issued, seconds),
            duplicates: found.duplicates,
            inversions: found.inversions,
            gaps: found.gaps,
            burnt: table.burnt,
            first: found.first.map(|id| id.to_string()),
            last: found.last.map(|id| id.to_string()),
            exact_from: found.first.map(|_| found.exact_from.to_string()),
            exact_to: found.last.map(|id| id.to_string()),
            unchecked: found.unchecked,
            checked: None,
        }
        .with(table.seen.as_ref())
    }

    /// Of kinds other than tickets, which IDs there were.
    fn with(self, seen: Option<&Seen>) -> Self {
        let Some(seen) = seen else { return self };
        let text = |id: Id| Format::default().write(id);
        let (first, last) = (seen.first.map(text), seen.last.map(text));
        Self { first, last, checked: Some(seen.checked.clone()), ..self }
    }

    fn row(&self) -> [String; 8] {
        let or_none = |id: &Option<String>| id.clone().unwrap_or_else(|| "-".to_owned());
        [
            self.table.clone(),
            self.issued.to_string(),
            self.duplicates.to_string(),
            self.inversions.to_string(),
            self.gaps.to_string(),
            or_none(&self.first),
            or_none(&self.last),
            format!("{:.0}", self.per_second),
        ]
    }

    /// Says over what span uniqueness was checked exactly.
    fn exactness(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { table, unchecked, .. } = self;
        if let Some(checked) = &self.checked {
            return writeln!(out, "{table}: {checked}");
        }
        let (Some(first), Some(from), Some(to)) = (&self.first, &self.exact_from, &self.exact_to)
        else {
            return Ok(());
        };
        write!(out, "{table}: uniqueness checked exactly from {from} to {to}")?;
        if *unchecked > 0 {
            write!(out, ", but not for {unchecked} tickets that came later from below {from}")?;
        } else if first != from {
            write!(out, ", and from {first} on for as long as it fitted into memory")?;
        }
        writeln!(out)
    }
}

/// What broke, in one line.
pub fn broken(summary: &Summary) -> String {
    let broken: Vec<String> =
        summary.tables.iter().filter(|table| !table.kept()).map(broken_table).collect();
    format!("a promise broke: {}", broken.join("; "))
}

fn broken_table(table: &TableSummary) -> String {
    let (name, found) = (&table.name, &table.found);
    let mut told = Vec::new();
    if let Some(seen) = &table.seen {
        let text = |id: Id| Format::default().write(id);
        if let Some(id) = seen.a_duplicate.map(text) {
            told.push(format!("{} duplicates, such as {id}", found.duplicates));
        }
        if let Some((id, higher)) = seen.an_inversion.map(|(id, higher)| (text(id), text(higher))) {
            told.push(format!("{} inversions, such as {id} after {higher}", found.inversions));
        }
    }
    if let Some(id) = found.a_duplicate {
        told.push(format!("{} duplicates, such as {id}", found.duplicates));
    }
    if let Some((id, higher)) = found.an_inversion {
        told.push(format!("{} inversions, such as {id} after {higher}", found.inversions));
    }
    if let Some(burnt) = table.burnt.filter(|burnt| found.gaps > *burnt) {
        told.push(format!("{} gaps, of which the server accounts for {burnt}", found.gaps));
    }
    format!("{name} has {}", told.join(", "))
}

fn per_second(issued: u64, seconds: f64) -> f64 {
    // To a tenth: more digits would only be noise.
    if seconds > 0.0 { (issued as f64 / seconds * 10.0).round() / 10.0 } else { 0.0 }
}
