//! What is reserved and not issued, and the books on what became of the rest.

use alloc::sync::Arc;

use crate::allocator::demand::Demand;
use crate::block::Block;
use crate::cursor::{Cursor, NEVER};
use crate::definition::Order;
use crate::limits::{ID_MIN, MARK_MAX};
use crate::record::{HandBack, Record};

/// Why reserved IDs were never issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Burn {
    /// Held by a process that did not stop cleanly; an upper bound, since how many of them it had
    /// issued died with it.
    Crash,
    /// Reserved by attempts whose outcome was never learnt.
    Indeterminate,
    /// Left at the end of a block when a range did not fit and the next block was not adjacent.
    Skipped,
    /// Skipped because somebody raised the sequence.
    Raise,
    /// Not handed back at a clean stop.
    Stop,
    /// Issued to a request that had gone.
    Abandoned,
    /// Given up because the sequence had to stop.
    Broken,
    /// Given up because another server may own the sequence.
    Fenced,
}

impl Burn {
    /// All reasons, in the order of their declaration.
    pub const ALL: [Self; 8] = [
        Self::Crash,
        Self::Indeterminate,
        Self::Skipped,
        Self::Raise,
        Self::Stop,
        Self::Abandoned,
        Self::Broken,
        Self::Fenced,
    ];

    /// The word for it in metrics and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Indeterminate => "indeterminate",
            Self::Skipped => "skipped",
            Self::Raise => "raise",
            Self::Stop => "stop",
            Self::Abandoned => "abandoned",
            Self::Broken => "broken",
            Self::Fenced => "fenced",
        }
    }
}

/// Burnt IDs by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Burnt([u64; Burn::ALL.len()]);

impl Burnt {
    /// How many for this reason.
    pub const fn get(&self, reason: Burn) -> u64 {
        self.0[reason as usize]
    }

    /// How many for all reasons together.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    fn add(&mut self, reason: Burn, ids: u64) {
        self.0[reason as usize] += ids;
    }
}

/// What became of IDs since the owner started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Given to requests.
    pub issued: u64,
    /// Lost, by reason.
    pub burnt: Burnt,
}

/// The blocks of one owner: the one under the cursor, and perhaps one beyond a hole.
///
/// Between two events of the allocator the cursor is open over `front` or there is no front. While
/// it is open `front` says what it was opened over, and the cursor says what is left of that.
#[derive(Debug)]
pub(super) struct Holding {
    cursor: Arc<Cursor>,
    open: bool,
    front: Option<Block>,
    beyond: Option<Block>,
    /// Nothing at or above it was ever seen to be reserved; the durable mark is not below it.
    mark: u64,
    /// The mark when everything is reserved: see [`Record::mark_max`].
    mark_max: u64,
    /// Whether other servers reserve from the same mark: what lies between two blocks is theirs, but
    /// for what attempts of unknown outcome may have reserved.
    shared: bool,
    /// IDs that attempts of unknown outcome have asked for since the last block.
    uncertain: u64,
    tally: Tally,
    /// IDs that were taken and then burnt as fenced.
    forgotten: u64,
    /// Whether the ID below `next_id` was issued or given up with this owner's knowledge.
    last_known: bool,
}

impl Holding {
    pub(super) fn new(cursor: Arc<Cursor>) -> Self {
        Self {
            cursor,
            open: false,
            front: None,
            beyond: None,
            mark: ID_MIN,
            mark_max: MARK_MAX,
            shared: false,
            uncertain: 0,
            tally: Tally::default(),
            forgotten: 0,
            last_known: false,
        }
    }

    /// Starts from what the store remembers.
    pub(super) fn begin(&mut self, record: &Record) {
        self.mark = record.mark;
        self.mark_max = record.mark_max();
        self.shared = record.definition.order == Order::Loose;
        self.last_known = record.unaccounted() == 0;
        self.burn(Burn::Crash, record.unaccounted());
    }

    pub(super) const fn mark(&self) -> u64 {
        self.mark
    }

    /// The next ID, as far as this owner knows.
    pub(super) fn next_id(&self) -> u64 {
        match self.open.then(|| self.position()) {
            Some(position) if position < self.front_end() => position,
            // The open cursor is spent, so the next ID lies beyond the hole, or is not yet reserved.
            Some(_) => self.beyond.map_or(self.mark, Block::start),
            None => self.front.or(self.beyond).map_or(self.mark, Block::start),
        }
    }

