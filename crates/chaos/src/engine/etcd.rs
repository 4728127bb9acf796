//! etcd, of three members.

use anyhow::Result;
use ticketd_engines::Place;
use ticketd_engines::etcd::Cluster;

use super::{Engine, Shape, Street};

/// The loss of one stops nothing.
const MEMBERS: usize = 3;

/// Below which keys lie.
const PREFIX: &str = "chaos";

/// A cluster.
pub struct Etcd {
    cluster: Cluster,
}

impl Etcd {
    pub(super) fn start(street: &Street) -> Result<Self> {
        let cluster = Cluster::start_apart(Place::temporary()?, MEMBERS, street)?;
        Ok(Self { cluster })
    }
}

impl Engine for Etcd {
    fn url(&self) -> String {
        format!("{}/{PREFIX}", self.cluster.url())
    }

    fn ports(&self) -> Vec<u16> {
        self.cluster.ports.clone()
    }

    fn shape(&self) -> Shape {
        Shape { members: MEMBERS, votes: true, fails_over: false }
    }

    fn pid(&self, n: usize) -> u32 {
        self.cluster.members[n].pid()
    }

    fn kill(&mut self, n: usize) -> Result<()> {
        self.cluster.members[n].kill()
    }

    fn start_again(&mut self, n: usize) -> Result<()> {
        self.cluster.members[n].restart()
    }

    fn pause(&mut self, n: usize) -> Result<()> {
        self.cluster.members[n].pause()
    }

    fn resume(&mut self, n: usize) -> Result<()> {
        self.cluster.members[n].resume()
    }

    fn wait_until_serving(&mut self, n: usize) -> Result<()> {
        self.cluster.wait_until_serving(n)
    }

    fn leader(&self) -> Option<usize> {
        self.cluster.leader().ok()
    }
}
