//! The service's part in a resize of a stride sequence: it takes steps. Which, and when, is worked
//! out by whoever coordinates: see [`ticketd_core::stride::resize`].
//!
//! A step is taken while nobody issues: the owner hands back what it holds and ends, the store takes
//! the step, and the next request opens the sequence again. Requests wait meanwhile, for a commit
//! or two.

use std::sync::{Arc, PoisonError};

use ticketd_core::name::Name;
use ticketd_core::record::Record;
use ticketd_core::stride::Standing;
use ticketd_core::stride::resize::{NotTaken, Step, View, take};
use ticketd_core::time::Instant;
use tokio::sync::watch;

use super::Service;
use crate::error::{ErrorKind, ServiceError};
use crate::limits::SEQUENCES_MAX;
use crate::source::{Changing, Source};

impl Service {
    /// What this server says of itself as a member of the stride sequence `name`; `None` if there
    /// is no such sequence here.
    ///
    /// # Errors
    /// `Conflict` if it is of another kind, or a failure of the store.
    pub async fn member(&self, name: &Name) -> Result<Option<View>, ServiceError> {
        let record = self.store.read(name).await?;
        record
            .map(|record| View::of(&record).ok_or_else(|| refused(NotTaken::OtherKind)))
            .transpose()
    }

    /// Takes a step of a resize of the stride sequence `name`. The same step again is no error.
    ///
    /// # Errors
    /// `Conflict` says why the step is not taken; otherwise a failure of the store, after which the
    /// step may be asked again.
    pub async fn resize(self: &Arc<Self>, name: &Name, step: Step) -> Result<View, ServiceError> {
        let (service, name) = (Arc::clone(self), name.clone());
        // In a task of its own: whoever asks may leave, and no half of it must be left behind.
        let taken = tokio::spawn(async move { service.take_alone(&name, step).await });
        taken.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    async fn take_alone(self: &Arc<Self>, name: &Name, step: Step) -> Result<View, ServiceError> {
        let _alone = self.steps.write().await;
        let before = self.store.read(name).await?;
        let mut after = before;
        take(&mut after, step).map_err(refused)?;
        if before.is_none() && self.store.sizes().sequences >= SEQUENCES_MAX {
            let message =
                format!("too many sequences; the limit of this server is {SEQUENCES_MAX}");
            return Err(ServiceError::new(ErrorKind::TooLarge, message));
        }
        if before == after {
            return view(after);
        }
        let (over, gate) = watch::channel(());
        let open = self.shut(name, gate)?;
        if let Some(Source::Blocks(sequence)) = open {
            sequence.close().await;
        }
        let taken = self.store.resize(name, step).await;
        self.unshut(name);
        drop(over);
        view(Some(taken?.map_err(refused)?))
    }

    /// Makes all who ask for the sequence wait until the sender of `over` is gone.
    fn shut(&self, name: &Name, over: watch::Receiver<()>) -> Result<Option<Source>, ServiceError> {
        let mut sequences = self.sequences.write().unwrap_or_else(PoisonError::into_inner);
        if *self.stopping.borrow() {
            return Err(ServiceError::stopping());
        }
        let changing = Changing { name: name.clone(), over };
        Ok(sequences.insert(name.clone(), Source::Changing(Arc::new(changing))))
    }

    fn unshut(&self, name: &Name) {
        self.sequences.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    pub(super) async fn wait_for(
        &self,
        changing: &Changing,
        deadline: Instant,
    ) -> Result<(), ServiceError> {
        let mut over = changing.over.clone();
        // It never changes; that its sender is gone is the sign.
        if self.clock.within(deadline, over.changed()).await.is_some() {
            return Ok(());
        }
        Err(step_takes_too_long())
    }
}

/// Whoever is kept out by a step has no more time.
pub(super) fn step_takes_too_long() -> ServiceError {
    let message = "a step of a resize has taken too long; try again";
    ServiceError::new(ErrorKind::Unavailable, message)
}

/// The first position whose ID is above `to`, as a floor to raise to.
pub(super) fn floor_above(record: &Record, to: u64) -> Result<u64, ServiceError> {
    let Some(member) = &record.member else {
        return Ok(to + 1);
    };
    match (member.standing, member.accepted) {
        (Standing::Issuing, None) => Ok(member.generation.position_at_or_above(to + 1)),
        (Standing::Left, _) => {
            Err(ServiceError::invalid("this member has left: ask another member"))
        }
        (Standing::Joining, _) | (_, Some(_)) => Err(ServiceError::new(
            ErrorKind::Unavailable,
            "a resize is under way: finish or abandon it, then raise",
        )),
    }
}

fn view(record: Option<Record>) -> Result<View, ServiceError> {
    record.as_ref().and_then(View::of).ok_or_else(|| refused(NotTaken::OtherKind))
}

fn refused(why: NotTaken) -> ServiceError {
    ServiceError::new(ErrorKind::Conflict, why.to_string())
}
