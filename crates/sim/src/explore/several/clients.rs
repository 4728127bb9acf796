//! The clients: what they ask for, whom, and what becomes of it.

use ticketd_core::block::Block;
use ticketd_core::count::Count;
use ticketd_core::failure::FailureKind;
use ticketd_core::ids::Range;

use super::schedule::Happening;
use super::service::Refused;
use super::words::What;
use super::world::{Life, Phase, World};
use crate::explore::check::Known;
use crate::explore::fault::Fault;
use crate::explore::schedule::Planned;
use crate::explore::stats::Mark;

/// The longest range that is asked for.
const RANGE_MAX: u64 = 500;

/// How much longer than the server a client waits.
const GRACE_US: u64 = 1_000_000;

/// The pause of a client that must succeed and did not.
const AGAIN_US: u64 = 50_000;

/// The pause if it is a snowflake that it did not get: time has to pass.
const FLAKE_AGAIN_US: u64 = 400_000;

/// The longest batch of pipelined requests.
const BATCH_MAX: u64 = 40;

/// What an answer says.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// IDs; of a batch perhaps fewer than it asked for, and why.
    Ids(Vec<Range>, Life, Option<Refused>),
    Done(u64),
    Refused(Refused),
    /// The connection broke, or there was none.
    Lost,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    Next(Count),
    /// So many pipelined requests for one ID each.
    Batch(u64),
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
    /// When its client gives it up.
    give_up: Option<Planned>,
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
            Wanted::Raise(self.draw_floor(sequence))
        } else if self.draw.chance(self.config.batch) {
            Wanted::Batch(self.draw.between(2, BATCH_MAX))
        } else if self.draw.chance(self.config.range) {
            Wanted::Next(count(self.draw.magnitude(2, RANGE_MAX)))
        } else {
            Wanted::Next(Count::ONE)
        };
        self.request(client, sequence, slot, wanted);
    }

    fn draw_floor(&mut self, sequence: usize) -> u64 {
        let known = self.checks.known(sequence).answered;
        if self.is_flake(sequence) {
            return self.raise_beyond(sequence, known);
        }
        let from = if self.draw.chance(500) { known / 2 } else { known };
        from + self.draw.magnitude(1, 2_000)
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
        // What may come again is in no order with what was answered before.
        let known = match self.checks.is_fallen() {
            true => Known::default(),
            false => self.checks.known(sequence),
        };
        self.requests.push(Request {
            client,
            sequence,
            slot,
            wanted,
            known,
            known_of_life: Known::default(),
            life: None,
            done: false,
            give_up: None,
        });
        self.asked += 1;
        self.outstanding += 1;
        self.stats.requests += match wanted {
            Wanted::Batch(run) => run,
            Wanted::Next(_) | Wanted::Raise(_) => 1,
        };
        let (what, number) = match wanted {
            Wanted::Next(count) => (What::AskTake, count.get()),
            Wanted::Batch(run) => (What::AskBatch, run),
            Wanted::Raise(floor) => (What::AskRaise, floor),
        };
        self.line(slot, sequence, what, [id as u64, number, client as u64 + 1]);
        let way = self.draw.between(1, self.config.net_us);
        self.schedule.plan(self.now + way, Happening::Arrive(id));
        let mut patience = self.config.request_timeout_us + GRACE_US;
        if self.strikes(self.faults.leave, slot, Fault::Leave) {
            patience = self.draw.magnitude(1, patience);
        }
        let give_up = self.schedule.plan(self.now + patience, Happening::GiveUp(id));
        self.requests[id].give_up = Some(give_up);
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
                    Ok(ranges) => Answer::Ids(ranges, life, None),
                    Err(refused) => Answer::Refused(refused),
                },
                Wanted::Batch(run) => {
                    node.mark(Mark::Batch);
                    let (ranges, refused) = node.increment(sequence, run, timeout).await;
                    Answer::Ids(ranges, life, refused)
                }
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
        self.check_answer(id, &answer);
        if self.strikes(self.faults.answer_lost, self.requests[id].slot, Fault::AnswerLost) {
            self.stats.mark(Mark::AnswerLost);
            return;
        }
        let at = self.now + self.draw.between(1, self.config.net_us);
        self.schedule.plan(at, Happening::Answer(id, answer));
    }

    fn check_answer(&mut self, id: usize, answer: &Answer) {
        let Request { sequence, wanted, .. } = self.requests[id];
        match (answer, wanted) {
            (Answer::Ids(ranges, _, None), Wanted::Next(count)) => {
                self.check_ids(id, ranges, count.get());
            }
            (Answer::Ids(ranges, _, refused), Wanted::Batch(run)) => {
                let given = ranges.iter().map(|range| range.count).sum();
                self.check_ids(id, ranges, if refused.is_none() { run } else { given });
                if let Some(refused) = *refused {
                    self.stats.mark(Mark::BatchCutShort);
                    self.check_refused(id, refused);
                }
            }
            (Answer::Done(floor), Wanted::Raise(_)) => self.checks.acknowledge(sequence, *floor),
            (Answer::Refused(refused), _) => self.check_refused(id, *refused),
            _ => {
                let message = format!("{answer:?} is no answer to request {id}");
                self.checks.find("refusal", message);
            }
        }
    }

    fn check_ids(&mut self, id: usize, ranges: &[Range], count: u64) {
        let request = &self.requests[id];
        let sequence = request.sequence;
        if self.is_flake(sequence) {
            return self.checks.flakes_answered(sequence, count, ranges);
        }
        let known = match self.checks.is_strict(sequence) {
            true => request.known,
            false => request.known_of_life,
        };
        let blocks: Vec<Block> = ranges.iter().map(|range| block_of(*range)).collect();
        self.checks.answer(sequence, known, count, &blocks);
    }

    fn check_refused(&mut self, id: usize, refused: Refused) {
        let Request { sequence, wanted, .. } = self.requests[id];
        match (refused, wanted) {
            (Refused::Unavailable, _) => self.stats.mark(Mark::LateRefused),
            (Refused::Wrong(FailureKind::Corrupt), _) if self.fallen.is_some() => {
                self.stats.mark(Mark::RefusedAsLost);
            }
            (Refused::Stopping, _) => self.stats.mark(Mark::StoppingRefused),
            (Refused::Lowering, Wanted::Raise(_)) => self.stats.mark(Mark::LoweringRefused),
            (
                Refused::NotBelieved
                | Refused::NotYet
                | Refused::BeforeEpoch
                | Refused::AllTaken
                | Refused::Exhausted,
                Wanted::Next(_) | Wanted::Batch(_),
            ) if self.is_flake(sequence) => {}
            _ => {
                let message = format!("{refused:?} is no answer to request {id}: {wanted:?}");
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
            Answer::Ids(ranges, life, refused) => {
                for range in ranges {
                    let block = block_of(range);
                    let ids = [number, block.start(), block.end()];
                    self.line(slot, sequence, What::AnswerIds, ids);
                    self.checks.answered(sequence, life, block);
                }
                if let Some(refused) = refused {
                    self.line(slot, sequence, What::AnswerRefusal, [number, refused.number(), 0]);
                }
                refused.is_none()
            }
            Answer::Done(floor) => {
                self.line(slot, sequence, What::AnswerDone, [number, 0, 0]);
                self.checks.acknowledged(sequence, floor);
                true
            }
            Answer::Refused(refused) => {
                self.line(slot, sequence, What::AnswerRefusal, [number, refused.number(), 0]);
                // Nobody can have an ID of it any more.
                refused == Refused::Exhausted && self.has_run_out(sequence)
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
        if let Some(give_up) = self.requests[id].give_up.take() {
            self.schedule.call_off(give_up);
        }
        self.outstanding -= 1;
        let Request { client, sequence, slot, wanted, .. } = self.requests[id];
        match self.phase {
            Phase::Faults => {
                let pause = self.draw.magnitude(1, self.config.think_us);
                self.schedule.plan(self.now + pause, Happening::Ask(client));
            }
            Phase::Fresh if !succeeded => {
                self.stats.mark(Mark::AskedAgain);
                let slot = self.draw.below(self.slots.len() as u64) as usize;
                self.plan_again(client, sequence, slot);
            }
            // Of a snowflake each server has its turn: worker IDs may be scarce.
            Phase::Round | Phase::LastRound if !succeeded && self.is_flake(sequence) => {
                self.stats.mark(Mark::FlakeAskedAgain);
                self.plan_again(client, sequence, slot);
            }
            Phase::Round | Phase::LastRound if !succeeded => {
                let message =
                    format!("all is well, but request {id} does not succeed: {wanted:?} of {slot}");
                self.checks.find("liveness", message);
            }
            _ => {}
        }
    }

    fn plan_again(&mut self, client: usize, sequence: usize, slot: usize) {
        let pause = if self.is_flake(sequence) { FLAKE_AGAIN_US } else { AGAIN_US };
        self.outstanding += 1;
        self.schedule.plan(self.now + pause, Happening::AskAgain(client, sequence, slot));
    }

    pub(super) fn ask_again(&mut self, client: usize, sequence: usize, slot: usize) {
        self.outstanding -= 1;
        self.request(client, sequence, slot, Wanted::Next(Count::ONE));
    }
}

/// From the first to the last of them.
fn block_of(range: Range) -> Block {
    Block::new(range.first, range.last() + 1).expect("an ID is at least 1")
}

fn count(n: u64) -> Count {
    Count::new(n).expect("a short range")
}
