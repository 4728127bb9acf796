//! The worlds of many seeds: run by several threads, told in order.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender};

use super::stats::Stats;
use super::{Options, Outcome, Setting, run_seed};

/// How many failed worlds a [`Summary`] keeps.
const FAILURES_MAX: usize = 8;

/// What became of many worlds: the same whatever the number of threads.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// How many worlds were run.
    pub worlds: u64,
    /// How many of them a checker found something in.
    pub failed: u64,
    /// A hash of all their hashes, in order.
    pub hash: u64,
    /// The sums of what was counted in the worlds of each setting.
    pub stats: [Stats; Setting::ALL.len()],
    /// The first failures.
    pub failures: Vec<Outcome>,
}

impl Summary {
    fn add(&mut self, outcome: Outcome) {
        self.worlds += 1;
        self.hash = self.hash.rotate_left(5) ^ outcome.hash;
        self.stats[outcome.setting as usize].add(&outcome.stats);
        if outcome.result.is_err() {
            self.failed += 1;
            if self.failures.len() < FAILURES_MAX {
                self.failures.push(outcome);
            }
        }
    }
}

/// Which worlds of which seeds to run: of `seeds` those of `settings`, some of which are run for
/// fewer of the seeds if there are several of both.
pub fn worlds(
    seeds: Range<u64>,
    settings: &[Setting],
) -> impl Iterator<Item = (u64, Setting)> + use<'_> {
    let all = settings.len() == 1 || seeds.end - seeds.start == 1;
    let is_due = move |seed: u64, setting: Setting| all || seed.is_multiple_of(setting.every());
    let of_seed = move |seed| settings.iter().map(move |setting| (seed, *setting));
    seeds.flat_map(of_seed).filter(move |(seed, setting)| is_due(*seed, *setting))
}

/// How many [`worlds`] there are.
pub fn worlds_len(seeds: &Range<u64>, settings: &[Setting]) -> u64 {
    let len = seeds.end - seeds.start;
    if settings.len() == 1 || len == 1 {
        return len.saturating_mul(settings.len() as u64);
    }
    let below = |end: u64, every: u64| end.div_ceil(every);
    let due = |every| below(seeds.end, every) - below(seeds.start, every);
    settings.iter().map(|setting| due(setting.every())).fold(0, u64::saturating_add)
}

/// Runs the [`worlds`] of `seeds` and `settings` in order. `progress` sees each outcome and may end
/// the run.
pub fn explore(
    seeds: Range<u64>,
    settings: &[Setting],
    options: &Options,
    progress: impl FnMut(&Outcome) -> ControlFlow<()>,
) -> Summary {
    explore_in_threads(NonZero::<usize>::MIN, seeds, settings, options, progress)
}

/// As [`explore`], by so many threads. Outcomes are seen in order all the same.
pub fn explore_in_threads(
    threads: NonZero<usize>,
    seeds: Range<u64>,
    settings: &[Setting],
    options: &Options,
    mut progress: impl FnMut(&Outcome) -> ControlFlow<()>,
) -> Summary {
    let (left, is_over) = (Mutex::new((0..).zip(worlds(seeds, settings))), AtomicBool::new(false));
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = |done: &Sender<(u64, Outcome)>| {
        while !is_over.load(Ordering::Relaxed) {
            let Some((index, (seed, setting))) = next() else { break };
            if done.send((index, run_seed(seed, setting, options))).is_err() {
                break;
            }
        }
    };
    let mut summary = Summary::default();
    thread::scope(|scope| {
        // Whoever is faster than who collects waits.
        let (done, outcomes) = crossbeam_channel::bounded(threads.get());
        for _ in 0..threads.get() {
            let done = done.clone();
            scope.spawn(move || work(&done));
        }
        drop(done);
        for outcome in in_order(&outcomes) {
            let flow = progress(&outcome);
            summary.add(outcome);
            if flow.is_break() {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
        drop(outcomes);
    });
    summary
}

/// Outcomes in the order of their numbers, whatever the order in which they come. What waits for
/// its turn is a few counts, and no longer than it takes to run a world.
fn in_order(outcomes: &Receiver<(u64, Outcome)>) -> impl Iterator<Item = Outcome> {
    let mut early = BTreeMap::new();
    let mut next = 0;
    std::iter::from_fn(move || {
        while !early.contains_key(&next) {
            let (index, outcome) = outcomes.recv().ok()?;
            early.insert(index, outcome);
        }
        next += 1;
        early.remove(&(next - 1))
    })
}
