//! Every deliberate bug is caught: the checkers check something.

use std::ops::ControlFlow;
use ticketd_core::allocator::Mutant;
use ticketd_core::snowflake::generator::Mutant as GeneratorMutant;
use ticketd_sim::explore::{
    AnyMutant, MemberMutant, Options, Outcome, ServerMutant, Setting, StoreMutant, minimize,
    run_seed,
};
use ticketd_store::Mutant as EngineStoreMutant;

/// Within so many seeds, counted from 0, each must be caught in the world of one server: some five
/// times what it takes, so that a change of the world does not break the test and a loss of
/// sharpness does.
const fn bound_of_one(mutant: AnyMutant) -> u64 {
    match mutant {
        AnyMutant::Core(Mutant::RaiseBeforeCommit) => 20,
        AnyMutant::Store(StoreMutant::RaiseAsSet) => 60,
        AnyMutant::Store(StoreMutant::HandBackBlindly) => 120,
        _ => 10,
    }
}

/// The same for the world of several servers.
const fn bound_of_several(mutant: AnyMutant) -> u64 {
    match mutant {
        AnyMutant::EngineStore(EngineStoreMutant::HandBackInAnyTurn) => 1_500,
        AnyMutant::EngineStore(EngineStoreMutant::TurnNotCompared) => 1_000,
        AnyMutant::EngineStore(EngineStoreMutant::LastTickForgotten) => 150,
        AnyMutant::EngineStore(EngineStoreMutant::ForgetsSeen) => 3_000,
        AnyMutant::EngineStore(EngineStoreMutant::WitnessFirst) => 1_000,
        AnyMutant::Generator(GeneratorMutant::ReleasesBetween) => 1_500,
        AnyMutant::Server(ServerMutant::StartsUnasked) => 1_000,
        AnyMutant::Server(ServerMutant::NoDrift | ServerMutant::CountsFromAnswer) => 400,
        AnyMutant::Server(ServerMutant::LooksFirst) => 100,
        _ => 20,
    }
}

/// The same for the world of members.
const fn bound_of_members(mutant: AnyMutant) -> u64 {
    match mutant {
        AnyMutant::Member(MemberMutant::HandsBackAcross) => 500,
        AnyMutant::Member(MemberMutant::OpensInMemory)
        | AnyMutant::Core(Mutant::NeverRetry | Mutant::RaiseBeforeCommit) => 30,
        _ => 10,
    }
}

/// The same for the world of one server on the real store.
const fn bound_on_disk(_: AnyMutant) -> u64 {
    60
}

/// How many are caught in the world of one server even by those who see only what users see. The
/// missing ones are wrong in their books alone.
const SEEN_BY_USERS_OF_ONE: usize = AnyMutant::ONE.len() - 2;

/// The first world that shows the bug, counted from 1, and the checker that saw it.
fn catch(
    mutant: AnyMutant,
    setting: Setting,
    seeds: u64,
    without_books: bool,
) -> Option<(u64, &'static str)> {
    let options = Options { mutant: Some(mutant), without_books, ..Options::default() };
    (0..seeds).find_map(|seed| {
        let violation = run_seed(seed, setting, &options).result.err()?;
        assert!(!violation.story.is_empty(), "a failure has a story");
        assert!(!violation.message.is_empty(), "a failure says what is wrong");
        Some((seed + 1, violation.checker))
    })
}

