//! What a sequence is: the part of its record that its creator chose.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::limits::BLOCK_LEN_MAX;
use crate::snowflake::Snowflake;
use crate::stride::Seat;

/// The kind of a sequence, with what its creator chose about it: what an ID of it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Kind {
    /// A 64-bit integer counted up from 1.
    #[default]
    Ticket,
    /// Every n-th integer, by one of n members that do not talk to each other.
    Stride(Seat),
    /// A time, a worker ID and a counter in one integer.
    Snowflake(Snowflake),
    /// UUID version 4 (RFC 9562): random.
    Uuid4,
    /// UUID version 7 (RFC 9562): a time, then random.
    Uuid7,
    /// ULID: a time, then random.
    Ulid,
}

/// The name of a kind. The numbers stand in records: see [`Record`](crate::record::Record).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[expect(missing_docs, reason = "they are the names of the variants of `Kind`")]
#[repr(u8)]
pub enum KindName {
    #[default]
    Ticket = 0,
    Stride = 1,
    Snowflake = 2,
    Uuid4 = 3,
    Uuid7 = 4,
    Ulid = 5,
}

impl Kind {
    /// Its name.
    pub const fn name(&self) -> KindName {
        match self {
            Self::Ticket => KindName::Ticket,
            Self::Stride(_) => KindName::Stride,
            Self::Snowflake(_) => KindName::Snowflake,
            Self::Uuid4 => KindName::Uuid4,
            Self::Uuid7 => KindName::Uuid7,
            Self::Ulid => KindName::Ulid,
        }
    }
}

impl KindName {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Ticket, Self::Stride, Self::Snowflake, Self::Uuid4, Self::Uuid7, Self::Ulid];

    /// The word for it in commands, settings and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Stride => "stride",
            Self::Snowflake => "snowflake",
            Self::Uuid4 => "uuid4",
            Self::Uuid7 => "uuid7",
            Self::Ulid => "ulid",
        }
    }

    /// The order that its IDs keep, in the words of the contract; of tickets, unless
    /// [`Definition::order`] says otherwise.
    pub const fn order(self) -> &'static str {
        match self {
            Self::Ticket => Order::Strict.as_str(),
            Self::Stride => "increasing per member",
            Self::Snowflake => "k-sorted by time, increasing per worker",
            Self::Uuid4 => "none",
            Self::Uuid7 | Self::Ulid => "k-sorted by time, increasing per server",
        }
    }

    /// Whether its IDs are reserved in blocks.
    pub const fn has_blocks(self) -> bool {
        matches!(self, Self::Ticket | Self::Stride)
    }

    /// The kind that `word` names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// The order of tickets that several servers answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// If one was answered before another was asked for, it is smaller, whichever servers answered:
    /// one server owns the sequence at a time, and the others ask it.
    #[default]
    Strict,
    /// Each server spends its own blocks, so IDs only increase per server.
    Loose,
}

impl Order {
    /// The word for it in commands, settings and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Loose => "loose",
        }
    }

    /// The order that `word` names.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Strict, Self::Loose].into_iter().find(|order| order.as_str() == word)
    }
}

/// How long the blocks of a sequence are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BlockLen {
    /// Follows demand.
    #[default]
    Auto,
    /// Always this many IDs: 1 to [`BLOCK_LEN_MAX`]. With 1, every ID is durable by itself and
    /// nothing is reserved ahead.
    Fixed(u64),
}

/// A text that is no [`BlockLen`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockLenError;

impl BlockLen {
    /// A fixed length.
    ///
    /// # Errors
    /// [`BlockLenError`] for 0 and for anything above [`BLOCK_LEN_MAX`].
    pub const fn fixed(len: u64) -> Result<Self, BlockLenError> {
        if len == 0 || len > BLOCK_LEN_MAX { Err(BlockLenError) } else { Ok(Self::Fixed(len)) }
    }
}

impl core::str::FromStr for BlockLen {
    type Err = BlockLenError;

    fn from_str(text: &str) -> Result<Self, BlockLenError> {
        match text {
            "auto" => Ok(Self::Auto),
            number => Self::fixed(number.parse().map_err(|_| BlockLenError)?),
        }
    }
}

impl fmt::Display for BlockLen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(len) => write!(f, "{len}"),
        }
    }
}

impl fmt::Display for BlockLenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a block length is \"auto\" or a whole number from 1 to {BLOCK_LEN_MAX}")
    }
}

