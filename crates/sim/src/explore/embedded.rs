//! The real embedded store in the world of one server, on a disk that loses its power and fails.
//!
//! Everything of the world of one server is here, too, but for the model of the store: what
//! allocators ask goes to the store that servers run on, in groups, and every kind of sequence is
//! asked along with them. Its disk is a model ([`SimDisk`]): it forgets and tears what was not
//! synced, fails, is full, and goes off in the middle of any call.
//!
//! | checker | holds that |
//! | --- | --- |
//! | image | the store holds what was acknowledged, of a group in flight all or nothing, and nothing else; a call that surely failed was not applied |
//! | failure | a failure has a cause and is of the kind that its cause allows; nothing is hidden |
//! | start | what a loss of power or a kill leaves can be opened; what was taken back or lost cannot |
//! | witness | it is never lost, and is exact once the store is open |

mod calls;
mod config;
mod image;
mod running;
mod world;

use std::sync::Arc;

use ticketd_core::definition::Definition;
use ticketd_core::name::Name;
use ticketd_store::StoreError;
use ticketd_store::embedded::sim_disk::{Call as DiskCall, Hit, SimDisk};
use ticketd_store::embedded::{DiskFile, Setup};

use super::Bug;
use super::check::Found;
use calls::Others;
pub(super) use config::{DiskFaults, SHARE, shrink};
use image::{Asked, Call, Image, Images};
use running::Running;

/// The instance ID of the store: any will do.
const INSTANCE: u128 = 7;

/// A copy of the store file, made while no server ran.
#[derive(Debug)]
struct Copy {
    bytes: Vec<u8>,
    commits: u64,
}

/// The store, its disk, and what it must hold.
#[derive(Debug)]
pub(super) struct RealStore {
    disk: SimDisk,
    setup: Setup,
    /// Of the allocators' sequences: name, definition, and the mark that it begins with.
    sequences: Vec<(Name, Definition, u64)>,
    running: Option<Running>,
    images: Images,
    others: Others,
    pub(super) faults: DiskFaults,
    /// The next start comes after a loss of power, of which this number decides what is left.
    power: Option<u64>,
    copy: Option<Copy>,
    /// The commits that the witness has seen, as the kernel has it and as the disk has it.
    witnessed: u64,
    witnessed_durably: u64,
    /// How many commits there were before the group that is served.
    committed: u64,
    /// The server was told to start again, after its store had stopped.
    restart_planned: bool,
}

impl RealStore {
    pub(super) fn new(
        sequences: Vec<(Name, Definition, u64)>,
        faults: DiskFaults,
        dice: u64,
        #[cfg_attr(not(feature = "mutants"), expect(unused_variables, reason = "there is none"))]
        bug: Bug,
    ) -> Self {
        let disk = SimDisk::with_dice(dice);
        let setup = Setup {
            disk: Arc::new(disk.clone()),
            fresh: INSTANCE,
            #[cfg(feature = "mutants")]
            mutant: bug.embedded(),
        };
        Self {
            disk,
            setup,
            sequences,
            running: None,
            images: Images::new(),
            others: Others::default(),
            faults,
            power: None,
            copy: None,
            witnessed: 0,
            witnessed_durably: 0,
            committed: 0,
            restart_planned: false,
        }
    }

    /// Whether the store has stopped for good: only a restart helps.
    pub(super) fn has_stopped(&self) -> bool {
        self.running.as_ref().is_some_and(Running::has_stopped)
    }

    /// The calls that make what is missing of the sequences as the world begins with them.
    fn missing(&self, found: &Image) -> Vec<Call> {
        let mut calls = Vec::new();
        for (name, definition, mark) in &self.sequences {
            let call = |asked| Call { name: name.clone(), asked };
            let known = found.records.get(name);
            if known.is_none() {
                calls.push(call(Asked::Create(*definition)));
            }
            if *mark > 1 && known.is_none_or(|record| record.mark == 1) {
                calls.push(call(Asked::Raise(*mark)));
            }
        }
        calls
    }

    /// A start found the store as it is: whether that is possible, and what of the allocators'
    /// questions had been applied.
    fn found(&mut self, image: &Image) -> Result<Vec<super::store::Message>, Found> {
        let wrong = ("image", self.images.difference_to(image));
        self.images.found(image).ok_or(wrong)
    }

    /// A server has opened the store: the witness must be as far.
    fn check_witness(&mut self) -> Result<(), Found> {
        let Some(running) = &self.running else { return Ok(()) };
        let commits = running.commits();
        (self.witnessed, self.witnessed_durably) = (commits, commits);
        match self.witness() {
            Some(seen) if seen == commits => Ok(()),
            seen => Err((
                "witness",
                format!("the store is open with {commits} commits, and its witness says {seen:?}"),
            )),
        }
    }

    /// The commits that the witness has seen, read as the stamp is written.
    fn witness(&self) -> Option<u64> {
        let bytes = self.disk.bytes(DiskFile::Witness)?;
        Some(u64::from_le_bytes(bytes.get(28..36)?.try_into().ok()?))
    }

    /// After a loss of power, before the next start: the witness of a store that was once open is
    /// there, and never ahead of what was committed.
    fn check_witness_left(&self) -> Result<(), Found> {
        match self.witness() {
            None if self.witnessed_durably > 0 => {
                Err(("witness", "a loss of power took the witness away".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

/// Whether `error` at the start is of a kind that `hits` allow.
fn check_start(error: &StoreError, hits: &[Hit]) -> Result<(), Found> {
    use ticketd_core::failure::FailureKind::{Corrupt, Unavailable};
    let message = error.to_failure();
    match hits.last() {
        None => Err(("start", format!("the disk is well and the store does not start: {message}"))),
        Some(hit) if is_no_room(hit) && error.kind == Unavailable => Ok(()),
        Some(hit) if !is_mere_no_room(hit) && error.kind == Corrupt => Ok(()),
        Some(hit) => Err(("failure", format!("{hit:?} at the start is told as {message}"))),
    }
}

/// Whether the call failed for want of room.
fn is_no_room(hit: &Hit) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(hit.error, StorageFull | QuotaExceeded)
}

/// Whether the call failed for want of room, and nothing that was written before is in doubt.
fn is_mere_no_room(hit: &Hit) -> bool {
    is_no_room(hit) && matches!(hit.call, DiskCall::Write | DiskCall::SetLen)
}

/// The sequences of a world, by name.
pub(super) fn names(sequences: &[super::config::Sequence]) -> Vec<(Name, Definition, u64)> {
    let name = |at: usize| Name::new(&format!("s{at}")).expect("a letter and digits");
    sequences.iter().enumerate().map(|(at, s)| (name(at), s.definition, s.mark)).collect()
}
