//! Faults within real files: lost, taken back, truncated, zeroed and flipped bytes. Each is
//! refused, or the store opens and gives no issued ID again.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail it as the test itself does")]

mod support;

use std::fs;
use std::path::Path;

use redb::ReadableTable;
use support::checker::{Promises, wait};
use support::data_dir::{
    Files, STORE, WITNESS, open_error, quick_dir, refused_or_kept, use_it, used,
};
use ticketd_core::failure::FailureKind;
use ticketd_store::Embedded;

#[test]
fn a_store_that_was_lost_or_cut_off_is_refused() {
    let dir = quick_dir();
    let promises = used(dir.path());
    let good = Files::read(dir.path());
    let len = good.store.len();
    let mut lens: Vec<usize> = (0..len).step_by(4096).collect();
    lens.extend([1, 8, 9, 63, 64, 320, 4095, 4097, len - 4097, len - 4095, len - 1]);
    for cut in lens {
        let files = Files { store: good.store[..cut].to_vec(), ..good.clone() };
        files.write(dir.path());
        assert!(refused_or_kept(dir.path(), &promises, "cut"), "cut at {cut}: opened");
    }
    for zeroed in [len, 4096, 512, 64, 9] {
        let mut files = good.clone();
        files.store[..zeroed].fill(0);
        files.write(dir.path());
        assert!(refused_or_kept(dir.path(), &promises, "zeroed"), "{zeroed} zeros: opened");
    }
    good.write(dir.path());
    fs::remove_file(dir.path().join(STORE)).unwrap();
    for _ in 0..2 {
        let error = open_error(dir.path());
        assert_eq!(error.kind, FailureKind::Corrupt);
        assert!(error.message.contains("the store was lost"), "{}", error.message);
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
    Files { store: old.store, ..new.clone() }.write(dir.path());
    let error = open_error(dir.path());
    assert_eq!(error.kind, FailureKind::Corrupt);
    assert!(error.message.contains("taken back"), "{}", error.message);

    let other = quick_dir();
    used(other.path());
    Files { store: Files::read(other.path()).store, ..new.clone() }.write(dir.path());
    let error = open_error(dir.path());
    assert_eq!(error.kind, FailureKind::Corrupt);
    assert!(error.message.contains("different stores"), "{}", error.message);

    new.write(dir.path());
    fs::remove_file(dir.path().join(WITNESS)).unwrap();
    assert!(!refused_or_kept(dir.path(), &promises, "no witness"));
    assert!(dir.path().join(WITNESS).exists(), "the witness must have been made again");
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
            assert!(found.store == files.store, "a refused file must not be written to");
        }
    }
    assert_ne!(taken_back, 0, "redb itself does not notice this one: the witness must");
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
        assert!(refused_or_kept(dir.path(), &promises, "witness"), "byte {at}: opened");
    }
    for len in [0, 1, 63, 65, 4096] {
        let mut files = good.clone();
        files.witness.resize(len, 0);
        files.write(dir.path());
        assert!(refused_or_kept(dir.path(), &promises, "witness"), "{len} bytes: opened");
    }
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
    assert!(error.message.contains("in the record of notes"), "{}", error.message);
}
