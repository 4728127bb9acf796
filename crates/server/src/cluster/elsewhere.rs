//! A sequence that another server owns: requests for it are forwarded there.
//!
//! Requests that wait at the same time travel as one, and one is under way at a time. Whoever asks
//! keeps its deadline. If the owner cannot be reached, it is asked again until its lease has ended;
//! then whoever waits finds out who owns the sequence now.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ticketd_core::backoff::pause_us;
use ticketd_core::cluster::ServerId;
use ticketd_core::count::Count;
use ticketd_core::definition::KindName;
use ticketd_core::ids::Range;
use ticketd_core::limits::COUNT_MAX;
use ticketd_core::name::Name;
use ticketd_core::time::Instant;
use ticketd_store::Announcement;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use super::Cluster;
use super::peer::{Told, Unanswered, Wish, range_of};
use super::tally::Outcome;
use crate::clock::Clock;
use crate::error::{ErrorKind, ServiceError};
use crate::limits::OWNER_QUEUE_LEN;

/// How long one attempt may take: an owner that stands still is asked again, and each time it is
/// looked at whether it is still the owner.
const ATTEMPT_MAX: Duration = Duration::from_secs(1);

/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// A sequence that another server owns.
#[derive(Debug)]
pub struct Elsewhere {
    name: Name,
    server: ServerId,
    kind: KindName,
    requests: mpsc::Sender<Forwarded>,
}

/// Why the owner gave no answer.
#[derive(Debug)]
pub(crate) enum NotThere {
    /// It is not the owner any more; perhaps this server is.
    Moved(Option<ServerId>),
    /// It refused.
    Refused(ServiceError),
}

type Reply<T> = oneshot::Sender<Result<T, NotThere>>;

#[derive(Debug)]
struct Forwarded {
    what: What,
    deadline: Instant,
}

#[derive(Debug)]
enum What {
    Next(Count, Reply<Range>),
    Raise(u64, Reply<Option<u64>>),
}

impl Elsewhere {
    /// A sequence that `server` owns, with a task that asks there. It ends with the sequence.
    pub(crate) fn start(
        name: Name,
        server: ServerId,
        kind: KindName,
        cluster: Arc<Cluster>,
        clock: Clock,
    ) -> Arc<Self> {
        let (requests, received) = mpsc::channel(OWNER_QUEUE_LEN);
        let (sequence, waiting) = (name.clone(), VecDeque::new());
        let forwarder = Forwarder { name: sequence, server, cluster, clock, waiting, alone: 0 };
        tokio::spawn(forwarder.run(received));
        Arc::new(Self { name, server, kind, requests })
    }

    /// The name of the sequence.
    pub(crate) const fn name(&self) -> &Name {
        &self.name
    }

    /// Who owns it.
    pub(crate) const fn server(&self) -> ServerId {
        self.server
    }

    /// Its kind.
    pub(crate) const fn kind(&self) -> KindName {
        self.kind
    }

    /// `count` IDs that are evenly apart.
    pub(crate) async fn next(&self, count: Count, deadline: Instant) -> Result<Range, NotThere> {
        let (reply, answer) = oneshot::channel();
        self.ask(What::Next(count, reply), deadline, answer).await
    }

    /// Raises the sequence. Returns the smallest ID that can come next.
    pub(crate) async fn raise(&self, to: u64, deadline: Instant) -> Result<Option<u64>, NotThere> {
        let (reply, answer) = oneshot::channel();
        self.ask(What::Raise(to, reply), deadline, answer).await
    }

    async fn ask<T>(
        &self,
        what: What,
        deadline: Instant,
        answer: oneshot::Receiver<Result<T, NotThere>>,
    ) -> Result<T, NotThere> {
        let sent = self.requests.send(Forwarded { what, deadline }).await;
        sent.map_err(|_| NotThere::Moved(None))?;
        answer.await.unwrap_or(Err(NotThere::Moved(None)))
    }
}

/// The task behind an [`Elsewhere`].
struct Forwarder {
    name: Name,
    server: ServerId,
    cluster: Arc<Cluster>,
    clock: Clock,
    waiting: VecDeque<Forwarded>,
    /// So many of the first that wait travel one by one, since together they want more than is
    /// left.
    alone: usize,
}

