//! Agents of a real server: each has a connection of its own.

use std::error::Error;

use serde_json::json;
use ticketd_core::count::Count;
use ticketd_core::definition::KindName;
use ticketd_core::ids::Ids;
use ticketd_core::name::Name;
use ticketd_sim::live::{Plan, Source};

use crate::client::{Client, Place};
use crate::failure::Failure;

/// An agent's connection.
struct Remote {
    client: Client,
    kind: KindName,
}

impl Source for Remote {
    fn next(&mut self, table: &Name, count: Count) -> Result<Ids, Box<dyn Error + Send + Sync>> {
        Ok(self.client.next_ids(table, count, self.kind)?)
    }
}

/// Connects each agent of `plan` to the server at `address`, after a look at the tables.
pub fn connect(address: &str, plan: &Plan) -> Result<Vec<Box<dyn Source>>, Failure> {
    let place = Place::find(address)?;
    let mut client = place.connect()?;
    plan.tables.iter().try_for_each(|table| prepare(&mut client, table, plan.kind))?;
    let dial = |_| -> Result<Box<dyn Source>, Failure> {
        Ok(Box::new(Remote { client: place.connect()?, kind: plan.kind }))
    };
    (0..plan.agents).map(dial).collect()
}

/// Makes sure that `table` is of `kind`, by making it if there is none.
fn prepare(client: &mut Client, table: &Name, kind: KindName) -> Result<(), Failure> {
    let word = kind.as_str();
    match (client.kind_of(table)?, kind) {
        (Some(found), _) if found == word => Ok(()),
        (Some(found), _) => Err(Failure::work(format!(
            "{table} is of kind {found}, not {word}; give --kind {found}, or other names with \
             --tables"
        ))),
        // Made on first use, if the server allows that.
        (None, KindName::Ticket) => Ok(()),
        (None, KindName::Stride) => Err(Failure::work(format!(
            "there is no sequence {table}, and which member it would be is not for a simulation \
             to say; make it with 'ticketd sequence create {table} --kind stride --members N \
             --offset I'"
        ))),
        (None, _) => client.create(table, &json!({ "kind": word })).map(drop),
    }
}
