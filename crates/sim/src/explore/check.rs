//! The checkers: each sees what clients and the durable image show, none looks into the server.
//!
//! | checker | holds that |
//! | --- | --- |
//! | unique | no ID is issued twice |
//! | durable | what is issued was durably reserved, at the moment of the answer |
//! | order | what was answered before another request was made is smaller |
//! | raise | a raise is durable when acknowledged, and nothing below it follows |
//! | range | a range has the length asked for |
//! | refusal | a refusal is of a kind that the moment allows, and in time |
//! | ledger | the allocator's books are right, and it holds no more than it should |
//! | successor | a stop that nothing disturbed leaves no gap |
//! | accounts | what is booked as burnt by a crash is what the crash took, and what cannot be told from it |
//! | gaps | every ID that was not issued is accounted for |
//! | liveness | everybody is answered, and with success once all is well |
//! | assertion | nothing in the core panics |

mod accounts;
mod durable;
mod gaps;
mod intervals;
mod ledger;
mod order;
mod refusal;
mod unique;

use ticketd_core::allocator::{Observation, Refusal};
use ticketd_core::block::Block;
use ticketd_core::limits::MARK_MAX;
use ticketd_core::record::{HandBack, Record, Reserve};

use super::stats::Mark;
use super::store::Effect;
use accounts::Accounts;
pub(super) use durable::Durable;
pub(super) use gaps::Gaps;
pub(super) use intervals::Intervals;
pub(super) use ledger::Ledger;
pub(super) use order::Known;
pub(super) use refusal::Refused;
pub(super) use unique::Unique;

/// What a checker has found: its name, and what is wrong.
pub(super) type Found = (&'static str, String);

/// All checkers of one sequence.
#[derive(Debug)]
struct Sequence {
    unique: Unique,
    durable: Durable,
    known: Known,
    ledger: Ledger,
    gaps: Gaps,
    accounts: Accounts,
    /// The ID that must be issued next, after a stop that nothing disturbed.
    successor: Option<u64>,
}

/// All checkers. The first thing that one finds is kept.
#[derive(Debug)]
pub(super) struct Checks {
    sequences: Vec<Sequence>,
    found: Option<Found>,
    /// Checkers that are not listened to.
    ignored: &'static [&'static str],
}

/// The checkers that compare the allocator's own books with others.
#[cfg(feature = "mutants")]
const BOOKS: &[&str] = &["ledger", "gaps", "accounts"];

