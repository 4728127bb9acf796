//! IDs that were issued together.

use alloc::vec::Vec;

use crate::block::Block;
use crate::definition::KindName;

/// IDs that are evenly apart: `first`, `first + step`, and so on, `count` in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub first: u64,
    /// How far each is from the one before; at least 1.
    pub step: u64,
    /// How many; at least 1.
    pub count: u64,
}

impl Range {
    /// The last ID.
    pub const fn last(&self) -> u64 {
        self.first + (self.count - 1) * self.step
    }

    /// All IDs, in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = u64> + Clone {
        // A count above `usize` cannot be: a request asks for a million at most.
        (0..self.count as usize).map(move |index| self.first + index as u64 * self.step)
    }
}

impl From<Block> for Range {
    fn from(block: Block) -> Self {
        Self { first: block.start(), step: 1, count: block.len() }
    }
}

/// The answer to one request, in the order of issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ids {
    /// Integers that are evenly apart.
    Range(Range),
    /// Integers in several runs.
    Ranges(Vec<Range>),
    /// 128-bit IDs: UUIDs and ULIDs.
    Wide(Vec<u128>),
}

/// An ID of one of the two widths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Id {
    /// An integer of 64 bits: a ticket, stride or snowflake ID.
    Integer(u64),
    /// 128 bits: a UUID.
    Uuid(u128),
    /// 128 bits: a ULID.
    Ulid(u128),
}

impl Ids {
    /// How many there are.
    pub fn count(&self) -> u64 {
        match self {
            Self::Range(range) => range.count,
            Self::Ranges(ranges) => ranges.iter().map(|range| range.count).sum(),
            Self::Wide(ids) => ids.len() as u64,
        }
    }

    /// All integers in the order of issue; none for 128-bit IDs.
    pub fn integers(&self) -> impl Iterator<Item = u64> + Clone + '_ {
        let ranges: &[Range] = match self {
            Self::Range(range) => core::slice::from_ref(range),
            Self::Ranges(ranges) => ranges,
            Self::Wide(_) => &[],
        };
        ranges.iter().copied().flat_map(Range::iter)
    }

    /// All IDs in the order of issue, as those of a sequence of `kind`.
    pub fn iter(&self, kind: KindName) -> impl Iterator<Item = Id> + Clone + '_ {
        let wide: &[u128] = if let Self::Wide(ids) = self { ids } else { &[] };
        let of_kind = if kind == KindName::Ulid { Id::Ulid } else { Id::Uuid };
        self.integers().map(Id::Integer).chain(wide.iter().copied().map(of_kind))
    }
}
