//! What a search has found, for people and as JSON.

use std::io::{self, Write};

use serde_json::{Map, Value, json};
use ticketd_sim::explore::{Minimized, Options, Outcome, Setting, Step, Violation};

use super::{Searched, replay};

/// A search as it is told.
pub struct Report<'a> {
    pub searched: &'a Searched,
    pub options: &'a Options,
    /// Whether all steps are told.
    pub traces: bool,
    /// What is left of the first world that has failed, if that was asked for.
    pub least: Option<&'a Minimized>,
}

impl Report<'_> {
    /// Writes it for people.
    pub fn text(&self, out: &mut impl Write) -> io::Result<()> {
        let Searched { range, settings, summary, took, traced } = self.searched;
        if self.traces {
            let steps = traced.iter().flat_map(|outcome| outcome.trace.iter().flatten());
            story(out, steps, "")?;
        }
        for outcome in &summary.failures {
            if let Err(violation) = &outcome.result {
                self.failure(out, outcome, violation)?;
            }
        }
        self.least.iter().try_for_each(|least| self.left(out, least))?;
        let per_second = summary.worlds as f64 / took.as_secs_f64().max(0.001);
        writeln!(
            out,
            "{} worlds from seed {}, hash {:016x}; {:.2} s, {per_second:.0} a second",
            summary.worlds,
            range.start,
            summary.hash,
            took.as_secs_f64()
        )?;
        settings.iter().try_for_each(|setting| self.counts(out, *setting))?;
        match summary.failed {
            0 => writeln!(out, "every promise was kept"),
            failed => writeln!(out, "A PROMISE BROKE in {failed} worlds"),
        }
    }

    fn failure(
        &self,
        out: &mut impl Write,
        outcome: &Outcome,
        violation: &Violation,
    ) -> io::Result<()> {
        let Outcome { seed, setting, .. } = outcome;
        let Violation { checker, message, .. } = violation;
        writeln!(out, "seed {seed}, world {setting}: {checker}: {message}")?;
        if !self.traces {
            story(out, violation.story.iter(), "    ")?;
        }
        let command = replay::command(*setting, *seed, self.options);
        writeln!(out, "  all of it: {command} --trace")
    }

    /// What a world needs to fail.
    fn left(&self, out: &mut impl Write, least: &Minimized) -> io::Result<()> {
        let Minimized { options, outcome, runs } = least;
        let all = self.searched.summary.failures.first().map_or(0, |first| first.struck.len());
        writeln!(
            out,
            "{} of its {all} faults and {} of its {} requests are left, after {runs} worlds:",
            outcome.struck.len(),
            options.requests,
            self.options.requests
        )?;
        if let Err(Violation { checker, message, story: steps }) = &outcome.result {
            writeln!(out, "  {checker}: {message}")?;
            story(out, steps.iter(), "    ")?;
        }
        let command = replay::command(outcome.setting, outcome.seed, options);
        writeln!(out, "  all of it: {command} --trace")
    }

    /// What was counted in the worlds of one kind.
    fn counts(&self, out: &mut impl Write, setting: Setting) -> io::Result<()> {
        let stats = &self.searched.summary.stats[setting as usize];
        writeln!(
            out,
            "{}: {} s of virtual time, {} requests, {} IDs issued, {} crashes, {} starts",
            setting.title(),
            stats.virtual_us / 1_000_000,
            stats.requests,
            stats.issued,
            stats.crashes,
            stats.starts
        )?;
        let faults: Vec<String> = setting
            .faults()
            .into_iter()
            .filter(|fault| stats.marked(*fault) > 0)
            .map(|fault| format!("{} {}", fault.as_str(), stats.marked(fault)))
            .collect();
        match faults.as_slice() {
            [] => writeln!(out, "  no faults"),
            faults => writeln!(out, "  faults: {}", faults.join(", ")),
        }
    }

    /// Writes it as JSON, an object a line.
    pub fn json(&self, out: &mut impl Write) -> io::Result<()> {
        let Searched { range, settings, summary, took, .. } = self.searched;
        for outcome in &summary.failures {
            writeln!(out, "{}", json!({ "violation": violation(outcome, self.options) }))?;
        }
        if let Some(Minimized { options, outcome, runs }) = self.least {
            let left = json!({
                "faults": outcome.struck.len(),
                "requests": options.requests,
                "runs": runs,
                "violation": violation(outcome, options),
            });
            writeln!(out, "{}", json!({ "minimized": left }))?;
        }
        let counted = settings.iter().map(|setting| (setting.to_string(), self.counted(*setting)));
        let summary = json!({
            "seeds": range.end - range.start,
            "worlds": summary.worlds,
            "from": range.start,
            "failed": summary.failed,
            "hash": format!("{:016x}", summary.hash),
            "seconds": took.as_secs_f64(),
            "counts": counted.collect::<Map<String, Value>>(),
        });
        writeln!(out, "{}", json!({ "summary": summary }))
    }

    fn counted(&self, setting: Setting) -> Value {
        let stats = &self.searched.summary.stats[setting as usize];
        let marks = setting.marks().into_iter();
        let marks = marks.map(|mark| (mark.as_str().to_owned(), stats.marked(mark).into()));
        json!({
            "requests": stats.requests,
            "issued": stats.issued,
            "crashes": stats.crashes,
            "starts": stats.starts,
            "virtual_us": stats.virtual_us,
            "marks": marks.collect::<Map<String, Value>>(),
        })
    }
}

fn violation(outcome: &Outcome, options: &Options) -> Value {
    let found = outcome.result.as_ref().err();
    let story = |found: &Violation| found.story.iter().map(Step::to_string).collect::<Vec<_>>();
    json!({
        "seed": outcome.seed,
        "world": outcome.setting.as_str(),
        "checker": found.map(|found| found.checker),
        "message": found.map(|found| &found.message),
        "story": found.map(story),
        "replay": replay::command(outcome.setting, outcome.seed, options),
    })
}

/// Writes steps, one a line.
pub fn story<'a>(
    out: &mut impl Write,
    mut steps: impl Iterator<Item = &'a Step>,
    indent: &str,
) -> io::Result<()> {
    steps.try_for_each(|step| writeln!(out, "{indent}{step}"))
}
