//! Raises: nothing at or below an ID is issued any more.

use std::sync::Arc;

use ticketd_core::allocator::Refusal;
use ticketd_core::definition::{Definition, KindName};
use ticketd_core::limits::ID_MAX;
use ticketd_core::name::Name;
use ticketd_core::record::Record;
use ticketd_core::time::Instant;

use super::{Asker, Service, resize};
use crate::error::ServiceError;
use crate::sequence::{NoAnswer, Sequence};
use crate::source::Source;

/// How far a sequence was raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raised {
    /// The kind of the sequence.
    pub kind: KindName,
    /// The smallest ID that can come next: of tickets the next one; `None` if there is none left.
    pub next: Option<u64>,
}

impl Service {
    /// Makes sure that no ID at or below `to` is issued any more.
    ///
    /// # Errors
    /// `Conflict` if IDs above `to` are next already; otherwise as [`Service::next`].
    pub async fn raise(self: &Arc<Self>, name: &Name, to: u64) -> Result<Raised, ServiceError> {
        if to > ID_MAX {
            return Err(ServiceError::invalid(format!("an ID is at most {ID_MAX}, not {to}")));
        }
        let deadline = self.deadline();
        let no_step = self.clock.within(deadline, self.steps.read()).await;
        let _no_step = no_step.ok_or_else(resize::step_takes_too_long)?;
        let (record, floor) = self.floor_above(name, to, deadline).await?;
        let raised = |next| Raised { kind: record.definition.kind.name(), next };
        let mut asker = Asker::Client;
        loop {
            let no_answer = match self.open(name, asker)? {
                Source::Blocks(sequence) => {
                    match raise_blocks(&sequence, &record, floor, deadline).await {
                        Ok(next) => return next.map(raised),
                        Err(no_answer) => no_answer,
                    }
                }
                Source::Snowflake(source) => return source.raise(to, deadline).await.map(raised),
                Source::Wide(_) => {
                    let kind = record.definition.kind.name().as_str();
                    let message = format!("a {kind} sequence does not count, so nothing is raised");
                    return Err(ServiceError::invalid(message));
                }
                Source::Elsewhere(elsewhere) => match elsewhere.raise(to, deadline).await {
                    Ok(next) => return Ok(raised(next)),
                    Err(not_there) => {
                        asker = self.follow(&elsewhere, not_there, deadline).await?;
                        continue;
                    }
                },
                Source::Changing(_) => unreachable!("a raise keeps steps out"),
            };
            self.try_otherwise(name, no_answer, deadline).await?;
        }
    }

    /// The record of `name`, and the first of its positions whose ID is above `to`.
    pub(super) async fn floor_above(
        &self,
        name: &Name,
        to: u64,
        deadline: Instant,
    ) -> Result<(Record, u64), ServiceError> {
        let record = self.clock.within(deadline, self.store.read(name)).await;
        let record = record.ok_or(Refusal::Late(None))??;
        let record = record.unwrap_or(Record::new(Definition::default()));
        Ok((record, resize::floor_above(&record, to)?))
    }
}

/// Raises a sequence that this server issues from: to a position of `record`. Returns the smallest
/// ID that can come next, or why it cannot be raised; or that somebody else is to be asked.
pub(super) async fn raise_blocks(
    sequence: &Sequence,
    record: &Record,
    floor: u64,
    deadline: Instant,
) -> Result<Result<Option<u64>, ServiceError>, NoAnswer> {
    match sequence.raise(floor, deadline).await {
        Ok(()) => Ok(Ok(Some(record.id_of(floor)).filter(|id| *id <= ID_MAX))),
        Err(NoAnswer::Refused(Refusal::Lowering { next })) => {
            let next = record.id_of(next);
            Ok(Err(Refusal::Lowering { next }.into()))
        }
        Err(no_answer) => Err(no_answer),
    }
}
