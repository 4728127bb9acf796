//! The clients: what they ask for, and what becomes of it.

use ticketd_core::block::Block;

use super::check::Known;
use super::config::Mix;
use super::fault::Fault;
use super::random::Draw;
use super::schedule::{Happening, Note};
use super::shell::Standing;
use super::stats::Mark;
use super::words::What;
use super::world::{Phase, World};

/// How long clients wait once all is well; far beyond the longest pause of an allocator.
const PATIENCE_US: u64 = 20_000_000;

/// The longest range of a client that does not ask for the most.
const SHORT_RANGE_MAX: u64 = 2_000;

/// Identifies a request: its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestId(pub(super) usize);

/// What an answer says.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    Ids(Block),
    Done(u64),
    /// Refused; whether the ID space was used up.
    Refused {
        exhausted: bool,
    },
}

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wish {
    Take(u64),
    Batch(u64),
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
    pub(super) sequence: usize,
    pub(super) wish: Wish,
    pub(super) deadline: u64,
    /// It is part of a pipelined batch.
    pub(super) of_batch: bool,
    /// What clients knew when it was made.
    pub(super) known: Known,
    pub(super) state: State,
    /// Its client does not wait any more.
    pub(super) gone: bool,
    /// When its owner heard of it.
    pub(super) told_at: u64,
    /// Nothing is wrong with the world, so it must succeed.
    must_succeed: bool,
}

/// How far from the durable mark a raise goes that is drawn around it.
const NEAR_MARK: u64 = 50;

/// What a client does next; `mark` is the durable one.
fn wish(draw: &mut Draw, mix: &Mix, known: Known, mark: u64) -> Wish {
    if draw.chance(mix.raise) {
        return Wish::Raise(floor(draw, mix, known, mark));
    }
    if draw.chance(mix.batch) {
        return Wish::Batch(draw.between(2, 40));
    }
    if draw.chance(mix.long_range) {
        return Wish::Take(ticketd_core::limits::COUNT_MAX);
    }
    if draw.chance(mix.range) {
        return Wish::Take(draw.magnitude(2, SHORT_RANGE_MAX));
    }
    Wish::Take(1)
}

fn floor(draw: &mut Draw, mix: &Mix, known: Known, mark: u64) -> u64 {
    // No client knows the mark. But a raise to just below it is one that the store must refuse to
    // follow, if its server does not know better: after a failure, or a write of somebody else.
    if draw.chance(400) {
        let lowest = mark.saturating_sub(NEAR_MARK).max(1);
        return draw.between(lowest, mark.saturating_add(2));
    }
    if draw.chance(mix.lower) {
        return known.answered.saturating_sub(draw.magnitude(1, 1_000)).max(1);
    }
    // Now and then far enough to use up the ID space.
    let most = if draw.chance(20) { u64::MAX / 2 } else { 5_000 };
    known.answered.saturating_add(draw.magnitude(1, most))
}

impl World {
    /// A client makes its next request, in the first phase.
    pub(super) fn ask(&mut self, client: usize) {
        if self.phase != Phase::Faults {
            return;
        }
        let sequence = self.draw.below(self.config.sequences.len() as u64) as usize;
        let known = self.checks.known(sequence);
        let mark = self.store.record(sequence).mark;
        let wish = wish(&mut self.draw, &self.config.mix, known, mark);
        let patience = self.draw.magnitude(1_000, self.config.deadline_us);
        self.request(client, sequence, wish, patience, false);
    }

    /// A client asks for a raise, in the first phase.
    pub(super) fn ask_raise(&mut self, sequence: usize, floor: u64) {
        let client = self.draw.below(self.config.clients) as usize;
        let patience = self.draw.magnitude(1_000, self.config.deadline_us);
        self.request(client, sequence, Wish::Raise(floor), patience, false);
    }

    /// A client makes a request that must be answered with success.
    pub(super) fn ask_in_peace(&mut self, client: usize, sequence: usize, count: u64) {
        self.request(client, sequence, Wish::Take(count), PATIENCE_US, true);
    }

    fn request(&mut self, client: usize, sequence: usize, wish: Wish, patience: u64, must: bool) {
        let id = self.admit(Request {
            client,
            sequence,
            wish,
            deadline: self.now + patience,
            of_batch: false,
            known: self.checks.known(sequence),
            state: State::Asked,
            gone: false,
            told_at: 0,
            must_succeed: must,
        });
        let (what, number) = match wish {
            Wish::Take(count) => (What::AskTake, count),
            Wish::Batch(count) => (What::AskBatch, count),
            Wish::Raise(floor) => (What::AskRaise, floor),
        };
        self.line(sequence, what, [id.0 as u64, number, self.now + patience]);
        let way = self.draw.between(1, self.config.net_us);
        self.schedule.plan(self.now + way, Happening::Arrive { request: id });
    }

    /// Enters a request in the list, and draws whether its client will leave.
    fn admit(&mut self, request: Request) -> RequestId {
        let id = RequestId(self.requests.len());
        self.stats.requests += 1;
        self.outstanding += 1;
        self.busy[request.client] += 1;
        let may_leave = !request.must_succeed && !matches!(request.wish, Wish::Batch(_));
        if may_leave && self.strikes(self.config.mix.leave, request.sequence, Fault::Leave) {
            let after = self.draw.magnitude(1, request.deadline - self.now);
            self.schedule.plan(self.now + after, Happening::Leave { request: id });
        }
        self.requests.push(request);
        id
    }

