//! Where blocks are reserved durably.
//!
//! [`Store`] is the seam: its documentation is the contract, [`conformance`] is the contract as
//! tests, and every implementation passes them, alone and behind the [`liar`].

#![warn(missing_docs)]

pub mod conformance;
mod contract;
pub mod embedded;
pub mod engine;
mod engine_store;
mod error;
pub mod liar;
mod memory;
pub mod transfer;

pub use contract::{Answer, Sizes, Store};
pub use embedded::Embedded;
pub use engine_store::{
    Announced, Announcement, Claims, DirWitness, EngineStore, Mutant, Repair, Repaired, Seen,
    Witness, nobody_serves,
};
pub use error::StoreError;
pub use memory::Memory;
