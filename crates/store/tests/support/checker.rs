//! What was promised, and whether a store that was opened again keeps it.

use ticketd_core::block::Block;
use ticketd_core::definition::Definition;
use ticketd_core::name::Name;
use ticketd_core::record::{HandBack, Reserve};
use ticketd_store::{Embedded, Store, StoreError};

/// The sequences of the workloads.
pub const NAMES: [&str; 3] = ["notes", "tasks/eu:1", "z"];

/// What one sequence's callers have been promised.
#[derive(Debug, Clone, Default)]
pub struct Promise {
    /// Whether making it was acknowledged.
    pub made: bool,
    /// IDs that were issued, or may have been: acknowledged blocks without what was handed back.
    pub held: Vec<(u64, u64)>,
    /// The highest acknowledged raise.
    pub floor: u64,
}

/// What all callers have been promised.
#[derive(Debug, Clone, Default)]
pub struct Promises {
    sequences: [Promise; NAMES.len()],
    /// The last acknowledged block of each sequence, of which the rest may be handed back.
    last: [Option<Block>; NAMES.len()],
}

/// What a workload does next.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    Create,
    Reserve(u64),
    Raise(u64),
    HandBack,
}

/// SplitMix64.
pub fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub fn name(at: usize) -> Name {
    Name::new(NAMES[at]).unwrap()
}

/// The steps of a workload: each sequence is made first, the rest is drawn.
pub fn workload(seed: u64, len: usize) -> Vec<(usize, Step)> {
    let mut state = seed;
    let mut steps: Vec<_> = (0..NAMES.len()).map(|at| (at, Step::Create)).collect();
    for _ in 0..len {
        let at = usize::try_from(draw(&mut state) % 3).unwrap();
        let step = match draw(&mut state) % 10 {
            0 => Step::Create,
            1 => Step::Raise(draw(&mut state) % 2000),
            2 | 3 => Step::HandBack,
            _ => Step::Reserve(1 + draw(&mut state) % 40),
        };
        steps.push((at, step));
    }
    steps
}

impl Promises {
    /// Does one step and writes down what was promised.
    ///
    /// # Panics
    /// If the store gives out an ID that is held.
    pub async fn step(
        &mut self,
        store: &Embedded,
        at: usize,
        step: Step,
    ) -> Result<(), StoreError> {
        let name = name(at);
        match step {
            Step::Create => {
                store.create(&name, Definition::default()).await?;
                self.sequences[at].made = true;
            }
            Step::Reserve(len) => {
                let asked = Reserve { floor: 1, len, spent: 1, generation: 0, turn: 0 };
                let block = store.reserve(&name, asked).await?;
                self.hold(at, block).unwrap_or_else(|broken| panic!("{broken}"));
            }
            Step::Raise(floor) => {
                let mark = store.raise(&name, floor).await?;
                assert!(mark >= floor, "a raise to {floor} left the mark at {mark}");
                self.sequences[at].floor = self.sequences[at].floor.max(floor);
            }
            Step::HandBack => self.hand_back(store, at).await?,
        }
        Ok(())
    }

    /// Gives back the second half of the last block. Once it is asked nobody holds that half any
    /// more, whatever comes of it.
    async fn hand_back(&mut self, store: &Embedded, at: usize) -> Result<(), StoreError> {
        let Some(unissued) = self.give_up(at) else {
            return Ok(());
        };
        store.hand_back(&name(at), unissued).await?;
        Ok(())
    }

    fn give_up(&mut self, at: usize) -> Option<HandBack> {
        let block = self.last[at].take()?;
        // Nothing below an acknowledged raise may be issued, so nothing below it is handed back.
        let middle = (block.start() + block.len() / 2).max(self.sequences[at].floor);
        if middle >= block.end() {
            return None;
        }
        let held = &mut self.sequences[at].held;
        held.retain(|&(start, end)| (start, end) != (block.start(), block.end()));
        if middle > block.start() {
            held.push((block.start(), middle));
        }
        Some(HandBack { start: middle, end: block.end(), turn: 0 })
    }

    /// What is still promised while a hand-back is in flight.
    pub fn giving_up(mut self, at: usize) -> Self {
        self.give_up(at);
        self
    }

    fn hold(&mut self, at: usize, block: Block) -> Result<(), String> {
        let promise = &mut self.sequences[at];
        for &(start, end) in &promise.held {
            if block.start() < end && start < block.end() {
                return Err(format!("{} gave {block} but [{start}, {end}) is held", NAMES[at]));
            }
        }
        if block.start() < promise.floor {
            return Err(format!("{} gave {block} below the floor {}", NAMES[at], promise.floor));
        }
        promise.held.push((block.start(), block.end()));
        self.last[at] = Some(block);
        Ok(())
    }

    /// Whether the store keeps the promises, by its marks, which no block can start below; returns
    /// the sequences that there are.
    pub async fn check_marks(&self, store: &Embedded) -> Result<Vec<usize>, String> {
        let mut there = Vec::new();
        for (at, promise) in self.sequences.iter().enumerate() {
            let name = name(at);
            let highest = promise.held.iter().map(|&(_, end)| end).max().unwrap_or(1);
            match store.read(&name).await.map_err(told)? {
                Some(record) if record.mark < highest.max(promise.floor) => {
                    return Err(format!("{name} has mark {}, {highest} was held", record.mark));
                }
                None if promise.made => return Err(format!("{name} was made and is gone")),
                Some(_) => there.push(at),
                None => {}
            }
        }
        Ok(there)
    }

    /// The same, and then reserves from every sequence and compares.
    pub async fn check(&self, store: &Embedded) -> Result<(), String> {
        let there = self.check_marks(store).await?;
        // All are asked before the first is awaited, so that they share a commit.
        let asked = Reserve { floor: 1, len: 100, spent: 1, generation: 0, turn: 0 };
        let calls: Vec<_> =
            there.into_iter().map(|at| (at, store.reserve(&name(at), asked))).collect();
        let mut after = self.clone();
        for (at, call) in calls {
            after.hold(at, call.await.map_err(told)?)?;
        }
        Ok(())
    }

    /// How many blocks are held.
    pub fn count(&self) -> usize {
        self.sequences.iter().map(|promise| promise.held.len()).sum()
    }
}

fn told(error: StoreError) -> String {
    error.to_failure().to_string()
}

/// Runs `future` on this thread; what it waits for comes from the store's own.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}
