//! Points in time, as arguments: on the monotonic clock, and on the wall clock.

use core::time::Duration;

/// A point on a monotonic clock: microseconds since an origin that the shell chose.
///
/// The core never reads a clock. It compares the instants that it is given, so any origin will do
/// as long as one shell keeps to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The instant `micros` microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The instant `micros` microseconds later; the end of time if that is too far.
    pub const fn plus_micros(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// The instant `duration` later; the end of time if that is too far.
    pub fn plus(self, duration: Duration) -> Self {
        self.plus_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }

    /// Microseconds from `earlier` to `self`; 0 if `earlier` is the later one.
    pub const fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A point on the wall clock: milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// The wall clock may lie. Only generators of IDs that carry a time are ever told it, and what
/// they promise does not depend on its being right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The point `millis` milliseconds later; the end of time if that is too far.
    pub const fn plus(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to `self`; 0 if `earlier` is the later one.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
