//! The faults, and how they are undone.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::engine::{Engine, Shape};
use crate::net::{Flow, Net};
use crate::random::Random;
use crate::servers::{Server, owner};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// SIGKILL of a server; started again.
    KillServer,
    /// The same of the owner of a sequence.
    KillOwner,
    /// SIGSTOP of a server for longer than its lease, then SIGCONT.
    PauseServer,
    /// The same of the owner of a sequence.
    PauseOwner,
    /// SIGTERM of a server; started again.
    StopServer,
    /// A server's wall clock is set forward or back, and then right again.
    SetClock,
    /// SIGKILL of a member of the engine; started again.
    KillMember,
    /// The same of the one that leads.
    KillLeader,
    /// SIGSTOP of a member of the engine, then SIGCONT.
    PauseMember,
    /// The member that leads is killed for good, and another takes its place.
    FailOver,
    /// All members of the engine are killed, or paused.
    EngineAway,
    /// A server and the engine no longer reach each other.
    CutFromEngine,
    /// What goes one way between a server and the engine is lost.
    CutFromEngineOneWay,
    /// Two servers do not reach each other, or only one way.
    CutServers,
    /// A member of the engine does not reach the others, or only one way.
    CutMember,
    /// A server and a member of the engine on one side, all others on the other.
    Split,
    /// All that is said between all takes longer.
    Slow,
    /// All connections break.
    Break,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::KillServer,
        Self::KillOwner,
        Self::PauseServer,
        Self::PauseOwner,
        Self::StopServer,
        Self::SetClock,
        Self::KillMember,
        Self::KillLeader,
        Self::PauseMember,
        Self::FailOver,
        Self::EngineAway,
        Self::CutFromEngine,
        Self::CutFromEngineOneWay,
        Self::CutServers,
        Self::CutMember,
        Self::Split,
        Self::Slow,
        Self::Break,
    ];

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KillServer => "server killed",
            Self::KillOwner => "owner killed",
            Self::PauseServer => "server paused",
            Self::PauseOwner => "owner paused",
            Self::StopServer => "server stopped",
            Self::SetClock => "clock set",
            Self::KillMember => "member killed",
            Self::KillLeader => "leader killed",
            Self::PauseMember => "member paused",
            Self::FailOver => "engine failed over",
            Self::EngineAway => "engine away",
            Self::CutFromEngine => "cut from engine",
            Self::CutFromEngineOneWay => "cut from engine, one way",
            Self::CutServers => "servers cut",
            Self::CutMember => "member cut",
            Self::Split => "split",
            Self::Slow => "slow network",
            Self::Break => "connections broken",
        }
    }

    /// Whether it makes sense with an engine of this shape.
    pub fn fits(self, engine: Shape) -> bool {
        match self {
            Self::KillLeader => engine.members > 1,
            Self::CutMember | Self::Split => engine.votes,
            Self::FailOver => engine.fails_over,
            Self::SetClock => crate::servers::can_set_clocks(),
            _ => true,
        }
    }

    /// How long it lasts, with leases of `lease`.
    pub fn lasts(self, lease: Duration, random: &mut Random) -> Duration {
        // In tenths of a lease.
        let (min, max) = match self {
            Self::PauseServer | Self::PauseOwner => (12, 25),
            Self::KillServer | Self::KillOwner | Self::KillMember | Self::KillLeader => (1, 20),
            Self::StopServer => (0, 10),
            Self::Break => (0, 0),
            _ => (5, 25),
        };
        lease * u32::try_from(random.between(min, max)).expect("it is small") / 10
    }
}

/// All that can be attacked. Servers are the nodes from 0 on, and then the members of the engine.
pub struct Field {
    /// The servers.
    pub servers: Vec<Server>,
    /// The engine.
    pub engine: Box<dyn Engine>,
    /// The network between them.
    pub net: Arc<Net>,
    /// The names of sequences that have owners.
    pub owned: Vec<String>,
    /// Nodes whose process is down or paused.
    down: BTreeSet<usize>,
}

/// A fault that lasts.
#[derive(Debug)]
pub struct Wound {
    /// What was done, for people.
    pub what: String,
    /// Servers that cannot be expected to serve their clients meanwhile.
    pub hit: Vec<usize>,
    /// A server whose clock is set so far ahead that its times are not made up for soon.
    pub far_ahead: Option<usize>,
    undo: Undo,
}

