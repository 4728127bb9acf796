//! MariaDB: one server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::place::{give_to, is_root};
use crate::{Place, Process, done, free_ports, program, wait_for};

/// How long a server may take until it serves.
const START_BOUND: Duration = Duration::from_secs(60);

/// Who runs it and owns its files if this is root.
pub const USER: &str = "mysql";

/// The user for tests, its password, and the database in which it may do everything.
pub const TESTER: &str = "tester";
pub const PASSWORD: &str = "p@ss/w:rd";
pub const DATABASE: &str = "tests";

/// Where MariaDB is, if it is installed with all of its programs.
pub fn installed() -> Option<PathBuf> {
    program(&["mariadb-install-db"], &[])?;
    program(&["mariadb"], &[])?;
    program(&["mariadbd"], &[])
}

/// A server of MariaDB. Its temporary tables are in its own folder: one that starts deletes those
/// of all others in the same folder.
#[derive(Debug)]
pub struct Server {
    /// It may be killed, paused, and started again.
    pub process: Process,
    /// Its port.
    pub port: u16,
    socket: PathBuf,
    /// Where its files are. It goes after the process.
    pub place: Place,
}

impl Server {
    /// Starts it in `place` with `options`, and waits until it serves.
    ///
    /// # Errors
    /// If MariaDB is not installed, or does not serve in time.
    pub fn start(place: Place, options: &[&str]) -> Result<Self> {
        let mariadbd = installed().context("MariaDB is missing: apt-get install mariadb-server")?;
        own(place.path())?;
        let data = place.files().join("data");
        install(&place, &data)?;
        let [port] = free_ports()?;
        let socket = place.path().join("socket");
        let mut command = place.command(&mariadbd, user());
        command.arg("--no-defaults").arg(path_option("datadir", &data));
        command.arg(path_option("socket", &socket)).arg(format!("--port={port}"));
        command.args(["--bind-address=127.0.0.1", "--innodb-buffer-pool-size=32M"]);
        command.arg("--skip-name-resolve");
        command.env("TMPDIR", place.path()).args(options);
        let process = Process::start(&place, "mariadb", command)?;
        let mut server = Self { process, port, socket, place };
        server.wait_until_serving()?;
        server.sql(&format!(
            "CREATE DATABASE {DATABASE}; CREATE USER {TESTER}@'%' IDENTIFIED BY '{PASSWORD}'; \
             GRANT ALL ON {DATABASE}.* TO {TESTER}@'%'"
        ))?;
        Ok(server)
    }

    /// Runs `sql` as its superuser, and answers what it prints.
    ///
    /// # Errors
    /// If one of its statements fails.
    pub fn sql(&self, sql: &str) -> Result<String> {
        let client = program(&["mariadb"], &[]).context("the program mariadb is missing")?;
        let mut client = Command::new(client);
        client.arg("--no-defaults").arg(path_option("socket", &self.socket));
        client.args(["--user=root", "--batch", "--skip-column-names", "--execute", sql]);
        done("mariadb", client.output()?)
    }

    /// It as a URL of a store.
    pub fn url(&self) -> String {
        let password = PASSWORD.replace('@', "%40").replace('/', "%2F").replace(':', "%3A");
        format!("mysql://{TESTER}:{password}@127.0.0.1:{}/{DATABASE}", self.port)
    }

    /// Waits until it serves.
    ///
    /// # Errors
    /// If it ended, with the end of its log; or does not in time.
    pub fn wait_until_serving(&mut self) -> Result<()> {
        wait_for("MariaDB serves", START_BOUND, || {
            if !self.process.is_running() {
                bail!("MariaDB ended: {}", self.process.log_tail());
            }
            Ok(self.sql("SELECT 1").is_ok())
        })
    }

    /// Lets it go on when this process has ended; answers the process ids.
    pub fn release(self) -> Vec<u32> {
        vec![self.process.release()]
    }
}

/// Gives the file `path`, which holds a private key, to whoever runs MariaDB.
///
/// # Errors
/// If that is not allowed.
pub fn own(path: &Path) -> Result<()> {
    user().map_or(Ok(()), |user| give_to(user, path))
}

fn install(place: &Place, data: &Path) -> Result<()> {
    let install = program(&["mariadb-install-db"], &[]).context("no mariadb-install-db")?;
    let mut command = place.command(&install, user());
    command.arg("--no-defaults").arg(path_option("datadir", data)).arg("--skip-test-db");
    command.args(["--auth-root-authentication-method=normal", "--skip-name-resolve"]);
    command.env("TMPDIR", place.path());
    done("mariadb-install-db", command.current_dir(place.path()).output()?)?;
    Ok(())
}

fn path_option(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

fn user() -> Option<&'static str> {
    is_root().then_some(USER)
}
