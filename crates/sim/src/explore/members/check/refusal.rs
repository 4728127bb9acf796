//! Every refusal is of a kind that the moment allows.

use ticketd_core::allocator::Refusal;
use ticketd_core::failure::FailureKind;
use ticketd_core::limits::MARK_MAX;
use ticketd_core::record::Record;
use ticketd_core::stride::Standing;

use super::ids::Counted;
use crate::explore::check::Ledger;

/// What the checker knows of the request that is refused.
#[derive(Debug, Clone, Copy)]
pub(in crate::explore::members) struct Refused {
    pub(in crate::explore::members) now: u64,
    pub(in crate::explore::members) deadline: u64,
    /// Whether the owner was told to end.
    pub(in crate::explore::members) closing: bool,
    /// How many IDs it wants; 0 for a raise.
    pub(in crate::explore::members) count: u64,
    /// The position that it wants to raise to; 0 for IDs.
    pub(in crate::explore::members) floor: u64,
}

/// Says what is wrong with `refusal`, if anything.
pub(super) fn check(
    refusal: &Refusal,
    refused: Refused,
    image: Option<&Record>,
    counted: &Counted,
    ledger: &Ledger,
) -> Result<(), String> {
    let standing = image.and_then(|record| record.member).map(|member| member.standing);
    let right = match refusal {
        // An owner that ends does not wait for a store that fails.
        Refusal::Late(reason) => {
            refused.now >= refused.deadline || (refused.closing && reason.is_some())
        }
        Refusal::Stopping => refused.closing,
        Refusal::Exhausted { left } => {
            // A hand-back that comes late may make room that its owner does not know of.
            let is_used_up = counted.id_at(ledger.known()) >= MARK_MAX;
            let fits = ledger.longest() >= refused.count;
            refused.count > 0 && is_used_up && !fits && *left == ledger.held()
        }
        Refusal::Lowering { next } => {
            let first = ledger.next();
            refused.floor > 0 && refused.floor < *next && *next <= first && *next > ledger.last()
        }
        Refusal::Store(failure) => match failure.kind {
            FailureKind::NotFound => image.is_none(),
            FailureKind::Invalid => standing == Some(Standing::Left),
            _ => false,
        },
        // Clients are fewer than the limit, the sequence is of one kind, and nobody shares it.
        Refusal::Overloaded | Refusal::OtherKind(_) | Refusal::OwnedBy(..) | Refusal::Moved => {
            false
        }
    };
    if right {
        return Ok(());
    }
    Err(format!("{refusal:?} is no answer to {refused:?}: durable is {image:?}"))
}
