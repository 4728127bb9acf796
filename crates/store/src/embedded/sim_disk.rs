//! A disk in memory that forgets what was not synced, fails when told to, and loses its power.
//!
//! What is written but not synced is a log of 512-byte sectors. After a crash any subset of it may
//! have reached the disk, each sector as any of its unsynced versions; the length is any that the
//! file had since the last sync; of the renames and new names any first part has happened.
//!
//! It is for tests and for the deterministic world; no server runs on it.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile};

const SECTOR: usize = 512;

/// One file, apart from its name.
#[derive(Debug, Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    /// What reads see.
    cached: Vec<u8>,
    /// Unsynced runs of whole sectors in the order of their writing: the first sector, and the
    /// bytes.
    runs: Vec<(usize, Vec<u8>)>,
    /// Unsynced lengths.
    lens: Vec<usize>,
    /// Whether a failed sync has left the cache with what the disk never got.
    stale: bool,
}

type Names = BTreeMap<&'static str, usize>;

/// Everything that a crash leaves a part of.
#[derive(Debug, Clone, Default)]
pub struct State {
    inodes: Vec<Inode>,
    /// The names now, and every earlier state of them since the last sync of the directory.
    names: Names,
    unsynced_names: Vec<Names>,
}

/// What may be asked of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Of a file, and changes nothing. These are counted apart from the others.
    Read,
    /// [`Disk::write`].
    Write,
    /// [`Disk::set_len`].
    SetLen,
    /// [`Disk::sync`].
    Sync,
    /// [`Disk::rename_draft`].
    Rename,
    /// [`Disk::sync_dir`].
    SyncDir,
}

/// What goes wrong, and from which call on.
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
    /// The index of the first call that it touches, among those that change something; of
    /// [`Call::Read`], among those that do not.
    pub from: usize,
    /// Over how many such calls it lasts.
    pub calls: usize,
    /// Which of them it touches.
    pub call: Call,
    /// How many of those it touches, before all is well again.
    pub hits: usize,
    /// The error with which they fail.
    pub error: ErrorKind,
}

/// A call that failed because it was told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// What was asked.
    pub call: Call,
    /// Of which file; `None` for the directory.
    pub file: Option<DiskFile>,
    /// The error.
    pub error: ErrorKind,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    /// What each changing call was.
    made: Vec<Call>,
    reads: usize,
    history: Option<Vec<(State, usize)>>,
    acknowledged: usize,
    trouble: Option<Trouble>,
    hits: Vec<Hit>,
    /// Every so many syncs of the store do nothing and say that they did.
    lying_sync_every: Option<usize>,
    gone_from: Option<usize>,
    /// The changing call at which the power goes, or the process dies.
    off_from: Option<usize>,
    is_off: bool,
    /// Decides which part of a call that fails has been done.
    dice: u64,
}

/// The disk; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
}

impl SimDisk {
    /// An empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty directory; `dice` decides which part is done of what fails.
    pub fn with_dice(dice: u64) -> Self {
        let disk = Self::new();
        disk.lock().dice = dice;
        disk
    }

    /// A disk that holds what a crash of `state` leaves, as `seed` decides.
    pub fn after_crash(state: &State, mut seed: u64) -> Self {
        let disk = Self::new();
        disk.lock().state = crash(state, &mut seed);
        disk
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that it holds.
    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// Makes it hold `state`.
    pub fn restore(&self, state: &State) {
        self.lock().state = state.clone();
    }

    /// Keeps the state after each changing call from now on.
    pub fn keep_history(&self) {
        let mut inner = self.lock();
        let first = (inner.state.clone(), inner.acknowledged);
        inner.history = Some(vec![first]);
    }

    /// The state after each changing call since [`keep_history`](Self::keep_history), and how many
    /// steps had been acknowledged by then.
    pub fn history(&self) -> Vec<(State, usize)> {
        self.lock().history.take().unwrap_or_default()
    }

    /// Tells the history that one more step was acknowledged.
    pub fn acknowledge(&self) {
        self.lock().acknowledged += 1;
    }

    /// Lets calls fail from now on.
    pub fn fail(&self, trouble: Trouble) {
        self.lock().trouble = Some(trouble);
    }

    /// Mends the disk; returns how many calls had failed.
    pub fn mend(&self) -> usize {
        let mut inner = self.lock();
        inner.trouble = None;
        inner.hits.len()
    }

    /// The calls that have failed since they were last taken.
    pub fn take_hits(&self) -> Vec<Hit> {
        std::mem::take(&mut self.lock().hits)
    }

    /// What each changing call was, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().made.clone()
    }

