//! A disk in memory that forgets what was not synced, and fails when told to.
//!
//! What is written but not synced is a log of 512-byte sectors. After a crash any subset of it may
//! have reached the disk, each sector as any of its unsynced versions; the length is any that the
//! file had since the last sync; of the renames and new names any first part has happened.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use ticketd_store::embedded::{Disk, DiskFile};

use super::checker::draw;

const SECTOR: usize = 512;

/// One file, apart from its name.
#[derive(Debug, Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    /// What reads see.
    cached: Vec<u8>,
    /// Unsynced sectors in the order of their writing.
    sectors: Vec<(usize, Vec<u8>)>,
    /// Unsynced lengths.
    lens: Vec<usize>,
}

type Names = BTreeMap<&'static str, usize>;

/// Everything that a crash leaves a part of.
#[derive(Debug, Clone, Default)]
pub struct State {
    inodes: Vec<Inode>,
    durable_names: Names,
    /// The names now, and every earlier state of them since the last sync of the directory.
    names: Names,
    unsynced_names: Vec<Names>,
}

/// The calls that change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Write,
    SetLen,
    Sync,
    Rename,
    SyncDir,
}

/// What goes wrong, and from which call on.
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
    /// The index of the first changing call that it touches.
    pub from: usize,
    /// How many changing calls it touches.
    pub calls: usize,
    /// Which of them it touches.
    pub call: Call,
    pub error: ErrorKind,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    calls: usize,
    /// What each changing call was.
    made: Vec<Call>,
    history: Option<Vec<(State, usize)>>,
    acknowledged: usize,
    trouble: Option<Trouble>,
    touched: usize,
    /// Every so many syncs of the store do nothing and say that they did.
    lying_sync_every: Option<usize>,
    gone_from: Option<usize>,
}

/// The disk; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
}

impl SimDisk {
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk that holds what a crash of `state` leaves, as `seed` decides.
    pub fn after_crash(state: &State, mut seed: u64) -> Self {
        let disk = Self::new();
        disk.lock().state = crash(state, &mut seed);
        disk
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    pub fn restore(&self, state: &State) {
        self.lock().state = state.clone();
    }

    /// Keeps the state after each changing call from now on.
    pub fn keep_history(&self) {
        let mut inner = self.lock();
        let first = (inner.state.clone(), inner.acknowledged);
        inner.history = Some(vec![first]);
    }

    /// The state after each changing call, and how many steps had been acknowledged by then.
    pub fn history(&self) -> Vec<(State, usize)> {
        self.lock().history.take().unwrap()
    }

    /// Tells the history that one more step was acknowledged.
    pub fn acknowledge(&self) {
        self.lock().acknowledged += 1;
    }

    pub fn fail(&self, trouble: Trouble) {
        self.lock().trouble = Some(trouble);
    }

    /// Mends the disk; returns how many calls had failed.
    pub fn mend(&self) -> usize {
        let mut inner = self.lock();
        inner.trouble = None;
        inner.touched
    }

    /// What each changing call was, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().made.clone()
    }

    pub fn lie_at_every_sync(&self, every: usize) {
        self.lock().lying_sync_every = Some(every);
    }

    /// As if the directory was deleted under the open store after so many more changing calls.
    pub fn remove_dir_after(&self, calls: usize) {
        let mut inner = self.lock();
        inner.gone_from = Some(inner.calls + calls);
    }

    /// The cached bytes of a file.
    pub fn bytes(&self, file: DiskFile) -> Option<Vec<u8>> {
        let inner = self.lock();
        let at = *inner.state.names.get(file.name())?;
        Some(inner.state.inodes[at].cached.clone())
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
    fn count(&mut self, call: Call) -> io::Result<()> {
        let index = self.calls;
        self.calls += 1;
        self.made.push(call);
        let Some(trouble) = self.trouble else {
            return Ok(());
        };
        let touches = (trouble.from..trouble.from + trouble.calls).contains(&index);
        if !touches || trouble.call != call {
            return Ok(());
        }
        self.touched += 1;
        Err(trouble.error.into())
    }

    fn remember(&mut self) {
        let now = (self.state.clone(), self.acknowledged);
        if let Some(history) = &mut self.history {
            history.push(now);
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
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(self.cached.len());
            self.sectors.push((sector, self.cached[from..to].to_vec()));
        }
    }

    fn set_len(&mut self, len: usize) {
        self.lens.push(self.cached.len());
        self.cached.resize(len, 0);
    }

    fn sync(&mut self) {
        self.durable = self.cached.clone();
        self.sectors.clear();
        self.lens.clear();
    }

    /// What the disk holds after any part of the unsynced has reached it.
    fn torn(&self, seed: &mut u64) -> Vec<u8> {
        let choices = self.lens.len() as u64 + 2;
        let len = match usize::try_from(draw(seed) % choices).unwrap() {
            0 => self.durable.len(),
            1 => self.cached.len(),
            at => self.lens[at - 2],
        };
        let mut bytes = self.durable.clone();
        bytes.resize(len, 0);
        // Everything, nothing, or a drawn share of the sectors.
        let share = [0, 100, 10, 50, 90][usize::try_from(draw(seed) % 5).unwrap()];
        let mut order: Vec<usize> = (0..self.sectors.len()).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, usize::try_from(draw(seed) % (at as u64 + 1)).unwrap());
        }
        if share == 100 {
            order.sort_unstable();
        }
        for at in order {
            if draw(seed) % 100 >= share {
                continue;
            }
            let (sector, data) = &self.sectors[at];
            let from = sector * SECTOR;
            let to = (from + data.len()).min(len);
            if from < to {
                bytes[from..to].copy_from_slice(&data[..to - from]);
            }
        }
        bytes
    }
}

