//! The clients: what they ask for, whom, and what becomes of it.

use ticketd_core::block::Block;
use ticketd_core::count::Count;

use super::schedule::Happening;
use super::service::Refused;
use super::words::What;
use super::world::{Life, Phase, World};
use crate::explore::check::Known;
use crate::explore::fault::Fault;
use crate::explore::stats::Mark;

/// The longest range that is asked for.
const RANGE_MAX: u64 = 500;

/// How much longer than the server a client waits.
const GRACE_US: u64 = 1_000_000;

/// The pause of a client that must succeed and did not.
const AGAIN_US: u64 = 50_000;

/// What an answer says.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    Ids(Block, Life),
    Done(u64),
    Refused(Refused),
    /// The connection broke, or there was none.
    Lost,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    Next(Count),
    Raise(u64),
}

/// One request.
#[derive(Debug)]
pub(super) struct Request {
    client: usize,
    sequence: usize,
    slot: usize,
    wanted: Wanted,
    /// What clients knew of the sequence when it was made.
    known: Known,
    /// What they knew of its server's IDs when it arrived there, and which life that was.
    known_of_life: Known,
    life: Option<Life>,
    pub(super) done: bool,
}

impl World {
    /// A client makes its next request, in the first phase.
    pub(super) fn ask(&mut self, client: usize) {
        if self.phase != Phase::Faults {
            return;
        }
        let sequence = self.draw.below(self.config.sequences.len() as u64) as usize;
        let slot = self.draw.below(self.slots.len() as u64) as usize;
        let wanted = if self.draw.chance(self.config.raise) {
            let known = self.checks.known(sequence).answered;
            let from = if self.draw.chance(500) { known / 2 } else { known };
            Wanted::Raise(from + self.draw.magnitude(1, 2_000))
        } else if self.draw.chance(self.config.range) {
            Wanted::Next(count(self.draw.magnitude(2, RANGE_MAX)))
        } else {
            Wanted::Next(Count::ONE)
        };
        self.request(client, sequence, slot, wanted);
    }

    /// Every client asks of every sequence, somewhere.
    pub(super) fn ask_all(&mut self) {
        for client in 0..self.config.clients {
            for sequence in 0..self.config.sequences.len() {
                let slot = self.draw.below(self.slots.len() as u64) as usize;
                self.request(client, sequence, slot, Wanted::Next(Count::ONE));
            }
        }
    }

    /// Each server is asked of each sequence.
    pub(super) fn ask_each(&mut self) {
        for slot in 0..self.slots.len() {
            for sequence in 0..self.config.sequences.len() {
                self.request(0, sequence, slot, Wanted::Next(Count::ONE));
            }
        }
    }

    fn request(&mut self, client: usize, sequence: usize, slot: usize, wanted: Wanted) {
        let id = self.requests.len();
        let known = self.checks.known(sequence);
        self.requests.push(Request {
            client,
            sequence,
            slot,
            wanted,
            known,
            known_of_life: Known::default(),
            life: None,
            done: false,
        });
        self.stats.requests += 1;
        self.outstanding += 1;
        let (what, number) = match wanted {
            Wanted::Next(count) => (What::AskTake, count.get()),
            Wanted::Raise(floor) => (What::AskRaise, floor),
        };
        self.line(slot, sequence, what, [id as u64, number, client as u64 + 1]);
        let way = self.draw.between(1, self.config.net_us);
        self.schedule.plan(self.now + way, Happening::Arrive(id));
        let mut patience = self.config.request_timeout_us + GRACE_US;
        if self.strikes(self.faults.leave, slot, Fault::Leave) {
            patience = self.draw.magnitude(1, patience);
        }
        self.schedule.plan(self.now + patience, Happening::GiveUp(id));
    }

    pub(super) fn arrive(&mut self, id: usize) {
        let Request { sequence, slot, wanted, .. } = self.requests[id];
        let Some(node) = self.serving(slot) else {
            self.stats.mark(Mark::Unreachable);
            self.line(slot, sequence, What::Unreachable, [id as u64, 0, 0]);
            self.answer(id, Answer::Lost);
            return;
        };
        let life = node.life;
        self.line(slot, sequence, What::Arrive, [id as u64, 0, 0]);
        self.requests[id].life = Some(life);
        self.requests[id].known_of_life = self.checks.known_of_life(sequence, life);
        let timeout = self.config.request_timeout_us;
        node.begin_request();
        let job = async move {
            let answer = match wanted {
                Wanted::Next(count) => match node.next(sequence, count, timeout).await {
                    Ok(block) => Answer::Ids(block, life),
                    Err(refused) => Answer::Refused(refused),
                },
                Wanted::Raise(floor) => match node.raise(sequence, floor, timeout).await {
                    Ok(()) => Answer::Done(floor),
                    Err(refused) => Answer::Refused(refused),
                },
            };
            node.hub.stall(life).await;
            node.hub.world().send_answer(id, answer);
            node.end_request();
        };
        self.spawned.push((life, Box::pin(job)));
    }

