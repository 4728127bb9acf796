//! Agents of real servers: each has a connection of its own.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use ticketd_core::count::Count;
use ticketd_core::definition::KindName;
use ticketd_core::ids::Ids;
use ticketd_core::name::Name;
use ticketd_sim::live::{Plan, Source};

use crate::client::{Client, Place};
use crate::failure::Failure;

/// How often an agent asks the next server before it gives up, and the pause between: longer than
/// it takes another server to take over from one that died.
const ATTEMPTS_MAX: usize = 200;
const PAUSE: Duration = Duration::from_millis(100);

/// Where each of so many servers is now; `None` for one that is gone.
#[derive(Clone)]
pub struct Whereabouts {
    pub servers: usize,
    pub find: Arc<dyn Fn(usize) -> Option<Place> + Send + Sync>,
}

/// An agent's connection: to one of the servers, and to the next when that one fails.
struct Remote {
    servers: Whereabouts,
    at: usize,
    client: Option<Client>,
    kind: KindName,
}

impl Source for Remote {
    fn next(&mut self, table: &Name, count: Count) -> Result<Ids, Box<dyn Error + Send + Sync>> {
        let mut attempt = 1;
        loop {
            match self.ask(table, count) {
                // What a server that died had issued and not delivered is a gap.
                Err(_) if self.servers.servers > 1 && attempt < ATTEMPTS_MAX => {}
                answer => return Ok(answer?),
            }
            attempt += 1;
            self.client = None;
            self.at = (self.at + 1) % self.servers.servers;
            std::thread::sleep(PAUSE);
        }
    }
}

impl Remote {
    fn ask(&mut self, table: &Name, count: Count) -> Result<Ids, Failure> {
        if self.client.is_none() {
            self.client = Some(self.servers.connect(self.at)?);
        }
        let client = self.client.as_mut().expect("it is connected");
        client.next_ids(table, count, self.kind)
    }
}

impl Whereabouts {
    fn connect(&self, at: usize) -> Result<Client, Failure> {
        match (self.find)(at) {
            Some(place) => place.connect(),
            None => Err(Failure::work(format!("server {} is gone", at + 1))),
        }
    }
}

/// Connects the agents of `plan` to the servers at `addresses`.
pub fn connect(addresses: &[String], plan: &Plan) -> Result<Vec<Box<dyn Source>>, Failure> {
    let places: Result<Vec<Place>, Failure> =
        addresses.iter().map(|address| Place::find(address)).collect();
    let places = places?;
    let servers = places.len();
    dial(&Whereabouts { servers, find: Arc::new(move |at| places.get(at).cloned()) }, plan)
}

/// Connects the agents of `plan` to `servers`, in turn, after a look at the tables.
pub fn dial(servers: &Whereabouts, plan: &Plan) -> Result<Vec<Box<dyn Source>>, Failure> {
    let mut client = servers.connect(0)?;
    plan.tables.iter().try_for_each(|table| prepare(&mut client, table, plan.kind))?;
    let dial = |agent: usize| -> Result<Box<dyn Source>, Failure> {
        let at = agent % servers.servers;
        let client = Some(servers.connect(at)?);
        Ok(Box::new(Remote { servers: servers.clone(), at, client, kind: plan.kind }))
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
