//! The one place of the bench that reads a clock: the monotonic one, which no fault touches.

use std::time::{Duration, Instant};

/// The clock that all calls and faults of one run are noted by. Copies share their origin.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// A clock whose origin is now.
    #[expect(clippy::disallowed_methods, reason = "this is the file that may read the clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Microseconds since the origin.
    #[expect(clippy::disallowed_methods, reason = "this is the file that may read the clock")]
    pub fn now_us(&self) -> u64 {
        micros(self.0.elapsed())
    }
}

/// A duration in microseconds.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
