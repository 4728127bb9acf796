//! The engine that the servers share, and the way there and back.
//!
//! A call is a message. It is applied at one moment, if it arrives, to the values that
//! [`MemoryEngine`] keeps; its answer is a message too. Whoever called gives up after a time-out,
//! and what it had asked may be applied after that.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use ticketd_core::cluster::ServerId;
use ticketd_core::failure::FailureKind;
use ticketd_store::engine::{Change, Engine, Entry, Key, MemoryEngine, Outcome};
use ticketd_store::{Answer, StoreError};
use tokio::sync::oneshot;

use super::flakes::AskedWindow;
use super::schedule::Happening;
use super::words::What;
use super::world::{ENGINE, Life, World};
use crate::explore::fault::Fault;
use crate::explore::schedule::Planned;
use crate::explore::stats::Mark;

/// What is asked of the engine.
#[derive(Debug)]
pub(super) enum Op {
    Read(Vec<Key>),
    List(String, Option<Key>, usize),
    Commit(Change),
}

/// What the engine answers.
#[derive(Debug)]
pub(super) enum Value {
    Read(Vec<Option<Entry>>),
    List(Vec<Entry>),
    Commit(Outcome),
}

/// What the owner of a sequence wants of the store: the checkers cannot tell it from a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Claim,
    Reserve { floor: u64 },
    Raise,
    HandBack,
}

/// An owner's question behind a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking {
    pub(super) life: Life,
    pub(super) sequence: usize,
    pub(super) ask: Ask,
    pub(super) server: ServerId,
    pub(super) turn: u64,
}

/// A call as it leaves a server.
pub(super) struct Call {
    life: Life,
    op: Op,
    reply: oneshot::Sender<Result<Value, StoreError>>,
}

/// Calls that were made and not yet seen by the world.
pub(super) type Outbox = Arc<Mutex<Vec<Call>>>;

/// A call under way, or long over.
pub(super) struct Sent {
    pub(super) life: Life,
    pub(super) op: Op,
    asking: Option<Asking>,
    window: Option<AskedWindow>,
    reply: Option<oneshot::Sender<Result<Value, StoreError>>>,
    applied: bool,
    /// Of which engine, as one after the other takes over.
    era: u32,
    timeout: Planned,
}

/// The engine as one life of a server reaches it.
pub(super) struct WorldEngine {
    life: Life,
    outbox: Outbox,
}

impl WorldEngine {
    pub(super) const fn new(life: Life, outbox: Outbox) -> Self {
        Self { life, outbox }
    }

    async fn call(&self, op: Op) -> Result<Value, StoreError> {
        let (reply, answer) = oneshot::channel();
        let call = Call { life: self.life, op, reply };
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        answer.await.unwrap_or_else(|_| Err(failure(FailureKind::Indeterminate)))
    }
}

fn failure(kind: FailureKind) -> StoreError {
    StoreError::new(kind, "the world's engine fails as it was told")
}

impl Engine for WorldEngine {
    fn read<'a>(&'a self, keys: &'a [Key]) -> Answer<'a, Vec<Option<Entry>>> {
        Box::pin(async {
            match self.call(Op::Read(keys.to_vec())).await? {
                Value::Read(entries) => Ok(entries),
                Value::List(_) | Value::Commit(_) => unreachable!("an answer fits its question"),
            }
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a Key>,
        limit: usize,
    ) -> Answer<'a, Vec<Entry>> {
        Box::pin(async move {
            match self.call(Op::List(prefix.to_owned(), after.cloned(), limit)).await? {
                Value::List(entries) => Ok(entries),
                Value::Read(_) | Value::Commit(_) => unreachable!("an answer fits its question"),
            }
        })
    }

    fn commit<'a>(&'a self, change: &'a Change) -> Answer<'a, Outcome> {
        Box::pin(async {
            match self.call(Op::Commit(change.clone())).await? {
                Value::Commit(outcome) => Ok(outcome),
                Value::Read(_) | Value::List(_) => unreachable!("an answer fits its question"),
            }
        })
    }

    fn vet(&self) -> Answer<'_, Vec<String>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn commits(&self) -> u64 {
        0
    }

    fn label(&self) -> &str {
        "world:"
    }
}

/// What an engine in memory answers at once.
pub(super) fn at_once<T>(answer: Answer<'_, T>) -> T {
    ready(answer).unwrap_or_else(|_| unreachable!("memory does not fail"))
}

