//! What metrics say that a crash has burnt: no less than it did, and no more than could not be
//! known better.
//!
//! The server books it when it opens the sequence again, from what the record says is spent. Here
//! it follows from what the life before had been told and had issued, which the record does not
//! know of.

use ticketd_core::record::Record;

use super::ledger::Ledger;
use crate::explore::store::Effect;

/// The least and the most that the next opening may book, but for what the store did after the last
/// thing that it told.
#[derive(Debug, Clone, Copy)]
struct Due {
    least: u64,
    most: u64,
    /// The mark that the life before knew.
    known: u64,
}

/// The account of one sequence from one opening to the next.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    /// `None` before the first life, and when the record does not tell who lost what.
    due: Option<Due>,
    /// What was booked when it was opened, and the mark then.
    booked: u64,
    opened_at: u64,
    /// The next ID when the last question for a block was asked, and when the last one that was
    /// answered was.
    asked: u64,
    answered: Option<u64>,
    /// The highest raise that was applied, and that the server was told of.
    raised: u64,
    told: u64,
    /// Somebody else has written.
    foreign: bool,
}

impl Accounts {
    pub(super) fn commit(&mut self, effect: Effect) {
        match effect {
            Effect::ForeignRaised { .. } | Effect::ForeignReserved(_) => self.foreign = true,
            Effect::Raised { from, to } if from < to => self.raised = self.raised.max(to),
            Effect::Raised { .. }
            | Effect::Reserved(_)
            | Effect::HandedBack(_)
            | Effect::Nothing => {}
        }
    }

    pub(super) fn asks(&mut self, ledger: &Ledger) {
        self.asked = ledger.next();
    }

    pub(super) const fn reserved(&mut self) {
        self.answered = Some(self.asked);
    }

    pub(super) fn raised(&mut self, mark: u64) {
        self.told = self.told.max(mark);
    }

    /// A life is over, in which the sequence had been opened.
    pub(super) fn close(&mut self, ledger: &Ledger) {
        let lost = ledger.held() + ledger.handing_back();
        let known = ledger.known();
        let most = match self.answered {
            Some(next) => known - next,
            // Nothing was written, so that the same is booked again.
            None => self.booked + (known - self.opened_at),
        };
        self.due = Some(Due { least: lost, most, known });
    }

    /// The sequence is opened, and books what `record` does not know to be spent; the durable mark
    /// is `mark` by now.
    pub(super) fn opened(&mut self, record: &Record, mark: u64) -> Result<(), String> {
        let booked = record.unaccounted();
        // Of a raise, the record keeps no more than that all below it is given up.
        let is_blurred = self.foreign || self.raised > self.told;
        let due = self.due.take().filter(|_| !is_blurred);
        let (opened_at, foreign) = (record.mark, record.mark != mark);
        *self = Self { booked, opened_at, foreign, ..Self::default() };
        let Some(due) = due else { return Ok(()) };
        // Above what was known is what was applied and never told; below, what was taken back.
        let unheard = record.mark.saturating_sub(due.known);
        let least = if record.mark < due.known { 0 } else { due.least + unheard };
        if (least..=due.most + unheard).contains(&booked) {
            return Ok(());
        }
        Err(format!(
            "{booked} IDs are booked as burnt by a crash, with {unheard} unheard of {due:?}"
        ))
    }
}