#[derive(Debug)]
enum Undo {
    Nothing,
    Start(Vec<usize>),
    Resume(Vec<usize>),
    FollowAgain,
    Connect { links: Vec<(usize, usize)>, breaks: bool },
    SetClockRight(usize),
}

impl Field {
    /// A field on which nothing is wrong yet.
    pub fn new(
        servers: Vec<Server>,
        engine: Box<dyn Engine>,
        net: Arc<Net>,
        owned: Vec<String>,
    ) -> Self {
        Self { servers, engine, net, owned, down: BTreeSet::new() }
    }

    /// Does what `kind` says, to whom `random` says; `None` if nobody is there for it.
    ///
    /// # Errors
    /// If it cannot be done.
    pub fn attack(&mut self, kind: Kind, random: &mut Random) -> Result<Option<Wound>> {
        match kind {
            Kind::KillServer | Kind::PauseServer | Kind::StopServer | Kind::SetClock => {
                let server = self.some_server(random);
                server.map(|server| self.attack_server(kind, server, random)).transpose()
            }
            Kind::KillOwner | Kind::PauseOwner => {
                let owner = self.some_owner(random);
                owner.map(|owner| self.attack_server(kind, owner, random)).transpose()
            }
            Kind::KillMember | Kind::PauseMember => {
                let member = self.some_member(random);
                member.map(|member| self.attack_members(kind, vec![member], random)).transpose()
            }
            Kind::KillLeader => {
                let leader = self.leader_node().filter(|leader| !self.down.contains(leader));
                leader.map(|leader| self.attack_members(kind, vec![leader], random)).transpose()
            }
            Kind::FailOver => self.fail_over(),
            Kind::EngineAway => {
                let members = self.member_nodes().filter(|member| !self.down.contains(member));
                let members: Vec<usize> = members.collect();
                self.attack_members(kind, members, random).map(Some)
            }
            Kind::CutFromEngine
            | Kind::CutFromEngineOneWay
            | Kind::CutServers
            | Kind::CutMember
            | Kind::Split
            | Kind::Slow
            | Kind::Break => Ok(self.attack_network(kind, random)),
        }
    }

    /// Undoes what an attack has done.
    ///
    /// # Errors
    /// If it cannot be undone.
    pub fn undo(&mut self, wound: &Wound) -> Result<()> {
        match &wound.undo {
            Undo::Nothing => {}
            Undo::Start(nodes) => {
                for node in nodes {
                    self.start_again(*node)?;
                }
            }
            Undo::Resume(nodes) => {
                for node in nodes {
                    self.down.remove(node);
                    match node.checked_sub(self.servers.len()) {
                        None => self.servers[*node].process.resume()?,
                        Some(member) => self.engine.resume(member)?,
                    }
                }
            }
            Undo::FollowAgain => {
                self.engine.follow_again()?;
                for node in self.member_nodes() {
                    self.down.remove(&node);
                    self.know(node);
                }
            }
            Undo::Connect { links, breaks } => {
                for (from, to) in links {
                    self.net.set(*from, *to, Flow::Pass);
                    if *breaks {
                        self.net.break_between(*from, *to);
                    }
                }
            }
            Undo::SetClockRight(server) => self.servers[*server].set_clock(0)?,
        }
        Ok(())
    }

    /// Waits until all are well again.
    ///
    /// # Errors
    /// If somebody does not become so.
    pub fn wait_until_well(&mut self) -> Result<()> {
        for member in 0..self.engine.shape().members {
            self.engine.wait_until_serving(member)?;
        }
        self.servers.iter_mut().try_for_each(Server::wait_until_ready)
    }

    fn node_of_member(&self, member: usize) -> usize {
        self.servers.len() + member
    }

    fn member_nodes(&self) -> Range<usize> {
        let first = self.servers.len();
        first..first + self.engine.shape().members
    }

    /// Tells the network which process a member is now.
    fn know(&self, node: usize) {
        self.net.is(node, self.engine.pid(node - self.servers.len()));
    }

    fn start_again(&mut self, node: usize) -> Result<()> {
        self.down.remove(&node);
        let Some(member) = node.checked_sub(self.servers.len()) else {
            return self.servers[node].start_again();
        };
        self.engine.start_again(member)?;
        self.know(node);
        Ok(())
    }

