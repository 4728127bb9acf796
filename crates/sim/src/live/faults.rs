//! The live simulation with faults: several real servers over one engine, of which now and then one
//! crashes or stops, and comes back.
//!
//! Each server is the one of `ticketd-server` with listeners on loopback, a lease of its own, and a
//! thread of its own (`member.rs`). The engine is in memory, and tells what the servers do there
//! (`engine.rs`) to a [`Story`], which tells it on as [`Event`]s in the order in which it happens.
//! A nemesis draws from a seed who is attacked, how, and when.

mod engine;
mod member;
mod nemesis;
mod story;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use ticketd_store::engine::MemoryEngine;

use super::{Findings, Plan, Server, Source, Stop, Summary, Watch, run};
use engine::ToldEngine;
use member::Member;
use nemesis::Nemesis;
use story::Story;

pub use story::{Counts, Event, Tell};

/// How many servers there are: one may be gone, and another go meanwhile.
pub const SERVERS: usize = 3;

/// The lease of a server: short, so that nobody watches an agent wait for long.
pub const LEASE: Duration = Duration::from_secs(1);

/// Where each server serves HTTP now. A server that is started again has another port, since
/// somebody else may have got the old one meanwhile.
#[derive(Debug, Default)]
pub struct Addresses(Mutex<[Option<SocketAddr>; SERVERS]>);

/// Several servers that share an engine. They are numbered from 1 where people see them, and from 0
/// here.
pub struct Servers {
    engine: Arc<MemoryEngine>,
    story: Arc<Story>,
    members: [Option<Member>; SERVERS],
    addresses: Arc<Addresses>,
}

impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Servers").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Addresses {
    /// Where server number `index`, counted from 0, is; `None` while it is gone.
    pub fn of(&self, index: usize) -> Option<SocketAddr> {
        self.each()[index]
    }

    fn each(&self) -> MutexGuard<'_, [Option<SocketAddr>; SERVERS]> {
        // Every change is a single assignment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Servers {
    /// Starts all of them over a new engine; `tell` hears what happens to them.
    ///
    /// # Errors
    /// If the system has no thread or port left.
    pub fn start(tell: Tell) -> io::Result<Self> {
        let mut servers = Self {
            engine: Arc::new(MemoryEngine::new()),
            story: Arc::new(Story::new(tell)),
            members: [const { None }; SERVERS],
            addresses: Arc::default(),
        };
        (0..SERVERS).try_for_each(|index| servers.start_one(index))?;
        Ok(servers)
    }

    /// Where they are.
    pub fn addresses(&self) -> Arc<Addresses> {
        Arc::clone(&self.addresses)
    }

    fn start_one(&mut self, index: usize) -> io::Result<()> {
        let engine = ToldEngine::new(Arc::clone(&self.engine), Arc::clone(&self.story), index);
        let member = Member::start(index + 1, Arc::new(engine), LEASE)?;
        self.addresses.each()[index] = Some(member.address());
        self.members[index] = Some(member);
        Ok(())
    }

    fn are_there(&self) -> Vec<usize> {
        (0..SERVERS).filter(|index| self.members[*index].is_some()).collect()
    }

    fn take(&mut self, index: usize) -> Option<Member> {
        self.addresses.each()[index] = None;
        self.members[index].take()
    }

    fn crash(&mut self, index: usize) {
        let Some(member) = self.take(index) else { return };
        member.crash();
        // When it is gone, so that nothing that it issues comes after this.
        self.story.crashed(index);
    }

    fn stop(&mut self, index: usize) -> bool {
        let Some(member) = self.take(index) else { return true };
        // Before it goes, since others take over while it does.
        self.story.stops(index);
        member.stop()
    }

    fn come_back(&mut self, index: usize) -> io::Result<()> {
        self.start_one(index)?;
        self.story.is_back(index);
        Ok(())
    }

    /// Ends all that are there. Returns whether they ended in time.
    fn end(mut self) -> bool {
        let ending: Vec<Member> = (0..SERVERS).filter_map(|index| self.take(index)).collect();
        ending.into_iter().all(Member::stop)
    }
}

/// Runs the simulation as [`run`] does, on `servers`, which crash, stop and come back as `seed`
/// says. Of tickets it accounts for those that were reserved and that no agent got.
///
/// # Panics
/// If there is not a connection for each agent.
pub fn run_with_faults(
    plan: &Plan,
    servers: Servers,
    seed: u64,
    sources: Vec<Box<dyn Source>>,
    watch: &dyn Watch,
    stop: &Stop,
) -> (Summary, Counts) {
    let story = Arc::clone(&servers.story);
    let nemesis = Nemesis::new(seed, plan.tables.clone(), servers);
    let over = Stop::default();
    let (mut summary, (servers, attacked)) = thread::scope(|scope| {
        let attacks = scope.spawn(|| {
            let ended = nemesis.run(&over);
            // Without faults it would be another simulation.
            if ended.1.is_err() {
                stop.request();
            }
            ended
        });
        let summary = run(plan, Server::Remote(sources), watch, stop);
        over.request();
        (summary, attacks.join().expect("a panic ends the process"))
    });
    if let Err(error) = attacked {
        summary.trouble.get_or_insert(format!("a server could not start again: {error}"));
    }
    if !servers.end() {
        summary.trouble.get_or_insert_with(|| "the servers did not stop in time".to_owned());
    }
    for table in &mut summary.tables {
        table.burnt = story.mark(&table.name).map(|mark| burnt(&table.found, mark));
    }
    (summary, story.counts())
}

/// How many tickets below `mark` no agent got: fewer than there are gaps if an agent got one that
/// is not below it, and never was reserved.
fn burnt(found: &Findings, mark: u64) -> u64 {
    let answered = match (found.first, found.last) {
        (Some(first), Some(last)) => last - first + 1 - found.gaps,
        _ => 0,
    };
    (mark - 1).saturating_sub(answered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_got_is_burnt_and_a_ticket_that_was_never_reserved_shows() {
        let found = Findings { first: Some(1), last: Some(1010), gaps: 900, ..Findings::default() };
        assert_eq!(burnt(&found, 1011), 900);
        assert_eq!(burnt(&found, 2001), 900 + 990);
        assert!(burnt(&found, 1010) < found.gaps);
        assert_eq!(burnt(&Findings::default(), 1), 0);
        assert_eq!(burnt(&Findings::default(), 1001), 1000);
    }
}
