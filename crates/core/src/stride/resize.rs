//! Resizing a stride sequence while its members go on issuing.
//!
//! A *generation* is one agreed membership. A resize ends one and opens the next:
//!
//! 1. **Accept.** Every member, old and new, durably accepts the plan. An old one accepts with it a
//!    *cap*: an ID from which on it reserves nothing, above all that it has reserved. Until there it
//!    goes on issuing.
//! 2. **Open.** Only when all have accepted, each is told a *floor* at or above every cap, from
//!    which it counts in its new seat. It may be told at any time, or late.
//!
//! IDs stay unique because those of the old generation lie below the caps, those of the new one at
//! or above the floor, and within a generation no two members share a seat.
//!
//! A plan can be abandoned as long as one old member has not accepted it: that member is made to
//! refuse it for ever (*refuse*), and then the others are *released*. Nobody can tell that way that
//! a plan is dead which somebody else is just opening.
//!
//! Who has accepted a plan and was not there when the others went on catches up when it is looked
//! at: if the plan has opened, it leaves; if another one has, it is released.
//!
//! A member takes a [`Step`] by [`take`], in one durable change. Whoever coordinates holds no state:
//! [`next`] works out from what the members say what to ask of whom. What it saw may be old, and
//! what it asks may be lost, late, or come twice; `core/tests/resize.rs` tries all of that.

use core::fmt;

use alloc::vec::Vec;

use crate::definition::{Definition, Kind};
use crate::limits::{MARK_MAX, MEMBERS_MAX};
use crate::record::Record;
use crate::stride::{Accepted, Generation, Member, Opened, PlanId, Seat, Standing};

/// What a member is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Promise to follow a plan.
    Accept {
        /// The promise. The cap of a member that joins is of no meaning.
        accepted: Accepted,
        /// Whether it joins: then it must not be a member yet.
        joins: bool,
    },
    /// Begin the new generation.
    Open {
        /// By which plan.
        plan: PlanId,
        /// At or above which ID.
        floor: u64,
    },
    /// Promise never to accept a plan.
    Refuse {
        /// Which.
        plan: PlanId,
        /// The number of the generation that the plan would end.
        generation: u32,
    },
    /// Forget the promise to follow a plan, which will never open.
    Release {
        /// Which.
        plan: PlanId,
    },
}

/// Why a member does not do what it was asked. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotTaken {
    /// The sequence does not exist there.
    Missing,
    /// It is no stride sequence.
    OtherKind,
    /// It has promised to follow another plan.
    OtherPlan,
    /// It has refused this plan, or one made later.
    Refused,
    /// It is in another generation, or no member, or one already.
    OtherGeneration,
    /// It has not promised to follow this plan.
    NotAccepted,
    /// It has promised to follow this plan.
    Accepted,
    /// It has promised a cap above that floor.
    FloorTooLow,
}

/// Takes `step` on the record of a member; `None` if it has none.
///
/// # Errors
/// [`NotTaken`]; then the record is unchanged. A step that was taken before is taken again without
/// an effect.
pub fn take(record: &mut Option<Record>, step: Step) -> Result<(), NotTaken> {
    let Some(known) = record else {
        *record = Some(join(step)?);
        return Ok(());
    };
    let mut member = known.member.ok_or(NotTaken::OtherKind)?;
    match step {
        Step::Accept { accepted, joins } => accept(&mut member, known, accepted, joins)?,
        Step::Open { plan, floor } => open(&mut member, known.mark, plan, floor)?,
        Step::Refuse { plan, generation } => refuse(&mut member, plan, generation)?,
        Step::Release { plan } => {
            if member.accepted.is_some_and(|accepted| accepted.plan == plan) {
                member.accepted = None;
            }
        }
    }
    known.definition.kind = Kind::Stride(member.generation.seat());
    known.member = Some(member);
    Ok(())
}

