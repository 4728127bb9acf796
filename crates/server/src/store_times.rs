//! How long the store takes.

use std::sync::atomic::{AtomicU64, Ordering};

/// How long reservations took, for the metrics.
#[derive(Debug, Default)]
pub struct StoreTimes {
    buckets: [AtomicU64; Self::BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl StoreTimes {
    /// Upper bounds of the buckets in microseconds; the last bucket has none.
    pub const BOUNDS_US: [u64; 14] = [
        100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
        1_000_000, 5_000_000,
    ];

    pub(crate) fn observe(&self, micros: u64) {
        let bucket = Self::BOUNDS_US.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(micros, Ordering::Relaxed);
    }

    /// Reservations per bucket, and the sum of their times in microseconds.
    pub fn read(&self) -> ([u64; Self::BOUNDS_US.len() + 1], u64) {
        let counts = std::array::from_fn(|i| self.buckets[i].load(Ordering::Relaxed));
        (counts, self.sum_us.load(Ordering::Relaxed))
    }
}