    /// A server puts an answer on its way.
    fn send_answer(&mut self, id: usize, answer: Answer) {
        self.check_answer(id, answer);
        if self.strikes(self.faults.answer_lost, self.requests[id].slot, Fault::AnswerLost) {
            self.stats.mark(Mark::AnswerLost);
            return;
        }
        let at = self.now + self.draw.between(1, self.config.net_us);
        self.schedule.plan(at, Happening::Answer(id, answer));
    }

    fn check_answer(&mut self, id: usize, answer: Answer) {
        let request = &self.requests[id];
        let sequence = request.sequence;
        match (answer, request.wanted) {
            (Answer::Ids(block, _), Wanted::Next(count)) => {
                let known = match self.checks.is_strict(sequence) {
                    true => request.known,
                    false => request.known_of_life,
                };
                self.checks.answer(sequence, known, count.get(), block);
            }
            (Answer::Done(floor), Wanted::Raise(_)) => self.checks.acknowledge(sequence, floor),
            (Answer::Refused(Refused::Unavailable), _) => self.stats.mark(Mark::LateRefused),
            (Answer::Refused(Refused::Stopping), _) => {
                self.stats.mark(Mark::StoppingRefused);
            }
            (Answer::Refused(Refused::Lowering), Wanted::Raise(_)) => {
                self.stats.mark(Mark::LoweringRefused);
            }
            _ => {
                let message = format!("{answer:?} is no answer to request {id}");
                self.checks.find("refusal", message);
            }
        }
    }

    /// All requests that a life owes an answer lose their connections.
    pub(super) fn lose_all(&mut self, life: Life) {
        let lost = |request: &Request| !request.done && request.life == Some(life);
        let lost: Vec<usize> =
            (0..self.requests.len()).filter(|&id| lost(&self.requests[id])).collect();
        for id in lost {
            self.line(life.slot, self.requests[id].sequence, What::AnswerLost, [id as u64, 0, 0]);
            self.answer(id, Answer::Lost);
        }
    }

    pub(super) fn answer(&mut self, id: usize, answer: Answer) {
        let Request { sequence, slot, done, .. } = self.requests[id];
        if done {
            return;
        }
        let number = id as u64;
        let succeeded = match answer {
            Answer::Ids(block, life) => {
                self.line(slot, sequence, What::AnswerIds, [number, block.start(), block.end()]);
                self.checks.answered(sequence, life, block);
                true
            }
            Answer::Done(floor) => {
                self.line(slot, sequence, What::AnswerDone, [number, 0, 0]);
                self.checks.acknowledged(sequence, floor);
                true
            }
            Answer::Refused(refused) => {
                let kind = u64::from(refused == Refused::Stopping);
                self.line(slot, sequence, What::AnswerRefusal, [number, kind, 0]);
                false
            }
            Answer::Lost => false,
        };
        self.finish(id, succeeded);
    }

    pub(super) fn give_up(&mut self, id: usize) {
        let Request { sequence, slot, done, .. } = self.requests[id];
        if !done {
            self.stats.mark(Mark::Left);
            self.line(slot, sequence, What::GiveUp, [id as u64, 0, 0]);
            self.finish(id, false);
        }
    }

    /// A client has its answer, or has none to expect.
    fn finish(&mut self, id: usize, succeeded: bool) {
        self.requests[id].done = true;
        self.outstanding -= 1;
        let Request { client, sequence, slot, wanted, .. } = self.requests[id];
        match self.phase {
            Phase::Faults => {
                let pause = self.draw.magnitude(1, self.config.think_us);
                self.schedule.plan(self.now + pause, Happening::Ask(client));
            }
            Phase::Fresh if !succeeded => {
                self.stats.mark(Mark::AskedAgain);
                self.outstanding += 1;
                self.schedule.plan(self.now + AGAIN_US, Happening::AskAgain(client, sequence));
            }
            Phase::Round | Phase::LastRound if !succeeded => {
                let message =
                    format!("all is well, but request {id} does not succeed: {wanted:?} of {slot}");
                self.checks.find("liveness", message);
            }
            _ => {}
        }
    }

    pub(super) fn ask_again(&mut self, client: usize, sequence: usize) {
        self.outstanding -= 1;
        let slot = self.draw.below(self.slots.len() as u64) as usize;
        self.request(client, sequence, slot, Wanted::Next(Count::ONE));
    }
}

fn count(n: u64) -> Count {
    Count::new(n).expect("a short range")
}