/// The record of somebody who is new.
fn join(step: Step) -> Result<Record, NotTaken> {
    let Step::Accept { accepted, joins: true } = step else {
        return Err(NotTaken::Missing);
    };
    let seat = accepted.seat.ok_or(NotTaken::Missing)?;
    let mut member = Member::joining(seat);
    member.accepted = Some(Accepted { cap: 0, ..accepted });
    member.attempt = accepted.plan.attempt;
    let definition = Definition::of(Kind::Stride(seat));
    Ok(Record { member: Some(member), ..Record::new(definition) })
}

fn accept(
    member: &mut Member,
    record: &Record,
    accepted: Accepted,
    joins: bool,
) -> Result<(), NotTaken> {
    if member.accepted.is_some_and(|other| other.plan == accepted.plan) {
        return Ok(());
    }
    if member.accepted.is_some() {
        return Err(NotTaken::OtherPlan);
    }
    if accepted.plan.attempt <= member.attempt {
        return Err(NotTaken::Refused);
    }
    let issues = member.standing == Standing::Issuing;
    if joins == issues || (issues && member.number != accepted.generation) {
        return Err(NotTaken::OtherGeneration);
    }
    // A raise may have moved the mark above all that was reserved: nothing below it is issued
    // again, but the next generation must not begin below it either.
    let reached = if issues { record.id_of(record.mark) } else { 0 };
    let cap = if issues { accepted.cap.max(reached).min(MARK_MAX) } else { 0 };
    member.attempt = accepted.plan.attempt;
    member.accepted = Some(Accepted { cap, ..accepted });
    Ok(())
}

fn open(member: &mut Member, mark: u64, plan: PlanId, floor: u64) -> Result<(), NotTaken> {
    if member.opened.plan == plan {
        return Ok(());
    }
    let accepted = member.accepted.filter(|accepted| accepted.plan == plan);
    let accepted = accepted.ok_or(NotTaken::NotAccepted)?;
    if floor < accepted.cap {
        return Err(NotTaken::FloorTooLow);
    }
    member.number = accepted.generation + 1;
    member.opened = Opened { plan, floor };
    member.accepted = None;
    member.standing = Standing::Left;
    if let Some(seat) = accepted.seat {
        member.standing = Standing::Issuing;
        member.generation = Generation::from_floor(seat, mark, floor);
    }
    Ok(())
}

fn refuse(member: &mut Member, plan: PlanId, generation: u32) -> Result<(), NotTaken> {
    if member.accepted.is_some_and(|accepted| accepted.plan == plan) {
        return Err(NotTaken::Accepted);
    }
    // One that has gone on to a later generation may have followed the plan on its way.
    if member.standing != Standing::Issuing || member.number != generation {
        return Err(NotTaken::OtherGeneration);
    }
    member.attempt = member.attempt.max(plan.attempt);
    Ok(())
}

/// What somebody who may be a member said of itself, at some time: see [`Member`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "all but the last are the fields of `Member`")]
pub struct View {
    pub standing: Standing,
    pub number: u32,
    pub seat: Seat,
    pub attempt: u32,
    pub opened: Opened,
    pub accepted: Option<Accepted>,
    /// The first ID that it had not yet reserved.
    pub reached: u64,
}

impl View {
    /// The view of `record`; `None` if it is of another kind.
    pub fn of(record: &Record) -> Option<Self> {
        let Member { standing, number, generation, attempt, opened, accepted } = record.member?;
        let (seat, reached) = (generation.seat(), generation.id_of(record.mark));
        Some(Self { standing, number, seat, attempt, opened, accepted, reached })
    }

    const fn issues(&self) -> bool {
        matches!(self.standing, Standing::Issuing)
    }
}

/// What is wanted of all who are addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wish {
    /// The first so many who are addressed shall be the members, in this order; the others leave.
    pub members: u32,
    /// Tells this wish from others: of the addresses, in order, and `members`.
    pub digest: u64,
    /// How many IDs all together may be counted on between accepting and opening.
    pub headroom: u64,
}

