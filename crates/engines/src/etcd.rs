//! etcd: clusters of one member or several.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{Between, Nobody, Place, Process, free_ports, program, wait_for};

/// How long a cluster may take until it serves.
const START_BOUND: Duration = Duration::from_secs(30);

/// Where etcd is, if it is installed.
pub fn installed() -> Option<PathBuf> {
    program(&["etcd"], &[])
}

/// A cluster of etcd.
#[derive(Debug)]
pub struct Cluster {
    /// Its members; each may be killed, paused, and started again.
    pub members: Vec<Process>,
    /// The client port of each member.
    pub ports: Vec<u16>,
    /// Where each member says without TLS and passwords whether it is well.
    health_ports: Vec<u16>,
    // Goes after the members.
    place: Place,
}

impl Cluster {
    /// Starts `count` members in `place` with `options` for each, and waits until they serve.
    ///
    /// # Errors
    /// If etcd is not installed, or they do not serve in time.
    pub fn start(place: Place, count: usize, options: &[&str]) -> Result<Self> {
        Self::start_with(place, count, "http", options, &Nobody)
    }

    /// As [`start`](Self::start), and `between` stands between the members.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_apart(place: Place, count: usize, between: &dyn Between) -> Result<Self> {
        Self::start_with(place, count, "http", &[], between)
    }

    /// Starts a member that speaks TLS, which `options` say how, with clients.
    ///
    /// # Errors
    /// If etcd is not installed, or it does not serve in time.
    pub fn start_with_tls(place: Place, options: &[&str]) -> Result<Self> {
        Self::start_with(place, 1, "https", options, &Nobody)
    }

    fn start_with(
        place: Place,
        count: usize,
        scheme: &str,
        options: &[&str],
        between: &dyn Between,
    ) -> Result<Self> {
        let etcd = installed().context("etcd is not installed: apt-get install etcd-server")?;
        let ports = (0..count).map(|_| free_ports::<3>()).collect::<Result<Vec<_>>>()?;
        let gates = ports.iter().enumerate().map(|(n, [_, peer, _])| between.gate(n, *peer));
        let gates = gates.collect::<Result<Vec<_>>>()?;
        let place_of = |port: u16| format!("http://127.0.0.1:{port}");
        let all: Vec<_> =
            gates.iter().enumerate().map(|(n, gate)| format!("m{n}={}", place_of(*gate))).collect();
        let mut members = Vec::new();
        for (n, [client, peer, metrics]) in ports.iter().enumerate() {
            let client = format!("{scheme}://127.0.0.1:{client}");
            let mut command = place.command(&etcd, None);
            command.arg("--name").arg(format!("m{n}"));
            command.arg("--data-dir").arg(place.path().join(format!("m{n}")));
            command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
            command.args(["--listen-peer-urls", &place_of(*peer)]);
            command.args(["--initial-advertise-peer-urls", &place_of(gates[n])]);
            command.args(["--initial-cluster", &all.join(","), "--initial-cluster-state", "new"]);
            command.arg("--listen-metrics-urls").arg(format!("http://127.0.0.1:{metrics}"));
            command.args(options);
            let member = Process::start(&place, &format!("m{n}"), command)?;
            between.started(n, member.pid());
            members.push(member);
        }
        let health_ports = ports.iter().map(|[_, _, metrics]| *metrics).collect();
        let ports = ports.iter().map(|[client, ..]| *client).collect();
        let mut cluster = Self { members, ports, health_ports, place };
        for n in 0..count {
            cluster.wait_until_serving(n)?;
        }
        Ok(cluster)
    }

    /// Waits until the member `n` serves.
    ///
    /// # Errors
    /// If it ended, with the end of its log; or does not in time.
    pub fn wait_until_serving(&mut self, n: usize) -> Result<()> {
        let member = &mut self.members[n];
        let port = self.health_ports[n];
        wait_for("etcd serves", START_BOUND, || {
            if !member.is_running() {
                bail!("etcd ended: {}", member.log_tail());
            }
            Ok(is_well(port).unwrap_or(false))
        })
    }

    /// Its members as a URL of a store.
    pub fn url(&self) -> String {
        format!("etcd://{}", self.places().join(","))
    }

    fn places(&self) -> Vec<String> {
        self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect()
    }

    /// Where the member `n` keeps its files.
    pub fn data_dir(&self, n: usize) -> PathBuf {
        self.place.path().join(format!("m{n}"))
    }

    /// Runs etcd's own client, by members without TLS.
    ///
    /// # Errors
    /// If it fails, with what it says.
    pub fn etcdctl(&self, args: &[&str]) -> Result<String> {
        let client = program(&["etcdctl"], &[]);
        let client = client.context("etcdctl is not installed: apt-get install etcd-client")?;
        let mut command = Command::new(client);
        command.env("ETCDCTL_API", "3").args(args);
        let output = command.args(["--endpoints", &self.places().join(",")]).output()?;
        if !output.status.success() {
            bail!("etcdctl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Which member leads.
    ///
    /// # Errors
    /// If a member does not answer, or none leads.
    pub fn leader(&self) -> Result<usize> {
        let status = self.etcdctl(&["endpoint", "status"])?;
        // A line each, in the order asked: endpoint, id, version, size, whether it leads.
        let leads = |line: &str| line.split(", ").nth(4) == Some("true");
        status.lines().position(leads).context("no member leads")
    }

    /// Lets it go on when this process has ended; answers the process ids.
    pub fn release(self) -> Vec<u32> {
        self.members.into_iter().map(Process::release).collect()
    }
}

/// Whether a member knows of a leader and can commit.
fn is_well(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.contains("\"health\":\"true\""))
}
