//! An open sequence of any kind, as protocols take from it.

use std::sync::Arc;

use ticketd_core::definition::KindName;
use ticketd_core::ids::{Ids, Range};
use ticketd_core::name::Name;
use tokio::sync::watch;

use crate::cluster::elsewhere::Elsewhere;
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
    /// Another server owns it: it is asked there.
    Elsewhere(Arc<Elsewhere>),
    /// A step of a resize is being taken: it can be opened again in a moment.
    Changing(Arc<Changing>),
}

/// A sequence that is closed for a moment.
#[derive(Debug)]
pub struct Changing {
    pub(crate) name: Name,
    /// Its sender is gone when the moment is over.
    pub(crate) over: watch::Receiver<()>,
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
            Self::Elsewhere(elsewhere) => elsewhere.name().as_str(),
            Self::Changing(changing) => changing.name.as_str(),
        }
    }

    /// The hot path for a range: `n` IDs that are evenly apart from memory, or nothing.
    pub fn take(&self, n: u64) -> Option<Range> {
        match self {
            Self::Blocks(sequence) => sequence.take(n),
            Self::Snowflake(_) | Self::Wide(_) | Self::Elsewhere(_) | Self::Changing(_) => None,
        }
    }

    /// The hot path for a batch of requests for one integer each: as many as there are at hand, up
    /// to `n`.
    pub fn take_up_to(&self, n: u64) -> Option<Range> {
        match self {
            Self::Blocks(sequence) => sequence.take_up_to(n),
            Self::Snowflake(source) => source.take_up_to(n),
            Self::Wide(_) | Self::Elsewhere(_) | Self::Changing(_) => None,
        }
    }
}
