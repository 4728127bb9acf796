//! The world of several servers that share an engine, with strict order.
//!
//! The core, and the store over the engine, are the real ones. The engine is a model that moves
//! real values, and the shell of each server is `crates/server` on virtual time, with places at
//! which a thread or a process may stand still. Each server has a clock of its own, which is fast or
//! slow as far as that is allowed.
//!
//! | part | is |
//! | --- | --- |
//! | `config` | what a seed makes of a world, faults included |
//! | `world`, `schedule` | the clock, the phases, the lives of processes |
//! | `tasks`, `hub` | how the tasks of servers run, and reach the world |
//! | `node`, `lease` | a server among the others |
//! | `service`, `sequence`, `owner`, `elsewhere` | what it does with a request |
//! | `flake`, `flakes`, `wall` | a snowflake sequence on a server; layouts, leases and wall clocks |
//! | `engine`, `peer`, `clients` | the ways between servers, the engine and clients |
//! | `loss` | an engine that falls back, and its operator |
//! | `faults` | what goes wrong with processes and links |
//! | `check`, `books` | the checkers |
//! | `bug` | deliberate bugs |
//! | `words` | the words of the trace |

mod books;
mod bug;
mod check;
mod clients;
mod config;
mod elsewhere;
mod engine;
mod faults;
mod flake;
mod flakes;
mod hub;
mod lease;
mod loss;
mod node;
mod owner;
mod peer;
mod schedule;
mod sequence;
mod service;
mod tasks;
mod wall;
mod words;
mod world;

#[cfg(feature = "mutants")]
pub use bug::ServerMutant;
use hub::Hub;
use tasks::Tasks;
use world::{Phase, World};

use super::check::Found;
use super::{Options, Ran};

/// No world takes as many steps. One that does is caught in a circle.
const HAPPENINGS_MAX: u64 = 3_000_000;

/// Nor are tasks polled so often at one moment.
const POLLS_MAX: u64 = 20_000;

/// A world that runs.
pub(super) struct Run {
    hub: Hub,
    tasks: Tasks,
}

impl Run {
    pub(super) fn new(seed: u64, options: &Options) -> Self {
        Self { hub: Hub::new(World::new(seed, options)), tasks: Tasks::new() }
    }

    /// Listens no more to those who look behind what users see.
    #[cfg(feature = "mutants")]
    pub(super) fn ignore_books(&self) {
        self.hub.world().checks.ignore_books();
    }

    /// Lets the world run to its end, or until a checker finds something.
    pub(super) fn run(&mut self) -> Option<Found> {
        self.hub.world().begin();
        loop {
            if !self.step() {
                let mut world = self.hub.world();
                world.stats.virtual_us = world.now;
                return world.checks.take_found();
            }
            self.settle();
        }
    }

    /// Lets one thing happen. Returns whether there is more.
    fn step(&mut self) -> bool {
        let mut guard = self.hub.world();
        let world = &mut *guard;
        if world.phase == Phase::Over || world.checks.has_found() {
            return false;
        }
        let Some((at, happening)) = world.schedule.next() else {
            world.checks.find("liveness", world.stuck());
            return false;
        };
        if world.is_late(at) || world.stats.happenings > HAPPENINGS_MAX {
            world.checks.find("liveness", world.stuck());
            return false;
        }
        world.now = at;
        world.stats.happenings += 1;
        world.happen(happening);
        true
    }

    /// Lets all tasks go on that can.
    fn settle(&mut self) {
        let mut polls = 0;
        loop {
            self.adopt();
            let Some((id, life)) = self.tasks.next() else { break };
            {
                let mut world = self.hub.world();
                if world.slots[life.slot].paused {
                    world.slots[life.slot].held.push(id);
                    continue;
                }
                if polls > POLLS_MAX {
                    let message = format!("{life:?} goes round in a circle and never waits");
                    world.checks.find("liveness", message);
                    return;
                }
            }
            polls += 1;
            self.tasks.poll(id);
            let mut world = self.hub.world();
            world.send_calls();
            if world.checks.has_found() {
                return;
            }
        }
        self.hub.world().advance();
        self.adopt();
    }

    /// Begins, ends and continues tasks as the world wants it.
    fn adopt(&mut self) {
        let (booting, killed, spawned, resumed) = {
            let mut world = self.hub.world();
            let world = &mut *world;
            (
                std::mem::take(&mut world.booting),
                std::mem::take(&mut world.killed),
                std::mem::take(&mut world.spawned),
                std::mem::take(&mut world.resumed),
            )
        };
        for life in killed {
            self.tasks.kill(life);
        }
        for (life, job) in spawned {
            if self.hub.world().is_alive(life) {
                self.tasks.spawn(life, job);
            }
        }
        for (life, clock) in booting {
            self.tasks.spawn(life, Box::pin(node::boot(self.hub.clone(), life, clock)));
        }
        resumed.into_iter().for_each(|id| self.tasks.put_back(id));
    }

    /// What is left of it.
    pub(super) fn ran(self) -> Ran {
        let mut world = self.hub.world();
        let trace = world.trace.take();
        Ran {
            hash: trace.hash(),
            stats: world.stats.clone(),
            struck: world.gate.take_struck(),
            story: trace.story(),
            steps: trace.into_steps(),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Servers and the world hold each other.
        self.tasks.clear();
        self.hub.world().clear();
    }
}
