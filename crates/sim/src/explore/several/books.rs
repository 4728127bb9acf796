//! The books of one allocator, kept a second time: every ID that it was given was issued, or it
//! says why not.

use ticketd_core::allocator::{Burn, Observation};

/// What one allocator was given, and what became of it, as its shell saw it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Books {
    /// IDs of the blocks that it was told of.
    pub(super) delivered: u64,
    /// Taken from its cursor or issued by it.
    pub(super) taken: u64,
    /// Taken and not answered, since the lease was over.
    pub(super) forgotten: u64,
    /// Issued to requests that were gone.
    pub(super) undelivered: u64,
    /// What a hand-back is asked for.
    pub(super) handing: u64,
    handed_back: u64,
}

impl Books {
    /// The store took back what it was asked to, or not.
    pub(super) const fn handed_back(&mut self, done: bool) {
        if done {
            self.handed_back += self.handing;
        }
        self.handing = 0;
    }

    /// Compares with what the allocator shows. `is_over` says that it has ended by itself: then
    /// nothing is held and nothing is on its way.
    pub(super) fn compare(&self, seen: &Observation, is_over: bool) -> Result<(), String> {
        let own = [Burn::Skipped, Burn::Raise, Burn::Stop, Burn::Abandoned, Burn::Broken];
        let burnt: u64 = own.iter().map(|&reason| seen.tally.burnt.get(reason)).sum();
        let burnt = burnt + seen.tally.burnt.get(Burn::Fenced);
        let issued = self.taken - self.forgotten - self.undelivered;
        let handing = if is_over { 0 } else { self.handing };
        let known = seen.tally.issued + burnt + seen.held + self.handed_back + handing;
        if seen.tally.issued == issued && known == self.delivered {
            return Ok(());
        }
        Err(format!(
            "the allocator has issued {}, burnt {burnt}, holds {}: that is not {self:?}",
            seen.tally.issued, seen.held
        ))
    }
}
