//! A cluster of three members of etcd.

use anyhow::Result;
use ticketd_engines::Place;
use ticketd_engines::etcd::Cluster;

use super::Up;

/// Starts it.
pub fn up(place: Place) -> Result<Up> {
    let cluster = Cluster::start(place, 3, &[])?;
    let exports = vec![("TICKETD_TEST_ETCD", cluster.url())];
    Ok(Up { pids: cluster.release(), exports })
}