fn cell(caught: Option<(u64, &'static str)>) -> String {
    caught.map_or_else(|| "-".to_owned(), |(seeds, checker)| format!("{seeds} ({checker})"))
}

/// Tries to catch `mutants`. Returns the names of those that were not, and how many users noticed.
fn catch_all(
    mutants: &[AnyMutant],
    setting: Setting,
    bound: fn(AnyMutant) -> u64,
) -> (Vec<String>, usize) {
    let (mut missed, mut seen) = (Vec::new(), 0);
    println!("{:<24} {:>5}  {:<18} {:<18}", "mutant", "bound", "seeds needed", "without books");
    for &mutant in mutants {
        let (name, bound) = (mutant.name(), bound(mutant));
        let caught = catch(mutant, setting, bound, false);
        // On disk, who sees that a store is wrong sees it before users do.
        let by_users = (setting != Setting::Disk).then(|| catch(mutant, setting, bound, true));
        let by_users = by_users.flatten();
        println!("{name:<24} {bound:>5}  {:<18} {:<18}", cell(caught), cell(by_users));
        seen += usize::from(by_users.is_some());
        if caught.is_none() {
            missed.push(name);
        }
    }
    (missed, seen)
}

#[test]
fn every_mutant_of_one_server_is_caught_within_its_bound() {
    let (missed, seen) = catch_all(&AnyMutant::ONE, Setting::One, bound_of_one);
    assert!(missed.is_empty(), "not caught: {missed:?}");
    assert_eq!(seen, SEEN_BY_USERS_OF_ONE, "caught without the books");
}

#[test]
fn every_mutant_of_several_servers_is_caught_within_its_bound() {
    let (missed, _) = catch_all(&AnyMutant::SEVERAL, Setting::Several, bound_of_several);
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn every_mutant_of_members_is_caught_within_its_bound() {
    let (missed, _) = catch_all(&AnyMutant::MEMBERS, Setting::Members, bound_of_members);
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn every_mutant_of_the_real_store_is_caught_within_its_bound() {
    let (missed, _) = catch_all(&AnyMutant::DISK, Setting::Disk, bound_on_disk);
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn without_a_mutant_the_same_worlds_are_clean() {
    for setting in Setting::ALL {
        for seed in 0..100 {
            let outcome = run_seed(seed, setting, &Options::default());
            assert_eq!(outcome.result, Ok(()), "seed {seed}, {setting}");
        }
    }
}

/// Minimizes the first world that shows `mutant`. Returns faults and requests before and after.
fn less_of(mutant: AnyMutant, setting: Setting) -> [(usize, u32); 2] {
    let options = Options { mutant: Some(mutant), ..Options::default() };
    let failed = (0..1_000)
        .map(|seed| run_seed(seed, setting, &options))
        .find(|outcome| outcome.result.is_err() && outcome.struck.len() > 8)
        .expect("it is caught");
    let least = minimize(&failed, &options, 500, |_| ControlFlow::Continue(()));
    let least = least.expect("it fails again");
    let checker = |outcome: &Outcome| outcome.result.as_ref().expect_err("it fails").checker;
    assert_eq!(checker(&least.outcome), checker(&failed), "{mutant:?}");
    let again = run_seed(failed.seed, setting, &least.options);
    assert_eq!(again, least.outcome, "what is left is run as it was found");
    assert!(least.runs <= 500);
    [(failed.struck.len(), options.requests), (least.outcome.struck.len(), least.options.requests)]
}

#[test]
fn what_fails_does_so_with_much_less() {
    let found = [
        (AnyMutant::Core(Mutant::NeverRetry), Setting::One),
        (AnyMutant::Core(Mutant::AdoptAfterIndeterminate), Setting::One),
        (AnyMutant::Server(ServerMutant::KeepsHeld), Setting::Several),
        (AnyMutant::Server(ServerMutant::HalfLease), Setting::Several),
        (AnyMutant::Member(MemberMutant::OpensInMemory), Setting::Members),
        (AnyMutant::Core(Mutant::AdoptAfterIndeterminate), Setting::Disk),
    ];
    for (mutant, setting) in found {
        let [(faults, requests), (faults_left, requests_left)] = less_of(mutant, setting);
        println!(
            "{mutant:?}, {setting}: {faults} faults, {requests} requests: {faults_left}, {requests_left}"
        );
        assert!(faults_left < faults && requests_left < requests, "{mutant:?} needs all of some");
        // One that needs exact moments keeps many faults, and then few requests.
        let size = |faults: usize, requests: u32| faults as u64 * u64::from(requests);
        let (left, whole) = (size(faults_left, requests_left), size(faults, requests));
        assert!(left <= whole / 10, "{mutant:?} needs {left} of {whole}");
    }
}
