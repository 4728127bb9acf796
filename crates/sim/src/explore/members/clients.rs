//! The clients: whom they ask for what, and what becomes of it.

use ticketd_core::ids::Range;

use super::member::Standing;
use super::schedule::Happening;
use super::step::Lock;
use super::words::What;
use super::world::{Phase, World};
use crate::explore::check::Known;
use crate::explore::fault::Fault;
use crate::explore::stats::Mark;

/// How long clients wait once all is well; far beyond the longest pause of an allocator.
const PATIENCE_US: u64 = 20_000_000;

/// The longest range that is asked for.
const RANGE_MAX: u64 = 60;

/// What an answer says.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    Ids(Range),
    /// Nothing at or below it is issued any more.
    Raised(u64),
    /// Refused; whether the ID space was used up.
    Refused {
        exhausted: bool,
    },
}

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wish {
    Take(u64),
    /// To an ID.
    Raise(u64),
}

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// On its way to the server.
    Asked,
    /// At the server, which owes it an answer.
    Waiting,
    /// The answer is on its way.
    Sent,
    Done,
}

/// One request.
#[derive(Debug)]
pub(super) struct Request {
    client: usize,
    /// Which server is asked.
    pub(super) at: usize,
    pub(super) wish: Wish,
    /// Of a raise, the position that it means.
    pub(super) floor: u64,
    pub(super) deadline: u64,
    /// What clients knew of the IDs of this server when it was made.
    pub(super) known: Known,
    pub(super) state: State,
    /// It is a raise that keeps steps out.
    pub(super) keeps_out: bool,
    /// Its client does not wait any more.
    pub(super) gone: bool,
    /// When its owner heard of it.
    pub(super) told_at: u64,
    /// Nothing is wrong with the world, so it must succeed.
    must_succeed: bool,
}

impl Request {
    /// Whether it is a raise whose server has noticed that its client is gone: it keeps no step
    /// out, and is not tried again.
    pub(super) const fn is_dropped(&self) -> bool {
        self.gone && !self.keeps_out && matches!(self.wish, Wish::Raise(_))
    }
}

impl World {
    /// A client makes its next request, in the first phase.
    pub(super) fn ask(&mut self, client: usize) {
        if self.phase != Phase::Faults {
            return;
        }
        let members = self.issuing();
        let stray = members.is_empty() || self.draw.chance(self.config.stray);
        let at = match stray {
            true => self.draw.below(self.members.len() as u64) as usize,
            false => members[self.draw.below(members.len() as u64) as usize],
        };
        let wish = if self.draw.chance(self.config.raise) {
            let known = self.checks.known(at).answered;
            let most = if self.draw.chance(10) { 1 << 61 } else { 2_000 };
            Wish::Raise(known.saturating_add(self.draw.magnitude(1, most)).min(1 << 62))
        } else if self.draw.chance(self.config.range) {
            Wish::Take(self.draw.magnitude(2, RANGE_MAX))
        } else {
            Wish::Take(1)
        };
        let patience = self.draw.magnitude(1_000, self.config.deadline_us);
        self.request(client, at, wish, patience, false);
    }

    /// Every client asks every member, and must succeed.
    pub(super) fn ask_all(&mut self, clients: usize) {
        for at in self.issuing() {
            for client in 0..clients {
                self.request(client, at, Wish::Take(1), PATIENCE_US, true);
            }
        }
    }

    fn request(&mut self, client: usize, at: usize, wish: Wish, patience: u64, must: bool) {
        let id = self.requests.len();
        self.requests.push(Request {
            client,
            at,
            wish,
            floor: 0,
            deadline: self.now + patience,
            known: self.checks.known(at),
            state: State::Asked,
            keeps_out: false,
            gone: false,
            told_at: 0,
            must_succeed: must,
        });
        self.stats.requests += 1;
        self.outstanding += 1;
        let (what, number) = match wish {
            Wish::Take(count) => (What::AskTake, count),
            Wish::Raise(to) => (What::AskRaise, to),
        };
        self.line(at, what, [id as u64, number, self.now + patience]);
        let way = self.draw.between(1, self.config.net_us);
        self.schedule.plan(self.now + way, Happening::Arrive(id));
        if !must && self.strikes(self.faults.leave, at, Fault::Leave) {
            let after = self.draw.magnitude(1, patience);
            self.schedule.plan(self.now + after, Happening::Leave(id));
        }
    }