    /// Where the open cursor is.
    fn position(&self) -> u64 {
        self.cursor.position().expect("only the owner closes")
    }

    fn front_end(&self) -> u64 {
        self.front.map_or(0, Block::end)
    }

    pub(super) fn last_id(&self) -> Option<u64> {
        let next = self.next_id();
        let known = self.last_known || self.tally().issued > 0;
        (known && next > ID_MIN).then_some(next - 1)
    }

    /// Everything below it is issued or given up.
    pub(super) fn spent(&self) -> u64 {
        // Takes may go on meanwhile: whatever is held after this is not below it.
        let next = self.next_id();
        if self.held() == 0 { self.mark } else { next }
    }

    fn front_left(&self) -> u64 {
        let spent = if self.open {
            self.position()
        } else {
            return self.front.map_or(0, Block::len);
        };
        self.front_end().saturating_sub(spent)
    }

    pub(super) fn held(&self) -> u64 {
        self.front_left() + self.beyond.map_or(0, Block::len)
    }

    /// Whether a refill may be fetched: at most one block is held beyond the one being spent.
    pub(super) const fn has_room(&self) -> bool {
        self.beyond.is_none()
    }

    pub(super) fn tally(&self) -> Tally {
        let mut tally = self.tally;
        if self.open {
            let start = self.front.expect("an open cursor has a block").start();
            tally.issued += self.position() - start;
        }
        // Only here, where what was taken from the open cursor is counted as well: what went to
        // nobody may be a part of that.
        tally.issued -= tally.burnt.get(Burn::Abandoned) + self.forgotten;
        tally
    }

    pub(super) fn burn(&mut self, reason: Burn, ids: u64) {
        self.tally.burnt.add(reason, ids);
    }

    pub(super) fn undelivered(&mut self, block: Block) {
        self.burn(Burn::Abandoned, block.len());
    }

    pub(super) fn forget(&mut self, taken: Block) {
        self.forgotten += taken.len();
        self.burn(Burn::Fenced, taken.len());
    }

    /// Stops all takes; `front` is then what is left.
    pub(super) fn close(&mut self) {
        if !self.open {
            return;
        }
        self.open = false;
        let front = self.front.take().expect("an open cursor has a block");
        self.front = self.cursor.close();
        self.tally.issued += front.len() - self.front.map_or(0, Block::len);
    }

    /// Lets takes go on, over the block beyond if the front is spent. Returns whether a refill is
    /// due already.
    pub(super) fn open(&mut self, demand: &Demand) -> bool {
        if self.front_left() == 0 && self.beyond.is_some() {
            self.close();
            self.front = self.beyond.take();
        }
        if self.open {
            return false;
        }
        let Some(front) = self.front else {
            return false;
        };
        self.open = true;
        self.cursor.open(front, self.refill_at(front, demand))
    }

    fn refill_at(&self, front: Block, demand: &Demand) -> u64 {
        let wanted = demand.refills_ahead() && self.beyond.is_none() && front.end() < self.mark_max;
        // Early in the ID space the low-water mark may be longer than all that lies below the end.
        if wanted { front.end().saturating_sub(demand.low_water()) } else { NEVER }
    }

    /// An attempt to reserve `len` IDs has ended, and nobody knows how.
    pub(super) const fn doubt(&mut self, len: u64) {
        self.uncertain = self.uncertain.saturating_add(len);
    }

    /// Books what lies between the mark and `start`, where the next block begins or all ends:
    /// nobody will ever issue it.
    pub(super) fn book_hole_before(&mut self, start: u64) {
        let hole = start.saturating_sub(self.mark);
        let uncertain = core::mem::take(&mut self.uncertain);
        self.burn(Burn::Indeterminate, if self.shared { hole.min(uncertain) } else { hole });
    }

    /// Takes over a block that the store has made durable. `nobody_waits` says that an adjacent
    /// block can be put under the open cursor as it is. Returns whether a refill is due already.
    pub(super) fn adopt(&mut self, block: Block, nobody_waits: bool, demand: &Demand) -> bool {
        let adjacent = self.front.is_some_and(|front| front.end() == block.start());
        self.mark = self.mark.max(block.end());
        if adjacent && self.open && nobody_waits {
            return self.extend(block, demand);
        }
        self.close();
        self.append(block);
        false
    }

