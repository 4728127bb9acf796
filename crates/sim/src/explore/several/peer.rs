//! What servers say to each other, and what goes wrong on the way.

use std::rc::Rc;

use ticketd_core::block::Block;
use ticketd_core::cluster::ServerId;
use ticketd_core::count::Count;
use tokio::sync::oneshot;

use super::lease::within;
use super::node::Node;
use super::schedule::Happening;
use super::service::Refused;
use super::words::What;
use super::world::{Life, World};
use crate::explore::fault::Fault;
use crate::explore::stats::Mark;

/// What one server asks another.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wish {
    Next(Count),
    Raise(u64),
}

/// What the other says.
#[derive(Debug, Clone, Copy)]
pub(super) enum Told {
    Ids(Block),
    Raised,
    OwnedBy(ServerId),
    Refused(Refused),
}

/// A question on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    /// Its number.
    pub(super) id: usize,
    pub(super) from: Life,
    pub(super) to: usize,
    pub(super) sequence: usize,
    pub(super) wish: Wish,
    pub(super) within_us: u64,
}

/// The questions that were ever asked, with those who wait for an answer.
#[derive(Default)]
pub(super) struct Questions(Vec<Option<oneshot::Sender<Option<Told>>>>);

impl Node {
    /// Asks the server at `to`. `None` if there is no answer in time.
    pub(super) async fn ask_peer(
        &self,
        to: usize,
        sequence: usize,
        wish: Wish,
        within_us: u64,
    ) -> Option<Told> {
        let (reply, answer) = oneshot::channel();
        self.hub.world().ask_peer(self.life, to, sequence, wish, within_us, reply);
        let late = self.sleep_until(self.now().plus_micros(within_us));
        within(late, answer).await?.ok().flatten()
    }
}

impl World {
    fn ask_peer(
        &mut self,
        from: Life,
        to: usize,
        sequence: usize,
        wish: Wish,
        within_us: u64,
        reply: oneshot::Sender<Option<Told>>,
    ) {
        let id = self.questions.0.len();
        self.questions.0.push(Some(reply));
        let question = Question { id, from, to, sequence, wish, within_us };
        self.line(from.slot, sequence, What::PeerAsk, [id as u64, to as u64, 0]);
        if self.is_peer_cut(from.slot, to) {
            self.stats.mark(Mark::PeerCutOff);
            return;
        }
        if self.strikes(self.faults.peer_lost, from.slot, Fault::PeerLost) {
            self.stats.mark(Mark::PeerLost);
            return;
        }
        let at = self.now + self.peer_way(from.slot);
        self.schedule.plan(at, Happening::PeerArrive(question));
        if self.strikes(self.faults.peer_twice, from.slot, Fault::PeerTwice) {
            self.stats.mark(Mark::PeerTwice);
            let at = self.now + self.peer_way(from.slot);
            self.schedule.plan(at, Happening::PeerArrive(question));
        }
    }

    /// How long a message between two servers takes.
    fn peer_way(&mut self, slot: usize) -> u64 {
        let way = self.draw.between(1, self.config.net_us);
        if self.strikes(self.faults.peer_slow, slot, Fault::PeerSlow) {
            self.stats.mark(Mark::PeerSlow);
            return way + self.draw.magnitude(1_000, self.config.ttl_us * 2);
        }
        way
    }

    /// A question reaches the server that it is for, or finds none.
    pub(super) fn peer_arrives(&mut self, question: Question) {
        let Some(node) = self.serving(question.to) else {
            self.stats.mark(Mark::PeerDown);
            self.peer_answers(question, None);
            return;
        };
        self.line(question.to, question.sequence, What::PeerArrive, [question.id as u64, 0, 0]);
        node.begin_request();
        let life = node.life;
        let job = async move {
            let Question { sequence, wish, within_us, .. } = question;
            let told = node.answer_server(sequence, wish, within_us).await;
            node.hub.stall(life).await;
            node.hub.world().peer_answers(question, told);
            node.end_request();
        };
        self.spawned.push((life, Box::pin(job)));
    }

    fn peer_answers(&mut self, question: Question, told: Option<Told>) {
        if self.is_peer_cut(question.to, question.from.slot) {
            self.stats.mark(Mark::PeerCutOff);
        } else if self.strikes(self.faults.peer_lost, question.to, Fault::PeerLost) {
            self.stats.mark(Mark::PeerAnswerLost);
        } else {
            let at = self.now + self.peer_way(question.to);
            self.schedule.plan(at, Happening::PeerAnswer(question, told));
        }
    }

    pub(super) fn peer_answered(&mut self, question: Question, told: Option<Told>) {
        let place = (question.from.slot, question.sequence);
        let answered = self.questions.0[question.id].take();
        let heard = answered.is_some_and(|reply| reply.send(told).is_ok());
        if !heard {
            self.stats.mark(Mark::PeerTooLate);
        }
        let id = question.id as u64;
        self.line(place.0, place.1, What::PeerAnswer, [id, u64::from(heard), 0]);
    }
}

impl Node {
    /// A request is being answered.
    pub(super) fn begin_request(self: &Rc<Self>) {
        self.busy.set(self.busy.get() + 1);
    }

    pub(super) fn end_request(&self) {
        self.busy.set(self.busy.get() - 1);
        self.less.notify_one();
    }
}
