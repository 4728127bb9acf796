//! PostgreSQL with a synchronous standby.

use anyhow::Result;
use ticketd_engines::Place;
use ticketd_engines::postgres::Cluster;

use super::Up;

/// Starts it.
pub fn up(place: Place) -> Result<Up> {
    let mut cluster = Cluster::start(place, &[])?;
    cluster.add_standby(&[])?;
    let exports = vec![("TICKETD_TEST_POSTGRES", cluster.url())];
    Ok(Up { pids: cluster.release(), exports })
}
