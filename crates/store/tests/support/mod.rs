//! What the crash tests and the fault tests share: the checker.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(clippy::allow_attributes, reason = "an expectation would fail in the file that uses all")]

pub mod checker;
pub mod data_dir;
