//! The versions of what servers say to each other: which one two servers speak, and what to say if
//! there is none.

use std::fmt;

use ticketd_core::failure::FailureKind;
use ticketd_store::{Announced, StoreError};

use super::peer::{PROTOCOL, PROTOCOL_MIN};

/// The versions that a server speaks. What it announces is the newest; so that a cluster can be
/// upgraded one server at a time, it speaks the one before as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) oldest: u32,
    pub(crate) newest: u32,
}

/// Those of this server.
pub(crate) const SPOKEN: Versions = Versions { oldest: PROTOCOL_MIN, newest: PROTOCOL };

const _: () = assert!(PROTOCOL == PROTOCOL_MIN || PROTOCOL == PROTOCOL_MIN + 1);

impl Versions {
    /// What to speak with a server that announces `newest`: the newest that both may know. One that
    /// has forgotten it refuses it.
    ///
    /// # Errors
    /// If it is too old for this one.
    pub(crate) fn with(self, newest: u32) -> Result<u32, String> {
        let common = self.newest.min(newest);
        if common < self.oldest {
            return Err(format!("a server speaks version {newest} with others, {self}"));
        }
        Ok(common)
    }

    /// Whether this server answers a request of version `asked`.
    ///
    /// # Errors
    /// If it is too old or too new.
    pub(crate) fn check(self, asked: u32) -> Result<(), String> {
        if (self.oldest..=self.newest).contains(&asked) {
            return Ok(());
        }
        Err(format!("a server asks in version {asked}, {self}"))
    }

    /// Makes sure that this server can speak with all that are there.
    ///
    /// # Errors
    /// `Invalid` for the first that is too old, with the way out.
    pub(crate) fn meet(self, there: &[Announced]) -> Result<(), StoreError> {
        let mut refused = there.iter().filter_map(|o| Some((o, self.with(o.says.protocol).err()?)));
        let Some((other, why)) = refused.next() else { return Ok(()) };
        let message = format!(
            "{why}, or wait until the lease of the old one has ended; it is {} of release {}",
            other.says.address, other.says.version
        );
        Err(StoreError::new(FailureKind::Invalid, message))
    }
}

/// The end of a refusal: what this server speaks, and the way out.
impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { oldest, newest } = self;
        write!(f, "and this one knows {oldest} to {newest}: upgrade one release at a time")
    }
}

#[cfg(test)]
mod tests {
    use ticketd_core::cluster::ServerId;
    use ticketd_store::Announcement;
    use ticketd_store::engine::Version;

    use super::*;

    const fn versions(oldest: u32, newest: u32) -> Versions {
        Versions { oldest, newest }
    }

    fn announced(protocol: u32) -> Announced {
        let says = Announcement {
            address: "there:1".to_owned(),
            version: "0.1.0".to_owned(),
            protocol,
            ttl_ms: 5000,
            renewals: 0,
        };
        Announced { id: ServerId(1), version: Version(1), says }
    }

    #[test]
    fn two_releases_that_follow_each_other_speak_what_both_know() {
        let releases = [versions(1, 1), versions(1, 2), versions(2, 3), versions(3, 3)];
        for pair in releases.windows(2) {
            for (one, other) in [(pair[0], pair[1]), (pair[1], pair[0])] {
                let spoken = one.with(other.newest).unwrap();
                assert_eq!(other.check(spoken), Ok(()), "{one:?} asks {other:?}");
                assert!(one.meet(&[announced(other.newest)]).is_ok());
            }
        }
    }

    #[test]
    fn a_server_that_is_too_old_is_refused_in_a_line() {
        let new = versions(2, 3);
        let told = new.meet(&[announced(2), announced(1)]).unwrap_err();
        assert_eq!(told.to_failure().kind, FailureKind::Invalid);
        assert_eq!(
            &*told.to_failure().message,
            "a server speaks version 1 with others, and this one knows 2 to 3: upgrade one release \
             at a time, or wait until the lease of the old one has ended; it is there:1 of release \
             0.1.0"
        );
        let told = new.check(1).unwrap_err();
        assert_eq!(
            told,
            "a server asks in version 1, and this one knows 2 to 3: upgrade one release at a time"
        );
    }

    #[test]
    fn a_server_that_is_too_new_refuses_what_the_old_one_speaks() {
        let (old, new) = (versions(1, 1), versions(2, 3));
        assert_eq!(old.with(new.newest), Ok(1));
        assert!(new.check(1).is_err() && old.check(2).is_err() && old.check(0).is_err());
    }
}
