//! The words of the world of one server.

use super::fault::Fault;
use super::step::{Bar, Lane, Sign, Tick, is_of_clients};
use super::trace::{Words, fault_sign};

/// The sequence of lines that are about none.
pub(super) const NO_SEQUENCE: usize = u8::MAX as usize;

/// Where the store is shown.
const STORE: Lane = Lane::one("store");

/// What a line of the world of one server is about; see [`Words::text`] for the meaning of its
/// numbers.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    AskTake,
    AskBatch,
    AskRaise,
    Arrive,
    Unreachable,
    HotTake,
    Wanted,
    LowWater,
    Undelivered,
    Issue,
    Acknowledge,
    Refuse,
    Leave,
    AnswerIds,
    AnswerDone,
    AnswerRefusal,
    AnswerLost,
    AskOpen,
    AskReserve,
    AskRaised,
    AskHandBack,
    Commit,
    CommitReserve,
    CommitRaise,
    CommitHandBack,
    CommitForeign,
    NotApplied,
    Opened,
    Reserved,
    Raised,
    HandedBack,
    Failed,
    Timeout,
    ReplyTooLate,
    Wake,
    Boot,
    Crash,
    SyncError,
    Stop,
    Ended,
    Down,
    Full,
    Room,
    Foreign,
    Fault,
    Phase,
    Group,
    Started,
    NotStarted,
    Died,
    DiedInCommit,
    TakenBack,
    Parted,
}

impl Words for What {
    fn number(self) -> u64 {
        self as u64
    }

    fn sequence(place: usize) -> Option<usize> {
        (place != NO_SEQUENCE).then_some(place)
    }

    fn lane(self, _place: usize, [_, kind, _]: [u64; 3]) -> Lane {
        match self {
            Self::AskTake
            | Self::AskBatch
            | Self::AskRaise
            | Self::Parted
            | Self::Unreachable
            | Self::Leave
            | Self::AnswerIds
            | Self::AnswerDone
            | Self::AnswerRefusal
            | Self::AnswerLost => Lane::CLIENTS,
            Self::Commit
            | Self::CommitReserve
            | Self::CommitRaise
            | Self::CommitHandBack
            | Self::CommitForeign
            | Self::NotApplied
            | Self::Full
            | Self::Room
            | Self::Foreign
            | Self::Group
            | Self::Started
            | Self::NotStarted
            | Self::Died
            | Self::TakenBack => STORE,
            Self::Phase => Lane::WORLD,
            Self::Fault => lane_of_fault(kind),
            _ => Lane::server(0),
        }
    }

    fn sign(self, _at: u64, [a, b, c]: [u64; 3]) -> Sign {
        let request = |tick, ids| Sign::Request { tick, request: a, ids };
        let begins = |bar, label| Sign::Begins { bar, label, until_us: None };
        match self {
            Self::AskTake | Self::AskBatch => request(Tick::Asked, (0, b)),
            Self::AskRaise => request(Tick::Asked, (0, 0)),
            Self::Parted => request(Tick::Parted, (b, c)),
            Self::AnswerIds => request(Tick::Answered, (b, c)),
            Self::AnswerDone => request(Tick::Answered, (0, 0)),
            Self::AnswerRefusal => request(Tick::Refused, (0, 0)),
            Self::AnswerLost | Self::Leave | Self::Unreachable => request(Tick::Lost, (0, 0)),
            Self::Fault => fault_sign(a, b),
            Self::Reserved => begins(Bar::Block, format!("{b}–{}", c.saturating_sub(1))),
            Self::Ended => Sign::Ends(Bar::Block),
            Self::Boot => begins(Bar::Life, format!("life {a}")),
            Self::Stop => begins(Bar::Stopping, "stops".to_owned()),
            Self::Crash | Self::SyncError | Self::Down | Self::DiedInCommit => Sign::EndsAll,
            Self::Full => begins(Bar::Away, "full".to_owned()),
            Self::Room => Sign::Ends(Bar::Away),
            Self::CommitReserve
            | Self::CommitRaise
            | Self::CommitHandBack
            | Self::Phase
            | Self::Started
            | Self::NotStarted
            | Self::TakenBack => Sign::Moment,
            _ => Sign::Plain,
        }
    }

