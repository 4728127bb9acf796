//! A sequence whose IDs are reserved in blocks, as connections see it: a cursor to take from, and
//! an owner to ask.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ticketd_core::allocator::{Allocator, Config, Refusal};
use ticketd_core::block::Block;
use ticketd_core::count::Count;
use ticketd_core::cursor::{Cursor, Taken};
use ticketd_core::definition::KindName;
use ticketd_core::failure::{Failure, FailureKind};
use ticketd_core::forecast::RateMeter;
use ticketd_core::ids::Range;
use ticketd_core::name::Name;
use ticketd_core::record::Record;
use ticketd_core::time::Instant;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::cluster::Lease;
use crate::info::Info;

/// Whom the owner answers.
#[derive(Debug)]
pub(crate) enum Reply {
    Ids(oneshot::Sender<Result<Block, Refusal>>),
    Raise(oneshot::Sender<Result<(), Refusal>>),
}

impl Reply {
    /// Whether nobody waits for it any more.
    pub(crate) fn is_gone(&self) -> bool {
        match self {
            Self::Ids(reply) => reply.is_closed(),
            Self::Raise(reply) => reply.is_closed(),
        }
    }
}

/// What is asked of the owner.
#[derive(Debug)]
pub(crate) enum Request {
    Ids {
        reply: Reply,
        count: Count,
        deadline: Instant,
    },
    Raise {
        reply: Reply,
        floor: u64,
        deadline: Instant,
    },
    /// Hand back what is left, and end.
    Close,
    /// The lease under which it was opened has ended.
    LeaseEnded,
}

/// A named source of IDs that is open on this server.
#[derive(Debug)]
pub struct Sequence {
    name: Name,
    cursor: Arc<Cursor>,
    requests: mpsc::Sender<Request>,
    /// Wakes the owner when a take reaches the low-water mark.
    pub(crate) low_water: Notify,
    /// Locked by the owner for each event, and by those who observe; never across an await.
    allocator: Mutex<Allocator<Reply>>,
    /// As it was when the sequence was opened: says how positions become IDs, which is known
    /// before anything can be taken.
    record: OnceLock<Record>,
    rate: Mutex<RateMeter>,
    /// Of several servers: under which this one may own it.
    lease: Option<Arc<Lease>>,
}

/// Why the owner did not answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The sequence has been closed; it can be opened again.
    Closed,
    /// The lease under which it was opened has ended; it can be opened again under the next one,
    /// which has to be had first.
    LeaseEnded,
    /// The owner refused.
    Refused(Refusal),
}

impl Sequence {
    /// A sequence whose owner will receive on the returned channel.
    pub(crate) fn new(
        name: Name,
        config: Config,
        queue_len: usize,
        lease: Option<Arc<Lease>>,
        now: Instant,
    ) -> (Self, mpsc::Receiver<Request>) {
        let cursor = Arc::new(Cursor::closed());
        let (requests, received) = mpsc::channel(queue_len);
        let sequence = Self {
            name,
            cursor: Arc::clone(&cursor),
            requests,
            low_water: Notify::new(),
            allocator: Mutex::new(Allocator::new(config, cursor)),
            record: OnceLock::new(),
            rate: Mutex::new(RateMeter::new(now, 0)),
            lease,
        };
        (sequence, received)
    }

