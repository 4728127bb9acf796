//! The part of ticketd that cannot do I/O.
//!
//! No clock, no thread, no socket, no randomness, no async: time is an argument, the store is
//! asked through [`allocator::Action`]s, and answers come back as [`allocator::Event`]s. Two
//! shells drive it: the server's owner tasks, and the deterministic world of `ticketd explore`.
//! What the second one attacks is therefore what the first one runs.
//!
//! The way of an ID: the [`allocator`] asks the store to reserve a [`block::Block`]; once that is
//! durable it opens the [`cursor::Cursor`] over it; connections take IDs from the cursor without
//! asking anybody, and come back to the allocator only when the cursor is short.
#![no_std]
#![warn(missing_docs)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod allocator;
pub mod backoff;
pub mod block;
pub mod cluster;
pub mod count;
pub mod cursor;
pub mod decode;
pub mod definition;
pub mod failure;
pub mod forecast;
pub mod ids;
pub mod limits;
pub mod name;
pub mod record;
pub mod snowflake;
pub mod stride;
pub mod text;
pub mod time;
pub mod transfer;
