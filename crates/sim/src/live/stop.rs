//! A word to many threads that it is time to end, which also wakes those that sleep.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Whether to stop. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    requested: AtomicBool,
    gate: Mutex<()>,
    wakes: Condvar,
}

impl Stop {
    /// Says that it is time to end.
    pub fn request(&self) {
        // Under the lock: a sleeper has either not looked yet, or is already waiting to be woken.
        let _gate = self.0.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.requested.store(true, Ordering::SeqCst);
        self.0.wakes.notify_all();
    }

    /// Whether somebody said so.
    pub fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::Relaxed)
    }

    /// Sleeps for `duration`, or less if somebody says so meanwhile.
    pub fn sleep(&self, duration: Duration) {
        let gate = self.0.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |(): &mut ()| !self.is_requested();
        drop(self.0.wakes.wait_timeout_while(gate, duration, waiting));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_wakes_who_sleeps() {
        let stop = Stop::default();
        let sleeper = std::thread::spawn({
            let stop = stop.clone();
            move || stop.sleep(Duration::from_secs(3600))
        });
        stop.request();
        sleeper.join().unwrap();
        assert!(stop.is_requested());
    }
}
