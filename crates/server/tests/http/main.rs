//! The HTTP endpoints over real sockets: each line of the contract, asked for as a client would.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected fails")]

mod answers;
mod document;
mod failures;
mod lists;
mod metrics;
mod refusals;
mod support;
