//! The deterministic world: the same seed twice, clean seeds, and what they must have reached.

use std::ops::ControlFlow;

use ticketd_sim::explore::{Mark, Options, explore, run_seed};

/// The seeds of this test: enough to reach every mark, and run in a few seconds without
/// optimization.
const SEEDS: u64 = 1_500;

#[test]
fn the_same_seed_twice_is_the_same_trace_byte_for_byte() {
    let traced = Options { trace: true, ..Options::default() };
    for seed in [0, 1, 7, 42, 1_000_003, u64::MAX] {
        let first = run_seed(seed, &traced);
        let second = run_seed(seed, &traced);
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first, second, "seed {seed}");
        assert!(first.trace.unwrap().lines().count() > 300, "seed {seed}");
        let untraced = run_seed(seed, &Options::default());
        assert_eq!((untraced.hash, untraced.stats), (second.hash, second.stats), "seed {seed}");
    }
}

#[test]
fn different_seeds_are_different_worlds() {
    let hashes: std::collections::BTreeSet<u64> =
        (0..50).map(|seed| run_seed(seed, &Options::default()).hash).collect();
    assert_eq!(hashes.len(), 50);
}

#[test]
fn no_checker_finds_anything_and_every_mark_is_reached() {
    let summary = explore(0..SEEDS, &Options::default(), |outcome| match &outcome.result {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    });
    if let Some(failure) = summary.failures.first() {
        let violation = failure.result.as_ref().expect_err("a failure has one");
        let story = violation.story.join("\n");
        panic!("seed {}: {}: {}\n{story}", failure.seed, violation.checker, violation.message);
    }
    assert_eq!(summary.seeds, SEEDS);
    let missed: Vec<&str> = Mark::ALL
        .into_iter()
        .filter(|&mark| summary.stats.marked(mark) == 0)
        .map(Mark::as_str)
        .collect();
    assert!(missed.is_empty(), "never reached: {missed:?}");
    assert!(summary.stats.requests >= 300 * SEEDS, "{:?}", summary.stats);
    assert!(summary.stats.faults() >= 5 * SEEDS, "{:?}", summary.stats);
}

#[test]
fn marks_have_words_of_their_own() {
    let words: std::collections::BTreeSet<&str> = Mark::ALL.into_iter().map(Mark::as_str).collect();
    assert_eq!(words.len(), Mark::ALL.len());
    for (index, mark) in Mark::ALL.into_iter().enumerate() {
        assert_eq!(mark as usize, index, "{mark:?} is listed in its order");
    }
}