/// What comes of work on an engine in memory, which needs no time.
pub(super) fn ready<T>(work: Answer<'_, T>) -> Result<T, StoreError> {
    let mut work = pin!(work);
    match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => unreachable!("memory answers at once"),
    }
}

fn do_now(memory: &MemoryEngine, op: &Op) -> Value {
    match op {
        Op::Read(keys) => Value::Read(at_once(memory.read(keys))),
        Op::List(prefix, after, limit) => {
            Value::List(at_once(memory.list(prefix, after.as_ref(), *limit)))
        }
        Op::Commit(change) => Value::Commit(at_once(memory.commit(change))),
    }
}

impl World {
    /// Puts the calls that were made on their way.
    pub(super) fn send_calls(&mut self) {
        let outbox = Arc::clone(&self.outbox);
        let calls = std::mem::take(&mut *outbox.lock().unwrap_or_else(PoisonError::into_inner));
        for call in calls {
            self.send_call(call);
        }
    }

    fn send_call(&mut self, Call { life, op, reply }: Call) {
        let id = self.calls.len();
        let (kind, is_commit) = match &op {
            Op::Read(_) => (0, false),
            Op::List(..) => (1, false),
            Op::Commit(_) => (2, true),
        };
        self.line_here(life, What::Call, [id as u64, kind, 0]);
        let asking = self.asking_of(life, &op);
        let window = match &op {
            Op::Commit(change) => self.asked_window(change),
            Op::Read(_) | Op::List(..) => None,
        };
        let at = self.now + self.config.call_timeout_us;
        let timeout = self.schedule.plan(at, Happening::Timeout(id));
        let reply = Some(reply);
        self.calls.push(Sent {
            life,
            op,
            asking,
            window,
            reply,
            applied: false,
            era: self.era,
            timeout,
        });
        if self.is_cut(life.slot, ENGINE) {
            self.stats.mark(Mark::EngineCutOff);
        } else if self.strikes(self.faults.call_refused, life.slot, Fault::Unavailable) {
            self.stats.mark(Mark::Unavailable);
            self.answer_call(id, Err(failure(FailureKind::Unavailable)));
        } else if is_commit && self.strikes(self.faults.conflict, life.slot, Fault::Conflict) {
            self.stats.mark(Mark::Conflict);
            self.answer_call(id, Err(failure(FailureKind::Conflict)));
        } else if self.strikes(self.faults.call_lost, life.slot, Fault::CallLost) {
            self.stats.mark(Mark::CallLost);
        } else {
            let at = self.now + self.engine_way(life.slot);
            self.schedule.plan(at, Happening::Apply(id, Vec::new()));
        }
    }

    /// The owner's question that a commit belongs to.
    fn asking_of(&self, life: Life, op: &Op) -> Option<Asking> {
        let Op::Commit(change) = op else { return None };
        let (key, _) = change.put.first()?;
        let name = key.as_str().strip_prefix("sequence/")?;
        let sequence = self.names.iter().position(|known| known.as_str() == name)?;
        self.asking[life.slot][sequence].filter(|asking| asking.life == life)
    }

    /// How long a message to or from the engine takes.
    fn engine_way(&mut self, slot: usize) -> u64 {
        let (fastest, slowest) = self.config.engine_us;
        let way = self.draw.between(fastest, slowest);
        if self.strikes(self.faults.slow, slot, Fault::Slow) {
            self.stats.mark(Mark::SlowStore);
            return way
                + self.draw.magnitude(self.config.call_timeout_us / 8, self.config.ttl_us * 2);
        }
        way
    }

    /// A call reaches the engine. `read` is what a list has read of its beginning before.
    pub(super) fn apply(&mut self, id: usize, mut read: Vec<Entry>) {
        let life = self.calls[id].life;
        if self.away {
            self.stats.mark(Mark::EngineAway);
            if self.draw.chance(500) {
                self.answer_call(id, Err(failure(FailureKind::Unavailable)));
            }
            return;
        }
        if self.calls[id].era != self.era {
            // It was on its way to an engine that is no more.
            return self.stats.mark(Mark::CallLost);
        }
        if self.is_foreign(life) {
            self.stats.mark(Mark::ForeignEngine);
            return self.answer_call(id, Err(failure(FailureKind::Corrupt)));
        }
        self.line_here(life, What::Apply, [id as u64, 0, 0]);
        self.calls[id].applied = true;
        let mut value = do_now(&self.memory, &self.calls[id].op);
        match &mut value {
            Value::List(rest) => {
                let may_tear = read.is_empty() && rest.len() > 1;
                if may_tear && self.strikes(self.faults.torn_list, life.slot, Fault::TornList) {
                    return self.read_on(id, std::mem::take(rest));
                }
                read.append(rest);
                *rest = read;
            }
            Value::Commit(outcome) => self.committed(id, *outcome),
            Value::Read(_) => {}
        }
        self.answer_call(id, Ok(value));
    }

