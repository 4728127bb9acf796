//! MariaDB, one server.

use anyhow::Result;
use ticketd_engines::Place;
use ticketd_engines::mariadb::Server;

use super::{Engine, Shape, Street};

/// A server, with a gate before it.
pub struct Mariadb {
    server: Server,
    url: String,
}

impl Mariadb {
    pub(super) fn start(street: &Street) -> Result<Self> {
        let server = Server::start(Place::temporary()?, &[])?;
        let url = street.url(&server.url(), &[server.port])?;
        Ok(Self { server, url })
    }
}

impl Engine for Mariadb {
    fn url(&self) -> String {
        self.url.clone()
    }

    fn direct_url(&self) -> String {
        self.server.url()
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
