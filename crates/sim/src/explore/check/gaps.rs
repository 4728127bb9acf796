//! The gap budget: every ID below the mark was issued, or there is a reason why not.
//!
//! One side is what the durable image and the clients show, the other the reasons: the two come
//! from different observers, and must be equal.

use ticketd_core::block::Block;

use super::ledger::Closed;
use crate::explore::store::Effect;

/// The account of one sequence over all lives of the server.
#[derive(Debug)]
pub(in crate::explore) struct Gaps {
    first_mark: u64,
    issued: u64,
    /// IDs that are durably reserved, by servers and by others; and the ones that a raise jumped.
    reserved: u64,
    foreign: u64,
    jumped: u64,
    handed_back: u64,
    /// Of the lives that are over.
    delivered: u64,
    lost: u64,
    known_handed_back: u64,
}

impl Gaps {
    pub(in crate::explore) const fn new(first_mark: u64) -> Self {
        Self {
            first_mark,
            issued: 0,
            reserved: 0,
            foreign: 0,
            jumped: 0,
            handed_back: 0,
            delivered: 0,
            lost: 0,
            known_handed_back: 0,
        }
    }

    pub(in crate::explore) const fn issue(&mut self, block: Block) {
        self.issued += block.len();
    }

    pub(in crate::explore) const fn commit(&mut self, effect: Effect) {
        match effect {
            Effect::Reserved(block) => self.reserved += block.len(),
            Effect::ForeignReserved(block) => self.foreign += block.len(),
            Effect::Raised { from, to } | Effect::ForeignRaised { from, to } => {
                self.jumped += to.saturating_sub(from);
            }
            Effect::HandedBack(unissued) => self.handed_back += unissued.end - unissued.start,
            Effect::Nothing => {}
        }
    }

    /// A life is over.
    pub(in crate::explore) const fn close(&mut self, life: Closed) {
        self.delivered += life.delivered;
        self.lost += life.lost;
        self.known_handed_back += life.handed_back;
    }

    /// No life is on, nothing is in flight, and the durable mark is `mark`.
    pub(in crate::explore) fn check(&self, mark: u64) -> Result<(), String> {
        let signed = |ids: u64| i128::from(ids);
        let unanswered = signed(self.reserved) - signed(self.delivered);
        let unknown_handed_back = signed(self.handed_back) - signed(self.known_handed_back);
        let used = signed(self.issued) + signed(self.foreign);
        let gaps = signed(mark) - signed(self.first_mark) - used;
        let explained = unanswered + signed(self.lost) + signed(self.jumped);
        if gaps == explained - unknown_handed_back {
            return Ok(());
        }
        Err(format!("{gaps} IDs are gaps below {mark}, which does not follow from {self:?}"))
    }
}
