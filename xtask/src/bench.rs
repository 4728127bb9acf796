//! Throughput of tickets beside redis-server without persistence: same machine, same client, in turn, so that
//! the ratio holds when the machine's speed drifts.

mod servers;
mod snowflake;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::needs;

/// Connections and pipeline depths that are measured.
const SHAPES: [(u32, u32); 4] = [(50, 1), (50, 16), (50, 128), (1, 1)];

/// Ticks of the process clock per second on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

struct Options {
    rounds: usize,
    requests: u64,
}

/// A server under test, killed when it goes out of scope.
struct Peer {
    name: &'static str,
    /// Where it speaks RESP, on loopback.
    port: u16,
    /// Where it serves HTTP, if it does.
    http: String,
    child: Child,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

struct Sample {
    per_second: f64,
    cpu_us_per_request: f64,
}

/// Measures and prints a table.
pub fn run(root: &Path, options: &[&str]) -> Result<()> {
    match options {
        ["snowflake"] => snowflake::run(build(root)?, 10),
        ["snowflake", "--seconds", n] => {
            let seconds = n.parse().ok().filter(|n| (1..=3600).contains(n));
            snowflake::run(
                build(root)?,
                seconds.context("--seconds takes a number from 1 to 3600")?,
            )
        }
        ["servers", options @ ..] => {
            let options = parse(options)?;
            needs::provide()?;
            servers::run(build(root)?, options.rounds, options.requests)
        }
        _ => tickets(root, options),
    }
}

/// Makes sure that the release build is there.
fn build(root: &Path) -> Result<&Path> {
    let build = ["build", "--release", "--quiet"];
    let built = Command::new(env!("CARGO")).args(build).current_dir(root).status()?;
    if !built.success() {
        bail!("the release build failed");
    }
    Ok(root)
}

fn tickets(root: &Path, options: &[&str]) -> Result<()> {
    let options = parse(options)?;
    needs::provide()?;
    build(root)?;
    let scratch = tempfile::tempdir().context("no temporary directory could be made")?;
    let ticketd = start_ticketd(root, scratch.path(), &[])?;
    let redis = start_redis(scratch.path())?;
    println!(
        "redis-benchmark INCR of one key, {} rounds each in turn; medians\n\n\
         connections pipeline | ticketd/s  redis/s    ratio | server CPU s per million: \
         ticketd  redis",
        options.rounds
    );
    for (connections, pipeline) in SHAPES {
        // About the same time for each shape: deeper pipelines do more requests in a second.
        let requests =
            options.requests * u64::from(pipeline.min(16)) / if connections == 1 { 4 } else { 1 };
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            ours.push(measure(&ticketd, connections, pipeline, requests)?);
            theirs.push(measure(&redis, connections, pipeline, requests)?);
        }
        let ratios: Vec<f64> =
            ours.iter().zip(&theirs).map(|(a, b)| a.per_second / b.per_second).collect();
        println!(
            "{connections:11} {pipeline:8} | {:9.0} {:9.0} {:8.2} | {:33.2} {:6.2}",
            median(ours.iter().map(|s| s.per_second)),
            median(theirs.iter().map(|s| s.per_second)),
            median(ratios.into_iter()),
            median(ours.iter().map(|s| s.cpu_us_per_request)),
            median(theirs.iter().map(|s| s.cpu_us_per_request)),
        );
    }
    Ok(())
}

fn parse(options: &[&str]) -> Result<Options> {
    let mut parsed = Options { rounds: 5, requests: 100_000 };
    for pair in options.chunks(2) {
        match pair {
            ["--rounds", n] => parsed.rounds = n.parse().context("--rounds takes a number")?,
            ["--requests", n] => {
                parsed.requests = n.parse().context("--requests takes a number")?
            }
            _ => bail!("unknown option: {}; see cargo xtask help", pair.join(" ")),
        }
    }
    if parsed.rounds == 0 || parsed.requests == 0 {
        bail!("at least one round and one request are needed");
    }
    Ok(parsed)
}

fn start_ticketd(root: &Path, scratch: &Path, more: &[&str]) -> Result<Peer> {
    let mut child = Command::new(root.join("target/release/ticketd"))
        .args(["serve", "--resp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir"])
        .arg(scratch.join("ticketd"))
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("ticketd could not be started")?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line)?;
    let after = |key: &str| line.split_whitespace().find_map(|word| word.strip_prefix(key));
    let port = after("resp=").and_then(|address| address.rsplit(':').next()?.parse().ok());
    let (Some(port), Some(http)) = (port, after("http=").map(str::to_owned)) else {
        bail!("ticketd did not say where it serves: {line}");
    };
    Ok(Peer { name: "ticketd", port, http, child })
}

fn start_redis(scratch: &Path) -> Result<Peer> {
    // Free a moment ago; redis-server cannot pick one itself.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let child = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"])
        .arg(port.to_string())
        .current_dir(scratch)
        .stdout(Stdio::null())
        .spawn()
        .context("redis-server could not be started")?;
    let peer = Peer { name: "redis-server", port, http: String::new(), child };
    for _ in 0..100 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(peer);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("redis-server did not start");
}

fn measure(peer: &Peer, connections: u32, pipeline: u32, requests: u64) -> Result<Sample> {
    let before = cpu_seconds(peer)?;
    let output = Command::new("redis-benchmark")
        .args(["--csv", "-h", "127.0.0.1", "-p", &peer.port.to_string()])
        .args(["-c", &connections.to_string(), "-P", &pipeline.to_string()])
        .args(["-n", &requests.to_string(), "INCR", "bench"])
        .output()
        .context("redis-benchmark could not be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let per_second = text
        .lines()
        .last()
        .and_then(|line| line.split("\",\"").nth(1)?.parse().ok())
        .with_context(|| format!("redis-benchmark against {} printed: {text}", peer.name))?;
    let cpu = cpu_seconds(peer)? - before;
    Ok(Sample { per_second, cpu_us_per_request: cpu * 1e6 / requests as f64 })
}

/// User and system time of the server so far, in seconds.
fn cpu_seconds(peer: &Peer) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", peer.child.id()))?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|f| f.parse::<f64>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).context("the process clock could not be read")?;
    Ok((user + system) / TICKS_PER_SECOND)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
