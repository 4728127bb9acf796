//! The file with violations and what happened around them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::check::{Found, Violation};
use crate::history::{Asked, Call};
use crate::nemesis::Fault;

/// Calls of the same sequence that ended so long before a violation or began so long after it are
/// written down with it.
const AROUND_US: u64 = 2_000_000;

/// Writes down what happened around violations, if there are some, in a file of that name.
pub fn write(
    (folder, name): (&Path, &str),
    found: &Found,
    calls: &[Call],
    sequences: &[Asked],
    faults: &[Fault],
) -> Result<Option<PathBuf>> {
    if found.violations.is_empty() {
        return Ok(None);
    }
    std::fs::create_dir_all(folder)?;
    let path = folder.join(name);
    let mut out = BufWriter::new(File::create(&path)?);
    for Fault { kind, what, from_us, until_us, .. } in faults {
        writeln!(out, "fault {from_us} to {until_us} us: {}: {what}", kind.name())?;
    }
    for violation in &found.violations {
        write_violation(&mut out, violation, calls, sequences)?;
    }
    out.flush()?;
    Ok(Some(path))
}

fn write_violation(
    out: &mut impl Write,
    violation: &Violation,
    calls: &[Call],
    sequences: &[Asked],
) -> Result<()> {
    writeln!(out, "\n{violation}")?;
    for call in &violation.calls {
        writeln!(out, "{}", call.to_json(sequences))?;
    }
    let Some(last) = violation.calls.last() else {
        return Ok(());
    };
    writeln!(out, "around it:")?;
    let is_near = |call: &&Call| {
        call.sequence == last.sequence
            && call.end_us + AROUND_US > last.start_us
            && call.start_us < last.end_us + AROUND_US
    };
    let mut near: Vec<&Call> = calls.iter().filter(is_near).collect();
    near.sort_by_key(|call| call.start_us);
    for call in near {
        writeln!(out, "{}", call.to_json(sequences))?;
    }
    Ok(())
}