impl Forwarder {
    async fn run(mut self, mut requests: mpsc::Receiver<Forwarded>) {
        let mut failures = 0;
        while self.gather(&mut requests).await {
            let Some(owner) = self.owner().await else {
                return self.moved(None);
            };
            let (wish, travellers, deadline) = self.together();
            let left = Duration::from_micros(deadline.micros_since(self.clock.now()));
            let attempt = left.min(ATTEMPT_MAX);
            let answer = self.cluster.peers.ask(&owner, &self.name, wish, attempt).await;
            self.cluster.tally.sent(travellers, Outcome::of(answer.as_ref()));
            match answer {
                Ok(Told::OwnedBy(server)) => return self.moved(server.parse().ok()),
                // It had less time than those who wait have: an attempt is shorter than a deadline.
                Ok(Told::Refused { kind, message }) if kind == ErrorKind::Unavailable.as_str() => {
                    failures += 1;
                    self.failed(&Unanswered::NotNow(message), failures).await;
                }
                Ok(told) => {
                    failures = 0;
                    self.cluster.store.others_issue(&self.name);
                    self.deliver(travellers, told);
                }
                Err(Unanswered::OtherVersion(why)) => self.refuse(travellers, &why),
                Err(error) => {
                    failures += 1;
                    self.failed(&error, failures).await;
                }
            }
        }
    }

    /// What the owner says of itself; `None` if it is gone. It may have come after the last look, so
    /// one that is not known is looked for.
    async fn owner(&self) -> Option<Announcement> {
        let known = self.cluster.announced(self.server);
        if known.is_some() {
            return known;
        }
        if let Err(error) = self.cluster.look().await {
            debug!(sequence = %self.name, server = %self.server, "not found: {}", error.to_failure());
        }
        self.cluster.announced(self.server)
    }

    /// Takes in all requests that have come, waiting for one if nobody waits. Returns whether there
    /// will be more.
    async fn gather(&mut self, requests: &mut mpsc::Receiver<Forwarded>) -> bool {
        if self.waiting.is_empty() {
            match requests.recv().await {
                Some(request) => self.waiting.push_back(request),
                None => return false,
            }
        }
        while self.waiting.len() < OWNER_QUEUE_LEN
            && let Ok(request) = requests.try_recv()
        {
            self.waiting.push_back(request);
        }
        true
    }

    /// What to ask for the first that wait: one raise, or IDs for as many as one request may carry.
    /// Returns how many travel, and the latest of their deadlines.
    fn together(&self) -> (Wish, usize, Instant) {
        let first = self.waiting.front().expect("somebody waits");
        let (mut total, mut travellers, mut deadline) = (0, 0, first.deadline);
        for request in &self.waiting {
            let count = match request.what {
                What::Next(count, _) => count.get(),
                What::Raise(to, _) if travellers == 0 => return (Wish::Raise(to), 1, deadline),
                What::Raise(..) => break,
            };
            if total + count > COUNT_MAX || (travellers > 0 && self.alone > 0) {
                break;
            }
            total += count;
            travellers += 1;
            deadline = deadline.max(request.deadline);
        }
        (Wish::Next(total), travellers, deadline)
    }

    /// Gives those who travelled what the owner told.
    fn deliver(&mut self, travellers: usize, told: Told) {
        let travelled: Vec<Forwarded> = self.waiting.drain(..travellers).collect();
        self.alone = self.alone.saturating_sub(travellers);
        match told {
            Told::Ids { first, step, count } => self.share(travelled, first, step, count),
            Told::Raised(next) => {
                for Forwarded { what, .. } in travelled {
                    what.raised(next);
                }
            }
            Told::Refused { kind, message } => {
                let error = Told::error(&kind, message);
                // Fewer may be left than all together want, and enough for some of them.
                if error.kind == ErrorKind::Exhausted && travelled.len() > 1 {
                    return self.one_by_one(travelled);
                }
                for Forwarded { what, .. } in travelled {
                    what.fail(NotThere::Refused(error.clone()));
                }
            }
            Told::OwnedBy(_) => unreachable!("it has been looked at before"),
        }
    }

    /// Asking again would not help: the owner and this server do not understand each other.
    fn refuse(&mut self, travellers: usize, why: &str) {
        for Forwarded { what, .. } in self.waiting.drain(..travellers) {
            let message = format!("the owner of the sequence cannot be asked: {why}");
            what.fail(NotThere::Refused(ServiceError::new(ErrorKind::Unavailable, message)));
        }
        self.alone = self.alone.saturating_sub(travellers);
    }

    /// Shares out IDs in the order in which they were asked for.
    fn share(&self, travelled: Vec<Forwarded>, first: u64, step: u64, count: u64) {
        let asked = |what: &What| if let What::Next(count, _) = what { count.get() } else { 0 };
        let total: u64 = travelled.iter().map(|request| asked(&request.what)).sum();
        let range = Count::new(total).ok().and_then(|total| range_of(first, step, count, total));
        let mut next = first;
        for Forwarded { what, .. } in travelled {
            let count = asked(&what);
            match range {
                Some(_) => what.ids(Range { first: next, step, count }),
                None => what.fail(NotThere::Refused(nonsense())),
            }
            next = next.saturating_add(count.saturating_mul(step));
        }
    }

    fn one_by_one(&mut self, travelled: Vec<Forwarded>) {
        self.alone = travelled.len();
        travelled.into_iter().rev().for_each(|request| self.waiting.push_front(request));
    }

