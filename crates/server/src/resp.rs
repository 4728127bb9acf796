//! RESP, versions 2 and 3: what Redis speaks, so that every Redis client is a client of ticketd.
//!
//! [`frame`] and [`command`] turn bytes into commands, [`reply`] turns answers into bytes; the
//! three are pure. [`connection`] serves one client. A run of equal `INCR`s in a pipeline is
//! answered with one take from the sequence's cursor.

pub mod command;
pub mod connection;
pub mod context;
mod decode;
pub mod frame;
mod glob;
mod introspection;
mod listing;
pub mod reply;
mod transaction;
