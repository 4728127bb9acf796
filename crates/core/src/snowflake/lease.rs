//! The arithmetic of worker-ID leases, as every store carries it out.
//!
//! A lease is a window of ticks on a worker ID, durable before an ID in it is issued. The windows
//! of one worker ID are disjoint and rise, whoever holds them. An ID lies in exactly one window,
//! which exactly one generator holds: that alone makes it unique. No clock has a part in it; a
//! clock only helps to guess which worker IDs are not in use any more, and a wrong guess costs
//! order between two servers and nothing else.

use alloc::collections::BTreeMap;

use crate::limits::ID_MIN;
use crate::name::Name;
use crate::record::DecodeError;

/// A half-open range `[start, end)` of ticks, never empty. It never holds tick 0, so that no ID
/// is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    start: u64,
    end: u64,
}

impl Window {
    /// The window `[start, end)`; `None` if it is empty or holds tick 0.
    pub const fn new(start: u64, end: u64) -> Option<Self> {
        if start == 0 || start >= end { None } else { Some(Self { start, end }) }
    }

    /// The first tick.
    pub const fn start(self) -> u64 {
        self.start
    }

    /// One above the last tick.
    pub const fn end(self) -> u64 {
        self.end
    }
}

/// What a store remembers of a worker ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Worker {
    /// The first tick that was never leased on it.
    pub mark: u64,
    /// Who leased it last.
    pub holder: u64,
}

/// The length of an encoded [`Worker`] in bytes.
pub const WORKER_LEN: usize = 20;

