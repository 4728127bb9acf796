//! How many IDs a request asks for.

use core::fmt;

use crate::limits::COUNT_MAX;

/// A number of IDs that one request may ask for: 1 to [`COUNT_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(u64);

/// A number of IDs that no request may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountError;

impl Count {
    /// One ID.
    pub const ONE: Self = Self(1);

    /// The count `value`.
    ///
    /// # Errors
    /// [`CountError`] for 0 and for anything above [`COUNT_MAX`].
    pub const fn new(value: u64) -> Result<Self, CountError> {
        if value == 0 || value > COUNT_MAX { Err(CountError) } else { Ok(Self(value)) }
    }

    /// Reads a count in decimal, as it comes off the wire.
    ///
    /// # Errors
    /// [`CountError`] for anything but the decimal digits of an allowed count.
    pub fn parse(text: &[u8]) -> Result<Self, CountError> {
        let digits = core::str::from_utf8(text).map_err(|_| CountError)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(CountError);
        }
        Self::new(digits.parse().map_err(|_| CountError)?)
    }

    /// The count as a number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for CountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a count is a whole number from 1 to {COUNT_MAX}")
    }
}

impl core::error::Error for CountError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_only_what_is_allowed() {
        assert_eq!(Count::parse(b"1").map(Count::get), Ok(1));
        assert_eq!(Count::parse(b"1000000").map(Count::get), Ok(COUNT_MAX));
        for bad in [&b"0"[..], b"-1", b"+1", b"", b" 1", b"1.0", b"1000001", b"\xff"] {
            assert_eq!(Count::parse(bad), Err(CountError), "{bad:?}");
        }
        assert_eq!(Count::parse("1".repeat(31).as_bytes()), Err(CountError));
    }
}
