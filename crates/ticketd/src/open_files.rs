//! The limit on open files: each connection is one.

use rustix::process::{Resource, getrlimit, setrlimit};
use tracing::warn;

/// Files that the process has open beside its connections: store, listeners, runtime, standard
/// streams. A dozen, and some room.
const OTHER_FILES: u64 = 64;

/// Raises the soft limit to the hard one, and says so if it is still too low for `connections`.
pub fn make_room(connections: usize) {
    let wanted = connections as u64 + OTHER_FILES;
    let mut limit = getrlimit(Resource::Nofile);
    // No number means no limit.
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let hard = limit.maximum;
    limit.current = hard;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!("the limit on open files could not be raised: {error}");
    }
    let current = getrlimit(Resource::Nofile).current;
    if let Some(current) = current.filter(|current| *current < wanted) {
        warn!(
            "max_connections = {connections} needs {wanted} open files and the system allows \
             {current}; raise it with 'ulimit -Hn' or LimitNOFILE, or lower --max-connections"
        );
    }
}
