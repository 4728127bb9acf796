//! Whoever coordinates a resize, without the way to the members: whom to ask what next.
//!
//! In each round it looks at all who are addressed, one after the other, works out what to do
//! ([`next`] or [`abandon`]), and has the steps taken one after the other. What goes wrong on the
//! way ends it. It holds nothing that the next one does not find out by looking.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::name::Name;
use crate::stride::resize::{Next, Problem, Step, View, Wish, abandon, next};

/// More rounds than a resize takes: accept, open, done; or refuse, release, done.
const ROUNDS_MAX: usize = 16;

/// What a coordinator is to bring about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Goal {
    /// The wish comes true.
    Resize(Wish),
    /// No plan is left that somebody has accepted and not all have.
    Abandon,
}

/// What a coordinator is to do now. Addresses are told by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ask {
    /// Ask this one what it is, then call [`Coordinator::saw`].
    Look(usize),
    /// Have this one take a step, then call [`Coordinator::took`].
    Take(usize, Step),
    /// Nothing more: it is as wished.
    Done,
}

/// One run of a coordinator. See the [module](self).
#[derive(Debug, Clone)]
pub struct Coordinator {
    goal: Goal,
    addresses: usize,
    views: Vec<Option<View>>,
    decision: Option<Next>,
    steps: VecDeque<(usize, Step)>,
    rounds: usize,
}

impl Coordinator {
    /// One that has asked nobody yet, of so many addresses.
    pub const fn new(goal: Goal, addresses: usize) -> Self {
        Self {
            goal,
            addresses,
            views: Vec::new(),
            decision: None,
            steps: VecDeque::new(),
            rounds: 0,
        }
    }

    /// What to do now.
    ///
    /// # Errors
    /// Why it cannot go on.
    pub fn ask(&mut self) -> Result<Ask, Problem> {
        if let Some(&(at, step)) = self.steps.front() {
            return Ok(Ask::Take(at, step));
        }
        if self.decision.take().is_some() {
            self.views.clear();
        }
        if self.views.len() < self.addresses {
            return Ok(Ask::Look(self.views.len()));
        }
        self.decide()
    }

    /// The one that was to be looked at says that it is this; `None` if it knows nothing of the
    /// sequence.
    pub fn saw(&mut self, view: Option<View>) {
        self.views.push(view);
    }

    /// The step was taken.
    pub fn took(&mut self) {
        self.steps.pop_front();
    }

    /// What those who are addressed said in this round.
    pub fn views(&self) -> &[Option<View>] {
        &self.views
    }

    /// What the steps of this round are for, once that is decided.
    pub const fn decision(&self) -> Option<&Next> {
        self.decision.as_ref()
    }

    fn decide(&mut self) -> Result<Ask, Problem> {
        if self.rounds == ROUNDS_MAX {
            return Err(Problem::Restless);
        }
        self.rounds += 1;
        let decision = match &self.goal {
            Goal::Resize(wish) => next(wish, &self.views),
            Goal::Abandon => abandon(&self.views),
        }?;
        let steps = match &decision {
            Next::Done => return Ok(Ask::Done),
            Next::Accept(steps) | Next::Open(steps) => steps,
            Next::Refuse(steps) | Next::Release(steps) => steps,
        };
        self.steps.extend(steps);
        self.decision = Some(decision);
        self.ask()
    }
}

impl Wish {
    /// The wish that the first `members` of `addresses` be the members of `name`, in this order,
    /// and the others leave.
    pub fn new(name: &Name, addresses: &[&str], members: u32, headroom: u64) -> Self {
        Self { members, digest: digest_of(name, members, addresses), headroom }
    }
}