    /// A deliberate bug: spends `block` before what is held.
    pub(super) fn put_in_front(&mut self, block: Block) {
        self.mark = self.mark.max(block.end());
        self.close();
        self.beyond = self.front.replace(block).or(self.beyond);
    }

    fn extend(&mut self, block: Block, demand: &Demand) -> bool {
        let front = self.front.expect("an open cursor has a block");
        let whole = Block::new(front.start(), block.end()).expect("adjacent blocks make a block");
        self.front = Some(whole);
        self.cursor.extend(block, self.refill_at(whole, demand))
    }

    /// Puts `block` behind what is held. The cursor is closed.
    fn append(&mut self, block: Block) {
        let joined = |held: Block| {
            (held.end() == block.start()).then(|| Block::new(held.start(), block.end())).flatten()
        };
        match (self.front, self.beyond) {
            (None, None) => self.front = Some(block),
            (Some(front), None) => match joined(front) {
                Some(whole) => self.front = Some(whole),
                None => self.beyond = Some(block),
            },
            (front, Some(beyond)) => match joined(beyond) {
                Some(whole) => self.beyond = Some(whole),
                // Three pieces: a request too long for the second made a third be reserved. The
                // first gives way; it is the oldest, so the order holds.
                None => {
                    self.burn(Burn::Skipped, front.map_or(0, Block::len));
                    self.front = self.beyond.replace(block);
                }
            },
        }
    }

    /// Draws `count` contiguous IDs for a request that waited. The cursor is closed.
    pub(super) fn draw(&mut self, count: u64) -> Option<Block> {
        loop {
            let front = match self.front {
                Some(front) => front,
                None => self.beyond.take()?,
            };
            self.front = Some(front);
            if let Some((drawn, rest)) = front.split(count) {
                self.front = rest;
                self.tally.issued += drawn.len();
                return Some(drawn);
            }
            // Only if the block beyond will do: otherwise smaller requests may still use this one.
            if self.beyond?.len() < count {
                return None;
            }
            self.burn(Burn::Skipped, front.len());
            self.front = None;
        }
    }

    /// Gives up all held IDs below `floor`, which is at most the mark. `false`, and nothing is
    /// given up, if `floor` is below the next ID.
    pub(super) fn skip_to(&mut self, floor: u64) -> bool {
        self.close();
        if floor < self.next_id() {
            return false;
        }
        let before = self.held();
        self.front = self.front.and_then(|block| block.at_or_above(floor));
        self.beyond = self.beyond.and_then(|block| block.at_or_above(floor));
        self.burn(Burn::Raise, before - self.held());
        self.last_known = true;
        true
    }

    /// The durable mark is now `mark`, above all that is held.
    pub(super) fn raise(&mut self, mark: u64) {
        self.burn_all(Burn::Raise);
        self.mark = mark;
        self.last_known = true;
    }

    /// There is no ID left to reserve.
    pub(super) fn exhaust(&mut self) {
        self.book_hole_before(self.mark_max);
        self.mark = self.mark_max;
    }

    /// Whether nothing can be reserved any more.
    pub(super) const fn is_exhausted(&self) -> bool {
        self.mark == self.mark_max
    }

    pub(super) fn burn_all(&mut self, reason: Burn) {
        self.close();
        let held = self.held();
        self.burn(reason, held);
        self.front = None;
        self.beyond = None;
    }

    /// Where the block under the cursor began, its issued part included.
    pub(super) fn opened_at(&self) -> Option<u64> {
        self.front.filter(|_| self.open).map(Block::start)
    }

    /// Ends: what can be handed back (the last block, if nothing was reserved beyond it) is
    /// returned, the rest is burnt.
    pub(super) fn give_up(&mut self) -> HandBack {
        self.close();
        let last = self.beyond.take().or_else(|| self.front.take());
        let front = self.front.take().map_or(0, Block::len);
        self.burn(Burn::Stop, front);
        match last {
            Some(last) if last.end() == self.mark => {
                HandBack { start: last.start(), end: last.end(), turn: 0 }
            }
            Some(last) => {
                self.burn(Burn::Stop, last.len());
                HandBack { start: self.mark, end: self.mark, turn: 0 }
            }
            None => HandBack { start: self.mark, end: self.mark, turn: 0 },
        }
    }
}
