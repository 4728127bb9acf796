//! PostgreSQL: a primary and its synchronous standby, each of which may lead.

use anyhow::Result;
use ticketd_engines::postgres::Cluster;
use ticketd_engines::{Between, Place};

use super::{Engine, Shape, Street};

/// The two.
pub struct Postgres {
    cluster: Cluster,
    primary: usize,
}

impl Postgres {
    pub(super) fn start(street: &Street) -> Result<Self> {
        let mut cluster = Cluster::start(Place::temporary()?, &[])?;
        cluster.add_standby(&[])?;
        for (n, server) in cluster.servers.iter().enumerate() {
            street.started(n, server.pid());
        }
        Ok(Self { cluster, primary: 0 })
    }

    const fn standby(&self) -> usize {
        1 - self.primary
    }
}

impl Engine for Postgres {
    fn url(&self) -> String {
        self.cluster.url()
    }

    fn ports(&self) -> Vec<u16> {
        self.cluster.ports.clone()
    }

    fn shape(&self) -> Shape {
        Shape { members: 2, votes: false, fails_over: true }
    }

    fn pid(&self, n: usize) -> u32 {
        self.cluster.servers[n].pid()
    }

    fn kill(&mut self, n: usize) -> Result<()> {
        self.cluster.kill(n)
    }

    fn start_again(&mut self, n: usize) -> Result<()> {
        self.cluster.servers[n].restart()
    }

    fn pause(&mut self, n: usize) -> Result<()> {
        self.cluster.pause(n)
    }

    fn resume(&mut self, n: usize) -> Result<()> {
        self.cluster.resume(n)
    }

    fn wait_until_serving(&mut self, n: usize) -> Result<()> {
        self.cluster.wait_until_serving(n)
    }

    fn leader(&self) -> Option<usize> {
        Some(self.primary)
    }

    fn fail_over(&mut self) -> Result<()> {
        self.cluster.kill(self.primary)?;
        self.cluster.promote(self.standby())?;
        self.primary = self.standby();
        Ok(())
    }

    fn follow_again(&mut self) -> Result<()> {
        self.cluster.wait_until_serving(self.primary)?;
        self.cluster.follow_again(self.standby(), self.primary)
    }
}
