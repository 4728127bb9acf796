//! Opening a data directory: whether what is found there is the store that was left there.
//!
//! The order in which a store is made: its empty file, the witness with commit 0, redb's header,
//! the first commit (the stamp, commit 1), the witness with commit 1, each durable before the
//! next. A witness with commit 0 therefore means that nothing was ever answered from here, and
//! only then is a file without redb's header begun afresh.

use std::sync::Arc;

use ticketd_core::failure::{Failure, FailureKind};

use super::database::{Database, Records};
use super::disk::{Counted, DiskFile};
use super::fault;
use super::mutant::Mutant;
use super::stamp::Stamp;
use super::witness;

/// A store that was opened and found to be whole.
#[derive(Debug)]
pub(super) struct Started {
    pub database: Database,
    pub stamp: Stamp,
    pub records: Records,
}

/// Opens the store on `disk`, or makes it, with the instance ID `fresh`.
pub(super) fn start(disk: &Arc<Counted>, fresh: u128) -> Result<Started, Failure> {
    // What redb reads and verifies now shall be what is on the disk.
    disk.disk().uncache();
    let seen = before_opening(disk, fresh)?;
    if !disk.is_mutant(Mutant::WitnessNotAsked) {
        judge(disk, Database::rehearse(disk)?.stamp, seen)?;
    }
    let (database, content) = Database::open(disk)?;
    let stamp = match (content.stamp, seen) {
        (Some(stamp), Some(_)) => stamp,
        (Some(stamp), None) => {
            tracing::warn!(
                dir = %disk.disk().dir().display(),
                commits = stamp.commits,
                "the witness was missing and is made again: \
                 whether this store is the latest cannot be known"
            );
            witness::create(disk, stamp)?;
            stamp
        }
        (None, Some(seen)) => {
            let stamp = seen.next();
            first_commit(disk, &database, stamp)?;
            stamp
        }
        (None, None) => return Err(lost(disk)),
    };
    remember(disk, stamp)?;
    Ok(Started { database, stamp, records: content.records })
}

/// Opens the store again that had made `known.commits` commits and held `records`; `Some` of its
/// content if the transaction of unknown outcome after that was applied.
pub(super) fn reopen(
    disk: &Arc<Counted>,
    known: Stamp,
    records: &Records,
) -> Result<(Database, Option<Records>), Failure> {
    let (database, content) = Database::open(disk)?;
    match content.stamp {
        Some(stamp) if stamp == known && content.records == *records => Ok((database, None)),
        Some(stamp) if stamp == known.next() => Ok((database, Some(content.records))),
        _ => Err(fault::damaged(
            &disk.path(DiskFile::Store),
            "after the disk was full it is not what it was",
        )),
    }
}

/// Looks at the files before redb does. Returns the witness: one is made for a new store.
fn before_opening(disk: &Counted, fresh: u128) -> Result<Option<Stamp>, Failure> {
    let file = DiskFile::Store;
    let failed = |e| fault::at_start("prepare the store", disk.disk().dir(), &e);
    let seen = witness::read(disk)?;
    let is_empty = disk.disk().len(file).map_err(failed)?.unwrap_or(0) == 0;
    match seen {
        Some(seen) if is_empty && seen.commits > 0 => return Err(lost(disk)),
        None if is_empty => {
            // The name of the store file and the witness are durable before there is anything
            // that could be lost with them.
            disk.disk().set_len(file, 0).map_err(failed)?;
            disk.sync(file).map_err(failed)?;
            disk.sync_dir().map_err(failed)?;
            let stamp = Stamp { instance: fresh, commits: 0 };
            witness::create(disk, stamp)?;
            return Ok(Some(stamp));
        }
        Some(seen) if seen.commits == 0 && has_blank_header(disk).map_err(failed)? => {
            disk.disk().set_len(file, 0).map_err(failed)?;
        }
        Some(_) | None => {}
    }
    disk.sync_dir().map_err(failed)?;
    Ok(seen)
}

/// Whether the making of the file ended before redb's header was complete: redb writes its magic
/// number last.
fn has_blank_header(disk: &Counted) -> std::io::Result<bool> {
    const MAGIC_LEN: u64 = 9;
    let len = disk.disk().len(DiskFile::Store)?.unwrap_or(0).min(MAGIC_LEN);
    let mut head = [0; MAGIC_LEN as usize];
    let head = &mut head[..usize::try_from(len).expect("at most 9")];
    disk.disk().read(DiskFile::Store, 0, head)?;
    Ok(head.iter().all(|&byte| byte == 0))
}

fn first_commit(disk: &Counted, database: &Database, stamp: Stamp) -> Result<(), Failure> {
    database.commit(&Records::default(), stamp).map_err(|failed| match database.fault() {
        Some(fault) if fault.is_no_room() => {
            fault::no_room(FailureKind::Unavailable, disk.disk().dir(), &fault.text)
        }
        Some(fault) => fault::disk_failed(&fault, &disk.path(DiskFile::Store)),
        None => fault::damaged(&disk.path(DiskFile::Store), &failed.text),
    })
}

/// Makes the witness say durably what the store says, before anything is answered.
fn remember(disk: &Counted, stamp: Stamp) -> Result<(), Failure> {
    witness::update(disk, stamp)
        .and_then(|()| witness::sync(disk))
        .map_err(|e| fault::at_start("write the witness", disk.disk().dir(), &e))
}

/// Whether a store with the stamp `found` may be opened, its witness having `seen` what it has.
fn judge(disk: &Counted, found: Option<Stamp>, seen: Option<Stamp>) -> Result<(), Failure> {
    let (stamp, seen) = match (found, seen) {
        (Some(stamp), Some(seen)) => (stamp, seen),
        (Some(_), None) => return Ok(()),
        (None, Some(seen)) if seen.commits == 0 => return Ok(()),
        (None, _) => return Err(lost(disk)),
    };
    let dir = disk.disk().dir().display();
    let refused = |why: String| Err(Failure::new(FailureKind::Corrupt, why));
    if stamp.instance != seen.instance {
        return refused(format!(
            "the store and its witness belong to different stores: restore both from the same \
             place; {AFTER_A_RESTORE}; data directory {dir}"
        ));
    }
    if stamp.commits < seen.commits {
        return refused(format!(
            "the store was taken back: restore its latest state; {AFTER_A_RESTORE}; data \
             directory {dir}, at commit {} where its witness saw {}",
            stamp.commits, seen.commits
        ));
    }
    Ok(())
}

/// What to do when the latest state cannot be had.
const AFTER_A_RESTORE: &str = "if what is missing is lost for good, remove the witness and raise \
                               every sequence above its highest issued ID";

fn lost(disk: &Counted) -> Failure {
    Failure::new(
        FailureKind::Corrupt,
        format!(
            "the store was lost: it is empty or missing and its witness has seen commits; restore \
             it from a backup; {AFTER_A_RESTORE}; file {}",
            disk.path(DiskFile::Store)
        ),
    )
}
