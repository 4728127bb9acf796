//! How fast a sequence is used, and how long it lasts at that rate.

use core::time::Duration;

use crate::time::Instant;

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

#[cfg(test)]
mod tests {
    use super::*;

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
