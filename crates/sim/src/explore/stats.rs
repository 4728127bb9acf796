//! What was seen: counts, and the marks that show which paths a set of seeds has taken.

/// Declares the marks, each with what happened in words.
macro_rules! marks {
    ($($mark:ident: $words:literal,)*) => {
        /// A fault or a path that the seeds must reach, or they prove less than they seem to.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the words of as_str say what each is")]
        pub enum Mark {
            $($mark,)*
        }

        impl Mark {
            /// What happened, in words.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$mark => $words,)*
                }
            }
        }
    };
}

marks! {
    Crash: "server crashed",
    CleanStop: "server stopped cleanly",
    SlowStore: "store was slow",
    Unavailable: "store was unavailable",
    IndeterminateApplied: "indeterminate, and applied",
    IndeterminateNotApplied: "indeterminate, and not applied",
    Conflict: "conflict",
    ReplyLost: "reply lost after it was applied",
    TimedOut: "shell waited no longer for the store",
    ReplyTooLate: "store answered too late",
    StoreFull: "store was full",
    SyncError: "fsync failed and the server died",
    ShortBlock: "store gave a shorter block",
    ForeignRaise: "somebody else raised the mark",
    ForeignReserve: "somebody else reserved a block",
    AppliedAtCrash: "in flight at a crash, and applied",
    LostAtCrash: "in flight at a crash, and not applied",
    AnswerLost: "answer lost with its connection",
    GroupCommit: "several writes in one commit",
    BeyondHole: "block adopted beyond a hole",
    RestSkipped: "range skipped the rest of a block",
    ThirdPiece: "a third piece made the first give way",
    HandedBack: "rest handed back",
    HandBackRefused: "hand-back refused",
    HandBackFailed: "hand-back failed",
    CalmStop: "stop without a gap",
    CrashBurn: "burnt by a crash",
    HoleBurn: "burnt in a hole",
    RaiseBurn: "burnt by a raise",
    ExhaustedRefused: "refused as exhausted",
    LateRefused: "refused as late",
    StoppingRefused: "refused as stopping",
    LoweringRefused: "refused as lowering",
    Unreachable: "no server to ask",
    ConflictRetried: "conflict tried again at once",
    Backoff: "allocator paused after a failure",
    Left: "client left",
    Abandoned: "waiting request abandoned",
    Undelivered: "issued to a request that was gone",
    HotUndelivered: "taken for a request that was gone",
    RaisedByMemory: "raised without the store",
    RaisedByStore: "raised by the store",
    HotTake: "taken from the cursor",
    Waited: "waited for the store",
    LowWater: "low-water mark reached",
    Extended: "block put under the open cursor",
    Batch: "pipelined batch",
    LongRange: "range of a million",
    LastId: "last ID of the space issued",
    BlockOfOne: "block length 1",
    CallLost: "call to the engine was lost",
    EngineCutOff: "message to or from the engine was cut off",
    EngineAway: "call found no engine",
    AppliedLate: "applied after whoever asked had given up",
    Differs: "compare-and-swap found another version",
    TornList: "list was read in two parts",
    AnnouncedUnheard: "announcement of unknown outcome, and applied",
    Away: "engine went away",
    EngineCut: "link to the engine was cut",
    PeerCut: "link between servers was cut",
    CutOneWay: "link was cut one way",
    Paused: "process stood still",
    PausedWithin: "process stood still between two instructions",
    Provoked: "process went on when another took over",
    Stalled: "thread stood still between two instructions",
    ClockApart: "clock was fast or slow",
    PeerCutOff: "message between servers was cut off",
    PeerLost: "question to another server was lost",
    PeerAnswerLost: "answer of another server was lost",
    PeerTwice: "question to another server arrived twice",
    PeerSlow: "message between servers was slow",
    PeerDown: "question found no server",
    PeerTooLate: "answer of another server came too late",
    PeerUnanswered: "question to another server had no answer",
    Forwarded: "forwarded to the owner",
    ForwardedTogether: "several forwarded as one",
    OwnedByAnother: "claim found another owner",
    Deferred: "claim deferred to the preferred server",
    OwnedByFollowed: "owner named another owner",
    LookedFor: "owner was not known and was found",
    OwnerGone: "owner was gone",
    SentHere: "sent to and fro, and claimed here",
    SentOn: "sent on to another owner",
    ClaimedAgain: "owner claimed again",
    TakenOverAfterLeave: "taken over after the owner left",
    TakenOverAfterSilence: "taken over after the owner was silent",
    SilentEnded: "lease of a silent server ended",
    SilentRenewed: "silent server had renewed after all",
    NotRenewed: "lease was not renewed at once",
    LapsedAndRenewed: "lease lapsed and was renewed",
    BeganAgain: "lease was ended and taken anew",
    WaitedForLease: "request waited for the lease",
    NoLease: "request waited for another lease",
    TakenInVain: "taken, and the lease was over",
    Fenced: "reservation of an old turn was fenced",
    LooseShared: "loose sequence shared",
    AskedAgain: "asked again after the world had healed",
    StopTimedOut: "stop took too long",
    PowerLost: "process died, and the power was lost",
    PowerKept: "process died, and the cache was left",
    DiedInCommit: "process died within a commit",
    DiedInStart: "process died within its start",
    DiedInClose: "process died while it closed its store",
    NoRoomBefore: "no room before the commit",
    NoRoomWithin: "no room within the commit",
    StoppedBefore: "store stopped before a commit",
    StoppedWithin: "store stopped within a commit",
    StoppedRestarted: "stopped store was started again",
    StartFailed: "disk failed at the start",
    TakenBack: "store was taken back",
    Lost: "store was lost",
    WitnessBehind: "witness was not written",
    OtherKinds: "other kinds in the group",
    StoreRefused: "refused since the store had stopped",
    ExhaustedOne: "one ID refused as exhausted",
    ExhaustedRange: "range refused as exhausted",
    ExhaustedBatch: "part of a pipelined batch refused as exhausted",
    ExhaustedLeft: "range refused as exhausted, and fewer were left",
    RaisedToEnd: "raised to the end of the ID space",
    RaiseFoundHigher: "raise found a higher mark in the store",
}

