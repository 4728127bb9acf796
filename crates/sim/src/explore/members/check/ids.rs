//! IDs, one by one, and how a member counts them: worked out here once more.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use ticketd_core::block::Block;
use ticketd_core::ids::Range;
use ticketd_core::limits::{ID_MAX, ID_MIN, MARK_MAX};
use ticketd_core::record::Record;

/// All IDs that were ever issued.
#[derive(Debug, Default)]
pub(super) struct Ids {
    issued: HashSet<u64, BuildHasherDefault<Mix>>,
}

/// Hashes one number: by the golden ratio, as FxHash does.
#[derive(Debug, Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Ids {
    pub(super) fn add(&mut self, range: Range) -> Result<(), String> {
        for id in range.iter() {
            if !(ID_MIN..=ID_MAX).contains(&id) {
                return Err(format!("{id} is no ID"));
            }
            if !self.issued.insert(id) {
                return Err(format!("{id} is issued a second time"));
            }
        }
        Ok(())
    }
}

/// How a member counts: every so many, from a first ID at a first position.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    members: u64,
    first: u64,
    base: u64,
}

impl Counted {
    /// In the generation that a sequence begins with.
    pub(super) fn first(record: &Record) -> Self {
        let ticketd_core::definition::Kind::Stride(seat) = record.definition.kind else {
            return Self::default();
        };
        Self { members: u64::from(seat.members()), first: u64::from(seat.offset()), base: 1 }
    }

    /// From the position `base` on, the `offset`-th of so many, at or above `floor`.
    pub(super) fn from_floor(members: u64, offset: u64, base: u64, floor: u64) -> Self {
        let behind =
            u128::from(offset) + u128::from(members) - u128::from(floor) % u128::from(members);
        let first = u128::from(floor) + behind % u128::from(members);
        let first = if floor <= offset { u128::from(offset) } else { first };
        Self { members, first: first.min(u128::from(MARK_MAX)) as u64, base }
    }

    /// The ID at `position`, or [`MARK_MAX`].
    pub(super) fn id_at(&self, position: u64) -> u64 {
        let steps = u128::from(position.saturating_sub(self.base));
        let id = u128::from(self.first) + steps * u128::from(self.members);
        id.min(u128::from(MARK_MAX)) as u64
    }

    /// The first position without an ID.
    pub(super) const fn mark_max(&self) -> u64 {
        match self.members {
            0 => MARK_MAX,
            _ => self.base + (MARK_MAX - self.first).div_ceil(self.members),
        }
    }

    pub(super) fn check(&self, block: Block, range: Range) -> Result<(), String> {
        let steps = range.count == 1 || range.step == self.members;
        let right = block.start() >= self.base && range.first == self.id_at(block.start());
        if steps && right && range.last() == self.id_at(block.last()) {
            return Ok(());
        }
        Err(format!("{block} is issued as {range:?}, but the member counts as {self:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_id_is_the_smallest_of_the_seat_at_or_above_the_floor() {
        for members in 1..7 {
            for offset in 1..=members {
                for floor in 0..40 {
                    let first = (offset..).step_by(members as usize).find(|&id| id >= floor);
                    let counted = Counted::from_floor(members, offset, 1, floor);
                    assert_eq!(Some(counted.first), first, "{offset} of {members}, {floor}");
                }
            }
        }
    }
}
