//! Every way in which a resize of a stride sequence can go, in small scopes.
//!
//! A state is what the members remember, what each coordinator has seen so far, and all steps that
//! were ever sent. A step that was sent may be taken at any time, again and again, or never: that
//! covers lost, late and repeated messages, crashes of members (they keep nothing but their record)
//! and of coordinators (which keep nothing). Coordinators look at one member after the other, so
//! what they know is partly old. Meanwhile the members reserve IDs.
//!
//! Checked in every state: no ID is reserved twice. Deliberate bugs show that the check can fail.

use std::collections::BTreeSet;

use stateright::{Checker, Model, Property};
use ticketd_core::definition::{Definition, Kind};
use ticketd_core::record::{Record, Reserve};
use ticketd_core::stride::resize::{self, Next, Step, View, Wish};
use ticketd_core::stride::{Accepted, Seat, Standing};

/// A deliberate bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    /// The new generation opens before all have accepted.
    OpensEarly,
    /// A member accepts the cap that it is told, below what it has reserved.
    CapAsTold,
    /// Members are released before one has refused.
    ReleasesUnrefused,
    /// A member that accepted a plan accepts another one.
    AcceptsTwo,
    /// A cap is accepted and not kept.
    CapNotKept,
    /// The floor is the smallest of the caps, and who has a larger one takes it.
    FloorTooLow,
}

