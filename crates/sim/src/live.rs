//! The live simulation: what the project began as. Agents on threads of their own ask a ticket
//! server for IDs of their tables, all at once, and every ticket is checked.
//!
//! The server is the one of `ticketd-server`, allocator, owner tasks and all, over a store in
//! memory ([`Local`]); or it is a real one, by a [`Source`] for each agent. An [`Auditor`] per
//! table checks each ticket in bounded memory. What is printed is the business of a [`Watch`].

mod agent;
mod auditor;
mod kinds;
mod local;
mod spans;
mod stop;

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use ticketd_core::block::Block;
use ticketd_core::count::Count;
use ticketd_core::definition::KindName;
use ticketd_core::ids::Id;
use ticketd_core::name::Name;
use ticketd_server::clock::Clock;

use agent::{Agent, Budget, KindAgent, Shared, Supply};

pub use auditor::{Asked, Auditor, Findings};
pub(crate) use kinds::kind_in_seat;
pub use kinds::{Issuers, KindAuditor, Seen};
pub(crate) use local::Dispenser;
pub use local::Local;
pub use spans::{Noted, Spans};
pub use stop::Stop;

/// The most agents of a run: each is a thread.
pub const AGENTS_MAX: usize = 1000;

/// The most tables of a run.
pub const TABLES_MAX: usize = 1000;

/// The most IDs that wait in a pool: also what an agent asks a server for at a time.
pub const BUFFER_MAX: usize = ticketd_core::limits::COUNT_MAX as usize;

/// How often the one who watches is told how far it is.
const TICK: Duration = Duration::from_millis(100);

/// What to simulate.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many agents: 1 to [`AGENTS_MAX`], spread evenly over the tables.
    pub agents: usize,
    /// The tables, each once; at least one.
    pub tables: Vec<Name>,
    /// What an ID is.
    pub kind: KindName,
    /// IDs that wait in a pool for the agents of a table. With 0 each hand-over is a rendezvous.
    pub buffer: usize,
    /// End after so many tickets in all.
    pub tickets: Option<u64>,
    /// End after so long.
    pub duration: Option<Duration>,
    /// Tickets per second and agent; `None` for as many as there are.
    pub rate: Option<f64>,
}

impl Plan {
    /// The table of the agent with this number, counted from 1.
    pub fn table_of(&self, agent: usize) -> usize {
        (agent - 1) * self.tables.len() / self.agents
    }
}

/// A connection of one agent to a ticket server.
pub trait Source: Send {
    /// The next `count` contiguous IDs of `table`.
    ///
    /// # Errors
    /// Why there are none; the run ends then.
    fn next(&mut self, table: &Name, count: Count) -> Result<Block, Box<dyn Error + Send + Sync>>;
}

/// Who hands the tickets out.
pub enum Server {
    /// The service itself, over channels.
    Local(Local),
    /// A real one over the network: a connection for each agent, in their order.
    Remote(Vec<Box<dyn Source>>),
}

/// Who watches a run. Called from many threads at once.
pub trait Watch: Sync {
    /// Agent number `agent` got `ticket` of `table`. Answers whether to go on.
    fn ticket(&self, agent: usize, table: &Name, ticket: Id) -> bool;

    /// Now and then: so many tickets so far, after so long. Answers whether to go on.
    fn tick(&self, issued: u64, elapsed: Duration) -> bool;
}

/// What became of a run.
#[derive(Debug, Clone)]
pub struct Summary {
    /// How long the agents were at work.
    pub elapsed: Duration,
    /// One for each table of the plan.
    pub tables: Vec<TableSummary>,
    /// Why the run ended early, if it did for an error.
    pub trouble: Option<String>,
}

/// What became of one table.
#[derive(Debug, Clone)]
pub struct TableSummary {
    /// The table.
    pub name: Name,
    /// What its auditor found.
    pub found: Findings,
    /// Of kinds other than tickets: which IDs.
    pub seen: Option<Seen>,
    /// IDs that the local server knows to be lost: an account of the gaps. `None` for a real
    /// server, which has other clients and keeps its own metrics.
    pub burnt: Option<u64>,
}

impl TableSummary {
    /// Whether every promise was kept: unique, in order, and no gap without an account.
    pub fn kept(&self) -> bool {
        self.found.is_clean() && self.burnt.is_none_or(|burnt| self.found.gaps <= burnt)
    }
}

impl Summary {
    /// Whether every promise was kept.
    pub fn kept(&self) -> bool {
        self.tables.iter().all(TableSummary::kept)
    }
}

/// The first thing that went wrong.
#[derive(Debug, Default)]
struct Trouble(Mutex<Option<String>>);

impl Trouble {
    fn report(&self, what: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
    }

    fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Runs the simulation until the plan is done, `stop` is requested, or the watcher has enough.
///
/// # Panics
/// If a remote server comes without a connection for each agent.
pub fn run(plan: &Plan, server: Server, watch: &dyn Watch, stop: &Stop) -> Summary {
    let clock = Clock::start();
    let trouble = Trouble::default();
    let auditors: Vec<Auditor> = plan.tables.iter().map(|_| Auditor::default()).collect();
    let shared = Shared {
        clock,
        rate: plan.rate,
        batch: plan.buffer.max(1) as u64,
        budget: Budget::new(plan.tickets),
        stop,
        trouble: &trouble,
        watch,
    };
    let local = thread::scope(|scope| {
        let (running, ended) = bounded::<()>(0);
        let (supplies, local) = supplies(scope, plan, server, &trouble, stop);
        for (index, supply) in supplies.into_iter().enumerate() {
            let number = index + 1;
            let table = plan.table_of(number);
            let (table, auditor) = (&plan.tables[table], &auditors[table]);
            let agent = Agent { number, table, auditor, supply, shared: &shared };
            let running = running.clone();
            scope.spawn(move || {
                agent.run();
                drop(running);
            });
        }
        drop(running);
        let issued = || auditors.iter().map(Auditor::issued).sum();
        attend(plan, &issued, &shared, &ended);
        local
    });
    let elapsed = clock.uptime();
    let tables = plan.tables.iter().zip(&auditors).map(|(name, auditor)| TableSummary {
        name: name.clone(),
        found: auditor.findings(),
        seen: None,
        burnt: local.as_ref().map(|local| local.burnt(name)),
    });
    let tables = tables.collect();
    if local.is_some_and(|local| !local.stop()) {
        trouble.report("the service did not stop in time".to_owned());
    }
    Summary { elapsed, tables, trouble: trouble.take() }
}

/// As [`run`], for kinds other than tickets.
pub fn run_kind(plan: &Plan, issuers: &Issuers, watch: &dyn Watch, stop: &Stop) -> Summary {
    let clock = Clock::start();
    let trouble = Trouble::default();
    let auditor = |_| KindAuditor::new(plan.kind, plan.agents);
    let auditors: Vec<KindAuditor> = plan.tables.iter().map(auditor).collect();
    let shared = Shared {
        clock,
        rate: plan.rate,
        batch: 1,
        budget: Budget::new(plan.tickets),
        stop,
        trouble: &trouble,
        watch,
    };
    thread::scope(|scope| {
        let (running, ended) = bounded::<()>(0);
        let mut hatches = HashMap::new();
        for number in 1..=plan.agents {
            let table = plan.table_of(number);
            let name = &plan.tables[table];
            // A hatch for each table of each issuer.
            let issuer = if kinds::has_issuer_per_agent(plan.kind) { number - 1 } else { 0 };
            let hatch = hatches.entry((issuer, table)).or_insert_with(|| {
                let (hatch, receiver) = bounded(plan.buffer);
                let dispenser = issuers.of(number).dispenser(name);
                let (trouble, stop) = (&trouble, &stop);
                scope.spawn(move || {
                    if let Err(error) = dispenser.run_ids(&hatch) {
                        trouble.report(format!("{name}: {error}"));
                        stop.request();
                    }
                });
                receiver
            });
            let (hatch, auditor) = (hatch.clone(), &auditors[table]);
            let agent = KindAgent { number, table: name, auditor, issuer, hatch, shared: &shared };
            let running = running.clone();
            scope.spawn(move || {
                agent.run();
                drop(running);
            });
        }
        drop((running, hatches));
        let issued = || auditors.iter().map(KindAuditor::issued).sum();
        attend(plan, &issued, &shared, &ended);
    });
    let elapsed = clock.uptime();
    let tables = plan.tables.iter().zip(&auditors).map(|(name, auditor)| {
        let (found, seen) = auditor.findings();
        TableSummary { name: name.clone(), found, seen: Some(seen), burnt: None }
    });
    let tables = tables.collect();
    if !issuers.stop() {
        trouble.report("the service did not stop in time".to_owned());
    }
    Summary { elapsed, tables, trouble: trouble.take() }
}

/// A supply for each agent, in their order. For a local server this starts the dispensers.
fn supplies<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    plan: &'scope Plan,
    server: Server,
    trouble: &'scope Trouble,
    stop: &'scope Stop,
) -> (Vec<Supply>, Option<Local>) {
    let local = match server {
        Server::Local(local) => local,
        Server::Remote(sources) => {
            assert_eq!(sources.len(), plan.agents, "each agent has a connection of its own");
            return (sources.into_iter().map(Supply::Remote).collect(), None);
        }
    };
    let hatches: Vec<Receiver<u64>> = plan
        .tables
        .iter()
        .map(|table| {
            let (hatch, receiver) = bounded(plan.buffer);
            let dispenser = local.dispenser(table);
            scope.spawn(move || {
                if let Err(error) = dispenser.run(&hatch) {
                    trouble.report(format!("{table}: {error}"));
                    stop.request();
                }
            });
            receiver
        })
        .collect();
    let supplies = (1..=plan.agents).map(|agent| hatches[plan.table_of(agent)].clone());
    (supplies.map(Supply::Hatch).collect(), Some(local))
}

/// Waits for the end of all agents, and tells who watches how far they are.
fn attend(plan: &Plan, issued: &dyn Fn() -> u64, shared: &Shared<'_>, ended: &Receiver<()>) {
    loop {
        let elapsed = shared.clock.uptime();
        let left = plan.duration.map_or(TICK, |duration| duration.saturating_sub(elapsed));
        // Once stopped, the agents end by themselves: no need to ask more often than this.
        let wait = if shared.stop.is_requested() { TICK } else { left.min(TICK) };
        if ended.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        let elapsed = shared.clock.uptime();
        let is_over = plan.duration.is_some_and(|duration| elapsed >= duration);
        if !shared.watch.tick(issued(), elapsed) || is_over {
            shared.stop.request();
        }
    }
}
