//! Power cuts and failing disks, on a simulated one: nothing that was ever issued comes again.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail it as the test itself does")]

mod support;

use std::io::ErrorKind;
use std::sync::Arc;
use std::task::{Context, Waker};

use support::checker::{Promises, Step, wait, workload};
use ticketd_core::definition::{Definition, Kind};
use ticketd_core::failure::FailureKind;
use ticketd_core::name::Name;
use ticketd_core::snowflake::lease::{LeaseAsk, Leased};
use ticketd_core::snowflake::{CounterStart, Snowflake};
use ticketd_store::embedded::sim_disk::{Call, SimDisk, State, Trouble};
use ticketd_store::embedded::{Disk, DiskFile, Setup};
use ticketd_store::{Embedded, Store, StoreError};

const INSTANCE: u128 = 7;

/// How long the workloads are that run into trouble.
const STEPS: usize = 9;

fn open(disk: &SimDisk) -> Result<Embedded, StoreError> {
    Embedded::open_on(Arc::new(disk.clone()), INSTANCE)
}

/// Opens a crashed disk and checks it.
fn check(disk: &SimDisk, promises: &Promises) -> Result<(), String> {
    let store = open(disk).map_err(|error| format!("refused: {}", error.to_failure()))?;
    wait(promises.check(&store))
}

/// Runs `steps` and returns the promises after each number of acknowledged ones.
fn run(disk: &SimDisk, steps: &[(usize, Step)]) -> Vec<Promises> {
    let mut promises = vec![Promises::default()];
    let store = open(disk).unwrap();
    wait(async {
        for &(at, step) in steps {
            let mut next = promises.last().unwrap().clone();
            next.step(&store, at, step).await.unwrap();
            promises.push(next);
            disk.acknowledge();
        }
    });
    promises
}

/// Everything that a run went through, with what had been promised at each point.
fn recorded(seed: u64, len: usize, lying: Option<usize>) -> Vec<(State, Promises)> {
    let disk = SimDisk::new();
    disk.keep_history();
    if let Some(every) = lying {
        disk.lie_at_every_sync(every);
    }
    let steps = workload(seed, len);
    let promises = run(&disk, &steps);
    let history = disk.history();
    history
        .into_iter()
        .map(|(state, done)| {
            let mut promised = promises[done].clone();
            // What the step in flight gives up counts from when it was asked.
            if let Some(&(at, Step::HandBack)) = steps.get(done) {
                promised = promised.giving_up(at);
            }
            (state, promised)
        })
        .collect()
}

#[test]
fn a_crash_at_any_call_loses_nothing_that_was_acknowledged() {
    let recorded = recorded(1, 30, None);
    assert!(recorded.len() > 150, "too few calls to be a test: {}", recorded.len());
    for (at, (state, promises)) in recorded.iter().enumerate() {
        for seed in 0..2 {
            let disk = SimDisk::after_crash(state, seed * 7919 + at as u64);
            check(&disk, promises).unwrap_or_else(|e| panic!("call {at}, seed {seed}: {e}"));
        }
    }
}

#[test]
fn a_lease_that_was_answered_is_never_given_again_after_a_crash_at_any_call() {
    let disk = SimDisk::new();
    disk.keep_history();
    let name = Name::new("e").unwrap();
    let ask = |n: u64| LeaseAsk {
        holder: n % 3,
        preferred: None,
        floor: 1 + n,
        len: 7,
        workers: 2,
        ticks: 1 << 40,
    };
    // The end of the last window of each worker ID, after each number of acknowledged leases.
    let mut ends = vec![[0; 2]];
    let store = open(&disk).unwrap();
    wait(store.create(&name, snowflake())).unwrap();
    disk.acknowledge();
    for n in 0..12 {
        let mut next = *ends.last().unwrap();
        if let Ok(Leased { worker, window }) = wait(store.lease(&name, ask(n * 5))).unwrap() {
            next[worker as usize] = window.end();
        }
        ends.push(next);
        disk.acknowledge();
    }
    drop(store);
    let mut leased = 0;
    for (at, (state, done)) in disk.history().iter().enumerate().filter(|(_, (_, done))| *done > 0)
    {
        let store = open(&SimDisk::after_crash(state, at as u64)).unwrap();
        let seen = wait(store.leases(&name, 0)).unwrap();
        let known = ends[done - 1];
        assert!(seen.latest >= known[0].max(known[1]), "call {at}: {seen:?} after {known:?}");
        assert!(seen.taken >= known.iter().filter(|end| **end > 0).count() as u64, "call {at}");
        leased += 1;
    }
    assert!(leased > 50, "too few calls to be a test: {leased}");
}

