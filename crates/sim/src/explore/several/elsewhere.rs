//! A sequence that another server owns: `server/src/cluster/elsewhere.rs` on virtual time.

use std::collections::VecDeque;
use std::rc::Rc;

use ticketd_core::backoff::pause_us;
use ticketd_core::block::Block;
use ticketd_core::cluster::ServerId;
use ticketd_core::count::Count;
use ticketd_core::limits::COUNT_MAX;
use ticketd_core::time::Instant;
use tokio::sync::{mpsc, oneshot};

use super::node::Node;
use super::peer::{Told, Wish};
use super::service::Refused;
use crate::explore::stats::Mark;

/// As the real ones.
const ATTEMPT_MAX_US: u64 = 1_000_000;
const PAUSE_MAX_US: u64 = 100_000;
const QUEUE_LEN: usize = 64;

/// A sequence that another server owns.
pub(super) struct Elsewhere {
    pub(super) index: usize,
    pub(super) server: ServerId,
    requests: mpsc::Sender<Forwarded>,
}

/// Why the owner gave no answer.
pub(super) enum NotThere {
    Moved(Option<ServerId>),
    Refused(Refused),
}

type Reply<T> = oneshot::Sender<Result<T, NotThere>>;

struct Forwarded {
    what: Wanted,
    deadline: Instant,
}

enum Wanted {
    Next(Count, Reply<Block>),
    Raise(u64, Reply<()>),
}

impl Elsewhere {
    pub(super) fn start(node: &Rc<Node>, index: usize, server: ServerId) -> Rc<Self> {
        let (requests, received) = mpsc::channel(QUEUE_LEN);
        let waiting = VecDeque::new();
        let forwarder = Forwarder { node: Rc::clone(node), index, server, waiting };
        node.hub.spawn(node.life, forwarder.run(received));
        Rc::new(Self { index, server, requests })
    }

    pub(super) async fn next(&self, count: Count, deadline: Instant) -> Result<Block, NotThere> {
        let (reply, answer) = oneshot::channel();
        self.ask(Wanted::Next(count, reply), deadline, answer).await
    }

    pub(super) async fn raise(&self, floor: u64, deadline: Instant) -> Result<(), NotThere> {
        let (reply, answer) = oneshot::channel();
        self.ask(Wanted::Raise(floor, reply), deadline, answer).await
    }

    async fn ask<T>(
        &self,
        what: Wanted,
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
    node: Rc<Node>,
    index: usize,
    server: ServerId,
    waiting: VecDeque<Forwarded>,
}

impl Forwarder {
    async fn run(mut self, mut requests: mpsc::Receiver<Forwarded>) {
        let mut failures = 0;
        while self.gather(&mut requests).await {
            let Some(address) = self.address().await else {
                self.node.mark(Mark::OwnerGone);
                return self.moved(None);
            };
            let (wish, travellers, deadline) = self.together();
            let attempt = deadline.micros_since(self.node.now()).min(ATTEMPT_MAX_US);
            match self.node.ask_peer(address, self.index, wish, attempt).await {
                Some(Told::OwnedBy(server)) => {
                    self.node.mark(Mark::OwnedByFollowed);
                    return self.moved(Some(server));
                }
                Some(told) if !matches!(told, Told::Refused(Refused::Unavailable)) => {
                    failures = 0;
                    self.deliver(travellers, told);
                }
                _ => {
                    failures += 1;
                    self.failed(failures).await;
                }
            }
        }
    }

    /// Where the owner is reached; one that is not known is looked for.
    async fn address(&self) -> Option<usize> {
        let known = self.node.address_of(self.server);
        if known.is_some() {
            return known;
        }
        if let Err(error) = self.node.look().await {
            self.node.hub.world().failed(self.node.life, &error);
        }
        let found = self.node.address_of(self.server);
        if found.is_some() {
            self.node.mark(Mark::LookedFor);
        }
        found
    }

    async fn gather(&mut self, requests: &mut mpsc::Receiver<Forwarded>) -> bool {
        if self.waiting.is_empty() {
            match requests.recv().await {
                Some(request) => self.waiting.push_back(request),
                None => return false,
            }
        }
        while self.waiting.len() < QUEUE_LEN
            && let Ok(request) = requests.try_recv()
        {
            self.waiting.push_back(request);
        }
        true
    }

    /// What to ask for the first that wait, how many of them travel, and until when.
    fn together(&self) -> (Wish, usize, Instant) {
        let first = self.waiting.front().expect("somebody waits");
        let (mut total, mut travellers, mut deadline) = (0, 0, first.deadline);
        for request in &self.waiting {
            let count = match request.what {
                Wanted::Next(count, _) => count.get(),
                Wanted::Raise(to, _) if travellers == 0 => return (Wish::Raise(to), 1, deadline),
                Wanted::Raise(..) => break,
            };
            if total + count > COUNT_MAX {
                break;
            }
            total += count;
            travellers += 1;
            deadline = deadline.max(request.deadline);
        }
        let total = Count::new(total).expect("at least one and at most the limit");
        (Wish::Next(total), travellers, deadline)
    }

    /// Gives those who travelled what the owner told.
    fn deliver(&mut self, travellers: usize, told: Told) {
        self.node.store.others_issue(self.node.name(self.index));
        self.node.mark(if travellers > 1 { Mark::ForwardedTogether } else { Mark::Forwarded });
        let travelled: Vec<Forwarded> = self.waiting.drain(..travellers).collect();
        match told {
            Told::Ids(block) => share(travelled, block),
            Told::Raised => travelled.into_iter().for_each(|forwarded| forwarded.what.raised()),
            Told::Refused(refused) => {
                for Forwarded { what, .. } in travelled {
                    what.fail(NotThere::Refused(refused));
                }
            }
            Told::OwnedBy(_) => unreachable!("it has been looked at before"),
        }
    }

    /// The owner was not reached, or did not answer. Those whose time is over are told so.
    async fn failed(&mut self, failures: u32) {
        self.node.mark(Mark::PeerUnanswered);
        let now = self.node.now();
        let waiting = std::mem::take(&mut self.waiting);
        let late: VecDeque<Forwarded>;
        (late, self.waiting) = waiting.into_iter().partition(|request| request.deadline <= now);
        for Forwarded { what, .. } in late {
            what.fail(NotThere::Refused(Refused::Unavailable));
        }
        self.node.hub.sleep(pause_us(failures).min(PAUSE_MAX_US)).await;
    }

    /// Sends all who wait to whoever owns the sequence now.
    fn moved(self, server: Option<ServerId>) {
        for Forwarded { what, .. } in self.waiting {
            what.fail(NotThere::Moved(server));
        }
    }
}

/// Shares out IDs in the order in which they were asked for.
fn share(travelled: Vec<Forwarded>, block: Block) {
    let mut rest = Some(block);
    for Forwarded { what, .. } in travelled {
        let Wanted::Next(count, reply) = what else { unreachable!("a raise travels alone") };
        let whole = rest.expect("the owner gives what was asked for");
        let (part, left) = whole.split(count.get()).expect("the owner gives what was asked for");
        rest = left;
        drop(reply.send(Ok(part)));
    }
    assert_eq!(rest, None, "the owner gives what was asked for");
}

impl Wanted {
    fn raised(self) {
        match self {
            Self::Raise(_, reply) => drop(reply.send(Ok(()))),
            Self::Next(..) => unreachable!("a raise travels alone"),
        }
    }

    fn fail(self, why: NotThere) {
        match self {
            Self::Next(_, reply) => drop(reply.send(Err(why))),
            Self::Raise(_, reply) => drop(reply.send(Err(why))),
        }
    }
}