/// What to do next. After these steps, look at all members again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Next {
    /// All have to accept the plan. Of those who are asked, by index.
    Accept(Vec<(usize, Step)>),
    /// All have accepted; it opens.
    Open(Vec<(usize, Step)>),
    /// One who has not accepted the plan has to refuse it.
    Refuse(Vec<(usize, Step)>),
    /// The plan is dead, and those who accepted it are released.
    Release(Vec<(usize, Step)>),
    /// Nothing: it is as wished.
    Done,
}

/// Why a resize cannot go on. Indices are those of the addresses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Problem {
    /// There are no members, or too many.
    Members,
    /// Nobody who is addressed is a member yet.
    NoMember,
    /// Two are in different generations, and no plan that is wished explains it.
    Generations(usize, usize),
    /// No one who is addressed has this offset of so many.
    Missing(Seat),
    /// Two have the same seat.
    SameSeat(usize, usize),
    /// Who should leave is no member.
    NoMemberLeaves(usize),
    /// This one has accepted another plan.
    OtherPlan(usize),
    /// All the others go on with a plan that this one should have accepted and does not know.
    Lost(usize),
    /// The plan cannot be abandoned: this one has opened it.
    HasOpened(usize),
    /// The plan cannot be abandoned: all have accepted it.
    AllAccepted,
    /// Each time when all were looked at there was more to do: somebody else resizes.
    Restless,
}

/// What to ask of whom so that `wish` comes true, given what all who are addressed said.
///
/// # Errors
/// [`Problem`] if that is not possible.
pub fn next(wish: &Wish, views: &[Option<View>]) -> Result<Next, Problem> {
    if wish.members == 0 || wish.members > MEMBERS_MAX || wish.members as usize > views.len() {
        return Err(Problem::Members);
    }
    if is_done(wish, views) {
        return Ok(Next::Done);
    }
    if let Some(next) = catch_up(views) {
        return Ok(next);
    }
    let mine = |plan: PlanId| plan.digest == wish.digest;
    let accepted = views.iter().flatten().filter_map(|view| view.accepted);
    if let Some(known) =
        accepted.filter(|accepted| mine(accepted.plan)).max_by_key(|a| a.plan.attempt)
    {
        return go_on(wish, views, known);
    }
    if let Some(at) = views.iter().position(|v| v.is_some_and(|v| v.accepted.is_some())) {
        return Err(Problem::OtherPlan(at));
    }
    let generation = old_generation(views, views.iter().flatten().find(|v| v.issues()))?;
    if let Some(at) = (wish.members as usize..views.len())
        .find(|&at| !views[at].is_some_and(|view| view.issues()))
    {
        return Err(Problem::NoMemberLeaves(at));
    }
    let attempt = views.iter().flatten().map(|view| view.attempt).max().unwrap_or(0) + 1;
    let reached = views.iter().flatten().filter(|v| v.issues()).map(|v| v.reached).max();
    let cap = reached.unwrap_or(0).saturating_add(wish.headroom).min(MARK_MAX);
    let plan = PlanId { attempt, digest: wish.digest };
    Ok(Next::Accept(accepts(wish, views, &Accepted { plan, generation, seat: None, cap })))
}

