//! A sequence as connections see it: a cursor to take from, and an owner to ask.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ticketd_core::allocator::{Allocator, Config, Observation, Refusal};
use ticketd_core::block::Block;
use ticketd_core::count::Count;
use ticketd_core::cursor::{Cursor, Taken};
use ticketd_core::definition::{BlockLen, Definition, Kind};
use ticketd_core::forecast::{self, RateMeter};
use ticketd_core::limits::{ID_MAX, MARK_MAX};
use ticketd_core::name::Name;
use ticketd_core::record::Record;
use ticketd_core::time::Instant;
use tokio::sync::{Notify, mpsc, oneshot};

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
    Ids { reply: Reply, count: Count, deadline: Instant },
    Raise { reply: Reply, floor: u64, deadline: Instant },
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
    rate: Mutex<RateMeter>,
}

/// Why the owner did not answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The sequence has been closed; it can be opened again.
    Closed,
    /// The owner refused.
    Refused(Refusal),
}

impl Sequence {
    /// A sequence whose owner will receive on the returned channel.
    pub(crate) fn new(
        name: Name,
        config: Config,
        queue_len: usize,
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
            rate: Mutex::new(RateMeter::new(now, 0)),
        };
        (sequence, received)
    }

    /// Its name.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// The hot path: takes `n` contiguous IDs from memory, or nothing.
    pub fn take(&self, n: u64) -> Option<Block> {
        self.told(self.cursor.take(n))
    }

    /// The hot path for a batch of requests for one ID each: takes as many as there are, up to
    /// `n`.
    pub fn take_up_to(&self, n: u64) -> Option<Block> {
        self.told(self.cursor.take_up_to(n))
    }

    fn told(&self, taken: Option<Taken>) -> Option<Block> {
        let taken = taken?;
        if taken.refill_due {
            self.low_water.notify_one();
        }
        Some(taken.block)
    }

    /// Takes `count` contiguous IDs, waiting for the store until `deadline` if need be.
    pub(crate) async fn next(&self, count: Count, deadline: Instant) -> Result<Block, NoAnswer> {
        if let Some(block) = self.take(count.get()) {
            return Ok(block);
        }
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Ids { reply: Reply::Ids(reply), count, deadline }, answer).await
    }

    /// Makes sure that nothing below `floor` is issued any more.
    pub(crate) async fn raise(&self, floor: u64, deadline: Instant) -> Result<(), NoAnswer> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Raise { reply: Reply::Raise(reply), floor, deadline }, answer).await
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
        Some(Info::open(self.name.clone(), seen.definition?, seen, per_second))
    }
}

/// What people and metrics are shown of a sequence.
#[derive(Debug, Clone)]
pub struct Info {
    /// Its name.
    pub name: Name,
    /// What an ID of it is.
    pub kind: Kind,
    /// The block length in force.
    pub block_len: BlockLen,
    /// The last ID issued by this server (or given up by a raise), if that is known.
    pub last: Option<u64>,
    /// The high-water mark: the first ID never yet reserved, as far as this server knows.
    pub mark: u64,
    /// IDs that can still be issued.
    pub left: u64,
    /// IDs issued per second, a mean that favours the last minute.
    pub per_second: f64,
    /// How long what is left lasts at that rate; `None` if for ever.
    pub lasts: Option<Duration>,
    /// What this server did since it opened the sequence; `None` if it did not.
    pub open: Option<Observation>,
}

impl Info {
    fn open(name: Name, definition: Definition, seen: Observation, per_second: f64) -> Self {
        let left = MARK_MAX - seen.next;
        Self {
            name,
            kind: definition.kind,
            block_len: seen.block_len,
            last: seen.last,
            mark: seen.mark,
            left,
            per_second,
            lasts: forecast::lasts(left, per_second),
            open: Some(seen),
        }
    }

    /// A sequence that this server has not opened, by its record.
    pub(crate) fn closed(name: Name, record: &Record, default: BlockLen) -> Self {
        let clean = record.unaccounted() == 0 && record.mark > 1;
        Self {
            name,
            kind: record.definition.kind,
            block_len: record.definition.block_len.unwrap_or(default),
            last: clean.then(|| record.mark - 1),
            mark: record.mark,
            left: ID_MAX - (record.mark - 1),
            per_second: 0.0,
            lasts: None,
            open: None,
        }
    }
}
