//! The books of one life of the server, kept a second time.
//!
//! From what the store told the server and what the server told its clients follows how many IDs it
//! must hold, and why each other one was burnt. The allocator's own books must say the same after
//! every step, and its questions to the store must fit them.

use std::collections::VecDeque;

use ticketd_core::allocator::{Burn, Observation};
use ticketd_core::block::Block;
use ticketd_core::limits::ID_MIN;
use ticketd_core::record::{HandBack, Record, Reserve};

use crate::explore::stats::Mark;

/// How many runs of IDs a server holds at most: the one being spent and one beyond a hole.
const RUNS_MAX: usize = 2;

/// What one life of the server holds of one sequence, and what became of the rest.
#[derive(Debug)]
pub(in crate::explore) struct Ledger {
    /// What is held: `[start, end)`, rising, neither empty nor adjacent.
    runs: VecDeque<(u64, u64)>,
    /// Nothing at or above it is known to be reserved.
    known: u64,
    opened: bool,
    issued: u64,
    burnt: [u64; Burn::ALL.len()],
    last: u64,
    handing_back: u64,
    /// IDs of all blocks that the server was told of.
    delivered: u64,
    handed_back: u64,
    /// IDs that those who wait want, and the most that it ever was.
    waiting: u64,
    waiting_most: u64,
    /// Nothing has disturbed this life: a stop leaves no gap.
    calm: bool,
}

impl Ledger {
    pub(in crate::explore) const fn new() -> Self {
        Self {
            runs: VecDeque::new(),
            known: ID_MIN,
            opened: false,
            issued: 0,
            burnt: [0; Burn::ALL.len()],
            last: 0,
            handing_back: 0,
            delivered: 0,
            handed_back: 0,
            waiting: 0,
            waiting_most: 0,
            calm: true,
        }
    }

    pub(in crate::explore) fn held(&self) -> u64 {
        self.runs.iter().map(|(start, end)| end - start).sum()
    }

    /// The most contiguous IDs that are held.
    pub(in crate::explore) fn longest(&self) -> u64 {
        self.runs.iter().map(|(start, end)| end - start).max().unwrap_or(0)
    }

    /// The next ID that can be issued.
    pub(in crate::explore) fn next(&self) -> u64 {
        self.runs.front().map_or(self.known, |run| run.0)
    }

    /// The first ID that the server does not know to be reserved.
    pub(in crate::explore) const fn known(&self) -> u64 {
        self.known
    }

    pub(super) const fn is_open(&self) -> bool {
        self.opened
    }

    pub(super) const fn handing_back(&self) -> u64 {
        self.handing_back
    }

    /// The last ID that this life has issued; 0 if none.
    pub(in crate::explore) const fn last(&self) -> u64 {
        self.last
    }

    pub(in crate::explore) const fn is_calm(&self) -> bool {
        self.calm
    }

    pub(in crate::explore) const fn disturb(&mut self) {
        self.calm = false;
    }

    /// IDs given up by this life, those that a crash takes now included; and those of all blocks
    /// that it was told of.
    pub(in crate::explore) fn closed(&self) -> Closed {
        let own = [Burn::Skipped, Burn::Raise, Burn::Stop, Burn::Broken];
        let burnt: u64 = own.iter().map(|&reason| self.burnt[reason as usize]).sum();
        Closed {
            delivered: self.delivered,
            lost: burnt + self.held() + self.handing_back,
            handed_back: self.handed_back,
        }
    }

    pub(in crate::explore) fn wait(&mut self, count: u64) {
        self.waiting += count;
        self.waiting_most = self.waiting_most.max(self.waiting);
    }

    pub(in crate::explore) const fn wait_no_more(&mut self, count: u64) {
        self.waiting -= count;
    }

    /// The most that may be held with blocks of `len`. Each reservation is for one block and for
    /// those who wait. Who waits finds both runs too short, so each is shorter than what is wanted,
    /// and a third part comes on top when whoever wanted it has left meanwhile. A low-water mark
    /// that is reported late adds one more; with 1 nothing is reserved ahead.
    pub(in crate::explore) fn bound(&self, len: u64) -> u64 {
        let each = len.saturating_add(self.waiting_most);
        if len == 1 { 3 * each } else { 4 * each }
    }

    fn burn(&mut self, reason: Burn, ids: u64) {
        self.burnt[reason as usize] += ids;
    }

    pub(in crate::explore) fn opened(&mut self, record: &Record) {
        self.opened = true;
        self.known = record.mark;
        self.burn(Burn::Crash, record.mark - record.spent);
    }

    /// The server is told of a block. Returns what is worth marking.
    pub(in crate::explore) fn reserved(&mut self, block: Block) -> Option<Mark> {
        self.delivered += block.len();
        let hole = block.start().saturating_sub(self.known);
        self.burn(Burn::Indeterminate, hole);
        self.calm &= hole == 0;
        self.known = self.known.max(block.end());
        match self.runs.back_mut() {
            Some(run) if run.1 == block.start() => {
                run.1 = block.end();
                return Some(Mark::Extended);
            }
            _ => self.runs.push_back((block.start(), block.end())),
        }
        if self.runs.len() > RUNS_MAX {
            let (start, end) = self.runs.pop_front().expect("more than two");
            self.burn(Burn::Skipped, end - start);
            return Some(Mark::ThirdPiece);
        }
        if self.runs.len() == RUNS_MAX {
            return Some(Mark::BeyondHole);
        }
        (hole > 0).then_some(Mark::HoleBurn)
    }

