//! Whether etcd has lost what it had: another cluster than before, or an older state of it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ticketd_core::failure::FailureKind;

use super::wire::ResponseHeader;
use crate::error::StoreError;

/// The cluster and the highest revision that its answers have shown.
#[derive(Debug, Default)]
pub struct Seen(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    cluster_id: Option<u64>,
    revision: i64,
    /// What was found; holds until the process is started again, since the revision that betrays
    /// the loss is soon reached once more.
    lost: Option<String>,
}

/// The highest revision that was known when a call began.
#[derive(Debug, Clone, Copy)]
pub struct Floor(i64);

impl Seen {
    /// What the answer of a call that begins now must reach.
    ///
    /// # Errors
    /// `Corrupt` if a loss was found before.
    pub fn floor(&self) -> Result<Floor, StoreError> {
        let state = self.state();
        state.lost()?;
        Ok(Floor(state.revision))
    }

    /// Checks the header of a linearizable answer to a call that began at `floor`.
    ///
    /// # Errors
    /// `Corrupt` if etcd went back or is another one.
    pub fn check(&self, floor: Floor, header: Option<&ResponseHeader>) -> Result<i64, StoreError> {
        let Some(header) = header else {
            let message = "etcd answered without a header: is something else between?";
            return Err(StoreError::new(FailureKind::Corrupt, message));
        };
        let mut state = self.state();
        let cluster_id = *state.cluster_id.get_or_insert(header.cluster_id);
        if cluster_id != header.cluster_id {
            state.lost = Some(format!(
                "all members must be of one etcd cluster, and restored from no backup: restart \
                 ticketd when it is so; cluster {:x} was {cluster_id:x}",
                header.cluster_id
            ));
        } else if header.revision < floor.0 {
            state.lost = Some(format!(
                "etcd went back, as after a restore from a backup: raise all sequences above what \
                 was issued and restart ticketd; revision {} was {}",
                header.revision, floor.0
            ));
        }
        state.lost()?;
        state.revision = state.revision.max(header.revision);
        Ok(header.revision)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each assignment is whole by itself.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn lost(&self) -> Result<(), StoreError> {
        match &self.lost {
            None => Ok(()),
            Some(message) => Err(StoreError::new(FailureKind::Corrupt, message.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(seen: &Seen, floor: Floor, cluster_id: u64, revision: i64) -> Result<i64, String> {
        let header = ResponseHeader { cluster_id, revision };
        seen.check(floor, Some(&header)).map_err(|error| error.message)
    }

    #[test]
    fn answers_may_overtake_each_other() {
        let seen = Seen::default();
        let early = seen.floor().unwrap();
        assert_eq!(answer(&seen, seen.floor().unwrap(), 1, 9), Ok(9));
        assert_eq!(answer(&seen, early, 1, 5), Ok(5));
        assert_eq!(answer(&seen, seen.floor().unwrap(), 1, 9), Ok(9));
    }

    #[test]
    fn going_back_is_found_and_never_forgotten() {
        let seen = Seen::default();
        assert_eq!(answer(&seen, seen.floor().unwrap(), 1, 9), Ok(9));
        let floor = seen.floor().unwrap();
        assert!(answer(&seen, floor, 1, 8).unwrap_err().contains("went back"));
        assert!(answer(&seen, floor, 1, 10).unwrap_err().contains("went back"));
        assert_eq!(seen.floor().unwrap_err().kind, FailureKind::Corrupt);
    }

    #[test]
    fn another_cluster_is_found() {
        let seen = Seen::default();
        let floor = seen.floor().unwrap();
        assert_eq!(answer(&seen, floor, 1, 9), Ok(9));
        assert!(answer(&seen, floor, 2, 99).unwrap_err().contains("cluster 2 was 1"));
        assert_eq!(seen.floor().unwrap_err().kind, FailureKind::Corrupt);
        assert!(seen.check(floor, None).is_err());
    }
}
