//! From positions to IDs: what a member counts is 1, 2, 3 and so on, as for tickets; which ID a
//! position stands for follows from the member's seat.

use crate::block::Block;
use crate::ids::Range;
use crate::limits::{ID_MIN, MARK_MAX};
use crate::stride::Seat;

/// One agreed membership, as one member sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Generation {
    seat: Seat,
    /// The position that it begins with.
    base: u64,
    /// The ID of that position.
    first: u64,
}

impl Generation {
    /// The generation that a sequence begins with: position 1 is the member's offset.
    pub const fn first_of(seat: Seat) -> Self {
        Self { seat, base: ID_MIN, first: seat.offset() as u64 }
    }

    /// The generation of `seat` that begins with the position `base`, which is the ID `first`.
    pub(crate) const fn at(seat: Seat, base: u64, first: u64) -> Self {
        Self { seat, base, first }
    }

    /// The generation of `seat` that begins with the position `base` and its first ID at or above
    /// `floor`.
    pub(crate) const fn from_floor(seat: Seat, base: u64, floor: u64) -> Self {
        let (members, offset) = (seat.members() as u64, seat.offset() as u64);
        let rounds = floor.saturating_sub(offset).div_ceil(members);
        let first = offset.saturating_add(rounds.saturating_mul(members));
        Self { seat, base, first: if first < MARK_MAX { first } else { MARK_MAX } }
    }

    /// Where the member sits.
    pub const fn seat(&self) -> Seat {
        self.seat
    }

    /// The position that it begins with.
    pub const fn base(&self) -> u64 {
        self.base
    }

    /// The ID of the position that it begins with.
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// The mark when all of its IDs are reserved: one above the position of its last ID.
    pub const fn mark_max(&self) -> u64 {
        if self.first >= MARK_MAX {
            return self.base;
        }
        self.base + (MARK_MAX - 1 - self.first) / self.members() + 1
    }

    const fn members(&self) -> u64 {
        self.seat.members() as u64
    }

    /// The ID at `position`; [`MARK_MAX`] if that lies beyond the ID space.
    pub const fn id_of(&self, position: u64) -> u64 {
        let steps = position.saturating_sub(self.base);
        let id = self.first.saturating_add(steps.saturating_mul(self.members()));
        if id < MARK_MAX { id } else { MARK_MAX }
    }

    /// The IDs of the positions in `block`.
    ///
    /// # Panics
    /// If a position lies before this generation or its ID beyond the ID space: both would issue
    /// what is not this member's.
    pub fn ids_of(&self, block: Block) -> Range {
        assert!(self.base <= block.start(), "a block belongs to one generation");
        assert!(self.id_of(block.last()) < MARK_MAX, "a block lies within the ID space");
        Range { first: self.id_of(block.start()), step: self.members(), count: block.len() }
    }

    /// The first position whose ID is `id` or above.
    pub const fn position_at_or_above(&self, id: u64) -> u64 {
        self.base + id.saturating_sub(self.first).div_ceil(self.members())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{Definition, Kind};
    use crate::limits::ID_MAX;
    use crate::record::Record;

    fn generation(members: u32, offset: u32) -> Generation {
        Generation::first_of(Seat::new(members, offset).unwrap())
    }

    #[test]
    fn members_together_count_every_integer_once() {
        for members in 1..=9 {
            let mut all: std::vec::Vec<u64> = (1..=members)
                .flat_map(|offset| {
                    generation(members, offset).ids_of(Block::new(1, 8).unwrap()).iter()
                })
                .collect();
            all.sort_unstable();
            assert_eq!(all, (1..=7 * u64::from(members)).collect::<std::vec::Vec<_>>());
        }
    }

    #[test]
    fn the_position_at_or_above_an_id_is_the_first_such() {
        for (members, offset) in [(1, 1), (2, 2), (3, 1), (7, 5)] {
            let generation = generation(members, offset);
            for id in 0..60 {
                let position = generation.position_at_or_above(id);
                assert!(generation.id_of(position) >= id);
                assert!(position == 1 || generation.id_of(position - 1) < id);
            }
        }
    }

    #[test]
    fn the_last_block_ends_with_the_last_id_of_the_member() {
        for (members, offset) in [(1, 1), (2, 1), (3, 2), (65_536, 12_345)] {
            let seat = Seat::new(members, offset).unwrap();
            let end = Record::new(Definition::of(Kind::Stride(seat)));
            let end = end.mark_max();
            let range = Generation::first_of(seat).ids_of(Block::new(end - 5, end).unwrap());
            assert_eq!(range.last() % u64::from(members), u64::from(offset % members));
            assert!(range.last() <= ID_MAX && ID_MAX - range.last() < u64::from(members));
            assert_eq!(Generation::first_of(seat).id_of(end), MARK_MAX);
        }
    }
}
