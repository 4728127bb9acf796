//! Free ports of the loopback interface.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, bail};

/// Below where Linux takes the ports of outgoing connections from, so that a server that is killed
/// and started again finds its port still free.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

/// Ports that are free on 127.0.0.1, each given once in this process.
///
/// # Errors
/// If there are not as many.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    for port in &mut ports {
        *port = free_port()?;
    }
    Ok(ports)
}

fn free_port() -> Result<u16> {
    static ASKED: AtomicU16 = AtomicU16::new(0);
    // Test programs run side by side: each begins somewhere else, by its process id.
    let start = u64::from(std::process::id()) * 97;
    for _ in 0..COUNT {
        let n = u64::from(ASKED.fetch_add(1, Ordering::Relaxed));
        let offset = (start + n) % u64::from(COUNT);
        let port = FIRST + u16::try_from(offset).expect("less than COUNT");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free on 127.0.0.1 from {FIRST} on");
}
