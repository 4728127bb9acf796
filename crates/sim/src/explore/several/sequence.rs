//! A sequence that is open on a server: `server/src/sequence.rs` on virtual time, with places at
//! which a thread may stand still.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use ticketd_core::allocator::{Allocator, Config, Refusal};
use ticketd_core::block::Block;
use ticketd_core::count::Count;
use ticketd_core::cursor::{Cursor, Taken};
use ticketd_core::failure::{Failure, FailureKind};
use ticketd_core::record::Record;
use ticketd_core::time::Instant;
use tokio::sync::{Notify, mpsc, oneshot};

use super::books::Books;
use super::check::Took;
use super::lease::Lease;
use super::node::Node;
use super::words::What;
use crate::explore::stats::Mark;

/// Whom the owner answers.
pub(super) enum Reply {
    Ids(oneshot::Sender<Result<Took, Refusal>>),
    Raise(oneshot::Sender<Result<(), Refusal>>),
}

impl Reply {
    pub(super) fn is_gone(&self) -> bool {
        match self {
            Self::Ids(reply) => reply.is_closed(),
            Self::Raise(reply) => reply.is_closed(),
        }
    }
}

/// What is asked of the owner.
pub(super) enum Request {
    Ids { reply: Reply, count: Count, deadline: Instant },
    Raise { reply: Reply, floor: u64, deadline: Instant },
    LeaseEnded,
}

/// Why the owner did not answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    Closed,
    LeaseEnded,
    Refused(Refusal),
}

/// How many IDs are taken.
#[derive(Debug, Clone, Copy)]
enum Want {
    /// So many, or none.
    All(u64),
    /// As many as there are, up to so many.
    UpTo(u64),
}

impl Want {
    fn of(self, cursor: &Cursor) -> Option<Taken> {
        match self {
            Self::All(count) => cursor.take(count),
            Self::UpTo(count) => cursor.take_up_to(count),
        }
    }
}

/// A sequence that is open, or being opened.
pub(super) struct Sequence {
    pub(super) index: usize,
    cursor: Arc<Cursor>,
    requests: mpsc::Sender<Request>,
    pub(super) low_water: Notify,
    pub(super) allocator: RefCell<Allocator<Reply>>,
    record: OnceCell<Record>,
    /// The turn that it was opened in.
    pub(super) turn: Cell<u64>,
    pub(super) lease: Rc<Lease>,
    books: Cell<Books>,
}

impl Sequence {
    pub(super) fn new(
        index: usize,
        config: Config,
        lease: Rc<Lease>,
    ) -> (Self, mpsc::Receiver<Request>) {
        let cursor = Arc::new(Cursor::closed());
        let (requests, received) = mpsc::channel(64);
        let sequence = Self {
            index,
            cursor: Arc::clone(&cursor),
            requests,
            low_water: Notify::new(),
            allocator: RefCell::new(Allocator::new(config, cursor)),
            record: OnceCell::new(),
            turn: Cell::new(0),
            lease,
            books: Cell::default(),
        };
        (sequence, received)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.requests.is_closed()
    }

    pub(super) fn opened(&self, record: &Record, turn: u64) {
        self.record.get_or_init(|| *record);
        self.turn.set(turn);
    }

    fn owning(&self, node: &Node) -> Option<Rc<Lease>> {
        let is_owned = self.record.get().is_none_or(|record| record.definition.has_owner());
        // A deliberate bug: what was opened under an old lease is answered under the new one.
        let lease = if node.bug.keeps_held() { node.lease() } else { Rc::clone(&self.lease) };
        is_owned.then_some(lease)
    }

    fn has_lapsed(&self, node: &Node) -> bool {
        self.owning(node).is_some_and(|lease| lease.has_lapsed())
    }

    /// Whether the IDs that have been taken may be answered. If not, they are burnt.
    async fn may_answer(&self, node: &Node, took: Took) -> bool {
        node.hub.stall(node.life).await;
        let may = self.owning(node).is_none_or(|lease| lease.holds());
        if may {
            node.hub.world().issued(node.life, self.index, took);
        } else {
            node.mark(Mark::TakenInVain);
            node.line(self.index, What::Forget, [took.block.start(), took.block.end(), 0]);
            self.book(|books| books.forgotten += took.block.len());
            self.allocator.borrow_mut().forget(took.block);
        }
        may
    }