    /// Nothing is left to reserve: the mark is this.
    pub(in crate::explore) fn exhausted(&mut self, mark_max: u64) {
        self.burn(Burn::Indeterminate, mark_max.saturating_sub(self.known));
        self.known = mark_max;
    }

    /// The server is told that its store must not be trusted any more.
    pub(in crate::explore) fn broken(&mut self) {
        self.calm = false;
        self.burn(Burn::Broken, self.held());
        self.runs.clear();
    }

    /// The server is told that the mark was raised.
    pub(in crate::explore) fn raised(&mut self, mark: u64) {
        self.calm = false;
        self.burn(Burn::Raise, self.held());
        self.runs.clear();
        self.known = mark;
    }

    /// The server tells a client that nothing below `floor` will be issued. Returns what is worth
    /// marking.
    pub(in crate::explore) fn acknowledge(&mut self, floor: u64) -> Option<Mark> {
        self.calm = false;
        let before = self.held();
        self.runs.retain_mut(|run| {
            run.0 = run.0.max(floor);
            run.0 < run.1
        });
        let skipped = before - self.held();
        self.burn(Burn::Raise, skipped);
        (skipped > 0).then_some(Mark::RaiseBurn)
    }

    /// IDs are issued: they must be the next, or the next that suffice. Returns what is worth
    /// marking.
    pub(in crate::explore) fn issue(&mut self, block: Block) -> Result<Option<Mark>, String> {
        self.issued += block.len();
        self.last = self.last.max(block.last());
        let mut mark = None;
        if self.runs.front().is_some_and(|run| run.1 - run.0 < block.len()) && self.runs.len() > 1 {
            let (start, end) = self.runs.pop_front().expect("two of them");
            self.burn(Burn::Skipped, end - start);
            self.calm = false;
            mark = Some(Mark::RestSkipped);
        }
        match self.runs.front_mut() {
            Some(run) if run.0 == block.start() && block.end() <= run.1 => {
                run.0 = block.end();
                if run.0 == run.1 {
                    self.runs.pop_front();
                }
                Ok(mark)
            }
            next => Err(format!("{block} is issued, but next are {next:?}")),
        }
    }

    pub(in crate::explore) fn undelivered(&mut self, block: Block) {
        self.burn(Burn::Abandoned, block.len());
    }

    /// The server asks the store for a block.
    pub(in crate::explore) fn asks(&self, asked: Reserve) -> Result<(), String> {
        if asked.floor == self.known && asked.spent <= self.next() && asked.len > 0 {
            return Ok(());
        }
        Err(format!("{asked:?} is asked for: known mark {}, next {}", self.known, self.next()))
    }

    /// The server gives up and hands the rest back.
    pub(in crate::explore) fn hand_back(&mut self, unissued: HandBack) -> Result<(), String> {
        let last = self.runs.pop_back().unwrap_or((self.known, self.known));
        self.burn(Burn::Stop, self.held());
        self.runs.clear();
        let right = if last.1 == self.known { last } else { (self.known, self.known) };
        if right != last {
            self.burn(Burn::Stop, last.1 - last.0);
        }
        self.handing_back = right.1 - right.0;
        if (unissued.start, unissued.end) == right {
            return Ok(());
        }
        Err(format!("{unissued:?} is handed back, but what is held is {right:?}"))
    }

    /// The server is told whether the store took it back.
    pub(in crate::explore) fn handed_back(&mut self, done: bool) {
        let ids = std::mem::take(&mut self.handing_back);
        if done {
            self.handed_back += ids;
        } else {
            self.burn(Burn::Stop, ids);
        }
    }

    /// The allocator's own books.
    pub(in crate::explore) fn compare(&self, seen: &Observation) -> Result<(), String> {
        if !self.opened {
            return Ok(());
        }
        let burnt = Burn::ALL.map(|reason| seen.tally.burnt.get(reason));
        let abandoned = self.burnt[Burn::Abandoned as usize];
        let theirs = (seen.held, seen.tally.issued, seen.mark, burnt);
        let ours = (self.held(), self.issued - abandoned, self.known, self.burnt);
        if theirs == ours && seen.next > self.last && seen.next <= self.next() {
            return Ok(());
        }
        Err(format!(
            "the allocator's books say held, issued, mark, burnt: {theirs:?}, ours: {ours:?}; its \
             next {}, ours {} after {}",
            seen.next,
            self.next(),
            self.last
        ))
    }
}

/// What became of the blocks of a life, in sum.
#[derive(Debug, Clone, Copy)]
pub(in crate::explore) struct Closed {
    pub(in crate::explore) delivered: u64,
    pub(in crate::explore) lost: u64,
    pub(in crate::explore) handed_back: u64,
}
