//! PostgreSQL: a primary, and a synchronous standby that can take its place.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::place::{give_to, is_root};
use crate::{Place, Process, done, free_ports, wait_for};

/// How long a server may take until it serves.
const START_BOUND: Duration = Duration::from_secs(30);

/// Who runs it and owns its files if this is root: PostgreSQL refuses to be root.
pub const USER: &str = "postgres";

/// Its superuser, and the password of it.
pub const ADMIN: &str = "postgres";
pub const PASSWORD: &str = "p@ss/w:rd";

/// Settings for all servers: small, and nothing outside the folder, also if they are killed.
const SETTINGS: [&str; 6] = [
    "dynamic_shared_memory_type=mmap",
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "shared_buffers=32MB",
    "max_connections=60",
    "wal_level=replica",
];

/// Where PostgreSQL is, if it is installed with all of its programs.
pub fn installed() -> Option<PathBuf> {
    let releases = std::fs::read_dir("/usr/lib/postgresql").ok();
    let mut folders: Vec<PathBuf> =
        releases.into_iter().flatten().flatten().map(|e| e.path().join("bin")).collect();
    folders.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = folders.into_iter().rev().chain(std::env::split_paths(&path));
    let all = ["postgres", "initdb", "pg_basebackup", "psql"];
    folders.into_iter().find(|folder| all.iter().all(|name| folder.join(name).is_file()))
}

/// A primary, and its standby if it has one.
#[derive(Debug)]
pub struct Cluster {
    /// The primary, and then the standby; each may be killed, paused, and started again.
    pub servers: Vec<Process>,
    /// The port of each.
    pub ports: Vec<u16>,
    folder: PathBuf,
    /// Where its files are. It goes after the servers.
    pub place: Place,
}

