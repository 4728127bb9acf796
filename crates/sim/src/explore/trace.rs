//! What happened, line by line.
//!
//! Each world has its own words ([`Words`]). A line is a few numbers until somebody wants to read it. Every line goes into a hash, so that two
//! runs can be compared without their texts; the last ones are kept for the story of a failure.

use std::collections::VecDeque;
use std::fmt;

/// How many lines a story has.
const STORY_LEN: usize = 40;

/// The sequence of lines that are about none.
pub(super) const NO_SEQUENCE: usize = u8::MAX as usize;

/// What lines of a world can be about.
pub(super) trait Words: Copy {
    /// Tells one from the other.
    fn number(self) -> u64;

    /// The line in words, with `{a}`, `{b}` and `{c}` for its numbers.
    fn text(self) -> &'static str;

    /// Writes where it happened.
    fn write_place(place: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

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
    Phase,
    Group,
    Started,
    NotStarted,
    Died,
    DiedInCommit,
    TakenBack,
}

impl Words for What {
    fn number(self) -> u64 {
        self as u64
    }

    fn write_place(place: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if place == NO_SEQUENCE { write!(f, "--  ") } else { write!(f, "s{place}  ") }
    }

    fn text(self) -> &'static str {
        match self {
            Self::AskTake => "request {a} asks for {b} IDs, to be answered by {c}",
            Self::AskBatch => "request {a} asks {b} times for one ID, to be answered by {c}",
            Self::AskRaise => "request {a} asks to raise to {b}, to be answered by {c}",
            Self::Arrive => "request {a} reaches the server",
            Self::Unreachable => "request {a} finds no server",
            Self::HotTake => "request {a} takes [{b}, {c}) from the cursor",
            Self::Wanted => "owner hears that request {a} wants {b}",
            Self::LowWater => "owner hears that the low-water mark is reached",
            Self::Undelivered => "owner hears that [{b}, {c}) went to nobody",
            Self::Issue => "owner issues [{b}, {c}) to request {a}",
            Self::Acknowledge => "owner acknowledges raise {a} to {b}",
            Self::Refuse => "owner refuses request {a}: kind {b}, {c}",
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
            Self::CommitReserve => "durable: [{b}, {c}) reserved (message {a})",
            Self::CommitRaise => "durable: mark raised from {b} to {c} (message {a})",
            Self::CommitHandBack => "durable: [{b}, {c}) handed back (message {a})",
            Self::CommitForeign => "durable: somebody else moved the mark from {b} to {c}",
            Self::NotApplied => "store does not apply message {a}",
            Self::Opened => "owner hears of the record: mark {b}, spent {c}",
            Self::Reserved => "owner hears that [{b}, {c}) is reserved",
            Self::Raised => "owner hears that the mark is {b}",
            Self::HandedBack => "owner hears of the hand-back: {b} (1: done)",
            Self::Failed => "owner hears of a failure of message {a}: kind {b}",
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
            Self::Phase => "phase {a} begins",
            Self::Group => "store serves {a} calls; the disk has made {b} changes, {c} failed",
            Self::Started => "store is open, with {a} commits; the disk has made {b} changes",
            Self::NotStarted => "store does not start: kind {a}",
            Self::Died => "disk has made {b} changes and loses its power: {a} (1: yes)",
            Self::DiedInCommit => "server dies within a commit, life {a}",
            Self::TakenBack => "store file is taken back (1: lost): {a}",
        }
    }
}

/// One line: when, where, what, and up to three numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<W> {
    at: u64,
    what: W,
    place: usize,
    numbers: [u64; 3],
}

impl<W: Words> fmt::Display for Line<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10} us  ", self.at)?;
        W::write_place(self.place, f)?;
        let mut rest = self.what.text();
        while let Some((before, after)) = rest.split_once('{') {
            let (letter, after) = after.split_once('}').expect("every brace is closed");
            let index = usize::from(letter.as_bytes()[0] - b'a');
            write!(f, "{before}{}", self.numbers[index])?;
            rest = after;
        }
        f.write_str(rest)
    }
}

/// The lines of one world.
#[derive(Debug)]
pub(super) struct Trace<W> {
    hash: u64,
    last: VecDeque<Line<W>>,
    text: Option<String>,
}

impl<W: Words> Trace<W> {
    pub(super) fn new(keep_text: bool) -> Self {
        Self {
            hash: 0,
            last: VecDeque::with_capacity(STORY_LEN),
            text: keep_text.then(String::new),
        }
    }

    pub(super) fn line(&mut self, at: u64, place: usize, what: W, numbers: [u64; 3]) {
        let line = Line { at, what, place, numbers };
        for word in [at, what.number() | (place as u64) << 8].into_iter().chain(numbers) {
            // The step of FxHash: one rotation and one multiplication.
            self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
        if let Some(text) = &mut self.text {
            text.push_str(&format!("{line}\n"));
        }
        if self.last.len() == STORY_LEN {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// Takes all lines out.
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(false))
    }

    /// The last lines, as text.
    pub(super) fn story(&self) -> Vec<String> {
        self.last.iter().map(ToString::to_string).collect()
    }

    pub(super) fn into_text(self) -> Option<String> {
        self.text
    }
}
