//! The one place of the server that reads a clock: the monotonic one, and the wall clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use rustix::time::ClockId;
use ticketd_core::time::{Instant, UnixMillis};

/// The clocks of this process. Copies share their origin.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Origin,
    skew_ms: Option<&'static AtomicI64>,
}

/// Where a monotonic clock is read, and what it said at first.
#[derive(Debug, Clone, Copy)]
enum Origin {
    /// The runtime's, which tests can stop. It may stand still while the machine is suspended.
    Runtime(tokio::time::Instant),
    /// The machine's, since it started or some other moment of the past.
    Machine(Duration),
}

/// The monotonic clock of the machine that goes on while it is suspended: of Linux that is not
/// `CLOCK_MONOTONIC`, elsewhere (macOS) it is.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MACHINE: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const MACHINE: ClockId = ClockId::Monotonic;

impl Clock {
    /// A clock whose origin is now, of the runtime.
    #[expect(clippy::disallowed_methods, reason = "this is the file that may read the clock")]
    pub fn start() -> Self {
        Self { origin: Origin::Runtime(tokio::time::Instant::now()), skew_ms: None }
    }

    /// A clock whose origin is now, and which goes on while the machine is suspended: by any other
    /// a lease would seem to last for as long as that.
    pub fn start_of_machine() -> Self {
        Self { origin: Origin::Machine(read_machine()), skew_ms: None }
    }

    /// The present moment.
    #[expect(clippy::disallowed_methods, reason = "this is the file that may read the clock")]
    pub fn now(&self) -> Instant {
        let elapsed = match self.origin {
            Origin::Runtime(origin) => origin.elapsed(),
            Origin::Machine(origin) => read_machine().saturating_sub(origin),
        };
        Instant::from_micros(0).plus(elapsed)
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

    /// Waits until `moment`; longer if the machine is suspended meanwhile, for as long as was left.
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

#[expect(clippy::disallowed_methods, reason = "this is the file that may read the clock")]
fn read_machine() -> Duration {
    let now = rustix::time::clock_gettime(MACHINE);
    // It counts from a moment of the past.
    Duration::try_from(now).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_the_machine_goes_on_as_the_runtimes_does() {
        let (machine, runtime) = (Clock::start_of_machine(), Clock::start());
        let mut last = machine.now();
        while runtime.now() < Instant::from_micros(20_000) {
            let now = machine.now();
            assert!(now >= last, "{now:?} after {last:?}");
            last = now;
        }
        // Started before the other, and not suspended.
        assert!(machine.now() >= Instant::from_micros(20_000));
    }
}