    /// Whether its owner has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.requests.is_closed()
    }

    /// Its name.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// The kind of its IDs, once its record has been read.
    pub fn kind(&self) -> Option<KindName> {
        self.record.get().map(|record| record.definition.kind.name())
    }

    /// Owner only. Takes note of the record, before the allocator does.
    pub(crate) fn opened(&self, record: &Record) {
        // It is read again when the first attempt was of unknown outcome. A kind never changes, and
        // neither does a generation while the sequence is open.
        self.record.get_or_init(|| *record);
    }

    /// The lease that an answer depends on, if another server could own the sequence.
    fn owning(&self) -> Option<&Lease> {
        let lease = self.lease.as_deref()?;
        // Of one that has not been read yet nothing can be taken.
        let is_owned = self.record.get().is_none_or(|record| record.definition.has_owner());
        is_owned.then_some(lease)
    }

    /// Whether this server is known to own it, and no other can.
    pub(crate) fn is_owned(&self) -> bool {
        let is_known = self.record.get().is_some();
        is_known && !self.has_ended() && self.owning().is_some_and(|lease| !lease.has_ended())
    }

    fn has_lapsed(&self) -> bool {
        self.owning().is_some_and(Lease::has_lapsed)
    }

    /// Whether the IDs of `block`, which have been taken, may be answered. If not, they are burnt.
    fn may_answer(&self, block: Block) -> bool {
        let may = self.owning().is_none_or(Lease::holds);
        if !may {
            self.allocator().forget(block);
        }
        may
    }

    /// The hot path: takes `n` IDs that are evenly apart from memory, or nothing.
    pub fn take(&self, n: u64) -> Option<Range> {
        if self.has_lapsed() {
            return None;
        }
        self.told(self.cursor.take(n))
    }

    /// The hot path for a batch of requests for one ID each: takes as many as there are, up to
    /// `n`.
    pub fn take_up_to(&self, n: u64) -> Option<Range> {
        if self.has_lapsed() {
            return None;
        }
        self.told(self.cursor.take_up_to(n))
    }

    fn told(&self, taken: Option<Taken>) -> Option<Range> {
        let taken = taken?;
        if taken.refill_due {
            self.low_water.notify_one();
        }
        self.may_answer(taken.block).then(|| self.ids_of(taken.block))
    }

    /// The IDs that the positions of `block` stand for.
    fn ids_of(&self, block: Block) -> Range {
        let record = self.record.get().expect("nothing is issued before the record has been read");
        match &record.member {
            None => block.into(),
            Some(member) => member.generation.ids_of(block),
        }
    }

    /// Takes `count` IDs that are evenly apart, waiting for the store until `deadline` if need be.
    pub(crate) async fn next(&self, count: Count, deadline: Instant) -> Result<Range, NoAnswer> {
        loop {
            if let Some(range) = self.take(count.get()) {
                return Ok(range);
            }
            self.wait_for_lease(deadline).await?;
            let (reply, answer) = oneshot::channel();
            let asked = Request::Ids { reply: Reply::Ids(reply), count, deadline };
            let block = self.ask(asked, answer).await?;
            if self.may_answer(block) {
                return Ok(self.ids_of(block));
            }
        }
    }

    /// Makes sure that nothing below the position `floor` is issued any more.
    pub(crate) async fn raise(&self, floor: u64, deadline: Instant) -> Result<(), NoAnswer> {
        loop {
            self.wait_for_lease(deadline).await?;
            let (reply, answer) = oneshot::channel();
            let asked = Request::Raise { reply: Reply::Raise(reply), floor, deadline };
            self.ask(asked, answer).await?;
            // Whoever owned the sequence after this one would not know of a raise that was
            // answered from memory.
            if self.owning().is_none_or(Lease::holds) {
                return Ok(());
            }
        }
    }

    /// Waits until IDs of a sequence that this server owns may be answered.
    async fn wait_for_lease(&self, deadline: Instant) -> Result<(), NoAnswer> {
        match self.owning() {
            Some(lease) if !lease.wait(deadline).await => {
                if lease.has_ended() {
                    return Err(NoAnswer::LeaseEnded);
                }
                let failure = Failure::new(
                    FailureKind::Unavailable,
                    "the lease of this server could not be renewed: is the engine there?",
                );
                Err(NoAnswer::Refused(Refusal::Late(Some(failure))))
            }
            _ => Ok(()),
        }
    }

    /// Tells the owner that the lease has ended, if it was opened under it and is owned by it.
    pub(crate) async fn lease_ended(&self) {
        if self.owning().is_some_and(Lease::has_ended) {
            // Whoever has ended already needs not be told.
            drop(self.requests.send(Request::LeaseEnded).await);
        }
    }

    /// Hands back what is left and ends the owner; returns when that is done.
    pub(crate) async fn close(&self) {
        // Whoever has ended already needs not be told.
        drop(self.requests.send(Request::Close).await);
        self.requests.closed().await;
    }

    async fn ask<T>(
        &self,
        request: Request,
        answer: oneshot::Receiver<Result<T, Refusal>>,
    ) -> Result<T, NoAnswer> {
        self.requests.send(request).await.map_err(|_| NoAnswer::Closed)?;
        answer.await.map_err(|_| NoAnswer::Closed)?.map_err(NoAnswer::Refused)
    }

    pub(crate) fn allocator(&self) -> MutexGuard<'_, Allocator<Reply>> {
        // A panic in the allocator is a broken invariant. Going on could issue a duplicate, and
        // the panic hook of the binary ends the process; in tests the lock stays poisoned.
        self.allocator.lock().expect("the allocator has not panicked")
    }

    /// What there is to see of it at `now`; `None` until its record has been read.
    pub fn info(&self, now: Instant) -> Option<Info> {
        let seen = self.allocator().observe();
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        let per_second = rate.observe(now, seen.tally.issued);
        seen.definition?;
        Some(Info::of_blocks(self.name.clone(), self.record.get()?, seen, per_second))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ticketd_core::allocator::{Action, Burn, Event};
    use ticketd_core::cluster::ServerId;
    use ticketd_core::definition::{BlockLen, Definition};

    use super::*;
    use crate::clock::Clock;

    /// A sequence that holds IDs 1 to 10 under `lease`.
    fn holding(lease: &Arc<Lease>) -> Sequence {
        let (name, now) = (Name::new("notes").unwrap(), Instant::from_micros(0));
        let config = Config::new(BlockLen::Fixed(10), 64, 1000);
        let (sequence, _) = Sequence::new(name, config, 1, Some(Arc::clone(lease)), now);
        let record = Record::new(Definition::default());
        sequence.opened(&record);
        let mut actions = Vec::new();
        sequence.allocator().handle(now, Event::Tick, &mut actions);
        let Some(Action::Open(attempt)) = actions.pop() else { panic!("it is opened first") };
        sequence.allocator().handle(now, Event::Opened(attempt, record, 1), &mut actions);
        let reply = Reply::Ids(oneshot::channel().0);
        let wanted =
            Event::Wanted { request: reply, count: Count::ONE, deadline: now.plus_micros(9) };
        sequence.allocator().handle(now, wanted, &mut actions);
        let Some(Action::Reserve(attempt, _)) = actions.pop() else { panic!("a block is wanted") };
        sequence.allocator().abandon(|_| true);
        let reserved = Event::Reserved(attempt, Block::new(1, 11).unwrap());
        sequence.allocator().handle(now, reserved, &mut actions);
        sequence
    }

    #[tokio::test(start_paused = true)]
    async fn the_lease_is_looked_at_after_an_id_is_taken() {
        let clock = Clock::start();
        let lease = Arc::new(Lease::new(ServerId(1), clock));
        let sequence = holding(&lease);
        let burnt = || sequence.allocator().observe().tally.burnt.get(Burn::Fenced);
        assert_eq!(sequence.take(1), None, "there is no lease yet");
        lease.extend(clock.now().plus(Duration::from_secs(3)));
        assert_eq!(sequence.take(2).map(|range| (range.first, range.count)), Some((1, 2)));
        assert_eq!(burnt(), 0);
        tokio::time::sleep(Duration::from_secs(3)).await;
        // It was not known to have lapsed, so IDs were taken; that they are burnt shows when it was
        // looked at. From then on nothing is taken in vain.
        assert_eq!((sequence.take(3), burnt()), (None, 3));
        assert_eq!((sequence.take_up_to(3), burnt()), (None, 3));
        lease.extend(clock.now().plus(Duration::from_secs(3)));
        assert_eq!(sequence.take(1).map(|range| range.first), Some(6));
    }
}
