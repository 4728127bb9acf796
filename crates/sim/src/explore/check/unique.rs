//! No ID is issued twice: by any life of the server, to any client, or by anybody else.

use ticketd_core::block::Block;

use super::intervals::Intervals;

/// All IDs of one sequence that were ever issued.
#[derive(Debug, Default, Clone)]
pub(in crate::explore) struct Unique {
    issued: Intervals,
}

impl Unique {
    pub(in crate::explore) fn issue(&mut self, block: Block) -> Result<(), String> {
        self.issued.add(block).map_err(|(start, end)| {
            format!("{block} is issued, but IDs of [{start}, {end}) were issued before")
        })
    }

    /// What was issued.
    pub(in crate::explore) const fn issued(&self) -> &Intervals {
        &self.issued
    }

    /// The same without all from `cut` on.
    pub(in crate::explore) fn below(&self, cut: u64) -> Self {
        let mut issued = self.issued.clone();
        issued.cut(cut);
        Self { issued }
    }
}