    fn some_server(&self, random: &mut Random) -> Option<usize> {
        let up = (0..self.servers.len()).filter(|server| !self.down.contains(server));
        some(up.collect(), random)
    }

    fn some_member(&self, random: &mut Random) -> Option<usize> {
        let nodes = self.member_nodes().filter(|member| !self.down.contains(member));
        some(nodes.collect(), random)
    }

    fn some_owner(&self, random: &mut Random) -> Option<usize> {
        let asked = self.some_server(random)?;
        let name = random.one(&self.owned);
        let owner = owner(&self.servers, asked, name)?;
        (!self.down.contains(&owner)).then_some(owner)
    }

    fn leader_node(&self) -> Option<usize> {
        let leader = self.engine.leader()?;
        Some(self.node_of_member(leader))
    }

    fn attack_server(&mut self, kind: Kind, n: usize, random: &mut Random) -> Result<Wound> {
        let server = &mut self.servers[n];
        let (undo, how) = match kind {
            Kind::SetClock => {
                let seconds = *random.one(&CLOCK_STEPS);
                server.set_clock(seconds)?;
                let what = format!("the clock of server {n} set by {seconds:+} s");
                return Ok(Wound {
                    what,
                    hit: Vec::new(),
                    far_ahead: (seconds > AHEAD_MAX).then_some(n),
                    undo: Undo::SetClockRight(n),
                });
            }
            Kind::PauseServer | Kind::PauseOwner => {
                server.process.pause()?;
                (Undo::Resume(vec![n]), "paused")
            }
            Kind::StopServer => {
                server.stop()?;
                (Undo::Start(vec![n]), "stopped")
            }
            _ => {
                server.kill()?;
                (Undo::Start(vec![n]), "killed")
            }
        };
        self.down.insert(n);
        Ok(Wound { what: format!("server {n} {how}"), hit: vec![n], far_ahead: None, undo })
    }

    fn attack_members(
        &mut self,
        kind: Kind,
        nodes: Vec<usize>,
        random: &mut Random,
    ) -> Result<Wound> {
        let pauses = match kind {
            Kind::PauseMember => true,
            Kind::EngineAway => random.once_in(2),
            _ => false,
        };
        let first = self.servers.len();
        let members: Vec<usize> = nodes.iter().map(|node| node - first).collect();
        for member in &members {
            if pauses { self.engine.pause(*member)? } else { self.engine.kill(*member)? }
        }
        self.down.extend(&nodes);
        let how = if pauses { "paused" } else { "killed" };
        let what = format!("members {members:?} of the engine {how}");
        let (shape, lost) = (self.engine.shape(), self.member_nodes());
        let lost = lost.filter(|member| self.down.contains(member)).count();
        let is_served = shape.votes && 2 * lost < shape.members;
        let hit = if is_served { Vec::new() } else { (0..first).collect() };
        let undo = if pauses { Undo::Resume(nodes) } else { Undo::Start(nodes) };
        Ok(Wound { what, hit, far_ahead: None, undo })
    }

    fn fail_over(&mut self) -> Result<Option<Wound>> {
        // It takes both of them.
        if self.member_nodes().any(|member| self.down.contains(&member)) {
            return Ok(None);
        }
        self.down.extend(self.leader_node());
        self.engine.fail_over()?;
        let what = "the one that led was killed for good".to_owned();
        Ok(Some(Wound { what, hit: Vec::new(), far_ahead: None, undo: Undo::FollowAgain }))
    }

