//! The service's part in sharing sequences with other servers: whom to ask, and what to do when
//! that changes.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ticketd_core::cluster::{Claim, ServerId};
use ticketd_core::count::Count;
use ticketd_core::definition::{Definition, KindName};
use ticketd_core::name::Name;
use ticketd_core::time::Instant;

use super::raise::raise_blocks;
use super::{Asker, Service};
use crate::cluster::elsewhere::{Elsewhere, NotThere};
use crate::cluster::peer::{Told, Wish};
use crate::cluster::tally::Outcome;
use crate::cluster::{Cluster, Lease};
use crate::error::{ErrorKind, ServiceError};
use crate::sequence::{NoAnswer, Sequence};
use crate::source::Source;

/// The pause before it is found out again who owns a sequence: when servers send each other to and
/// fro, since their knowledge of who is there is as old as their last look; and when this server has
/// no lease.
const SEND_ON_PAUSE: Duration = Duration::from_millis(20);

impl Service {
    /// Makes this server one of several. To be called once, before the first request.
    ///
    /// # Panics
    /// If it is one already.
    pub fn join(&self, cluster: Arc<Cluster>) {
        assert!(self.cluster.set(cluster).is_ok(), "a server joins once");
    }

    /// The others, if this is one of several servers.
    pub fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.cluster.get()
    }

    pub(super) fn ready_in_cluster(&self) -> Result<(), ServiceError> {
        match self.cluster.get() {
            Some(cluster) if !cluster.lease().holds() => {
                let message = "the lease of this server is not renewed: is the engine there?";
                Err(ServiceError::new(ErrorKind::Unavailable, message))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn claim(&self, name: &Name, asker: Asker, lease: Option<&Lease>) -> Claim {
        let defer_to = match asker {
            Asker::Client => self.cluster.get().and_then(|cluster| cluster.preferred(name)),
            Asker::Server => None,
        };
        Claim {
            server: lease.map_or(ServerId(0), Lease::id),
            create: self.settings.auto_create.then(Definition::default),
            defer_to,
        }
    }

    /// Takes note that `server` owns `name`.
    pub(super) fn open_elsewhere(
        &self,
        name: &Name,
        server: ServerId,
        kind: KindName,
    ) -> Result<(), ServiceError> {
        let Some(cluster) = self.cluster.get() else {
            let message = "another server owns the sequence, and this one shares none";
            return Err(ServiceError::new(ErrorKind::Fenced, message));
        };
        let mut sequences = self.sequences.write().unwrap_or_else(PoisonError::into_inner);
        if *self.stopping.borrow() {
            return Err(ServiceError::stopping());
        }
        // Whoever comes first does it; the owner task that found it out has ended.
        let over = match sequences.get(name) {
            None => true,
            Some(Source::Blocks(sequence)) => sequence.has_ended(),
            Some(Source::Elsewhere(elsewhere)) => elsewhere.server() != server,
            Some(_) => false,
        };
        if over {
            let elsewhere =
                Elsewhere::start(name.clone(), server, kind, Arc::clone(cluster), self.clock);
            sequences.insert(name.clone(), Source::Elsewhere(elsewhere));
        }
        Ok(())
    }

    /// What to do when the owner did not answer: perhaps ask again, on whose behalf.
    pub(super) async fn follow(
        &self,
        elsewhere: &Arc<Elsewhere>,
        not_there: NotThere,
        deadline: Instant,
    ) -> Result<Asker, ServiceError> {
        let moved_to = match not_there {
            NotThere::Refused(error) => return Err(error),
            NotThere::Moved(server) => server,
        };
        self.forget(elsewhere);
        let me = self.cluster.get().map(|cluster| cluster.me());
        if moved_to.is_some() && moved_to == me {
            return Ok(Asker::Server);
        }
        self.pause_before_sending_on(deadline).await?;
        if let Some(server) = moved_to {
            self.open_elsewhere(elsewhere.name(), server, elsewhere.kind())?;
        }
        Ok(Asker::Client)
    }

    pub(super) async fn pause_before_sending_on(
        &self,
        deadline: Instant,
    ) -> Result<(), ServiceError> {
        let until = self.clock.now().plus(SEND_ON_PAUSE).min(deadline);
        self.clock.sleep_until(until).await;
        self.check_reopening(deadline).await
    }

    fn forget(&self, elsewhere: &Arc<Elsewhere>) {
        let mut sequences = self.sequences.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(sequences.get(elsewhere.name()),
            Some(Source::Elsewhere(open)) if Arc::ptr_eq(open, elsewhere))
        {
            sequences.remove(elsewhere.name());
        }
    }

    /// Answers another server, which takes this one for the owner of `name`. `None`: it is not to
    /// be answered, and asks again.
    pub(crate) async fn answer_server(
        self: &Arc<Self>,
        name: &Name,
        wish: Wish,
        within: Duration,
    ) -> Option<Told> {
        let told = self.answer_as_owner(name, wish, within).await;
        if let Some(cluster) = self.cluster.get() {
            cluster.tally.received(told.as_ref().map_or(Outcome::Failed, |t| Outcome::of(Ok(t))));
        }
        told
    }

    async fn answer_as_owner(
        self: &Arc<Self>,
        name: &Name,
        wish: Wish,
        within: Duration,
    ) -> Option<Told> {
        let deadline = self.clock.now().plus(within.min(self.settings.request_timeout));
        loop {
            let source = match self.open(name, Asker::Server) {
                Ok(source) => source,
                Err(_) if *self.stopping.borrow() => return None,
                Err(error) => return Some(Told::refused(&error)),
            };
            let no_answer = match source {
                Source::Blocks(sequence) => match self.grant(&sequence, wish, deadline).await {
                    Ok(told) => return Some(told),
                    Err(no_answer) => no_answer,
                },
                Source::Elsewhere(elsewhere) => {
                    if self.is_there(elsewhere.server()) {
                        return Some(Told::OwnedBy(elsewhere.server().to_string()));
                    }
                    self.forget(&elsewhere);
                    match self.pause_before_sending_on(deadline).await {
                        Ok(()) => continue,
                        Err(_) if *self.stopping.borrow() => return None,
                        Err(error) => return Some(Told::refused(&error)),
                    }
                }
                Source::Changing(changing) => match self.wait_for(&changing, deadline).await {
                    Ok(()) => continue,
                    Err(error) => return Some(Told::refused(&error)),
                },
                Source::Snowflake(_) | Source::Wide(_) => {
                    let error = ServiceError::invalid("nobody owns a sequence of this kind");
                    return Some(Told::refused(&error));
                }
            };
            if let Err(error) = self.try_otherwise(name, no_answer, deadline).await {
                return (!*self.stopping.borrow()).then(|| Told::refused(&error));
            }
        }
    }

    async fn grant(
        &self,
        sequence: &Sequence,
        wish: Wish,
        deadline: Instant,
    ) -> Result<Told, NoAnswer> {
        let told = match wish {
            Wish::Next(count) => match Count::new(count) {
                Ok(count) => {
                    let range = sequence.next(count, deadline).await?;
                    Ok(Told::Ids { first: range.first, step: range.step, count: range.count })
                }
                Err(error) => Err(ServiceError::invalid(error)),
            },
            Wish::Raise(to) => match self.floor_above(sequence.name(), to, deadline).await {
                Ok((record, floor)) => {
                    let next = raise_blocks(sequence, &record, floor, deadline).await?;
                    next.map(Told::Raised)
                }
                Err(error) => Err(error),
            },
        };
        Ok(told.unwrap_or_else(|error| Told::refused(&error)))
    }

    fn is_there(&self, server: ServerId) -> bool {
        self.cluster.get().is_some_and(|cluster| cluster.announced(server).is_some())
    }

    /// How many open sequences this server owns.
    pub(crate) fn owned(&self) -> u64 {
        let sequences = self.sequences.read().unwrap_or_else(PoisonError::into_inner);
        let owned = sequences
            .values()
            .filter(|source| matches!(source, Source::Blocks(sequence) if sequence.is_owned()));
        owned.count() as u64
    }

    /// Gives up all that was opened under a lease that has ended.
    pub async fn lease_ended(&self) {
        let open: Vec<_> = {
            let sequences = self.sequences.read().unwrap_or_else(PoisonError::into_inner);
            sequences.values().cloned().collect()
        };
        for source in open {
            if let Source::Blocks(sequence) = source {
                sequence.lease_ended().await;
            }
        }
    }
}
