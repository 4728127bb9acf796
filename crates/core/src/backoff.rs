//! How long to wait before the store is asked again.

use crate::limits::{BACKOFF_MAX_US, BACKOFF_MIN_US};

/// The pause in microseconds after so many failures in a row: it doubles from
/// [`BACKOFF_MIN_US`] to [`BACKOFF_MAX_US`].
pub fn pause_us(failures_in_row: u32) -> u64 {
    let doublings = failures_in_row.saturating_sub(1).min(16);
    (BACKOFF_MIN_US << doublings).min(BACKOFF_MAX_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_limit() {
        let pauses = [0, 1, 2, 3, 7, 8, u32::MAX].map(pause_us);
        assert_eq!(pauses, [10_000, 10_000, 20_000, 40_000, 640_000, 1_000_000, 1_000_000]);
    }
}
