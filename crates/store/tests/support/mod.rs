//! What the crash tests and the fault tests share: a disk whose power can be cut, and the checker.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(clippy::allow_attributes, reason = "an expectation would fail in the file that uses all")]

pub mod checker;
pub mod data_dir;
pub mod sim_disk;
