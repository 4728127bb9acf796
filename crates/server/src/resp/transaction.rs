//! `MULTI` and `EXEC`: commands gathered to be carried out together.
//!
//! Client libraries wrap pipelines in them by default. ticketd carries the commands out one after
//! another and answers all at once; others may be served in between, which for numbers that never
//! come twice makes no difference that could be seen.

use crate::limits::RESP_COMMAND_LEN_MAX;

/// Commands gathered since `MULTI`.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    frames: Vec<u8>,
    count: usize,
    broken: bool,
}

impl Transaction {
    /// Gathers one more command; `false` if there is no room for it.
    pub(crate) fn push(&mut self, frame: &[u8]) -> bool {
        if self.frames.len() + frame.len() > RESP_COMMAND_LEN_MAX {
            self.broken = true;
            return false;
        }
        self.frames.extend_from_slice(frame);
        self.count += 1;
        true
    }

    /// A command was refused, so `EXEC` must be refused as well.
    pub(crate) fn spoil(&mut self) {
        self.broken = true;
    }

    /// The gathered commands as they came, and how many; `None` if one was refused.
    pub(crate) fn finish(self) -> Option<(Vec<u8>, usize)> {
        (!self.broken).then_some((self.frames, self.count))
    }
}
