//! What can happen in the world.

use std::task::Waker;

use ticketd_store::StoreError;
use ticketd_store::engine::Entry;

use super::clients::Answer;
use super::engine::Value;
use super::faults::Coming;
use super::peer::{Question, Told};
use super::world::Life;

/// Something that happens at its time.
pub(super) enum Happening {
    /// A task goes on.
    Wake(Waker),
    /// A client makes its next request.
    Ask(usize),
    /// A client that must succeed asks again: of a sequence, a server.
    AskAgain(usize, usize, usize),
    /// A request reaches its server.
    Arrive(usize),
    /// An answer reaches its client.
    Answer(usize, Answer),
    /// A client does not wait any longer.
    GiveUp(usize),
    /// The engine does what a call asks; of a list this was read before.
    Apply(usize, Vec<Entry>),
    /// What came of a call reaches whoever called.
    Reply(usize, Result<Value, StoreError>),
    /// A call is given up.
    Timeout(usize),
    /// A question reaches another server.
    PeerArrive(Question),
    /// The answer reaches whoever asked.
    PeerAnswer(Question, Option<Told>),
    /// A process starts.
    Boot(usize),
    /// A process that stood still goes on.
    Resume(Life),
    /// Something goes wrong.
    Strike(Coming),
    /// A link of this number works again.
    Mend(usize),
    /// The engine falls back, to what was backed up before; the operator goes on.
    Fall,
    Backup,
    Operate,
    /// The engine is back.
    Back,
}
