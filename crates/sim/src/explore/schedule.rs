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

/// A place in the list of happenings to come. The heap moves these, which are small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    at: u64,
    order: u64,
    place: usize,
}

/// Something that is planned, for whoever may call it off.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planned {
    place: usize,
    order: u64,
}

/// The happenings to come: by time, and at one time in the order in which they were planned.
#[derive(Debug)]
pub(super) struct Schedule<H> {
    heap: BinaryHeap<Reverse<Entry>>,
    /// What happens, with its order; nothing if it was called off.
    happenings: Vec<(u64, Option<H>)>,
    free: Vec<usize>,
    planned: u64,
}

impl<H> Schedule<H> {
    pub(super) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), happenings: Vec::new(), free: Vec::new(), planned: 0 }
    }

    pub(super) fn plan(&mut self, at: u64, happening: H) -> Planned {
        let order = self.planned;
        self.planned += 1;
        let entry = (order, Some(happening));
        let place = match self.free.pop() {
            Some(place) => {
                self.happenings[place] = entry;
                place
            }
            None => {
                self.happenings.push(entry);
                self.happenings.len() - 1
            }
        };
        self.heap.push(Reverse(Entry { at, order, place }));
        Planned { place, order }
    }

    /// Calls off what was planned, if it has not happened.
    pub(super) fn call_off(&mut self, planned: Planned) {
        let (order, happening) = &mut self.happenings[planned.place];
        if *order == planned.order {
            *happening = None;
        }
    }

    pub(super) fn next(&mut self) -> Option<(u64, H)> {
        loop {
            let Reverse(Entry { at, place, .. }) = self.heap.pop()?;
            self.free.push(place);
            if let Some(happening) = self.happenings[place].1.take() {
                return Some((at, happening));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_off_does_not_happen_and_its_place_is_used_again() {
        let mut schedule = Schedule::new();
        let second = schedule.plan(5, "second");
        schedule.plan(3, "first");
        schedule.plan(5, "third");
        schedule.call_off(second);
        assert_eq!(schedule.next(), Some((3, "first")));
        assert_eq!(schedule.next(), Some((5, "third")));
        let fourth = schedule.plan(9, "fourth");
        schedule.call_off(second);
        assert_eq!(schedule.next(), Some((9, "fourth")));
        schedule.call_off(fourth);
        assert_eq!(schedule.next(), None);
    }
}
