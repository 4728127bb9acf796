//! Faults of real files: other owners, full disks, lost, truncated and flipped bytes.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail it as the test itself does"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use redb::ReadableTable;
use rustix::process::{Resource, Rlimit, setrlimit};
use support::checker::{Promises, Step, wait, workload};
use tempfile::TempDir;
use ticketd_core::failure::FailureKind;
use ticketd_store::{Embedded, Store, StoreError};

const STORE: &str = "tickets.redb";
const WITNESS: &str = "witness";

fn open_error(dir: &Path) -> StoreError {
    Embedded::open(dir).expect_err("it must not open")
}

/// Where syncs cost nothing: for tests that open thousands of times.
fn quick_dir() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

/// A directory with a store that made promises and was closed cleanly; its last step is a
/// reservation, so that a store which is one commit behind breaks a promise.
fn used(dir: &Path) -> Promises {
    let mut promises = Promises::default();
    let store = Embedded::open(dir).unwrap();
    use_it(&store, &mut promises);
    promises
}

fn use_it(store: &Embedded, promises: &mut Promises) {
    for (at, step) in workload(11, 12).into_iter().chain([(0, Step::Reserve(5))]) {
        wait(promises.step(store, at, step)).unwrap();
    }
}

/// The two files of a data directory.
#[derive(Clone)]
struct Files {
    store: Vec<u8>,
    witness: Vec<u8>,
}

impl Files {
    fn read(dir: &Path) -> Self {
        let read = |name| fs::read(dir.join(name)).unwrap();
        Self {
            store: read(STORE),
            witness: read(WITNESS),
        }
    }

    fn write(&self, dir: &Path) {
        fs::write(dir.join(STORE), &self.store).unwrap();
        fs::write(dir.join(WITNESS), &self.witness).unwrap();
    }
}

/// Refused as damaged, or opened with every promise kept.
fn refused_or_kept(dir: &Path, promises: &Promises, what: &str) -> bool {
    match Embedded::open(dir) {
        Ok(store) => {
            wait(promises.check(&store)).unwrap_or_else(|e| panic!("{what}: {e}"));
            false
        }
        Err(error) => {
            assert_eq!(
                error.kind,
                FailureKind::Corrupt,
                "{what}: {}",
                error.to_failure()
            );
            assert!(
                error.message.contains(&dir.display().to_string()),
                "{}",
                error.message
            );
            true
        }
    }
}

#[test]
fn a_second_opener_is_refused_until_the_first_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let first = Embedded::open(dir.path()).unwrap();
    for _ in 0..2 {
        let error = open_error(dir.path());
        assert_eq!(error.kind, FailureKind::Invalid);
        assert_eq!(
            error.message,
            format!(
                "data directory {} is in use by another ticketd; stop it or give --data-dir \
                 another directory",
                dir.path().display()
            )
        );
    }
    let locked_out = Command::new("flock")
        .args(["--nonblock", "--exclusive"])
        .arg(dir.path().join(STORE))
        .arg("true")
        .status()
        .unwrap();
    assert!(
        !locked_out.success(),
        "another process must be locked out as well"
    );
    assert!(
        redb::Database::open(dir.path().join(STORE)).is_err(),
        "and so must a tool that uses redb's own backend"
    );
    drop(first);
    Embedded::open(dir.path()).unwrap();
}

#[test]
fn a_directory_that_cannot_be_used_is_named_with_a_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    let store_is_a_dir = dir.path().join("taken");
    fs::create_dir_all(store_is_a_dir.join(STORE)).unwrap();
    let cases = [
        file.clone(),
        file.join("below"),
        PathBuf::from("/proc/ticketd"),
        store_is_a_dir,
    ];
    for path in cases {
        let error = open_error(&path);
        assert_eq!(error.kind, FailureKind::Invalid, "{}", error.message);
        assert!(error.message.contains("--data-dir"), "{}", error.message);
        assert!(
            error.message.contains(path.to_str().unwrap()),
            "{}",
            error.message
        );
        assert!(!error.message.contains('\n'));
    }
}

#[test]
fn missing_parents_are_made() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("a/b/c");
    let promises = used(&deep);
    assert!(!refused_or_kept(&deep, &promises, "deep"));
}