/// What to ask of those who hold to a plan that the others have left behind: so that it can neither
/// be finished nor given up with them.
///
/// One plan at most ends a generation. An old member that has accepted one cannot have accepted
/// another, so if its generation is over, by that: it leaves. Who should join by a plan is one
/// without whom the generation after cannot end. So if another plan has begun that one, or it is
/// over, the plan of who has not joined will never open.
fn catch_up(views: &[Option<View>]) -> Option<Next> {
    let (mut leave, mut release) = (Vec::new(), Vec::new());
    for (at, view) in views.iter().enumerate() {
        let Some((view, accepted)) = view.and_then(|view| Some((view, view.accepted?))) else {
            continue;
        };
        let (plan, next) = (accepted.plan, accepted.generation.saturating_add(1));
        let later = views.iter().flatten().filter(|other| other.number >= next);
        let past = later.clone().any(|other| other.number > next || other.opened.plan != plan);
        if past && !view.issues() {
            release.push((at, Step::Release { plan }));
        } else if past && accepted.seat.is_none() {
            // Floors rise from one generation to the next.
            let floors = later.map(|other| other.opened.floor);
            let floor = floors.fold(accepted.cap, u64::max);
            leave.push((at, Step::Open { plan, floor }));
        }
    }
    if leave.is_empty() {
        return (!release.is_empty()).then_some(Next::Release(release));
    }
    Some(Next::Open(leave))
}

/// Whether all sit where they should.
fn is_done(wish: &Wish, views: &[Option<View>]) -> bool {
    let number = views[0].map(|view| view.number);
    views.iter().enumerate().all(|(at, view)| match (seat_of(wish, at), view) {
        (Some(seat), Some(view)) => {
            let generation = (view.seat, Some(view.number));
            view.issues() && view.accepted.is_none() && generation == (seat, number)
        }
        (Some(_), None) => false,
        (None, None) => true,
        (None, Some(view)) => view.standing == Standing::Left && view.accepted.is_none(),
    })
}

/// The seat that who is addressed at `at` should have.
fn seat_of(wish: &Wish, at: usize) -> Option<Seat> {
    Seat::new(wish.members, u32::try_from(at).ok()?.checked_add(1)?).ok()
}

/// The number of the generation that all current members are in, which must all be there: like
/// `one` of them.
fn old_generation(views: &[Option<View>], one: Option<&View>) -> Result<u32, Problem> {
    let one = one.ok_or(Problem::NoMember)?;
    let members = one.seat.members();
    let mut seats: Vec<Option<usize>> = alloc::vec![None; members as usize];
    let mut first = None;
    for (at, view) in views.iter().enumerate() {
        let Some(view) = view.filter(View::issues) else { continue };
        let first = *first.get_or_insert(at);
        let seat = view.seat;
        if view.number != one.number || seat.members() != members {
            return Err(Problem::Generations(first, at));
        }
        if let Some(other) = seats[seat.offset() as usize - 1].replace(at) {
            return Err(Problem::SameSeat(other, at));
        }
    }
    for (offset, seat) in (1..).zip(&seats) {
        if let (None, Ok(seat)) = (seat, Seat::new(members, offset)) {
            return Err(Problem::Missing(seat));
        }
    }
    Ok(one.number)
}

/// Goes on with a plan that somebody has accepted.
fn go_on(wish: &Wish, views: &[Option<View>], known: Accepted) -> Result<Next, Problem> {
    let plan = known.plan;
    let has_opened = |view: &View| view.opened.plan == plan;
    let has_accepted = |view: &View| view.accepted.is_some_and(|other| other.plan == plan);
    let is_open = views.iter().flatten().any(has_opened);
    if !is_open {
        let other = |view: &View| view.accepted.is_some_and(|other| other.plan != plan);
        if let Some(at) = views.iter().position(|v| v.as_ref().is_some_and(other)) {
            return Err(Problem::OtherPlan(at));
        }
        let generation = old_generation(views, views.iter().flatten().find(|v| v.issues()))?;
        if generation != known.generation {
            let at = views.iter().position(|v| v.as_ref().is_some_and(has_accepted)).unwrap_or(0);
            return Err(Problem::Lost(at));
        }
        if !views.iter().all(|v| v.as_ref().is_some_and(has_accepted)) {
            return Ok(Next::Accept(accepts(wish, views, &known)));
        }
    } else if let Some(at) = views
        .iter()
        .position(|v| !v.as_ref().is_some_and(|view| has_opened(view) || has_accepted(view)))
    {
        return Err(Problem::Lost(at));
    }
    // Every cap is here, or the floor of one who has opened, which was at or above all of them.
    let floors = views.iter().flatten().map(|view| match view.accepted {
        Some(accepted) if accepted.plan == plan => accepted.cap,
        _ => view.opened.floor,
    });
    let floor = floors.max().unwrap_or(MARK_MAX);
    let waits = |view: &Option<View>| view.as_ref().is_some_and(has_accepted);
    let open = views.iter().enumerate().filter(|(_, view)| waits(view));
    Ok(Next::Open(open.map(|(at, _)| (at, Step::Open { plan, floor })).collect()))
}

