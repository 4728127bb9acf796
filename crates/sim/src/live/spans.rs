//! A set of IDs in bounded memory: spans that grow together as their holes are filled.

use std::collections::BTreeMap;

use ticketd_core::block::Block;

/// What became of the IDs of one block when they were noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Noted {
    /// Never noted before.
    pub fresh: u64,
    /// Noted before.
    pub duplicates: u64,
    /// Below the floor: whether they are duplicates can no longer be told.
    pub unchecked: u64,
}

/// The IDs noted so far.
///
/// Tickets come nearly in order, so a handful of spans holds billions of them. When a source with
/// many holes needs more spans than the limit, the lowest is forgotten and what lies below its end
/// can be checked no more: the memory is bounded, and what is given up for that is said.
#[derive(Debug)]
pub struct Spans {
    /// Start to end, half-open, disjoint and not adjacent.
    spans: BTreeMap<u64, u64>,
    limit: usize,
    floor: u64,
}

impl Spans {
    /// An empty set that keeps at most `limit` spans; at least one.
    pub fn new(limit: usize) -> Self {
        Self { spans: BTreeMap::new(), limit: limit.max(1), floor: 0 }
    }

    /// The lowest ID that can still be checked.
    pub const fn floor(&self) -> u64 {
        self.floor
    }

    /// How many spans are kept now.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Adds the IDs of `block` and tells which were new.
    pub fn note(&mut self, block: Block) -> Noted {
        let Some(checked) = block.at_or_above(self.floor) else {
            return Noted { unchecked: block.len(), ..Noted::default() };
        };
        let unchecked = block.len() - checked.len();
        let duplicates = self.insert(checked.start(), checked.end());
        self.forget();
        Noted { fresh: checked.len() - duplicates, duplicates, unchecked }
    }

    /// Adds `[start, end)` and returns how many of its IDs were there already.
    fn insert(&mut self, start: u64, end: u64) -> u64 {
        if let Some(mut last) = self.spans.last_entry()
            && *last.get() == start
        {
            last.insert(end);
            return 0;
        }
        let (mut from, mut to, mut duplicates) = (start, end, 0);
        // From the right: each span that overlaps or touches is swallowed.
        while let Some((&low, &high)) = self.spans.range(..=end).next_back() {
            if high < start {
                break;
            }
            duplicates += high.min(end).saturating_sub(low.max(start));
            (from, to) = (from.min(low), to.max(high));
            self.spans.remove(&low);
        }
        self.spans.insert(from, to);
        duplicates
    }

    /// Keeps to the limit.
    fn forget(&mut self) {
        while self.spans.len() > self.limit {
            if let Some((_, end)) = self.spans.pop_first() {
                self.floor = end;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    fn block(start: u64, end: u64) -> Block {
        Block::new(start, end).unwrap()
    }

    fn noted(fresh: u64, duplicates: u64, unchecked: u64) -> Noted {
        Noted { fresh, duplicates, unchecked }
    }

    #[test]
    fn spans_that_touch_become_one() {
        let mut spans = Spans::new(8);
        assert_eq!(spans.note(block(1, 3)), noted(2, 0, 0));
        assert_eq!(spans.note(block(5, 7)), noted(2, 0, 0));
        assert_eq!(spans.len(), 2);
        assert_eq!(spans.note(block(3, 5)), noted(2, 0, 0));
        assert_eq!(spans.len(), 1);
        assert_eq!(spans.note(block(1, 8)), noted(1, 6, 0));
    }

    #[test]
    fn the_lowest_span_is_given_up_for_the_limit_and_that_is_told() {
        let mut spans = Spans::new(2);
        for start in [10, 20, 30] {
            assert_eq!(spans.note(block(start, start + 2)), noted(2, 0, 0));
        }
        assert_eq!((spans.len(), spans.floor()), (2, 12));
        assert_eq!(spans.note(block(5, 6)), noted(0, 0, 1));
        assert_eq!(spans.note(block(11, 14)), noted(2, 0, 1));
        assert_eq!(spans.note(block(20, 21)), noted(0, 1, 0), "above the floor nothing is lost");
    }

    #[test]
    fn agrees_with_a_plain_set_on_random_blocks() {
        for seed in 0..200 {
            let mut random = Pcg64::seed_from_u64(seed);
            let mut spans = Spans::new(usize::MAX);
            let mut plain = HashSet::new();
            for _ in 0..60 {
                let start = random.random_range(1..120_u64);
                let block = block(start, start + random.random_range(1..9_u64));
                let fresh = block.ids().filter(|id| plain.insert(*id)).count() as u64;
                assert_eq!(spans.note(block), noted(fresh, block.len() - fresh, 0), "{seed}");
            }
        }
    }
}
