//! What people and metrics are shown of a sequence.

use std::time::Duration;

use ticketd_core::allocator::Observation;
use ticketd_core::definition::{BlockLen, Definition, Kind};
use ticketd_core::forecast;
use ticketd_core::limits::ID_MIN;
use ticketd_core::name::Name;
use ticketd_core::record::Record;

use crate::snowflake::SnowflakeSeen;

/// What people and metrics are shown of a sequence.
#[derive(Debug, Clone)]
pub struct Info {
    /// Its name.
    pub name: Name,
    /// What an ID of it is.
    pub kind: Kind,
    /// The order that its IDs keep, in the words of the contract.
    pub order: &'static str,
    /// IDs issued by this server since it opened the sequence.
    pub issued: u64,
    /// IDs issued per second, a mean that favours the last minute.
    pub per_second: f64,
    /// How long what is left lasts at that rate; `None` if for ever, or if nothing is used up.
    pub lasts: Option<Duration>,
    /// Of a kind whose IDs are reserved in blocks.
    pub blocks: Option<BlocksInfo>,
    /// Of a snowflake sequence that is open.
    pub snowflake: Option<SnowflakeSeen>,
}

/// What there is to see of a sequence whose IDs are reserved in blocks.
#[derive(Debug, Clone)]
pub struct BlocksInfo {
    /// The block length in force.
    pub block_len: BlockLen,
    /// The last ID issued by this server (or given up by a raise), if that is known.
    pub last: Option<u64>,
    /// The high-water mark: the first ID never yet reserved, as far as this server knows.
    pub mark: u64,
    /// IDs that can still be issued.
    pub left: u64,
    /// What this server did since it opened the sequence; `None` if it did not.
    pub open: Option<Observation>,
}

impl Info {
    /// A sequence of blocks that is open.
    pub(crate) fn of_blocks(
        name: Name,
        record: &Record,
        seen: Observation,
        per_second: f64,
    ) -> Self {
        let left = record.mark_max().saturating_sub(seen.next);
        let blocks = BlocksInfo {
            block_len: seen.block_len,
            last: seen.last.and_then(|position| record.issued_id_of(position)),
            mark: record.id_of(seen.mark),
            left,
            open: Some(seen),
        };
        Self {
            issued: seen.tally.issued,
            per_second,
            lasts: forecast::lasts(left, per_second),
            blocks: Some(blocks),
            ..Self::of(name, &record.definition)
        }
    }

    /// A sequence that this server has not opened, by its record.
    pub(crate) fn closed(name: Name, record: &Record, default: BlockLen) -> Self {
        let kind = record.definition.kind;
        let clean = record.unaccounted() == 0 && record.mark > ID_MIN;
        let blocks = BlocksInfo {
            block_len: record.definition.block_len.unwrap_or(default),
            last: if clean { record.issued_id_of(record.mark - 1) } else { None },
            mark: record.id_of(record.mark),
            left: record.mark_max().saturating_sub(record.mark),
            open: None,
        };
        let blocks = kind.name().has_blocks().then_some(blocks);
        Self { blocks, ..Self::of(name, &record.definition) }
    }

    /// A sequence of which no more is known than what it is.
    pub(crate) fn of_kind(name: Name, kind: Kind) -> Self {
        Self::of(name, &Definition::of(kind))
    }

    fn of(name: Name, definition: &Definition) -> Self {
        let (kind, order) = (definition.kind, definition.order_in_words());
        Self {
            name,
            kind,
            order,
            issued: 0,
            per_second: 0.0,
            lasts: None,
            blocks: None,
            snowflake: None,
        }
    }
}
