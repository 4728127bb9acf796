//! How long the next block should be.

use crate::definition::BlockLen;
use crate::limits::{AUTO_BLOCK_GROWTH_MAX, AUTO_BLOCK_LASTS_US, RESERVE_LEN_MAX};
use crate::time::Instant;

/// Decides the length of blocks and when the next one is fetched.
///
/// With [`BlockLen::Auto`] a block is as long as what is issued in about a second: long enough
/// that a refill which starts half-way comes in time even from a slow disk, and no longer, since
/// a crash may burn it.
#[derive(Debug, Clone)]
pub struct Demand {
    block_len: BlockLen,
    auto_min: u64,
    auto_max: u64,
    /// The length of the last block.
    len: u64,
    /// When it was asked for, and how many IDs had been issued by then.
    since: Option<(Instant, u64)>,
}

impl Demand {
    /// The demand of a sequence that nobody has asked yet.
    pub fn new(block_len: BlockLen, auto_min: u64, auto_max: u64) -> Self {
        let len = match block_len {
            BlockLen::Auto => auto_min,
            BlockLen::Fixed(len) => len,
        };
        Self { block_len, auto_min, auto_max, len, since: None }
    }

    /// The block length in force.
    pub const fn block_len(&self) -> BlockLen {
        self.block_len
    }

    /// Whether anything is reserved before it is asked for. Not with a block length of 1, which is
    /// for those who can bear no gap.
    pub fn refills_ahead(&self) -> bool {
        self.block_len != BlockLen::Fixed(1)
    }

    /// How many IDs are left when a refill starts.
    pub fn low_water(&self) -> u64 {
        self.len / 2
    }

    /// The length to reserve at `now`, when `issued` IDs have been issued in all and requests for
    /// `wanted` more wait.
    pub(super) fn reserve_len(&mut self, now: Instant, issued: u64, wanted: u64) -> u64 {
        match self.block_len {
            BlockLen::Auto => {
                self.follow(now, issued.saturating_add(wanted));
                self.len.saturating_add(wanted).min(RESERVE_LEN_MAX)
            }
            // Whole blocks, as many as those who wait need.
            BlockLen::Fixed(len) => {
                let blocks = wanted.div_ceil(len).max(1);
                blocks.saturating_mul(len).min(RESERVE_LEN_MAX)
            }
        }
    }

    fn follow(&mut self, now: Instant, issued: u64) {
        if let Some((then, issued_then)) = self.since {
            let elapsed = u128::from(now.micros_since(then).max(1));
            let spent = u128::from(issued.saturating_sub(issued_then));
            let desired = spent * u128::from(AUTO_BLOCK_LASTS_US) / elapsed;
            let desired = u64::try_from(desired).unwrap_or(u64::MAX);
            let longest = self.len.saturating_mul(AUTO_BLOCK_GROWTH_MAX).min(self.auto_max);
            self.len = desired.max(self.len / 2).min(longest).max(self.auto_min);
        }
        self.since = Some((now, issued));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1000;

    /// The lengths that `reserve_len` gives when `per_ms` IDs are issued every millisecond and
    /// each refill starts half-way through the block before.
    fn lengths(per_ms: u64, rounds: usize) -> std::vec::Vec<u64> {
        let mut demand = Demand::new(BlockLen::Auto, 64, 1_000_000);
        let (mut now, mut issued) = (Instant::from_micros(0), 0);
        (0..rounds)
            .map(|_| {
                let len = demand.reserve_len(now, issued, 0);
                let half = len / 2;
                issued += half;
                now = now.plus_micros((half * MS).div_ceil(per_ms));
                len
            })
            .collect()
    }

    #[test]
    fn grows_to_a_second_of_use_and_stays_there() {
        let lengths = lengths(100, 12);
        assert_eq!(lengths[..4], [64, 512, 4096, 32_768]);
        assert!(lengths[6..].iter().all(|len| (95_000..=105_000).contains(len)), "{lengths:?}");
    }

    #[test]
    fn stays_between_its_ends() {
        assert_eq!(*lengths(50_000, 12).last().unwrap(), 1_000_000);
        let mut demand = Demand::new(BlockLen::Auto, 64, 1_000_000);
        demand.reserve_len(Instant::from_micros(0), 0, 0);
        assert_eq!(demand.reserve_len(Instant::from_micros(3_600_000 * MS), 70, 0), 64);
    }

    #[test]
    fn falls_when_demand_does() {
        let mut demand = Demand::new(BlockLen::Auto, 64, 1_000_000);
        demand.len = 100_000;
        demand.since = Some((Instant::from_micros(0), 0));
        assert_eq!(demand.reserve_len(Instant::from_micros(60_000 * MS), 1000, 0), 50_000);
    }

    #[test]
    fn those_who_wait_come_on_top() {
        let at = Instant::from_micros(0);
        assert_eq!(Demand::new(BlockLen::Auto, 64, 1000).reserve_len(at, 0, 500), 564);
        assert_eq!(Demand::new(BlockLen::Fixed(1), 64, 1000).reserve_len(at, 0, 50), 50);
        assert_eq!(Demand::new(BlockLen::Fixed(20), 64, 1000).reserve_len(at, 0, 50), 60);
        assert_eq!(Demand::new(BlockLen::Fixed(20), 64, 1000).reserve_len(at, 0, 0), 20);
        let all = Demand::new(BlockLen::Fixed(7), 64, 1000).reserve_len(at, 0, u64::MAX);
        assert_eq!(all, RESERVE_LEN_MAX);
    }
}
