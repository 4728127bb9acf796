//! Faults around real files: other owners, full and read-only disks, deleted directories.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail it as the test itself does")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Resource, Rlimit, setrlimit};
use support::checker::{Promises, Step, wait, workload};
use support::data_dir::{STORE, open_error, quick_dir, refused_or_kept, use_it, used};
use tempfile::TempDir;
use ticketd_core::failure::FailureKind;
use ticketd_store::{Embedded, Store, StoreError};

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
    assert!(!locked_out.success(), "another process must be locked out as well");
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
    let cases = [file.clone(), file.join("below"), PathBuf::from("/proc/ticketd"), store_is_a_dir];
    for path in cases {
        let error = open_error(&path);
        assert_eq!(error.kind, FailureKind::Invalid, "{}", error.message);
        assert!(error.message.contains("--data-dir"), "{}", error.message);
        assert!(error.message.contains(path.to_str().unwrap()), "{}", error.message);
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
        assert!(error.message.contains("deleted or replaced under"), "{}", error.message);
        assert_eq!(store.health().unwrap_err().kind, FailureKind::Corrupt);
        drop(store);
        assert_eq!(dir.exists(), replaced, "closing must not make the directory again");
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
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(dir))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "the test leaves a mount behind");
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
    matches!(error.kind, FailureKind::Unavailable | FailureKind::Indeterminate)
        && error.message.contains("the disk is full")
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
    assert!(is_for_want_of_room(&error), "{:?}: {}", error.kind, error.to_failure());
    store.health().unwrap();
    let sure = wait(store.list(None, 10_000)).unwrap().len();
    assert!(sure >= made as usize, "{sure} of {made} are still readable");
    // What needs no more room may succeed or not; either way no ID comes twice.
    for (at, step) in workload(5, 30) {
        if let Err(error) = wait(promises.step(&store, at, step)) {
            assert!(is_for_want_of_room(&error), "{:?}: {}", error.kind, error.to_failure());
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
    assert!(is_for_want_of_room(&error), "{:?}: {}", error.kind, error.to_failure());
    store.health().unwrap();
    for (at, step) in workload(5, 10) {
        if let Err(error) = wait(promises.step(&store, at, step)) {
            assert!(is_for_want_of_room(&error), "{:?}: {}", error.kind, error.to_failure());
        }
    }
    let unlimited = Rlimit { current: None, maximum: None };
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
    assert_eq!(error.kind, FailureKind::Unavailable, "{}", error.to_failure());
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
    assert!(Command::new("mount").args(remount).arg(small.0.path()).status().unwrap().success());
    says_that_it_may_not_write(small.0.path());
    says_that_it_may_not_write(&small.0.path().join("below"));
}

fn says_that_it_may_not_write(dir: &Path) {
    let error = open_error(dir);
    assert_eq!(error.kind, FailureKind::Invalid, "{}", error.to_failure());
    assert!(error.message.contains("--data-dir"), "{}", error.message);
    assert!(error.message.contains(dir.to_str().unwrap()), "{}", error.message);
}
