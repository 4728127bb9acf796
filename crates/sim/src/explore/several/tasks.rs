//! Runs the tasks of the world's servers, by hand: each is polled when something has woken it, in
//! the order in which that happened, on virtual time.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::world::Life;

/// What a task does.
pub(super) type Job = Pin<Box<dyn Future<Output = ()>>>;

/// All tasks that there ever were.
pub(super) struct Tasks {
    tasks: Vec<Option<Task>>,
    ready: Arc<Mutex<VecDeque<usize>>>,
}

struct Task {
    life: Life,
    job: Job,
    wake: Arc<Alarm>,
}

/// Puts a task among those that are ready, once until it is polled.
struct Alarm {
    task: usize,
    rung: AtomicBool,
    ready: Arc<Mutex<VecDeque<usize>>>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        if !self.rung.swap(true, Ordering::Relaxed) {
            let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            ready.push_back(self.task);
        }
    }
}

impl Tasks {
    pub(super) fn new() -> Self {
        Self { tasks: Vec::new(), ready: Arc::default() }
    }

    /// Adds a task of a server's life. It is ready.
    pub(super) fn spawn(&mut self, life: Life, job: Job) {
        let task = self.tasks.len();
        let ready = Arc::clone(&self.ready);
        let wake = Arc::new(Alarm { task, rung: AtomicBool::new(false), ready });
        Arc::clone(&wake).wake();
        self.tasks.push(Some(Task { life, job, wake }));
    }

    /// The next task that is ready, and whose it is.
    pub(super) fn next(&mut self) -> Option<(usize, Life)> {
        loop {
            let id = self.ready.lock().unwrap_or_else(PoisonError::into_inner).pop_front()?;
            if let Some(task) = &self.tasks[id] {
                return Some((id, task.life));
            }
        }
    }

    /// Makes a task ready again that was taken as ready and not polled.
    pub(super) fn put_back(&mut self, id: usize) {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).push_back(id);
    }

    pub(super) fn poll(&mut self, id: usize) {
        let Some(mut task) = self.tasks[id].take() else { return };
        task.wake.rung.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&task.wake));
        if task.job.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Pending {
            self.tasks[id] = Some(task);
        }
    }

    /// Ends all tasks of a life, wherever they are.
    pub(super) fn kill(&mut self, life: Life) {
        for slot in &mut self.tasks {
            if slot.as_ref().is_some_and(|task| task.life == life) {
                *slot = None;
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.tasks.clear();
    }
}
