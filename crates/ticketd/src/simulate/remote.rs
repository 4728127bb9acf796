//! Agents of a real server: each has a connection of its own.

use std::error::Error;

use ticketd_core::block::Block;
use ticketd_core::count::Count;
use ticketd_core::name::Name;
use ticketd_sim::live::Source;

use crate::client::{Client, Place};
use crate::failure::Failure;

/// An agent's connection.
struct Remote(Client);

impl Source for Remote {
    fn next(&mut self, table: &Name, count: Count) -> Result<Block, Box<dyn Error + Send + Sync>> {
        Ok(self.0.next_block(table, count)?)
    }
}

/// Connects `agents` times to the server at `address`.
pub fn connect(address: &str, agents: usize) -> Result<Vec<Box<dyn Source>>, Failure> {
    let place = Place::find(address)?;
    let dial = |_| -> Result<Box<dyn Source>, Failure> { Ok(Box::new(Remote(place.connect()?))) };
    (0..agents).map(dial).collect()
}
