//! Every refusal is of a kind that the moment allows.

use ticketd_core::allocator::Refusal;
use ticketd_core::limits::MARK_MAX;

use super::durable::Durable;
use super::ledger::Ledger;

/// What the checker knows of the request that is refused.
#[derive(Debug, Clone, Copy)]
pub(in crate::explore) struct Refused {
    pub(in crate::explore) now: u64,
    pub(in crate::explore) deadline: u64,
    /// Whether the server was told to stop.
    pub(in crate::explore) stopping: bool,
    /// How many IDs it wants; 0 for a raise.
    pub(in crate::explore) count: u64,
    /// The raise that it wants; 0 for IDs.
    pub(in crate::explore) floor: u64,
    /// Whether the store will not answer until the server is started again.
    pub(in crate::explore) store_stopped: bool,
}

/// Says what is wrong with `refusal`, if anything.
pub(super) fn check(
    refusal: &Refusal,
    refused: Refused,
    durable: &Durable,
    ledger: &Ledger,
) -> Result<(), String> {
    let right = match refusal {
        // A server that stops does not wait for a store that fails.
        Refusal::Late(reason) => {
            refused.now >= refused.deadline || (refused.stopping && reason.is_some())
        }
        Refusal::Stopping => refused.stopping,
        Refusal::Exhausted { left } => {
            let fits = ledger.longest() >= refused.count;
            refused.count > 0 && durable.mark == MARK_MAX && !fits && *left == ledger.held()
        }
        Refusal::Lowering { next } => {
            let first = ledger.next();
            refused.floor > 0 && refused.floor < *next && *next <= first && *next > ledger.last()
        }
        Refusal::Store(_) => refused.store_stopped,
        // The world's clients are fewer than the limit, its sequences are tickets, and its server
        // is alone.
        Refusal::Overloaded | Refusal::OtherKind(_) | Refusal::OwnedBy(..) | Refusal::Moved => {
            false
        }
    };
    if right {
        return Ok(());
    }
    Err(format!(
        "{refusal:?} is no answer to {refused:?}: durable mark {}, held {}, longest run {}, next {}",
        durable.mark,
        ledger.held(),
        ledger.longest(),
        ledger.next()
    ))
}