    /// How many calls there were that change something.
    pub fn count(&self) -> usize {
        self.lock().made.len()
    }

    /// How many calls there were that change nothing.
    pub fn reads(&self) -> usize {
        self.lock().reads
    }

    /// Every so many changing calls, a sync of the store does nothing and says that it did.
    pub fn lie_at_every_sync(&self, every: usize) {
        self.lock().lying_sync_every = Some(every);
    }

    /// As if the directory was deleted under the open store after so many more changing calls.
    pub fn remove_dir_after(&self, calls: usize) {
        let mut inner = self.lock();
        inner.gone_from = Some(inner.made.len() + calls);
    }

    /// The process that uses it dies after so many more changing calls, in the middle of the next:
    /// a part of that is done, and nothing after it.
    pub fn switch_off_after(&self, calls: usize) {
        let mut inner = self.lock();
        inner.off_from = Some(inner.made.len() + calls);
    }

    /// The process that uses it dies now.
    pub fn switch_off(&self) {
        self.lock().is_off = true;
    }

    /// Takes [`switch_off_after`](Self::switch_off_after) back.
    pub fn stay_on(&self) {
        self.lock().off_from = None;
    }

    /// Whether the process that used it is dead.
    pub fn is_off(&self) -> bool {
        self.lock().is_off
    }

    /// Lets another process use it. If there was a loss of `power`, that number decides what of
    /// the unsynced is left; otherwise the cache is as it was.
    pub fn switch_on(&self, power: Option<u64>) {
        let mut inner = self.lock();
        (inner.is_off, inner.off_from) = (false, None);
        if let Some(mut seed) = power {
            inner.state = crash(&inner.state, &mut seed);
        }
    }

    /// The cached bytes of a file.
    pub fn bytes(&self, file: DiskFile) -> Option<Vec<u8>> {
        let inner = self.lock();
        let at = *inner.state.names.get(file.name())?;
        Some(inner.state.inodes[at].cached.clone())
    }

    /// Replaces a file by `bytes`, durably, or removes it, as an operator does.
    pub fn replace(&self, file: DiskFile, bytes: Option<Vec<u8>>) {
        let mut inner = self.lock();
        let state = &mut inner.state;
        let mut names = state.names.clone();
        names.remove(file.name());
        if let Some(bytes) = bytes {
            names.insert(file.name(), state.inodes.len());
            state.inodes.push(Inode { durable: bytes.clone(), cached: bytes, ..Inode::default() });
        }
        state.names = names;
        state.unsynced_names.clear();
    }
}

impl Inner {
    fn inode(&mut self, file: DiskFile) -> io::Result<&mut Inode> {
        let at = *self.state.names.get(file.name()).ok_or(ErrorKind::NotFound)?;
        Ok(&mut self.state.inodes[at])
    }

    fn inode_or_new(&mut self, file: DiskFile) -> &mut Inode {
        let state = &mut self.state;
        if !state.names.contains_key(file.name()) {
            state.inodes.push(Inode::default());
            let mut names = state.names.clone();
            names.insert(file.name(), state.inodes.len() - 1);
            state.rename(names);
        }
        let at = state.names[file.name()];
        &mut state.inodes[at]
    }

    /// Counts a changing call; the error with which it is to fail.
    fn count(&mut self, call: Call, file: Option<DiskFile>) -> io::Result<()> {
        self.powered()?;
        let index = self.made.len();
        self.made.push(call);
        if self.off_from.is_some_and(|from| from <= index) {
            self.is_off = true;
            return Err(no_power());
        }
        self.meet(index, call, file)
    }

    fn read(&mut self, file: DiskFile) -> io::Result<()> {
        self.powered()?;
        self.reads += 1;
        self.meet(self.reads - 1, Call::Read, Some(file))
    }

