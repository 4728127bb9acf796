//! How often the disk fails, and how.

use std::io::ErrorKind;

use ticketd_store::embedded::sim_disk::{Call, SimDisk, Trouble};

use crate::explore::config::{Config, Faults};
use crate::explore::random::Draw;

/// How many times fewer requests there are than with the model: each costs ten times as much.
pub(in crate::explore) const SHARE: u32 = 8;

/// A commit makes eleven changing calls of a disk, and a start some thirty: what happens after so
/// many happens within it, as a rule.
const CALLS_OF_COMMIT: u64 = 12;
const CALLS_OF_START: u64 = 32;

/// Rates, per mille of what they are about.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::explore) struct DiskFaults {
    /// Groups, starts and clean ends within which the process dies.
    pub(super) die_in_group: u64,
    pub(super) die_in_start: u64,
    pub(super) die_in_close: u64,
    /// Of all deaths, those by a loss of power.
    pub(super) power: u64,
    /// Groups and starts within which a call of the disk fails.
    pub(super) error_in_group: u64,
    pub(super) error_in_start: u64,
    /// Starts before which the store file was taken back or lost.
    pub(super) taken_back: u64,
    /// Groups with calls of other kinds in them.
    pub(super) others: u64,
}

impl DiskFaults {
    pub(in crate::explore) fn draw(draw: &mut Draw) -> Self {
        // As in the world with the model, one in sixteen is calm.
        if draw.below(16) == 0 {
            return Self { others: 300, ..Self::default() };
        }
        Self {
            die_in_group: sometimes(draw, 20, 300),
            die_in_start: sometimes(draw, 50, 500),
            die_in_close: sometimes(draw, 100, 800),
            power: draw.between(300, 1_000),
            error_in_group: sometimes(draw, 20, 300),
            error_in_start: sometimes(draw, 20, 300),
            taken_back: sometimes(draw, 200, 1_000),
            others: draw.between(100, 600),
        }
    }
}

fn sometimes(draw: &mut Draw, least: u64, most: u64) -> u64 {
    if draw.chance(600) { draw.magnitude(least, most) } else { 0 }
}

/// Makes of a world of one server one whose store is real: smaller, since its store takes time,
/// and without the failures of the model.
pub(in crate::explore) fn shrink(config: &mut Config, draw: &mut Draw) {
    config.sequences.truncate(3);
    config.clients = config.clients.min(5);
    let every = |draw: &mut Draw, most| if draw.chance(600) { draw.magnitude(20, most) } else { 0 };
    config.faults = Faults {
        crash_every: every(draw, 250),
        stop_every: every(draw, 250),
        slow: config.faults.slow,
        full_every_us: every(draw, 1_000) * 100,
        ..Faults::default()
    };
}

/// Lets one call of the next group fail, or of the next start: of which kind is drawn.
pub(super) fn one_error(disk: &SimDisk, draw: &mut Draw, within_start: bool) {
    let calls = [Call::Write, Call::Write, Call::Sync, Call::Sync, Call::SetLen, Call::Read];
    let of_start = [Call::Rename, Call::SyncDir];
    let most = calls.len() + if within_start { of_start.len() } else { 0 };
    let call = *calls.iter().chain(&of_start).nth(index(draw, most)).expect("one of them");
    let errors = [ErrorKind::Other, ErrorKind::StorageFull, ErrorKind::Interrupted];
    let error = errors[index(draw, errors.len())];
    let within = if within_start { CALLS_OF_START } else { CALLS_OF_COMMIT };
    let so_far = if call == Call::Read { disk.reads() } else { disk.count() };
    let from = so_far + after(draw, within);
    let hits = if draw.chance(700) { 1 } else { usize::MAX };
    disk.fail(Trouble { from, calls: usize::MAX, call, hits, error });
}

/// Lets everything that needs room fail, from some call of the next group on.
pub(super) fn no_room(disk: &SimDisk, draw: &mut Draw) {
    let error = if draw.chance(500) { ErrorKind::StorageFull } else { ErrorKind::QuotaExceeded };
    let call = if draw.chance(800) { Call::Write } else { Call::SetLen };
    let from = disk.count() + after(draw, CALLS_OF_COMMIT);
    disk.fail(Trouble { from, calls: usize::MAX, call, hits: usize::MAX, error });
}

/// Lets the process die within the next group, or the next start.
pub(super) fn die(disk: &SimDisk, draw: &mut Draw, within_start: bool) {
    let within = if within_start { CALLS_OF_START } else { CALLS_OF_COMMIT };
    disk.switch_off_after(after(draw, within));
}

fn after(draw: &mut Draw, calls: u64) -> usize {
    index(draw, usize::try_from(calls).expect("a few dozen"))
}

fn index(draw: &mut Draw, len: usize) -> usize {
    usize::try_from(draw.below(len as u64)).expect("below a length")
}
