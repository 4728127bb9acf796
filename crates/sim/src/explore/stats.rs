//! What was seen: counts, and the marks that show which paths a set of seeds has taken.

use super::Setting;

/// Declares the marks, each with what happened in words, in which worlds that is a fault, and in
/// which others it can happen.
macro_rules! marks {
    ($($mark:ident: $words:literal, faults [$($fault:ident)*], paths [$($path:ident)*],)*) => {
        /// A fault or a path that the seeds must reach, or they prove less than they seem to.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the words of as_str say what each is")]
        pub enum Mark {
            $($mark,)*
        }

        impl Mark {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$mark,)*];

            /// What happened, in words.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$mark => $words,)*
                }
            }

            /// The worlds in which it is a fault.
            const fn faults(self) -> &'static [Setting] {
                match self {
                    $(Self::$mark => &[$(Setting::$fault,)*],)*
                }
            }

            /// The other worlds that can reach it.
            const fn paths(self) -> &'static [Setting] {
                match self {
                    $(Self::$mark => &[$(Setting::$path,)*],)*
                }
            }
        }
    };
}

marks! {
    Crash: "server crashed", faults [One Several Members Disk], paths [],
    CleanStop: "server stopped cleanly", faults [], paths [One Several Members Disk],
    SlowStore: "store was slow", faults [One Several Members Disk], paths [],
    Unavailable: "store was unavailable", faults [One Several Members], paths [],
    IndeterminateApplied: "indeterminate, and applied", faults [One Members], paths [Several],
    IndeterminateNotApplied: "indeterminate, and not applied", faults [One Members], paths [Several],
    Conflict: "conflict", faults [One Several Members], paths [],
    ReplyLost: "reply lost after it was applied", faults [One Several Members], paths [],
    TimedOut: "shell waited no longer for the store", faults [], paths [One Several Members Disk],
    ReplyTooLate: "store answered too late", faults [], paths [One Several Members Disk],
    StoreFull: "store was full", faults [One Members], paths [Disk],
    SyncError: "fsync failed and the server died", faults [One Members], paths [],
    ShortBlock: "store gave a shorter block", faults [One Members], paths [],
    ForeignRaise: "somebody else raised the mark", faults [One], paths [],
    ForeignReserve: "somebody else reserved a block", faults [One], paths [],
    AppliedAtCrash: "in flight at a crash, and applied", faults [], paths [One Several Members Disk],
    LostAtCrash: "in flight at a crash, and not applied", faults [], paths [One Members Disk],
    AnswerLost: "answer lost with its connection", faults [Several Members], paths [One Disk],
    GroupCommit: "several writes in one commit", faults [], paths [One Members Disk],
    BeyondHole: "block adopted beyond a hole", faults [], paths [One],
    RestSkipped: "range skipped the rest of a block", faults [], paths [One],
    ThirdPiece: "a third piece made the first give way", faults [], paths [One],
    HandedBack: "rest handed back", faults [], paths [One Several Members Disk],
    HandBackRefused: "hand-back refused", faults [], paths [One Several Members],
    HandBackFailed: "hand-back failed", faults [], paths [One Disk],
    CalmStop: "stop without a gap", faults [], paths [One Disk],
    CrashBurn: "burnt by a crash", faults [], paths [One Several Disk],
    HoleBurn: "burnt in a hole", faults [], paths [One Disk],
    RaiseBurn: "burnt by a raise", faults [], paths [One Members Disk],
    ExhaustedRefused: "refused as exhausted", faults [], paths [One Members Disk],
    LateRefused: "refused as late", faults [], paths [One Several Members Disk],
    StoppingRefused: "refused as stopping", faults [], paths [One Several Members Disk],
    LoweringRefused: "refused as lowering", faults [], paths [One Several Members Disk],
    Unreachable: "no server to ask", faults [], paths [One Several Members Disk],
    ConflictRetried: "conflict tried again at once", faults [], paths [One],
    Backoff: "allocator paused after a failure", faults [], paths [One Disk],
    Left: "client left", faults [One Several Members], paths [Disk],
    Abandoned: "waiting request abandoned", faults [], paths [One Members Disk],
    Undelivered: "issued to a request that was gone", faults [], paths [One Members Disk],
    HotUndelivered: "taken for a request that was gone", faults [], paths [One Members],
    RaisedByMemory: "raised without the store", faults [], paths [One Disk],
    RaisedByStore: "raised by the store", faults [], paths [One Several Members Disk],
    HotTake: "taken from the cursor", faults [], paths [One Several Members Disk],
    Waited: "waited for the store", faults [], paths [One Several Members Disk],
    LowWater: "low-water mark reached", faults [], paths [One Members Disk],
    Extended: "block put under the open cursor", faults [], paths [One Disk],
    Batch: "pipelined batch", faults [], paths [One Several Disk],
    LongRange: "range of a million", faults [], paths [One],
    LastId: "last ID of the space issued", faults [], paths [One Disk],
    BlockOfOne: "block length 1", faults [], paths [One Disk],
    CallLost: "call to the engine was lost", faults [Several], paths [],
    EngineCutOff: "message to or from the engine was cut off", faults [Several], paths [],
    EngineAway: "call found no engine", faults [Several], paths [],
    AppliedLate: "applied after whoever asked had given up", faults [], paths [Several Members],
    Differs: "compare-and-swap found another version", faults [], paths [Several],
    TornList: "list was read in two parts", faults [Several], paths [],
    AnnouncedUnheard: "announcement of unknown outcome, and applied", faults [], paths [Several],
    Away: "engine went away", faults [], paths [Several],
    EngineCut: "link to the engine was cut", faults [Several], paths [],
    PeerCut: "link between servers was cut", faults [Several], paths [],
    CutOneWay: "link was cut one way", faults [], paths [Several],
    Paused: "process stood still", faults [Several Members], paths [],
    PausedWithin: "process stood still between two instructions", faults [], paths [Several],
    Provoked: "process went on when another took over", faults [], paths [Several],
    Stalled: "thread stood still between two instructions", faults [Several], paths [],
    ClockApart: "clock was fast or slow", faults [], paths [Several],
    PeerCutOff: "message between servers was cut off", faults [Several], paths [],
    PeerLost: "question to another server was lost", faults [Several], paths [],
    PeerAnswerLost: "answer of another server was lost", faults [Several], paths [],
    PeerTwice: "question to another server arrived twice", faults [Several], paths [],
    PeerSlow: "message between servers was slow", faults [Several], paths [],
    PeerDown: "question found no server", faults [], paths [Several],
    PeerTooLate: "answer of another server came too late", faults [], paths [Several],
    PeerUnanswered: "question to another server had no answer", faults [], paths [Several],
    Forwarded: "forwarded to the owner", faults [], paths [Several],
    ForwardedTogether: "several forwarded as one", faults [], paths [Several],
    OwnedByAnother: "claim found another owner", faults [], paths [Several],
    Deferred: "claim deferred to the preferred server", faults [], paths [Several],
    OwnedByFollowed: "owner named another owner", faults [], paths [Several],
    LookedFor: "owner was not known and was found", faults [], paths [Several],
    OwnerGone: "owner was gone", faults [], paths [Several],
    SentHere: "sent to and fro, and claimed here", faults [], paths [Several],
    SentOn: "sent on to another owner", faults [], paths [Several],
    ClaimedAgain: "owner claimed again", faults [], paths [Several],
    TakenOverAfterLeave: "taken over after the owner left", faults [], paths [Several],
    TakenOverAfterSilence: "taken over after the owner was silent", faults [], paths [Several],
    SilentEnded: "lease of a silent server ended", faults [], paths [Several],
    SilentRenewed: "silent server had renewed after all", faults [], paths [Several],
    NotRenewed: "lease was not renewed at once", faults [], paths [Several],
    LapsedAndRenewed: "lease lapsed and was renewed", faults [], paths [Several],
    BeganAgain: "lease was ended and taken anew", faults [], paths [Several],
    WaitedForLease: "request waited for the lease", faults [], paths [Several],
    NoLease: "request waited for another lease", faults [], paths [Several],
    TakenInVain: "taken, and the lease was over", faults [], paths [Several],
    Fenced: "reservation of an old turn was fenced", faults [], paths [Several],
    LooseShared: "loose sequence shared", faults [], paths [Several],
    AskedAgain: "asked again after the world had healed", faults [], paths [Several],
    StopTimedOut: "stop took too long", faults [], paths [Several],
    SetAside: "store set a write aside", faults [Members], paths [],
    LeftRefused: "refused, since the member has left", faults [], paths [Members],
    MissingRefused: "refused, since the sequence is not there", faults [], paths [Members],
    StepAgain: "step was taken again", faults [], paths [Members],
    StepFailed: "step failed in the store", faults [], paths [Members],
    StepNotTaken: "step was not taken", faults [], paths [Members],
    ClosedForStep: "owner ended for a step", faults [], paths [Members],
    ShutOut: "request waited for a step", faults [], paths [Members],
    TriedAgain: "request met an owner that was ending", faults [], paths [Members],
    RaiseKeptOut: "raise kept out by a resize", faults [], paths [Members],
    Joined: "plan accepted by who joins", faults [], paths [Members],
    Accepted: "plan accepted by a member", faults [], paths [Members],
    OpenedGeneration: "generation opened", faults [], paths [Members],
    LeftMembers: "member left", faults [], paths [Members],
    RefusedPlan: "plan refused for ever", faults [], paths [Members],
    Released: "member released from a plan", faults [], paths [Members],
    CrashBetween: "crashed between accepting and opening", faults [], paths [Members],
    CallMissing: "message of a coordinator was lost", faults [Members], paths [],
    CallCutOff: "message of a coordinator was cut off", faults [Members], paths [],
    CallDelayed: "message of a coordinator was late", faults [Members], paths [],
    CallTwice: "question of a coordinator arrived twice", faults [Members], paths [],
    CallTooLate: "answer to a coordinator came too late", faults [], paths [Members],
    CallUnanswered: "coordinator had no answer", faults [], paths [Members],
    CoordinatorStill: "coordinator stood still", faults [Members], paths [],
    CoordinatorKilled: "coordinator was killed", faults [Members], paths [],
    LinkCut: "link to a member was cut", faults [Members], paths [],
    OtherPlan: "resize met another one", faults [], paths [Members],
    OtherGenerations: "resize met two generations", faults [], paths [Members],
    MemberMissing: "resize missed a member", faults [], paths [Members],
    OpenedAlready: "too late to give up: opened", faults [], paths [Members],
    AllAccepted: "too late to give up: all had accepted", faults [], paths [Members],
    Resized: "resize was done", faults [], paths [Members],
    GivenUp: "nothing was left to give up", faults [], paths [Members],
    PowerLost: "process died, and the power was lost", faults [Disk], paths [],
    PowerKept: "process died, and the cache was left", faults [], paths [Disk],
    DiedInCommit: "process died within a commit", faults [Disk], paths [],
    DiedInStart: "process died within its start", faults [Disk], paths [],
    DiedInClose: "process died while it closed its store", faults [Disk], paths [],
    NoRoomBefore: "no room before the commit", faults [Disk], paths [],
    NoRoomWithin: "no room within the commit", faults [Disk], paths [],
    StoppedBefore: "store stopped before a commit", faults [Disk], paths [],
    StoppedWithin: "store stopped within a commit", faults [Disk], paths [],
    StoppedRestarted: "stopped store was started again", faults [], paths [Disk],
    StartFailed: "disk failed at the start", faults [Disk], paths [],
    TakenBack: "store was taken back", faults [Disk], paths [],
    Lost: "store was lost", faults [Disk], paths [],
    WitnessBehind: "witness was not written", faults [], paths [Disk],
    OtherKinds: "other kinds in the group", faults [], paths [Disk],
    StoreRefused: "refused since the store had stopped", faults [], paths [Disk],
    FlakeTaken: "snowflake taken from a generator", faults [], paths [Several],
    FlakeWaited: "snowflake waited for time to pass", faults [], paths [Several],
    FlakeRaised: "snowflake sequence was raised", faults [], paths [Several],
    RaiseTooEarly: "raise of a snowflake to a time that has not come", faults [], paths [Several],
    WorkerFirst: "generator leased its first worker ID", faults [], paths [Several],
    WorkerRenewed: "worker ID was renewed", faults [], paths [Several],
    WorkerChanged: "generator lost its worker ID and leased another", faults [], paths [Several],
    WorkerTakenOver: "worker ID was taken over from another holder", faults [], paths [Several],
    WindowLeased: "window of ticks was leased", faults [], paths [Several],
    WorkersAllTaken: "all worker IDs were taken", faults [], paths [Several],
    TicksReleased: "unspent ticks were released", faults [], paths [Several],
    TicksGivenBack: "release became durable", faults [], paths [Several],
    ReleaseRefused: "release of ticks was refused", faults [], paths [Several],
    ClockBack: "wall clock went back", faults [Several], paths [],
    ClockForward: "wall clock went forward, and was believed", faults [Several], paths [],
    ClockFarForward: "wall clock went forward beyond belief", faults [Several], paths [],
    ClockFrozen: "wall clock stood still", faults [Several], paths [],
    ClockDrifts: "wall clock was fast or slow", faults [Several], paths [],
    ClockSetRight: "wall clock was set right", faults [], paths [Several],
    ClockNotBelieved: "refused since the wall clock is not believed", faults [], paths [Several],
    AheadOfClock: "refused since the IDs are ahead of the wall clock", faults [], paths [Several],
    ClockBeforeEpoch: "refused since the wall clock is before the epoch", faults [], paths [Several],
    FlakeAskedAgain: "asked the same server again for a snowflake", faults [], paths [Several],
    BatchCutShort: "batch was answered in part", faults [], paths [Several],
    FailedOver: "standby took over, and nothing was lost", faults [Several], paths [],
    FellBack: "standby took over that was behind", faults [Several], paths [],
    Restored: "backup was restored", faults [Several], paths [],
    ForeignEngine: "server noticed that the engine is another one", faults [], paths [Several],
    LossNoticed: "server noticed that the engine has lost commits", faults [], paths [Several],
    RefusedAsLost: "client was refused since commits are lost", faults [], paths [Several],
    Repaired: "operator repaired the engine while no server ran", faults [], paths [Several],
    RaisedAfterLoss: "operator raised a sequence after a loss", faults [], paths [Several],
    IssuedAgain: "ID that was lost was issued again", faults [], paths [Several],
    TicksRunOut: "refused since the ticks have run out", faults [], paths [Several],
    ExhaustedOne: "one ID refused as exhausted", faults [], paths [One],
    ExhaustedRange: "range refused as exhausted", faults [], paths [One],
    ExhaustedBatch: "part of a pipelined batch refused as exhausted", faults [], paths [One],
    ExhaustedLeft: "range refused as exhausted, and fewer were left", faults [], paths [One],
    RaisedToEnd: "raised to the end of the ID space", faults [], paths [One],
    RaiseFoundHigher: "raise found a higher mark in the store", faults [], paths [One],
}

/// How many marks there are.
const MARKS: usize = Mark::ALL.len();

impl Mark {
    /// Whether it is a fault in a world of `setting`.
    pub(super) fn is_fault(self, setting: Setting) -> bool {
        self.faults().contains(&setting)
    }

    /// Whether a world of `setting` can reach it.
    pub(super) fn is_reached(self, setting: Setting) -> bool {
        self.is_fault(setting) || self.paths().contains(&setting)
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
