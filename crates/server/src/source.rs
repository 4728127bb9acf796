//! An open sequence of any kind, as protocols take from it.

use std::sync::Arc;

use ticketd_core::definition::KindName;
use ticketd_core::ids::{Ids, Range};

use crate::sequence::Sequence;
use crate::snowflake::SnowflakeSource;
use crate::wide::Wide;

/// A named source of IDs that is open on this server.
#[derive(Debug, Clone)]
pub enum Source {
    /// Its IDs are reserved in blocks, or its kind is not known yet.
    Blocks(Arc<Sequence>),
    /// Snowflake IDs.
    Snowflake(Arc<SnowflakeSource>),
    /// UUIDs and ULIDs.
    Wide(Arc<Wide>),
}

/// What was issued to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The kind of the sequence.
    pub kind: KindName,
    /// The IDs, in the order of issue.
    pub ids: Ids,
}

impl Source {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Blocks(sequence) => sequence.name().as_str(),
            Self::Snowflake(source) => source.name().as_str(),
            Self::Wide(wide) => wide.name().as_str(),
        }
    }

    /// The hot path for a range: `n` IDs that are evenly apart from memory, or nothing.
    pub fn take(&self, n: u64) -> Option<Range> {
        match self {
            Self::Blocks(sequence) => sequence.take(n),
            Self::Snowflake(_) | Self::Wide(_) => None,
        }
    }

    /// The hot path for a batch of requests for one integer each: as many as there are at hand, up
    /// to `n`.
    pub fn take_up_to(&self, n: u64) -> Option<Range> {
        match self {
            Self::Blocks(sequence) => sequence.take_up_to(n),
            Self::Snowflake(source) => source.take_up_to(n),
            Self::Wide(_) => None,
        }
    }
}
