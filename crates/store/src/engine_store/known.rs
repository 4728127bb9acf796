//! What this server has seen of each sequence, which whatever the engine says later must follow.

use std::collections::{BTreeSet, HashMap};
use std::sync::{MutexGuard, PoisonError};

use ticketd_core::cluster::Shared;
use ticketd_core::failure::FailureKind;
use ticketd_core::name::Name;

use super::{EngineStore, Mutant, parse, read, sequence_key};
use crate::engine::{Entry, Key, Version};
use crate::error::StoreError;

/// What this server knows of a sequence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// The newest state that was seen.
    pub seen: Shared,
    /// The version of that state, if it may be the present one.
    pub version: Option<Version>,
    /// The mark as this server has left it: whatever others do, it is not below that, since each
    /// hands back of its own alone.
    pub given: u64,
}

impl EngineStore {
    pub(super) fn known(&self) -> MutexGuard<'_, HashMap<Name, Known>> {
        // Every change below is a single assignment.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of `name` until now.
    pub(super) fn seen(&self, name: &Name) -> Option<Known> {
        self.known().get(name).copied()
    }

    /// Takes note of a state that this server has written.
    pub(super) fn note_own(&self, name: &Name, state: Shared, version: Version) {
        self.note(name, state, version);
        if let Some(known) = self.known().get_mut(name).filter(|known| known.seen == state) {
            known.given = state.record.mark;
        }
    }

    /// Takes note of a state that was read or written.
    pub(super) fn note(&self, name: &Name, state: Shared, version: Version) {
        let mut known = self.known();
        let forgets = self.is_mutant(Mutant::ForgetsSeen);
        let newer = forgets || known.get(name).is_none_or(|known| state.can_follow(&known.seen));
        if !newer {
            return;
        }
        let given = known.get(name).map_or(0, |known| known.given);
        let after = Known { seen: state, version: Some(version), given };
        let before = known.insert(name.clone(), after);
        // Still locked, so that the witness hears of states in their order.
        if before.is_none_or(|before| before.seen != state) {
            self.tell_witness(name, &state);
        }
    }

    /// What is there already: the witness never runs ahead of the engine.
    pub(super) fn tell_witness(&self, name: &Name, state: &Shared) {
        if let Some(witness) = &self.witness {
            witness.saw(sequence_key(name), state.to_text(name));
        }
    }

    /// This server gives up all from `start` on.
    pub(super) fn give_up(&self, name: &Name, start: u64) {
        if let Some(known) = self.known().get_mut(name) {
            known.given = start.min(known.given);
        }
    }

    /// Another server has issued IDs of `name` for this one, so that what was seen of it is not the
    /// newest.
    pub fn others_issue(&self, name: &Name) {
        if self.witness.is_some() {
            self.others().insert(name.clone());
        }
    }

    /// Looks at what others have issued from since the last time.
    ///
    /// # Errors
    /// `Corrupt` if the engine went back, or whatever it says.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        let names: Vec<Name> = std::mem::take(&mut *self.others()).into_iter().collect();
        let before: Vec<Option<Known>> = names.iter().map(|name| self.seen(name)).collect();
        let keys: Vec<Key> = names.iter().map(sequence_key).collect();
        let entries = read(self.engine.as_ref(), &keys).await?;
        for ((name, before), entry) in names.iter().zip(before).zip(entries) {
            self.believe(name, before, entry)?;
        }
        Ok(())
    }

    fn others(&self) -> MutexGuard<'_, BTreeSet<Name>> {
        // Every change of it is a single one.
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was seen is perhaps not the present state any more.
    pub(super) fn doubt(&self, name: &Name) {
        if let Some(known) = self.known().get_mut(name) {
            known.version = None;
        }
    }

    /// What the engine has answered, if that can follow what was known before it was asked.
    pub(super) fn believe(
        &self,
        name: &Name,
        before: Option<Known>,
        entry: Option<Entry>,
    ) -> Result<Option<(Shared, Version)>, StoreError> {
        let Some(entry) = entry else {
            return match before {
                Some(before) => Err(went_back(name, None, &before.seen)),
                None => Ok(None),
            };
        };
        let state = parse(name, &entry)?;
        if let Some(before) = before {
            if !state.can_follow(&before.seen) {
                return Err(went_back(name, Some(&state), &before.seen));
            }
            // An answer that was overtaken tells nothing, and what was given up meanwhile is.
            let now = self.seen(name).unwrap_or(before);
            let given = before.given.min(now.given);
            if state.record.mark < given && state.can_follow(&now.seen) {
                return Err(went_back_below(name, &state, given));
            }
        }
        self.note(name, state, entry.version);
        Ok(Some((state, entry.version)))
    }
}

fn went_back(name: &Name, found: Option<&Shared>, before: &Shared) -> StoreError {
    let mark = before.record.mark;
    let found = found.map_or_else(
        || "the sequence is gone".to_owned(),
        |found| format!("turn {} and mark {}", found.turn, found.record.mark),
    );
    let message = format!(
        "the store went back: {found}, after turn {} and mark {mark}; restore its latest state, or \
         stop all servers and raise the sequence to {mark} or above before they start: {name}",
        before.turn
    );
    StoreError::new(FailureKind::Corrupt, message)
}

/// Others have begun a turn since, so that the pair of turn and mark does not tell.
fn went_back_below(name: &Name, found: &Shared, given: u64) -> StoreError {
    let message = format!(
        "the store went back: turn {} and mark {}, and this server has left it at {given}; \
         restore its latest state, or stop all servers and raise the sequence to {given} or above \
         before they start: {name}",
        found.turn, found.record.mark
    );
    StoreError::new(FailureKind::Corrupt, message)
}