/// FNV-1a, 64 bits: the same wish has the same digest on every machine and in every version.
fn digest_of(name: &Name, members: u32, addresses: &[&str]) -> u64 {
    let text = alloc::format!("{name}\n{members}\n{}", addresses.join("\n"));
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{Definition, Kind};
    use crate::record::Record;
    use crate::stride::resize::take;
    use crate::stride::{Seat, Standing};

    fn wish(addresses: &[&str], members: u32) -> Wish {
        Wish::new(&Name::new("s").unwrap(), addresses, members, 10)
    }

    #[test]
    fn a_digest_tells_wishes_apart() {
        let of = |members, addresses: &[&str]| wish(addresses, members).digest;
        assert_eq!(of(2, &["a:1", "b:2"]), of(2, &["a:1", "b:2"]));
        assert_ne!(of(2, &["a:1", "b:2"]), of(2, &["b:2", "a:1"]));
        assert_ne!(of(2, &["a:1", "b:2"]), of(1, &["a:1", "b:2"]));
        // What members have accepted was named by an older version.
        assert_eq!(of(2, &["a:1", "b:2"]), 0xdf7a_5f88_035b_62aa);
    }

    #[test]
    fn a_resize_is_to_look_at_all_to_accept_to_look_to_open_to_look() {
        let seat = Seat::new(1, 1).unwrap();
        let mut records = [Some(Record::new(Definition::of(Kind::Stride(seat)))), None];
        let mut coordinator = Coordinator::new(Goal::Resize(wish(&["a", "b"], 2)), 2);
        let mut asked = std::string::String::new();
        loop {
            match coordinator.ask().unwrap() {
                Ask::Look(at) => {
                    asked.push_str(["a? ", "b? "][at]);
                    coordinator.saw(records[at].as_ref().and_then(View::of));
                }
                Ask::Take(at, step) => {
                    let what = coordinator.decision().unwrap();
                    asked.push_str(&std::format!("{}: {what}, ", ["a", "b"][at]));
                    assert_eq!(coordinator.views().len(), 2);
                    take(&mut records[at], step).unwrap();
                    coordinator.took();
                }
                Ask::Done => break,
            }
        }
        assert_eq!(
            asked,
            "a? b? b: accept the plan, a: accept the plan, a? b? a: open the new generation, b: \
             open the new generation, a? b? "
        );
    }

    /// Lets a coordinator run among `records` until it asks for a step that one does not hear of.
    fn run(
        records: &mut [Option<Record>],
        goal: Goal,
        addresses: &[usize],
        hears: impl Fn(usize, &Step) -> bool,
    ) -> Result<(), Problem> {
        let mut coordinator = Coordinator::new(goal, addresses.len());
        loop {
            match coordinator.ask()? {
                Ask::Look(at) => {
                    coordinator.saw(records[addresses[at]].as_ref().and_then(View::of));
                }
                Ask::Take(at, step) if !hears(addresses[at], &step) => return Ok(()),
                Ask::Take(at, step) => {
                    take(&mut records[addresses[at]], step).unwrap();
                    coordinator.took();
                }
                Ask::Done => return Ok(()),
            }
        }
    }

    fn resize(members: u32, addresses: &[usize]) -> Goal {
        let names: Vec<&str> = addresses.iter().map(|at| ["a", "b", "c", "d"][*at]).collect();
        Goal::Resize(wish(&names, members))
    }

    fn records(members: u32) -> [Option<Record>; 4] {
        let record = |at: usize| {
            let seat = Seat::new(members, at as u32 + 1).ok()?;
            Some(Record::new(Definition::of(Kind::Stride(seat))))
        };
        core::array::from_fn(record)
    }

    fn standing(record: Option<Record>) -> Option<(Standing, bool)> {
        record?.member.map(|member| (member.standing, member.accepted.is_some()))
    }

    /// Found by `ticketd explore --world members`, seed 0.
    #[test]
    fn who_accepted_a_plan_that_another_one_overtook_is_released() {
        for goal in [Goal::Abandon, resize(2, &[0, 2])] {
            let mut records = records(2);
            let [a, b, c] = [0, 1, 2];
            run(&mut records, resize(3, &[a, b, c]), &[a, b, c], |at, _| at == c).unwrap();
            assert_eq!(standing(records[c]), Some((Standing::Joining, true)));
            run(&mut records, resize(1, &[a, b]), &[a, b], |_, _| true).unwrap();
            run(&mut records, goal, &[a, c], |_, _| true).unwrap();
            let joined = if goal == Goal::Abandon { Standing::Joining } else { Standing::Issuing };
            assert_eq!(standing(records[c]), Some((joined, false)), "{goal:?}");
        }
    }

    /// Found by `ticketd explore --world members`, seed 302.
    #[test]
    fn who_was_not_told_to_leave_before_the_others_went_on_leaves() {
        for goal in [Goal::Abandon, resize(1, &[2, 1])] {
            let mut records = records(2);
            let [a, b, c] = [0, 1, 2];
            let leaving = |at: usize, step: &Step| at == b && matches!(step, Step::Open { .. });
            let hears = |at: usize, step: &Step| !leaving(at, step);
            run(&mut records, resize(1, &[a, b]), &[a, b], hears).unwrap();
            run(&mut records, resize(1, &[c, a]), &[c, a], |_, _| true).unwrap();
            assert_eq!(standing(records[b]), Some((Standing::Issuing, true)));
            run(&mut records, goal, &[c, b], |_, _| true).unwrap();
            assert_eq!(standing(records[b]), Some((Standing::Left, false)), "{goal:?}");
        }
    }

    #[test]
    fn one_whom_nobody_obeys_ends() {
        let seat = Seat::new(1, 1).unwrap();
        let record = Record::new(Definition::of(Kind::Stride(seat)));
        let mut coordinator = Coordinator::new(Goal::Resize(wish(&["a", "b"], 2)), 2);
        let ended = loop {
            match coordinator.ask() {
                Ok(Ask::Look(0)) => coordinator.saw(View::of(&record)),
                Ok(Ask::Look(_)) => coordinator.saw(None),
                Ok(Ask::Take(..)) => coordinator.took(),
                other => break other,
            }
        };
        assert_eq!(ended, Err(Problem::Restless));
    }
}
