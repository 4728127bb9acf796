//! The open question: do unbuffered channels between server and agents hold, or should a pool of the
//! next IDs wait for the agents? The live simulation is run with pools of several sizes.

use std::io;
use std::time::Duration;

use serde::Serialize;
use ticketd_core::definition::KindName;
use ticketd_core::ids::Id;
use ticketd_core::name::Name;

use super::Scenario;
use crate::live::{Issuers, Plan, Server, Stop, Watch, run};

/// How many IDs wait; with 0 server and agent meet for each one.
pub const BUFFERS: [usize; 5] = [0, 1, 16, 256, 4096];

/// The most agents of the second line of the sweep.
const CROWD_MAX: usize = 64;

/// What came of one size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BufferRate {
    /// How many agents asked.
    pub agents: usize,
    /// How many IDs could wait.
    pub buffer: usize,
    /// How many were handed over, by all tables together.
    pub ids_per_second: f64,
    /// Of these, how many came twice.
    pub duplicates: u64,
}

/// Nobody looks.
struct Unwatched;

impl Watch for Unwatched {
    fn ticket(&self, _: usize, _: &Name, _: Id) -> bool {
        true
    }

    fn tick(&self, _: u64, _: Duration) -> bool {
        true
    }
}

/// Runs the simulation of tickets with each size, with the agents of the scenario and with a crowd.
///
/// # Errors
/// If a service cannot start, or a run has an error.
pub fn buffers(scenario: &Scenario) -> io::Result<Vec<BufferRate>> {
    let crowd = (scenario.agents * 16).min(CROWD_MAX.max(scenario.agents));
    let agents = [scenario.agents, crowd];
    let runs = agents.iter().flat_map(|agents| BUFFERS.map(|buffer| (*agents, buffer)));
    runs.map(|(agents, buffer)| with_buffer(scenario, agents, buffer)).collect()
}

fn with_buffer(scenario: &Scenario, agents: usize, buffer: usize) -> io::Result<BufferRate> {
    let plan = Plan {
        agents,
        tables: scenario.tables.clone(),
        kind: KindName::Ticket,
        buffer,
        tickets: None,
        duration: Some(scenario.duration / 2),
        rate: None,
    };
    let server = Server::Local(Issuers::start(&plan)?);
    let summary = run(&plan, server, &Unwatched, &Stop::default());
    if let Some(trouble) = summary.trouble {
        return Err(io::Error::other(trouble));
    }
    let issued: u64 = summary.tables.iter().map(|table| table.found.issued).sum();
    let duplicates = summary.tables.iter().map(|table| table.found.duplicates).sum();
    let seconds = summary.elapsed.as_secs_f64().max(1e-6);
    Ok(BufferRate { agents, buffer, ids_per_second: issued as f64 / seconds, duplicates })
}
