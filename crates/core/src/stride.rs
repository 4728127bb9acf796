//! Stride: the multi-master method. Member i of N counts i, i + N, i + 2N, and so on.
//!
//! How N changes while the members go on issuing is told in [`resize`]; who asks them to is a
//! [`coordinator`].

pub mod coordinator;
mod generation;
mod member;
pub mod resize;

use core::fmt;

use crate::limits::MEMBERS_MAX;

pub use generation::Generation;
pub use member::{Accepted, Member, Opened, PlanId, Standing};

/// A place among members: which of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat {
    members: u32,
    offset: u32,
}

/// Numbers that are no [`Seat`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeatError {
    /// There are no members, or more than [`MEMBERS_MAX`].
    Members,
    /// The offset is not one of 1 to the number of members.
    Offset,
}

impl Seat {
    /// The seat with the number `offset`, from 1 on, of `members`.
    ///
    /// # Errors
    /// [`SeatError`] if there is no such seat.
    pub const fn new(members: u32, offset: u32) -> Result<Self, SeatError> {
        if members == 0 || members > MEMBERS_MAX {
            return Err(SeatError::Members);
        }
        if offset == 0 || offset > members {
            return Err(SeatError::Offset);
        }
        Ok(Self { members, offset })
    }

    /// How many members there are: how far two IDs of one member are apart.
    pub const fn members(self) -> u32 {
        self.members
    }

    /// The first ID that this member would issue: 1 to the number of members.
    pub const fn offset(self) -> u32 {
        self.offset
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "members {}, offset {}", self.members, self.offset)
    }
}

impl fmt::Display for SeatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Members => write!(f, "members are 1 to {MEMBERS_MAX}"),
            Self::Offset => f.write_str("an offset is 1 to the number of members"),
        }
    }
}

impl core::error::Error for SeatError {}
