//! The words of the trace.

use crate::explore::fault::Fault;
use crate::explore::step::{Bar, Lane, Sign, Tick, is_of_clients};
use crate::explore::trace::{Words, fault_sign};

/// The place of lines that are about nobody.
pub(super) const NOWHERE: usize = 0xff;

/// The first place of operators.
const OPERATORS: usize = 0x80;

/// The place of an operator.
pub(super) const fn of_operator(operator: usize) -> usize {
    OPERATORS + operator
}

/// What a line is about; see [`Words::text`] for the meaning of its numbers.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    AskTake,
    AskRaise,
    Arrive,
    Unreachable,
    Leave,
    AnswerIds,
    AnswerDone,
    AnswerRefusal,
    AnswerLost,
    HotTake,
    Wanted,
    WantsRaise,
    Issue,
    Issued,
    Acknowledge,
    OwnerBegins,
    OwnerEnded,
    Close,
    AskOpen,
    AskReserve,
    AskRaised,
    AskHandBack,
    AskStep,
    CommitReserve,
    CommitRaise,
    CommitHandBack,
    CommitStep,
    NotApplied,
    Aside,
    Opened,
    Reserved,
    HandedBack,
    Failed,
    ReplyTooLate,
    Shut,
    Unshut,
    ShutOut,
    RunResize,
    RunAbandon,
    RunDone,
    Problem,
    Killed,
    CallAccept,
    CallOpen,
    CallRefuse,
    CallRelease,
    StepNotTaken,
    CallFailed,
    Boot,
    Crash,
    SyncError,
    Stop,
    Down,
    Pause,
    Full,
    Cut,
    Fault,
    Phase,
}

impl Words for What {
    fn number(self) -> u64 {
        self as u64
    }

    fn lane(self, place: usize, [_, kind, _]: [u64; 3]) -> Lane {
        let here = match place {
            NOWHERE => Lane::WORLD,
            OPERATORS.. => Lane { name: "operator", number: (place - OPERATORS) as u64 + 1 },
            _ => Lane::server(place),
        };
        match self {
            Self::AskTake
            | Self::AskRaise
            | Self::Unreachable
            | Self::Leave
            | Self::AnswerIds
            | Self::AnswerDone
            | Self::AnswerRefusal
            | Self::AnswerLost => Lane::CLIENTS,
            Self::Fault => match Fault::ALL.get(kind as usize) {
                Some(fault) if is_of_clients(*fault) => Lane::CLIENTS,
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
            Self::AskTake => request(Tick::Asked, (0, b)),
            Self::AskRaise => request(Tick::Asked, (0, 0)),
            Self::AnswerIds => request(Tick::Answered, (b, c.saturating_add(1))),
            Self::AnswerDone => request(Tick::Answered, (0, 0)),
            Self::AnswerRefusal => request(Tick::Refused, (0, 0)),
            Self::AnswerLost | Self::Leave | Self::Unreachable => request(Tick::Lost, (0, 0)),
            Self::Fault => fault_sign(a, b),
            Self::Opened => begins(Bar::Owner, format!("generation {b}")),
            Self::OwnerEnded => Sign::Ends(Bar::Owner),
            Self::Reserved => begins(Bar::Block, format!("{a}–{}", b.saturating_sub(1))),
            Self::HandedBack => Sign::Ends(Bar::Block),
            Self::Boot | Self::RunResize | Self::RunAbandon => {
                let word = if matches!(self, Self::Boot) { "life" } else { "run" };
                begins(Bar::Life, format!("{word} {a}"))
            }
            Self::RunDone | Self::Problem | Self::Killed => Sign::Ends(Bar::Life),
            Self::Shut => begins(Bar::Still, "takes a step".to_owned()),
            Self::Unshut => Sign::Ends(Bar::Still),
            Self::Stop => begins(Bar::Stopping, "stops".to_owned()),
            Self::Crash | Self::SyncError | Self::Down => Sign::EndsAll,
            Self::Pause => lasts(Bar::Still, "stands still".to_owned(), at + a),
            Self::Cut => lasts(Bar::Cut, format!("cut from server {}", a + 1), at + b),
            Self::Full => lasts(Bar::Away, "full".to_owned(), at + a),
            Self::CommitStep | Self::Phase => Sign::Moment,
            _ => Sign::Plain,
        }
    }

    fn word(self, number: u64) -> &'static str {
        let words: &[&str] = match self {
            Self::Phase => &[
                "faults",
                "drain",
                "settle",
                "fresh",
                "resize",
                "round",
                "last stop",
                "last round",
                "over",
            ],
            Self::CallFailed => &["it was refused", "no answer"],
            Self::CommitStep => &["not taken", "taken"],
            _ => &["not done", "done"],
        };
        words.get(number as usize).unwrap_or(&"?")
    }