#[test]
fn a_directory_deleted_or_replaced_under_the_store_stops_it() {
    for replaced in [false, true] {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("data");
        let mut promises = Promises::default();
        let store = Embedded::open(&dir).unwrap();
        use_it(&store, &mut promises);
        fs::remove_dir_all(&dir).unwrap();
        if replaced {
            drop(Embedded::open(&dir).unwrap());
        }
        let error = wait(promises.step(&store, 0, Step::Reserve(1))).unwrap_err();
        assert_eq!(error.kind, FailureKind::Corrupt);
        assert!(
            error.message.contains("deleted or replaced under"),
            "{}",
            error.message
        );
        assert_eq!(store.health().unwrap_err().kind, FailureKind::Corrupt);
        drop(store);
        assert_eq!(
            dir.exists(),
            replaced,
            "closing must not make the directory again"
        );
    }
}

#[test]
fn a_store_that_was_lost_or_cut_off_is_refused() {
    let dir = quick_dir();
    let promises = used(dir.path());
    let good = Files::read(dir.path());
    let len = good.store.len();
    let mut lens: Vec<usize> = (0..len).step_by(4096).collect();
    lens.extend([
        1,
        8,
        9,
        63,
        64,
        320,
        4095,
        4097,
        len - 4097,
        len - 4095,
        len - 1,
    ]);
    for cut in lens {
        let files = Files {
            store: good.store[..cut].to_vec(),
            ..good.clone()
        };
        files.write(dir.path());
        assert!(
            refused_or_kept(dir.path(), &promises, "cut"),
            "cut at {cut}: opened"
        );
    }
    for zeroed in [len, 4096, 512, 64, 9] {
        let mut files = good.clone();
        files.store[..zeroed].fill(0);
        files.write(dir.path());
        assert!(
            refused_or_kept(dir.path(), &promises, "zeroed"),
            "{zeroed} zeros: opened"
        );
    }
    good.write(dir.path());
    fs::remove_file(dir.path().join(STORE)).unwrap();
    for _ in 0..2 {
        let error = open_error(dir.path());
        assert_eq!(error.kind, FailureKind::Corrupt);
        assert!(
            error.message.contains("the store was lost"),
            "{}",
            error.message
        );
    }
    good.write(dir.path());
    assert!(!refused_or_kept(dir.path(), &promises, "good"));
}

#[test]
fn a_store_that_was_taken_back_or_exchanged_is_refused() {
    let dir = quick_dir();
    let mut promises = used(dir.path());
    let old = Files::read(dir.path());
    {
        let store = Embedded::open(dir.path()).unwrap();
        use_it(&store, &mut promises);
    }
    let new = Files::read(dir.path());
    Files {
        store: old.store,
        ..new.clone()
    }
    .write(dir.path());
    let error = open_error(dir.path());
    assert_eq!(error.kind, FailureKind::Corrupt);
    assert!(error.message.contains("taken back"), "{}", error.message);

    let other = quick_dir();
    used(other.path());
    Files {
        store: Files::read(other.path()).store,
        ..new.clone()
    }
    .write(dir.path());
    let error = open_error(dir.path());
    assert_eq!(error.kind, FailureKind::Corrupt);
    assert!(
        error.message.contains("different stores"),
        "{}",
        error.message
    );

    new.write(dir.path());
    fs::remove_file(dir.path().join(WITNESS)).unwrap();
    assert!(!refused_or_kept(dir.path(), &promises, "no witness"));
    assert!(
        dir.path().join(WITNESS).exists(),
        "the witness must have been made again"
    );
}

/// redb without optimisation takes ten times as long to open a file.
const PADDING_STEP: usize = if cfg!(debug_assertions) { 16 } else { 1 };

/// Flips bytes of the store, one at a time; how many were refused, and how many there were.
fn flip(dir: &Path, good: &Files, promises: &Promises, mask: u8) -> (usize, usize) {
    // All of the header; the padding that fills its page; then every 64th byte.
    let head = 4096.min(good.store.len());
    let places: Vec<usize> = (0..512)
        .chain((512..head).step_by(PADDING_STEP))
        .chain((head..good.store.len()).step_by(64))
        .collect();
    let mut refused = 0;
    for &at in &places {
        let mut files = good.clone();
        files.store[at] ^= mask;
        files.write(dir);
        let what = format!("byte {at} flipped by {mask:#04x}");
        refused += usize::from(refused_or_kept(dir, promises, &what));
    }
    (refused, places.len())
}

#[test]
fn a_flipped_byte_after_a_clean_stop_gives_no_issued_id_again() {
    let dir = quick_dir();
    let promises = used(dir.path());
    let good = Files::read(dir.path());
    let (refused, of) = flip(dir.path(), &good, &promises, 0x01);
    assert!(refused > of / 50, "{refused} of {of} refused");
}

