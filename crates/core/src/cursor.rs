//! The hot path: an atomic cursor under an end.
//!
//! One [`Cursor`] per sequence. Its owner (the [`allocator`](crate::allocator)) opens it over a
//! durable block, extends it, and closes it; any number of connections take IDs from it with one
//! compare-and-swap, without a lock, a channel or a pointer to follow.
//!
//! Why no ID is taken twice, and none outside a durable block:
//!
//! - `next` only ever holds [`CLOSED`] or a position, and positions only grow over the life of the
//!   cursor (the owner asserts it in [`Cursor::open`]), so a compare-and-swap that succeeds has
//!   seen no other take, close or open in between: there is no ABA.
//! - `end` only grows too. While the cursor is open the owner changes it only to the end of an
//!   adjacent block. For any other block it closes the cursor first. A taker that reads the new
//!   `end` has therefore synchronized with the owner's store of it, which came after the close;
//!   its compare-and-swap from an old `next` then meets `CLOSED` or a later position and fails.
//!
//! The tests under `cfg(loom)` run these arguments against every interleaving the memory model
//! allows.

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU64, Ordering};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};

use crate::block::Block;

/// `next` of a closed cursor; above every position.
const CLOSED: u64 = u64::MAX;

/// A refill mark that no take ever crosses.
pub(crate) const NEVER: u64 = u64::MAX;

/// The block being spent. See the [module](self) for the argument why it is right.
///
/// The fields share one cache line of their own: every take touches the first, and no take of
/// another sequence should.
#[derive(Debug)]
#[repr(align(64))]
pub struct Cursor {
    /// The next ID, or [`CLOSED`].
    next: AtomicU64,
    /// One above the last ID that may be taken.
    end: AtomicU64,
    /// The take that moves `next` from below this to it or past it reports that a refill is due.
    refill_at: AtomicU64,
}

/// IDs taken from a [`Cursor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "what was taken is issued or lost"]
pub struct Taken {
    /// The IDs, contiguous.
    pub block: Block,
    /// This take reached the low-water mark: the taker tells the owner, and nobody else will.
    pub refill_due: bool,
}

impl Cursor {
    /// A closed cursor.
    pub fn closed() -> Self {
        Self {
            next: AtomicU64::new(CLOSED),
            end: AtomicU64::new(0),
            refill_at: AtomicU64::new(NEVER),
        }
    }

    /// Takes `n` contiguous IDs, or nothing.
    ///
    /// `None` if the cursor is closed, holds fewer than `n`, or `n` is 0. Lock-free: it is tried
    /// again only when another take came first.
    pub fn take(&self, n: u64) -> Option<Taken> {
        self.take_with(|left| (n <= left).then_some(n))
    }

    /// Takes as many contiguous IDs as there are, up to `n`; `None` if there are none.
    pub fn take_up_to(&self, n: u64) -> Option<Taken> {
        self.take_with(|left| Some(n.min(left)))
    }

    /// Takes what `want` makes of the number of IDs left.
    fn take_with(&self, want: impl Fn(u64) -> Option<u64>) -> Option<Taken> {
        let mut next = self.next.load(Ordering::Acquire);
        loop {
            if next == CLOSED {
                return None;
            }
            let end = self.end.load(Ordering::Acquire);
            // An `end` from before the cursor was opened again may lie below `next`.
            let n = want(end.saturating_sub(next))?;
            let block = Block::new(next, next.checked_add(n)?)?;
            match self.next.compare_exchange_weak(
                next,
                block.end(),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => {
                    let refill_at = self.refill_at.load(Ordering::Relaxed);
                    let refill_due = next < refill_at && refill_at <= block.end();
                    return Some(Taken { block, refill_due });
                }
                Err(seen) => next = seen,
            }
        }
    }

    /// The next ID that a take would get, spent or not; `None` if the cursor is closed.
    pub fn position(&self) -> Option<u64> {
        let next = self.next.load(Ordering::Acquire);
        (next != CLOSED).then_some(next)
    }

