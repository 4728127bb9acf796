//! How a member takes a step of a resize: as `service/resize.rs` of the server has it. Steps come
//! one after the other, and no raise is under way meanwhile. The owner hands back and ends, the
//! store takes the step, and the next request opens the sequence again.

use ticketd_core::failure::FailureKind;
use ticketd_core::stride::Standing as Place;
use ticketd_core::stride::resize::{NotTaken, Step, View};

use super::clients::{Answer, State, Wish};
use super::coordinator::Told;
use super::member::Standing;
use super::schedule::{Happening, Note};
use super::store::{Op, Reply};
use super::words::What;
use super::world::World;
use crate::explore::stats::Mark;

/// Who keeps others out, or waits to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lock {
    /// A step, by the call that asked for it: alone.
    Step(usize, Step),
    /// A raise: with other raises.
    Raise(usize),
}

/// A step that is under way.
#[derive(Debug)]
pub(super) struct Running {
    call: usize,
    step: Step,
    /// The question to the store, once the owner has ended.
    pub(super) message: Option<u64>,
}

impl World {
    /// A step or a raise arrives.
    pub(super) fn lock(&mut self, at: usize, lock: Lock) {
        self.members[at].locks.push_back(lock);
        self.grant(at);
    }

    /// Lets those go on whom nobody keeps out, in their order.
    fn grant(&mut self, at: usize) {
        while let Some(&first) = self.members[at].locks.front() {
            let member = &mut self.members[at];
            let free = match first {
                Lock::Step(..) => member.step.is_none() && member.raises == 0,
                Lock::Raise(_) => member.step.is_none(),
            };
            if !free {
                return;
            }
            member.locks.pop_front();
            match first {
                Lock::Step(call, step) => self.begin_step(at, call, step),
                Lock::Raise(id) => {
                    self.members[at].raises += 1;
                    self.requests[id].keeps_out = true;
                    self.begin_raise(at, id);
                }
            }
        }
    }

    fn begin_step(&mut self, at: usize, call: usize, step: Step) {
        let before = self.members[at].store.record().copied();
        let mut after = before;
        if let Err(why) = self.bug.take(&mut after, step) {
            self.answer_step(at, call, step, Err(why));
            return;
        }
        if before == after {
            self.stats.mark(Mark::StepAgain);
            let view = after.as_ref().and_then(View::of).ok_or(NotTaken::OtherKind);
            self.answer_step(at, call, step, view);
            return;
        }
        if self.members[at].standing == Standing::Stopping {
            self.stats.mark(Mark::StepFailed);
            self.answer_call(call, at, Told::Failed);
            return;
        }
        self.line(at, What::Shut, [call as u64, 0, 0]);
        self.members[at].step = Some(Running { call, step, message: None });
        self.open_in_memory(at, step);
        if self.members[at].owner.is_some() {
            self.stats.mark(Mark::ClosedForStep);
            self.post(at, Note::Close);
        } else {
            self.owner_closed(at);
        }
    }

    /// A deliberate bug: whoever is served before the owner has ended gets IDs of the new seat.
    fn open_in_memory(&mut self, at: usize, step: Step) {
        let Some(next) = self.members[at].next() else { return };
        let record = self.members[at].store.record();
        let Some(generation) = record.and_then(|record| self.bug.in_memory(record, next, step))
        else {
            return;
        };
        if let Some(owner) = &mut self.members[at].owner
            && let Some((number, known)) = &mut owner.generation
        {
            (*number, *known) = (*number + 1, generation);
        }
    }

    /// Nobody owns the sequence any more: of a step the store is asked, and a process that stops is
    /// done.
    pub(super) fn owner_closed(&mut self, at: usize) {
        let waits = self.members[at].step.as_ref().filter(|step| step.message.is_none());
        if let Some(step) = waits.map(|running| running.step) {
            let message = self.ask_to_resize(at, Op::Resize(step));
            if let Some(running) = &mut self.members[at].step {
                running.message = Some(message);
            }
        } else if self.members[at].standing == Standing::Stopping {
            self.down(at, false);
        }
    }

    /// The store has taken the step, or not.
    pub(super) fn step_stored(&mut self, at: usize, reply: Reply) {
        let Some(Running { call, step, .. }) = self.members[at].step.take() else { return };
        match reply {
            Reply::Resized(taken) => {
                let view = taken.and_then(|record| View::of(&record).ok_or(NotTaken::OtherKind));
                self.answer_step(at, call, step, view);
            }
            _ => {
                self.stats.mark(Mark::StepFailed);
                if let Reply::Failed(kind) = reply {
                    self.check_failed_step(kind);
                }
                self.answer_call(call, at, Told::Failed);
            }
        }
        self.line(at, What::Unshut, [call as u64, 0, 0]);
        for id in std::mem::take(&mut self.members[at].shut_out) {
            if self.requests[id].state == State::Waiting {
                self.serve(id);
            }
        }
        if self.members[at].standing == Standing::Stopping && self.members[at].owner.is_none() {
            self.down(at, false);
            return;
        }
        self.grant(at);
    }

    fn check_failed_step(&mut self, kind: FailureKind) {
        if !matches!(kind, FailureKind::Unavailable | FailureKind::Indeterminate) {
            self.checks.find("refusal", format!("a step fails as {kind:?}"));
        }
    }

