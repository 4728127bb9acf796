//! Several servers over a three-member etcd beside one with the embedded store: same machine, same
//! client, in turn. A strict sequence is asked of at its owner and at a server that forwards, a
//! loose one at any.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ticketd_engines::{Place, etcd};

use super::{Peer, median, start_ticketd};

const SERVERS: usize = 3;

/// Connections, and the pipeline depths that are measured.
const CONNECTIONS: u32 = 50;
const PIPELINES: [u32; 3] = [1, 16, 128];

/// Until each server has seen the others: several times as long as between two looks.
const UNTIL_MET: Duration = Duration::from_secs(2);

/// Whom to ask for what.
struct Way<'a> {
    name: &'static str,
    server: &'a Peer,
    sequence: &'static str,
}

/// What redis-benchmark says, and what the engine was asked for meanwhile.
struct Sample {
    per_second: f64,
    /// Milliseconds that half, 99 in 100 and 999 in 1000 requests took at most.
    latency: [f64; 3],
    commits_per_second: f64,
}

/// Measures in `rounds` of `requests` each without a pipeline, and prints a table.
pub(super) fn run(root: &Path, rounds: usize, requests: u64) -> Result<()> {
    let engine = etcd::Cluster::start(Place::temporary()?, 3, &[])?;
    let scratch = tempfile::tempdir().context("no temporary directory could be made")?;
    let alone = start_ticketd(root, &scratch.path().join("alone"), &[])?;
    let url = engine.url();
    let start = |n: usize| {
        start_ticketd(
            root,
            &scratch.path().join(n.to_string()),
            &["--store", &url, "--log", "error"],
        )
    };
    let servers = (0..SERVERS).map(start).collect::<Result<Vec<Peer>>>()?;
    std::thread::sleep(UNTIL_MET);
    create_loose(root, &servers[0])?;
    incr(&servers[0], "strict")?;
    let owner = owner(root, &servers)?;
    let ways = [
        Way { name: "embedded, one server", server: &alone, sequence: "strict" },
        Way { name: "strict, at its owner", server: &servers[owner], sequence: "strict" },
        Way {
            name: "strict, forwarded",
            server: &servers[(owner + 1) % SERVERS],
            sequence: "strict",
        },
        Way { name: "loose", server: &servers[(owner + 2) % SERVERS], sequence: "loose" },
    ];
    println!(
        "redis-benchmark -c {CONNECTIONS} INCR, three servers over three members of etcd; medians of \
         {rounds} rounds\n\n\
         way                    pipeline |       /s  ratio | p50 ms  p99 ms  p99.9 ms | commits/s"
    );
    for pipeline in PIPELINES {
        compare(&ways, &servers, pipeline, rounds, requests * u64::from(pipeline.min(16)))?;
    }
    Ok(())
}

