//! The owner task of a sequence: `server/src/owner.rs` on virtual time.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use ticketd_core::allocator::{Action, AttemptId, Event};
use ticketd_core::cluster::{Claim, Claimed};
use ticketd_core::time::Instant;
use ticketd_store::{Store, StoreError};
use tokio::sync::mpsc;

use super::engine::Ask;
use super::node::Node;
use super::sequence::{Reply, Request, Sequence};
use super::words::What;
use crate::explore::stats::Mark;

type Asked = Pin<Box<dyn Future<Output = Event<Reply>>>>;

/// What an owner task works with.
pub(super) struct Owner {
    pub(super) node: Rc<Node>,
    pub(super) sequence: Rc<Sequence>,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) claim: Claim,
}

impl Owner {
    /// Runs until the sequence is closed.
    pub(super) async fn run(mut self) {
        let mut asked: Option<Asked> = None;
        let mut arrived = Vec::new();
        let mut told_to_stop = false;
        let mut ended = self.tell([Event::Tick], &mut asked);
        while !ended {
            let wake = self.sequence.allocator.borrow().next_wake(self.node.now());
            let event = tokio::select! {
                biased;
                event = answer(&mut asked) => {
                    asked = None;
                    self.sequence.allocator.borrow_mut().abandon(Reply::is_gone);
                    event
                }
                _ = self.requests.recv_many(&mut arrived, 64), if arrived.is_empty() => {
                    ended = self.tell(arrived.drain(..).map(event_of), &mut asked);
                    continue;
                }
                () = self.sequence.low_water.notified() => Event::LowWater,
                () = self.node.stopped(), if !told_to_stop => {
                    told_to_stop = true;
                    Event::Stop
                }
                () = sleep_until(&self.node, wake) => Event::Tick,
            };
            ended = self.tell([event], &mut asked);
        }
        self.requests.close();
        while let Ok(request) = self.requests.try_recv() {
            self.tell([event_of(request)], &mut asked);
        }
        self.node.hub.world().seat_ended(self.node.life, &self.sequence);
    }

    /// Tells the allocator and carries out what it says; returns whether it has ended.
    fn tell(
        &self,
        events: impl IntoIterator<Item = Event<Reply>>,
        asked: &mut Option<Asked>,
    ) -> bool {
        let events = events.into_iter().inspect(|event| self.note(event));
        let mut actions = Vec::new();
        let mut allocator = self.sequence.allocator.borrow_mut();
        allocator.handle_all(self.node.now(), events, &mut actions);
        drop(allocator);
        let mut ended = false;
        let mut undelivered = Vec::new();
        for action in actions {
            match action {
                Action::Issue(Reply::Ids(reply), block) => {
                    let took = self.sequence.took(&self.node, block);
                    if reply.send(Ok(took)).is_err() {
                        self.sequence.book(|books| books.undelivered += block.len());
                        undelivered.push(block);
                    }
                }
                Action::Acknowledge(Reply::Raise(reply)) => drop(reply.send(Ok(()))),
                Action::Refuse(Reply::Ids(reply), refusal) => drop(reply.send(Err(refusal))),
                Action::Refuse(Reply::Raise(reply), refusal) => drop(reply.send(Err(refusal))),
                Action::Ended => ended = true,
                Action::Issue(Reply::Raise(_), _) | Action::Acknowledge(Reply::Ids(_)) => {
                    unreachable!("the allocator answers what was asked")
                }
                question @ (Action::Open(_)
                | Action::Reserve(..)
                | Action::Raise(..)
                | Action::HandBack(..)) => *asked = Some(self.ask(question)),
            }
        }
        if !undelivered.is_empty() {
            ended |= self.tell(undelivered.into_iter().map(Event::Undelivered), asked);
        }
        ended
    }