/// Asks all who have not accepted `plan` to do so: first those who join, since an old member that
/// has accepted is capped.
fn accepts(wish: &Wish, views: &[Option<View>], plan: &Accepted) -> Vec<(usize, Step)> {
    let wants = |view: &Option<View>| {
        !view.is_some_and(|view| view.accepted.is_some_and(|known| known.plan == plan.plan))
    };
    let step = |(at, view): (usize, &Option<View>)| {
        let accepted = Accepted { seat: seat_of(wish, at), ..*plan };
        (at, Step::Accept { accepted, joins: !view.is_some_and(|view| view.issues()) })
    };
    let mut steps: Vec<_> =
        views.iter().enumerate().filter(|(_, view)| wants(view)).map(step).collect();
    steps.sort_by_key(|(_, step)| !matches!(step, Step::Accept { joins: true, .. }));
    steps
}

/// What to ask of whom so that the plan which somebody has accepted is given up.
///
/// # Errors
/// [`Problem`] if it has opened, or may open at any time.
pub fn abandon(views: &[Option<View>]) -> Result<Next, Problem> {
    if let Some(next) = catch_up(views) {
        return Ok(next);
    }
    let accepted = views.iter().flatten().filter_map(|view| view.accepted);
    let Some(known) = accepted.max_by_key(|accepted| accepted.plan.attempt) else {
        return Ok(Next::Done);
    };
    let plan = known.plan;
    let opened = |view: &View| view.opened.plan == plan;
    if let Some(at) = views.iter().position(|view| view.as_ref().is_some_and(opened)) {
        return Err(Problem::HasOpened(at));
    }
    let has_accepted = |view: &View| view.accepted.is_some_and(|other| other.plan == plan);
    // Any one of the generation that the plan would end is enough: without it, it never opens.
    let other = views.iter().enumerate().find_map(|(at, view)| {
        let view = view.filter(|view| view.issues() && !has_accepted(view))?;
        (view.number == known.generation).then_some((at, view))
    });
    let (at, view) = other.ok_or(Problem::AllAccepted)?;
    if view.attempt < plan.attempt {
        let step = Step::Refuse { plan, generation: known.generation };
        return Ok(Next::Refuse(alloc::vec![(at, step)]));
    }
    let bound = |view: &Option<View>| view.as_ref().is_some_and(has_accepted);
    let release = views.iter().enumerate().filter(|(_, view)| bound(view));
    Ok(Next::Release(release.map(|(at, _)| (at, Step::Release { plan })).collect()))
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the sequence does not exist here",
            Self::OtherKind => "the sequence is no stride sequence",
            Self::OtherPlan => {
                "another resize is under way: finish it with the same members, or abandon it"
            }
            Self::Refused => "this resize was abandoned, or a later one has begun: run it again",
            Self::OtherGeneration => "this member is in another generation: run the resize again",
            Self::NotAccepted => "this member has not accepted the plan: run the resize again",
            Self::Accepted => "this member has accepted the plan: run the resize again",
            Self::FloorTooLow => "the floor lies below the cap of this member",
        })
    }
}

impl core::error::Error for NotTaken {}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept(_) => "accept the plan",
            Self::Open(_) => "open the new generation",
            Self::Refuse(_) => "refuse the plan",
            Self::Release(_) => "release the members",
            Self::Done => "nothing to do",
        })
    }
}