impl Worker {
    /// The worker as it is stored under the name of its sequence and its ID: mark and holder as
    /// little-endian 64-bit numbers, then the CRC-32 of name, ID and those.
    pub fn encode(&self, name: &Name, id: u32) -> [u8; WORKER_LEN] {
        let mut bytes = [0; WORKER_LEN];
        bytes[..8].copy_from_slice(&self.mark.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.holder.to_le_bytes());
        let sum = checksum(name, id, &bytes[..16]);
        bytes[16..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads what [`Worker::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] for anything else: damaged, or of another worker ID.
    pub fn decode(name: &Name, id: u32, bytes: &[u8; WORKER_LEN]) -> Result<Self, DecodeError> {
        if checksum(name, id, &bytes[..16]).to_le_bytes() != bytes[16..] {
            return Err(DecodeError::Checksum);
        }
        let number = |at: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(eight)
        };
        Ok(Self { mark: number(0), holder: number(8) })
    }
}

fn checksum(name: &Name, id: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(name.as_str().as_bytes());
    hasher.update(&id.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

/// The worker IDs of a sequence that were ever leased.
pub type Workers = BTreeMap<u32, Worker>;

/// What a lease asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseAsk {
    /// Who asks: a number that no other generator has.
    pub holder: u64,
    /// The worker ID to take if it is free; otherwise it is the lowest free one.
    pub preferred: Option<u32>,
    /// The window starts at this tick or above. A worker ID whose last window ends here or below
    /// is free, since its holder has not asked for another.
    pub floor: u64,
    /// How many ticks; at least 1.
    pub len: u64,
    /// How many worker IDs there are: those from 0 to below this.
    pub workers: u64,
    /// The first tick that does not fit into an ID.
    pub ticks: u64,
}

/// A window on a worker ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Leased {
    /// The worker ID.
    pub worker: u32,
    /// The ticks.
    pub window: Window,
}

/// Why there is no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoLease {
    /// Every worker ID is held; the first comes free at this tick.
    AllTaken {
        /// The first tick at which one is free.
        free_at: u64,
    },
    /// No tick is left.
    RunOut,
}

/// Ticks that their holder gives back at a clean stop: what its last window on `worker` holds
/// from `from` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Release {
    /// The worker ID.
    pub worker: u32,
    /// Who leased it.
    pub holder: u64,
    /// The first tick in which nothing was issued.
    pub from: u64,
    /// The end of the last window, as the holder knows it.
    pub end: u64,
}

/// What is leased of a sequence at some tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leases {
    /// Worker IDs whose window has not ended.
    pub taken: u64,
    /// The first tick that was never leased on any worker ID; 0 if none ever was.
    pub latest: u64,
}

/// Leases a window on one of `workers`, none of which may start below `base`.
///
/// # Errors
/// [`NoLease`] if there is none to be had.
pub fn lease(workers: &mut Workers, base: u64, ask: LeaseAsk) -> Result<Leased, NoLease> {
    let worker = pick(workers, ask)?;
    let mark = workers.get(&worker).map_or(0, |worker| worker.mark);
    let start = mark.max(base).max(ask.floor).max(ID_MIN);
    let end = start.saturating_add(ask.len.max(1)).min(ask.ticks);
    let window = Window::new(start, end).ok_or(NoLease::RunOut)?;
    workers.insert(worker, Worker { mark: window.end(), holder: ask.holder });
    Ok(Leased { worker, window })
}

fn pick(workers: &Workers, ask: LeaseAsk) -> Result<u32, NoLease> {
    let is_free = |worker: &Worker| worker.holder == ask.holder || worker.mark <= ask.floor;
    let in_range = |id: &u32| u64::from(*id) < ask.workers;
    let preferred = ask.preferred.filter(in_range);
    if let Some(id) = preferred.filter(|id| workers.get(id).is_none_or(is_free)) {
        return Ok(id);
    }
    let mut free_at = u64::MAX;
    let mut next = 0;
    for (id, worker) in workers.range(..).take_while(|(id, _)| in_range(id)) {
        if next < *id {
            return Ok(next);
        }
        if is_free(worker) {
            return Ok(*id);
        }
        free_at = free_at.min(worker.mark);
        next = id + 1;
    }
    if in_range(&next) { Ok(next) } else { Err(NoLease::AllTaken { free_at }) }
}

/// Gives unspent ticks back, if `asked` is by whoever leased last; returns whether it is.
pub fn release(workers: &mut Workers, asked: Release) -> bool {
    match workers.get_mut(&asked.worker) {
        Some(worker)
            if worker.holder == asked.holder
                && worker.mark == asked.end
                && (ID_MIN..=asked.end).contains(&asked.from) =>
        {
            worker.mark = asked.from;
            true
        }
        _ => false,
    }
}

/// What is leased at `tick`.
pub fn leases(workers: &Workers, tick: u64) -> Leases {
    Leases {
        taken: workers.values().filter(|worker| worker.mark > tick).count() as u64,
        latest: workers.values().map(|worker| worker.mark).max().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(holder: u64, floor: u64) -> LeaseAsk {
        LeaseAsk { holder, preferred: None, floor, len: 10, workers: 3, ticks: 1000 }
    }

    fn take(workers: &mut Workers, ask: LeaseAsk) -> Result<(u32, u64, u64), NoLease> {
        let leased = lease(workers, 5, ask)?;
        Ok((leased.worker, leased.window.start(), leased.window.end()))
    }

    #[test]
    fn each_holder_gets_a_worker_id_of_its_own_until_all_are_taken() {
        let mut workers = Workers::new();
        assert_eq!(take(&mut workers, ask(1, 0)), Ok((0, 5, 15)));
        assert_eq!(take(&mut workers, ask(2, 7)), Ok((1, 7, 17)));
        assert_eq!(take(&mut workers, ask(3, 7)), Ok((2, 7, 17)));
        assert_eq!(take(&mut workers, ask(4, 14)), Err(NoLease::AllTaken { free_at: 15 }));
        assert_eq!(take(&mut workers, ask(4, 15)), Ok((0, 15, 25)));
        assert_eq!(leases(&workers, 17), Leases { taken: 1, latest: 25 });
    }

    #[test]
    fn a_holder_goes_on_where_its_window_ends() {
        let mut workers = Workers::new();
        let mine = LeaseAsk { preferred: Some(2), ..ask(1, 8) };
        assert_eq!(take(&mut workers, mine), Ok((2, 8, 18)));
        assert_eq!(take(&mut workers, mine), Ok((2, 18, 28)));
        assert_eq!(take(&mut workers, LeaseAsk { holder: 9, ..mine }), Ok((0, 8, 18)));
        let none = LeaseAsk { preferred: Some(3), ..ask(7, 8) };
        assert_eq!(take(&mut workers, none), Ok((1, 8, 18)));
    }

    #[test]
    fn only_who_leased_last_gives_back() {
        let mut workers = Workers::new();
        take(&mut workers, ask(1, 8)).unwrap();
        let back = Release { worker: 0, holder: 1, from: 11, end: 18 };
        for wrong in [
            Release { worker: 1, ..back },
            Release { holder: 2, ..back },
            Release { end: 17, ..back },
            Release { from: 19, ..back },
            Release { from: 0, ..back },
        ] {
            assert!(!release(&mut workers, wrong), "{wrong:?}");
        }
        assert!(release(&mut workers, back));
        assert_eq!(take(&mut workers, ask(2, 11)), Ok((0, 11, 21)));
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let name = Name::new("e").unwrap();
        let worker = Worker { mark: 12_345, holder: u64::MAX - 7 };
        let bytes = worker.encode(&name, 3);
        assert_eq!(Worker::decode(&name, 3, &bytes), Ok(worker));
        assert_eq!(Worker::decode(&name, 4, &bytes), Err(DecodeError::Checksum));
        for bit in 0..WORKER_LEN * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Worker::decode(&name, 3, &damaged), Err(DecodeError::Checksum));
        }
    }

    #[test]
    fn the_last_window_ends_with_the_ticks() {
        let mut workers = Workers::new();
        assert_eq!(take(&mut workers, ask(1, 995)), Ok((0, 995, 1000)));
        assert_eq!(take(&mut workers, ask(1, 995)), Err(NoLease::RunOut));
    }
}
