//! Where every choice of a world comes from, and of the nemesis of the live simulation: one
//! generator, seeded by one number.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// Draws choices. The arithmetic is its own, so that a seed means the same world whatever the
/// version of the `rand` crate makes of ranges.
#[derive(Debug)]
pub(crate) struct Draw(Pcg64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Pcg64::seed_from_u64(seed))
    }

    /// One of `0..n`; `n` is not 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        let wide = u128::from(self.0.next_u64()) * u128::from(n);
        // The upper half of a product is below its other factor.
        (wide >> 64) as u64
    }

    /// One of `low..=high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// One of `low..=high`, each order of magnitude as likely as the next.
    pub(crate) fn magnitude(&mut self, low: u64, high: u64) -> u64 {
        let doublings = u64::from((high / low.max(1)).max(1).ilog2());
        let top = low.max(1) << self.between(0, doublings);
        self.between(low, top.saturating_mul(2).min(high).max(low))
    }

    /// True `per_mille` times in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        per_mille > 0 && self.below(1000) < per_mille
    }
}
