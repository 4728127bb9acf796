//! The owner task of a sequence: the allocator's shell.
//!
//! It tells the allocator what happens, asks the store what the allocator wants to know, and
//! answers whom the allocator says. It decides nothing itself. A question to the store belongs to
//! this task, so no client can cancel one by leaving.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use ticketd_core::allocator::{Action, AttemptId, Event};
use ticketd_core::cluster::{Claim, Claimed};
use ticketd_core::failure::{Failure, FailureKind};
use ticketd_store::{Store, StoreError};
use tokio::sync::{mpsc, watch};
use tracing::{debug, error, warn};

use crate::clock::Clock;
use crate::limits::OWNER_QUEUE_LEN;
use crate::sequence::{Reply, Request, Sequence};
use crate::stopping::stopped;
use crate::store_times::StoreTimes;

/// A question to the store on its way, as the event that it will be.
type Asked = Pin<Box<dyn Future<Output = Event<Reply>> + Send>>;

/// What an owner task works with.
pub(crate) struct Owner {
    pub(crate) sequence: Arc<Sequence>,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    /// How it is asked for.
    pub(crate) claim: Claim,
    /// Turns true when the server stops.
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) times: Arc<StoreTimes>,
}

impl Owner {
    /// Runs until the sequence is closed: by a stop of the server, or because it does not exist.
    pub(crate) async fn run(mut self) {
        let mut asked: Option<Asked> = None;
        let mut arrived = Vec::new();
        let mut told_to_stop = false;
        let mut ended = self.tell([Event::Tick], &mut asked);
        while !ended {
            let wake = self.sequence.allocator().next_wake(self.clock.now());
            let event = tokio::select! {
                biased;
                event = answer(&mut asked) => {
                    asked = None;
                    self.sequence.allocator().abandon(Reply::is_gone);
                    event
                }
                _ = self.requests.recv_many(&mut arrived, OWNER_QUEUE_LEN), if arrived.is_empty() => {
                    ended = self.tell(arrived.drain(..).map(event_of), &mut asked);
                    continue;
                }
                () = self.sequence.low_water.notified() => Event::LowWater,
                () = stopped(&mut self.stopping), if !told_to_stop => {
                    told_to_stop = true;
                    Event::Stop
                }
                () = sleep_until(self.clock, wake) => Event::Tick,
            };
            ended = self.tell([event], &mut asked);
        }
        // Whoever asked meanwhile is told the reason. Later ones find the queue closed.
        self.requests.close();
        while let Ok(request) = self.requests.try_recv() {
            self.tell([event_of(request)], &mut asked);
        }
    }

    /// Tells the allocator and carries out what it says; returns whether it has ended.
    fn tell(
        &self,
        events: impl IntoIterator<Item = Event<Reply>>,
        asked: &mut Option<Asked>,
    ) -> bool {
        let events = events.into_iter().inspect(|event| {
            if let Event::Opened(_, record, _) = event {
                self.sequence.opened(record);
            }
            note(&self.sequence, event);
        });
        let mut actions = Vec::new();
        self.sequence.allocator().handle_all(self.clock.now(), events, &mut actions);
        let mut ended = false;
        let mut undelivered = Vec::new();
        for action in actions {
            match action {
                Action::Issue(Reply::Ids(reply), block) => {
                    if reply.send(Ok(block)).is_err() {
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
        let store = Arc::clone(&self.store);
        let name = self.sequence.name().clone();
        let (clock, times, claim) = (self.clock, Arc::clone(&self.times), self.claim);
        Box::pin(async move {
            let asked_at = clock.now();
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
                    times.observe(clock.now().micros_since(asked_at));
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
        Request::Close => Event::Stop,
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

async fn sleep_until(clock: Clock, wake: Option<ticketd_core::time::Instant>) {
    match wake {
        Some(moment) => clock.sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Writes what an operator wants to know into the log.
fn note(sequence: &Sequence, event: &Event<Reply>) {
    let name = sequence.name();
    match event {
        Event::Reserved(_, block) => debug!(sequence = %name, %block, "reserved"),
        Event::Failed(_, Failure { kind: FailureKind::NotFound, .. }) => {}
        Event::Failed(_, failure) => match failure.kind {
            FailureKind::Corrupt | FailureKind::Fenced | FailureKind::Invalid => {
                error!(sequence = %name, "the sequence stops: {failure}");
            }
            _ => warn!(sequence = %name, "the store failed: {failure}"),
        },
        Event::HandedBack(_, false) => {
            warn!(sequence = %name, "the rest was not handed back: the mark has moved");
        }
        _ => {}
    }
}
