//! Who resizes: operators that run `ticketd stride resize`, the real coordinator in that, and the
//! way to the members and back. Operators know nothing of each other.

use ticketd_core::stride::Accepted;
use ticketd_core::stride::coordinator::{Ask, Coordinator, Goal};
use ticketd_core::stride::resize::{NotTaken, Problem, Step, View, Wish};

use super::config::DELAY_MAX_US;
use super::member::Standing;
use super::schedule::Happening;
use super::step::Lock;
use super::words::{What, of_operator};
use super::world::{Phase, World};
use crate::explore::fault::Fault;
use crate::explore::stats::Mark;

/// How often, when all is well, whatever was begun is tried to be finished or given up.
const TRIES_MAX: usize = 16;

/// What a coordinator asks of a member.
#[derive(Debug, Clone, Copy)]
pub(super) enum Question {
    Look,
    Take(Step),
}

/// What it hears.
#[derive(Debug, Clone, Copy)]
pub(super) enum Told {
    Seen(Option<View>),
    Taken(View),
    NotTaken(NotTaken),
    Failed,
    Unreachable,
}

/// A question on its way.
#[derive(Debug)]
pub(super) struct Call {
    operator: usize,
    run: u64,
    at: usize,
    question: Question,
}

/// What an operator wants: a wish that was made before, by index, or that what is under way be
/// given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    Resize(usize),
    Abandon,
}

/// One run of the command.
#[derive(Debug)]
struct Run {
    number: u64,
    coordinator: Coordinator,
    addresses: Vec<usize>,
    /// The call that it waits for, and its question.
    call: Option<usize>,
    /// What a deliberate bug asks next.
    at_once: Option<(usize, Step)>,
}

/// Somebody who resizes.
#[derive(Debug)]
pub(super) struct Operator {
    want: Want,
    run: Option<Run>,
    /// Runs of the command since the world healed.
    tries: u32,
}

impl Operator {
    pub(super) const fn new() -> Self {
        Self { want: Want::Abandon, run: None, tries: 0 }
    }
}

impl World {
    pub(super) fn plan_run(&mut self, operator: usize, longest: u64) {
        let after = self.draw.magnitude(500, longest.max(500));
        self.schedule.plan(self.now + after, Happening::Run(operator));
    }

    /// An operator runs the command, in the first phase.
    pub(super) fn run_again(&mut self, operator: usize) {
        if self.phase != Phase::Faults || self.operators[operator].run.is_some() {
            return;
        }
        let want = match self.draw.below(10) {
            _ if self.operators[operator].tries == 0 => Want::Resize(self.wish()),
            0..7 => self.operators[operator].want,
            7..9 => Want::Abandon,
            _ => Want::Resize(self.wish()),
        };
        self.operators[operator].tries += 1;
        self.begin_run(operator, want);
    }

    /// A new wish: who shall be members, in which order, and who leaves.
    pub(super) fn wish(&mut self) -> usize {
        let mut all: Vec<usize> = (0..self.members.len()).collect();
        for last in (1..all.len()).rev() {
            all.swap(last, self.draw.below(last as u64 + 1) as usize);
        }
        let members = self.draw.between(1, all.len() as u64) as usize;
        let mut leaving: Vec<usize> =
            all.split_off(members).into_iter().filter(|&at| self.issues(at)).collect();
        // Now and then somebody is forgotten.
        if !leaving.is_empty() && self.phase == Phase::Faults && self.draw.chance(50) {
            leaving.pop();
        }
        all.extend(leaving);
        let headroom = self.draw.between(0, self.config.headroom);
        self.checks.wished(&self.name, all, members as u32, headroom)
    }

    pub(super) fn begin_run(&mut self, operator: usize, want: Want) {
        self.runs += 1;
        let (goal, addresses) = match want {
            Want::Abandon => (Goal::Abandon, (0..self.members.len()).collect()),
            Want::Resize(index) => {
                let (wish, addresses): (Wish, &[usize]) = self.checks.wish(index);
                (Goal::Resize(wish), addresses.to_vec())
            }
        };
        let (what, number) = match want {
            Want::Resize(index) => (What::RunResize, index as u64),
            Want::Abandon => (What::RunAbandon, 0),
        };
        self.line(of_operator(operator), what, [self.runs, number, addresses.len() as u64]);
        let coordinator = Coordinator::new(goal, addresses.len());
        self.operators[operator].want = want;
        self.operators[operator].run =
            Some(Run { number: self.runs, coordinator, addresses, call: None, at_once: None });
        self.go_on(operator, self.runs);
    }

