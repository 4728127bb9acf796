//! The signal to stop, as owners and connections wait for it.

use tokio::sync::watch;

/// Ready when the server stops.
pub(crate) async fn stopped(signal: &mut watch::Receiver<bool>) {
    // If whoever could say so is gone, that is a stop as well.
    drop(signal.wait_for(|stop| *stop).await);
}
