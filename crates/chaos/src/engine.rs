//! The engines that the servers share, as the bench attacks them.

mod etcd;

use std::sync::Arc;

use anyhow::{Result, bail};
use ticketd_engines::{Between, Process};

use crate::net::Net;

/// An engine of one member or several, with gates before them.
pub trait Engine {
    /// The URL of the store, by the gates.
    fn url(&self) -> String;

    /// The same without them.
    fn direct_url(&self) -> String;

    /// Its members.
    fn members(&mut self) -> &mut [Process];

    /// Waits until the member `n` serves again, which was started anew or goes on.
    ///
    /// # Errors
    /// If it does not.
    fn wait_until_serving(&mut self, n: usize) -> Result<()>;

    /// Which member leads now, if that can be seen.
    fn leader(&mut self) -> Option<usize>;
}

/// The engines that there are.
pub const NAMES: [&str; 1] = ["etcd"];

/// Whether the programs of the engine `name` are here.
pub fn is_installed(name: &str) -> bool {
    name == "etcd" && ticketd_engines::etcd::installed().is_some()
}

/// How many members the engine `name` has.
///
/// # Errors
/// If there is no such engine.
pub fn member_count(name: &str) -> Result<usize> {
    match name {
        "etcd" => Ok(etcd::MEMBERS),
        _ => bail!("unknown engine: {name}; there are {}", NAMES.join(", ")),
    }
}

/// Starts the engine `name`, whose members are nodes of `net` from `first_node` on.
///
/// # Errors
/// If it does not serve.
pub fn start(name: &str, net: &Arc<Net>, first_node: usize) -> Result<Box<dyn Engine>> {
    let street = Street { net: Arc::clone(net), first_node };
    match name {
        "etcd" => Ok(Box::new(etcd::Etcd::start(&street)?)),
        _ => bail!("unknown engine: {name}; there are {}", NAMES.join(", ")),
    }
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
