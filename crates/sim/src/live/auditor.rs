//! Checks every ticket of one table: that it is unique, and in order in real time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ticketd_core::block::Block;

use super::spans::Spans;

/// How many spans of IDs an auditor keeps: about 2 MiB per table at worst.
const SPANS_MAX: usize = 65_536;

/// What had been answered when somebody asked. What they get must lie above it.
#[derive(Debug, Clone, Copy)]
#[must_use = "an answer is judged by what was known when it was asked for"]
pub struct Asked(u64);

/// The auditor of one table, shared by its agents.
#[derive(Debug)]
pub struct Auditor {
    /// The highest ID that any agent has been answered.
    highest: AtomicU64,
    book: Mutex<Book>,
}

/// What an auditor has found so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Findings {
    /// Tickets that agents got.
    pub issued: u64,
    /// Tickets that an agent had got before.
    pub duplicates: u64,
    /// Tickets not above one that was answered before they were asked for.
    pub inversions: u64,
    /// IDs between the first and the last that nobody got.
    pub gaps: u64,
    /// Tickets that came after the memory of IDs as low as theirs was given up.
    pub unchecked: u64,
    /// The lowest ID.
    pub first: Option<u64>,
    /// The highest ID.
    pub last: Option<u64>,
    /// From this ID on, each ticket is compared exactly with every other.
    pub exact_from: u64,
    /// One of the duplicates, to look for.
    pub a_duplicate: Option<u64>,
    /// One of the inversions, to look for: the ID, and the higher one answered before.
    pub an_inversion: Option<(u64, u64)>,
}

impl Findings {
    /// Whether each ticket was unique and in order, as far as could be checked.
    pub const fn is_clean(&self) -> bool {
        self.duplicates == 0 && self.inversions == 0
    }
}

#[derive(Debug)]
struct Book {
    spans: Spans,
    fresh: u64,
    found: Findings,
}

impl Default for Auditor {
    fn default() -> Self {
        Self::with_spans_max(SPANS_MAX)
    }
}

impl Auditor {
    /// An auditor that keeps at most `spans_max` spans of IDs.
    pub fn with_spans_max(spans_max: usize) -> Self {
        let book = Book { spans: Spans::new(spans_max), fresh: 0, found: Findings::default() };
        Self { highest: AtomicU64::new(0), book: Mutex::new(book) }
    }

    /// To be called before an agent asks for tickets.
    pub fn asking(&self) -> Asked {
        Asked(self.highest.load(Ordering::SeqCst))
    }

    /// To be called as soon as an agent has got `block`.
    pub fn answered(&self, asked: Asked, block: Block) {
        self.highest.fetch_max(block.last(), Ordering::SeqCst);
        self.book().enter(asked, block);
    }

    /// How many tickets there were until now.
    pub fn issued(&self) -> u64 {
        self.book().found.issued
    }

    /// All that was found until now.
    pub fn findings(&self) -> Findings {
        let book = self.book();
        let mut found = book.found;
        if let (Some(first), Some(last)) = (found.first, found.last) {
            found.gaps = (last - first + 1).saturating_sub(book.fresh);
        }
        found.exact_from = book.spans.floor().max(found.first.unwrap_or(0));
        found
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn enter(&mut self, asked: Asked, block: Block) {
        let found = &mut self.found;
        found.issued += block.len();
        found.first = Some(found.first.map_or(block.start(), |first| first.min(block.start())));
        found.last = found.last.max(Some(block.last()));
        if block.start() <= asked.0 {
            found.inversions += block.last().min(asked.0) - block.start() + 1;
            found.an_inversion.get_or_insert((block.start(), asked.0));
        }
        let noted = self.spans.note(block);
        self.fresh += noted.fresh;
        found.unchecked += noted.unchecked;
        found.duplicates += noted.duplicates;
        if noted.duplicates > 0 {
            found.a_duplicate.get_or_insert(block.start());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(start: u64, end: u64) -> Block {
        Block::new(start, end).unwrap()
    }

    fn answer(auditor: &Auditor, start: u64, end: u64) {
        let asked = auditor.asking();
        auditor.answered(asked, block(start, end));
    }

    #[test]
    fn finds_a_planted_duplicate() {
        let auditor = Auditor::default();
        let early = auditor.asking();
        answer(&auditor, 1, 100);
        assert!(auditor.findings().is_clean());
        // Asked for before anything was answered, so that it is no inversion as well.
        auditor.answered(early, block(42, 43));
        let found = auditor.findings();
        assert_eq!((found.issued, found.duplicates, found.inversions), (100, 1, 0));
        assert_eq!((found.gaps, found.a_duplicate), (0, Some(42)));
        assert!(!found.is_clean());
    }

    #[test]
    fn finds_a_planted_inversion() {
        let auditor = Auditor::default();
        answer(&auditor, 10, 11);
        answer(&auditor, 9, 10);
        let found = auditor.findings();
        assert_eq!((found.duplicates, found.inversions, found.gaps), (0, 1, 0));
        assert_eq!((found.first, found.last), (Some(9), Some(10)));
        assert_eq!(found.an_inversion, Some((9, 10)));
        assert!(!found.is_clean());
    }

    #[test]
    fn tickets_asked_for_at_the_same_time_may_come_in_any_order() {
        let auditor = Auditor::default();
        let (one, two) = (auditor.asking(), auditor.asking());
        auditor.answered(two, block(2, 3));
        auditor.answered(one, block(1, 2));
        assert!(auditor.findings().is_clean());
    }

    #[test]
    fn counts_planted_gaps_until_they_are_filled() {
        let auditor = Auditor::default();
        let early = auditor.asking();
        answer(&auditor, 5, 8);
        answer(&auditor, 11, 12);
        answer(&auditor, 20, 21);
        assert_eq!(auditor.findings().gaps, 3 + 8);
        auditor.answered(early, block(12, 20));
        let found = auditor.findings();
        assert_eq!((found.gaps, found.first, found.last), (3, Some(5), Some(20)));
        assert!(found.is_clean(), "gaps are legal");
    }

    #[test]
    fn says_from_where_on_it_could_check() {
        let auditor = Auditor::with_spans_max(2);
        let early = auditor.asking();
        for id in [3, 5, 7, 9] {
            answer(&auditor, id, id + 1);
        }
        assert_eq!(auditor.findings().exact_from, 6);
        auditor.answered(early, block(3, 4));
        let found = auditor.findings();
        assert_eq!((found.unchecked, found.duplicates), (1, 0));
    }
}