    /// Starts to ask the store.
    fn ask(&self, question: Action<Reply>) -> Asked {
        let store = Arc::clone(&self.node.store);
        let name = self.node.name(self.sequence.index).clone();
        let claim = self.claim;
        let index = self.sequence.index;
        let (what, a, b) = match &question {
            Action::Reserve(_, wanted) => {
                self.asks(Ask::Reserve { floor: wanted.floor });
                (What::AskReserve, wanted.len, wanted.floor)
            }
            Action::Raise(_, floor) => {
                self.asks(Ask::Raise);
                (What::AskRaised, *floor, 0)
            }
            Action::HandBack(_, unissued) => {
                self.asks(Ask::HandBack);
                self.node.hub.world().checks.gives_up(self.node.life, index);
                self.sequence.book(|books| books.handing = unissued.end - unissued.start);
                (What::AskHandBack, unissued.start, unissued.end)
            }
            _ => {
                self.asks(Ask::Claim);
                (What::AskOpen, 0, 0)
            }
        };
        self.node.line(index, what, [a, b, self.sequence.turn.get()]);
        Box::pin(async move {
            let (attempt, result) = match question {
                Action::Open(attempt) => {
                    let claimed = store.claim(&name, claim).await;
                    let opened = claimed.map(|claimed| match claimed {
                        Claimed::Mine(record, turn) => Event::Opened(attempt, record, turn),
                        Claimed::Theirs(server, kind) => Event::OwnedBy(attempt, server, kind),
                    });
                    (attempt, opened)
                }
                Action::Reserve(attempt, wanted) => {
                    let block = store.reserve(&name, wanted).await;
                    (attempt, block.map(|block| Event::Reserved(attempt, block)))
                }
                Action::Raise(attempt, floor) => {
                    let mark = store.raise(&name, floor).await;
                    (attempt, mark.map(|mark| Event::Raised(attempt, mark)))
                }
                Action::HandBack(attempt, unissued) => {
                    let done = store.hand_back(&name, unissued).await;
                    (attempt, done.map(|done| Event::HandedBack(attempt, done)))
                }
                Action::Issue(..) | Action::Acknowledge(_) | Action::Refuse(..) | Action::Ended => {
                    unreachable!("only questions are asked")
                }
            };
            result.unwrap_or_else(|error| failed(attempt, &error))
        })
    }

    fn asks(&self, ask: Ask) {
        let (server, turn) = (self.sequence.lease.id(), self.sequence.turn.get());
        self.node.hub.world().asks(self.node.life, self.sequence.index, ask, server, turn);
    }

    /// Shows the world what the allocator is told.
    fn note(&self, event: &Event<Reply>) {
        let (node, index) = (&self.node, self.sequence.index);
        match event {
            Event::Opened(_, record, turn) => {
                self.sequence.opened(record, *turn);
                node.line(index, What::Opened, [record.mark, *turn, 0]);
                let server = self.sequence.lease.id();
                node.hub.world().opened(node.life, index, record, server, *turn);
            }
            Event::OwnedBy(_, server, _) => {
                let is_deferred = !node.hub.world().checks.is_owner(index, *server);
                node.mark(if is_deferred { Mark::Deferred } else { Mark::OwnedByAnother });
                node.line(index, What::OwnedBy, [server.0 >> 48, 0, 0]);
            }
            Event::Reserved(_, block) => {
                node.line(index, What::Reserved, [block.start(), block.end(), 0]);
                node.hub.world().told_block(node.life, index, *block);
                self.sequence.book(|books| books.delivered += block.len());
            }
            Event::HandedBack(_, done) => {
                node.mark(if *done { Mark::HandedBack } else { Mark::HandBackRefused });
                node.line(index, What::HandedBack, [u64::from(*done), 0, 0]);
                self.sequence.book(|books| books.handed_back(*done));
            }
            Event::Failed(_, failure) => {
                node.line(index, What::Failed, [failure.kind as u64, 0, 0]);
                node.hub.world().store_failed(node.life, index, failure);
            }
            Event::LeaseEnded => node.line(index, What::LeaseEnded, [0; 3]),
            Event::Wanted { .. }
            | Event::Raise { .. }
            | Event::LowWater
            | Event::Raised(..)
            | Event::Undelivered(_)
            | Event::Tick
            | Event::Stop => {}
        }
    }
}

fn failed(attempt: AttemptId, error: &StoreError) -> Event<Reply> {
    Event::Failed(attempt, error.to_failure())
}

fn event_of(request: Request) -> Event<Reply> {
    match request {
        Request::Ids { reply, count, deadline } => {
            Event::Wanted { request: reply, count, deadline }
        }
        Request::Raise { reply, floor, deadline } => {
            Event::Raise { request: reply, floor, deadline }
        }
        Request::LeaseEnded => Event::LeaseEnded,
    }
}

/// The answer to what was asked; for ever pending if nothing was.
async fn answer(asked: &mut Option<Asked>) -> Event<Reply> {
    match asked {
        Some(question) => question.await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(node: &Node, wake: Option<Instant>) {
    match wake {
        Some(moment) => node.sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
