//! What commands have in common that work on a store or a database themselves, without a server.

use tokio::runtime::Builder;

use crate::failure::Failure;
use crate::logs;

/// What `work` comes to. Its warnings are told, and a panic in any thread ends the process.
///
/// # Errors
/// The system has no resources left.
pub fn wait_for<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    logs::start_warnings();
    logs::crash_on_panic();
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime
        .map_err(|error| Failure::work(format!("the system has no resources left: {error}")))?;
    Ok(runtime.block_on(work))
}