    pub(super) fn arrive(&mut self, id: usize) {
        let at = self.requests[id].at;
        if self.members[at].standing == Standing::Down {
            self.stats.mark(Mark::Unreachable);
            self.line(at, What::Unreachable, [id as u64, 0, 0]);
            self.lose(id);
            return;
        }
        // The server may or may not have noticed that its client is gone.
        if self.requests[id].gone && self.draw.chance(500) {
            self.requests[id].state = State::Done;
            return;
        }
        self.requests[id].state = State::Waiting;
        self.requests[id].told_at = self.now;
        self.line(at, What::Arrive, [id as u64, 0, 0]);
        match self.requests[id].wish {
            Wish::Take(_) => self.serve(id),
            Wish::Raise(_) => {
                let deadline = self.requests[id].deadline.max(self.now);
                self.schedule.plan(deadline, Happening::Deadline(id));
                self.lock(at, Lock::Raise(id));
            }
        }
    }

    pub(super) fn leave(&mut self, id: usize) {
        let request = &mut self.requests[id];
        if request.state == State::Done || request.gone {
            return;
        }
        request.gone = true;
        let at = request.at;
        self.stats.mark(Mark::Left);
        self.line(at, What::Leave, [id as u64, 0, 0]);
        if self.draw.chance(500) {
            self.raise_over(id);
        }
        self.finish(id);
    }

    /// Puts an answer on its way.
    pub(super) fn send(&mut self, id: usize, answer: Answer) {
        self.requests[id].state = State::Sent;
        let at = self.now + self.draw.between(1, self.config.net_us);
        self.schedule.plan(at, Happening::Answer(id, answer));
    }

    pub(super) fn answer(&mut self, id: usize, answer: Answer) {
        if self.requests[id].gone {
            return;
        }
        let (at, number) = (self.requests[id].at, id as u64);
        if self.strikes(self.faults.answer_lost, at, Fault::AnswerLost) {
            self.stats.mark(Mark::AnswerLost);
            self.cut_off(id);
            return;
        }
        self.requests[id].state = State::Done;
        match answer {
            Answer::Ids(range) => {
                self.line(at, What::AnswerIds, [number, range.first, range.last()]);
                self.checks.answered(at, range);
            }
            Answer::Raised(to) => {
                self.line(at, What::AnswerDone, [number, to, 0]);
                self.checks.acknowledged(at, to);
            }
            Answer::Refused { exhausted } => {
                self.line(at, What::AnswerRefusal, [number, 0, 0]);
                if self.requests[id].must_succeed && !exhausted {
                    self.must_have(id);
                }
            }
        }
        self.finish(id);
    }

    /// The connection of a request is gone, and with it its answer.
    pub(super) fn cut_off(&mut self, id: usize) {
        let Request { at, gone, .. } = self.requests[id];
        if !gone {
            self.line(at, What::AnswerLost, [id as u64, 0, 0]);
        }
        self.lose(id);
    }

    /// A request gets no answer.
    fn lose(&mut self, id: usize) {
        self.requests[id].state = State::Done;
        self.requests[id].keeps_out = false;
        if self.requests[id].gone {
            return;
        }
        if self.requests[id].must_succeed {
            self.must_have(id);
        }
        self.finish(id);
    }

    fn must_have(&mut self, id: usize) {
        let message = format!("all is well, but request {id} does not succeed");
        self.checks.find("liveness", message);
    }

    /// A client waits for one answer less; later it asks again.
    fn finish(&mut self, id: usize) {
        self.outstanding -= 1;
        if self.phase == Phase::Faults {
            let mut pause = self.draw.magnitude(1, self.config.think_us);
            if self.members[self.requests[id].at].standing == Standing::Down {
                // Who finds no server does not try again at once.
                pause += self.draw.between(1_000, 20_000);
            }
            let client = self.requests[id].client;
            self.schedule.plan(self.now + pause, Happening::Ask(client));
        }
    }
}