    /// A coordinator goes on with what it was told last.
    pub(super) fn go_on(&mut self, operator: usize, number: u64) {
        let bug = self.bug;
        let Some(run) = &mut self.operators[operator].run else { return };
        if run.number != number {
            return;
        }
        if let Some((at, step)) = run.at_once.take() {
            self.call(operator, at, Question::Take(step));
            return;
        }
        match run.coordinator.ask() {
            Ok(Ask::Look(at)) => {
                let at = run.addresses[at];
                self.call(operator, at, Question::Look);
            }
            Ok(Ask::Take(at, step)) => {
                let (at, step) = bug.step(&run.coordinator, (at, step));
                let at = run.addresses[at];
                self.call(operator, at, Question::Take(step));
            }
            Ok(Ask::Done) => self.run_done(operator),
            Err(problem) => self.run_stopped(operator, &problem),
        }
    }

    fn call(&mut self, operator: usize, at: usize, question: Question) {
        let call = self.calls.len();
        let Some(run) = &mut self.operators[operator].run else { return };
        run.call = Some(call);
        self.calls.push(Call { operator, run: run.number, at, question });
        if let Question::Take(step) = question {
            self.line_step(at, call, step);
        }
        let gives_up = self.now + self.config.call_timeout_us;
        self.schedule.plan(gives_up, Happening::CallTimeout(call));
        if let Some(way) = self.way(operator, at) {
            self.schedule.plan(self.now + way, Happening::CallArrive(call));
        }
        if self.strikes(self.faults.twice, of_operator(operator), Fault::MessageTwice) {
            self.stats.mark(Mark::CallTwice);
            let way = self.draw.magnitude(1, DELAY_MAX_US);
            self.schedule.plan(self.now + way, Happening::CallArrive(call));
        }
    }

    fn line_step(&mut self, at: usize, call: usize, step: Step) {
        let (what, plan, id) = match step {
            Step::Accept { accepted: Accepted { plan, cap, .. }, .. } => {
                (What::CallAccept, plan, cap)
            }
            Step::Open { plan, floor } => (What::CallOpen, plan, floor),
            Step::Refuse { plan, .. } => (What::CallRefuse, plan, 0),
            Step::Release { plan } => (What::CallRelease, plan, 0),
        };
        self.line(at, what, [call as u64, u64::from(plan.attempt), id]);
    }

    /// How long a message between an operator and a member is on its way; `None` if it is lost.
    fn way(&mut self, operator: usize, at: usize) -> Option<u64> {
        if self.cuts[operator][at] > self.now {
            self.stats.mark(Mark::CallCutOff);
            return None;
        }
        if self.strikes(self.faults.lost, of_operator(operator), Fault::MessageLost) {
            self.stats.mark(Mark::CallMissing);
            return None;
        }
        if self.strikes(self.faults.delayed, of_operator(operator), Fault::MessageSlow) {
            self.stats.mark(Mark::CallDelayed);
            return Some(self.draw.magnitude(1, DELAY_MAX_US));
        }
        Some(self.draw.between(1, self.config.net_us))
    }

    /// Which member a call is for.
    pub(super) fn called(&self, call: usize) -> usize {
        self.calls[call].at
    }

    pub(super) fn call_arrives(&mut self, call: usize) {
        let Call { at, question, .. } = self.calls[call];
        if self.members[at].standing == Standing::Down {
            self.answer_call(call, at, Told::Unreachable);
            return;
        }
        match question {
            Question::Look => {
                let view = self.members[at].store.record().and_then(View::of);
                self.answer_call(call, at, Told::Seen(view));
            }
            Question::Take(step) => self.lock(at, Lock::Step(call, step)),
        }
    }

    /// A member answers a coordinator.
    pub(super) fn answer_call(&mut self, call: usize, at: usize, told: Told) {
        let operator = self.calls[call].operator;
        if let Some(way) = self.way(operator, at) {
            self.schedule.plan(self.now + way, Happening::CallAnswer(call, told));
        }
    }

    pub(super) fn call_answered(&mut self, call: usize, told: Told) {
        let Call { operator, run: number, at, question } = self.calls[call];
        let bug = self.bug;
        let Some(run) = &mut self.operators[operator].run else { return };
        if run.number != number || run.call != Some(call) {
            self.stats.mark(Mark::CallTooLate);
            return;
        }
        run.call = None;
        match told {
            Told::Seen(view) => run.coordinator.saw(view),
            Told::Taken(view) => {
                if let Question::Take(step) = question {
                    run.at_once = bug.at_once(step, view.accepted).map(|step| (at, step));
                }
                run.coordinator.took();
            }
            Told::NotTaken(why) => {
                self.line(at, What::StepNotTaken, [call as u64, why as u64, 0]);
                self.run_failed(operator);
                return;
            }
            Told::Failed | Told::Unreachable => {
                self.line(at, What::CallFailed, [call as u64, 0, 0]);
                self.run_failed(operator);
                return;
            }
        }
        let place = of_operator(operator);
        if self.strikes(self.faults.stands_still, place, Fault::OperatorStill) {
            self.stats.mark(Mark::CoordinatorStill);
            let after = self.draw.magnitude(100, DELAY_MAX_US);
            self.schedule.plan(self.now + after, Happening::GoOn(operator, number));
        } else {
            self.go_on(operator, number);
        }
    }

