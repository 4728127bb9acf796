//! What people and metrics are shown of a sequence.

use std::time::Duration;

use ticketd_core::allocator::Observation;
use ticketd_core::definition::{BlockLen, Definition, Kind};
use ticketd_core::forecast::{self, TimeLeft};
use ticketd_core::ids::Id;
use ticketd_core::limits::ID_MIN;
use ticketd_core::name::Name;
use ticketd_core::record::Record;
use ticketd_core::time::UnixMillis;

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
    /// The last ID issued by this server (or given up by a raise), if that is known.
    pub last: Option<Id>,
    /// IDs issued per second, a mean that favours the last minute.
    pub per_second: f64,
    /// How long what is left lasts at that rate; `None` if for ever, or if nothing is used up.
    pub lasts: Option<Duration>,
    /// Of a kind whose IDs are reserved in blocks.
    pub blocks: Option<BlocksInfo>,
    /// Of a snowflake sequence.
    pub time: Option<TimeLeft>,
    /// Of a snowflake sequence that is open.
    pub snowflake: Option<SnowflakeSeen>,
}

/// What there is to see of a sequence whose IDs are reserved in blocks.
#[derive(Debug, Clone)]
pub struct BlocksInfo {
    /// The block length in force.
    pub block_len: BlockLen,
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
            mark: record.id_of(seen.mark),
            left,
            open: Some(seen),
        };
        Self {
            issued: seen.tally.issued,
            last: seen.last.and_then(|position| record.issued_id_of(position)).map(Id::Integer),
            per_second,
            lasts: forecast::lasts(left, per_second),
            blocks: Some(blocks),
            ..Self::of(name, &record.definition)
        }
    }

    /// A sequence that this server has not opened, by its record, when the wall clock says `now`.
    pub(crate) fn closed(name: Name, record: &Record, default: BlockLen, now: UnixMillis) -> Self {
        let kind = record.definition.kind;
        if let Kind::Snowflake(chosen) = kind {
            let time = TimeLeft::of(&chosen.layout, now);
            return Self { lasts: Some(time.lasts), time: Some(time), ..Self::of_kind(name, kind) };
        }
        let clean = record.unaccounted() == 0 && record.mark > ID_MIN;
        let blocks = BlocksInfo {
            block_len: record.definition.block_len.unwrap_or(default),
            mark: record.id_of(record.mark),
            left: record.mark_max().saturating_sub(record.mark),
            open: None,
        };
        if !kind.name().has_blocks() {
            return Self::of(name, &record.definition);
        }
        let last = clean.then(|| record.issued_id_of(record.mark - 1)).flatten();
        Self {
            last: last.map(Id::Integer),
            blocks: Some(blocks),
            ..Self::of(name, &record.definition)
        }
    }

    /// IDs that can still be issued, of a kind that counts them.
    pub fn left(&self) -> Option<u64> {
        let of_blocks = self.blocks.as_ref().map(|blocks| blocks.left);
        of_blocks.or(self.time.map(|time| time.ids))
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
            last: None,
            per_second: 0.0,
            lasts: None,
            blocks: None,
            time: None,
            snowflake: None,
        }
    }
}

/// The bits that the ticks left would need.
pub(crate) fn bits_left(time: TimeLeft) -> f64 {
    (time.ticks.max(1) as f64).log2()
}
