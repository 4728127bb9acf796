//! What will happen, in the order in which it will.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ticketd_core::block::Block;

use super::clients::{Answer, RequestId};
use super::store::Reply;

/// A message to the owner of a sequence.
#[derive(Debug)]
pub(super) enum Note {
    Wanted(RequestId),
    LowWater,
    Undelivered(Block),
}

/// Something that happens at its time. What belongs to one life of the server says which.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is copied, and the world makes few of them")]
pub(super) enum Happening {
    /// A client makes its next request.
    Ask { client: usize },
    /// A request reaches the server.
    Arrive { request: RequestId },
    /// A message reaches the owner of a sequence.
    Tell { life: u32, sequence: usize, note: Note },
    /// An answer reaches its client.
    Answer { life: u32, request: RequestId, answer: Answer },
    /// A client stops waiting.
    Leave { request: RequestId },
    /// What the store works at becomes durable.
    Commit { batch: u64 },
    /// The store's answer reaches the server.
    Reply { message: u64, sequence: usize, reply: Reply },
    /// The server stops waiting for the store.
    Timeout { message: u64, sequence: usize },
    /// An allocator wants to be called.
    Wake { life: u32, sequence: usize },
    /// The server starts.
    Boot,
    /// The store's disk fills up, or has room again.
    Full(bool),
    /// Somebody else writes to the store.
    Foreign,
    /// Somebody ends a server whose store has stopped, so that it starts again.
    Restart { life: u32 },
}

#[derive(Debug)]
struct Entry<H> {
    at: u64,
    order: u64,
    happening: H,
}

impl<H> PartialEq for Entry<H> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl<H> Eq for Entry<H> {}

impl<H> PartialOrd for Entry<H> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<H> Ord for Entry<H> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// The happenings to come: by time, and at one time in the order in which they were planned.
#[derive(Debug)]
pub(super) struct Schedule<H> {
    heap: BinaryHeap<Reverse<Entry<H>>>,
    planned: u64,
}

impl<H> Schedule<H> {
    pub(super) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), planned: 0 }
    }

    pub(super) fn plan(&mut self, at: u64, happening: H) {
        let order = self.planned;
        self.planned += 1;
        self.heap.push(Reverse(Entry { at, order, happening }));
    }

    pub(super) fn next(&mut self) -> Option<(u64, H)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.happening))
    }
}
