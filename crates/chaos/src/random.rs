//! Random numbers from a seed: SplitMix64 (Steele, Lea and Flood 2014).

/// A source of random numbers that is the same for the same seed.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// From `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A source of its own for the part `n` of whatever has this one.
    pub fn part(&self, n: u64) -> Self {
        let mut parted = Self(self.0 ^ n.wrapping_mul(0xd134_2543_de82_ef95));
        Self(parted.bits())
    }

    /// 64 random bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `min` to `max`, both included.
    pub const fn between(&mut self, min: u64, max: u64) -> u64 {
        min + self.bits() % (max - min + 1)
    }

    /// True once in `n` times.
    pub const fn once_in(&mut self, n: u64) -> bool {
        self.bits().is_multiple_of(n)
    }

    /// One of `from`, which is not empty.
    pub fn one<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = self.between(0, from.len() as u64 - 1);
        &from[usize::try_from(index).expect("it is less than a length")]
    }

    /// Brings `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let index = self.between(0, last as u64);
            items.swap(usize::try_from(index).expect("it is less than a length"), last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_says_the_same_and_parts_differ() {
        let bits = |mut random: Random| [random.bits(), random.bits(), random.bits()];
        assert_eq!(bits(Random::new(7)), bits(Random::new(7)));
        assert_ne!(bits(Random::new(7).part(1)), bits(Random::new(7).part(2)));
        let mut random = Random::new(1);
        assert!((0..1000).all(|_| (3..=5).contains(&random.between(3, 5))));
        let mut items: Vec<u64> = (0..50).collect();
        random.shuffle(&mut items);
        assert!(!items.is_sorted());
        items.sort_unstable();
        assert!(items.into_iter().eq(0..50), "nothing is lost");
    }
}
