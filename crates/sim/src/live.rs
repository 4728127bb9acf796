//! The live simulation: what the project began as. Agents on threads of their own ask a ticket
//! server for IDs of their tables, all at once, and every ticket is checked.
//!
//! The server is the one of `ticketd-server`, allocator, owner tasks and all, over a store in
//! memory ([`Local`]), or one for each agent where the kind wants it ([`Issuers`]); or it is a real
//! one, by a [`Source`] for each agent. An auditor per table checks each ID in bounded memory: an
//! [`Auditor`] of tickets, a [`KindAuditor`] of other kinds. What is printed is the business of a
//! [`Watch`].

mod agent;
mod audit;
mod auditor;
pub mod faults;
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
use ticketd_core::count::Count;
use ticketd_core::definition::KindName;
use ticketd_core::ids::{Id, Ids};
use ticketd_core::name::Name;
use ticketd_server::clock::Clock;

use agent::{Agent, Budget, Shared, Supply};
use audit::Audit;

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

/// A connection of one agent to a server.
pub trait Source: Send {
    /// The next `count` IDs of `table`.
    ///
    /// # Errors
    /// Why there are none; the run ends then.
    fn next(&mut self, table: &Name, count: Count) -> Result<Ids, Box<dyn Error + Send + Sync>>;
}

/// Who hands the IDs out.
pub enum Server {
    /// The service itself, over channels.
    Local(Issuers),
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
    /// IDs that the servers of this process know to be lost: an account of the gaps. `None` for a
    /// real server, which has other clients and keeps its own metrics.
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
    let audit = |_| Audit::new(plan, matches!(server, Server::Local(_)));
    let audits: Vec<Audit> = plan.tables.iter().map(audit).collect();
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
            let issuer = local.as_ref().map_or(0, |issuers| issuers.index_of(number));
            let table = plan.table_of(number);
            let (table, audit) = (&plan.tables[table], &audits[table]);
            let agent =
                Agent { number, table, kind: plan.kind, audit, issuer, supply, shared: &shared };
            let running = running.clone();
            scope.spawn(move || {
                agent.run();
                drop(running);
            });
        }
        drop(running);
        let issued = || audits.iter().map(Audit::issued).sum();
        attend(plan, &issued, &shared, &ended);
        local
    });
    let elapsed = clock.uptime();
    let tables = plan.tables.iter().zip(&audits).map(|(name, audit)| {
        let (found, seen) = audit.findings();
        let burnt = local.as_ref().and_then(|issuers| issuers.burnt(name));
        TableSummary { name: name.clone(), found, seen, burnt }
    });
    let tables = tables.collect();
    if local.is_some_and(|issuers| !issuers.stop()) {
        trouble.report("the service did not stop in time".to_owned());
    }
    Summary { elapsed, tables, trouble: trouble.take() }
}

/// A supply for each agent, in their order. For a local server this starts the dispensers: one for
/// each table of each issuer.
fn supplies<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    plan: &'scope Plan,
    server: Server,
    trouble: &'scope Trouble,
    stop: &'scope Stop,
) -> (Vec<Supply>, Option<Issuers>) {
    let issuers = match server {
        Server::Local(issuers) => issuers,
        Server::Remote(sources) => {
            assert_eq!(sources.len(), plan.agents, "each agent has a connection of its own");
            return (sources.into_iter().map(Supply::Remote).collect(), None);
        }
    };
    let mut hatches: HashMap<(usize, usize), Receiver<Id>> = HashMap::new();
    let supply = |number| {
        let table = plan.table_of(number);
        let hatch = hatches.entry((issuers.index_of(number), table)).or_insert_with(|| {
            let table = &plan.tables[table];
            let (hatch, receiver) = bounded(plan.buffer);
            let dispenser = issuers.of(number).dispenser(table);
            scope.spawn(move || {
                if let Err(error) = dispenser.run(&hatch) {
                    trouble.report(format!("{table}: {error}"));
                    stop.request();
                }
            });
            receiver
        });
        Supply::Hatch(hatch.clone())
    };
    let supplies = (1..=plan.agents).map(supply).collect();
    (supplies, Some(issuers))
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
