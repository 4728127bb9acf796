//! Which readings of the wall clock are believed.

use crate::time::{Instant, UnixMillis};

/// Keeps the latest moment that was believed, carried on by the monotonic clock. A reading far
/// above it is not believed: an ID that carries a time far in the future could never be followed
/// by one of the present. A reading below it is fine: windows take care of a clock that goes back.
#[derive(Debug, Clone, Copy)]
pub struct ClockGuard {
    believed: UnixMillis,
    since: Instant,
    jump_max_ms: u64,
}

/// A reading that is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockAhead {
    /// What the clock says.
    pub wall: UnixMillis,
    /// What it could say at most without a jump.
    pub believed: UnixMillis,
}

impl ClockGuard {
    /// A guard that knows that `known` had come by `now`, and believes jumps of up to
    /// `jump_max_ms` milliseconds.
    pub const fn new(known: UnixMillis, now: Instant, jump_max_ms: u64) -> Self {
        Self { believed: known, since: now, jump_max_ms }
    }

    /// Whether a clock that says `wall` at `now` is believed.
    ///
    /// # Errors
    /// [`ClockAhead`] if it is not; nothing changes then.
    pub fn check(&mut self, wall: UnixMillis, now: Instant) -> Result<UnixMillis, ClockAhead> {
        let believed = self.believed.plus(now.micros_since(self.since) / 1000);
        if wall.since(believed) > self.jump_max_ms {
            return Err(ClockAhead { wall, believed });
        }
        if wall > believed {
            *self = Self { believed: wall, since: now, ..*self };
        }
        Ok(wall)
    }

    /// Takes an operator's word that `moment` has come by `now`.
    pub fn trust(&mut self, moment: UnixMillis, now: Instant) {
        let believed = self.believed.plus(now.micros_since(self.since) / 1000);
        *self = Self { believed: believed.max(moment), since: now, ..*self };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_ahead_is_believed_up_to_the_limit_and_later_by_an_operators_word() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let mut guard = ClockGuard::new(UnixMillis(1_000_000), at(0), 500);
        assert_eq!(guard.check(UnixMillis(1_000_500), at(0)), Ok(UnixMillis(1_000_500)));
        let far = UnixMillis(1_001_011);
        let ahead = ClockAhead { wall: far, believed: UnixMillis(1_000_510) };
        assert_eq!(guard.check(far, at(10)), Err(ahead));
        assert_eq!(guard.check(UnixMillis(0), at(11)), Ok(UnixMillis(0)), "going back is fine");
        assert_eq!(guard.check(UnixMillis(1_000_512), at(11)), Ok(UnixMillis(1_000_512)));
        assert!(guard.check(UnixMillis(9_000_000), at(12)).is_err());
        guard.trust(UnixMillis(8_999_900), at(12));
        guard.trust(UnixMillis(5), at(12));
        assert!(guard.check(UnixMillis(9_000_000), at(12)).is_ok());
    }

    #[test]
    fn time_that_has_passed_is_no_jump() {
        let mut guard = ClockGuard::new(UnixMillis(0), Instant::from_micros(0), 1000);
        let year_us = 365 * 24 * 3600 * 1_000_000;
        let later = UnixMillis(year_us / 1000 + 1000);
        assert!(guard.check(later, Instant::from_micros(year_us)).is_ok());
    }
}