    pub(super) fn arrive(&mut self, id: RequestId) {
        let request = &mut self.requests[id.0];
        let (sequence, wish, gone) = (request.sequence, request.wish, request.gone);
        if self.server.standing == Standing::Down {
            self.stats.mark(Mark::Unreachable);
            self.line(sequence, What::Unreachable, [id.0 as u64, 0, 0]);
            self.lose(id);
            return;
        }
        // The server may or may not have noticed that its client is gone.
        if gone && self.draw.chance(500) {
            self.requests[id.0].state = State::Done;
            return;
        }
        self.requests[id.0].state = State::Waiting;
        self.line(sequence, What::Arrive, [id.0 as u64, 0, 0]);
        match wish {
            Wish::Take(count) => {
                if !self.hot_take(id, count, false) {
                    self.post(sequence, Note::Wanted(id));
                }
            }
            Wish::Batch(count) => self.arrive_batch(id, count),
            Wish::Raise(_) => self.post(sequence, Note::Wanted(id)),
        }
    }

    /// Pipelined requests: as many as possible at once, the rest wait one by one.
    fn arrive_batch(&mut self, id: RequestId, count: u64) {
        self.stats.mark(Mark::Batch);
        let mut left = count;
        while left > 0 {
            let before = self.stats.issued;
            if !self.hot_take(id, left, true) {
                break;
            }
            left -= self.stats.issued - before;
            let client = self.requests[id.0].client;
            self.outstanding += 1;
            self.busy[client] += 1;
        }
        let parent = &self.requests[id.0];
        let (client, sequence, deadline) = (parent.client, parent.sequence, parent.deadline);
        let known = parent.known;
        let first = self.requests.len() as u64;
        if left > 0 {
            self.line(sequence, What::Parted, [id.0 as u64, first, first + left]);
        }
        for _ in 0..left {
            let wish = Wish::Take(1);
            let child = self.admit(Request {
                client,
                sequence,
                wish,
                deadline,
                of_batch: true,
                known,
                state: State::Waiting,
                gone: false,
                told_at: 0,
                must_succeed: false,
            });
            self.post(sequence, Note::Wanted(child));
        }
        // The parts have been counted one by one; this was the whole.
        self.requests[id.0].state = State::Sent;
        self.finish(id);
    }

    pub(super) fn leave(&mut self, id: RequestId) {
        let request = &mut self.requests[id.0];
        if request.state == State::Done || request.gone {
            return;
        }
        request.gone = true;
        let sequence = request.sequence;
        self.stats.mark(Mark::Left);
        self.line(sequence, What::Leave, [id.0 as u64, 0, 0]);
        self.finish(id);
    }

    /// Puts an answer on its way.
    pub(super) fn send(&mut self, id: RequestId, answer: Answer) {
        self.requests[id.0].state = State::Sent;
        let at = self.now + self.draw.between(1, self.config.net_us);
        let life = self.server.life;
        self.schedule.plan(at, Happening::Answer { life, request: id, answer });
    }

    pub(super) fn answer(&mut self, life: u32, id: RequestId, answer: Answer) {
        let request = &mut self.requests[id.0];
        let (sequence, number) = (request.sequence, id.0 as u64);
        if request.gone {
            return;
        }
        if self.server.crashed.contains(&life) && self.draw.chance(500) {
            self.stats.mark(Mark::AnswerLost);
            self.cut_off(id);
            return;
        }
        request.state = State::Done;
        match answer {
            Answer::Ids(block) => {
                self.line(sequence, What::AnswerIds, [number, block.start(), block.end()]);
                self.checks.answered(sequence, block);
            }
            Answer::Done(floor) => {
                self.line(sequence, What::AnswerDone, [number, 0, 0]);
                self.checks.acknowledged(sequence, floor);
            }
            Answer::Refused { exhausted } => {
                self.line(sequence, What::AnswerRefusal, [number, 0, 0]);
                if self.requests[id.0].must_succeed && !exhausted {
                    self.must_have(id);
                }
            }
        }
        self.finish(id);
    }

    /// The connection of a request is gone, and with it its answer.
    pub(super) fn cut_off(&mut self, id: RequestId) {
        let Request { sequence, gone, .. } = self.requests[id.0];
        if !gone {
            self.line(sequence, What::AnswerLost, [id.0 as u64, 0, 0]);
        }
        self.lose(id);
    }

    /// A request gets no answer.
    fn lose(&mut self, id: RequestId) {
        let request = &mut self.requests[id.0];
        request.state = State::Done;
        if request.gone {
            return;
        }
        if request.must_succeed {
            self.must_have(id);
        }
        self.finish(id);
    }

    fn must_have(&mut self, id: RequestId) {
        let message = format!("all is well, but request {} does not succeed", id.0);
        self.checks.find("liveness", message);
    }

    /// Takes note that a client waits for one answer less; with none left it asks again later.
    fn finish(&mut self, id: RequestId) {
        let client = self.requests[id.0].client;
        self.outstanding -= 1;
        self.busy[client] -= 1;
        if self.busy[client] == 0 && self.phase == Phase::Faults {
            let mut pause = self.draw.magnitude(1, self.config.think_us);
            if self.server.standing == Standing::Down {
                // Who finds no server does not try again at once.
                pause += self.draw.between(1_000, 20_000);
            }
            self.schedule.plan(self.now + pause, Happening::Ask { client });
        }
    }
}