fn snowflake() -> Definition {
    let layout = "time:40,worker:1,counter:3@0/1ms".parse().unwrap();
    let counter_start = CounterStart::Zero;
    Definition::of(Kind::Snowflake(Snowflake { layout, counter_start }))
}

#[test]
fn a_crash_while_recovering_from_a_crash_loses_nothing_either() {
    let recorded = recorded(2, 12, None);
    for (at, (state, promises)) in recorded.iter().enumerate().step_by(19) {
        let disk = SimDisk::after_crash(state, at as u64);
        disk.keep_history();
        drop(open(&disk).unwrap());
        for (again, (state, _)) in disk.history().iter().enumerate() {
            let disk = SimDisk::after_crash(state, (at * 1000 + again) as u64);
            check(&disk, promises).unwrap_or_else(|e| panic!("call {at}, then {again}: {e}"));
        }
    }
}

#[test]
fn four_lives_with_a_crash_after_each_lose_nothing() {
    for seed in 0..25 {
        let mut promises = Promises::default();
        let mut disk = SimDisk::new();
        for life in 0..4 {
            let store = open(&disk).unwrap_or_else(|e| panic!("seed {seed}: {}", e.to_failure()));
            for (at, step) in workload(seed * 4 + life, 8) {
                wait(promises.step(&store, at, step)).unwrap();
            }
            let state = disk.state();
            drop(store);
            disk = SimDisk::after_crash(&state, seed * 31 + life);
        }
        check(&disk, &promises).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    }
}

#[test]
fn a_disk_that_lies_about_its_syncs_is_caught() {
    let recorded = recorded(1, 30, Some(3));
    let caught = recorded.iter().enumerate().filter(|(at, (state, promises))| {
        let disk = SimDisk::after_crash(state, *at as u64);
        check(&disk, promises).is_err()
    });
    let caught = caught.count();
    assert!(caught > recorded.len() / 20, "{caught} of {} caught", recorded.len());
}

/// Runs a workload into `trouble`, with a restart where the store asks for one, and checks that it
/// works again and keeps its promises. Returns how many calls the trouble touched, and whether the
/// store stopped.
fn survive(trouble: Trouble, crash_seed: Option<u64>) -> (usize, bool) {
    let disk = SimDisk::new();
    let mut promises = Promises::default();
    let mut store = open(&disk).unwrap();
    disk.fail(trouble);
    let mut stopped = false;
    for (at, step) in workload(3, STEPS) {
        for attempt in 0.. {
            assert!(attempt < 100, "{trouble:?}: the store does not recover");
            let Err(error) = wait(promises.step(&store, at, step)) else {
                break;
            };
            match error.kind {
                FailureKind::Unavailable | FailureKind::Indeterminate => {}
                FailureKind::Corrupt => {
                    stopped = true;
                    assert!(store.health().is_err(), "{trouble:?}: stopped and healthy");
                    assert_ne!(disk.mend(), 0, "{trouble:?}: {}", error.to_failure());
                    drop(store);
                    store = reopen_after(&disk, crash_seed, trouble);
                }
                kind => panic!("{trouble:?}: {kind:?}: {}", error.to_failure()),
            }
        }
    }
    let touched = disk.mend();
    let state = disk.state();
    drop(store);
    let seed = trouble.from as u64;
    let cut_off = check(&SimDisk::after_crash(&state, seed), &promises);
    cut_off.unwrap_or_else(|e| panic!("{trouble:?}, then a power cut: {e}"));
    check(&disk, &promises).unwrap_or_else(|e| panic!("{trouble:?}: {e}"));
    (touched, stopped)
}

/// Another process: with a loss of power in between, or with the kernel's cache as it was.
fn reopen_after(disk: &SimDisk, crash_seed: Option<u64>, trouble: Trouble) -> Embedded {
    if let Some(seed) = crash_seed {
        disk.restore(&SimDisk::after_crash(&disk.state(), seed).state());
    }
    open(disk).unwrap_or_else(|e| panic!("{trouble:?}: {}", e.to_failure()))
}

/// Tries an error at every such call of a workload, for that call alone and for a while.
fn survive_everywhere(call: Call, error: ErrorKind, must_stop: bool) {
    let calls = {
        let disk = SimDisk::new();
        run(&disk, &workload(3, STEPS));
        disk.calls()
    };
    let all = || calls.iter().enumerate().filter(|&(_, &made)| made == call);
    let mut touched = 0;
    for (from, _) in all() {
        let length = if from % 2 == 0 { 1 } else { 25 };
        let trouble = Trouble { from, calls: length, call, hits: usize::MAX, error };
        let (hits, stopped) = survive(trouble, (from % 3 == 0).then_some(from as u64));
        touched += hits;
        assert!(must_stop || !stopped, "{trouble:?}: lack of room must not stop the store");
    }
    assert!(touched >= all().count() / 2, "{touched} of {} were touched", all().count());
}

