//! Snowflake IDs over RESP: whether one worker ID reaches what its layout has, 4,096 IDs in each
//! millisecond, and stays there, and whether several multiply it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Peer, start_ticketd};

/// What a worker ID of the default layout can have in a second.
const CAP: u64 = 4_096_000;

/// Worker IDs of one server that are measured.
const WORKERS: [u64; 3] = [1, 2, 4];

/// Connections, and the `INCR`s that are on their way on each.
const CONNECTIONS: usize = 4;
const PIPELINE: usize = 1024;

/// Before it is counted: a generator that rested may first catch up a second.
const WARM_UP_SECONDS: usize = 2;

/// Measures for `seconds` each and prints a table.
pub(super) fn run(root: &Path, seconds: usize) -> Result<()> {
    println!(
        "INCR of one snowflake sequence, {CONNECTIONS} connections, {PIPELINE} in a pipeline, \
         {seconds} s\n\n\
         workers | least in a second      mean   cap of the layout   mean / cap"
    );
    for workers in WORKERS {
        let scratch = tempfile::tempdir().context("no temporary directory could be made")?;
        let count = workers.to_string();
        let server = start_ticketd(root, scratch.path(), &["--snowflake-workers", &count])?;
        create(root, &server)?;
        let counts = measure(&server, seconds)?;
        let least = counts.iter().min().copied().unwrap_or(0);
        let mean = counts.iter().sum::<u64>() / counts.len() as u64;
        let cap = CAP * workers;
        println!("{workers:7} | {least:17} {mean:9} {cap:19} {:12.3}", mean as f64 / cap as f64);
    }
    Ok(())
}

fn create(root: &Path, server: &Peer) -> Result<()> {
    let address = format!("127.0.0.1:{}", server.port);
    let created = Command::new(root.join("target/release/ticketd"))
        .args(["sequence", "create", "bench", "--kind", "snowflake", "--server", &address])
        .output()?;
    if !created.status.success() {
        bail!("no sequence: {}", String::from_utf8_lossy(&created.stderr));
    }
    Ok(())
}

/// How many IDs were answered in each second.
fn measure(server: &Peer, seconds: usize) -> Result<Vec<u64>> {
    let counts: Vec<AtomicU64> =
        (0..WARM_UP_SECONDS + seconds).map(|_| AtomicU64::new(0)).collect();
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    let start = Instant::now();
    thread::scope(|scope| {
        let agents: Vec<_> =
            (0..CONNECTIONS).map(|_| scope.spawn(|| ask(server.port, start, &counts))).collect();
        agents.into_iter().try_for_each(|agent| agent.join().expect("an agent does not panic"))
    })?;
    Ok(counts.into_iter().skip(WARM_UP_SECONDS).map(AtomicU64::into_inner).collect())
}

/// Asks until the seconds of `counts` are over.
fn ask(port: u16, start: Instant, counts: &[AtomicU64]) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let asks = b"*2\r\n$4\r\nINCR\r\n$5\r\nbench\r\n".repeat(PIPELINE);
    let mut piece = vec![0; 64 * 1024];
    // Two pipelines are on their way, so that the server never waits for this client.
    stream.write_all(&asks)?;
    stream.write_all(&asks)?;
    let mut left = PIPELINE;
    loop {
        let len = stream.read(&mut piece)?;
        let answers = &piece[..len];
        if len == 0 || answers.contains(&b'-') {
            bail!("the server refused: {}", String::from_utf8_lossy(answers));
        }
        let came = answers.iter().filter(|byte| **byte == b'\n').count();
        #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
        let second = start.elapsed().as_secs() as usize;
        let Some(count) = counts.get(second) else {
            return Ok(());
        };
        count.fetch_add(came as u64, Ordering::Relaxed);
        if came >= left {
            stream.write_all(&asks)?;
            left += PIPELINE;
        }
        left -= came;
    }
}