    fn attack_network(&self, kind: Kind, random: &mut Random) -> Option<Wound> {
        let (servers, members) = (self.servers.len(), self.engine.shape().members);
        let all: Vec<usize> = (0..servers + members).collect();
        let server = *random.one(&all[..servers]);
        let leader = self.leader_node().filter(|_| random.once_in(2));
        let member = leader.unwrap_or(*random.one(&all[servers..]));
        let one_way = random.once_in(2);
        let (some, others, hit): (Vec<usize>, Vec<usize>, Vec<usize>) = match kind {
            Kind::CutFromEngine | Kind::CutFromEngineOneWay => {
                (vec![server], all[servers..].to_vec(), vec![server])
            }
            Kind::CutServers => {
                let other = some(
                    all[..servers].iter().copied().filter(|n| *n != server).collect(),
                    random,
                )?;
                (vec![server], vec![other], vec![server, other])
            }
            Kind::CutMember => (
                vec![member],
                all[servers..].iter().copied().filter(|n| *n != member).collect(),
                vec![],
            ),
            Kind::Split => {
                let inside = [server, member];
                let outside = all.iter().copied().filter(|n| !inside.contains(n)).collect();
                (inside.to_vec(), outside, vec![server])
            }
            _ => (all.clone(), all, vec![]),
        };
        let both_ways = match kind {
            Kind::CutFromEngine | Kind::Split | Kind::Slow | Kind::Break => true,
            Kind::CutFromEngineOneWay => false,
            _ => !one_way,
        };
        let mut links: Vec<(usize, usize)> = pairs(&some, &others);
        if both_ways {
            links.extend(pairs(&others, &some));
        } else if random.once_in(2) {
            links = pairs(&others, &some);
        }
        Some(self.apply(kind, links, hit, random))
    }

    fn apply(
        &self,
        kind: Kind,
        links: Vec<(usize, usize)>,
        hit: Vec<usize>,
        random: &mut Random,
    ) -> Wound {
        let first_member = self.servers.len();
        let shown = |n: usize| match n.checked_sub(first_member) {
            None => format!("server {n}"),
            Some(member) => format!("member {member}"),
        };
        if kind == Kind::Break {
            links.iter().for_each(|(from, to)| self.net.break_between(*from, *to));
            let what = "all connections broken".to_owned();
            return Wound { what, hit, far_ahead: None, undo: Undo::Nothing };
        }
        let (flow, what) = if kind == Kind::Slow {
            let ms = random.between(5, 100);
            (Flow::Late(u32::try_from(ms).expect("it is small")), format!("all {ms} ms late"))
        } else {
            let shown = |(from, to): &(usize, usize)| format!("{} to {}", shown(*from), shown(*to));
            let shown: Vec<String> = links.iter().map(shown).collect();
            (Flow::Cut, format!("cut: {}", shown.join(", ")))
        };
        links.iter().for_each(|(from, to)| self.net.set(*from, *to, flow));
        let breaks = kind != Kind::Slow && random.once_in(2);
        Wound { what, hit, far_ahead: None, undo: Undo::Connect { links, breaks } }
    }
}

/// By how many seconds a wall clock is set: a little, a lot, and by years.
const CLOCK_STEPS: [i64; 8] = [-1, 2, -10, 30, -3600, 3600, -100_000_000, 100_000_000];

/// By so many seconds the wall clock may have been ahead, and times in IDs are soon right again.
const AHEAD_MAX: i64 = 5;

fn some(from: Vec<usize>, random: &mut Random) -> Option<usize> {
    (!from.is_empty()).then(|| *random.one(&from))
}

fn pairs(some: &[usize], others: &[usize]) -> Vec<(usize, usize)> {
    let to_all = |from: &usize| others.iter().map(|to| (*from, *to)).collect::<Vec<_>>();
    some.iter().flat_map(to_all).filter(|(from, to)| from != to).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_outlasts_a_lease_and_nothing_lasts_for_ever() {
        let (lease, mut random) = (Duration::from_secs(2), Random::new(1));
        for kind in Kind::ALL {
            for _ in 0..100 {
                let lasts = kind.lasts(lease, &mut random);
                assert!(lasts <= lease * 5 / 2, "{kind:?}");
                let pauses = matches!(kind, Kind::PauseServer | Kind::PauseOwner);
                assert!(!pauses || lasts > lease, "{kind:?}");
            }
        }
    }

    #[test]
    fn an_engine_meets_what_its_shape_allows() {
        let count = |shape: Shape| {
            let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::SetClock);
            kinds.filter(|kind| kind.fits(shape)).count()
        };
        let others = Kind::ALL.len() - 1;
        assert_eq!(count(Shape { members: 3, votes: true, fails_over: false }), others - 1);
        assert_eq!(count(Shape { members: 2, votes: false, fails_over: true }), others - 2);
        assert_eq!(count(Shape { members: 1, votes: false, fails_over: false }), others - 4);
    }

    #[test]
    fn nobody_is_cut_from_itself() {
        assert_eq!(pairs(&[0, 1], &[1, 2]), [(0, 1), (0, 2), (1, 2)]);
    }
}
