//! MariaDB, one server.

use anyhow::Result;
use ticketd_engines::mariadb::Server;
use ticketd_engines::{Between, Place};

use super::{Engine, Shape, Street};

/// A server.
pub struct Mariadb {
    server: Server,
}

impl Mariadb {
    pub(super) fn start(street: &Street) -> Result<Self> {
        let server = Server::start(Place::temporary()?, &[])?;
        street.started(0, server.process.pid());
        Ok(Self { server })
    }
}

impl Engine for Mariadb {
    fn url(&self) -> String {
        self.server.url()
    }

    fn ports(&self) -> Vec<u16> {
        vec![self.server.port]
    }

    fn shape(&self) -> Shape {
        Shape { members: 1, votes: false, fails_over: false }
    }

    fn pid(&self, _n: usize) -> u32 {
        self.server.process.pid()
    }

    fn kill(&mut self, _n: usize) -> Result<()> {
        self.server.process.kill()
    }

    fn start_again(&mut self, _n: usize) -> Result<()> {
        self.server.process.restart()
    }

    fn pause(&mut self, _n: usize) -> Result<()> {
        self.server.process.pause()
    }

    fn resume(&mut self, _n: usize) -> Result<()> {
        self.server.process.resume()
    }

    fn wait_until_serving(&mut self, _n: usize) -> Result<()> {
        self.server.wait_until_serving()
    }

    fn leader(&self) -> Option<usize> {
        Some(0)
    }
}
