//! Strict order: what was answered before another request was made is smaller, and is not below a
//! raise that was acknowledged before it.

use ticketd_core::block::Block;

/// What clients knew of one sequence at some moment. A request carries the moment it was made at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::explore) struct Known {
    /// The largest ID that any client was answered.
    pub(in crate::explore) answered: u64,
    /// The highest raise that any client was told to be done.
    pub(in crate::explore) raised: u64,
}

impl Known {
    /// A client is answered `block`.
    pub(in crate::explore) fn ids(&mut self, block: Block) {
        self.answered = self.answered.max(block.last());
    }

    /// A client is told that its raise is done.
    pub(in crate::explore) fn done(&mut self, floor: u64) {
        self.raised = self.raised.max(floor);
    }

    /// A request that was made when this was known is issued `block`.
    pub(in crate::explore) fn order(self, block: Block) -> Result<(), String> {
        if block.start() <= self.answered {
            return Err(format!(
                "{block} is issued, but before it was asked for {} had been answered",
                self.answered
            ));
        }
        Ok(())
    }

    /// The same for raises.
    pub(in crate::explore) fn floor(self, block: Block) -> Result<(), String> {
        if block.start() < self.raised {
            return Err(format!(
                "{block} is issued, but before it was asked for a raise to {} had been \
                 acknowledged",
                self.raised
            ));
        }
        Ok(())
    }
}
