//! The words of the trace.

use crate::explore::fault::Fault;
use crate::explore::step::{Bar, Lane, Sign, Tick, is_of_clients};
use crate::explore::trace::{ENGINE_NUMBER, Words, fault_sign};

/// Where the engine is shown.
const ENGINE: Lane = Lane::one("engine");

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
    LetGo,
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
    Repaired,
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
    Fault,
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

    fn sequence(place: usize) -> Option<usize> {
        Some(place & 0xff).filter(|sequence| *sequence != NOWHERE)
    }

    fn lane(self, place: usize, [_, kind, _]: [u64; 3]) -> Lane {
        let here = match place >> 8 {
            NOWHERE => Lane::WORLD,
            slot => Lane::server(slot),
        };
        match self {
            Self::AskTake
            | Self::AskBatch
            | Self::AskRaise
            | Self::Unreachable
            | Self::AnswerIds
            | Self::AnswerDone
            | Self::AnswerRefusal
            | Self::AnswerLost
            | Self::GiveUp => Lane::CLIENTS,
            Self::Apply
            | Self::Differs
            | Self::Claimed
            | Self::CommitReserve
            | Self::CommitRaise
            | Self::CommitHandBack
            | Self::CommitWindow
            | Self::Announced
            | Self::Gone
            | Self::Away
            | Self::Fall
            | Self::Repaired
            | Self::Back => ENGINE,
            Self::Fault => match Fault::ALL.get(kind as usize) {
                Some(fault) if is_of_clients(*fault) => Lane::CLIENTS,
                Some(Fault::Away | Fault::FallsBack) => ENGINE,
                _ => here,
            },
            _ => here,
        }
    }

    fn sign(self, at: u64, [a, b, c]: [u64; 3]) -> Sign {
        let request = |tick, ids| Sign::Request { tick, request: a, ids };
        let begins = |bar, label| Sign::Begins { bar, label, until_us: None };
        let lasts = |bar, label, until| Sign::Begins { bar, label, until_us: Some(until) };
        match self {
            Self::AskTake | Self::AskBatch => request(Tick::Asked, (0, b)),
            Self::AskRaise => request(Tick::Asked, (0, 0)),
            Self::AnswerIds => request(Tick::Answered, (b, c)),
            Self::AnswerDone => request(Tick::Answered, (0, 0)),
            Self::AnswerRefusal => request(Tick::Refused, (0, 0)),
            Self::AnswerLost | Self::GiveUp | Self::Unreachable => request(Tick::Lost, (0, 0)),
            Self::Fault => fault_sign(a, b),
            // A loose sequence is nobody's.
            Self::Claimed if b == 0 => begins(Bar::Owner, format!("turn {a}")),
            Self::Claimed => begins(Bar::Owner, format!("turn {a}, {b:04x}")),
            Self::Opened => begins(Bar::Owner, format!("turn {b}")),
            Self::LeaseEnded | Self::SeatEnded | Self::AskHandBack => Sign::Ends(Bar::Owner),
            Self::Reserved => begins(Bar::Block, format!("{a}–{}", b.saturating_sub(1))),
            Self::Leased => begins(Bar::Block, format!("{a}: {b}–{}", c.saturating_sub(1))),
            Self::AskRelease => Sign::Ends(Bar::Block),
            Self::Boot => begins(Bar::Life, format!("life {a}")),
            Self::Extended if b > at => lasts(Bar::Lease, format!("lease of {a:04x}"), b),
            Self::Extended | Self::LetGo => Sign::Ends(Bar::Lease),
            Self::Stop => begins(Bar::Stopping, "stops".to_owned()),
            Self::Crash | Self::Down => Sign::EndsAll,
            Self::Pause => lasts(Bar::Still, "stands still".to_owned(), at + a),
            Self::Stall => lasts(Bar::Still, "a thread stands still".to_owned(), at + a),
            Self::Resume => Sign::Ends(Bar::Still),
            Self::Cut => lasts(Bar::Cut, format!("{} to {} cut", end(a), end(b)), at + c),
            Self::Away => lasts(Bar::Away, "away".to_owned(), at + a),
            Self::Back => Sign::Ends(Bar::Away),
            Self::Forget
            | Self::LeaseLost
            | Self::Ended
            | Self::Gone
            | Self::Fall
            | Self::Repaired
            | Self::Phase => Sign::Moment,
            _ => Sign::Plain,
        }
    }

    fn word(self, number: u64) -> &'static str {
        let words: &[&str] = match self {
            Self::Phase => &[
                "faults",
                "drain",
                "fresh",
                "round",
                "stop",
                "start",
                "last round",
                "last stop",
                "over",
            ],
            Self::Call => &["read", "list", "commit"],
            Self::PeerAnswer => &["nobody hears it", "heard"],
            Self::AnswerRefusal => &[
                "unavailable",
                "stopping",
                "that would lower",
                "exhausted",
                "the clock is not believed",
                "before the epoch",
                "not yet",
                "all worker IDs are taken",
                "as no client should see it",
            ],
            _ => &["not done", "done"],
        };
        words.get(number as usize).unwrap_or(&"?")
    }

    fn text(self) -> &'static str {
        match self {
            Self::AskTake => "request {a} of client {c} asks for {b} IDs",
            Self::AskBatch => "request {a} of client {c} asks {b} times for one ID",
            Self::AskRaise => "request {a} of client {c} asks to raise to {b}",
            Self::Arrive => "request {a} arrives",
            Self::Unreachable => "request {a} finds no server",
            Self::AnswerIds => "request {a} is answered [{b}, {c})",
            Self::AnswerDone => "request {a} is answered: done",
            Self::AnswerRefusal => "request {a} is refused: {b:word}",
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
            Self::OwnedBy => "owner hears that it is of {a:id}",
            Self::Reserved => "owner hears that [{a}, {b}) is reserved",
            Self::HandedBack => "owner hears of the hand-back: {a:word}",
            Self::Failed => "owner hears of a failure: {a:failure}",
            Self::LeaseEnded => "owner hears that the lease has ended",
            Self::SeatEnded => "owner has ended",
            Self::Call => "call {a} is sent to the engine: {b:word}",
            Self::Apply => "engine does call {a}",
            Self::Differs => "engine finds another version for call {a}",
            Self::Reply => "call {a} is answered: {b:outcome}",
            Self::ReplyTooLate => "nobody waits for the answer to call {a}",
            Self::Timeout => "call {a} is given up",
            Self::Claimed => "durable: turn {a}, of {b:id}, mark {c}",
            Self::CommitReserve => "durable: [{a}, {b}) reserved in turn {c}",
            Self::CommitRaise => "durable: mark raised from {a} to {b}",
            Self::CommitHandBack => "durable: handed back, the mark falls from {a} to {b}",
            Self::Announced => "durable: {a:id} is there, version {b}",
            Self::Gone => "durable: {a:id} is gone",
            Self::Extended => "lease of {a:id} holds until {b:at}",
            Self::LetGo => "lease of {a:id} is over for its server",
            Self::LeaseLost => "{a:id} learns that its lease was ended",
            Self::Ended => "the silent {a:id} was ended",
            Self::PeerAsk => "question {a} to {b:place}",
            Self::PeerArrive => "question {a} arrives",
            Self::PeerAnswer => "question {a} is answered: {b:word}",
            Self::AskWindow => "generator {c} asks for {b} ticks from {a}",
            Self::Leased => "worker {a} is leased for ticks [{b}, {c})",
            Self::AskRelease => "ticks [{b}, {c}) of worker {a} are given back",
            Self::CommitWindow => "durable: worker {a} is leased up to tick {b}, by generator {c}",
            Self::FlakeTaken => "{b} IDs from {a} are taken from generator {c}",
            Self::Wall => "wall clock turns, and says {a} ms",
            Self::Fall => "engine fails; {a} (1: and loses commits)",
            Self::RaisedAfterLoss => "operator has raised to {a}",
            Self::Repaired => "operator has repaired: mark {a}, age {b}",
            Self::Boot => "process starts, life {a}",
            Self::Up => "{a:id} serves, life {b}",
            Self::Crash => "process crashes, life {a}",
            Self::Stop => "server is told to stop, life {a}",
            Self::Down => "process has ended, life {a}",
            Self::Pause => "process stands still for {a:span}",
            Self::Resume => "process goes on",
            Self::Stall => "a thread stands still for {a:span}",
            Self::Cut => "link from {a:place} to {b:place} is cut for {c:span}",
            Self::Mend => "link from {a:place} to {b:place} works again",
            Self::Away => "engine is away for {a:span}",
            Self::Back => "engine is back",
            Self::Fault => "fault {a}: {b:fault}",
            Self::Phase => "phase begins: {a:word}",
        }
    }
}

fn end(place: u64) -> String {
    match place {
        ENGINE_NUMBER => "engine".to_owned(),
        slot => (slot + 1).to_string(),
    }
}