    fn answer_step(&mut self, at: usize, call: usize, step: Step, view: Result<View, NotTaken>) {
        self.checks.stepped(at, step, view.as_ref());
        let told = match view {
            Ok(view) => {
                self.stats.mark(match step {
                    Step::Accept { joins: true, .. } => Mark::Joined,
                    Step::Accept { .. } => Mark::Accepted,
                    Step::Open { .. } if view.standing == Place::Left => Mark::LeftMembers,
                    Step::Open { .. } => Mark::OpenedGeneration,
                    Step::Refuse { .. } => Mark::RefusedPlan,
                    Step::Release { .. } => Mark::Released,
                });
                Told::Taken(view)
            }
            Err(why) => {
                self.stats.mark(Mark::StepNotTaken);
                Told::NotTaken(why)
            }
        };
        self.answer_call(call, at, told);
    }

    /// A raise that nobody keeps out: which position is meant, as long as no step comes between.
    fn begin_raise(&mut self, at: usize, id: usize) {
        if self.requests[id].state != State::Waiting {
            self.raise_over(id);
            return;
        }
        let Wish::Raise(to) = self.requests[id].wish else { return };
        let member = self.members[at].store.record().and_then(|record| record.member);
        match member {
            Some(member) if member.standing == Place::Issuing && member.accepted.is_none() => {
                self.requests[id].floor = member.generation.position_at_or_above(to + 1);
                self.serve(id);
            }
            _ => {
                self.stats.mark(Mark::RaiseKeptOut);
                self.raise_over(id);
                self.refuse_with(id, false);
            }
        }
    }

    /// A raise, if the request is one, keeps no step out any more: it is answered, or the server has
    /// noticed that its client is gone.
    pub(super) fn raise_over(&mut self, id: usize) {
        if !std::mem::take(&mut self.requests[id].keeps_out) {
            return;
        }
        let at = self.requests[id].at;
        self.members[at].raises -= 1;
        if self.members[at].raises == 0 {
            self.grant(at);
        }
    }

    /// A request is served from where the sequence is now.
    pub(super) fn serve(&mut self, id: usize) {
        let request = &self.requests[id];
        let (at, deadline) = (request.at, request.deadline);
        if self.members[at].step.is_some() && !self.serves_meanwhile(at) {
            self.stats.mark(Mark::ShutOut);
            self.line(at, What::ShutOut, [id as u64, 0, 0]);
            self.members[at].shut_out.push(id);
            self.schedule.plan(deadline.max(self.now), Happening::Deadline(id));
            return;
        }
        if self.members[at].owner.is_none() {
            if self.members[at].standing == Standing::Stopping {
                self.refuse_stopping(id);
                return;
            }
            self.open(at);
        }
        let taken = match self.requests[id].wish {
            Wish::Take(count) => self.hot_take(id, count),
            Wish::Raise(_) => false,
        };
        if !taken {
            self.post(at, Note::Wanted(id));
        }
    }

    /// By a deliberate bug, the sequence is not shut while a step is taken.
    fn serves_meanwhile(&self, at: usize) -> bool {
        let owner = self.members[at].owner.as_ref();
        let number = owner.and_then(|owner| owner.generation).map(|(number, _)| number);
        let record = self.members[at].store.record();
        number.is_some_and(|number| record.is_none_or(|record| record.generation() < number))
    }

    /// A request met an owner that was ending. It may try again while there is time.
    pub(super) fn try_again(&mut self, id: usize) {
        let (at, deadline) = (self.requests[id].at, self.requests[id].deadline);
        if self.requests[id].is_dropped() {
            self.requests[id].state = State::Done;
        } else if self.members[at].standing == Standing::Stopping {
            self.refuse_stopping(id);
        } else if self.now >= deadline {
            self.refuse_late(id);
        } else {
            self.stats.mark(Mark::TriedAgain);
            let life = self.members[at].life;
            self.schedule.plan(self.now + 1, Happening::Again(life, id));
        }
    }

    pub(super) fn again(&mut self, life: u32, id: usize) {
        let at = self.requests[id].at;
        if self.members[at].life == life && self.requests[id].state == State::Waiting {
            self.serve(id);
        }
    }

    /// The deadline of a request that a step may keep out.
    pub(super) fn deadline(&mut self, id: usize) {
        let member = &mut self.members[self.requests[id].at];
        if let Some(at) = member.shut_out.iter().position(|&other| other == id) {
            member.shut_out.swap_remove(at);
            self.refuse_late(id);
            return;
        }
        let waits = |lock: &Lock| matches!(lock, Lock::Raise(other) if *other == id);
        if let Some(at) = member.locks.iter().position(waits) {
            member.locks.remove(at);
            self.stats.mark(Mark::RaiseKeptOut);
            self.check_in_time(id);
            self.refuse_with(id, false);
        }
    }

    fn refuse_late(&mut self, id: usize) {
        self.stats.mark(Mark::LateRefused);
        self.check_in_time(id);
        self.raise_over(id);
        self.refuse_with(id, false);
    }

    fn refuse_stopping(&mut self, id: usize) {
        self.stats.mark(Mark::StoppingRefused);
        self.raise_over(id);
        self.refuse_with(id, false);
    }

    pub(super) fn refuse_with(&mut self, id: usize, exhausted: bool) {
        self.send(id, Answer::Refused { exhausted });
    }
}