    /// Owner only. Lets IDs of `block` be taken from now on; a take that reaches `refill_at`
    /// reports it. Returns whether `refill_at` is reached already, so that nobody will report it.
    ///
    /// # Panics
    /// If the cursor is open, or `block` starts below an ID that this cursor has held: either
    /// would be a duplicate in the making.
    pub(crate) fn open(&self, block: Block, refill_at: u64) -> bool {
        assert!(self.position().is_none(), "a cursor is closed before it is opened again");
        let held = self.end.load(Ordering::Relaxed);
        assert!(
            held <= block.end(),
            "a cursor never moves back: it held IDs below {held}, the block is {block}"
        );
        self.refill_at.store(refill_at, Ordering::Relaxed);
        self.end.store(block.end(), Ordering::Release);
        self.next.store(block.start(), Ordering::Release);
        block.start() >= refill_at
    }

    /// Owner only. Lets the IDs of `block` be taken as well, right after those held. Returns
    /// whether `refill_at` is reached already.
    ///
    /// # Panics
    /// If the cursor is closed or `block` does not start where it ends.
    pub(crate) fn extend(&self, block: Block, refill_at: u64) -> bool {
        assert!(self.position().is_some(), "only an open cursor is extended");
        let end = self.end.load(Ordering::Relaxed);
        assert_eq!(end, block.start(), "only an adjacent block extends a cursor");
        self.refill_at.store(refill_at, Ordering::Relaxed);
        self.end.store(block.end(), Ordering::Release);
        // A read-modify-write, so that it is ordered against every take: a take before it is seen
        // here, and a take after it sees the new `refill_at`. A plain load could miss both ways,
        // and the refill would begin only when a request finds the cursor short.
        self.next.fetch_add(0, Ordering::AcqRel) >= refill_at
    }

