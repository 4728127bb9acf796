//! How long an ID is, in binary and as text.

use std::io;

use serde::Serialize;
use ticketd_core::definition::KindName;
use ticketd_core::text::Format;
use ticketd_server::clock::Clock;

use super::fleet::Fleet;
use super::{Scenario, bits_of};

/// How many IDs are written.
const WRITTEN: usize = 1000;

/// How long IDs are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Size {
    /// As a number of fixed width, as a database column has it.
    pub binary_bytes: u32,
    /// As ticketd writes it: on average.
    pub text_bytes: f64,
    /// The longest that there can be.
    pub text_bytes_max: u32,
}

/// Writes the first IDs of a new sequence of `kind`.
///
/// # Errors
/// If a service cannot start, or refuses an ID.
pub fn size(kind: KindName, scenario: &Scenario) -> io::Result<Size> {
    let tables = &scenario.tables[..1];
    let fleet = Fleet::start(kind, tables, 1, |_| Clock::start())?;
    let mut dispenser = fleet.dispenser(0, &tables[0]);
    let mut total = 0;
    for _ in 0..WRITTEN {
        let id = dispenser.next_id().map_err(io::Error::other)?;
        total += Format::default().write(id).len();
    }
    fleet.stop()?;
    Ok(Size {
        binary_bytes: bits_of(kind) / 8,
        text_bytes: total as f64 / WRITTEN as f64,
        text_bytes_max: longest(kind),
    })
}

const fn longest(kind: KindName) -> u32 {
    match kind {
        // 9223372036854775807.
        KindName::Ticket | KindName::Stride | KindName::Snowflake => 19,
        KindName::Uuid4 | KindName::Uuid7 => 36,
        KindName::Ulid => 26,
    }
}