    /// The owner was not reached, did not answer, or could not in time. Those whose time is over are told so.
    async fn failed(&mut self, error: &Unanswered, failures: u32) {
        debug!(sequence = %self.name, server = %self.server, "not forwarded: {error}");
        let now = self.clock.now();
        let waiting = std::mem::take(&mut self.waiting);
        let late: VecDeque<Forwarded>;
        (late, self.waiting) = waiting.into_iter().partition(|request| request.deadline <= now);
        for Forwarded { what, .. } in late {
            let message = format!("the owner of the sequence was not reached in time: {error}");
            what.fail(NotThere::Refused(ServiceError::new(ErrorKind::Unavailable, message)));
        }
        let pause = Duration::from_micros(pause_us(failures)).min(PAUSE_MAX);
        tokio::time::sleep(pause).await;
    }

    /// Sends all who wait to whoever owns the sequence now.
    fn moved(self, server: Option<ServerId>) {
        for Forwarded { what, .. } in self.waiting {
            what.fail(NotThere::Moved(server));
        }
    }
}

impl What {
    // Whoever has left needs no answer; what it would have got is a gap.

    fn ids(self, range: Range) {
        if let Self::Next(_, reply) = self {
            drop(reply.send(Ok(range)));
        }
    }

    fn raised(self, next: Option<u64>) {
        match self {
            Self::Raise(_, reply) => drop(reply.send(Ok(next))),
            Self::Next(_, reply) => drop(reply.send(Err(NotThere::Refused(nonsense())))),
        }
    }

    fn fail(self, why: NotThere) {
        match self {
            Self::Next(_, reply) => drop(reply.send(Err(why))),
            Self::Raise(_, reply) => drop(reply.send(Err(why))),
        }
    }
}

fn nonsense() -> ServiceError {
    let message = "the owner of the sequence answered something else than was asked: are all \
                   servers of the same release, or of two that follow each other?";
    ServiceError::new(ErrorKind::Corrupt, message)
}

#[cfg(test)]
mod tests {
    use ticketd_store::EngineStore;
    use ticketd_store::engine::MemoryEngine;

    use super::*;
    use crate::cluster::ClusterSettings;

    #[tokio::test]
    async fn an_owner_that_came_after_the_last_look_is_found() {
        let store = EngineStore::open(Arc::new(MemoryEngine::new()), 1).await.unwrap();
        let (store, clock) = (Arc::new(store), Clock::start());
        let settings =
            ClusterSettings { address: "here:1".to_owned(), lease: Duration::from_secs(5) };
        // Nobody keeps it, so nobody looks but whoever forwards.
        let membership = Cluster::join(Arc::clone(&store), clock, settings).await.unwrap();
        let (cluster, server) = (membership.cluster(), ServerId(7));
        let (name, waiting) = (Name::new("notes").unwrap(), VecDeque::new());
        let forwarder = Forwarder { name, server, cluster, clock, waiting, alone: 0 };
        assert_eq!(forwarder.owner().await, None);
        let says = Announcement {
            address: "there:1".to_owned(),
            version: "1".to_owned(),
            protocol: 1,
            ttl_ms: 5000,
            renewals: 0,
        };
        store.announce(server, None, &says).await.unwrap();
        assert_eq!(forwarder.owner().await, Some(says));
    }

    #[tokio::test]
    async fn an_owner_of_another_version_is_refused_at_once_and_in_a_line() {
        let store = EngineStore::open(Arc::new(MemoryEngine::new()), 1).await.unwrap();
        let (store, clock) = (Arc::new(store), Clock::start());
        let settings =
            ClusterSettings { address: "here:1".to_owned(), lease: Duration::from_secs(5) };
        let membership = Cluster::join(Arc::clone(&store), clock, settings).await.unwrap();
        let says = Announcement {
            address: "127.0.0.1:1".to_owned(),
            version: "0".to_owned(),
            protocol: 0,
            ttl_ms: 5000,
            renewals: 0,
        };
        store.announce(ServerId(7), None, &says).await.unwrap();
        let (name, cluster) = (Name::new("notes").unwrap(), membership.cluster());
        let elsewhere = Elsewhere::start(name, ServerId(7), KindName::Ticket, cluster, clock);
        let deadline = clock.now().plus(Duration::from_secs(3600));
        let refused = elsewhere.next(Count::ONE, deadline).await.unwrap_err();
        let NotThere::Refused(error) = refused else { panic!("{refused:?}") };
        assert_eq!(
            (error.kind, error.message.as_str()),
            (
                ErrorKind::Unavailable,
                "the owner of the sequence cannot be asked: a server speaks version 0 with others, \
                 and this one knows 1 to 1: upgrade one release at a time"
            )
        );
    }
}
