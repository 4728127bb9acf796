//! Snowflake IDs: a time, a worker ID and a counter, packed into one integer.

pub mod clock;
pub mod generator;
pub mod layout;
pub mod lease;
pub mod preset;

use core::fmt;

use layout::Layout;

/// Where the counter starts when a worker comes to a new tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CounterStart {
    /// At 0.
    #[default]
    Zero,
    /// At random, so that the last bits of IDs that come one by one are evenly spread: good for
    /// those who choose a shard by them.
    Random,
}

impl CounterStart {
    /// The word for it in commands, settings and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Zero => "zero",
            Self::Random => "random",
        }
    }

    /// The start that `word` names.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Zero, Self::Random].into_iter().find(|start| start.as_str() == word)
    }
}

/// What the creator of a snowflake sequence chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Snowflake {
    /// What the bits of an ID mean.
    pub layout: Layout,
    /// Where the counter starts in each tick.
    pub counter_start: CounterStart,
}

impl fmt::Display for Snowflake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layout {}, counter_start {}", self.layout, self.counter_start.as_str())
    }
}
