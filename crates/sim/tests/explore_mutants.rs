//! Every deliberate bug is caught: the checkers check something.

use ticketd_core::allocator::Mutant;
use ticketd_sim::explore::{AnyMutant, Options, StoreMutant, run_seed};

/// Within so many seeds, counted from 0, each must be caught: some five times what it takes, so
/// that a change of the world does not break the test and a loss of sharpness does.
const fn bound(mutant: AnyMutant) -> u64 {
    match mutant {
        AnyMutant::Core(Mutant::RaiseBeforeCommit) => 20,
        AnyMutant::Store(StoreMutant::RaiseAsSet | StoreMutant::HandBackBlindly) => 120,
        AnyMutant::Core(_) | AnyMutant::Store(_) => 10,
    }
}

/// What is caught even by those who see only what users see. The missing one is wrong in its books
/// alone.
const SEEN_BY_USERS: usize = AnyMutant::ALL.len() - 1;

/// The first world that shows the bug, counted from 1, and the checker that saw it.
fn catch(mutant: AnyMutant, seeds: u64, without_books: bool) -> Option<(u64, &'static str)> {
    let options = Options { mutant: Some(mutant), without_books, ..Options::default() };
    (0..seeds).find_map(|seed| {
        let violation = run_seed(seed, &options).result.err()?;
        assert!(!violation.story.is_empty(), "a failure has a story");
        assert!(!violation.message.is_empty(), "a failure says what is wrong");
        Some((seed + 1, violation.checker))
    })
}

fn cell(caught: Option<(u64, &'static str)>) -> String {
    caught.map_or_else(|| "-".to_owned(), |(seeds, checker)| format!("{seeds} ({checker})"))
}

#[test]
fn every_mutant_is_caught_within_its_bound() {
    let (mut missed, mut seen) = (Vec::new(), 0);
    println!("{:<24} {:>5}  {:<18} {:<18}", "mutant", "bound", "seeds needed", "without books");
    for mutant in AnyMutant::ALL {
        let (name, bound) = (mutant.name(), bound(mutant));
        let caught = catch(mutant, bound, false);
        let by_users = catch(mutant, bound, true);
        println!("{name:<24} {bound:>5}  {:<18} {:<18}", cell(caught), cell(by_users));
        seen += usize::from(by_users.is_some());
        if caught.is_none() {
            missed.push(name);
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
    assert_eq!(seen, SEEN_BY_USERS, "caught without the books");
}

#[test]
fn without_a_mutant_the_same_worlds_are_clean() {
    for seed in 0..100 {
        let outcome = run_seed(seed, &Options::default());
        assert_eq!(outcome.result, Ok(()), "seed {seed}");
    }
}
