//! Deliberate bugs of members and coordinators: where they could go wrong. Each must be caught.

use ticketd_core::block::Block;
use ticketd_core::record::{HandBack, NoBlock, Record, Reserve};
use ticketd_core::stride::coordinator::Coordinator;
use ticketd_core::stride::resize::{self, Next, NotTaken, Step, View};
use ticketd_core::stride::{Accepted, Generation, Member, Standing};

use crate::explore::Bug;

/// A deliberate bug of a member, or of a coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberMutant {
    /// Who has accepted is told to open before all have.
    OpensEarly,
    /// The floor is the smallest of the caps.
    FloorTooLow,
    /// Members are released before one has refused.
    ReleasesUnrefused,
    /// A member reserves past the cap that it has accepted.
    CapNotKept,
    /// A member accepts the cap that it is told, below what it has reserved.
    CapAsTold,
    /// A member that has accepted a plan accepts another one, or an earlier one.
    AcceptsAgain,
    /// A member forgets what it has accepted when it starts again.
    ForgetsAccepted,
    /// A member counts in its new seat before that is durable.
    OpensInMemory,
    /// A member's store takes back what was reserved in another generation.
    HandsBackAcross,
}

impl Bug {
    /// Takes a step on a record.
    pub(super) fn take(self, record: &mut Option<Record>, step: Step) -> Result<(), NotTaken> {
        let before = *record;
        let taken = resize::take(record, step);
        let Step::Accept { accepted, joins } = step else { return taken };
        let known = before.and_then(|record| record.member);
        if self.is_member(MemberMutant::AcceptsAgain) && taken.is_err() {
            return accept_again(record, known, step, taken);
        }
        if self.is_member(MemberMutant::CapAsTold) && taken.is_ok() && !joins {
            let member = record.as_mut().and_then(|record| record.member.as_mut());
            let promised = member.and_then(|member| member.accepted.as_mut());
            promised.into_iter().for_each(|promised| promised.cap = accepted.cap);
        }
        taken
    }

    pub(super) fn reserve(self, record: &mut Record, asked: Reserve) -> Result<Block, NoBlock> {
        let member = record.member;
        let issues = member.is_some_and(|member| member.standing == Standing::Issuing);
        if !self.is_member(MemberMutant::CapNotKept) || !issues {
            return record.reserve(asked);
        }
        record.member = member.map(|member| Member { accepted: None, ..member });
        let block = record.reserve(asked);
        record.member = member;
        block
    }

    pub(super) fn hand_back(self, record: &mut Record, unissued: HandBack) -> bool {
        if self.is_member(MemberMutant::HandsBackAcross) && record.mark == unissued.end {
            (record.mark, record.spent) = (unissued.start, unissued.start);
            return true;
        }
        record.hand_back(unissued)
    }

    /// Whether what `step` changes is lost when the process ends before the next write.
    pub(super) fn forgets(self, step: Step) -> bool {
        self.is_member(MemberMutant::ForgetsAccepted) && matches!(step, Step::Accept { .. })
    }

    /// The generation that a member counts in from now on, before `step` is durable.
    pub(super) fn in_memory(self, record: &Record, next: u64, step: Step) -> Option<Generation> {
        if !self.is_member(MemberMutant::OpensInMemory) || !matches!(step, Step::Open { .. }) {
            return None;
        }
        let mut after = Some(Record { mark: next, spent: next, ..*record });
        resize::take(&mut after, step).ok()?;
        after?.member.map(|member| member.generation)
    }

    /// What a coordinator asks instead of `step`.
    pub(super) fn step(
        self,
        coordinator: &Coordinator,
        (at, step): (usize, Step),
    ) -> (usize, Step) {
        let accepted = |view: &Option<View>| view.as_ref().and_then(|view| view.accepted);
        let views = coordinator.views();
        match (step, coordinator.decision()) {
            (Step::Open { plan, floor }, _) if self.is_member(MemberMutant::FloorTooLow) => {
                let caps = views.iter().filter_map(accepted).map(|accepted| accepted.cap);
                let floor = caps.filter(|&cap| cap > 0).min().unwrap_or(floor);
                (at, Step::Open { plan, floor })
            }
            (Step::Refuse { plan, .. }, Some(Next::Refuse(_)))
                if self.is_member(MemberMutant::ReleasesUnrefused) =>
            {
                let bound = views.iter().position(|view| accepted(view).is_some());
                (bound.unwrap_or(at), Step::Release { plan })
            }
            _ => (at, step),
        }
    }

    /// What a coordinator asks of who has just taken `step`, and `accepted` this.
    pub(super) fn at_once(self, step: Step, accepted: Option<Accepted>) -> Option<Step> {
        let is_accept = matches!(step, Step::Accept { .. });
        let accepted =
            accepted.filter(|_| is_accept && self.is_member(MemberMutant::OpensEarly))?;
        let Step::Accept { accepted: told, .. } = step else { return None };
        Some(Step::Open { plan: accepted.plan, floor: told.cap.max(accepted.cap) })
    }

    #[cfg(feature = "mutants")]
    fn is_member(self, mutant: MemberMutant) -> bool {
        self.mutant == Some(crate::explore::AnyMutant::Member(mutant))
    }

    #[cfg(not(feature = "mutants"))]
    #[expect(clippy::unused_self, reason = "the same call in both builds")]
    const fn is_member(self, _: MemberMutant) -> bool {
        false
    }
}

fn accept_again(
    record: &mut Option<Record>,
    known: Option<Member>,
    step: Step,
    taken: Result<(), NotTaken>,
) -> Result<(), NotTaken> {
    let mut again = *record;
    if let (Some(record), Some(known)) = (&mut again, known) {
        record.member = Some(Member { accepted: None, attempt: 0, ..known });
    }
    if resize::take(&mut again, step).is_err() {
        return taken;
    }
    *record = again;
    Ok(())
}
