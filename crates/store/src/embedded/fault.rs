//! What an error of the disk means, and the words for it.

use std::io::{self, ErrorKind};
use std::path::Path;

use ticketd_core::failure::{Failure, FailureKind};

/// What was asked of the disk when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Read,
    Write,
    SetLen,
    Sync,
}

/// The first error of a disk under an open store.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub operation: Operation,
    pub kind: ErrorKind,
    pub text: String,
}

impl Fault {
    pub(super) fn new(operation: Operation, error: &io::Error) -> Self {
        Self { operation, kind: error.kind(), text: error.to_string() }
    }

    /// Whether there is merely no room: what was written before is intact, and the store can be
    /// opened again.
    ///
    /// A sync that reports no room is not among these. It means that pages which the kernel had
    /// accepted could not be written; it may have dropped them or marked them clean, and then the
    /// cache shows what the disk does not hold, and opening the store again would trust the cache.
    pub(super) fn is_no_room(&self) -> bool {
        matches!(self.operation, Operation::Write | Operation::SetLen) && is_no_room(self.kind)
    }
}

/// Disk full, quota used up, file size limit, or no memory for the kernel's side of it.
pub(super) fn is_no_room(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::FileTooLarge
            | ErrorKind::OutOfMemory
    )
}

/// There is no room; `kind` says whether the call may have been applied.
pub(super) fn no_room(kind: FailureKind, dir: &Path, text: &str) -> Failure {
    Failure::new(
        kind,
        format!(
            "the disk is full: {text}; make room, ticketd then goes on by itself; data directory {}",
            dir.display()
        ),
    )
}

/// The disk failed in a way after which nothing that the kernel says about it is trusted.
pub(super) fn disk_failed(fault: &Fault, path: &str) -> Failure {
    let what = match fault.operation {
        Operation::Sync => "fsync failed",
        Operation::Read => "reading failed",
        Operation::Write | Operation::SetLen => "writing failed",
    };
    Failure::new(
        FailureKind::Corrupt,
        format!("{what}: {}; check the disk, then restart ticketd; file {path}", fault.text),
    )
}

/// The data directory is gone from under the store.
pub(super) fn out_of_place(dir: &Path) -> Failure {
    Failure::new(
        FailureKind::Corrupt,
        format!(
            "the data directory was deleted or replaced under the running server: stop it, restore \
             the directory (or raise every sequence above its highest issued ID), and restart; \
             data directory {}",
            dir.display()
        ),
    )
}

/// A file cannot be trusted.
pub(super) fn damaged(path: &str, why: &str) -> Failure {
    Failure::new(
        FailureKind::Corrupt,
        format!(
            "the file is damaged or not a store of ticketd: {why}; restore it from a backup and \
             raise every sequence above its highest issued ID; file {path}"
        ),
    )
}

/// An error at start, before the store is open.
pub(crate) fn at_start(doing: &str, path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    let kind = error.kind();
    if is_no_room(kind) {
        return Failure::new(
            FailureKind::Unavailable,
            format!("cannot {doing}: {error}; make room and start again; path {path}"),
        );
    }
    let names_the_setting = matches!(
        kind,
        ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotADirectory
            | ErrorKind::AlreadyExists
            | ErrorKind::IsADirectory
            | ErrorKind::NotFound
            | ErrorKind::InvalidInput
            | ErrorKind::InvalidFilename
            | ErrorKind::Unsupported
    );
    if names_the_setting {
        return Failure::new(
            FailureKind::Invalid,
            format!(
                "cannot {doing}: {error}; give --data-dir a directory that ticketd may write to; \
                 path {path}"
            ),
        );
    }
    Failure::new(
        FailureKind::Corrupt,
        format!("cannot {doing}: {error}; check the disk; path {path}"),
    )
}