    /// Keeps the books.
    pub(super) fn book(&self, entry: impl FnOnce(&mut Books)) {
        let mut books = self.books.get();
        entry(&mut books);
        self.books.set(books);
    }

    /// Compares the allocator's books with these.
    pub(super) fn compare(&self, is_over: bool) -> Result<(), String> {
        self.books.get().compare(&self.allocator.borrow().observe(), is_over)
    }

    /// Notes that IDs were taken, and whether this server owns the sequence at that moment.
    pub(super) fn took(&self, node: &Node, block: Block) -> Took {
        self.book(|books| books.taken += block.len());
        let (turn, server) = (self.turn.get(), self.lease.id());
        let owns = node.hub.world().checks.owns(self.index, server, turn);
        Took { block, turn, server, owns }
    }

    /// The hot path.
    async fn take(&self, node: &Node, want: Want) -> Option<Took> {
        if self.has_lapsed(node) {
            return None;
        }
        if node.bug.looks_first() {
            return self.look_then_take(node, want).await;
        }
        let taken = want.of(&self.cursor)?;
        if taken.refill_due {
            self.low_water.notify_one();
        }
        node.line(self.index, What::HotTake, [taken.block.start(), taken.block.end(), 0]);
        node.mark(Mark::HotTake);
        let took = self.took(node, taken.block);
        self.may_answer(node, took).await.then_some(took)
    }

    /// A deliberate bug: the lease is looked at, and then an ID is taken.
    async fn look_then_take(&self, node: &Node, want: Want) -> Option<Took> {
        if self.owning(node).is_some_and(|lease| !lease.holds()) {
            return None;
        }
        node.hub.stall(node.life).await;
        let taken = want.of(&self.cursor)?;
        let took = self.took(node, taken.block);
        node.hub.world().issued(node.life, self.index, took);
        Some(took)
    }

    /// The hot path for a batch of requests for one ID each: as many as there are, up to `n`.
    pub(super) async fn take_up_to(&self, node: &Node, n: u64) -> Option<Block> {
        self.take(node, Want::UpTo(n)).await.map(|took| took.block)
    }

    pub(super) async fn next(
        &self,
        node: &Node,
        count: Count,
        deadline: Instant,
    ) -> Result<Block, NoAnswer> {
        loop {
            if let Some(took) = self.take(node, Want::All(count.get())).await {
                return Ok(took.block);
            }
            self.wait_for_lease(node, deadline).await?;
            let (reply, answer) = oneshot::channel();
            let asked = Request::Ids { reply: Reply::Ids(reply), count, deadline };
            let took = self.ask(asked, answer).await?;
            node.mark(Mark::Waited);
            if self.may_answer(node, took).await {
                return Ok(took.block);
            }
        }
    }

    pub(super) async fn raise(
        &self,
        node: &Node,
        floor: u64,
        deadline: Instant,
    ) -> Result<(), NoAnswer> {
        loop {
            self.wait_for_lease(node, deadline).await?;
            let (reply, answer) = oneshot::channel();
            let asked = Request::Raise { reply: Reply::Raise(reply), floor, deadline };
            self.ask(asked, answer).await?;
            node.hub.stall(node.life).await;
            if self.owning(node).is_none_or(|lease| lease.holds()) {
                return Ok(());
            }
        }
    }

    async fn wait_for_lease(&self, node: &Node, deadline: Instant) -> Result<(), NoAnswer> {
        match self.owning(node) {
            Some(lease) if !lease.holds() => {
                node.mark(Mark::WaitedForLease);
                if lease.wait(deadline).await {
                    return Ok(());
                }
                if lease.has_ended() {
                    return Err(NoAnswer::LeaseEnded);
                }
                let failure = Failure::new(FailureKind::Unavailable, "the lease is not renewed");
                Err(NoAnswer::Refused(Refusal::Late(Some(failure))))
            }
            _ => Ok(()),
        }
    }

    /// Tells the owner that the lease has ended, if it was opened under it.
    pub(super) async fn lease_ended(&self) {
        if self.lease.has_ended() {
            drop(self.requests.send(Request::LeaseEnded).await);
        }
    }

    async fn ask<T>(
        &self,
        request: Request,
        answer: oneshot::Receiver<Result<T, Refusal>>,
    ) -> Result<T, NoAnswer> {
        self.requests.send(request).await.map_err(|_| NoAnswer::Closed)?;
        answer.await.map_err(|_| NoAnswer::Closed)?.map_err(NoAnswer::Refused)
    }
}
