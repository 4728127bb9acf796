//! The deterministic worlds: servers, their store and their clients in one thread, on virtual time.
//!
//! One number, the seed, decides everything: what the world is like, what its clients ask, what
//! goes wrong and when. The same seed is the same world, step by step, so whatever a checker finds
//! can be looked at as often as needed. The servers of a world are the real core in another shell.
//!
//! There are three worlds for each seed: of one server with a store of its own, a model that moves
//! the real records, whose parts are below; of [`several`] servers that share an engine; and of one
//! server on the real store, [`embedded`], on a disk that loses its power.
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
mod embedded;
#[cfg(feature = "mutants")]
mod mutant;
mod panics;
mod random;
mod schedule;
mod several;
mod shell;
mod stats;
mod store;
mod trace;
mod world;

use std::fmt;
use std::ops::{ControlFlow, Range};

use check::Found;
#[cfg(feature = "mutants")]
pub use mutant::{AnyMutant, StoreMutant};
#[cfg(feature = "mutants")]
pub use several::ServerMutant;
pub use stats::{Mark, Stats};
use store::Bugs;
use world::World;

/// How many failed worlds a [`Summary`] keeps.
const FAILURES_MAX: usize = 8;

/// Which world of a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// One server with a store of its own.
    One,
    /// Several servers that share an engine.
    Several,
    /// One server on the real embedded store, whose disk is a model.
    Disk,
}

impl Setting {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::One, Self::Several, Self::Disk];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Several => "several",
            Self::Disk => "disk",
        }
    }

    /// Of a range of seeds, run together with other worlds, it is run for each of which this is a
    /// divisor: the real store takes its time.
    const fn every(self) -> u64 {
        match self {
            Self::One | Self::Several => 1,
            Self::Disk => 8,
        }
    }

    /// What a world of it can reach.
    pub const fn marks(self) -> &'static [Mark] {
        match self {
            Self::One => &Mark::ONE,
            Self::Several => &Mark::SEVERAL,
            Self::Disk => &Mark::DISK,
        }
    }

    /// Those that are faults.
    pub const fn faults(self) -> &'static [Mark] {
        match self {
            Self::One => &Mark::FAULTS_ONE,
            Self::Several => &Mark::FAULTS_SEVERAL,
            Self::Disk => &Mark::FAULTS_DISK,
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

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
    /// Which of its worlds it is.
    pub setting: Setting,
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

/// What is left of a world that has run.
struct Ran {
    hash: u64,
    stats: Stats,
    story: Vec<String>,
    text: Option<String>,
}

/// Runs a world of `seed`. A panic inside the core is caught and counts as a failure.
pub fn run_seed(seed: u64, setting: Setting, options: &Options) -> Outcome {
    let (found, ran) = match setting {
        Setting::One => run_one(World::new(seed, options)),
        Setting::Disk => run_one(World::on_disk(seed, options)),
        Setting::Several => {
            let mut run = several::Run::new(seed, options);
            #[cfg(feature = "mutants")]
            if options.without_books {
                run.ignore_books();
            }
            (panics::catch(|| run.run()), run.ran())
        }
    };
    let found = found.unwrap_or_else(|message| Some(("assertion", message)));
    let violation = |(checker, message)| Violation { checker, message, story: ran.story };
    let result = found.map(violation).map_or(Ok(()), Err);
    Outcome { seed, setting, hash: ran.hash, stats: ran.stats, trace: ran.text, result }
}

fn run_one(mut world: World) -> (Result<Option<Found>, String>, Ran) {
    let found = panics::catch(|| world.run());
    let (hash, stats, story) = (world.trace.hash(), world.stats, world.trace.story());
    (found, Ran { hash, stats, story, text: world.trace.into_text() })
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
    mut progress: impl FnMut(&Outcome) -> ControlFlow<()>,
) -> Summary {
    let mut summary = Summary::default();
    for (seed, setting) in worlds(seeds, settings) {
        let outcome = run_seed(seed, setting, options);
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

    fn embedded(self) -> Option<ticketd_store::embedded::Mutant> {
        self.mutant.and_then(AnyMutant::embedded)
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
