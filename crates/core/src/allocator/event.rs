//! What is told to an allocator, and what it tells.

use alloc::boxed::Box;

use crate::allocator::holding::Tally;
use crate::block::Block;
use crate::cluster::ServerId;
use crate::count::Count;
use crate::definition::{BlockLen, Definition, KindName};
use crate::failure::Failure;
use crate::record::{HandBack, Record, Reserve};
use crate::time::Instant;

/// Identifies one question to the store among those of one allocator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttemptId(pub(super) u64);

/// What happened, told by the shell. `R` is whatever the shell knows a waiting request by.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "events are handed on at once, never kept")]
pub enum Event<R> {
    /// A request found the cursor short.
    Wanted {
        /// Who asked.
        request: R,
        /// How many IDs.
        count: Count,
        /// When to give up.
        deadline: Instant,
    },
    /// A request asks that nothing below `floor` be issued once it has been answered.
    Raise {
        /// Who asked.
        request: R,
        /// The smallest ID that may come next; at most [`MARK_MAX`].
        floor: u64,
        /// When to give up.
        deadline: Instant,
    },
    /// A take reached the low-water mark.
    LowWater,
    /// The store read or made the record; this server owns the sequence, in this turn.
    Opened(AttemptId, Record, u64),
    /// Another server owns the sequence, which is of this kind.
    OwnedBy(AttemptId, ServerId, KindName),
    /// The lease of this server has ended.
    LeaseEnded,
    /// The store reserved a block and it is durable.
    Reserved(AttemptId, Block),
    /// The store raised the mark, to this at least, and it is durable.
    Raised(AttemptId, u64),
    /// The store took the rest back (or found that it could not).
    HandedBack(AttemptId, bool),
    /// The store could not, or did not say whether it did.
    Failed(AttemptId, Failure),
    /// These IDs were issued to a request that was gone before it could be told.
    Undelivered(Block),
    /// Time has passed: see [`Allocator::next_wake`](super::Allocator::next_wake).
    Tick,
    /// Serve those who wait, hand back the rest, and end.
    Stop,
}

/// What the shell is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<R> {
    /// Ask the store for the record of the sequence, making it if the shell is to.
    Open(AttemptId),
    /// Ask the store to reserve a block.
    Reserve(AttemptId, Reserve),
    /// Ask the store to raise the mark to at least this.
    Raise(AttemptId, u64),
    /// Ask the store to take the rest back.
    HandBack(AttemptId, HandBack),
    /// Answer a request with IDs.
    Issue(R, Block),
    /// Answer a request to raise: done.
    Acknowledge(R),
    /// Answer a request with an error.
    Refuse(R, Refusal),
    /// The allocator holds nothing any more and will ask nothing.
    Ended,
}

/// Why a request gets no ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Its deadline passed; the last failure of the store, if that was the reason.
    Late(Option<Failure>),
    /// The store failed in a way that waiting does not mend.
    Store(Failure),
    /// The sequence has fewer IDs left than were asked for, perhaps none.
    Exhausted {
        /// How many are left.
        left: u64,
    },
    /// Too many requests wait for this sequence.
    Overloaded,
    /// The server is stopping.
    Stopping,
    /// Its IDs are not reserved in blocks: this is its record, ask elsewhere.
    OtherKind(Box<Record>),
    /// Another server owns the sequence, which is of this kind: ask there.
    OwnedBy(ServerId, KindName),
    /// This server owned it and does not any more: ask again, and see who does.
    Moved,
    /// A raise may only move forward, and IDs from here on are next already.
    Lowering {
        /// The next ID.
        next: u64,
    },
}

/// What an allocator shows to those who watch: see [`Allocator::observe`](super::Allocator::observe).
#[derive(Debug, Clone, Copy)]
pub struct Observation {
    /// What the creator of the sequence chose; `None` until the record is read.
    pub definition: Option<Definition>,
    /// The block length in force: of the definition, or of the server.
    pub block_len: BlockLen,
    /// The first ID that this owner knows to be reserved by nobody.
    pub mark: u64,
    /// The next ID, as far as this owner knows.
    pub next: u64,
    /// The last ID issued or given up; `None` if this owner cannot know it.
    pub last: Option<u64>,
    /// IDs reserved and not yet issued.
    pub held: u64,
    /// Issued and burnt since this owner started.
    pub tally: Tally,
    /// Requests that wait now.
    pub waiting: usize,
    /// Requests that have had to wait since this owner started.
    pub waits: u64,
    /// Attempts at the store that were made again after a failure.
    pub retries: u64,
}