impl core::error::Error for BlockLenError {}

/// What the creator of a sequence chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Definition {
    /// What an ID of the sequence is.
    pub kind: Kind,
    /// How long its blocks are; `None` follows the server's setting. Only kinds that are reserved
    /// in blocks have one.
    pub block_len: Option<BlockLen>,
    /// Of tickets: the order that several servers keep together. Of other kinds
    /// [`Order::Strict`], which means nothing there.
    pub order: Order,
}

impl Definition {
    /// A sequence of `kind` of which nothing else was chosen.
    pub const fn of(kind: Kind) -> Self {
        Self { kind, block_len: None, order: Order::Strict }
    }

    /// The order that its IDs keep, in the words of the contract.
    pub const fn order_in_words(&self) -> &'static str {
        match (self.kind, self.order) {
            (Kind::Ticket, Order::Loose) => "loose: increasing per server",
            (kind, _) => kind.name().order(),
        }
    }

    /// Whether several servers take turns at it: one owns it at a time.
    pub const fn has_owner(&self) -> bool {
        self.kind.name().has_blocks() && matches!(self.order, Order::Strict)
    }

    /// What `other` has otherwise, in words: `members 3, not 5; offset 1, not 2`.
    pub fn difference_to(&self, other: &Self) -> String {
        let (mine, theirs) = (self.rows(), other.rows());
        let told = |(key, value): &(&str, String)| {
            let other = theirs.iter().find(|(name, _)| name == key);
            match other {
                Some((_, other)) if other == value => None,
                Some((_, other)) => Some(format!("{key} {value}, not {other}")),
                None => Some(format!("{key} {value}, not given")),
            }
        };
        let mut all: Vec<String> = mine.iter().filter_map(told).collect();
        let missing = theirs.iter().filter(|(key, _)| !mine.iter().any(|(name, _)| name == key));
        all.extend(missing.map(|(key, value)| format!("no {key}, not {value}")));
        all.join("; ")
    }

    /// All that was chosen, as names and values.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows: Vec<(&'static str, String)> = Vec::new();
        rows.push(("kind", self.kind.name().as_str().into()));
        match &self.kind {
            Kind::Stride(seat) => {
                rows.push(("members", format!("{}", seat.members())));
                rows.push(("offset", format!("{}", seat.offset())));
            }
            Kind::Snowflake(chosen) => {
                rows.push(("layout", format!("{}", chosen.layout)));
                rows.push(("counter_start", chosen.counter_start.as_str().into()));
            }
            Kind::Ticket => rows.push(("order", self.order.as_str().into())),
            Kind::Uuid4 | Kind::Uuid7 | Kind::Ulid => {}
        }
        if self.kind.name().has_blocks() {
            let len = self.block_len.map_or("as the server's".into(), |len| format!("{len}"));
            rows.push(("block_len", len));
        }
        rows
    }
}

impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.rows().into_iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{key} {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn block_lengths_read_as_they_are_written() {
        for text in ["auto", "1", "1000", "10000000"] {
            assert_eq!(text.parse::<BlockLen>().unwrap().to_string(), text);
        }
        for bad in ["", "0", "-1", "Auto", "1e3", "10000001", "99999999999999999999"] {
            assert_eq!(bad.parse::<BlockLen>(), Err(BlockLenError), "{bad}");
        }
    }

    #[test]
    fn kinds_read_as_they_are_written() {
        for kind in KindName::ALL {
            assert_eq!(KindName::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(KindName::parse("Ticket"), None);
        for order in [Order::Strict, Order::Loose] {
            assert_eq!(Order::parse(order.as_str()), Some(order));
        }
        assert_eq!(Order::parse("Strict"), None);
    }

    #[test]
    fn a_difference_names_what_differs_and_nothing_else() {
        let stride =
            |members, offset| Definition::of(Kind::Stride(Seat::new(members, offset).unwrap()));
        assert_eq!(stride(3, 2).difference_to(&stride(5, 2)), "members 3, not 5");
        assert_eq!(stride(3, 2).difference_to(&stride(3, 2)), "");
        let block_len = Some(BlockLen::Fixed(7));
        let ticket = Definition { block_len, ..Definition::default() };
        assert_eq!(
            ticket.difference_to(&stride(3, 2)),
            "kind ticket, not stride; order strict, not given; block_len 7, not as the server's; \
             no members, not 3; no offset, not 2"
        );
    }
}