fn crash(state: &State, seed: &mut u64) -> State {
    let choices = state.unsynced_names.len() as u64 + 1;
    let names = match state.unsynced_names.get(usize::try_from(draw(seed) % choices).unwrap()) {
        Some(earlier) => earlier.clone(),
        None => state.names.clone(),
    };
    let inodes = state
        .inodes
        .iter()
        .map(|inode| {
            let bytes = inode.torn(seed);
            Inode { durable: bytes.clone(), cached: bytes, ..Inode::default() }
        })
        .collect();
    State { inodes, durable_names: names.clone(), names, unsynced_names: Vec::new() }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

impl Disk for SimDisk {
    fn dir(&self) -> &Path {
        Path::new("/sim")
    }

    fn len(&self, file: DiskFile) -> io::Result<Option<u64>> {
        Ok(self.lock().inode(file).ok().map(|inode| inode.cached.len() as u64))
    }

    fn read(&self, file: DiskFile, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut inner = self.lock();
        let end = index(offset) + out.len();
        let bytes = inner.inode(file)?.cached.get(index(offset)..end);
        out.copy_from_slice(bytes.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&self, file: DiskFile, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inner = self.lock();
        let failed = inner.count(Call::Write);
        // A write that fails has written a part, cut off at the end of any sector.
        let part = if failed.is_err() {
            let mut seed = inner.calls as u64;
            index(draw(&mut seed) % (data.len() as u64 + 1)) / SECTOR * SECTOR
        } else {
            data.len()
        };
        inner.inode_or_new(file).write(index(offset), &data[..part]);
        inner.remember();
        failed
    }

    fn set_len(&self, file: DiskFile, len: u64) -> io::Result<()> {
        let mut inner = self.lock();
        inner.count(Call::SetLen)?;
        inner.inode_or_new(file).set_len(index(len));
        inner.remember();
        Ok(())
    }

    fn sync(&self, file: DiskFile) -> io::Result<()> {
        let mut inner = self.lock();
        if let Err(error) = inner.count(Call::Sync) {
            // As Linux does: the pages are marked clean, the cache still shows them, and no later
            // sync writes them. Some had been written.
            let mut seed = inner.calls as u64;
            let inode = inner.inode(file)?;
            inode.durable = inode.torn(&mut seed);
            inode.sectors.clear();
            inode.lens.clear();
            inner.remember();
            return Err(error);
        }
        let lies = file == DiskFile::Store
            && inner.lying_sync_every.is_some_and(|every| inner.calls.is_multiple_of(every));
        if !lies {
            inner.inode(file)?.sync();
        }
        inner.remember();
        Ok(())
    }

    fn rename_draft(&self) -> io::Result<()> {
        let mut inner = self.lock();
        inner.count(Call::Rename)?;
        let mut names = inner.state.names.clone();
        let at = names.remove(DiskFile::WitnessDraft.name()).ok_or(ErrorKind::NotFound)?;
        names.insert(DiskFile::Witness.name(), at);
        inner.state.rename(names);
        inner.remember();
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut inner = self.lock();
        inner.count(Call::SyncDir)?;
        inner.state.durable_names = inner.state.names.clone();
        inner.state.unsynced_names.clear();
        inner.remember();
        Ok(())
    }

    fn uncache(&self) {
        let mut inner = self.lock();
        for inode in &mut inner.state.inodes {
            // What is dirty stays; what is clean is read from the disk again.
            if inode.sectors.is_empty() && inode.lens.is_empty() {
                inode.cached = inode.durable.clone();
            }
        }
    }

    fn is_in_place(&self) -> io::Result<bool> {
        let inner = self.lock();
        Ok(inner.gone_from.is_none_or(|from| inner.calls < from))
    }
}
