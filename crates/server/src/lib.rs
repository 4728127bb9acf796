//! The service that every protocol calls, the owner tasks behind it, and the protocols.
//!
//! A request comes in over [`resp`] or [`http`], finds its [`sequence::Sequence`] in the
//! [`service::Service`], and takes IDs from the sequence's cursor. Only a request that finds the
//! cursor short goes on to the sequence's owner task, which drives the allocator of
//! `ticketd-core` and alone asks the store.

#![warn(missing_docs)]

pub mod clock;
pub mod cluster;
pub mod error;
pub mod http;
pub mod info;
pub mod limits;
pub mod metrics;
mod owner;
pub mod resp;
pub mod sequence;
pub mod server;
pub mod service;
pub mod snowflake;
pub mod source;
mod stopping;
pub mod store_times;
pub mod wide;
