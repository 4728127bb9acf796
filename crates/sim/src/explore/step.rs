//! What happened in a world, for readers and for pictures: the same whatever world it is.

use std::fmt;

use super::fault::Fault;

/// Where something happens; a picture has a lane for each place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// Its name, such as `engine`.
    pub name: &'static str,
    /// Which of several it is, counted from 1; 0 if there is one.
    pub number: u64,
}

impl Lane {
    /// The clients.
    pub const CLIENTS: Self = Self::one("clients");
    /// The world as a whole: its phases, and what belongs nowhere else.
    pub const WORLD: Self = Self::one("world");

    /// A place of which there is one.
    pub const fn one(name: &'static str) -> Self {
        Self { name, number: 0 }
    }

    /// Server number `slot`, counted from 0.
    pub const fn server(slot: usize) -> Self {
        Self { name: "server", number: slot as u64 + 1 }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            0 => f.pad(self.name),
            number => f.pad(&format!("{} {number}", self.name)),
        }
    }
}

/// Something that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bar {
    /// A process runs.
    Life,
    /// A process has been told to stop.
    Stopping,
    /// A process or a thread stands still.
    Still,
    /// A link is cut.
    Cut,
    /// The store or the engine does not answer, or takes nothing.
    Away,
    /// The lease of a server holds.
    Lease,
    /// A sequence is owned.
    Owner,
    /// A block is held.
    Block,
}

/// Something that happens at one moment to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// A client asks, by the number of its request.
    Asked,
    /// It is answered.
    Answered,
    /// It is refused.
    Refused,
    /// It is lost, or its client does not wait any longer.
    Lost,
    /// Parts of it wait from here on, as requests of their own.
    Parted,
}

/// What a picture shows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    /// Nothing: it is told in words alone.
    Plain,
    /// A fault.
    Fault(Struck),
    /// A moment that matters more than others.
    Moment,
    /// What becomes of the request of this number, for these IDs if there are any.
    Request {
        /// What happens to it.
        tick: Tick,
        /// Its number.
        request: u64,
        /// From the first ID that is asked for or answered to behind the last one; of one that is
        /// parted, the same of the numbers of its parts.
        ids: (u64, u64),
    },
    /// A bar begins, or goes on. One without an end lasts until another of its kind begins at the
    /// same place, or [`Sign::Ends`].
    Begins {
        /// What lasts.
        bar: Bar,
        /// What is written on it.
        label: String,
        /// When it ends by itself, in microseconds.
        until_us: Option<u64>,
    },
    /// A bar ends.
    Ends(Bar),
    /// All bars of this lane end.
    EndsAll,
}

pub use super::fault::Struck;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When, in microseconds of virtual time.
    pub at_us: u64,
    /// Where.
    pub lane: Lane,
    /// The number of the sequence that it is about, counted from 0.
    pub sequence: Option<usize>,
    /// What, in words.
    pub text: String,
    /// What a picture shows of it.
    pub sign: Sign,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.at_us / 1_000_000, self.at_us % 1_000_000);
        write!(f, "{seconds:>4}.{micros:06} s  {:<8}  ", self.lane)?;
        match self.sequence {
            Some(sequence) => write!(f, "s{sequence}  ")?,
            None => f.write_str("--  ")?,
        }
        f.write_str(&self.text)
    }
}

/// A span of virtual time in the unit that suits it.
#[must_use]
pub fn span(micros: u64) -> String {
    let unit = |whole: u64, word: &str| {
        let number = format!("{:.3}", micros as f64 / whole as f64);
        format!("{} {word}", number.trim_end_matches('0').trim_end_matches('.'))
    };
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => unit(1_000, "ms"),
        _ => unit(1_000_000, "s"),
    }
}

/// Whether a fault of this kind happens to a client rather than to a server or a store.
pub(super) const fn is_of_clients(fault: Fault) -> bool {
    matches!(fault, Fault::Leave | Fault::AnswerLost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_units_that_suit_them() {
        let told = [0, 999, 1_000, 12_340, 999_999, 1_000_000, 62_500_000].map(span);
        let right = ["0 us", "999 us", "1 ms", "12.34 ms", "999.999 ms", "1 s", "62.5 s"];
        assert_eq!(told, right);
    }

    #[test]
    fn a_step_is_a_line_with_its_time_and_its_place() {
        let step = |lane, sequence| Step {
            at_us: 1_000_002,
            lane,
            sequence,
            text: "x".to_owned(),
            sign: Sign::Plain,
        };
        assert_eq!(step(Lane::server(1), Some(0)).to_string(), "   1.000002 s  server 2  s0  x");
        assert_eq!(step(Lane::WORLD, None).to_string(), "   1.000002 s  world     --  x");
    }
}
