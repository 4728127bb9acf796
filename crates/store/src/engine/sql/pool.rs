//! Connections that wait for their next use.
//!
//! A connection comes back only when its owner says that nothing is under way on it. Whoever is
//! dropped, times out or fails has not said so, and the connection is closed.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::fault::Fault;
use super::session::Session;

/// The most connections at once. The engine's work for one is short; those who ask wait here, and
/// not in the engine, whose connections are few.
const CONNECTIONS_MAX: usize = 8;

/// A connection that was idle for longer is tried before it is used: an engine or a router on the
/// way may have dropped it silently, and a change sent into it would be one of unknown outcome.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// The connections to one engine.
pub struct Pool<S> {
    idle: Mutex<VecDeque<(S, Instant)>>,
    permits: Semaphore,
}

/// A connection that is in use. Dropped, it is closed.
pub struct Taken<'a, S: Session> {
    session: S,
    pool: &'a Pool<S>,
    _permit: SemaphorePermit<'a>,
}

impl<S: Session> Pool<S> {
    /// No connections.
    pub fn new() -> Self {
        Self { idle: Mutex::default(), permits: Semaphore::new(CONNECTIONS_MAX) }
    }

    /// A connection: one that waits here, or else the one that `connect` makes.
    pub async fn take<F>(&self, connect: impl FnOnce() -> F) -> Result<Taken<'_, S>, Fault>
    where
        F: Future<Output = Result<S, Fault>>,
    {
        let permit = self.permits.acquire().await.expect("the semaphore is never closed");
        let session = match self.waiting().await {
            Some(session) => session,
            None => connect().await?,
        };
        Ok(Taken { session, pool: self, _permit: permit })
    }

    /// Closes all that wait: what has just broken for one is probably broken for all.
    pub fn clear(&self) {
        self.idle().clear();
    }

    async fn waiting(&self) -> Option<S> {
        loop {
            // The one used last, so that the number of connections follows the need.
            let (mut session, since) = self.idle().pop_back()?;
            if !session.is_open() {
                continue;
            }
            if now().duration_since(since) < TRUSTED_IDLE || session.ping().await.is_ok() {
                return Some(session);
            }
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, VecDeque<(S, Instant)>> {
        // Nothing panics while it is locked.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Session> Taken<'_, S> {
    /// The connection.
    pub fn session(&mut self) -> &mut S {
        &mut self.session
    }

    /// Nothing is under way on it: somebody else may have it.
    pub fn give_back(self) {
        if self.session.is_open() {
            self.pool.idle().push_back((self.session, now()));
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a connection was idle decides only whether it is tried before it is used"
)]
fn now() -> Instant {
    Instant::now()
}
