//! etcd, of three members.

use anyhow::Result;
use ticketd_engines::etcd::Cluster;
use ticketd_engines::{Between, Place, Process};

use super::{Engine, Street};

/// The loss of one stops nothing.
pub const MEMBERS: usize = 3;

/// Below which keys lie.
const PREFIX: &str = "chaos";

/// A cluster, with a gate before each member.
pub struct Etcd {
    cluster: Cluster,
    gates: Vec<u16>,
}

impl Etcd {
    pub(super) fn start(street: &Street) -> Result<Self> {
        let cluster = Cluster::start_apart(Place::temporary()?, MEMBERS, street)?;
        let gates = cluster.ports.iter().enumerate().map(|(n, port)| street.gate(n, *port));
        let gates = gates.collect::<Result<_>>()?;
        Ok(Self { cluster, gates })
    }
}

impl Engine for Etcd {
    fn url(&self) -> String {
        let places: Vec<_> = self.gates.iter().map(|gate| format!("127.0.0.1:{gate}")).collect();
        format!("etcd://{}/{PREFIX}", places.join(","))
    }

    fn direct_url(&self) -> String {
        format!("{}/{PREFIX}", self.cluster.url())
    }

    fn members(&mut self) -> &mut [Process] {
        &mut self.cluster.members
    }

    fn wait_until_serving(&mut self, n: usize) -> Result<()> {
        self.cluster.wait_until_serving(n)
    }

    fn leader(&mut self) -> Option<usize> {
        self.cluster.leader().ok()
    }
}
