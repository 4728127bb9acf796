//! The auditor that a kind needs: tickets are checked as spans, IDs of other kinds one by one.

use ticketd_core::block::Block;
use ticketd_core::definition::KindName;
use ticketd_core::ids::{Ids, Range};

use super::Plan;
use super::auditor::{Asked, Auditor, Findings};
use super::kinds::{AskedIssuer, KindAuditor, Seen};

/// Checks every ID of one table.
#[derive(Debug)]
pub(super) enum Audit {
    Tickets(Auditor),
    Others(KindName, Box<KindAuditor>),
}

/// What had been answered when somebody asked.
#[derive(Debug, Clone, Copy)]
#[must_use = "an answer is judged by what was known when it was asked for"]
pub(super) enum Before {
    Tickets(Asked),
    Others(AskedIssuer),
}

impl Audit {
    /// An auditor for a table of `plan`.
    pub(super) fn new(plan: &Plan, is_local: bool) -> Self {
        match plan.kind {
            KindName::Ticket => Self::Tickets(Auditor::default()),
            // A real server may hold several worker IDs, and only those of each of them rise.
            KindName::Snowflake if !is_local => {
                Self::Others(plan.kind, Box::new(KindAuditor::unordered()))
            }
            kind => Self::Others(kind, Box::new(KindAuditor::new(kind, plan.agents))),
        }
    }

    /// To be called before `issuer` is asked.
    pub(super) fn asking(&self, issuer: usize) -> Before {
        match self {
            Self::Tickets(auditor) => Before::Tickets(auditor.asking()),
            Self::Others(_, auditor) => Before::Others(auditor.asking(issuer)),
        }
    }

    /// To be called as soon as an agent has got `ids`.
    pub(super) fn answered(&self, before: Before, ids: &Ids) {
        match (self, before) {
            (Self::Tickets(auditor), Before::Tickets(asked)) => {
                blocks(ids).for_each(|block| auditor.answered(asked, block));
            }
            (Self::Others(kind, auditor), Before::Others(asked)) => {
                auditor.answered_all(asked, *kind, ids);
            }
            _ => unreachable!("an auditor is told of what it was asked"),
        }
    }

    /// How many IDs there were until now.
    pub(super) fn issued(&self) -> u64 {
        match self {
            Self::Tickets(auditor) => auditor.issued(),
            Self::Others(_, auditor) => auditor.issued(),
        }
    }

    /// All that was found until now.
    pub(super) fn findings(&self) -> (Findings, Option<Seen>) {
        match self {
            Self::Tickets(auditor) => (auditor.findings(), None),
            Self::Others(_, auditor) => {
                let (found, seen) = auditor.findings();
                (found, Some(seen))
            }
        }
    }
}

/// Tickets as blocks, in the order of issue.
fn blocks(ids: &Ids) -> impl Iterator<Item = Block> + '_ {
    let (whole, each) = match ids {
        Ids::Range(Range { first, step: 1, count }) => (Block::new(*first, first + count), None),
        _ => (None, Some(ids.integers().filter_map(|id| Block::new(id, id + 1)))),
    };
    whole.into_iter().chain(each.into_iter().flatten())
}