#[test]
fn a_flipped_byte_after_a_kill_gives_no_issued_id_again() {
    let dir = quick_dir();
    let mut promises = Promises::default();
    let store = Embedded::open(dir.path()).unwrap();
    use_it(&store, &mut promises);
    let good = Files::read(dir.path());
    drop(store);
    let (refused, of) = flip(dir.path(), &good, &promises, 0x01);
    assert!(refused > of / 50, "{refused} of {of} refused");
    // Every bit of the byte that says which of redb's two commit slots counts.
    let mut taken_back = 0;
    for bit in 0..8 {
        let mut files = good.clone();
        files.store[GOD_BYTE] ^= 1 << bit;
        files.write(dir.path());
        taken_back += u32::from(match Embedded::open(dir.path()) {
            Ok(store) => {
                wait(promises.check(&store)).unwrap();
                false
            }
            Err(error) => error.message.contains("taken back"),
        });
        // A refused file is left as it was found, so that flipping the byte back repairs it.
        if bit == 0 {
            let found = Files::read(dir.path());
            assert!(
                found.store == files.store,
                "a refused file must not be written to"
            );
        }
    }
    assert_ne!(
        taken_back, 0,
        "redb itself does not notice this one: the witness must"
    );
}

/// Where redb keeps that byte: after its magic number (docs/design.md of redb).
const GOD_BYTE: usize = 9;

#[test]
fn a_flipped_byte_of_the_witness_is_refused() {
    let dir = quick_dir();
    let promises = used(dir.path());
    let good = Files::read(dir.path());
    for at in 0..good.witness.len() {
        let mut files = good.clone();
        files.witness[at] ^= 0x10;
        files.write(dir.path());
        assert!(
            refused_or_kept(dir.path(), &promises, "witness"),
            "byte {at}: opened"
        );
    }
    for len in [0, 1, 63, 65, 4096] {
        let mut files = good.clone();
        files.witness.resize(len, 0);
        files.write(dir.path());
        assert!(
            refused_or_kept(dir.path(), &promises, "witness"),
            "{len} bytes: opened"
        );
    }
}

/// A small file system of its own; unmounted when dropped.
struct Small(TempDir);

impl Small {
    /// `None` where mounting is not allowed.
    fn mount(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "ticketd-test"])
            .arg(dir.path())
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then(|| Self(dir))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status();
        assert!(
            unmounted.is_ok_and(|status| status.success()),
            "the test leaves a mount behind"
        );
    }
}

/// Makes long-named sequences until the store has no room; how many it made.
fn fill(store: &Embedded, most: u32) -> (u32, Option<StoreError>) {
    for at in 0..most {
        let name = format!("{}{at:08}", "f".repeat(120));
        let name = ticketd_core::name::Name::new(&name).unwrap();
        if let Err(error) = wait(store.create(&name, Default::default())) {
            return (at, Some(error));
        }
    }
    (most, None)
}

fn is_for_want_of_room(error: &StoreError) -> bool {
    matches!(
        error.kind,
        FailureKind::Unavailable | FailureKind::Indeterminate
    ) && error.message.contains("the disk is full")
}

#[test]
fn a_full_disk_refuses_until_there_is_room_and_costs_no_id() {
    let Some(small) = Small::mount("size=400k") else {
        // Without the right to mount, the limit on the size of a file stands in for a full disk.
        return in_a_child_with_a_file_size_limit();
    };
    let dir = small.0.path().join("data");
    let mut promises = Promises::default();
    let store = Embedded::open(&dir).unwrap();
    use_it(&store, &mut promises);
    let ballast = small.0.path().join("ballast");
    let (mut room, chunk) = (Vec::new(), [1; 4096]);
    while fs::write(&ballast, {
        room.extend_from_slice(&chunk);
        &room
    })
    .is_ok()
    {}
    let (made, error) = fill(&store, 5_000);
    let error = error.expect("5000 sequences need more than is left");
    assert!(
        is_for_want_of_room(&error),
        "{:?}: {}",
        error.kind,
        error.to_failure()
    );
    store.health().unwrap();
    let sure = wait(store.list(None, 10_000)).unwrap().len();
    assert!(sure >= made as usize, "{sure} of {made} are still readable");
    // What needs no more room may succeed or not; either way no ID comes twice.
    for (at, step) in workload(5, 30) {
        if let Err(error) = wait(promises.step(&store, at, step)) {
            assert!(
                is_for_want_of_room(&error),
                "{:?}: {}",
                error.kind,
                error.to_failure()
            );
        }
    }
    fs::remove_file(&ballast).unwrap();
    use_it(&store, &mut promises);
    drop(store);
    assert!(!refused_or_kept(&dir, &promises, "after the full disk"));
}