    fn powered(&self) -> io::Result<()> {
        if self.is_off { Err(no_power()) } else { Ok(()) }
    }

    /// Fails if that is what the trouble, if there is any, wants of this call.
    fn meet(&mut self, index: usize, call: Call, file: Option<DiskFile>) -> io::Result<()> {
        let touches = |trouble: &&mut Trouble| {
            let from = trouble.from;
            let is_within = (from..from.saturating_add(trouble.calls)).contains(&index);
            is_within && trouble.call == call && trouble.hits > 0
        };
        let Some(trouble) = self.trouble.as_mut().filter(touches) else {
            return Ok(());
        };
        trouble.hits -= 1;
        let error = trouble.error;
        self.hits.push(Hit { call, file, error });
        Err(error.into())
    }

    /// How much of `len` is done of the call that fails.
    fn part(&self, len: usize) -> usize {
        let mut seed = self.dice ^ self.made.len() as u64;
        index(draw(&mut seed) % (len as u64 + 1))
    }

    fn remember(&mut self) {
        if let Some(history) = &mut self.history {
            history.push((self.state.clone(), self.acknowledged));
        }
    }
}

impl State {
    fn rename(&mut self, names: Names) {
        self.unsynced_names.push(std::mem::replace(&mut self.names, names));
    }
}

impl Inode {
    fn write(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        if self.cached.len() < end {
            self.lens.push(self.cached.len());
            self.cached.resize(end, 0);
        }
        self.cached[offset..end].copy_from_slice(data);
        let first = offset / SECTOR;
        let to = (end.div_ceil(SECTOR) * SECTOR).min(self.cached.len());
        if !data.is_empty() {
            self.runs.push((first, self.cached[first * SECTOR..to].to_vec()));
        }
    }

    fn set_len(&mut self, len: usize) {
        self.lens.push(self.cached.len());
        self.cached.resize(len, 0);
    }

    /// Brings the disk up to the cache. Cheaper than to copy all of it: nothing else differs.
    fn sync(&mut self) {
        let shortest = self.lens.iter().copied().min().unwrap_or(usize::MAX);
        self.durable.truncate(shortest);
        self.durable.resize(self.cached.len(), 0);
        for (first, run) in self.runs.drain(..) {
            let from = (first * SECTOR).min(self.cached.len());
            let to = (from + run.len()).min(self.cached.len());
            self.durable[from..to].copy_from_slice(&self.cached[from..to]);
        }
        self.lens.clear();
    }

    /// What is clean is read from the disk again; what is dirty stays, and so does the length.
    fn uncache(&mut self) {
        if std::mem::take(&mut self.stale) {
            let len = self.cached.len();
            self.cached.clone_from(&self.durable);
            self.cached.resize(len, 0);
            for (first, run) in &self.runs {
                let from = (first * SECTOR).min(len);
                let to = (from + run.len()).min(len);
                self.cached[from..to].copy_from_slice(&run[..to - from]);
            }
        }
    }

    /// What the disk holds after any part of the unsynced has reached it.
    fn torn(&self, seed: &mut u64) -> Vec<u8> {
        let choices = self.lens.len() as u64 + 2;
        let len = match index(draw(seed) % choices) {
            0 => self.durable.len(),
            1 => self.cached.len(),
            at => self.lens[at - 2],
        };
        let mut bytes = self.durable.clone();
        bytes.resize(len, 0);
        // Everything, nothing, or a drawn share of the sectors.
        let share = [0, 100, 10, 50, 90][index(draw(seed) % 5)];
        let mut sectors: Vec<(usize, &[u8])> = self.sectors().collect();
        if share < 100 {
            for at in (1..sectors.len()).rev() {
                sectors.swap(at, index(draw(seed) % (at as u64 + 1)));
            }
        }
        for (sector, data) in sectors {
            let from = sector * SECTOR;
            let to = (from + data.len()).min(len);
            if draw(seed) % 100 < share && from < to {
                bytes[from..to].copy_from_slice(&data[..to - from]);
            }
        }
        bytes
    }