#[test]
fn a_full_disk_at_any_write_costs_no_id_and_mends_itself() {
    survive_everywhere(Call::Write, ErrorKind::StorageFull, false);
}

#[test]
fn a_file_that_cannot_grow_costs_no_sequence_and_mends_itself() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    let error = ErrorKind::QuotaExceeded;
    disk.fail(Trouble { from: 0, calls: usize::MAX, call: Call::SetLen, hits: usize::MAX, error });
    let mut made = Vec::new();
    let failed = (0..).find_map(|batch| {
        let names: Vec<Name> = (0..100).map(|at| long_name(batch * 100 + at)).collect();
        let calls: Vec<_> =
            names.iter().map(|name| store.create(name, Definition::default())).collect();
        names.into_iter().zip(calls).find_map(|(name, call)| match wait(call) {
            Ok(_) => {
                made.push(name);
                None
            }
            Err(error) => Some(error),
        })
    });
    assert!(matches!(failed.unwrap().kind, FailureKind::Unavailable | FailureKind::Indeterminate));
    // How many fit depends on how they came together in commits.
    assert!(!made.is_empty(), "what fits before the file must grow is kept");
    assert_ne!(disk.mend(), 0);
    assert!(store.health().is_ok());
    for at in 0..300 {
        wait(store.create(&long_name(1_000_000 + at), Definition::default())).unwrap();
    }
    let state = disk.state();
    drop(store);
    let store = open(&SimDisk::after_crash(&state, 5)).unwrap();
    for name in made {
        assert!(wait(store.read(&name)).unwrap().is_some(), "{name} was made and is gone");
    }
}

fn long_name(number: u32) -> Name {
    Name::new(&format!("{}{number:08}", "n".repeat(120))).unwrap()
}

#[test]
fn a_start_that_fails_at_any_call_can_be_repeated() {
    let calls = {
        let disk = SimDisk::new();
        let _store = open(&disk).unwrap();
        disk.calls()
    };
    for (from, &call) in calls.iter().enumerate() {
        for error in [ErrorKind::StorageFull, ErrorKind::Other] {
            let disk = SimDisk::new();
            disk.fail(Trouble { from, calls: usize::MAX - from, call, hits: usize::MAX, error });
            let failed = open(&disk).expect_err("the disk fails");
            assert!(!failed.message.is_empty());
            disk.mend();
            if from % 2 == 0 {
                disk.restore(&SimDisk::after_crash(&disk.state(), from as u64).state());
            }
            let again = check(&disk, &Promises::default());
            again.unwrap_or_else(|e| panic!("{call:?} {from}, {error:?}: {e}"));
        }
    }
}

#[test]
fn a_failed_sync_at_any_call_stops_the_store_and_a_restart_is_safe() {
    survive_everywhere(Call::Sync, ErrorKind::Other, true);
}

#[test]
fn a_sync_that_reports_no_room_stops_the_store_as_well() {
    survive_everywhere(Call::Sync, ErrorKind::StorageFull, true);
}

#[test]
fn a_failed_write_at_any_call_stops_the_store_and_a_restart_is_safe() {
    survive_everywhere(Call::Write, ErrorKind::Other, true);
}

#[test]
fn a_directory_deleted_under_the_store_stops_it_before_it_acknowledges_more() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    let mut promises = Promises::default();
    wait(promises.step(&store, 0, Step::Create)).unwrap();
    wait(promises.step(&store, 0, Step::Reserve(5))).unwrap();
    disk.remove_dir_after(0);
    for step in [Step::Reserve(5), Step::Raise(9), Step::Create] {
        let error = wait(promises.step(&store, 0, step)).unwrap_err();
        assert_eq!(error.kind, FailureKind::Corrupt);
        assert!(error.message.contains("deleted or replaced"), "{}", error.message);
    }
    assert_eq!(store.health().unwrap_err().kind, FailureKind::Corrupt);
}

#[test]
fn a_directory_deleted_in_the_middle_of_a_commit_is_noticed_before_the_answer() {
    // A commit of one record takes five calls or so: pages, header, sync, header, sync.
    for calls in 1..=4 {
        let disk = SimDisk::new();
        let store = open(&disk).unwrap();
        let mut promises = Promises::default();
        wait(promises.step(&store, 0, Step::Create)).unwrap();
        disk.remove_dir_after(calls);
        let error = wait(promises.step(&store, 0, Step::Reserve(5))).expect_err("it is gone");
        assert_eq!(error.kind, FailureKind::Corrupt, "after {calls} calls");
    }
}