const CHILD: &str = "TICKETD_TEST_FILE_SIZE_CHILD";

/// Runs [`with_a_file_size_limit`] in a process of its own.
fn in_a_child_with_a_file_size_limit() {
    let script =
        "trap '' XFSZ; ulimit -S -f 200; exec \"$0\" --exact --nocapture with_a_file_size_limit";
    let status = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn with_a_file_size_limit() {
    if std::env::var_os(CHILD).is_none() {
        return in_a_child_with_a_file_size_limit();
    }
    let dir = quick_dir();
    let mut promises = Promises::default();
    let store = Embedded::open(dir.path()).unwrap();
    use_it(&store, &mut promises);
    let (made, error) = fill(&store, 5_000);
    let error = error.expect("5000 sequences need more than the limit");
    assert!(
        is_for_want_of_room(&error),
        "{:?}: {}",
        error.kind,
        error.to_failure()
    );
    store.health().unwrap();
    for (at, step) in workload(5, 10) {
        if let Err(error) = wait(promises.step(&store, at, step)) {
            assert!(
                is_for_want_of_room(&error),
                "{:?}: {}",
                error.kind,
                error.to_failure()
            );
        }
    }
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    setrlimit(Resource::Fsize, unlimited).unwrap();
    use_it(&store, &mut promises);
    drop(store);
    assert!(!refused_or_kept(dir.path(), &promises, "after the limit"));
    let store = Embedded::open(dir.path()).unwrap();
    assert!(wait(store.list(None, 10_000)).unwrap().len() >= made as usize);
}

#[test]
fn a_disk_without_room_for_a_new_store_says_so() {
    let Some(small) = Small::mount("size=8k") else {
        // The limit stands in for it in the other test of a full disk.
        return in_a_child_with_a_file_size_limit();
    };
    let error = open_error(&small.0.path().join("data"));
    assert_eq!(
        error.kind,
        FailureKind::Unavailable,
        "{}",
        error.to_failure()
    );
    assert!(error.message.contains("make room"), "{}", error.message);
}

#[test]
fn a_read_only_directory_is_named_with_a_way_out() {
    let Some(small) = Small::mount("size=1m") else {
        // Who may not mount is not root, and then the mode of a directory binds.
        let dir = tempfile::tempdir().unwrap();
        let mut mode = fs::metadata(dir.path()).unwrap().permissions();
        mode.set_readonly(true);
        fs::set_permissions(dir.path(), mode).unwrap();
        return says_that_it_may_not_write(dir.path());
    };
    drop(used(small.0.path()));
    let remount = ["-o", "remount,ro"];
    assert!(
        Command::new("mount")
            .args(remount)
            .arg(small.0.path())
            .status()
            .unwrap()
            .success()
    );
    says_that_it_may_not_write(small.0.path());
    says_that_it_may_not_write(&small.0.path().join("below"));
}

fn says_that_it_may_not_write(dir: &Path) {
    let error = open_error(dir);
    assert_eq!(error.kind, FailureKind::Invalid, "{}", error.to_failure());
    assert!(error.message.contains("--data-dir"), "{}", error.message);
    assert!(
        error.message.contains(dir.to_str().unwrap()),
        "{}",
        error.message
    );
}

#[test]
fn one_record_changed_behind_the_store_is_found_by_its_own_checksum() {
    const TABLE: redb::TableDefinition<'_, &str, &[u8; 32]> =
        redb::TableDefinition::new("sequences");
    let dir = quick_dir();
    let promises = used(dir.path());
    {
        let redb = redb::Database::open(dir.path().join(STORE)).unwrap();
        let transaction = redb.begin_write().unwrap();
        {
            let mut table = transaction.open_table(TABLE).unwrap();
            let mut record = *table.get("notes").unwrap().unwrap().value();
            record[12] ^= 1;
            table.insert("notes", &record).unwrap();
        }
        transaction.commit().unwrap();
    }
    assert!(refused_or_kept(dir.path(), &promises, "a changed record"));
    let error = open_error(dir.path());
    assert!(
        error.message.contains("in the record of notes"),
        "{}",
        error.message
    );
}