/// How many marks there are.
const MARKS: usize = Mark::RaiseFoundHigher as usize + 1;

impl Mark {
    /// What the world of one server can reach.
    pub const ONE: [Self; 56] = [
        Self::ExhaustedOne,
        Self::ExhaustedRange,
        Self::ExhaustedBatch,
        Self::ExhaustedLeft,
        Self::RaisedToEnd,
        Self::RaiseFoundHigher,
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

    /// What the world of several servers can reach.
    pub const SEVERAL: [Self; 71] = [
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
        Self::AppliedAtCrash,
        Self::AnswerLost,
        Self::HandedBack,
        Self::HandBackRefused,
        Self::CrashBurn,
        Self::LateRefused,
        Self::StoppingRefused,
        Self::LoweringRefused,
        Self::Unreachable,
        Self::Left,
        Self::RaisedByStore,
        Self::HotTake,
        Self::Waited,
        Self::CallLost,
        Self::EngineCutOff,
        Self::EngineAway,
        Self::AppliedLate,
        Self::Differs,
        Self::TornList,
        Self::AnnouncedUnheard,
        Self::Away,
        Self::EngineCut,
        Self::PeerCut,
        Self::CutOneWay,
        Self::Paused,
        Self::PausedWithin,
        Self::Provoked,
        Self::Stalled,
        Self::ClockApart,
        Self::PeerCutOff,
        Self::PeerLost,
        Self::PeerAnswerLost,
        Self::PeerTwice,
        Self::PeerSlow,
        Self::PeerDown,
        Self::PeerTooLate,
        Self::PeerUnanswered,
        Self::Forwarded,
        Self::ForwardedTogether,
        Self::OwnedByAnother,
        Self::Deferred,
        Self::OwnedByFollowed,
        Self::LookedFor,
        Self::OwnerGone,
        Self::SentHere,
        Self::SentOn,
        Self::ClaimedAgain,
        Self::TakenOverAfterLeave,
        Self::TakenOverAfterSilence,
        Self::SilentEnded,
        Self::SilentRenewed,
        Self::NotRenewed,
        Self::LapsedAndRenewed,
        Self::BeganAgain,
        Self::WaitedForLease,
        Self::NoLease,
        Self::TakenInVain,
        Self::Fenced,
        Self::LooseShared,
        Self::AskedAgain,
        Self::StopTimedOut,
    ];

    /// What the world of one server on the real store can reach.
    pub const DISK: [Self; 50] = [
        Self::Crash,
        Self::CleanStop,
        Self::SlowStore,
        Self::TimedOut,
        Self::ReplyTooLate,
        Self::StoreFull,
        Self::AppliedAtCrash,
        Self::LostAtCrash,
        Self::AnswerLost,
        Self::GroupCommit,
        Self::HandedBack,
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
        Self::Backoff,
        Self::Left,
        Self::Abandoned,
        Self::Undelivered,
        Self::RaisedByMemory,
        Self::RaisedByStore,
        Self::HotTake,
        Self::Waited,
        Self::LowWater,
        Self::Extended,
        Self::Batch,
        Self::LastId,
        Self::BlockOfOne,
        Self::PowerLost,
        Self::PowerKept,
        Self::DiedInCommit,
        Self::DiedInStart,
        Self::DiedInClose,
        Self::NoRoomBefore,
        Self::NoRoomWithin,
        Self::StoppedBefore,
        Self::StoppedWithin,
        Self::StoppedRestarted,
        Self::StartFailed,
        Self::TakenBack,
        Self::Lost,
        Self::WitnessBehind,
        Self::OtherKinds,
        Self::StoreRefused,
    ];

    /// The marks that are faults in the world of one server on the real store.
    pub const FAULTS_DISK: [Self; 13] = [
        Self::Crash,
        Self::SlowStore,
        Self::PowerLost,
        Self::DiedInCommit,
        Self::DiedInStart,
        Self::DiedInClose,
        Self::NoRoomBefore,
        Self::NoRoomWithin,
        Self::StoppedBefore,
        Self::StoppedWithin,
        Self::StartFailed,
        Self::TakenBack,
        Self::Lost,
    ];

    /// The marks that are faults in the world of one server.
    pub const FAULTS_ONE: [Self; 13] = [
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

    /// The marks that are faults in the world of several servers.
    pub const FAULTS_SEVERAL: [Self; 20] = [
        Self::Crash,
        Self::SlowStore,
        Self::Unavailable,
        Self::Conflict,
        Self::ReplyLost,
        Self::CallLost,
        Self::EngineCutOff,
        Self::EngineAway,
        Self::TornList,
        Self::Paused,
        Self::Stalled,
        Self::PeerCut,
        Self::EngineCut,
        Self::PeerCutOff,
        Self::PeerLost,
        Self::PeerAnswerLost,
        Self::PeerTwice,
        Self::PeerSlow,
        Self::AnswerLost,
        Self::Left,
    ];
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

    /// How often any of `marks` was reached.
    pub fn sum(&self, marks: &[Mark]) -> u64 {
        marks.iter().map(|&mark| self.marked(mark)).sum()
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
