//! What of a world that fails is needed for that: less and less of it, as long as the same checker
//! finds something.
//!
//! Leaving out one thing changes what comes after it, so each try is a world of its own, and counts
//! only if it fails as the first one did.

use std::ops::ControlFlow;

use super::{Options, Outcome, run_seed};

/// So many of each are tried before all that the seed makes are kept.
const SERVERS_TRIED: u64 = 4;
const CLIENTS_TRIED: u64 = 4;
const SEQUENCES_TRIED: u64 = 2;

/// What is left of a world.
#[derive(Debug, Clone)]
pub struct Minimized {
    /// How to run it.
    pub options: Options,
    /// What became of it.
    pub outcome: Outcome,
    /// How many worlds were run to find it.
    pub runs: u64,
}

/// Leaves out of a world that has failed what it can do without, by running at most `runs_max`
/// worlds. `progress` sees what is left after each of them and may end it. Returns `None` if
/// `failed` has not failed.
pub fn minimize(
    failed: &Outcome,
    options: &Options,
    runs_max: u64,
    progress: impl FnMut(&Minimized) -> ControlFlow<()>,
) -> Option<Minimized> {
    let checker = failed.result.as_ref().err()?.checker;
    let left = Minimized { options: options.clone(), outcome: failed.clone(), runs: 0 };
    let mut search = Search { checker, left, runs_max, is_over: false, progress };
    search.run();
    Some(search.left)
}

struct Search<P> {
    checker: &'static str,
    left: Minimized,
    runs_max: u64,
    is_over: bool,
    progress: P,
}

impl<P: FnMut(&Minimized) -> ControlFlow<()>> Search<P> {
    fn run(&mut self) {
        // Numbers of faults are those of a world with all that it has, so first less of that.
        self.fewer_requests();
        self.fewest(SERVERS_TRIED, |options, most| options.scope.servers = Some(most + 1));
        self.fewest(CLIENTS_TRIED, |options, most| options.scope.clients = Some(most));
        self.fewest(SEQUENCES_TRIED, |options, most| options.scope.sequences = Some(most));
        self.keep_faults();
        while !self.is_over && (self.fewer_faults() | self.fewer_requests()) {}
    }

    /// Runs the world with a change. Returns whether it fails as before; then the change is kept.
    fn holds(&mut self, change: impl FnOnce(&mut Options)) -> bool {
        self.is_over |= self.left.runs >= self.runs_max;
        if self.is_over {
            return false;
        }
        let mut options = self.left.options.clone();
        change(&mut options);
        let Outcome { seed, setting, .. } = self.left.outcome;
        let outcome = run_seed(seed, setting, &options);
        let holds = outcome.result.as_ref().is_err_and(|found| found.checker == self.checker);
        self.left.runs += 1;
        if holds {
            self.left = Minimized { options, outcome, runs: self.left.runs };
        }
        self.is_over |= (self.progress)(&self.left).is_break();
        holds
    }

    /// Fewer by half as long as that will do, then in smaller steps.
    fn fewer_requests(&mut self) -> bool {
        let before = self.left.options.requests;
        let mut step = before / 2;
        while step > 0 && !self.is_over {
            let fewer = self.left.options.requests.saturating_sub(step);
            if fewer == 0 || !self.holds(|options| options.requests = fewer) {
                step /= 2;
            }
        }
        self.keep_faults();
        self.left.options.requests < before
    }

    /// The least number up to `tried` that will do.
    fn fewest(&mut self, tried: u64, limit: fn(&mut Options, u64)) {
        let _found = (1..=tried).any(|most| self.holds(|options| limit(options, most)));
    }

    /// Allows from now on what came to pass, and nothing else: the same world.
    fn keep_faults(&mut self) {
        let numbers = self.faults();
        self.left.options.scope.only_faults = Some(numbers.into_iter().collect());
    }

    fn faults(&self) -> Vec<u64> {
        self.left.outcome.struck.iter().map(|struck| struck.number).collect()
    }

    /// Leaves out runs of faults, long ones first, and the last ones first: what comes after them
    /// is the least.
    fn fewer_faults(&mut self) -> bool {
        let before = self.faults().len();
        let mut len = before.div_ceil(2).max(1);
        loop {
            let mut end = self.faults().len();
            while end > 0 && !self.is_over {
                let start = end.saturating_sub(len);
                self.without(start, end);
                end = start.min(self.faults().len());
            }
            if len == 1 || self.is_over {
                break;
            }
            len /= 2;
        }
        self.keep_faults();
        self.faults().len() < before
    }

    /// Tries it without some of the faults that came to pass.
    fn without(&mut self, start: usize, end: usize) {
        let mut numbers = self.faults();
        numbers.drain(start..end);
        if self.holds(|options| options.scope.only_faults = Some(numbers.into_iter().collect())) {
            self.keep_faults();
        }
    }
}
