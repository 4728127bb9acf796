//! What one member of a stride sequence remembers of its membership.

use crate::limits::{ID_MIN, MARK_MAX};
use crate::stride::{Generation, Seat};

/// Whether a member issues IDs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It will, from the generation that is about to open.
    Joining,
    /// It does.
    Issuing,
    /// It did, and never will unless it joins again.
    Left,
}

/// One intended resize. Two with the same ID are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PlanId {
    /// Larger than that of any plan that was known when this one was made; from 1 on.
    pub attempt: u32,
    /// Of the members that it names, in order: tells apart two plans of the same attempt.
    pub digest: u64,
}

/// A plan that a member has promised to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Accepted {
    /// Which.
    pub plan: PlanId,
    /// The number of the generation that it ends.
    pub generation: u32,
    /// Where the member will sit; `None` if it leaves.
    pub seat: Option<Seat>,
    /// Until the new generation opens the member reserves no ID from here on: 0 if it joins.
    pub cap: u64,
}

/// The plan that brought a member to where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Opened {
    /// Which.
    pub plan: PlanId,
    /// The generation began at or above this ID; all caps of the one before are at most this.
    pub floor: u64,
}

/// What one member remembers, durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Member {
    /// Whether it issues IDs.
    pub standing: Standing,
    /// The number of its generation: 1 for the one that it was made with, 0 before the first.
    pub number: u32,
    /// How its positions become IDs; of no meaning while it joins.
    pub generation: Generation,
    /// It accepts no plan of this attempt or an earlier one any more.
    pub attempt: u32,
    /// How it came here; zeros in the generation that it was made with.
    pub opened: Opened,
    /// What it has promised.
    pub accepted: Option<Accepted>,
}

impl Member {
    /// A member of the generation that a sequence begins with.
    pub const fn first_of(seat: Seat) -> Self {
        Self {
            standing: Standing::Issuing,
            number: 1,
            generation: Generation::first_of(seat),
            attempt: 0,
            opened: Opened { plan: PlanId { attempt: 0, digest: 0 }, floor: 0 },
            accepted: None,
        }
    }

    /// A member that has promised to join and issues nothing before.
    pub(crate) const fn joining(seat: Seat) -> Self {
        Self { standing: Standing::Joining, number: 0, ..Self::first_of(seat) }
    }

    /// The mark beyond which it may not reserve now, given its mark.
    pub(crate) fn bound(&self, mark: u64) -> u64 {
        match (self.standing, self.accepted) {
            (Standing::Joining | Standing::Left, _) => mark,
            (Standing::Issuing, None) => self.generation.mark_max(),
            (Standing::Issuing, Some(accepted)) => {
                let capped = self.generation.position_at_or_above(accepted.cap);
                capped.min(self.generation.mark_max()).max(mark)
            }
        }
    }

    /// As words that [`Member::decode`] reads; the first two are members and offset, and of a
    /// member that never took part in a resize there are no others.
    pub(crate) fn encode(&self) -> alloc::string::String {
        use core::fmt::Write;
        let seat = self.generation.seat();
        let mut text = alloc::format!("{} {}", seat.members(), seat.offset());
        if *self == Self::first_of(seat) {
            return text;
        }
        let written = write!(
            text,
            " {} {} {} {} {} {} {} {}",
            self.standing as u8,
            self.number,
            self.generation.base(),
            self.generation.first(),
            self.attempt,
            self.opened.plan.attempt,
            self.opened.plan.digest,
            self.opened.floor
        )
        .and_then(|()| match self.accepted {
            None => Ok(()),
            Some(accepted) => write!(
                text,
                " {} {} {} {} {} {}",
                accepted.plan.attempt,
                accepted.plan.digest,
                accepted.generation,
                accepted.seat.map_or(0, Seat::members),
                accepted.seat.map_or(0, Seat::offset),
                accepted.cap
            ),
        });
        written.expect("writing to a string does not fail");
        text
    }

    /// Reads what [`Member::encode`] wrote; `None` if that is not possible.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let words: Option<alloc::vec::Vec<u64>> =
            text.split(' ').map(|word| word.parse().ok()).collect();
        let words = words?;
        let small = |word: u64| u32::try_from(word).ok();
        let seat = |members, offset| Seat::new(small(members)?, small(offset)?).ok();
        let (&[members, offset], rest) = words.split_first_chunk::<2>()?;
        let mine = seat(members, offset)?;
        if rest.is_empty() {
            return Some(Self::first_of(mine));
        }
        let (&[standing, number, base, first, attempt, opened_attempt, digest, floor], rest) =
            rest.split_first_chunk::<8>()?;
        let standing = match standing {
            0 => Standing::Joining,
            1 => Standing::Issuing,
            2 => Standing::Left,
            _ => return None,
        };
        // An ID is never below its position.
        let positions = base >= ID_MIN && base <= first && first <= MARK_MAX;
        let accepted = match *rest {
            [] => None,
            [attempt, digest, generation, members, offset, cap] if cap <= MARK_MAX => {
                let plan = PlanId { attempt: small(attempt)?, digest };
                let seat =
                    if (members, offset) == (0, 0) { None } else { Some(seat(members, offset)?) };
                Some(Accepted { plan, generation: small(generation)?, seat, cap })
            }
            _ => return None,
        };
        let plan = PlanId { attempt: small(opened_attempt)?, digest };
        positions.then_some(Self {
            standing,
            number: small(number)?,
            generation: Generation::at(mine, base, first),
            attempt: small(attempt)?,
            opened: Opened { plan, floor },
            accepted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(members: u32, offset: u32) -> Seat {
        Seat::new(members, offset).unwrap()
    }

    #[test]
    fn a_member_that_was_never_resized_is_two_words() {
        let member = Member::first_of(seat(3, 2));
        assert_eq!(member.encode(), "3 2");
        assert_eq!(Member::decode("3 2"), Some(member));
    }

    #[test]
    fn what_was_written_is_read_back_and_nothing_else() {
        let plan = PlanId { attempt: 7, digest: u64::MAX };
        for seat in [None, Some(seat(5, 5))] {
            let member = Member {
                standing: Standing::Left,
                number: 3,
                generation: Generation::at(self::seat(4, 1), 77, 1001),
                attempt: 7,
                opened: Opened { plan: PlanId { attempt: 2, digest: 9 }, floor: 1000 },
                accepted: Some(Accepted { plan, generation: 3, seat, cap: MARK_MAX }),
            };
            let text = member.encode();
            assert_eq!(Member::decode(&text), Some(member), "{text}");
            for cut in 2..text.split(' ').count() {
                let cut: std::vec::Vec<&str> = text.split(' ').take(cut).collect();
                let read = Member::decode(&cut.join(" "));
                assert!(matches!(cut.len(), 2 | 10) || read.is_none(), "{cut:?}");
            }
        }
        for bad in ["", "3", "3 4", "0 0", "3 x", "3 2 9 1 1 1 0 0 0 0", "3 2 1 1 0 1 0 0 0 0"] {
            assert_eq!(Member::decode(bad), None, "{bad}");
        }
    }
}
