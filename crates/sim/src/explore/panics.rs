//! Panics of the core, caught and kept quiet: an assertion that fails is a finding, not noise.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

thread_local! {
    /// Whether this thread runs a world, so that a panic is a finding.
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `world`. A panic in it is no output but the error: its message and its place.
pub(super) fn catch<T>(world: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(
            move |info| {
                if CATCHING.get() { keep(info) } else { usual(info) }
            },
        ));
    });
    CATCHING.set(true);
    // The world is looked at after a panic for its trace and its counts only, which are whole.
    let result = panic::catch_unwind(AssertUnwindSafe(world));
    CATCHING.set(false);
    result.map_err(|_| MESSAGE.take())
}

fn keep(info: &PanicHookInfo<'_>) {
    let what = info.payload_as_str().unwrap_or("a panic without a message");
    let place = info.location().map(|place| format!(" ({}:{})", place.file(), place.line()));
    MESSAGE.set(format!("{what}{}", place.unwrap_or_default()));
}