    /// Owner only. Stops all takes and returns what was not taken.
    pub(crate) fn close(&self) -> Option<Block> {
        let next = self.next.swap(CLOSED, Ordering::AcqRel);
        if next == CLOSED {
            return None;
        }
        Block::new(next, self.end.load(Ordering::Relaxed))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn block(start: u64, end: u64) -> Block {
        Block::new(start, end).expect("the test names a block")
    }

    fn ids(cursor: &Cursor, n: u64) -> Option<(u64, u64)> {
        cursor.take(n).map(|taken| (taken.block.start(), taken.block.end()))
    }

    #[test]
    fn gives_ranges_whole_or_not_at_all() {
        let cursor = Cursor::closed();
        assert_eq!(ids(&cursor, 1), None);
        assert!(!cursor.open(block(1, 6), NEVER));
        assert_eq!(ids(&cursor, 0), None);
        assert_eq!(ids(&cursor, 3), Some((1, 4)));
        assert_eq!(ids(&cursor, 3), None);
        assert_eq!(ids(&cursor, u64::MAX), None);
        assert_eq!(cursor.take_up_to(3).expect("the test knows").block, block(4, 6));
        assert_eq!(cursor.take_up_to(3), None);
        assert_eq!(cursor.position(), Some(6));
    }

    #[test]
    fn returns_what_is_left_when_closed() {
        let cursor = Cursor::closed();
        assert_eq!(cursor.close(), None);
        cursor.open(block(10, 20), NEVER);
        assert_eq!(ids(&cursor, 4), Some((10, 14)));
        assert_eq!(cursor.close(), Some(block(14, 20)));
        assert_eq!(ids(&cursor, 1), None);
        cursor.open(block(14, 20), NEVER);
        assert_eq!(ids(&cursor, 6), Some((14, 20)));
        assert_eq!(cursor.close(), None);
    }

    #[test]
    fn exactly_one_take_reports_the_low_water_mark() {
        for size in 1..=5 {
            let cursor = Cursor::closed();
            assert!(!cursor.open(block(1, 12), 7));
            let mut reports = 0;
            while let Some(taken) = cursor.take_up_to(size) {
                reports += u32::from(taken.refill_due);
            }
            assert_eq!(reports, 1, "takes of {size}");
        }
    }

    #[test]
    fn a_low_water_mark_that_is_passed_already_is_said_to_the_owner() {
        let cursor = Cursor::closed();
        assert!(cursor.open(block(5, 9), 5));
        assert_eq!(ids(&cursor, 2), Some((5, 7)));
        assert!(!cursor.extend(block(9, 12), 10));
        assert!(cursor.extend(block(12, 13), 6));
        assert_eq!(ids(&cursor, 6), Some((7, 13)));
    }

    #[test]
    #[should_panic(expected = "never moves back")]
    fn refuses_to_move_back() {
        let cursor = Cursor::closed();
        cursor.open(block(10, 20), NEVER);
        cursor.close();
        cursor.open(block(1, 10), NEVER);
    }

    #[test]
    #[should_panic(expected = "adjacent")]
    fn refuses_to_bridge_a_hole() {
        let cursor = Cursor::closed();
        cursor.open(block(10, 20), NEVER);
        cursor.extend(block(21, 30), NEVER);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use std::vec::Vec;

    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    fn block(start: u64, end: u64) -> Block {
        Block::new(start, end).expect("the test names a block")
    }

    /// Checks that `taken` are disjoint and inside `allowed`, and returns how many IDs they hold.
    fn check(taken: impl IntoIterator<Item = Block>, allowed: &[Block]) -> u64 {
        let mut ids: Vec<u64> = taken.into_iter().flat_map(Block::ids).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "an ID was taken twice");
        for id in &ids {
            let durable = allowed.iter().any(|b| b.start() <= *id && *id < b.end());
            assert!(durable, "ID {id} was taken outside every block");
        }
        count as u64
    }

    #[test]
    fn two_takers_share_a_block() {
        loom::model(|| {
            let cursor = Arc::new(Cursor::closed());
            cursor.open(block(1, 4), 2);
            let other = Arc::clone(&cursor);
            let taker = thread::spawn(move || [other.take(2), other.take(1)]);
            let mine = [cursor.take(1), cursor.take(2)];
            let all: Vec<Taken> =
                taker.join().expect("the test knows").into_iter().chain(mine).flatten().collect();
            assert!(check(all.iter().map(|t| t.block), &[block(1, 4)]) >= 2);
            assert_eq!(all.iter().filter(|t| t.refill_due).count(), 1);
        });
    }

    #[test]
    fn the_owner_extends_while_two_take() {
        loom::model(|| {
            let cursor = Arc::new(Cursor::closed());
            cursor.open(block(1, 2), NEVER);
            let takers: Vec<_> = (0..2)
                .map(|_| {
                    let cursor = Arc::clone(&cursor);
                    thread::spawn(move || cursor.take(2))
                })
                .collect();
            let due_now = cursor.extend(block(2, 5), 3);
            let taken: Vec<Taken> =
                takers.into_iter().filter_map(|t| t.join().expect("the test knows")).collect();
            check(taken.iter().map(|t| t.block), &[block(1, 5)]);
            // Whoever passed the low-water mark, the owner hears of it.
            let reported = due_now || taken.iter().any(|t| t.refill_due);
            assert_eq!(cursor.position().expect("the test knows") >= 3, reported);
        });
    }

    #[test]
    fn the_owner_moves_on_to_a_block_beyond_a_hole() {
        loom::model(|| {
            let cursor = Arc::new(Cursor::closed());
            cursor.open(block(1, 3), NEVER);
            let other = Arc::clone(&cursor);
            let taker = thread::spawn(move || [other.take(3), other.take_up_to(3), other.take(1)]);
            let rest = cursor.close();
            cursor.open(block(10, 13), NEVER);
            let mine = cursor.take(1);
            let taken = taker
                .join()
                .expect("the test knows")
                .into_iter()
                .flatten()
                .chain(mine)
                .map(|t| t.block);
            check(taken.chain(rest), &[block(1, 3), block(10, 13)]);
        });
    }

    #[test]
    fn what_is_left_is_reopened_without_loss() {
        loom::model(|| {
            let cursor = Arc::new(Cursor::closed());
            cursor.open(block(1, 4), NEVER);
            let other = Arc::clone(&cursor);
            let taker = thread::spawn(move || [other.take(1), other.take(2)]);
            if let Some(rest) = cursor.close() {
                cursor.open(rest, NEVER);
            }
            let mine = cursor.take_up_to(3);
            let taken: Vec<Block> = taker
                .join()
                .expect("the test knows")
                .into_iter()
                .flatten()
                .chain(mine)
                .map(|t| t.block)
                .collect();
            let rest = cursor.close();
            assert_eq!(check(taken.into_iter().chain(rest), &[block(1, 4)]), 3);
        });
    }
}
