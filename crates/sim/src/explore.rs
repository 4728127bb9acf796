//! The deterministic world: a server, its store and its clients in one thread, on virtual time.
//!
//! One number, the seed, decides everything: what the world is like, what its clients ask, what
//! goes wrong and when. The same seed is the same world, step by step, so whatever a checker finds
//! can be looked at as often as needed. The server of the world is the real core in another shell;
//! the store is a model that moves the real records.
//!
//! | part | is |
//! | --- | --- |
//! | `config` | what a seed makes of a world, faults included |
//! | `world` | the clock, the phases, crash, stop and start |
//! | `clients`, `shell`, `disk` | who asks, who issues, and the way to the store and back |
//! | `store` | the model of the store |
//! | `check` | the checkers |
//! | `trace`, `stats` | what happened, in lines and in numbers |

mod check;
mod clients;
mod config;
mod disk;
#[cfg(feature = "mutants")]
mod mutant;
mod panics;
mod random;
mod schedule;
mod shell;
mod stats;
mod store;
mod trace;
mod world;

use std::ops::{ControlFlow, Range};

#[cfg(feature = "mutants")]
pub use mutant::{AnyMutant, StoreMutant};
pub use stats::{Mark, Stats};
use store::Bugs;
use world::World;

/// How many failed worlds a [`Summary`] keeps.
const FAILURES_MAX: usize = 8;

/// How to run a world.
#[derive(Debug, Clone)]
pub struct Options {
    /// Keep the whole trace as text; without it only its hash and the last lines are kept.
    pub trace: bool,
    /// How many requests clients make before the world heals.
    pub requests: u32,
    /// A deliberate bug.
    #[cfg(feature = "mutants")]
    pub mutant: Option<AnyMutant>,
    /// Without the checkers that keep books on the allocator: what is left sees what users see.
    #[cfg(feature = "mutants")]
    pub without_books: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            trace: false,
            requests: 400,
            #[cfg(feature = "mutants")]
            mutant: None,
            #[cfg(feature = "mutants")]
            without_books: false,
        }
    }
}

/// What a checker has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The checker's name.
    pub checker: &'static str,
    /// What is wrong.
    pub message: String,
    /// The last lines of the trace before it.
    pub story: Vec<String>,
}

/// What became of one world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The seed that made it.
    pub seed: u64,
    /// A hash of every line of its trace: equal for equal worlds.
    pub hash: u64,
    /// What was counted.
    pub stats: Stats,
    /// The trace, if [`Options::trace`] asked for it: one line for each thing that happened.
    pub trace: Option<String>,
    /// Whether all checkers were content.
    pub result: Result<(), Violation>,
}

/// What became of many worlds.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// How many worlds were run.
    pub seeds: u64,
    /// How many of them a checker found something in.
    pub failed: u64,
    /// A hash of all their hashes, in order.
    pub hash: u64,
    /// The sums of what was counted.
    pub stats: Stats,
    /// The first failures.
    pub failures: Vec<Outcome>,
}

/// Runs the world of `seed`. A panic inside the core is caught and counts as a failure.
pub fn run_seed(seed: u64, options: &Options) -> Outcome {
    let mut world = World::new(seed, options);
    #[cfg(feature = "mutants")]
    if options.without_books {
        world.checks.ignore_books();
    }
    let found = match panics::catch(|| world.run()) {
        Ok(found) => found,
        Err(message) => Some(("assertion", message)),
    };
    let result = match found {
        None => Ok(()),
        Some((checker, message)) => Err(Violation { checker, message, story: world.trace.story() }),
    };
    let (hash, stats) = (world.trace.hash(), world.stats);
    Outcome { seed, hash, stats, trace: world.trace.into_text(), result }
}

/// Runs the worlds of all `seeds` in order. `progress` sees each outcome and may end the run.
pub fn explore(
    seeds: Range<u64>,
    options: &Options,
    mut progress: impl FnMut(&Outcome) -> ControlFlow<()>,
) -> Summary {
    let mut summary = Summary::default();
    for seed in seeds {
        let outcome = run_seed(seed, options);
        let flow = progress(&outcome);
        summary.add(outcome);
        if flow.is_break() {
            break;
        }
    }
    summary
}

impl Summary {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.hash = self.hash.rotate_left(5) ^ outcome.hash;
        self.stats.add(&outcome.stats);
        if outcome.result.is_err() {
            self.failed += 1;
            if self.failures.len() < FAILURES_MAX {
                self.failures.push(outcome);
            }
        }
    }
}

/// The deliberate bug of a world, if there is one: nothing in a build without the feature.
#[derive(Debug, Clone, Copy)]
struct Bug {
    #[cfg(feature = "mutants")]
    mutant: Option<AnyMutant>,
}

#[cfg(feature = "mutants")]
impl Bug {
    const fn of(options: &Options) -> Self {
        Self { mutant: options.mutant }
    }

    fn store(self) -> Bugs {
        self.mutant.map(AnyMutant::bugs).unwrap_or_default()
    }

    fn core(self) -> Option<ticketd_core::allocator::Mutant> {
        self.mutant.and_then(AnyMutant::core)
    }
}

#[cfg(not(feature = "mutants"))]
impl Bug {
    const fn of(_: &Options) -> Self {
        Self {}
    }

    #[expect(clippy::unused_self, reason = "the same call in both builds")]
    fn store(self) -> Bugs {
        Bugs::default()
    }
}
