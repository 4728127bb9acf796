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

/// Milliseconds since 1970-01-01T00:00:00Z, perhaps negative, that print as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rfc3339(pub i64);

impl core::fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        const DAY_MS: i64 = 86_400_000;
        let (days, of_day) = (self.0.div_euclid(DAY_MS), self.0.rem_euclid(DAY_MS));
        // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days: years
        // begin in March, so that the day that leap years add is their last.
        let days = days + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year + era * 400 + i64::from(month <= 2);
        let (seconds, millis) = (of_day / 1000, of_day % 1000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}