/// All ways in turn, so that what the machine does besides hits each.
fn compare(
    ways: &[Way<'_>],
    servers: &[Peer],
    pipeline: u32,
    rounds: usize,
    requests: u64,
) -> Result<()> {
    let mut samples: Vec<Vec<Sample>> = ways.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (way, samples) in ways.iter().zip(&mut samples) {
            samples.push(measure(way, servers, pipeline, requests)?);
        }
    }
    for (way, own) in ways.iter().zip(&samples) {
        let ratio =
            own.iter().zip(&samples[0]).map(|(own, alone)| own.per_second / alone.per_second);
        let latency = |n: usize| median(own.iter().map(|sample| sample.latency[n]));
        println!(
            "{:22} {pipeline:8} | {:8.0} {:6.2} | {:6.2} {:7.2} {:9.2} | {:9.1}",
            way.name,
            median(own.iter().map(|sample| sample.per_second)),
            median(ratio),
            latency(0),
            latency(1),
            latency(2),
            median(own.iter().map(|sample| sample.commits_per_second)),
        );
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn measure(way: &Way<'_>, servers: &[Peer], pipeline: u32, requests: u64) -> Result<Sample> {
    let (before, started) = (commits(servers)?, Instant::now());
    let output = Command::new("redis-benchmark")
        .args(["-h", "127.0.0.1", "-p", &way.server.port.to_string()])
        .args(["-c", &CONNECTIONS.to_string(), "-P", &pipeline.to_string()])
        .args(["-n", &requests.to_string(), "INCR", way.sequence])
        .output()
        .context("redis-benchmark could not be started")?;
    let took = started.elapsed().as_secs_f64();
    let commits_per_second = (commits(servers)? - before) / took;
    let text = String::from_utf8_lossy(&output.stdout);
    let (per_second, latency) =
        parse(&text).with_context(|| format!("redis-benchmark printed: {text}"))?;
    Ok(Sample { per_second, latency, commits_per_second })
}

/// Requests per second, and the milliseconds of three percentiles.
fn parse(text: &str) -> Option<(f64, [f64; 3])> {
    let rate = text.lines().find_map(|line| line.trim().strip_prefix("throughput summary: "))?;
    let per_second = rate.split(' ').next()?.parse().ok()?;
    let percentiles: Vec<(f64, f64)> = text.lines().filter_map(percentile).collect();
    let at = |wanted: f64| percentiles.iter().find(|(part, _)| *part >= wanted).map(|(_, ms)| *ms);
    Some((per_second, [at(50.0)?, at(99.0)?, at(99.9)?]))
}

/// A line such as `99.902% <= 1.103 milliseconds (cumulative count 99902)`.
fn percentile(line: &str) -> Option<(f64, f64)> {
    let (part, rest) = line.split_once("% <= ")?;
    let ms = rest.split_once(" milliseconds (cumulative")?.0;
    Some((part.parse().ok()?, ms.parse().ok()?))
}

/// What the servers have committed to the engine so far, leases included.
fn commits(servers: &[Peer]) -> Result<f64> {
    servers.iter().map(commits_of).sum()
}

fn commits_of(server: &Peer) -> Result<f64> {
    let mut stream = TcpStream::connect(&server.http)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: ticketd\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let found = text.lines().find_map(|line| line.strip_prefix("ticketd_store_commits_total "));
    found.and_then(|n| n.trim().parse().ok()).context("no count of commits in the metrics")
}

fn create_loose(root: &Path, server: &Peer) -> Result<()> {
    let create = ["sequence", "create", "loose", "--order", "loose"];
    client(root, server, &create).map(drop)
}

fn incr(server: &Peer, sequence: &str) -> Result<()> {
    let port = server.port.to_string();
    let done = Command::new("redis-cli").args(["-p", &port, "INCR", sequence]).output()?;
    ensure!(done.status.success(), "redis-cli failed: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// Which server owns the strict sequence.
fn owner(root: &Path, servers: &[Peer]) -> Result<usize> {
    let told = client(root, &servers[0], &["cluster"])?;
    let line = told.lines().find(|line| line.split_whitespace().next() == Some("strict"));
    let owner = line.and_then(|line| line.split_whitespace().nth(1)).context("nobody owns it")?;
    servers.iter().position(|server| server.http == owner).context("a stranger owns it")
}

fn client(root: &Path, server: &Peer, args: &[&str]) -> Result<String> {
    let mut command = Command::new(root.join("target/release/ticketd"));
    let done = command.args(args).args(["--server", &server.http]).output()?;
    ensure!(done.status.success(), "ticketd failed: {}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_redis_benchmark_is_understood() {
        let text = "Latency by percentile distribution:\n\
                    0.000% <= 0.207 milliseconds (cumulative count 1)\n\
                    50.000% <= 0.391 milliseconds (cumulative count 51)\n\
                    99.219% <= 0.9 milliseconds (cumulative count 99)\n\
                    99.951% <= 2.031 milliseconds (cumulative count 100)\n\
                    \n  throughput summary: 84033.61 requests per second\n";
        assert_eq!(parse(text), Some((84_033.61, [0.391, 0.9, 2.031])));
        assert_eq!(parse("nothing"), None);
    }
}
