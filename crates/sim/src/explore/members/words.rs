//! The words of the trace.

use std::fmt;

use crate::explore::trace::Words;

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
    Phase,
}

impl Words for What {
    fn number(self) -> u64 {
        self as u64
    }

    fn write_place(place: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match place {
            NOWHERE => write!(f, "--  "),
            OPERATORS.. => write!(f, "c{}  ", place - OPERATORS),
            _ => write!(f, "m{place}  "),
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::AskTake => "request {a} asks for {b} IDs, to be answered by {c}",
            Self::AskRaise => "request {a} asks to raise to {b}, to be answered by {c}",
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
            Self::CommitStep => "durable: step of message {a} (1: taken, {b})",
            Self::NotApplied => "store does not apply message {a}",
            Self::Aside => "store sets message {a} aside",
            Self::Opened => "owner hears of the record: mark {a}, generation {b}",
            Self::Reserved => "owner hears that positions [{a}, {b}) are reserved",
            Self::HandedBack => "owner hears of the hand-back: {a} (1: done)",
            Self::Failed => "owner hears of a failure of message {a}: kind {b}",
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
            Self::CallFailed => "call {a} fails ({b}: 1: no answer)",
            Self::Boot => "process starts, life {a}",
            Self::Crash => "process crashes, life {a}",
            Self::SyncError => "fsync fails, the process dies, life {a}",
            Self::Stop => "process is told to stop, life {a}",
            Self::Down => "process has ended, life {a}",
            Self::Pause => "process stands still for {a} us",
            Self::Full => "disk is full for {a} us",
            Self::Cut => "link to m{a} is cut for {b} us",
            Self::Phase => "phase {a} begins",
        }
    }
}
