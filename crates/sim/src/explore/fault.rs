//! Faults: their kinds, and which of those that a seed draws come to pass.
//!
//! Each fault has a number, in the order in which they are drawn. So a world can be run again
//! without a kind of fault, or with a few single ones and no other. One that does not come to pass
//! is drawn all the same: up to there the world is as it was.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Declares the kinds of fault, each with its name.
macro_rules! faults {
    ($($fault:ident: $name:literal,)*) => {
        /// A kind of fault, of whatever world.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the names of as_str say what each is")]
        pub enum Fault {
            $($fault,)*
        }

        impl Fault {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$fault,)*];

            /// Its name, as `--without` takes it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$fault => $name,)*
                }
            }
        }
    };
}

faults! {
    Crash: "crash",
    Stop: "stop",
    Pause: "pause",
    Stall: "stall",
    Clock: "clock",
    EngineCut: "engine-cut",
    PeerCut: "peer-cut",
    Away: "engine-away",
    FallsBack: "engine-falls-back",
    CallLost: "call-lost",
    Unavailable: "unavailable",
    Indeterminate: "indeterminate",
    Conflict: "conflict",
    ReplyLost: "reply-lost",
    Slow: "slow",
    TornList: "torn-list",
    PeerLost: "peer-lost",
    PeerSlow: "peer-slow",
    PeerTwice: "peer-twice",
    AnswerLost: "answer-lost",
    Leave: "leave",
    Short: "short-block",
    SyncError: "sync-error",
    Full: "full",
    Foreign: "foreign",
    Late: "late-commit",
    LinkCut: "link-cut",
    MessageLost: "message-lost",
    MessageSlow: "message-slow",
    MessageTwice: "message-twice",
    OperatorStill: "operator-still",
    OperatorKilled: "operator-killed",
    DiesInStart: "dies-in-start",
    DiesInCommit: "dies-in-commit",
    DiesInClose: "dies-in-close",
    Power: "power",
    DiskError: "disk-error",
    TakenBack: "taken-back",
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.iter().copied();
        known().find(|fault| fault.as_str() == name).ok_or_else(|| {
            let names: Vec<&str> = known().map(Self::as_str).collect();
            format!("no such kind of fault; there are {}", names.join(", "))
        })
    }
}

/// What is left of a world: less of everything than its seed would make. The default leaves all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Kinds of fault that do not come to pass.
    pub without: BTreeSet<Fault>,
    /// If given, the numbers of the only faults that do.
    pub only_faults: Option<BTreeSet<u64>>,
    /// At most so many servers, of which a world of several has two at least.
    pub servers: Option<u64>,
    /// At most so many clients, and one at least.
    pub clients: Option<u64>,
    /// At most so many sequences, and one at least.
    pub sequences: Option<u64>,
}

impl Scope {
    /// How many there are of what the seed wants `drawn` of.
    pub(super) fn most(limit: Option<u64>, least: usize, drawn: usize) -> usize {
        let limit = limit.map_or(usize::MAX, |limit| limit as usize);
        drawn.min(limit.max(least))
    }
}

/// A fault that came to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Struck {
    /// Its number, in the order in which faults were drawn.
    pub number: u64,
    /// Its kind.
    pub fault: Fault,
}

/// Decides which of the faults that are drawn come to pass.
#[derive(Debug)]
pub(super) struct Gate {
    scope: Scope,
    drawn: u64,
    struck: Vec<Struck>,
}

impl Gate {
    pub(super) fn new(scope: &Scope) -> Self {
        Self { scope: scope.clone(), drawn: 0, struck: Vec::new() }
    }

    /// A fault is drawn. Returns its number if it comes to pass.
    pub(super) fn admit(&mut self, fault: Fault) -> Option<u64> {
        let number = self.drawn;
        self.drawn += 1;
        let only = self.scope.only_faults.as_ref();
        if self.scope.without.contains(&fault) || only.is_some_and(|only| !only.contains(&number)) {
            return None;
        }
        self.struck.push(Struck { number, fault });
        Some(number)
    }

    /// What came to pass.
    pub(super) fn take_struck(&mut self) -> Vec<Struck> {
        std::mem::take(&mut self.struck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own_that_is_read_back() {
        let names: BTreeSet<&str> = Fault::ALL.iter().map(|fault| fault.as_str()).collect();
        assert_eq!(names.len(), Fault::ALL.len());
        for fault in Fault::ALL {
            assert_eq!(fault.as_str().parse(), Ok(*fault));
        }
        assert!("flood".parse::<Fault>().unwrap_err().contains("crash, stop"));
    }

    #[test]
    fn numbers_are_the_same_whatever_comes_to_pass() {
        let scope = Scope {
            without: [Fault::Slow].into(),
            only_faults: Some([1, 2, 3].into()),
            ..Scope::default()
        };
        let mut gate = Gate::new(&scope);
        let drawn = [Fault::Crash, Fault::Slow, Fault::Crash, Fault::Stop, Fault::Stop];
        assert_eq!(drawn.map(|fault| gate.admit(fault)), [None, None, Some(2), Some(3), None]);
        assert_eq!(gate.take_struck().len(), 2);
    }
}