impl Cluster {
    /// Starts a primary in `place` with `settings` (`name=value`), and waits until it serves.
    ///
    /// # Errors
    /// If PostgreSQL is not installed, or does not serve in time.
    pub fn start(place: Place, settings: &[&str]) -> Result<Self> {
        let folder = installed().context("PostgreSQL is missing: apt-get install postgresql")?;
        let mut cluster = Self { servers: Vec::new(), ports: Vec::new(), folder, place };
        own(cluster.place.path())?;
        let password = cluster.place.path().join("password");
        std::fs::write(&password, PASSWORD)?;
        let mut initdb = cluster.command("initdb");
        initdb.arg("-D").arg(cluster.data(0)).args(["-U", ADMIN, "--auth=scram-sha-256"]);
        initdb.args(["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]);
        initdb.arg("--pwfile").arg(password);
        done("initdb", initdb.output()?)?;
        cluster.start_server(settings)?;
        Ok(cluster)
    }

    /// Adds a standby with `settings` that follows the primary, which from then on waits for it.
    ///
    /// # Errors
    /// If it does not come to follow in time.
    pub fn add_standby(&mut self, settings: &[&str]) -> Result<()> {
        self.copy(0, 1)?;
        self.start_server(settings)?;
        self.wait_for_standby(0)
    }

    /// Makes the server `n`, which has ended, the standby of `primary`, which from then on waits for
    /// it. Whatever `n` had is lost.
    ///
    /// # Errors
    /// If it does not come to follow in time.
    pub fn follow_again(&mut self, n: usize, primary: usize) -> Result<()> {
        std::fs::remove_dir_all(self.data(n))?;
        self.copy(primary, n)?;
        self.restart(n)?;
        self.wait_for_standby(primary)
    }

    /// Copies what the server `from` has into the empty place of `to`, to follow it.
    fn copy(&self, from: usize, to: usize) -> Result<()> {
        let primary = format!("{} application_name=standby", self.login(from, "postgres"));
        let mut copy = self.command("pg_basebackup");
        copy.args(["--dbname", &primary, "--write-recovery-conf", "--checkpoint=fast"]);
        copy.arg("--no-sync").arg("-D").arg(self.data(to));
        done("pg_basebackup", copy.output()?)?;
        Ok(())
    }

    /// Lets `primary` wait for its standby with every commit.
    fn wait_for_standby(&self, primary: usize) -> Result<()> {
        self.sql(primary, "ALTER SYSTEM SET synchronous_standby_names = 'standby'")?;
        self.sql(primary, "SELECT pg_reload_conf()")?;
        wait_for("the standby is synchronous", START_BOUND, || {
            let state = self.sql(primary, "SELECT sync_state FROM pg_stat_replication")?;
            Ok(state.trim() == "sync")
        })
    }

    /// Makes the standby a primary. The old one must be dead, or be kept from everybody.
    ///
    /// # Errors
    /// If it does not become one.
    pub fn promote_standby(&self) -> Result<()> {
        self.promote(1)
    }

    /// Makes the server `n`, which is a standby, a primary that waits for no other. The old one must
    /// be dead, or be kept from everybody.
    ///
    /// # Errors
    /// If it does not become one.
    pub fn promote(&self, n: usize) -> Result<()> {
        // A copy of a primary has its settings, and there is nobody yet to wait for.
        self.sql(n, "ALTER SYSTEM RESET synchronous_standby_names")?;
        self.sql(n, "SELECT pg_reload_conf()")?;
        let promoted = self.sql(n, "SELECT pg_promote()")?;
        if promoted.trim() != "t" {
            bail!("the standby was not promoted: {promoted}");
        }
        Ok(())
    }

    /// Runs `sql` on the server `n` as its superuser, and answers what it prints.
    ///
    /// # Errors
    /// If one of its statements fails.
    pub fn sql(&self, n: usize, sql: &str) -> Result<String> {
        self.sql_in(n, "postgres", sql)
    }

    /// The same in the database `database`.
    ///
    /// # Errors
    /// If one of its statements fails.
    pub fn sql_in(&self, n: usize, database: &str, sql: &str) -> Result<String> {
        let mut psql = Command::new(self.folder.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]);
        psql.args(["--set", "ON_ERROR_STOP=1", "--dbname", &self.login(n, database)]);
        psql.args(["--command", sql]);
        done("psql", psql.output()?)
    }

    /// All its servers as a URL of a store, in the database `postgres`.
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let password = PASSWORD.replace('@', "%40").replace('/', "%2F").replace(':', "%3A");
        format!("postgres://{ADMIN}:{password}@{}/postgres", hosts.join(","))
    }

    /// Waits until the server `n` serves.
    ///
    /// # Errors
    /// If it ended, with the end of its log; or does not in time.
    pub fn wait_until_serving(&mut self, n: usize) -> Result<()> {
        wait_for("PostgreSQL serves", START_BOUND, || {
            if !self.servers[n].is_running() {
                bail!("PostgreSQL ended: {}", self.servers[n].log_tail());
            }
            Ok(self.sql(n, "SELECT 1").is_ok())
        })
    }

    /// Kills the server `n` with all its processes, as a loss of its machine would.
    ///
    /// # Errors
    /// If that is not allowed.
    pub fn kill(&mut self, n: usize) -> Result<()> {
        // So that none of them ends in an orderly way because another one has ended.
        self.pause(n)?;
        let children = children(self.servers[n].pid())?;
        self.signal(n, Signal::KILL)?;
        self.servers[n].kill()?;
        // As long as one of them lives the server cannot be started again.
        wait_for("all its processes ended", START_BOUND, || Ok(!children.iter().any(is_alive)))
    }

    /// Lets the server `n` end in an orderly way, but without waiting for its clients.
    ///
    /// # Errors
    /// If it does not end in time.
    pub fn shut_down(&mut self, n: usize) -> Result<()> {
        self.servers[n].signal(Signal::INT)?;
        wait_for("PostgreSQL ended", START_BOUND, || Ok(!self.servers[n].is_running()))
    }

    /// Starts the server `n` again after it has ended, and waits until it serves.
    ///
    /// # Errors
    /// If it does not in time.
    pub fn restart(&mut self, n: usize) -> Result<()> {
        self.servers[n].restart()?;
        self.wait_until_serving(n)
    }

