//! The comparison on a terminal: the table, and below it how each row was measured.

use std::io::{self, Write};

use ticketd_sim::compare::BufferRate;

use super::report::Report;
use super::rows::{Row, count};

/// How long a line of prose is.
const WIDTH: usize = 100;

/// Writes it for people.
pub fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let shown = &report.scenario;
    writeln!(
        out,
        "{} agents, tables {}, {} s a measurement; {} cores, {:.0} s in all\n",
        shown.agents,
        shown.tables.join(" and "),
        shown.seconds_per_measurement,
        shown.cores,
        shown.took_seconds
    )?;
    if shown.is_debug_build {
        writeln!(out, "{DEBUG_BUILD}\n")?;
    }
    table(report, out)?;
    buffers(report, out)?;
    writeln!(out, "\nHow it was measured")?;
    for (number, row) in report.rows.iter().enumerate() {
        paragraph(out, &format!("{:>2}  {}: {}", number + 1, row.property, row.how), 4)?;
    }
    paragraph(out, &format!("    IDs/s by buffer: {BUFFERS_HOW}"), 4)
}

/// Rates of a binary that was built for debugging say nothing.
pub const DEBUG_BUILD: &str =
    "This is a debug build: its rates say nothing. Build with --release to compare.";

/// How the sweep of buffers was measured.
pub const BUFFERS_HOW: &str = "the live simulation ('ticketd simulate --buffer N') of tickets in \
     process: agents on threads of their own take IDs from a channel of each table, every ID is \
     checked; with 0 server and agent meet for each one";

fn table(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let names = report.rows.iter().map(|row| row.property.len());
    let name_width = names.max().unwrap_or(0);
    let width_of = |index: usize| {
        let cells = report.rows.iter().map(|row| row.cells[index].chars().count());
        cells.chain([report.kinds[index].kind.len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..report.kinds.len()).map(width_of).collect();
    let kinds: Vec<String> = report.kinds.iter().map(|kind| kind.kind.to_owned()).collect();
    writeln!(out, "    {}{}", " ".repeat(name_width), cells(&kinds, &widths))?;
    let mut group = "";
    for (number, row) in report.rows.iter().enumerate() {
        let Row { property, cells: of_row, .. } = row;
        if row.group != group {
            group = row.group;
            writeln!(out, "{group}")?;
        }
        let cells = cells(of_row, &widths);
        writeln!(out, "{:>2}  {property:<name_width$}{cells}", number + 1)?;
    }
    Ok(())
}

fn cells(cells: &[String], widths: &[usize]) -> String {
    let cell = |(cell, width): (&String, &usize)| format!("  {cell:>width$}");
    cells.iter().zip(widths).map(cell).collect()
}

/// The sweep: a line for each number of agents.
fn buffers(report: &Report, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\nTickets a second by the buffer between server and agents")?;
    for runs in report.buffers.chunk_by(|a, b| a.agents == b.agents) {
        let rates = runs.iter().map(|run| format!("{}: {}", run.buffer, count(run.ids_per_second)));
        let rates: Vec<String> = rates.collect();
        writeln!(out, "    {:>2} agents   {}", runs[0].agents, rates.join("   "))?;
    }
    paragraph(out, &format!("    {}", buffers_answer(&report.buffers)), 4)
}

/// What the sweep says to the open question.
pub fn buffers_answer(runs: &[BufferRate]) -> String {
    let of_crowd = |runs: &[BufferRate]| {
        let best = runs.iter().max_by(|a, b| a.ids_per_second.total_cmp(&b.ids_per_second))?;
        let unbuffered = runs.iter().find(|run| run.buffer == 0)?;
        let times = best.ids_per_second / unbuffered.ids_per_second.max(1.0);
        let (agents, buffer) = (best.agents, best.buffer);
        Some(match buffer {
            0 => format!("With {agents} agents no pool was faster than none."),
            _ => format!(
                "With {agents} agents a pool of {buffer} handed over {times:.0} times as many IDs \
                 as none."
            ),
        })
    };
    let crowds = runs.chunk_by(|a, b| a.agents == b.agents);
    crowds.filter_map(of_crowd).collect::<Vec<_>>().join(" ")
}

/// Breaks `text` into lines, all but the first indented.
fn paragraph(out: &mut impl Write, text: &str, indent: usize) -> io::Result<()> {
    let start = text.len() - text.trim_start().len();
    let mut line = " ".repeat(start);
    for word in text.split_inclusive(' ') {
        if line.len() + word.trim_end().len() > WIDTH {
            writeln!(out, "{}", line.trim_end())?;
            line = " ".repeat(indent);
        }
        if !(word.trim().is_empty() && line.trim().is_empty()) {
            line.push_str(word);
        }
    }
    writeln!(out, "{}", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_names_the_best_pool_of_each_crowd() {
        let run = |agents, buffer, ids_per_second| BufferRate {
            agents,
            buffer,
            ids_per_second,
            duplicates: 0,
        };
        let runs = [run(4, 0, 100.0), run(4, 16, 3000.0), run(64, 0, 90.0), run(64, 16, 20.0)];
        let answer = buffers_answer(&runs);
        assert!(answer.contains("With 4 agents a pool of 16 handed over 30 times"), "{answer}");
        assert!(answer.ends_with("With 64 agents no pool was faster than none."), "{answer}");
    }

    #[test]
    fn a_paragraph_is_broken_between_words_and_loses_none() {
        let text = format!(" 7  {}", "word ".repeat(60).trim_end());
        let mut out = Vec::new();
        paragraph(&mut out, &text, 4).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.lines().all(|line| line.len() <= WIDTH));
        assert!(out.starts_with(" 7  word") && out.lines().skip(1).all(|l| l.starts_with("    w")));
        assert_eq!(out.split_whitespace().count(), 61);
    }
}
