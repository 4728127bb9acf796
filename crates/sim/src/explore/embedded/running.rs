//! The store as one life of the server has it, and what it answers to a group of calls.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use ticketd_core::name::Name;
use ticketd_store::embedded::sim_disk::SimDisk;
use ticketd_store::embedded::{Hand, Setup};
use ticketd_store::{Embedded, Store, StoreError};

use super::image::{Answer, Asked, Call, Image};

/// More sequences than a world makes.
const LIST_MAX: usize = 1_000;

type Waiting = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// An open store.
#[derive(Debug)]
pub(super) struct Running {
    store: Arc<Embedded>,
    hand: Hand,
    disk: SimDisk,
}

/// Hears an answer, and whether there was still power when it left.
#[derive(Debug)]
struct Ear {
    disk: SimDisk,
    in_time: AtomicBool,
}

impl Wake for Ear {
    fn wake(self: Arc<Self>) {
        self.in_time.store(!self.disk.is_off(), Ordering::Relaxed);
    }
}

impl Running {
    pub(super) fn open(setup: &Setup, disk: &SimDisk) -> Result<Self, StoreError> {
        let (store, hand) = Embedded::by_hand(setup)?;
        Ok(Self { store: Arc::new(store), hand, disk: disk.clone() })
    }

    pub(super) fn commits(&self) -> u64 {
        self.hand.commits()
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.store.health().is_err()
    }

    /// Asks all `calls` at once, lets the store work, and hears the answers. Those that had not
    /// left when the power went are none.
    pub(super) fn serve(&mut self, calls: &[Call]) -> Vec<Option<Answer>> {
        let waiting: Vec<_> = calls.iter().map(|call| self.ask(call)).collect();
        self.hand.serve();
        waiting.into_iter().map(|(waiting, ear)| self.hear(waiting, &ear)).collect()
    }

    fn ask(&self, call: &Call) -> (Result<Answer, Waiting>, Arc<Ear>) {
        let ear = Arc::new(Ear { disk: self.disk.clone(), in_time: AtomicBool::new(false) });
        let mut waiting = answer(Arc::clone(&self.store), call.clone());
        let waker = Waker::from(Arc::clone(&ear));
        match waiting.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => (Ok(answer), ear),
            Poll::Pending => (Err(waiting), ear),
        }
    }

    fn hear(&self, waiting: Result<Answer, Waiting>, ear: &Ear) -> Option<Answer> {
        let mut waiting = match waiting {
            Ok(answer) => return Some(answer),
            Err(waiting) => waiting,
        };
        if self.disk.is_off() && !ear.in_time.load(Ordering::Relaxed) {
            return None;
        }
        match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    /// Ends in peace.
    pub(super) fn close(self) {
        let Self { store, hand, .. } = self;
        drop(store);
        hand.close();
    }

    /// What readers of the store see; `None` if it has stopped.
    pub(super) fn look(&self) -> Option<Image> {
        let list = now(self.store.list(None, LIST_MAX))?.ok()?;
        let workers = |name: &Name| (name.clone(), self.hand.workers(name));
        let workers = list.iter().map(|(name, _)| workers(name));
        let workers = workers.filter(|(_, workers)| !workers.is_empty()).collect();
        Some(Image { records: list.into_iter().collect(), workers })
    }
}

/// What a future that is ready answers.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

fn answer(store: Arc<Embedded>, call: Call) -> Waiting {
    Box::pin(async move {
        let name = &call.name;
        let answer = match call.asked {
            Asked::Create(definition) => store.create(name, definition).await.map(Answer::Record),
            Asked::Reserve(asked) => store.reserve(name, asked).await.map(Answer::Block),
            Asked::Raise(floor) => store.raise(name, floor).await.map(Answer::Mark),
            Asked::HandBack(ids) => store.hand_back(name, ids).await.map(Answer::Taken),
            Asked::Lease(ask) => store.lease(name, ask).await.map(Answer::Leased),
            Asked::Release(unspent) => store.release(name, unspent).await.map(Answer::Taken),
            Asked::Resize(step) => store.resize(name, step).await.map(Answer::Resized),
        };
        answer.unwrap_or_else(|error| Answer::Failed(error.kind))
    })
}
