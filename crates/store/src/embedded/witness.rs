//! The witness: a second file that remembers how far the store was.
//!
//! It holds no data. It is written in place after each commit, without a sync of its own: after
//! the process was killed it is exact, after a loss of power it may lag, and it never runs ahead
//! of the store. A store that lags behind it was lost, replaced or taken back.

use std::io;

use super::disk::{Counted, DiskFile};
use super::fault;
use super::mutant::Mutant;
use super::stamp::{STAMP_LEN, Stamp};
use ticketd_core::failure::{Failure, FailureKind};

/// Reads the witness; `None` if there is none.
pub(super) fn read(disk: &Counted) -> Result<Option<Stamp>, Failure> {
    let file = DiskFile::Witness;
    let failed = |e: io::Error| fault::at_start("read the witness", &path(disk), &e);
    let Some(len) = disk.disk().len(file).map_err(failed)? else {
        return Ok(None);
    };
    // One byte more than a stamp is enough to see that it is none.
    let mut bytes = vec![0; usize::try_from(len).map_or(STAMP_LEN + 1, |n| n.min(STAMP_LEN + 1))];
    disk.disk().read(file, 0, &mut bytes).map_err(failed)?;
    Stamp::decode(&bytes).map(Some).map_err(|why| {
        Failure::new(
            FailureKind::Corrupt,
            format!(
                "the witness is damaged: {why}; if {} is known to be the latest, remove the \
                 witness and it is made again; file {}",
                DiskFile::Store.name(),
                disk.path(file)
            ),
        )
    })
}

/// Makes the witness, or replaces it, all or nothing, and durably.
pub(super) fn create(disk: &Counted, stamp: Stamp) -> Result<(), Failure> {
    let draft = DiskFile::WitnessDraft;
    let all = || {
        disk.disk().set_len(draft, 0)?;
        disk.disk().write(draft, 0, &stamp.encode())?;
        disk.sync(draft)?;
        disk.disk().rename_draft()?;
        if disk.is_mutant(Mutant::DirNotSynced) {
            return Ok(());
        }
        disk.sync_dir()
    };
    all().map_err(|e| fault::at_start("make the witness", &path(disk), &e))
}

/// Writes `stamp` in place: one sector, so that it is never torn.
pub(super) fn update(disk: &Counted, stamp: Stamp) -> io::Result<()> {
    disk.disk().write(DiskFile::Witness, 0, &stamp.encode())
}

/// Makes the last update durable.
pub(super) fn sync(disk: &Counted) -> io::Result<()> {
    disk.sync(DiskFile::Witness)
}

fn path(disk: &Counted) -> std::path::PathBuf {
    disk.disk().dir().join(DiskFile::Witness.name())
}
