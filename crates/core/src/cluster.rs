//! Several servers over one engine: who owns a sequence, and who is there.
//!
//! Each server *announces* itself in the engine under an ID of its own that it never uses again,
//! and renews what it wrote. That entry is its *lease*: as long as it stands, and for as long as
//! [`ServerLease`] says, the server may issue from the sequences that it owns. Whoever sees an
//! entry unchanged for the whole time of the lease ([`Roster`]) ends it, by deleting it only if it
//! is still the same. Then the owner has long stopped, and its sequences are free.
//!
//! A sequence remembers its owner and a *turn*, the fencing token, which rises whenever the owner
//! changes ([`Shared`]). A reservation names the turn, so that an owner of old reserves nothing.
//!
//! No wall clock has a part in it, neither a server's nor the engine's: each server measures
//! durations by its own monotonic clock, and these may differ in speed by [`drift_us`] at most.

mod roster;
mod server_lease;
mod shared;

use core::fmt;

pub use roster::{Roster, preferred};
pub use server_lease::ServerLease;
pub use shared::{Claim, Claimed, Shared};

/// One run of one server: drawn at random at its start, and never used again once it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub u64);

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl core::str::FromStr for ServerId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let id = u64::from_str_radix(text, 16).map(Self).map_err(|_| ())?;
        // The one form that is written, so that a key and its ID are one thing.
        if alloc::format!("{id}") == text { Ok(id) } else { Err(()) }
    }
}

/// By how much a lease of `ttl_us` microseconds is taken to end earlier for its holder than for
/// those who watch it: a fiftieth, which is a hundred times what clocks of computers differ by.
pub const fn drift_us(ttl_us: u64) -> u64 {
    ttl_us / 50
}
