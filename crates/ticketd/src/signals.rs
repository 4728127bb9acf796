//! Signals: the first one asks for a clean end, the second one ends at once.

use std::io;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Calls `stop` at the first SIGINT or SIGTERM, and ends the process with code 1 at the second.
/// Both count from the moment this returns.
///
/// # Errors
/// If the system has no thread or no file descriptor left for it.
pub fn on_stop(stop: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let watch = move || {
        runtime.block_on(either(&mut interrupt, &mut terminate));
        stop();
        runtime.block_on(either(&mut interrupt, &mut terminate));
        std::process::exit(1);
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(watch)?;
    Ok(())
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
