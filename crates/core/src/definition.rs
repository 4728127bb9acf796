//! What a sequence is: the part of its record that its creator chose.

use core::fmt;

use crate::limits::BLOCK_LEN_MAX;

/// The kind of a sequence: what an ID of it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Kind {
    /// A 64-bit integer counted up from 1, in strict order: if one was answered before another
    /// was asked for, it is smaller.
    #[default]
    Ticket,
}

impl Kind {
    /// The word for it in commands, settings and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
        }
    }

    /// The order that its IDs keep, in the words of the contract.
    pub const fn order(self) -> &'static str {
        match self {
            Self::Ticket => "strict",
        }
    }

    /// The kind that `word` names.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "ticket" => Some(Self::Ticket),
            _ => None,
        }
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
    /// How long its blocks are; `None` follows the server's setting.
    pub block_len: Option<BlockLen>,
}

impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kind {}", self.kind.as_str())?;
        match self.block_len {
            Some(len) => write!(f, ", block_len {len}"),
            None => f.write_str(", block_len as the server's"),
        }
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
        assert_eq!(Kind::parse(Kind::Ticket.as_str()), Some(Kind::Ticket));
        assert_eq!(Kind::parse("Ticket"), None);
    }
}
