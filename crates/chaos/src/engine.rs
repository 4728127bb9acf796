//! The engines that the servers share, as the bench attacks them.

mod etcd;
mod mariadb;
mod postgres;

use std::sync::Arc;

use anyhow::{Result, bail};
use ticketd_engines::Between;

use crate::net::Net;

/// An engine of one member or several.
pub trait Engine {
    /// The URL of the store.
    fn url(&self) -> String;

    /// The ports of its members, in their order.
    fn ports(&self) -> Vec<u16>;

    /// What can be done to it.
    fn shape(&self) -> Shape;

    /// The process id of the member `n`.
    fn pid(&self, n: usize) -> u32;

    /// Kills the member `n`, as a loss of its machine would.
    ///
    /// # Errors
    /// If that fails.
    fn kill(&mut self, n: usize) -> Result<()>;

    /// Starts it again.
    ///
    /// # Errors
    /// If that fails.
    fn start_again(&mut self, n: usize) -> Result<()>;

    /// Freezes the member `n`.
    ///
    /// # Errors
    /// If that fails.
    fn pause(&mut self, n: usize) -> Result<()>;

    /// Lets it go on.
    ///
    /// # Errors
    /// If that fails.
    fn resume(&mut self, n: usize) -> Result<()>;

    /// Waits until the member `n` serves.
    ///
    /// # Errors
    /// If it does not.
    fn wait_until_serving(&mut self, n: usize) -> Result<()>;

    /// Which member leads now, if that can be seen.
    fn leader(&self) -> Option<usize>;

    /// Kills the one that leads and lets another take its place.
    ///
    /// # Errors
    /// If that fails.
    fn fail_over(&mut self) -> Result<()> {
        bail!("this engine does that by itself");
    }

    /// Makes the one that led before a follower of the one that leads now.
    ///
    /// # Errors
    /// If that fails.
    fn follow_again(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What an engine consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// How many members it has.
    pub members: usize,
    /// It serves although one of them is lost, and they choose by themselves who leads.
    pub votes: bool,
    /// Somebody else has to say when another member is to lead.
    pub fails_over: bool,
}

const ETCD: &str = "etcd";
const POSTGRES: &str = "postgres";
const MARIADB: &str = "mariadb";

/// The engines that there are.
pub const NAMES: [&str; 3] = [ETCD, POSTGRES, MARIADB];

/// Whether the programs of the engine `name` are here.
pub fn is_installed(name: &str) -> bool {
    match name {
        ETCD => ticketd_engines::etcd::installed().is_some(),
        POSTGRES => ticketd_engines::postgres::installed().is_some(),
        MARIADB => ticketd_engines::mariadb::installed().is_some(),
        _ => false,
    }
}

/// The most members that an engine has.
pub const MEMBERS_MAX: usize = 3;

/// Starts the engine `name`, whose members are nodes of `net` from `first_node` on.
///
/// # Errors
/// If there is no such engine, or it does not serve.
pub fn start(name: &str, net: &Arc<Net>, first_node: usize) -> Result<Box<dyn Engine>> {
    let street = Street { net: Arc::clone(net), first_node };
    match name {
        ETCD => Ok(Box::new(etcd::Etcd::start(&street)?)),
        POSTGRES => Ok(Box::new(postgres::Postgres::start(&street)?)),
        MARIADB => Ok(Box::new(mariadb::Mariadb::start(&street)?)),
        _ => bail!("unknown engine: {name}; there are {}", NAMES.join(", ")),
    }
}

/// The URL of the store for the node `from` of `net`: with a gate of its own before each member, the
/// first of which is the node `first_node`.
///
/// # Errors
/// If no port is free.
pub fn url_for(
    engine: &dyn Engine,
    net: &Arc<Net>,
    from: usize,
    first_node: usize,
) -> Result<String> {
    let place = |port: u16| format!("127.0.0.1:{port}");
    engine.ports().into_iter().enumerate().try_fold(engine.url(), |url, (n, port)| {
        let gate = net.gate_for(from, first_node + n, port)?;
        Ok(url.replace(&place(port), &place(gate)))
    })
}

/// Where the members live in the network.
struct Street {
    net: Arc<Net>,
    first_node: usize,
}

impl Between for Street {
    fn gate(&self, n: usize, port: u16) -> Result<u16> {
        self.net.gate(self.first_node + n, port)
    }

    fn started(&self, n: usize, pid: u32) {
        self.net.is(self.first_node + n, pid);
    }
}
