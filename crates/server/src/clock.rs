//! The one place of the server that reads a clock: the monotonic one, and the wall clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use ticketd_core::time::{Instant, UnixMillis};

/// The clocks of this process. Copies share their origin.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: tokio::time::Instant,
    skew_ms: Option<&'static AtomicI64>,
}

impl Clock {
    /// A clock whose origin is now.
    #[expect(clippy::disallowed_methods, reason = "this is the file that may read the clock")]
    pub fn start() -> Self {
        Self { origin: tokio::time::Instant::now(), skew_ms: None }
    }

    /// The present moment.
    #[expect(clippy::disallowed_methods, reason = "this is the file that may read the clock")]
    pub fn now(&self) -> Instant {
        Instant::from_micros(0).plus(self.origin.elapsed())
    }

    /// What the wall clock says. It may lie; nothing but the times in IDs depends on it.
    #[expect(clippy::disallowed_methods, reason = "this is the file that may read the clock")]
    pub fn wall(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        let skew = self.skew_ms.map_or(0, |skew| skew.load(Ordering::Relaxed));
        UnixMillis(u64::try_from(millis.saturating_add(skew)).unwrap_or(0))
    }

    /// A clock whose wall clock is wrong by `skew_ms` milliseconds, which may change at any time:
    /// for tests.
    pub fn start_skewed(skew_ms: &'static AtomicI64) -> Self {
        Self { skew_ms: Some(skew_ms), ..Self::start() }
    }

    /// Waits until `moment`.
    pub async fn sleep_until(&self, moment: Instant) {
        // A duration, not an instant, since the end of time does not fit into tokio's.
        let wait = moment.micros_since(self.now());
        tokio::time::sleep(Duration::from_micros(wait)).await;
    }

    /// What `future` comes to by `deadline`; `None` if that is too early for it.
    pub async fn within<T>(&self, deadline: Instant, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = future => Some(done),
            () = self.sleep_until(deadline) => None,
        }
    }

    /// Time since the origin.
    pub fn uptime(&self) -> Duration {
        Duration::from_micros(self.now().as_micros())
    }
}
