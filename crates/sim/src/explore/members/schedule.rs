//! What will happen to whom.

use ticketd_core::block::Block;

use super::clients::Answer;
use super::coordinator::Told;
use super::faults::Coming;
use super::store::Reply;

/// A message to the owner of a member's sequence.
#[derive(Debug, Clone, Copy)]
pub(super) enum Note {
    Wanted(usize),
    LowWater,
    Undelivered(Block),
    Close,
}

/// Something that happens at its time. What belongs to one owner says which; what belongs to one
/// life of a member's process says which.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is moved, and the world makes few of them")]
pub(super) enum Happening {
    /// A client makes its next request.
    Ask(usize),
    /// A request reaches its server.
    Arrive(usize),
    /// A request looks again for who serves it.
    Again(u32, usize),
    /// The deadline of a request that waits for a step to be over.
    Deadline(usize),
    /// An answer reaches its client.
    Answer(usize, Answer),
    /// A client stops waiting.
    Leave(usize),
    /// A message reaches an owner.
    Tell { at: usize, owner: u64, note: Note },
    /// An allocator wants to be called.
    Wake { at: usize, owner: u64 },
    /// What a store works at becomes durable.
    Commit { at: usize, batch: u64 },
    /// What a store had set aside becomes durable.
    Late { at: usize, message: u64 },
    /// A store's answer arrives.
    Reply { at: usize, message: u64, reply: Reply },
    /// A member stops waiting for its store.
    Timeout { at: usize, message: u64 },
    /// A member's process starts.
    Boot(usize),
    /// The disk of a member has room again.
    Room(usize),
    /// An operator runs the command.
    Run(usize),
    /// A coordinator goes on.
    GoOn(usize, u64),
    /// A question of a coordinator reaches a member.
    CallArrive(usize),
    /// A coordinator hears an answer.
    CallAnswer(usize, Told),
    /// A coordinator stops waiting for an answer.
    CallTimeout(usize),
    /// Something goes wrong.
    Strike(Coming),
}
