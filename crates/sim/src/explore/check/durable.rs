//! Nothing is issued that is not durable, and what was promised stays durable.
//!
//! This follows the durable image alone: what a commit made of it, not what the server was told.

use ticketd_core::block::Block;
use ticketd_core::record::Record;

use super::intervals::Intervals;
use crate::explore::store::Effect;

/// The durable image of one sequence, as commits have made it.
#[derive(Debug)]
pub(in crate::explore) struct Durable {
    pub(in crate::explore) mark: u64,
    pub(in crate::explore) spent: u64,
    /// What the server has reserved and not handed back.
    reserved: Intervals,
    /// Nothing below it may be issued by a server that starts later: the highest raise that
    /// anybody was told to be done.
    promised: u64,
    /// `promised` when the server started.
    promised_at_boot: u64,
}

impl Durable {
    pub(in crate::explore) fn new(record: &Record) -> Self {
        Self {
            mark: record.mark,
            spent: record.spent,
            reserved: Intervals::default(),
            promised: 0,
            promised_at_boot: 0,
        }
    }

    pub(in crate::explore) const fn boot(&mut self) {
        self.promised_at_boot = self.promised;
    }

    /// A commit has made `record` durable.
    pub(in crate::explore) fn commit(
        &mut self,
        effect: Effect,
        record: &Record,
    ) -> Result<(), String> {
        self.mark = record.mark;
        self.spent = record.spent;
        match effect {
            Effect::Reserved(block) => self.reserved.add(block).map_err(|(start, end)| {
                format!("{block} is reserved, but IDs of [{start}, {end}) were reserved before")
            })?,
            Effect::HandedBack(unissued) => self.reserved.cut(unissued.start),
            // A raise that finds the mark there already leaves no trace, and the holder of what
            // lies below may still hand it back: only the owner of a sequence can promise more.
            Effect::ForeignRaised { from, to } if from < to => {
                self.promised = self.promised.max(to);
            }
            Effect::ForeignRaised { .. }
            | Effect::ForeignReserved(_)
            | Effect::Raised { .. }
            | Effect::Nothing => {}
        }
        if self.mark < self.promised {
            return Err(format!(
                "the mark falls to {}, but a raise to {} was acknowledged",
                self.mark, self.promised
            ));
        }
        Ok(())
    }

    /// The server tells a client that the sequence is raised.
    pub(in crate::explore) fn acknowledge(&mut self, floor: u64) -> Result<(), String> {
        self.promised = self.promised.max(floor);
        if self.mark < floor {
            return Err(format!(
                "a raise to {floor} is acknowledged, but the durable mark is {}",
                self.mark
            ));
        }
        Ok(())
    }

    pub(in crate::explore) fn issue(&self, block: Block) -> Result<(), String> {
        if block.end() > self.mark {
            return Err(format!("{block} is issued, but the durable mark is {}", self.mark));
        }
        if !self.reserved.contains(block) {
            return Err(format!("{block} is issued, but was never durably reserved by a server"));
        }
        if block.start() < self.promised_at_boot {
            return Err(format!(
                "{block} is issued, but before this server started a raise to {} was done",
                self.promised_at_boot
            ));
        }
        Ok(())
    }
}