    fn word(self, number: u64) -> &'static str {
        let words: &[&str] = match self {
            Self::Phase => &["faults", "drain", "fresh", "last stop", "last round", "over"],
            Self::Refuse => &[
                "late",
                "the store failed",
                "exhausted",
                "overloaded",
                "stopping",
                "that would lower",
                "of another kind",
                "not the owner",
            ],
            Self::Died => &["on", "lost"],
            Self::TakenBack => &["taken back", "lost"],
            _ => &["not done", "done"],
        };
        words.get(number as usize).unwrap_or(&"?")
    }

    fn text(self) -> &'static str {
        match self {
            Self::AskTake => "request {a} asks for {b} IDs, to be answered by {c:at}",
            Self::AskBatch => "request {a} asks {b} times for one ID, to be answered by {c:at}",
            Self::AskRaise => "request {a} asks to raise to {b}, to be answered by {c:at}",
            Self::Parted => "parts of request {a} wait, as requests [{b}, {c})",
            Self::Arrive => "request {a} reaches the server",
            Self::Unreachable => "request {a} finds no server",
            Self::HotTake => "request {a} takes [{b}, {c}) from the cursor",
            Self::Wanted => "owner hears that request {a} wants {b}",
            Self::LowWater => "owner hears that the low-water mark is reached",
            Self::Undelivered => "owner hears that [{b}, {c}) went to nobody",
            Self::Issue => "owner issues [{b}, {c}) to request {a}",
            Self::Acknowledge => "owner acknowledges raise {a} to {b}",
            Self::Refuse => "owner refuses request {a}: {b:word}",
            Self::Leave => "request {a} is given up by its client",
            Self::AnswerIds => "request {a} is answered [{b}, {c})",
            Self::AnswerDone => "request {a} is answered: done",
            Self::AnswerRefusal => "request {a} is answered: refused",
            Self::AnswerLost => "request {a} loses its connection",
            Self::AskOpen => "store is asked for the record (message {a})",
            Self::AskReserve => "store is asked to reserve {b} from {c} (message {a})",
            Self::AskRaised => "store is asked to raise to {b} (message {a})",
            Self::AskHandBack => "store is asked to take back [{b}, {c}) (message {a})",
            Self::Commit => "store commits batch {a} of {b}",
            Self::CommitReserve => "store has reserved [{b}, {c}) durably (message {a})",
            Self::CommitRaise => "store has raised the mark from {b} to {c} (message {a})",
            Self::CommitHandBack => "store has taken back [{b}, {c}) (message {a})",
            Self::CommitForeign => "store has moved the mark from {b} to {c} for somebody else",
            Self::NotApplied => "store does not apply message {a}",
            Self::Opened => "owner hears of the record: mark {b}, spent {c}",
            Self::Reserved => "owner hears that [{b}, {c}) is reserved",
            Self::Raised => "owner hears that the mark is {b}",
            Self::HandedBack => "owner hears of the hand-back: {b:word}",
            Self::Failed => "owner hears of a failure of message {a}: {b:failure}",
            Self::Timeout => "shell waits no longer for message {a}",
            Self::ReplyTooLate => "nobody waits for the answer to message {a}",
            Self::Wake => "owner is woken",
            Self::Boot => "server starts, life {a}",
            Self::Crash => "server crashes, life {a}",
            Self::SyncError => "fsync fails, the server dies, life {a}",
            Self::Stop => "server is told to stop, life {a}",
            Self::Ended => "owner has ended",
            Self::Down => "server has stopped, life {a}",
            Self::Full => "store is full",
            Self::Room => "store has room again",
            Self::Foreign => "somebody else writes to the store",
            Self::Fault => "fault {a}: {b:fault}",
            Self::Phase => "phase begins: {a:word}",
            Self::Group => "store serves {a} calls; the disk has made {b} changes, {c} failed",
            Self::Started => "store is open, with {a} commits; the disk has made {b} changes",
            Self::NotStarted => "store does not start: {a:failure}",
            Self::Died => "disk has made {b} changes, and the power is {a:word}",
            Self::DiedInCommit => "server dies within a commit, life {a}",
            Self::TakenBack => "store file is {a:word}",
        }
    }
}

fn lane_of_fault(kind: u64) -> Lane {
    match Fault::ALL.get(kind as usize) {
        Some(Fault::Crash | Fault::Stop) => Lane::server(0),
        Some(fault) if is_of_clients(*fault) => Lane::CLIENTS,
        _ => STORE,
    }
}
