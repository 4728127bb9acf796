//! The one place of the server that reads a clock.

use std::time::Duration;

use ticketd_core::time::Instant;

/// The monotonic clock of this process. Copies share their origin.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: tokio::time::Instant,
}

impl Clock {
    /// A clock whose origin is now.
    #[expect(clippy::disallowed_methods, reason = "this is the file that may read the clock")]
    pub fn start() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }

    /// The present moment.
    #[expect(clippy::disallowed_methods, reason = "this is the file that may read the clock")]
    pub fn now(&self) -> Instant {
        Instant::from_micros(0).plus(self.origin.elapsed())
    }

    /// Waits until `moment`.
    pub async fn sleep_until(&self, moment: Instant) {
        // A duration, not an instant, since the end of time does not fit into tokio's.
        let wait = moment.micros_since(self.now());
        tokio::time::sleep(Duration::from_micros(wait)).await;
    }

    /// Time since the origin.
    pub fn uptime(&self) -> Duration {
        Duration::from_micros(self.now().as_micros())
    }
}
