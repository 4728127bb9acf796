//! How well somebody who gets IDs himself guesses the next one: by the differences between those
//! that he has.

use serde::Serialize;

/// How many guesses the patient one has.
pub const GUESSES: u128 = 1000;

/// How many recent differences are looked at.
const WINDOW: usize = 64;

/// How well the next ID was guessed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Guess {
    /// How many were tried.
    pub tried: u64,
    /// The share guessed at once: the last ID and the most common recent difference.
    pub guessed_at_once_share: f64,
    /// The share that is among [`GUESSES`] guesses: every recent difference, and then the first
    /// multiples of what all of them have in common.
    pub guessed_within_1000_share: f64,
    /// An estimate, and on average at most this: the bits of the next ID that stay unknown to who has
    /// the last one, as the sum of what each bit alone leaves open.
    pub unknown_bits_estimate: f64,
}

/// Guesses each of `ids` from those before it.
pub(super) fn guess(ids: &[u128]) -> Guess {
    let differences: Vec<u128> = ids.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    let changes: Vec<u128> = ids.windows(2).map(|pair| pair[1] ^ pair[0]).collect();
    let (mut tried, mut at_once, mut within) = (0_u64, 0_u64, 0_u64);
    for known in differences.windows(WINDOW + 1) {
        let (recent, next) = (&known[..WINDOW], known[WINDOW]);
        tried += 1;
        at_once += u64::from(most_common(recent) == next);
        within += u64::from(is_near(recent, next));
    }
    Guess {
        tried,
        guessed_at_once_share: super::share(at_once, tried),
        guessed_within_1000_share: super::share(within, tried),
        unknown_bits_estimate: unknown_bits(&differences).min(unknown_bits(&changes)),
    }
}

/// The value that most of `recent` have; of equally common ones the last.
fn most_common(recent: &[u128]) -> u128 {
    let mut sorted = recent.to_vec();
    sorted.sort_unstable();
    let runs = sorted.chunk_by(|a, b| a == b);
    runs.max_by_key(|run| run.len()).map_or(0, |run| run[0])
}

/// Whether `next` is one of the `recent` differences, or one of the first multiples of what they have
/// in common.
fn is_near(recent: &[u128], next: u128) -> bool {
    const MULTIPLES: u128 = GUESSES - WINDOW as u128;
    if recent.contains(&next) {
        return true;
    }
    let unit = recent.iter().copied().reduce(greatest_common_divisor).unwrap_or(0);
    unit > 0 && next > 0 && next.is_multiple_of(unit) && next / unit <= MULTIPLES
}

/// Of differences, which may be backwards: then of how far.
fn greatest_common_divisor(a: u128, b: u128) -> u128 {
    let (mut a, mut b) = (a.cast_signed().unsigned_abs(), b.cast_signed().unsigned_abs());
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Shannon's entropy of each bit of what leads from one ID to the next, summed. Counters show in the
/// differences, bits that never change in which bits change: the smaller sum is nearer the truth.
fn unknown_bits(differences: &[u128]) -> f64 {
    let of_bit = |bit: u32| {
        let ones = differences.iter().filter(|difference| *difference >> bit & 1 == 1).count();
        entropy(super::share(ones as u64, differences.len() as u64))
    };
    (0..u128::BITS).map(of_bit).sum()
}

/// Of a bit that is one in this share of cases.
fn entropy(ones: f64) -> f64 {
    let of = |share: f64| if share > 0.0 { -share * share.log2() } else { 0.0 };
    of(ones) + of(1.0 - ones)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn a_steady_count_is_guessed_at_once() {
        let found = guess(&(0..1000).map(|at| 7 + 3 * at).collect::<Vec<_>>());
        assert_eq!(found.tried, 1000 - 1 - WINDOW as u64);
        assert_eq!((found.guessed_at_once_share, found.guessed_within_1000_share), (1.0, 1.0));
        assert_eq!(found.unknown_bits_estimate, 0.0);
    }

    #[test]
    fn multiples_of_a_common_unit_are_guessed_in_time() {
        let mut random = Pcg64::seed_from_u64(3);
        let mut id = 5_u128;
        let ids: Vec<u128> = (0..2000)
            .map(|_| {
                id += random.random_range(1..900_u128) << 22;
                id
            })
            .collect();
        let found = guess(&ids);
        assert!(found.guessed_at_once_share < 0.05, "{found:?}");
        assert_eq!(found.guessed_within_1000_share, 1.0);
        assert!((5.0..11.0).contains(&found.unknown_bits_estimate), "{found:?}");
    }

    #[test]
    fn a_difference_is_tried_again_even_if_all_have_little_in_common() {
        let steps = [1 << 22, 3 << 22, (2 << 22) + 1, (1 << 22) - 1];
        let mut id = 9_u128;
        let ids: Vec<u128> = (0..400)
            .map(|at| {
                id += steps[at % steps.len()];
                id
            })
            .collect();
        let found = guess(&ids);
        assert_eq!(found.guessed_within_1000_share, 1.0);
        assert!(found.guessed_at_once_share <= 0.5, "{found:?}");
    }

    #[test]
    fn random_bits_are_never_guessed_and_counted_as_unknown() {
        let mut random = Pcg64::seed_from_u64(4);
        let ids: Vec<u128> = (0..4000).map(|_| random.random::<u128>() >> 28).collect();
        let found = guess(&ids);
        assert_eq!(found.guessed_within_1000_share, 0.0);
        assert!((99.0..=100.0).contains(&found.unknown_bits_estimate), "{found:?}");
    }
}