impl Checks {
    pub(super) fn new<'a>(records: impl Iterator<Item = &'a Record>) -> Self {
        let sequences = records.map(|record| Sequence {
            unique: Unique::default(),
            durable: Durable::new(record),
            known: Known::default(),
            ledger: Ledger::new(),
            gaps: Gaps::new(record.mark),
            accounts: Accounts::default(),
            successor: None,
        });
        Self { sequences: sequences.collect(), found: None, ignored: &[] }
    }

    /// Listens no more to those who compare the allocator's books.
    #[cfg(feature = "mutants")]
    pub(super) fn without_books(self) -> Self {
        Self { ignored: BOOKS, ..self }
    }

    pub(super) fn find(&mut self, checker: &'static str, message: String) {
        if !self.ignored.contains(&checker) {
            self.found.get_or_insert((checker, message));
        }
    }

    pub(super) const fn has_found(&self) -> bool {
        self.found.is_some()
    }

    pub(super) fn take_found(&mut self) -> Option<Found> {
        self.found.take()
    }

    fn note<T>(&mut self, checker: &'static str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.find(checker, message)).ok()
    }

    /// What clients know now; a request keeps it.
    pub(super) fn known(&self, sequence: usize) -> Known {
        self.sequences[sequence].known
    }

    pub(super) fn commit(&mut self, sequence: usize, effect: Effect, record: &Record) {
        let s = &mut self.sequences[sequence];
        s.gaps.commit(effect);
        s.accounts.commit(effect);
        match effect {
            Effect::ForeignRaised { .. } | Effect::ForeignReserved(_) => {
                s.ledger.disturb();
                s.successor = None;
            }
            Effect::Raised { .. } | Effect::HandedBack(_) => s.successor = None,
            Effect::Reserved(_) | Effect::Nothing => {}
        }
        let durable = s.durable.commit(effect, record);
        let unique = match effect {
            Effect::ForeignReserved(block) => s.unique.issue(block),
            Effect::Reserved(_)
            | Effect::Raised { .. }
            | Effect::HandedBack(_)
            | Effect::ForeignRaised { .. }
            | Effect::Nothing => Ok(()),
        };
        self.note("durable", durable);
        self.note("unique", unique);
    }

    /// The server starts.
    pub(super) fn boot(&mut self) {
        for s in &mut self.sequences {
            s.durable.boot();
            s.ledger = Ledger::new();
        }
    }

    /// The life of the server is over, by a crash or after a clean stop; nothing is in flight.
    pub(super) fn close(&mut self, crashed: bool) {
        for index in 0..self.sequences.len() {
            let s = &mut self.sequences[index];
            s.gaps.close(s.ledger.closed());
            if s.ledger.is_open() {
                s.accounts.close(&s.ledger);
            }
            if crashed {
                s.successor = None;
            }
            let gaps = s.gaps.check(s.durable.mark);
            self.note("gaps", gaps);
        }
    }

    /// The server gives `block` to a request that was made when `known` was known and wants
    /// `count` IDs (0: as many as there are).
    pub(super) fn issue(
        &mut self,
        sequence: usize,
        known: Known,
        count: u64,
        block: Block,
    ) -> Option<Mark> {
        let s = &mut self.sequences[sequence];
        s.gaps.issue(block);
        let unique = s.unique.issue(block);
        let durable = s.durable.issue(block);
        let ledger = s.ledger.issue(block);
        let successor = match s.successor.take() {
            Some(next) if next != block.start() => {
                Err(format!("{block} is issued, but the stop before left {next} as the next ID"))
            }
            _ => Ok(()),
        };
        self.note("unique", unique);
        self.note("durable", durable);
        self.note("order", known.order(block));
        self.note("raise", known.floor(block));
        if count > 0 && block.len() != count {
            self.find("range", format!("{block} is issued to a request for {count}"));
        }
        self.note("successor", successor);
        self.note("ledger", ledger).flatten()
    }

    /// IDs reach a client.
    pub(super) fn answered(&mut self, sequence: usize, block: Block) {
        self.sequences[sequence].known.ids(block);
    }

    /// The server tells a client that its raise is done.
    pub(super) fn acknowledge(&mut self, sequence: usize, floor: u64) -> Option<Mark> {
        let s = &mut self.sequences[sequence];
        let durable = s.durable.acknowledge(floor);
        let mark = s.ledger.acknowledge(floor);
        s.successor = None;
        self.note("raise", durable);
        mark
    }

    /// The acknowledgement reaches the client.
    pub(super) fn acknowledged(&mut self, sequence: usize, floor: u64) {
        self.sequences[sequence].known.done(floor);
    }

    pub(super) fn refuse(&mut self, sequence: usize, refusal: &Refusal, refused: Refused) {
        let s = &self.sequences[sequence];
        let result = refusal::check(refusal, refused, &s.durable, &s.ledger);
        self.note("refusal", result);
    }

    pub(super) fn wait(&mut self, sequence: usize, count: u64) {
        self.sequences[sequence].ledger.wait(count);
    }

    pub(super) fn wait_no_more(&mut self, sequence: usize, count: u64) {
        self.sequences[sequence].ledger.wait_no_more(count);
    }

    pub(super) fn undelivered(&mut self, sequence: usize, block: Block) {
        self.sequences[sequence].ledger.undelivered(block);
    }

    pub(super) fn opened(&mut self, sequence: usize, record: &Record) {
        let s = &mut self.sequences[sequence];
        s.ledger.opened(record);
        let booked = s.accounts.opened(record, s.durable.mark);
        self.note("accounts", booked);
    }

    pub(super) fn reserved(&mut self, sequence: usize, block: Block) -> Option<Mark> {
        let s = &mut self.sequences[sequence];
        s.accounts.reserved();
        s.ledger.reserved(block)
    }

    pub(super) fn raised(&mut self, sequence: usize, mark: u64) {
        let s = &mut self.sequences[sequence];
        s.accounts.raised(mark);
        s.ledger.raised(mark);
    }

    pub(super) fn exhausted(&mut self, sequence: usize) {
        self.sequences[sequence].ledger.exhausted(MARK_MAX);
    }

    pub(super) fn failed(&mut self, sequence: usize) {
        let s = &mut self.sequences[sequence];
        s.ledger.disturb();
        s.successor = None;
    }

    pub(super) fn broken(&mut self, sequence: usize) {
        self.sequences[sequence].ledger.broken();
    }

    /// The server asks for a block.
    pub(super) fn asks(&mut self, sequence: usize, asked: Reserve) {
        let s = &mut self.sequences[sequence];
        s.accounts.asks(&s.ledger);
        let result = s.ledger.asks(asked);
        self.note("ledger", result);
    }

    pub(super) fn hand_back(&mut self, sequence: usize, unissued: HandBack) {
        let result = self.sequences[sequence].ledger.hand_back(unissued);
        self.note("ledger", result);
    }

    pub(super) fn handed_back(&mut self, sequence: usize, done: bool) {
        self.sequences[sequence].ledger.handed_back(done);
    }

    /// An allocator has ended. Returns whether nothing had disturbed it, so that no gap is left.
    pub(super) fn ended(&mut self, sequence: usize) -> bool {
        let s = &mut self.sequences[sequence];
        if !s.ledger.is_calm() {
            return false;
        }
        let (mark, last) = (s.durable.mark, s.ledger.last());
        if last == 0 {
            return false;
        }
        s.successor = Some(last + 1);
        if mark != last + 1 {
            let message = format!("{last} was the last ID, nothing failed, and the mark is {mark}");
            self.find("successor", message);
        }
        true
    }

    /// Compares the books after a step; `block_len` is the longest block without those who wait.
    pub(super) fn compare(&mut self, sequence: usize, seen: &Observation, block_len: u64) {
        let ledger = &self.sequences[sequence].ledger;
        let (held, bound) = (ledger.held(), ledger.bound(block_len));
        let result = ledger.compare(seen);
        self.note("ledger", result);
        if held > bound {
            self.find("ledger", format!("{held} IDs are held, more than {bound}"));
        }
    }
}
