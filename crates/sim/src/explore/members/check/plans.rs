//! What operators wished, which plans came of it, and how far each generation went.

use ticketd_core::ids::Range;
use ticketd_core::limits::MARK_MAX;
use ticketd_core::name::Name;
use ticketd_core::record::Record;
use ticketd_core::stride::resize::Wish;
use ticketd_core::stride::{Accepted, Member, PlanId, Seat, Standing};

use super::ids::Counted;

/// A wish, and who is addressed.
#[derive(Debug)]
struct Noted {
    wish: Wish,
    addresses: Vec<usize>,
}

/// What became of a plan.
#[derive(Debug)]
struct Plan {
    id: PlanId,
    /// Who has accepted it, and the cap.
    caps: Vec<(usize, u64)>,
    has_opened: bool,
    was_released: bool,
}

/// How far the members of a generation have counted.
#[derive(Debug)]
struct Generation {
    /// By which plan it began.
    plan: Option<PlanId>,
    /// The lowest floor that somebody was told.
    floor: u64,
    /// The largest ID that was issued in it.
    issued: u64,
    /// All that was ever reserved lies below.
    reached: u64,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Plans {
    noted: Vec<Noted>,
    plans: Vec<Plan>,
    /// From generation 1 on.
    generations: Vec<Generation>,
}

impl Generation {
    const fn new(plan: Option<PlanId>, floor: u64) -> Self {
        Self { plan, floor, issued: 0, reached: 0 }
    }
}

impl Plans {
    pub(super) fn new() -> Self {
        let generations = vec![Generation::new(None, 0)];
        Self { noted: Vec::new(), plans: Vec::new(), generations }
    }

