//! How fast a sequence is used, and how long it lasts at that rate; for snowflake, how much of the
//! layout's time is left.

use core::time::Duration;

use crate::snowflake::layout::Layout;
use crate::time::{Instant, UnixMillis};

/// Observations closer together than this are merged, so that two reads in a row do not see an
/// empty interval.
const INTERVAL_MIN_US: u64 = 1_000_000;

/// The time over which an old rate fades to a half of its weight.
const HALF_LIFE_US: f64 = 30_000_000.0;

/// IDs per second, as a mean that favours the last minute.
#[derive(Debug, Clone, Copy)]
pub struct RateMeter {
    at: Instant,
    issued: u64,
    per_second: Option<f64>,
}

impl RateMeter {
    /// A meter that starts at `now`, when `issued` IDs have been issued.
    pub const fn new(now: Instant, issued: u64) -> Self {
        Self { at: now, issued, per_second: None }
    }

    /// Takes note that `issued` IDs have been issued by `now`, and returns the rate in IDs per
    /// second: 0 until a second has passed.
    pub fn observe(&mut self, now: Instant, issued: u64) -> f64 {
        let elapsed = now.micros_since(self.at);
        if elapsed >= INTERVAL_MIN_US {
            let elapsed = elapsed as f64;
            let recent = issued.saturating_sub(self.issued) as f64 * 1e6 / elapsed;
            // The weight of the old rate after `elapsed`: a half per half-life, without needing
            // an exponential function, which `core` does not have.
            let old = HALF_LIFE_US / (HALF_LIFE_US + elapsed);
            let rate = self.per_second.map_or(recent, |rate| rate * old + recent * (1.0 - old));
            *self = Self { at: now, issued, per_second: Some(rate) };
        }
        self.per_second.unwrap_or(0.0)
    }
}

/// How long `left` IDs last at `per_second`; `None` if for ever, or longer than can be said.
pub fn lasts(left: u64, per_second: f64) -> Option<Duration> {
    if per_second <= 0.0 {
        return None;
    }
    Duration::try_from_secs_f64(left as f64 / per_second).ok()
}

/// What is left of the time of a layout. It ends whether IDs are issued or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLeft {
    /// Ticks that have not passed.
    pub ticks: u64,
    /// IDs of those ticks, of all worker IDs together.
    pub ids: u64,
    /// How long it is.
    pub lasts: Duration,
    /// When it ends.
    pub runs_out: UnixMillis,
}

impl TimeLeft {
    /// What is left of the time of `layout` when the wall clock says `now`.
    pub fn of(layout: &Layout, now: UnixMillis) -> Self {
        let (runs_out, tick_ms) = (layout.runs_out(), u64::from(layout.tick_ms()));
        let left = runs_out.since(now.max(layout.epoch()));
        let ticks = left.div_ceil(tick_ms);
        let per_tick = layout.workers().saturating_mul(layout.ids_per_tick());
        let lasts = Duration::from_millis(runs_out.since(now));
        Self { ticks, ids: ticks.saturating_mul(per_tick), lasts, runs_out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_left_until_it_runs_out_whatever_is_issued() {
        let layout: Layout = "time:4,worker:2,counter:3@1000/10ms".parse().unwrap();
        let left = |now| {
            let left = TimeLeft::of(&layout, UnixMillis(now));
            (left.ticks, left.ids, left.lasts.as_millis())
        };
        assert_eq!(TimeLeft::of(&layout, UnixMillis(0)).runs_out, UnixMillis(1160));
        assert_eq!(left(0), (16, 512, 1160));
        assert_eq!(left(1000), (16, 512, 160));
        assert_eq!(left(1155), (1, 32, 5));
        assert_eq!(left(1160), (0, 0, 0));
        assert_eq!(left(9999), (0, 0, 0));
    }

    fn seconds(n: u64) -> Instant {
        Instant::from_micros(n * 1_000_000)
    }

    #[test]
    fn a_steady_rate_is_told_exactly_and_a_change_is_followed() {
        let mut meter = RateMeter::new(seconds(0), 0);
        assert_eq!(meter.observe(seconds(0), 5), 0.0);
        assert_eq!(meter.observe(seconds(10), 1000), 100.0);
        assert_eq!(meter.observe(seconds(10), 1000), 100.0);
        assert_eq!(meter.observe(seconds(20), 2000), 100.0);
        let mut rate = 100.0;
        for n in 3..60 {
            let next = meter.observe(seconds(n * 10), 2000);
            assert!(next < rate);
            rate = next;
        }
        assert!(rate < 0.001, "an idle sequence ends at rest, not at {rate}");
    }

    #[test]
    fn lasts_as_long_as_the_division_says() {
        assert_eq!(lasts(1000, 10.0), Some(Duration::from_secs(100)));
        assert_eq!(lasts(1000, 0.0), None);
        assert_eq!(lasts(u64::MAX, f64::MIN_POSITIVE), None);
    }
}
