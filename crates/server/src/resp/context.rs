//! What the RESP connections of a server have in common.

use std::sync::Arc;

use crate::metrics::Traffic;
use crate::service::Service;

/// What all RESP connections of a server share.
#[derive(Debug)]
pub struct RespContext {
    /// What is asked for IDs.
    pub service: Arc<Service>,
    /// What is counted.
    pub traffic: Arc<Traffic>,
    /// Where RESP is served, for `INFO`.
    pub resp_addr: String,
    /// Where HTTP is served, for `INFO` and for browsers that come to the wrong port.
    pub http_addr: String,
    /// The most connections, for `INFO` and `CONFIG GET`.
    pub max_connections: usize,
}
