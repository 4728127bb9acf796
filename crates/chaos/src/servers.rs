//! The servers of ticketd that are attacked: real processes on fixed ports.

use std::fs::DirEntry;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ticketd_engines::{Place, Process, free_ports};

use crate::clock::{Clock, micros};
use crate::net::Net;
use crate::talk::http;

/// How long a server may take until it is ready, with the engine there.
const READY_BOUND: Duration = Duration::from_secs(30);

/// The pause between two looks at whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A server.
#[derive(Debug)]
pub struct Server {
    /// Its process.
    pub process: Process,
    /// Where it speaks RESP.
    pub resp: u16,
    /// Where it speaks HTTP.
    pub http: u16,
    /// It was seen to be ready and nobody has ended it since.
    is_up: bool,
    node: usize,
    net: Arc<Net>,
    /// Where the others reach it.
    address: String,
    /// Says by how much its wall clock is wrong.
    clock_file: PathBuf,
}

impl Server {
    /// Starts the program `ticketd` as the node `node` and waits until it is ready.
    ///
    /// # Errors
    /// If it is not ready in time.
    pub fn start(
        ticketd: &Path,
        place: &Place,
        net: &Arc<Net>,
        node: usize,
        args: &[&str],
    ) -> Result<Self> {
        let [resp, http] = free_ports::<2>()?;
        let address = local(net.gate(node, http)?);
        let clock_file = place.path().join(format!("clock-{node}"));
        std::fs::write(&clock_file, "+0")?;
        let mut command = place.command(ticketd, None);
        clear_settings(&mut command);
        if let Some(faketime) = faketime() {
            lie_about_the_time(&mut command, &faketime, &clock_file);
        }
        command.arg("serve").args(args).args(["--advertise", &address]);
        command.args(["--resp", &local(resp), "--http", &local(http)]);
        command.arg("--data-dir").arg(place.path().join(format!("data-{node}")));
        let process = Process::start(place, &format!("server-{node}"), command)?;
        net.is(node, process.pid());
        let net = Arc::clone(net);
        let mut server = Self { process, resp, http, is_up: false, node, net, address, clock_file };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Waits until it is ready; starts it again if it ends, as a supervisor would while the engine
    /// is not there yet.
    ///
    /// # Errors
    /// If it is not ready in time.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        let clock = Clock::start();
        self.is_up = false;
        while !self.is_up {
            if clock.now_us() > micros(READY_BOUND) {
                let said = self.process.log_tail();
                bail!("server {} was not ready within {READY_BOUND:?}: {said}", self.node);
            }
            if !self.process.is_running() {
                self.restart()?;
            }
            let ready = http::ask(self.http, "GET", "/readyz", "");
            self.is_up = ready.is_ok_and(|(status, _)| status == 200);
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        self.process.restart()?;
        self.net.is(self.node, self.process.pid());
        Ok(())
    }

    /// Starts it again after it was ended; it need not be ready yet.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_again(&mut self) -> Result<()> {
        if self.process.is_running() { Ok(()) } else { self.restart() }
    }

    /// Kills it.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn kill(&mut self) -> Result<()> {
        self.is_up = false;
        self.process.kill()
    }

    /// Asks it to end and waits until it has.
    ///
    /// # Errors
    /// If it does not.
    pub fn stop(&mut self) -> Result<()> {
        self.is_up = false;
        self.process.stop()
    }

    /// Sets its wall clock wrong by so many seconds.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn set_clock(&self, seconds: i64) -> Result<()> {
        // Whoever reads it meanwhile sees the old or the new one.
        let new = self.clock_file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}"))?;
        std::fs::rename(new, &self.clock_file).context("a clock cannot be set")
    }

    /// Whether it has ended although nobody has ended it.
    pub fn has_ended_by_itself(&mut self) -> bool {
        self.is_up && !self.process.is_running()
    }
}

/// Whether a server's wall clock can be set.
pub fn can_set_clocks() -> bool {
    faketime().is_some()
}

/// Debian's libfaketime for programs with threads; each architecture has a folder of its own.
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let library = |folder: DirEntry| folder.path().join("faketime/libfaketimeMT.so.1");
    folders.map(library).find(|library| library.is_file())
}

fn lie_about_the_time(command: &mut Command, faketime: &Path, clock_file: &Path) {
    command.env("LD_PRELOAD", faketime).env("FAKETIME_TIMESTAMP_FILE", clock_file);
    // Its names for it before and since 0.9.10.
    command.env("DONT_FAKE_MONOTONIC", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    // How many seconds pass until it reads the file again.
    command.env("FAKETIME_CACHE_DURATION", "1");
}

/// None of our settings is to come from the environment of whoever runs the bench.
fn clear_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TICKETD_") {
            command.env_remove(name);
        }
    }
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Which server owns the sequence `name` now, as the server `asked` says; `None` if it does not tell,
/// or nobody owns it.
pub fn owner(servers: &[Server], asked: usize, name: &str) -> Option<usize> {
    let (_, told) = http::ask(servers[asked].http, "GET", "/v1/cluster", "").ok()?;
    let of = |list: &str| told[list].as_array().cloned().unwrap_or_default();
    let owned = of("sequences").into_iter().find(|owned| owned["sequence"] == name)?;
    let owner = of("servers").into_iter().find(|seen| seen["id"] == owned["owner"])?;
    servers.iter().position(|server| owner["address"] == server.address.as_str())
}
