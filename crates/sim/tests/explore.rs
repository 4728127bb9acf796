//! The deterministic worlds: the same seed twice, clean seeds, and what they must have reached.

use std::collections::BTreeSet;
use std::num::NonZero;
use std::ops::ControlFlow;

use ticketd_sim::explore::{
    Fault, Options, Scope, Setting, Summary, explore, explore_in_threads, run_seed, worlds,
    worlds_len,
};

/// The seeds of this test: enough to reach every mark, and run in a few seconds without
/// optimization.
const fn seeds(setting: Setting) -> u64 {
    match setting {
        Setting::One => 1_500,
        Setting::Several => 300,
        Setting::Members => 500,
        Setting::Disk => 600,
    }
}

#[test]
fn the_same_seed_twice_is_the_same_trace_byte_for_byte() {
    let traced = Options { trace: true, ..Options::default() };
    let seeds = [0, 1, 7, 42, 1_000_003, u64::MAX];
    for (seed, setting) in seeds.into_iter().flat_map(|seed| Setting::ALL.map(|s| (seed, s))) {
        let first = run_seed(seed, setting, &traced);
        let second = run_seed(seed, setting, &traced);
        assert_eq!(first.trace, second.trace, "seed {seed}, {setting}");
        assert_eq!(first, second, "seed {seed}, {setting}");
        let least = if setting == Setting::Disk { 100 } else { 300 };
        assert!(first.trace.unwrap().len() > least, "seed {seed}, {setting}");
        let untraced = run_seed(seed, setting, &Options::default());
        assert_eq!((untraced.hash, untraced.stats), (second.hash, second.stats), "seed {seed}");
    }
}

#[test]
fn different_seeds_are_different_worlds() {
    for setting in Setting::ALL {
        let hash = |seed| run_seed(seed, setting, &Options::default()).hash;
        assert_eq!((0..50).map(hash).collect::<BTreeSet<u64>>().len(), 50, "{setting}");
    }
}

#[test]
fn no_checker_finds_anything_and_every_mark_is_reached() {
    for setting in Setting::ALL {
        look_at(setting);
    }
}