    fn text(self) -> &'static str {
        match self {
            Self::AskTake => "request {a} asks for {b} IDs, to be answered by {c:at}",
            Self::AskRaise => "request {a} asks to raise to {b}, to be answered by {c:at}",
            Self::Arrive => "request {a} arrives",
            Self::Unreachable => "request {a} finds no server",
            Self::Leave => "request {a} is given up by its client",
            Self::AnswerIds => "request {a} is answered {b} to {c}",
            Self::AnswerDone => "request {a} is answered: nothing up to {b} comes any more",
            Self::AnswerRefusal => "request {a} is answered: refused",
            Self::AnswerLost => "request {a} loses its connection",
            Self::HotTake => "request {a} takes positions [{b}, {c}) from the cursor",
            Self::Wanted => "owner hears that request {a} wants {b}",
            Self::WantsRaise => "owner hears that request {a} raises to position {b}",
            Self::Issue => "owner issues positions [{b}, {c}) to request {a}",
            Self::Issued => "IDs {a} to {b} of generation {c} are issued",
            Self::Acknowledge => "owner acknowledges raise {a} to position {b}, above ID {c}",
            Self::OwnerBegins => "owner {a} begins",
            Self::OwnerEnded => "owner has ended",
            Self::Close => "owner is told to hand back and end",
            Self::AskOpen => "store is asked for the record (message {a})",
            Self::AskReserve => "store is asked to reserve {b} from {c} (message {a})",
            Self::AskRaised => "store is asked to raise to {b} (message {a})",
            Self::AskHandBack => "store is asked to take back [{b}, {c}) (message {a})",
            Self::AskStep => "store is asked to take a step (message {a})",
            Self::CommitReserve => "durable: positions [{b}, {c}) reserved (message {a})",
            Self::CommitRaise => "durable: mark raised from {b} to {c} (message {a})",
            Self::CommitHandBack => "durable: positions [{b}, {c}) handed back (message {a})",
            Self::CommitStep => "durable: step of message {a}: {b:word}",
            Self::NotApplied => "store does not apply message {a}",
            Self::Aside => "store sets message {a} aside",
            Self::Opened => "owner hears of the record: mark {a}, generation {b}",
            Self::Reserved => "owner hears that positions [{a}, {b}) are reserved",
            Self::HandedBack => "owner hears of the hand-back: {a:word}",
            Self::Failed => "owner hears of a failure of message {a}: {b:failure}",
            Self::ReplyTooLate => "nobody waits for the answer to message {a}",
            Self::Shut => "step of call {a} begins: nobody is served",
            Self::Unshut => "step of call {a} is over",
            Self::ShutOut => "request {a} waits until the step is over",
            Self::RunResize => "run {a} of the command begins: wish {b}, of {c} addresses",
            Self::RunAbandon => "run {a} of the command begins: give up, of {c} addresses",
            Self::RunDone => "the command is done",
            Self::Problem => "the command ends with problem {a}",
            Self::Killed => "the command is killed",
            Self::CallAccept => "call {a}: accept the plan of attempt {b}, cap {c}",
            Self::CallOpen => "call {a}: open the plan of attempt {b}, floor {c}",
            Self::CallRefuse => "call {a}: refuse the plan of attempt {b}",
            Self::CallRelease => "call {a}: release from the plan of attempt {b}",
            Self::StepNotTaken => "call {a} is answered: not taken, reason {b}",
            Self::CallFailed => "call {a} fails: {b:word}",
            Self::Boot => "process starts, life {a}",
            Self::Crash => "process crashes, life {a}",
            Self::SyncError => "fsync fails, the process dies, life {a}",
            Self::Stop => "process is told to stop, life {a}",
            Self::Down => "process has ended, life {a}",
            Self::Pause => "process stands still for {a:span}",
            Self::Full => "disk is full for {a:span}",
            Self::Cut => "link to {a:place} is cut for {b:span}",
            Self::Phase => "phase begins: {a:word}",
            Self::Fault => "fault {a}: {b:fault}",
        }
    }
}
