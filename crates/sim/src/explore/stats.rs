//! What was seen: counts, and the marks that show which paths a set of seeds has taken.

/// A fault or a path that the seeds must reach, or they prove less than they seem to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of as_str say what each is")]
pub enum Mark {
    Crash,
    CleanStop,
    SlowStore,
    Unavailable,
    IndeterminateApplied,
    IndeterminateNotApplied,
    Conflict,
    ReplyLost,
    TimedOut,
    ReplyTooLate,
    StoreFull,
    SyncError,
    ShortBlock,
    ForeignRaise,
    ForeignReserve,
    AppliedAtCrash,
    LostAtCrash,
    AnswerLost,
    GroupCommit,
    BeyondHole,
    RestSkipped,
    ThirdPiece,
    HandedBack,
    HandBackRefused,
    HandBackFailed,
    CalmStop,
    CrashBurn,
    HoleBurn,
    RaiseBurn,
    ExhaustedRefused,
    LateRefused,
    StoppingRefused,
    LoweringRefused,
    Unreachable,
    ConflictRetried,
    Backoff,
    Left,
    Abandoned,
    Undelivered,
    HotUndelivered,
    RaisedByMemory,
    RaisedByStore,
    HotTake,
    Waited,
    LowWater,
    Extended,
    Batch,
    LongRange,
    LastId,
    BlockOfOne,
}

/// How many marks there are.
const MARKS: usize = Mark::ALL.len();

impl Mark {
    /// All marks, in the order of their declaration.
    pub const ALL: [Self; 50] = [
        Self::Crash,
        Self::CleanStop,
        Self::SlowStore,
        Self::Unavailable,
        Self::IndeterminateApplied,
        Self::IndeterminateNotApplied,
        Self::Conflict,
        Self::ReplyLost,
        Self::TimedOut,
        Self::ReplyTooLate,
        Self::StoreFull,
        Self::SyncError,
        Self::ShortBlock,
        Self::ForeignRaise,
        Self::ForeignReserve,
        Self::AppliedAtCrash,
        Self::LostAtCrash,
        Self::AnswerLost,
        Self::GroupCommit,
        Self::BeyondHole,
        Self::RestSkipped,
        Self::ThirdPiece,
        Self::HandedBack,
        Self::HandBackRefused,
        Self::HandBackFailed,
        Self::CalmStop,
        Self::CrashBurn,
        Self::HoleBurn,
        Self::RaiseBurn,
        Self::ExhaustedRefused,
        Self::LateRefused,
        Self::StoppingRefused,
        Self::LoweringRefused,
        Self::Unreachable,
        Self::ConflictRetried,
        Self::Backoff,
        Self::Left,
        Self::Abandoned,
        Self::Undelivered,
        Self::HotUndelivered,
        Self::RaisedByMemory,
        Self::RaisedByStore,
        Self::HotTake,
        Self::Waited,
        Self::LowWater,
        Self::Extended,
        Self::Batch,
        Self::LongRange,
        Self::LastId,
        Self::BlockOfOne,
    ];

    /// The marks that are faults.
    pub const FAULTS: [Self; 13] = [
        Self::Crash,
        Self::SlowStore,
        Self::Unavailable,
        Self::IndeterminateApplied,
        Self::IndeterminateNotApplied,
        Self::Conflict,
        Self::ReplyLost,
        Self::StoreFull,
        Self::SyncError,
        Self::ShortBlock,
        Self::ForeignRaise,
        Self::ForeignReserve,
        Self::Left,
    ];

    /// What happened, in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "server crashed",
            Self::CleanStop => "server stopped cleanly",
            Self::SlowStore => "store was slow",
            Self::Unavailable => "store was unavailable",
            Self::IndeterminateApplied => "indeterminate, and applied",
            Self::IndeterminateNotApplied => "indeterminate, and not applied",
            Self::Conflict => "conflict",
            Self::ReplyLost => "reply lost after it was applied",
            Self::TimedOut => "shell waited no longer for the store",
            Self::ReplyTooLate => "store answered too late",
            Self::StoreFull => "store was full",
            Self::SyncError => "fsync failed and the server died",
            Self::ShortBlock => "store gave a shorter block",
            Self::ForeignRaise => "somebody else raised the mark",
            Self::ForeignReserve => "somebody else reserved a block",
            Self::AppliedAtCrash => "in flight at a crash, and applied",
            Self::LostAtCrash => "in flight at a crash, and not applied",
            Self::AnswerLost => "answer lost with its connection",
            Self::GroupCommit => "several writes in one commit",
            Self::BeyondHole => "block adopted beyond a hole",
            Self::RestSkipped => "range skipped the rest of a block",
            Self::ThirdPiece => "a third piece made the first give way",
            Self::HandedBack => "rest handed back",
            Self::HandBackRefused => "hand-back refused",
            Self::HandBackFailed => "hand-back failed",
            Self::CalmStop => "stop without a gap",
            Self::CrashBurn => "burnt by a crash",
            Self::HoleBurn => "burnt in a hole",
            Self::RaiseBurn => "burnt by a raise",
            Self::ExhaustedRefused => "refused as exhausted",
            Self::LateRefused => "refused as late",
            Self::StoppingRefused => "refused as stopping",
            Self::LoweringRefused => "refused as lowering",
            Self::Unreachable => "no server to ask",
            Self::ConflictRetried => "conflict tried again at once",
            Self::Backoff => "allocator paused after a failure",
            Self::Left => "client left",
            Self::Abandoned => "waiting request abandoned",
            Self::Undelivered => "issued to a request that was gone",
            Self::HotUndelivered => "taken for a request that was gone",
            Self::RaisedByMemory => "raised without the store",
            Self::RaisedByStore => "raised by the store",
            Self::HotTake => "taken from the cursor",
            Self::Waited => "waited for the store",
            Self::LowWater => "low-water mark reached",
            Self::Extended => "block put under the open cursor",
            Self::Batch => "pipelined batch",
            Self::LongRange => "range of a million",
            Self::LastId => "last ID of the space issued",
            Self::BlockOfOne => "block length 1",
        }
    }
}

/// Counts of one world, or the sums of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Requests made, those of a pipelined batch one by one.
    pub requests: u64,
    /// IDs issued.
    pub issued: u64,
    /// Crashes, those by a failed fsync included.
    pub crashes: u64,
    /// Starts of the server.
    pub starts: u64,
    /// Happenings: what the world counts its steps in.
    pub happenings: u64,
    /// Virtual time in microseconds.
    pub virtual_us: u64,
    marks: [u64; MARKS],
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            requests: 0,
            issued: 0,
            crashes: 0,
            starts: 0,
            happenings: 0,
            virtual_us: 0,
            marks: [0; MARKS],
        }
    }
}

impl Stats {
    /// How often `mark` was reached.
    pub const fn marked(&self, mark: Mark) -> u64 {
        self.marks[mark as usize]
    }

    /// How many faults there were, of all kinds.
    pub fn faults(&self) -> u64 {
        Mark::FAULTS.iter().map(|&mark| self.marked(mark)).sum()
    }

    pub(super) fn mark(&mut self, mark: Mark) {
        self.marks[mark as usize] += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.issued += other.issued;
        self.crashes += other.crashes;
        self.starts += other.starts;
        self.happenings += other.happenings;
        self.virtual_us += other.virtual_us;
        for (mine, theirs) in self.marks.iter_mut().zip(other.marks) {
            *mine += theirs;
        }
    }
}
