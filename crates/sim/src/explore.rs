//! The deterministic worlds: servers, their store and their clients in one thread, on virtual time.
//!
//! One number, the seed, decides everything: what the world is like, what its clients ask, what
//! goes wrong and when. The same seed is the same world, step by step, so whatever a checker finds
//! can be looked at as often as needed. The servers of a world are the real core in another shell.
//!
//! There are four worlds for each seed: of one server with a store of its own, a model that moves
//! the real records, whose parts are below; of [`several`] servers that share an engine; of the
//! [`members`] of a stride sequence while who is one changes; and of one server on the real store,
//! [`embedded`], on a disk that loses its power.
//!
//! | part | is |
//! | --- | --- |
//! | `config` | what a seed makes of a world, faults included |
//! | `world` | the clock, the phases, crash, stop and start |
//! | `clients`, `shell`, `disk` | who asks, who issues, and the way to the store and back |
//! | `store` | the model of the store |
//! | `check` | the checkers |
//! | `fault` | the kinds of fault, and which come to pass |
//! | `words`, `trace`, `step`, `stats` | what happened, in lines and in numbers |
//! | `search`, `minimize` | the worlds of many seeds, and less and less of one that fails |

mod check;
mod clients;
mod config;
mod disk;
mod embedded;
mod fault;
mod members;
mod minimize;
#[cfg(feature = "mutants")]
mod mutant;
mod panics;
pub(crate) mod random;
mod schedule;
mod search;
mod several;
mod shell;
mod stats;
mod step;
mod store;
mod trace;
mod words;
mod world;

use std::fmt;

use check::Found;
pub use fault::{Fault, Scope, Struck};
#[cfg(feature = "mutants")]
pub use members::MemberMutant;
pub use minimize::{Minimized, minimize};
#[cfg(feature = "mutants")]
pub use mutant::{AnyMutant, StoreMutant};
pub use search::{Summary, explore, explore_in_threads, worlds, worlds_len};
#[cfg(feature = "mutants")]
pub use several::ServerMutant;
pub use stats::{Mark, Stats};
pub use step::{Bar, Lane, Sign, Step, Tick, span};
use store::Bugs;
use world::World;

/// Which world of a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// One server with a store of its own.
    One,
    /// Several servers that share an engine.
    Several,
    /// The members of a stride sequence, while who is one changes.
    Members,
    /// One server on the real embedded store, whose disk is a model.
    Disk,
}

impl Setting {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::One, Self::Several, Self::Members, Self::Disk];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Several => "several",
            Self::Members => "members",
            Self::Disk => "disk",
        }
    }

    /// Of a range of seeds, run together with other worlds, it is run for each of which this is a
    /// divisor: the real store takes its time.
    const fn every(self) -> u64 {
        match self {
            Self::One | Self::Several | Self::Members => 1,
            Self::Disk => 8,
        }
    }

    /// What it is, in words.
    pub const fn title(self) -> &'static str {
        match self {
            Self::One => "one server",
            Self::Several => "several servers",
            Self::Members => "members of a stride",
            Self::Disk => "one server on disk",
        }
    }

    /// What a world of it can reach.
    pub fn marks(self) -> Vec<Mark> {
        Mark::ALL.iter().copied().filter(|mark| mark.is_reached(self)).collect()
    }

    /// Those that are faults.
    pub fn faults(self) -> Vec<Mark> {
        Mark::ALL.iter().copied().filter(|mark| mark.is_fault(self)).collect()
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
    /// Keep the whole trace; without it only its hash and the last lines are kept.
    pub trace: bool,
    /// How many requests clients make before the world heals.
    pub requests: u32,
    /// What is left out of a world.
    pub scope: Scope,
    /// A deliberate bug.
    #[cfg(feature = "mutants")]
    pub mutant: Option<AnyMutant>,
    /// Without the checkers that keep books on the allocator: what is left sees what users see.
    #[cfg(feature = "mutants")]
    pub without_books: bool,
}

impl Options {
    /// How many requests clients make if nothing else is said.
    pub const REQUESTS: u32 = 400;
}

impl Default for Options {
    fn default() -> Self {
        Self {
            trace: false,
            requests: Self::REQUESTS,
            scope: Scope::default(),
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
    /// The last of what happened before it.
    pub story: Vec<Step>,
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
    /// The faults that came to pass.
    pub struck: Vec<Struck>,
    /// All that happened, if [`Options::trace`] asked for it.
    pub trace: Option<Vec<Step>>,
    /// Whether all checkers were content.
    pub result: Result<(), Violation>,
}

/// What is left of a world that has run.
struct Ran {
    hash: u64,
    stats: Stats,
    struck: Vec<Struck>,
    story: Vec<Step>,
    steps: Option<Vec<Step>>,
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
        Setting::Members => {
            let mut world = members::World::new(seed, options);
            #[cfg(feature = "mutants")]
            if options.without_books {
                world.ignore_books();
            }
            (panics::catch(|| world.run()), world.ran())
        }
    };
    let found = found.unwrap_or_else(|message| Some(("assertion", message)));
    let violation = |(checker, message)| Violation { checker, message, story: ran.story };
    let result = found.map(violation).map_or(Ok(()), Err);
    let Ran { hash, stats, struck, steps: trace, .. } = ran;
    Outcome { seed, setting, hash, stats, struck, trace, result }
}

fn run_one(mut world: World) -> (Result<Option<Found>, String>, Ran) {
    let found = panics::catch(|| world.run());
    let (hash, stats, story) = (world.trace.hash(), world.stats, world.trace.story());
    let struck = world.gate.take_struck();
    (found, Ran { hash, stats, struck, story, steps: world.trace.into_steps() })
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