fn look_at(setting: Setting) {
    let seeds = seeds(setting);
    let summary = explore(0..seeds, &[setting], &Options::default(), |outcome| {
        if outcome.result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    if let Some(failure) = summary.failures.first() {
        let violation = failure.result.as_ref().expect_err("a failure has one");
        let story = violation.story.iter().map(|step| format!("{step}\n"));
        let (seed, story) = (failure.seed, story.collect::<String>());
        panic!("seed {seed}, {setting}: {}: {}\n{story}", violation.checker, violation.message);
    }
    assert_eq!(summary.worlds, seeds);
    let stats = &summary.stats[setting as usize];
    let marks = setting.marks();
    let marks = marks.iter();
    let missed: Vec<&str> =
        marks.filter(|mark| stats.marked(**mark) == 0).map(|mark| mark.as_str()).collect();
    assert!(missed.is_empty(), "never reached in {setting}: {missed:?}");
    let (requests, faults) = match setting {
        Setting::One => (300, 5),
        Setting::Several => (500, 20),
        Setting::Members => (400, 10),
        Setting::Disk => (50, 4),
    };
    assert!(stats.requests >= requests * seeds, "{setting}: {stats:?}");
    assert!(stats.sum(&setting.faults()) >= faults * seeds, "{setting}: {stats:?}");
}

#[test]
fn marks_have_words_of_their_own() {
    for setting in Setting::ALL {
        let marks = setting.marks();
        let words: BTreeSet<&str> = marks.iter().map(|mark| mark.as_str()).collect();
        assert_eq!(words.len(), marks.len(), "{setting}");
    }
}

#[test]
fn the_slow_world_is_run_for_every_eighth_seed_unless_it_is_asked_for_alone() {
    let seeds = |range, settings: &[Setting]| {
        let all: Vec<(u64, Setting)> = worlds(range, settings).collect();
        let of = |setting| all.iter().filter(|world| world.1 == setting).count() as u64;
        (of(Setting::One), of(Setting::Disk), all.len() as u64)
    };
    let others = Setting::ALL.len() as u64 - 1;
    assert_eq!(seeds(3..13, &Setting::ALL), (10, 1, 10 * others + 1));
    assert_eq!(seeds(3..13, &[Setting::Disk]), (0, 10, 10));
    assert_eq!(seeds(3..4, &Setting::ALL), (1, 1, others + 1));
    for (from, len) in (0..20).flat_map(|from| (0..20).map(move |len| (from, len))) {
        let range = from..from + len;
        let count = worlds(range.clone(), &Setting::ALL).count() as u64;
        assert_eq!(worlds_len(&range, &Setting::ALL), count, "{range:?}");
    }
}

/// The seeds in the order in which they are seen, and what they came to; it ends after `last`.
fn in_threads(threads: usize, last: u64) -> (Vec<u64>, Summary) {
    let mut seen = Vec::new();
    let threads = NonZero::new(threads).expect("at least one");
    let summary =
        explore_in_threads(threads, 0..30, &Setting::ALL, &Options::default(), |outcome| {
            seen.push(outcome.seed);
            if outcome.seed > last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    (seen, summary)
}

#[test]
fn many_threads_find_what_one_does_in_the_same_order() {
    for last in [8, 100] {
        let (alone, one) = in_threads(1, last);
        let (together, three) = in_threads(3, last);
        assert_eq!(alone, together);
        assert!(alone.is_sorted() && alone.len() as u64 == one.worlds, "{alone:?}");
        assert_eq!((one.worlds, one.hash, one.stats), (three.worlds, three.hash, three.stats));
    }
}

#[test]
fn a_world_without_its_faults_is_calm_and_with_some_of_them_has_no_other() {
    for (seed, setting) in (0..6).flat_map(|seed| Setting::ALL.map(|s| (seed, s))) {
        let run = |scope| run_seed(seed, setting, &Options { scope, ..Options::default() });
        let all = run(Scope::default());
        let calm = run(Scope { only_faults: Some([].into()), ..Scope::default() });
        assert_eq!((calm.struck.len(), calm.result), (0, Ok(())), "seed {seed}, {setting}");
        assert_eq!(calm.stats.sum(&setting.faults()), 0, "seed {seed}, {setting}");
        let none = run(Scope { without: Fault::ALL.iter().copied().collect(), ..Scope::default() });
        assert_eq!(none.hash, calm.hash, "seed {seed}, {setting}");
        let Some(first) = all.struck.first() else { continue };
        let one = run(Scope { only_faults: Some([first.number].into()), ..Scope::default() });
        assert_eq!(one.struck, [*first], "up to there nothing is different");
    }
}

#[test]
fn a_world_has_no_more_than_its_scope_wants() {
    let scope = Scope {
        servers: Some(2),
        clients: Some(1),
        sequences: Some(1),
        only_faults: Some([].into()),
        ..Scope::default()
    };
    let short = Options { requests: 20, ..Options::default() };
    let options = Options { trace: true, scope, ..short };
    for (seed, setting) in (0..6).flat_map(|seed| Setting::ALL.map(|s| (seed, s))) {
        let outcome = run_seed(seed, setting, &options);
        let steps = outcome.trace.unwrap();
        assert!(steps.iter().all(|step| step.sequence.is_none_or(|sequence| sequence == 0)));
        let servers: BTreeSet<u64> =
            steps.iter().filter(|s| s.lane.name == "server").map(|s| s.lane.number).collect();
        let alone = matches!(setting, Setting::One | Setting::Disk);
        assert_eq!(servers.len(), if alone { 1 } else { 2 }, "{setting}");
        assert!(outcome.stats.requests < 300, "{setting}: {}", outcome.stats.requests);
    }
}