    /// Freezes the server `n` with all its processes until [`resume`](Self::resume).
    ///
    /// # Errors
    /// If that is not allowed.
    pub fn pause(&self, n: usize) -> Result<()> {
        // The first one first: it starts the others.
        self.servers[n].pause()?;
        self.signal(n, Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// If that is not allowed.
    pub fn resume(&self, n: usize) -> Result<()> {
        self.signal(n, Signal::CONT)?;
        self.servers[n].resume()
    }

    /// Sends `signal` to the processes that the server `n` has started.
    fn signal(&self, n: usize, signal: Signal) -> Result<()> {
        for pid in children(self.servers[n].pid())? {
            match kill_process(pid, signal) {
                // It has ended by itself.
                Ok(()) | Err(Errno::SRCH) => {}
                failed => failed.context("no signal could be sent")?,
            }
        }
        Ok(())
    }

    /// Lets it go on when this process has ended; answers the process ids.
    pub fn release(mut self) -> Vec<u32> {
        std::mem::take(&mut self.servers).into_iter().map(Process::release).collect()
    }

    fn start_server(&mut self, settings: &[&str]) -> Result<()> {
        let n = self.servers.len();
        let [port] = free_ports()?;
        let mut postgres = self.command("postgres");
        postgres.arg("-D").arg(self.data(n)).args(["-p", &port.to_string()]);
        for setting in SETTINGS.iter().chain(settings) {
            postgres.args(["-c", setting]);
        }
        self.servers.push(Process::start(&self.place, &format!("postgres{n}"), postgres)?);
        self.ports.push(port);
        self.wait_until_serving(n)
    }

    fn data(&self, n: usize) -> PathBuf {
        self.place.files().join(format!("data{n}"))
    }

    fn login(&self, n: usize, database: &str) -> String {
        let port = self.ports[n];
        format!("host=127.0.0.1 port={port} user={ADMIN} password={PASSWORD} dbname={database}")
    }

    fn command(&self, name: &str) -> Command {
        let mut command = self.place.command(&self.folder.join(name), user());
        command.current_dir(self.place.path());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for server in self.servers.iter_mut().filter_map(|s| s.is_running().then(|| s.pid())) {
            // Those that are frozen would not notice that the first of them is gone.
            for child in children(server).unwrap_or_default() {
                // It may have ended by itself.
                let _killed = kill_process(child, Signal::KILL);
            }
        }
    }
}

/// Gives the file `path`, which holds a private key, to whoever runs PostgreSQL.
///
/// # Errors
/// If that is not allowed.
pub fn own(path: &Path) -> Result<()> {
    user().map_or(Ok(()), |user| give_to(user, path))
}

fn user() -> Option<&'static str> {
    is_root().then_some(USER)
}

/// Whether a process has not ended; it may be that nobody has taken notice of its end.
fn is_alive(pid: &Pid) -> bool {
    stat(&format!("/proc/{}", pid.as_raw_nonzero())).is_some_and(|(state, _)| state != "Z")
}

/// The state and the parent of the process whose folder in `/proc` is `folder`.
fn stat(folder: &str) -> Option<(String, String)> {
    let stat = std::fs::read_to_string(format!("{folder}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let (_, after) = stat.rsplit_once(')')?;
    let mut words = after.split_whitespace().map(str::to_owned);
    Some((words.next()?, words.next()?))
}

/// The processes that `parent` has started: each is a process group of its own.
fn children(parent: u32) -> Result<Vec<Pid>> {
    let parent = parent.to_string();
    let mut children = Vec::new();
    for process in std::fs::read_dir("/proc")? {
        let folder = process?.path();
        if stat(&folder.to_string_lossy()).is_some_and(|(_, of)| of == parent) {
            let name = folder.file_name().and_then(|name| name.to_str());
            children.extend(name.and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw));
        }
    }
    Ok(children)
}