    pub(super) fn wished(
        &mut self,
        name: &Name,
        addresses: Vec<usize>,
        members: u32,
        headroom: u64,
    ) -> usize {
        let names: Vec<String> = addresses.iter().map(|at| format!("m{at}:7118")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let wish = Wish::new(name, &names, members, headroom);
        self.wish_of(wish.digest).unwrap_or_else(|| {
            self.noted.push(Noted { wish, addresses });
            self.noted.len() - 1
        })
    }

    pub(super) fn wish(&self, index: usize) -> (Wish, &[usize]) {
        let noted = &self.noted[index];
        (noted.wish, &noted.addresses)
    }

    pub(super) fn wish_of(&self, digest: u64) -> Option<usize> {
        self.noted.iter().position(|noted| noted.wish.digest == digest)
    }

    fn generation(&mut self, number: u32) -> Option<&mut Generation> {
        self.generations.get_mut((number as usize).checked_sub(1)?)
    }

    /// In the generation `number` somebody has reserved all below the ID `reached`.
    pub(super) fn reached(&mut self, number: u32, reached: u64) {
        if let Some(generation) = self.generation(number) {
            generation.reached = generation.reached.max(reached);
        }
    }

    /// IDs of the generation `number` are issued.
    pub(super) fn issued(&mut self, number: u32, range: Range) -> Result<(), String> {
        let next = self.generation(number + 1).map_or(u64::MAX, |next| next.floor);
        let Some(generation) = self.generation(number) else {
            return Err(format!("{range:?} is of generation {number}, which never began"));
        };
        generation.issued = generation.issued.max(range.last());
        if range.first < generation.floor || range.last() >= next {
            return Err(format!(
                "{range:?} is of generation {number}, which began at {} and the next at {next}",
                generation.floor
            ));
        }
        Ok(())
    }

    /// A step has changed the record of the server `at`, which counted so. Returns how it counts
    /// from now on, if that is new.
    pub(super) fn changed(
        &mut self,
        at: usize,
        before: Option<Record>,
        after: &Record,
        counted: Counted,
        images: &[Option<Record>],
    ) -> Result<Option<Counted>, String> {
        let was = before.and_then(|record| record.member);
        let Some(is) = after.member else { return Err("a member is none any more".to_owned()) };
        let promised = was.and_then(|member| member.accepted);
        match (promised, is.accepted) {
            (Some(one), Some(other)) if one != other => {
                Err(format!("server {at} accepts {other:?} and had accepted {one:?}"))
            }
            (None, Some(new)) => {
                self.accepted(at, was, new, counted.id_at(after.mark)).map(|()| None)
            }
            (Some(old), None) if is.opened.plan == old.plan => {
                self.opened(at, &is, old, after.mark, images)
            }
            (Some(old), None) => self.released(old.plan).map(|()| None),
            _ => Ok(None),
        }
    }

    fn plan(&mut self, id: PlanId) -> &mut Plan {
        let known = self.plans.iter().position(|plan| plan.id == id);
        let index = known.unwrap_or_else(|| {
            let caps = Vec::new();
            self.plans.push(Plan { id, caps, has_opened: false, was_released: false });
            self.plans.len() - 1
        });
        &mut self.plans[index]
    }

    /// The seat of the server `at`, as its operator wished it.
    fn seat_of(&self, at: usize, plan: PlanId) -> Result<Option<Seat>, String> {
        let index = self.wish_of(plan.digest).ok_or("a plan that nobody wished")?;
        let Noted { wish, addresses } = &self.noted[index];
        let place = addresses.iter().position(|&address| address == at);
        let place = place.ok_or_else(|| format!("{plan:?} does not name server {at}"))?;
        Ok(Seat::new(wish.members, place as u32 + 1).ok())
    }

    fn accepted(
        &mut self,
        at: usize,
        was: Option<Member>,
        new: Accepted,
        reached: u64,
    ) -> Result<(), String> {
        if self.seat_of(at, new.plan)? != new.seat {
            return Err(format!("server {at} accepts another seat than was wished: {new:?}"));
        }
        if was.is_some_and(|was| new.plan.attempt <= was.attempt) {
            return Err(format!("server {at} accepts {new:?}, after a later attempt: {was:?}"));
        }
        let issuing = was.filter(|was| was.standing == Standing::Issuing);
        if issuing.is_some_and(|was| was.number != new.generation || new.cap < reached) {
            return Err(format!(
                "server {at} accepts {new:?}, but has reserved below {reached}: {was:?}"
            ));
        }
        self.plan(new.plan).caps.push((at, new.cap));
        Ok(())
    }

    fn released(&mut self, id: PlanId) -> Result<(), String> {
        let plan = self.plan(id);
        plan.was_released = true;
        if plan.has_opened {
            return Err(format!("{id:?} has opened, and somebody is released from it"));
        }
        Ok(())
    }

    fn opened(
        &mut self,
        at: usize,
        is: &Member,
        old: Accepted,
        mark: u64,
        images: &[Option<Record>],
    ) -> Result<Option<Counted>, String> {
        let (id, floor) = (old.plan, is.opened.floor);
        let index = self.wish_of(id.digest).ok_or("a plan that nobody wished")?;
        let plan = self.plan(id);
        plan.has_opened = true;
        let (caps, was_released) = (plan.caps.clone(), plan.was_released);
        let Noted { wish, addresses } = &self.noted[index];
        if was_released {
            return Err(format!("{id:?} opens, and somebody was released from it"));
        }
        let accepted = |at: &usize| caps.iter().any(|(other, _)| other == at);
        if let Some(missing) = addresses.iter().find(|at| !accepted(at)) {
            return Err(format!("{id:?} opens before server {missing} has accepted it"));
        }
        let stays = |image: &Option<Record>| {
            let member = image.as_ref().and_then(|record| record.member);
            member.is_some_and(|m| m.standing == Standing::Issuing && m.number == old.generation)
        };
        if let Some(missing) = (0..images.len()).find(|at| stays(&images[*at]) && !accepted(at)) {
            return Err(format!("{id:?} opens without server {missing}, which is a member"));
        }
        let (members, headroom) = (u64::from(wish.members), wish.headroom);
        let highest = caps.iter().map(|&(_, cap)| cap).max().unwrap_or(0);
        let Some(seat) = self.seat_of(at, id)? else {
            // Who leaves may be told a later floor, since it issues nothing from there on.
            let fits = floor >= highest;
            return fits.then_some(None).ok_or(format!("floor {floor} is below cap {highest}"));
        };
        self.begin(old.generation + 1, id, floor, highest, headroom)?;
        Ok(Some(Counted::from_floor(members, u64::from(seat.offset()), mark, floor)))
    }

    /// Somebody begins the generation `number` by the plan `id` at or above `floor`.
    fn begin(
        &mut self,
        number: u32,
        id: PlanId,
        floor: u64,
        highest_cap: u64,
        headroom: u64,
    ) -> Result<(), String> {
        let Some(old) = self.generation(number - 1) else {
            return Err(format!("generation {number} begins, but the one before never did"));
        };
        let most = old.reached.saturating_add(headroom).min(MARK_MAX);
        if floor < highest_cap || floor <= old.issued || floor > most {
            return Err(format!(
                "generation {number} begins at {floor}: the highest cap is {highest_cap}, issued \
                 was {}, and the headroom ends at {most}",
                old.issued
            ));
        }
        match self.generation(number) {
            None => self.generations.push(Generation::new(Some(id), floor)),
            Some(known) if known.plan == Some(id) => known.floor = known.floor.min(floor),
            Some(known) => {
                return Err(format!("{id:?} opens generation {number}, as {:?} did", known.plan));
            }
        }
        Ok(())
    }
}

/// Whether all who issue are in one generation, and each of its seats has one member.
pub(super) fn membership(images: &[Option<Record>]) -> Result<(), String> {
    let issuing: Vec<Member> = images
        .iter()
        .filter_map(|image| image.as_ref()?.member)
        .filter(|member| member.standing == Standing::Issuing)
        .collect();
    let members = issuing.first().map_or(0, |member| member.generation.seat().members());
    let whole = issuing.iter().all(|member| member.number == issuing[0].number)
        && (1..=members).all(|offset| {
            let sits = |member: &&Member| {
                let seat = member.generation.seat();
                (seat.members(), seat.offset()) == (members, offset)
            };
            issuing.iter().filter(sits).count() == 1
        });
    if whole && members > 0 && issuing.len() == members as usize {
        return Ok(());
    }
    Err(format!("the members do not fit each other: {issuing:?}"))
}
