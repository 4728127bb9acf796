//! Makes all measurements, one after the other, so that none disturbs another, and shows on a
//! terminal how far they are.

use std::io;

use indicatif::{ProgressBar, ProgressStyle};
use ticketd_core::definition::KindName;
use ticketd_core::name::Name;
use ticketd_server::clock::Clock;
use ticketd_sim::compare::{self, Loopback, Measured, PIPELINE, SERVERS, SERVERS_AFTER, Scenario};
use ticketd_sim::live::Stop;

use super::members::Members;
use super::report::Report;
use crate::failure::Failure;

/// Measurements of a kind that are counted in the progress.
const STEPS: u64 = 8;

/// Measures all `kinds`.
///
/// # Errors
/// What kept a measurement from being made, or that somebody stopped it.
pub fn all(scenario: &Scenario, kinds: &[KindName], stop: &Stop) -> Result<Report, Failure> {
    let clock = Clock::start();
    let bar = ProgressBar::new(kinds.len() as u64 * STEPS + 1);
    let style = ProgressStyle::with_template("{wide_bar} {elapsed} {msg}");
    bar.set_style(style.expect("the template is well formed"));
    let steps = Steps { scenario, stop, bar };
    let measured = kinds.iter().map(|kind| steps.measure(*kind)).collect::<Result<_, _>>()?;
    let buffers = steps.step("buffers", "simulate", || compare::buffers(scenario))?;
    steps.bar.finish_and_clear();
    Ok(Report::new(scenario, measured, buffers, clock))
}

struct Steps<'a> {
    scenario: &'a Scenario,
    stop: &'a Stop,
    bar: ProgressBar,
}

impl Steps<'_> {
    fn measure(&self, kind: KindName) -> Result<Measured, Failure> {
        let scenario = self.scenario;
        let step = |what: &str| format!("{}: {what}", kind.as_str());
        let rate = |in_flight| {
            self.step(&step("RESP"), "draw IDs over RESP", || {
                compare::rate_over_resp(kind, scenario, in_flight)
            })
        };
        let in_process = self.step(&step("in process"), "draw IDs in process", || {
            compare::rate_in_process(kind, scenario)
        })?;
        let (resp_pipelined, resp_single) = (rate(PIPELINE)?, rate(1)?);
        let (order, guess) =
            self.step(&step("order"), "watch the order", || compare::order(kind, scenario))?;
        let skewed = || compare::skewed_order(kind, scenario).map(Some);
        let order_with_skewed_clocks = self.step(&step("clocks"), "watch the order", || {
            if compare::has_time(kind) { skewed() } else { Ok(None) }
        })?;
        let locality =
            self.step(&step("index"), "fill an index", || compare::locality(kind, scenario))?;
        let outage = self.step(&step("a server dies"), "kill a server", || self.outage(kind))?;
        let resize = self.step(&step("3 to 5 servers"), "add servers", || self.resize(kind))?;
        let size = compare::size(kind, scenario).map_err(Failure::work)?;
        Ok(Measured {
            kind: kind.as_str(),
            in_process,
            resp_pipelined,
            resp_single,
            size,
            order,
            order_with_skewed_clocks,
            guess,
            locality,
            outage,
            resize,
        })
    }

    fn step<T>(
        &self,
        shown: &str,
        what: &str,
        measure: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, Failure> {
        self.bar.set_message(shown.to_owned());
        let measured = measure();
        // A signal reaches the servers too, so whatever failed, that is the reason.
        if self.stop.is_requested() {
            return Err(Failure::work("stopped before all was measured; nothing is printed"));
        }
        self.bar.inc(1);
        measured
            .map_err(|why| Failure::work(format!("{shown} could not be measured: {what}: {why}")))
    }

    fn table(&self) -> &Name {
        &self.scenario.tables[0]
    }

    /// Real processes, but for snowflake: its servers share a store that is in this process.
    fn outage(&self, kind: KindName) -> io::Result<compare::Outage> {
        let count = compare::servers_of(kind);
        if kind == KindName::Snowflake {
            let tables = std::slice::from_ref(self.table());
            let mut servers = Loopback::start(kind, tables, count)?;
            return compare::outage(kind, self.scenario, &mut servers);
        }
        let mut members = Members::start(count)?;
        members.create(self.table(), kind, count)?;
        compare::outage(kind, self.scenario, &mut members)
    }

    fn resize(&self, kind: KindName) -> io::Result<compare::Resize> {
        if kind != KindName::Stride {
            return compare::grow(kind, self.scenario);
        }
        let members = Members::start(SERVERS_AFTER)?;
        members.create(self.table(), kind, SERVERS)?;
        let resize = || members.resize(self.table());
        compare::resize_under_load(self.scenario, &members.resp_addrs(), resize)
    }
}
