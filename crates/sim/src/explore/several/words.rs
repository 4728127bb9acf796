//! The words of the trace.

use std::fmt;

use crate::explore::trace::Words;

/// The part of a place that is none.
pub(super) const NOWHERE: usize = 0xff;

/// What a line is about; see [`Words::text`] for the meaning of its numbers.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    AskTake,
    AskBatch,
    AskRaise,
    Arrive,
    Unreachable,
    AnswerIds,
    AnswerDone,
    AnswerRefusal,
    AnswerLost,
    GiveUp,
    HotTake,
    Issued,
    Forget,
    AskOpen,
    AskReserve,
    AskRaised,
    AskHandBack,
    Opened,
    OwnedBy,
    Reserved,
    HandedBack,
    Failed,
    LeaseEnded,
    SeatEnded,
    Call,
    Apply,
    Differs,
    Reply,
    ReplyTooLate,
    Timeout,
    Claimed,
    CommitReserve,
    CommitRaise,
    CommitHandBack,
    Announced,
    Gone,
    Extended,
    LeaseLost,
    Ended,
    PeerAsk,
    PeerArrive,
    PeerAnswer,
    AskWindow,
    Leased,
    AskRelease,
    CommitWindow,
    FlakeTaken,
    Wall,
    Fall,
    RaisedAfterLoss,
    Boot,
    Up,
    Crash,
    Stop,
    Down,
    Pause,
    Resume,
    Stall,
    Cut,
    Mend,
    Away,
    Back,
    Phase,
}

/// A server and a sequence as one number.
pub(super) const fn place(slot: usize, sequence: usize) -> usize {
    slot << 8 | sequence
}

impl Words for What {
    fn number(self) -> u64 {
        self as u64
    }

    fn write_place(place: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |f: &mut fmt::Formatter<'_>, letter: char, number: usize| match number {
            NOWHERE => write!(f, "-- "),
            _ => write!(f, "{letter}{number} "),
        };
        part(f, 'n', place >> 8)?;
        part(f, 's', place & 0xff)?;
        write!(f, " ")
    }

    fn text(self) -> &'static str {
        match self {
            Self::AskTake => "request {a} asks for {b} IDs",
            Self::AskBatch => "request {a} asks {b} times for one ID",
            Self::AskRaise => "request {a} asks to raise to {b}",
            Self::Arrive => "request {a} arrives",
            Self::Unreachable => "request {a} finds no server",
            Self::AnswerIds => "request {a} is answered [{b}, {c})",
            Self::AnswerDone => "request {a} is answered: done",
            Self::AnswerRefusal => "request {a} is refused: {b}",
            Self::AnswerLost => "request {a} loses its answer",
            Self::GiveUp => "request {a} is given up by its client",
            Self::HotTake => "[{a}, {b}) is taken from the cursor",
            Self::Issued => "[{a}, {b}) may be answered, of turn {c}",
            Self::Forget => "[{a}, {b}) was taken and may not be answered",
            Self::AskOpen => "owner claims the sequence",
            Self::AskReserve => "owner asks to reserve {a} from {b} in turn {c}",
            Self::AskRaised => "owner asks to raise to {a} in turn {c}",
            Self::AskHandBack => "owner hands back [{a}, {b}) of turn {c}",
            Self::Opened => "owner has the sequence: mark {a}, turn {b}",
            Self::OwnedBy => "owner hears that it is of server {a}",
            Self::Reserved => "owner hears that [{a}, {b}) is reserved",
            Self::HandedBack => "owner hears of the hand-back: {a} (1: done)",
            Self::Failed => "owner hears of a failure of kind {a}",
            Self::LeaseEnded => "owner hears that the lease has ended",
            Self::SeatEnded => "owner has ended",
            Self::Call => "call {a} of kind {b} is sent to the engine",
            Self::Apply => "engine does call {a}",
            Self::Differs => "engine finds another version for call {a}",
            Self::Reply => "call {a} is answered: {b} (0: ok)",
            Self::ReplyTooLate => "nobody waits for the answer to call {a}",
            Self::Timeout => "call {a} is given up",
            Self::Claimed => "durable: turn {a}, of server {b}, mark {c}",
            Self::CommitReserve => "durable: [{a}, {b}) reserved in turn {c}",
            Self::CommitRaise => "durable: mark raised from {a} to {b}",
            Self::CommitHandBack => "durable: handed back, the mark falls from {a} to {b}",
            Self::Announced => "durable: server {a} is there, version {b}",
            Self::Gone => "durable: server {a} is gone",
            Self::Extended => "lease of server {a} holds until {b}",
            Self::LeaseLost => "server {a} learns that its lease was ended",
            Self::Ended => "the silent server {a} was ended",
            Self::PeerAsk => "question {a} to n{b}",
            Self::PeerArrive => "question {a} arrives",
            Self::PeerAnswer => "question {a} is answered: {b} (1: heard)",
            Self::AskWindow => "generator {c} asks for {b} ticks from {a}",
            Self::Leased => "worker {a} is leased for ticks [{b}, {c})",
            Self::AskRelease => "ticks [{b}, {c}) of worker {a} are given back",
            Self::CommitWindow => "durable: worker {a} is leased up to tick {b}, by generator {c}",
            Self::FlakeTaken => "{b} IDs from {a} are taken from generator {c}",
            Self::Wall => "wall clock turns, and says {a} ms",
            Self::Fall => "engine fails; {a} (1: and loses commits)",
            Self::RaisedAfterLoss => "operator has raised to {a}",
            Self::Boot => "process starts, life {a}",
            Self::Up => "server {a} serves, life {b}",
            Self::Crash => "process crashes, life {a}",
            Self::Stop => "server is told to stop, life {a}",
            Self::Down => "process has ended, life {a}",
            Self::Pause => "process stands still for {a} us",
            Self::Resume => "process goes on",
            Self::Stall => "a thread stands still for {a} us",
            Self::Cut => "link {a} is cut for {b} us",
            Self::Mend => "link {a} works again",
            Self::Away => "engine is away for {a} us",
            Self::Back => "engine is back",
            Self::Phase => "phase {a} begins",
        }
    }
}
