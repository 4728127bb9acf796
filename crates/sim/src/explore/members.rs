//! The world of a stride sequence whose members change: the multi-master method.
//!
//! Each member is a server with a store of its own, and nothing goes between members. Coordinators
//! change who is one, several of them at once and against each other, while the members issue. The
//! core is the real one: the allocator, what a member does with a step, what a coordinator asks of
//! whom, the record on the disk. The shell of a member is `crates/server` on virtual time, and that
//! of a coordinator is `ticketd stride resize`.
//!
//! | part | is |
//! | --- | --- |
//! | `config` | what a seed makes of a world, faults included |
//! | `world`, `schedule` | the clock, the phases, the lives of members |
//! | `member` | a server: a sequence, its owner, and requests |
//! | `step` | how it takes steps of a resize, and raises |
//! | `disk`, `store` | the way to its store and back, and the model of that |
//! | `coordinator` | who resizes, and the way to members |
//! | `clients` | who asks |
//! | `faults` | what goes wrong with members and links |
//! | `check` | the checkers |
//! | `bug` | deliberate bugs |
//! | `words` | the words of the trace |

mod bug;
mod check;
mod clients;
mod config;
mod coordinator;
mod disk;
mod faults;
mod member;
mod schedule;
mod step;
mod store;
mod words;
mod world;

#[cfg(feature = "mutants")]
pub use bug::MemberMutant;
pub(super) use world::World;