#[test]
fn calls_that_wait_together_share_a_commit() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    let mut promises = Promises::default();
    wait(promises.step(&store, 0, Step::Create)).unwrap();
    let before = store.sizes();
    let asked =
        ticketd_core::record::Reserve { floor: 1, len: 3, spent: 1, generation: 0, turn: 0 };
    let name = support::checker::name(0);
    let calls: Vec<_> = (0..1000).map(|_| store.reserve(&name, asked)).collect();
    wait(async {
        for call in calls {
            call.await.unwrap();
        }
    });
    let after = store.sizes();
    let commits = after.commits - before.commits;
    assert!((1..=500).contains(&commits), "{commits} commits for 1000 calls");
    assert_eq!(after.syncs - before.syncs, 2 * commits, "two syncs make a commit durable");
}

#[test]
fn a_call_that_changes_nothing_needs_no_commit() {
    let store = open(&SimDisk::new()).unwrap();
    let mut promises = Promises::default();
    for step in [Step::Create, Step::Raise(100)] {
        wait(promises.step(&store, 0, step)).unwrap();
    }
    let before = store.sizes();
    for step in [Step::Create, Step::Raise(7), Step::Raise(100)] {
        wait(promises.step(&store, 0, step)).unwrap();
    }
    assert_eq!(store.sizes(), before);
}

#[test]
fn a_dropped_store_finishes_what_waits_and_closes_cleanly() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    wait(Promises::default().step(&store, 0, Step::Create)).unwrap();
    let name = support::checker::name(0);
    for _ in 0..100 {
        drop(store.raise(&name, 77));
    }
    drop(store);
    // Nothing is left to the cache: the disk holds it all.
    let store = open(&SimDisk::after_crash(&disk.state(), 1)).unwrap();
    assert_eq!(wait(store.read(&name)).unwrap().unwrap().mark, 77);
}

#[test]
fn a_store_that_is_worked_by_hand_makes_the_calls_of_one_with_a_thread() {
    let [threaded, by_hand] = [SimDisk::new(), SimDisk::new()];
    let steps = workload(5, 40);
    drop(run(&threaded, &steps));
    let setup = Setup {
        disk: Arc::new(by_hand.clone()),
        fresh: INSTANCE,
        #[cfg(feature = "mutants")]
        mutant: None,
    };
    let (store, mut hand) = Embedded::by_hand(&setup).unwrap();
    let mut promises = Promises::default();
    for (at, step) in steps {
        let mut call = Box::pin(promises.step(&store, at, step));
        let mut context = Context::from_waker(Waker::noop());
        // A call that asks nothing of the store is done at once.
        if call.as_mut().poll(&mut context).is_pending() {
            hand.serve();
            assert!(call.as_mut().poll(&mut context).is_ready(), "what waited has been served");
        }
    }
    drop(store);
    hand.close();
    assert_eq!(by_hand.calls(), threaded.calls());
    assert_eq!(by_hand.bytes(DiskFile::Store), threaded.bytes(DiskFile::Store));
    assert_eq!(by_hand.bytes(DiskFile::Witness), threaded.bytes(DiskFile::Witness));
}

#[test]
fn what_a_failed_sync_has_left_in_the_cache_is_written_by_no_later_one() {
    let (file, mut lost) = (DiskFile::Store, 0);
    for dice in 0..20 {
        let disk = SimDisk::with_dice(dice);
        disk.write(file, 0, &[7; 4096]).unwrap();
        let error = ErrorKind::Other;
        disk.fail(Trouble { from: 0, calls: usize::MAX, call: Call::Sync, hits: 1, error });
        disk.sync(file).unwrap_err();
        let left = SimDisk::after_crash(&disk.state(), 1).bytes(file);
        disk.sync(file).unwrap();
        assert_eq!(disk.bytes(file).unwrap(), [7; 4096], "the cache shows what was written");
        disk.sync_dir().unwrap();
        disk.switch_off();
        disk.len(file).expect_err("a process that is dead reads nothing");
        disk.switch_on(Some(1));
        let found = disk.bytes(file).unwrap();
        lost += usize::from(found != [7; 4096]);
        // Only the length may have followed: it is not in the pages that were dropped.
        let left = left.unwrap_or_default();
        assert_eq!(found[..left.len()], left, "dice {dice}");
        assert!(found[left.len()..].iter().all(|byte| *byte == 0), "dice {dice}");
    }
    assert!(lost > 5, "{lost} of 20 lost something");
}
