//! A server of MariaDB.

use anyhow::Result;
use ticketd_engines::Place;
use ticketd_engines::mariadb::Server;

use super::Up;

/// Starts it.
pub fn up(place: Place) -> Result<Up> {
    let server = Server::start(place, &[])?;
    let exports = vec![("TICKETD_TEST_MYSQL", server.url())];
    Ok(Up { pids: server.release(), exports })
}