    pub(super) fn call_timed_out(&mut self, call: usize) {
        let Call { operator, run: number, at, .. } = self.calls[call];
        let run = self.operators[operator].run.as_ref();
        if run.is_some_and(|run| run.number == number && run.call == Some(call)) {
            self.stats.mark(Mark::CallUnanswered);
            self.line(at, What::CallFailed, [call as u64, 1, 0]);
            self.run_failed(operator);
        }
    }

    fn run_stopped(&mut self, operator: usize, problem: &Problem) {
        let (mark, number) = match problem {
            Problem::OtherPlan(_) => (Some(Mark::OtherPlan), 0),
            Problem::Generations(..) => (Some(Mark::OtherGenerations), 1),
            Problem::Missing(_) => (Some(Mark::MemberMissing), 2),
            Problem::NoMemberLeaves(_) => (None, 3),
            Problem::Lost(_) => (None, 4),
            Problem::HasOpened(_) => (Some(Mark::OpenedAlready), 5),
            Problem::AllAccepted => (Some(Mark::AllAccepted), 6),
            Problem::Restless => (None, 7),
            Problem::NoMember => (None, 8),
            Problem::Members | Problem::SameSeat(..) => {
                self.checks.find("refusal", format!("a resize cannot end so: {problem:?}"));
                return;
            }
        };
        mark.into_iter().for_each(|mark| self.stats.mark(mark));
        self.line(of_operator(operator), What::Problem, [number, 0, 0]);
        self.run_failed(operator);
    }

    /// The command has failed. Whoever ran it runs it again, or another.
    fn run_failed(&mut self, operator: usize) {
        self.operators[operator].run = None;
        match self.phase {
            Phase::Faults => self.plan_run(operator, 20_000),
            Phase::Settle => self.settle(),
            _ => {
                let message = "all is well and nothing was under way, but a resize fails";
                self.checks.find("liveness", message.to_owned());
            }
        }
    }

    fn run_done(&mut self, operator: usize) {
        self.stats.mark(match self.operators[operator].want {
            Want::Resize(_) => Mark::Resized,
            Want::Abandon => Mark::GivenUp,
        });
        self.line(of_operator(operator), What::RunDone, [0; 3]);
        self.operators[operator].run = None;
        self.operators[operator].tries = 0;
        match self.phase {
            Phase::Faults => self.plan_run(operator, self.config.resize_every_us),
            Phase::Settle => self.settle(),
            _ => self.resized_in_peace = true,
        }
    }

    /// A coordinator is killed.
    pub(super) fn kill(&mut self, operator: usize) {
        let place = of_operator(operator);
        if self.operators[operator].run.is_some() && self.admits(place, Fault::OperatorKilled) {
            self.operators[operator].run = None;
            self.stats.mark(Mark::CoordinatorKilled);
            self.line(of_operator(operator), What::Killed, [0; 3]);
            self.plan_run(operator, 20_000);
        }
    }

    /// All is well: one operator finishes or gives up whatever somebody has accepted, one try after
    /// the other.
    pub(super) fn settle(&mut self) {
        let views: Vec<Option<View>> =
            self.members.iter().map(|member| member.store.record().and_then(View::of)).collect();
        let mut wants: Vec<Want> = Vec::new();
        for accepted in views.iter().flatten().filter_map(|view| view.accepted) {
            let want = Want::Resize(self.checks.wish_of(accepted.plan.digest));
            if !wants.contains(&want) {
                wants.push(want);
            }
        }
        if wants.is_empty() {
            self.settled = true;
            return;
        }
        wants.push(Want::Abandon);
        let tries = self.operators[0].tries as usize;
        if tries == TRIES_MAX {
            let message = format!("what was begun can neither be finished nor given up: {views:?}");
            self.checks.find("liveness", message);
            return;
        }
        self.operators[0].tries += 1;
        self.begin_run(0, wants[tries % wants.len()]);
    }

    /// All that was under way is as if its coordinator had been killed.
    pub(super) fn forget_runs(&mut self) {
        self.operators.iter_mut().for_each(|operator| {
            operator.run = None;
            operator.tries = 0;
        });
    }
}
