//! An agent: a thread that stands for a distributed process and asks for tickets of one table.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::Receiver;
use ticketd_core::count::Count;
use ticketd_core::definition::KindName;
use ticketd_core::ids::{Id, Ids, Range};
use ticketd_core::name::Name;
use ticketd_core::time::Instant;
use ticketd_server::clock::Clock;

use super::audit::Audit;
use super::stop::Stop;
use super::{Source, Trouble, Watch};

/// An agent that is behind its pace by more than this does not catch up.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);

/// Where an agent gets its IDs.
pub(super) enum Supply {
    /// From a dispenser, one at a time.
    Hatch(Receiver<Id>),
    /// From a server, as many at a time as the agent may keep.
    Remote(Box<dyn Source>),
}

/// How many tickets may still be asked for, by all agents together.
#[derive(Debug)]
pub(super) struct Budget(Option<AtomicU64>);

impl Budget {
    pub(super) fn new(tickets: Option<u64>) -> Self {
        Self(tickets.map(AtomicU64::new))
    }

    /// Claims up to `n` tickets; 0 when all are claimed.
    pub(super) fn claim(&self, n: u64) -> u64 {
        let Some(left) = &self.0 else { return n };
        let claim = |left: u64| Some(left.saturating_sub(n));
        let before = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim);
        before.unwrap_or(0).min(n)
    }
}

/// When the next ticket of an agent is due.
pub(super) struct Pace {
    clock: Clock,
    interval: Option<Duration>,
    due: Instant,
}

impl Pace {
    pub(super) fn new(clock: Clock, per_second: Option<f64>) -> Self {
        let interval = per_second.map(|rate| Duration::from_secs_f64(1.0 / rate));
        Self { clock, interval, due: clock.now() }
    }

    pub(super) fn wait(&mut self, stop: &Stop) {
        let Some(interval) = self.interval else {
            return;
        };
        let now = self.clock.now();
        if now.micros_since(self.due) > CATCH_UP_MAX.as_micros() as u64 {
            self.due = now;
        }
        let wait = self.due.micros_since(now);
        if wait > 0 {
            stop.sleep(Duration::from_micros(wait));
        }
        self.due = self.due.plus(interval);
    }
}

/// What all agents of a run share.
pub(super) struct Shared<'a> {
    pub(super) clock: Clock,
    pub(super) rate: Option<f64>,
    /// How many tickets an agent of a remote server asks for at a time.
    pub(super) batch: u64,
    pub(super) budget: Budget,
    pub(super) stop: &'a Stop,
    pub(super) trouble: &'a Trouble,
    pub(super) watch: &'a dyn Watch,
}

pub(super) struct Agent<'a> {
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) table: &'a Name,
    pub(super) kind: KindName,
    pub(super) audit: &'a Audit,
    /// Whom it asks, where there are several.
    pub(super) issuer: usize,
    pub(super) supply: Supply,
    pub(super) shared: &'a Shared<'a>,
}

impl Agent<'_> {
    /// Asks until the budget is spent or somebody says stop.
    pub(super) fn run(mut self) {
        let shared = self.shared;
        let mut pace = Pace::new(shared.clock, shared.rate);
        let batch = match self.supply {
            Supply::Hatch(_) => 1,
            Supply::Remote(_) => shared.batch,
        };
        loop {
            pace.wait(shared.stop);
            if shared.stop.is_requested() {
                return;
            }
            let Ok(count) = Count::new(shared.budget.claim(batch)) else {
                return;
            };
            let before = self.audit.asking(self.issuer);
            let Some(ids) = self.next(count) else {
                return;
            };
            self.audit.answered(before, &ids);
            if !self.show(&ids, &mut pace) {
                shared.stop.request();
                return;
            }
        }
    }

    /// The next IDs; `None` when there will be no more.
    fn next(&mut self, count: Count) -> Option<Ids> {
        match &mut self.supply {
            Supply::Hatch(hatch) => Some(match hatch.recv().ok()? {
                Id::Integer(first) => Ids::Range(Range { first, step: 1, count: 1 }),
                Id::Uuid(id) | Id::Ulid(id) => Ids::Wide(vec![id]),
            }),
            Supply::Remote(source) => match source.next(self.table, count) {
                Ok(ids) => Some(ids),
                Err(error) => {
                    let Self { number, table, .. } = self;
                    self.shared.trouble.report(format!("agent {number}, {table}: {error}"));
                    self.shared.stop.request();
                    None
                }
            },
        }
    }

    /// Spends the IDs at the agent's pace; what is left at a stop at once, since it was answered.
    /// Returns whether anybody still looks.
    fn show(&self, ids: &Ids, pace: &mut Pace) -> bool {
        for (index, id) in ids.iter(self.kind).enumerate() {
            if index > 0 {
                pace.wait(self.shared.stop);
            }
            if !self.shared.watch.ticket(self.number, self.table, id) {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_given_out_once_and_to_the_last_ticket() {
        let budget = Budget::new(Some(10));
        assert_eq!([4, 4, 4, 4].map(|n| budget.claim(n)), [4, 4, 2, 0]);
        assert_eq!(Budget::new(None).claim(7), 7);
    }
}
