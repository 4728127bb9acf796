//! Blocks of IDs.

use core::fmt;

use crate::limits::{ID_MIN, MARK_MAX};

/// A half-open range `[start, end)` of IDs, never empty: `1 <= start < end <= 2^63`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Block {
    start: u64,
    end: u64,
}

impl Block {
    /// The block `[start, end)`; `None` if it is empty or leaves the ID space.
    pub const fn new(start: u64, end: u64) -> Option<Self> {
        if start < ID_MIN || start >= end || end > MARK_MAX {
            None
        } else {
            Some(Self { start, end })
        }
    }

    /// The first ID.
    pub const fn start(self) -> u64 {
        self.start
    }

    /// One above the last ID.
    pub const fn end(self) -> u64 {
        self.end
    }

    /// The last ID.
    pub const fn last(self) -> u64 {
        self.end - 1
    }

    /// How many IDs it holds; never 0.
    #[expect(clippy::len_without_is_empty, reason = "a block is never empty")]
    pub const fn len(self) -> u64 {
        self.end - self.start
    }

    /// All IDs, in order.
    pub fn ids(self) -> core::ops::Range<u64> {
        self.start..self.end
    }

    /// The first `n` IDs and what is left, or `None` if there are fewer than `n` (or `n` is 0).
    pub fn split(self, n: u64) -> Option<(Self, Option<Self>)> {
        let middle = self.start.checked_add(n)?;
        if middle > self.end {
            return None;
        }
        Some((Self::new(self.start, middle)?, Self::new(middle, self.end)))
    }

    /// What lies at or above `floor`.
    pub fn at_or_above(self, floor: u64) -> Option<Self> {
        Self::new(self.start.max(floor), self.end)
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ID_MAX;

    #[test]
    fn is_never_empty_and_never_leaves_the_id_space() {
        assert_eq!(Block::new(0, 5), None);
        assert_eq!(Block::new(5, 5), None);
        assert_eq!(Block::new(6, 5), None);
        assert_eq!(Block::new(1, MARK_MAX + 1), None);
        assert_eq!(Block::new(ID_MAX, MARK_MAX).unwrap().last(), ID_MAX);
    }

    #[test]
    fn splits_at_every_length_of_every_small_block() {
        for start in 1..8 {
            for end in start + 1..9 {
                let block = Block::new(start, end).unwrap();
                for n in 0..10 {
                    match block.split(n) {
                        Some((front, rest)) => {
                            assert_eq!(front.len(), n);
                            assert_eq!(front.len() + rest.map_or(0, Block::len), block.len());
                            assert_eq!(front.start(), block.start());
                            assert!(
                                rest.is_none_or(|r| r.start() == front.end() && r.end() == end)
                            );
                        }
                        None => assert!(n == 0 || n > block.len()),
                    }
                }
            }
        }
    }

    #[test]
    fn keeps_what_is_at_or_above_a_floor() {
        let block = Block::new(10, 20).unwrap();
        assert_eq!(block.at_or_above(3), Some(block));
        assert_eq!(block.at_or_above(15), Block::new(15, 20));
        assert_eq!(block.at_or_above(20), None);
    }
}
