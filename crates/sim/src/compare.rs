//! The comparison: one scenario, every kind of ID, and what was measured of each.
//!
//! Everything is asked of the code that serves: the service in process, real listeners on loopback,
//! real stores. Each measurement has a file, and is arithmetic on what was seen: who asked whom,
//! when, and which ID was answered. What needs other processes is handed in by whoever calls.

mod buffers;
mod fleet;
mod guess;
mod load;
mod locality;
mod loopback;
mod order;
mod outage;
mod rate;
mod resize;
mod size;
mod wire;

use std::time::Duration;

use serde::Serialize;
use ticketd_core::definition::KindName;
use ticketd_core::ids::Id;
use ticketd_core::name::Name;

pub use buffers::{BUFFERS, BufferRate, buffers};
pub use guess::{GUESSES, Guess};
pub use locality::{Locality, PAGE_BYTES, ROWS_PER_COMMIT, locality};
pub use loopback::Loopback;
pub use order::{Distance, Order, SKEWS_MS, SURE_SHARE, order, skewed_order};
pub use outage::{Outage, SLOT_MS, Servers, Slot, outage};
pub use rate::{PIPELINE, Rate, rate_in_process, rate_over_resp};
pub use resize::{Resize, grow, resize_under_load};
pub use size::{Size, size};

/// How many servers issue, of kinds that have more than one.
pub const SERVERS: usize = 3;

/// How many there are after the resize.
pub const SERVERS_AFTER: usize = 5;

/// How unevenly servers are asked: the first so many times as often as the last. Evenly asked, the
/// members of a stride would stay level by chance, which no real ones do.
const UNEVEN: [u32; SERVERS] = [3, 2, 1];

/// Where the sequences of pseudorandom pauses and samples begin: the same in every run.
const SEED: u64 = 7117;

/// What is run with every kind.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// How many agents; each is a thread.
    pub agents: usize,
    /// The tables; at least one. Agents are spread evenly over them.
    pub tables: Vec<Name>,
    /// How long each measurement takes.
    pub duration: Duration,
    /// How many IDs are inserted into the B-tree.
    pub rows: usize,
}

impl Scenario {
    /// Which table the agent with this number, counted from 0, asks for.
    fn table_of(&self, agent: usize) -> usize {
        agent * self.tables.len() / self.agents
    }

    /// As many agents, but enough that every server has one.
    fn agents_for(&self, servers: usize) -> usize {
        self.agents.max(servers)
    }
}

/// How many servers issue IDs of `kind`. A ticket sequence lives on one; others are its clients.
pub const fn servers_of(kind: KindName) -> usize {
    match kind {
        KindName::Ticket => 1,
        _ => SERVERS,
    }
}

/// Whether an ID of `kind` carries a time, so that the clocks of servers matter.
pub const fn has_time(kind: KindName) -> bool {
    matches!(kind, KindName::Snowflake | KindName::Uuid7 | KindName::Ulid)
}

/// How many bits an ID of `kind` has.
pub const fn bits_of(kind: KindName) -> u32 {
    match kind {
        KindName::Ticket | KindName::Stride | KindName::Snowflake => 64,
        KindName::Uuid4 | KindName::Uuid7 | KindName::Ulid => 128,
    }
}

/// All that was measured of one kind.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Which.
    pub kind: &'static str,
    /// Agents that ask the service in process.
    pub in_process: Rate,
    /// Agents that ask over RESP, many requests in flight.
    pub resp_pipelined: Rate,
    /// Agents that ask over RESP, one request at a time.
    pub resp_single: Rate,
    /// How long an ID is.
    pub size: Size,
    /// In what order IDs came.
    pub order: Order,
    /// The same with clocks that differ; of kinds that carry a time.
    pub order_with_skewed_clocks: Option<Order>,
    /// How well the next ID can be guessed.
    pub guess: Guess,
    /// What an index of the IDs costs.
    pub locality: Locality,
    /// What the death of one server does.
    pub outage: Outage,
    /// What it takes to have more servers.
    pub resize: Resize,
}

impl Measured {
    /// Duplicates in all measurements together.
    pub fn duplicates(&self) -> u64 {
        let rates = [&self.in_process, &self.resp_pipelined, &self.resp_single];
        let drawn: u64 = rates.iter().map(|rate| rate.duplicates).sum();
        let skewed = self.order_with_skewed_clocks.as_ref().map_or(0, |order| order.duplicates);
        let (order, outage) = (self.order.duplicates, self.outage.duplicates);
        drawn + order + skewed + outage + self.resize.duplicates
    }

    /// How many IDs were compared with all others of their run.
    pub fn checked(&self) -> u64 {
        let rates = [&self.in_process, &self.resp_pipelined, &self.resp_single];
        let drawn: u64 = rates.iter().map(|rate| rate.ids).sum();
        let skewed = self.order_with_skewed_clocks.as_ref().map_or(0, |order| order.ids);
        drawn + self.order.ids + skewed + self.outage.ids + self.resize.ids
    }
}

/// The bits of an ID as a number that sorts as the IDs of its kind do.
const fn value_of(id: Id) -> u128 {
    match id {
        Id::Integer(value) => value as u128,
        Id::Uuid(value) | Id::Ulid(value) => value,
    }
}

/// How many of `ids` were there before: exactly, since all are kept.
fn duplicates(mut ids: Vec<u128>) -> u64 {
    ids.sort_unstable();
    ids.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64
}

/// The share `part` of `whole`; 0 of nothing.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planted_duplicates_are_counted_wherever_they_are() {
        assert_eq!(duplicates(vec![5, 1, 9, 1, 7, 5, 5]), 3);
        assert_eq!(duplicates(vec![3, 2, 1]), 0);
        assert_eq!(duplicates(Vec::new()), 0);
    }

    #[test]
    fn agents_are_spread_over_tables_and_every_server_has_one() {
        let tables = ["a", "b"].map(|name| Name::new(name).unwrap()).to_vec();
        let scenario = Scenario { agents: 4, tables, duration: Duration::ZERO, rows: 0 };
        assert_eq!([0, 1, 2, 3].map(|agent| scenario.table_of(agent)), [0, 0, 1, 1]);
        assert_eq!((scenario.agents_for(3), scenario.agents_for(5)), (4, 5));
    }
}
