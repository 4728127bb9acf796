//! Who stands between the members of an engine.

use anyhow::Result;

/// Whoever stands between the members of an engine, such as a bench that cuts their network.
pub trait Between {
    /// The port at which the others are to reach the one that the member `n` listens on.
    ///
    /// # Errors
    /// If there is none.
    fn gate(&self, n: usize, port: u16) -> Result<u16>;

    /// The member `n` was started as the process `pid`.
    fn started(&self, n: usize, pid: u32);
}

/// Nobody: they reach each other directly.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Between for Nobody {
    fn gate(&self, _n: usize, port: u16) -> Result<u16> {
        Ok(port)
    }

    fn started(&self, _n: usize, _pid: u32) {}
}
