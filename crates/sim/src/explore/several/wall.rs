//! The wall clocks of servers: each says what it likes, and is right only by chance.

use ticketd_core::time::UnixMillis;

/// What a right wall clock says when a world begins, in microseconds since 1970.
pub(super) const BEGIN_US: u64 = 1_750_000_000_000_000;

const MILLION: i128 = 1_000_000;

/// The wall clock of a server. It outlives its processes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wall {
    /// It showed `shown_us` at the true time `at_us`.
    at_us: u64,
    shown_us: u64,
    /// Millionths by which it is fast; one that stands still is slow by a million.
    rate: i64,
}

/// What happens to a wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Back(u64),
    Forward(u64),
    /// It stands still.
    Freeze,
    /// It goes on, so many millionths too fast.
    Drift(i64),
    /// It is set right.
    Right,
}

/// What a right clock says at the true time `now`, in microseconds since 1970.
pub(super) const fn truth_us(now: u64) -> u64 {
    BEGIN_US + now
}

impl Wall {
    /// A clock that is right.
    pub(super) const fn right(now: u64) -> Self {
        Self { at_us: now, shown_us: truth_us(now), rate: 0 }
    }

    /// What it shows at the true time `now`, in microseconds since 1970.
    pub(super) fn shows_us(self, now: u64) -> u64 {
        let passed = i128::from(now - self.at_us) * (MILLION + i128::from(self.rate)) / MILLION;
        self.shown_us.saturating_add(u64::try_from(passed).unwrap_or_default())
    }

    pub(super) fn shows(self, now: u64) -> UnixMillis {
        UnixMillis(self.shows_us(now) / 1_000)
    }

    /// Microseconds by which it is ahead of the truth.
    pub(super) fn ahead_us(self, now: u64) -> u64 {
        self.shows_us(now).saturating_sub(truth_us(now))
    }

    pub(super) fn turn(&mut self, now: u64, turn: Turn) {
        let shown_us = self.shows_us(now);
        let (shown_us, rate) = match turn {
            Turn::Back(by) => (shown_us.saturating_sub(by), self.rate),
            Turn::Forward(by) => (shown_us.saturating_add(by), self.rate),
            Turn::Freeze => (shown_us, -1_000_000),
            Turn::Drift(rate) => (shown_us, rate),
            Turn::Right => (truth_us(now), 0),
        };
        *self = Self { at_us: now, shown_us, rate };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_what_happened_to_it() {
        let mut wall = Wall::right(7);
        let shows =
            |wall: Wall, now: u64| wall.shows_us(now).cast_signed() - BEGIN_US.cast_signed();
        assert_eq!(shows(wall, 1_000_007), 1_000_007);
        wall.turn(1_000_000, Turn::Back(3_000_000));
        assert_eq!(shows(wall, 1_000_001), -1_999_999);
        wall.turn(2_000_000, Turn::Drift(100_000));
        assert_eq!(shows(wall, 3_000_000), 100_000);
        wall.turn(3_000_000, Turn::Freeze);
        assert_eq!(shows(wall, 9_000_000), 100_000);
        wall.turn(9_000_000, Turn::Forward(20_000_000));
        assert_eq!((shows(wall, 9_000_001), wall.ahead_us(9_000_000)), (20_100_000, 11_100_000));
        wall.turn(9_000_002, Turn::Right);
        assert_eq!((shows(wall, 9_000_003), wall.ahead_us(9_000_003)), (9_000_003, 0));
    }
}