    /// A list is read in two parts, at different moments.
    fn read_on(&mut self, id: usize, mut entries: Vec<Entry>) {
        self.stats.mark(Mark::TornList);
        entries.truncate(entries.len() / 2);
        let last = entries.last().map(|entry| entry.key.clone());
        if let Op::List(_, after, limit) = &mut self.calls[id].op {
            *after = last;
            *limit -= entries.len();
        }
        let at = self.now + self.engine_way(self.calls[id].life.slot);
        self.schedule.plan(at, Happening::Apply(id, entries));
    }

    fn committed(&mut self, id: usize, outcome: Outcome) {
        let Sent { life, asking, window, reply, .. } = &self.calls[id];
        let (life, asking, window, late) = (*life, *asking, *window, reply.is_none());
        let dead = !self.is_alive(life);
        let Outcome::Applied(version) = outcome else {
            self.line_here(life, What::Differs, [id as u64, 0, 0]);
            self.stats.mark(Mark::Differs);
            return;
        };
        if late {
            self.stats.mark(Mark::AppliedLate);
        }
        if dead {
            self.stats.mark(Mark::AppliedAtCrash);
        }
        let Op::Commit(change) = &self.calls[id].op else { return };
        let (put, delete) = (change.put.clone(), change.delete.clone());
        for (key, value) in &put {
            match key.as_str().starts_with("worker/") {
                true => self.put_worker(window, key, value),
                false => self.put(life, asking, key, value, version),
            }
        }
        for key in &delete {
            self.deleted(life, key);
        }
    }

    /// Sends the answer of a call back.
    fn answer_call(&mut self, id: usize, result: Result<Value, StoreError>) {
        let slot = self.calls[id].life.slot;
        if self.is_cut(ENGINE, slot) {
            self.stats.mark(Mark::EngineCutOff);
        } else if self.strikes(self.faults.reply_lost, slot, Fault::ReplyLost) {
            self.stats.mark(Mark::ReplyLost);
        } else {
            let at = self.now + self.engine_way(slot);
            self.schedule.plan(at, Happening::Reply(id, result));
        }
    }

    pub(super) fn call_answered(&mut self, id: usize, result: Result<Value, StoreError>) {
        let life = self.calls[id].life;
        if self.calls[id].era != self.era && self.draw.chance(500) {
            // The connection broke.
            return self.stats.mark(Mark::ReplyLost);
        }
        let Some(reply) = self.calls[id].reply.take() else {
            self.stats.mark(Mark::ReplyTooLate);
            self.line_here(life, What::ReplyTooLate, [id as u64, 0, 0]);
            return;
        };
        self.schedule.call_off(self.calls[id].timeout);
        let code = result.as_ref().err().map_or(0, |error| error.kind as u64 + 1);
        self.line_here(life, What::Reply, [id as u64, code, 0]);
        // Whoever called may be gone.
        if !reply.is_closed()
            && let Ok(value) = &result
        {
            self.heard(id, value);
        }
        drop(reply.send(result));
    }

    /// Whoever called gives up: a change may have been applied or not, a question has changed
    /// nothing.
    pub(super) fn call_timed_out(&mut self, id: usize) {
        let Some(reply) = self.calls[id].reply.take() else { return };
        let Sent { life, op, applied, .. } = &self.calls[id];
        let (life, applied) = (*life, *applied);
        let kind = match op {
            Op::Read(_) | Op::List(..) => FailureKind::Unavailable,
            Op::Commit(change) => {
                let announces = |(key, _): &(Key, String)| key.as_str().starts_with("server/");
                if applied && change.put.iter().any(announces) {
                    self.stats.mark(Mark::AnnouncedUnheard);
                }
                self.stats.mark(match applied {
                    true => Mark::IndeterminateApplied,
                    false => Mark::IndeterminateNotApplied,
                });
                FailureKind::Indeterminate
            }
        };
        self.stats.mark(Mark::TimedOut);
        self.line_here(life, What::Timeout, [id as u64, 0, 0]);
        drop(reply.send(Err(failure(kind))));
    }
}