/// What somebody tries to bring about, over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Goal {
    /// Among these addresses, in this order.
    Resize(Wish, &'static [usize]),
    /// Whatever these have accepted.
    Abandon(&'static [usize]),
}

impl Goal {
    const fn addresses(self) -> &'static [usize] {
        match self {
            Self::Resize(_, addresses) | Self::Abandon(addresses) => addresses,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    members: Vec<Option<Record>>,
    /// What each coordinator has seen since it last decided.
    seen: Vec<Vec<Option<View>>>,
    sent: BTreeSet<Sent>,
    reserved: BTreeSet<u64>,
    twice: Option<u64>,
}

/// A step on its way to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Sent(usize, Step);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Reserve(usize),
    Raise(usize),
    Look(usize),
    Take(Sent),
}

/// A scope.
#[derive(Debug, Clone)]
struct World {
    bug: Bug,
    /// Members before the resize, and how many addresses there are.
    old: u32,
    addresses: usize,
    goals: Vec<Goal>,
    /// How many positions each member may reserve in all.
    positions: u64,
    raises: bool,
    /// The largest attempt that is followed.
    attempts: u32,
    /// Whether coordinators look at all members at one moment.
    sees_all_at_once: bool,
    /// Who reserves.
    reservers: &'static [usize],
}

impl World {
    fn reserve(&self, state: &mut State, at: usize) -> Option<()> {
        let record = state.members[at].as_mut()?;
        if record.mark > self.positions {
            return None;
        }
        let mut free = *record;
        if self.bug == Bug::CapNotKept
            && let Some(member) = &mut free.member
            && member.standing == Standing::Issuing
        {
            member.accepted = None;
        }
        let generation = record.generation();
        let block =
            free.reserve(Reserve { floor: 1, len: 1, spent: 1, generation, turn: 0 }).ok()?;
        (record.mark, record.spent) = (free.mark, free.spent);
        let id = record.id_of(block.start());
        if !state.reserved.insert(id) {
            state.twice = Some(id);
        }
        Some(())
    }

    fn raise(&self, state: &mut State, at: usize) -> Option<()> {
        let record = state.members[at].as_mut()?;
        let may = self.raises && record.mark <= self.positions;
        let before = record.mark;
        (may && record.raise(before + 1) > before).then_some(())
    }

    /// The coordinator looks at one more member, or at all at once. When it has seen all, it
    /// decides and sends.
    fn look(&self, state: &mut State, coordinator: usize) {
        let goal = self.goals[coordinator];
        let all = goal.addresses();
        let seen = &mut state.seen[coordinator];
        loop {
            let at = all[seen.len()];
            seen.push(state.members[at].as_ref().and_then(View::of));
            if seen.len() == all.len() {
                break;
            }
            if !self.sees_all_at_once {
                return;
            }
        }
        let views = std::mem::take(seen);
        for (to, step) in self.decide(goal, &views) {
            state.sent.insert(Sent(all[to], step));
        }
    }

    fn decide(&self, goal: Goal, views: &[Option<View>]) -> Vec<(usize, Step)> {
        let next = match goal {
            Goal::Resize(wish, _) => resize::next(&wish, views),
            Goal::Abandon(_) => resize::abandon(views),
        };
        let accepted = views.iter().flatten().filter_map(|view| view.accepted);
        let everyone = |step: fn(Accepted) -> Step| -> Vec<(usize, Step)> {
            accepted.clone().flat_map(|a| (0..views.len()).map(move |at| (at, step(a)))).collect()
        };
        match next {
            Ok(Next::Accept(mut steps)) => {
                if self.bug == Bug::OpensEarly {
                    steps.extend(everyone(|a| Step::Open { plan: a.plan, floor: a.cap }));
                }
                steps
            }
            Ok(Next::Refuse(_)) if self.bug == Bug::ReleasesUnrefused => {
                everyone(|a| Step::Release { plan: a.plan })
            }
            Ok(Next::Open(_)) if self.bug == Bug::FloorTooLow => {
                let floor = accepted.clone().map(|a| a.cap).min().unwrap_or(1);
                let open = |(at, a): (usize, Accepted)| (at, Step::Open { plan: a.plan, floor });
                let each = views.iter().enumerate();
                each.filter_map(|(at, view)| Some((at, view.as_ref()?.accepted?)))
                    .map(open)
                    .collect()
            }
            Ok(Next::Open(steps) | Next::Refuse(steps) | Next::Release(steps)) => steps,
            Ok(Next::Done) | Err(_) => Vec::new(),
        }
    }

    fn take(&self, state: &mut State, Sent(at, step): Sent) {
        let record = &mut state.members[at];
        let before = *record;
        // One that does not take a step says so, and the coordinator looks again.
        let taken = resize::take(record, step);
        let Some(member) = record.as_mut().and_then(|record| record.member.as_mut()) else {
            return;
        };
        match (self.bug, step) {
            (Bug::CapAsTold, Step::Accept { accepted, joins: false }) if taken.is_ok() => {
                member.accepted = Some(accepted);
            }
            (Bug::AcceptsTwo, Step::Accept { .. }) if taken.is_err() => {
                if let Some(Some(member)) = before.map(|record| record.member) {
                    let mut again = before;
                    again.as_mut().expect("it was there").member =
                        Some(ticketd_core::stride::Member { accepted: None, attempt: 0, ..member });
                    if member.accepted.is_some() && resize::take(&mut again, step).is_ok() {
                        *record = again;
                    }
                }
            }
            _ => {}
        }
    }
}

impl Model for World {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        let seat = |at: usize| Seat::new(self.old, u32::try_from(at).ok()? + 1).ok();
        let record = |seat| Record::new(Definition::of(Kind::Stride(seat)));
        vec![State {
            members: (0..self.addresses).map(|at| seat(at).map(record)).collect(),
            seen: vec![Vec::new(); self.goals.len()],
            sent: BTreeSet::new(),
            reserved: BTreeSet::new(),
            twice: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Event>) {
        let reservers = self.reservers.iter().filter(|at| **at < self.addresses);
        actions.extend(reservers.clone().copied().map(Event::Reserve));
        if self.raises {
            actions.extend(reservers.copied().map(Event::Raise));
        }
        actions.extend((0..self.goals.len()).map(Event::Look));
        actions.extend(state.sent.iter().copied().map(Event::Take));
    }

    fn next_state(&self, before: &State, event: Event) -> Option<State> {
        let mut state = before.clone();
        match event {
            Event::Reserve(at) => self.reserve(&mut state, at)?,
            Event::Raise(at) => self.raise(&mut state, at)?,
            Event::Look(coordinator) => self.look(&mut state, coordinator),
            Event::Take(sent) => self.take(&mut state, sent),
        }
        (state != *before).then_some(state)
    }

    /// Those who wish go on wishing when a plan was abandoned: only so many times.
    fn within_boundary(&self, state: &State) -> bool {
        let attempts = state.sent.iter().map(|Sent(_, step)| match step {
            Step::Accept { accepted, .. } => accepted.plan.attempt,
            Step::Open { plan, .. } | Step::Refuse { plan, .. } | Step::Release { plan } => {
                plan.attempt
            }
        });
        attempts.max() <= Some(self.attempts)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no ID is reserved twice", |_, state: &State| state.twice.is_none()),
            Property::sometimes("an ID of the new generation is reserved", |_, state: &State| {
                state.members.iter().flatten().any(|record| {
                    record.member.is_some_and(|m| m.number > 1 && record.mark > m.generation.base())
                })
            }),
        ]
    }
}

const ALL: &[usize] = &[0, 1, 2, 3, 4];

fn wish(members: u32, addresses: &'static [usize]) -> Goal {
    let digest = addresses.iter().fold(u64::from(members), |sum, &at| sum * 10 + at as u64);
    Goal::Resize(Wish { members, digest, headroom: 0 }, addresses)
}

/// Explores all of `world`; returns how many states there are, or what went wrong.
fn explore(world: World) -> Result<usize, String> {
    let checker = world.checker().threads(2).spawn_bfs().join();
    match checker.discovery("no ID is reserved twice") {
        Some(path) => Err(format!("{path:?}")),
        None if checker.discovery("an ID of the new generation is reserved").is_none() => {
            Err("the new generation never issued".to_owned())
        }
        None => Ok(checker.unique_state_count()),
    }
}

fn world(old: u32, addresses: usize, goals: Vec<Goal>) -> World {
    World {
        bug: Bug::None,
        old,
        addresses,
        goals,
        positions: 2,
        raises: false,
        attempts: 1,
        sees_all_at_once: false,
        reservers: ALL,
    }
}

/// Five members have too many states to look at them one by one, and for many IDs of each. So that
/// these are enough for a duplicate, nobody keeps its seat: what an old member has reserved is the
/// first ID of another's new seat.
fn large(old: u32, goal: Goal) -> World {
    World { positions: 1, sees_all_at_once: true, ..world(old, 5, vec![goal]) }
}

fn from_three_to_five() -> World {
    large(3, wish(5, &[2, 0, 3, 1, 4]))
}

/// One who stays and one who leaves reserve, two each: with five members the first cap that is
/// told lies above the first ID of all.
fn from_five_to_two() -> World {
    let world = large(5, wish(2, &[1, 2, 0, 3, 4]));
    World { reservers: &[0, 2], positions: 2, ..world }
}

/// The two members change seats, or one leaves.
fn contradicting() -> Vec<Goal> {
    vec![wish(2, &[1, 0]), wish(1, &[0, 1])]
}

#[test]
fn from_two_to_three_no_id_is_reserved_twice() {
    let world = World { raises: true, positions: 1, ..world(2, 3, vec![wish(3, &ALL[..3])]) };
    println!("2 to 3: {} states", explore(world).unwrap());
}

#[test]
fn from_three_to_five_no_id_is_reserved_twice() {
    println!("3 to 5: {} states", explore(from_three_to_five()).unwrap());
}

#[test]
fn from_five_to_two_no_id_is_reserved_twice() {
    println!("5 to 2: {} states", explore(from_five_to_two()).unwrap());
}

#[test]
fn contradicting_wishes_do_no_harm() {
    println!("two wishes: {} states", explore(world(2, 2, contradicting())).unwrap());
}

#[test]
fn who_abandons_does_no_harm() {
    let goals = vec![wish(2, &[1, 0]), Goal::Abandon(&[0, 1])];
    let world = World { attempts: 2, ..world(2, 2, goals) };
    println!("abandon: {} states", explore(world).unwrap());
}

/// One wish needs somebody who is new, and the other one does not, and can overtake it.
#[test]
fn who_is_left_behind_does_no_harm() {
    let goals = vec![wish(3, &ALL[..3]), wish(1, &[1, 0])];
    let world = World { positions: 1, sees_all_at_once: true, attempts: 2, ..world(2, 3, goals) };
    println!("left behind: {} states", explore(world).unwrap());
}

#[test]
fn deliberate_bugs_are_found() {
    let one = || vec![wish(3, &ALL[..3])];
    let bugs = [
        (Bug::FloorTooLow, world(2, 3, one())),
        (Bug::FloorTooLow, from_three_to_five()),
        (Bug::FloorTooLow, from_five_to_two()),
        (Bug::CapNotKept, from_five_to_two()),
        (Bug::OpensEarly, world(2, 3, one())),
        (Bug::CapAsTold, world(2, 3, one())),
        (Bug::CapNotKept, world(2, 3, one())),
        (Bug::ReleasesUnrefused, world(2, 2, vec![wish(2, &[1, 0]), Goal::Abandon(&[0, 1])])),
        (Bug::AcceptsTwo, world(2, 2, contradicting())),
    ];
    for (bug, world) in bugs {
        let found = explore(World { bug, ..world });
        let story = found.expect_err(&format!("{bug:?} was not found"));
        assert!(story.contains("Reserve("), "{bug:?}: {story}");
    }
}