    /// The unsynced sectors in the order of their writing.
    fn sectors(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.runs.iter().flat_map(|(first, run)| {
            run.chunks(SECTOR).enumerate().map(move |(at, data)| (first + at, data))
        })
    }
}

fn crash(state: &State, seed: &mut u64) -> State {
    let choices = state.unsynced_names.len() as u64 + 1;
    let names = match state.unsynced_names.get(index(draw(seed) % choices)) {
        Some(earlier) => earlier.clone(),
        None => state.names.clone(),
    };
    // A file without a name is gone.
    let mut inodes = Vec::new();
    let names = names.into_iter().map(|(name, at)| {
        let bytes = state.inodes[at].torn(seed);
        inodes.push(Inode { durable: bytes.clone(), cached: bytes, ..Inode::default() });
        (name, inodes.len() - 1)
    });
    let names = names.collect();
    State { inodes, names, unsynced_names: Vec::new() }
}

fn no_power() -> io::Error {
    io::Error::other("the process that asks is dead")
}

/// SplitMix64 (Steele, Lea, Flood 2014).
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("a file in memory is no longer than memory")
}

impl Disk for SimDisk {
    fn dir(&self) -> &Path {
        Path::new("/sim")
    }

    fn len(&self, file: DiskFile) -> io::Result<Option<u64>> {
        let mut inner = self.lock();
        inner.read(file)?;
        Ok(inner.inode(file).ok().map(|inode| inode.cached.len() as u64))
    }

    fn read(&self, file: DiskFile, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut inner = self.lock();
        inner.read(file)?;
        let end = index(offset) + out.len();
        let bytes = inner.inode(file)?.cached.get(index(offset)..end);
        out.copy_from_slice(bytes.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&self, file: DiskFile, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inner = self.lock();
        inner.powered()?;
        let failed = inner.count(Call::Write, Some(file));
        // A write that fails has written a part, cut off at the end of any sector.
        let whole = data.len();
        let part = if failed.is_err() { inner.part(whole) / SECTOR * SECTOR } else { whole };
        inner.inode_or_new(file).write(index(offset), &data[..part]);
        inner.remember();
        failed
    }

    fn set_len(&self, file: DiskFile, len: u64) -> io::Result<()> {
        let mut inner = self.lock();
        inner.count(Call::SetLen, Some(file))?;
        inner.inode_or_new(file).set_len(index(len));
        inner.remember();
        Ok(())
    }

    fn sync(&self, file: DiskFile) -> io::Result<()> {
        let mut inner = self.lock();
        inner.powered()?;
        if let Err(error) = inner.count(Call::Sync, Some(file)) {
            if inner.is_off {
                return Err(error);
            }
            // As Linux does: the pages are marked clean, the cache still shows them, and no later
            // sync writes them. Some had been written.
            let mut seed = inner.dice ^ inner.made.len() as u64;
            let inode = inner.inode(file)?;
            inode.durable = inode.torn(&mut seed);
            inode.stale = true;
            inode.runs.clear();
            inode.lens.clear();
            inner.remember();
            return Err(error);
        }
        let calls = inner.made.len();
        let lies = file == DiskFile::Store
            && inner.lying_sync_every.is_some_and(|every| calls.is_multiple_of(every));
        if !lies {
            inner.inode(file)?.sync();
        }
        inner.remember();
        Ok(())
    }

    fn rename_draft(&self) -> io::Result<()> {
        let mut inner = self.lock();
        inner.count(Call::Rename, None)?;
        let mut names = inner.state.names.clone();
        let at = names.remove(DiskFile::WitnessDraft.name()).ok_or(ErrorKind::NotFound)?;
        names.insert(DiskFile::Witness.name(), at);
        inner.state.rename(names);
        inner.remember();
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut inner = self.lock();
        inner.count(Call::SyncDir, None)?;
        inner.state.unsynced_names.clear();
        inner.remember();
        Ok(())
    }

    fn uncache(&self) {
        if let Ok(inode) = self.lock().inode(DiskFile::Store) {
            inode.uncache();
        }
    }

    fn is_in_place(&self) -> io::Result<bool> {
        let inner = self.lock();
        inner.powered()?;
        Ok(inner.gone_from.is_none_or(|from| inner.made.len() < from))
    }
}
