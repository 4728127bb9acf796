//! The real binary as tests use it: started on free ports, watched, ended by its own process ID.
//!
//! ```text
//! let home = Home::new();                    // a data directory of its own
//! let server = home.serve(&[]);              // `ticketd serve` on free ports, ready
//! server.resp().incr("notes");               // a RESP connection
//! server.kill9();                            // or .terminate(), .signal(..), or drop it
//! let server = home.serve(&[]);              // again on the same directory
//! ```

#![allow(dead_code, reason = "each test file uses the part that it needs")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

pub mod resp;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub use resp::Resp;

/// How long anything may take on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The binary, with none of our settings in its environment.
pub fn ticketd(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ticketd"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TICKETD_") {
            command.env_remove(name);
        }
    }
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command that ends by itself.
pub fn run(args: &[&str]) -> Ran {
    Ran::from(ticketd(args).output().unwrap())
}

/// What a command has said and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// Checks that it went well, and gives its data.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self.out
    }

    /// Checks that it ended with `code`, no data, and one line `ticketd: ...`, and gives the line.
    /// Lines of the log, which start with a date, may come before it.
    #[track_caller]
    pub fn refused(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        assert_eq!(self.out, "", "data comes only from what went well");
        let mut told = self.err.lines().filter(|line| !line.starts_with("20"));
        let line = told.next().unwrap_or_default().to_owned();
        assert!(line.starts_with("ticketd: "), "{}", self.err);
        assert_eq!(told.next(), None, "one line says it all: {}", self.err);
        line
    }
}

/// A data directory, for as long as it is needed.
pub struct Home {
    dir: TempDir,
}

impl Home {
    pub fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.path("data")
    }

    /// Something else in the same temporary place.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file into the temporary place.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The command that serves the data directory on free ports.
    pub fn serve_command(&self, args: &[&str]) -> Command {
        let mut command = ticketd(&["serve", "--data-dir", text(&self.data_dir())]);
        command.args(["--resp", "127.0.0.1:0", "--http", "127.0.0.1:0"]).args(args);
        command
    }

    /// As [`Home::serve_command`], in a mount namespace of its own in which a tmpfs with `options`
    /// lies at the data directory. Its disk is reached through [`Server::root`].
    pub fn serve_command_on_tmpfs(&self, options: &str, args: &[&str]) -> Command {
        std::fs::create_dir_all(self.data_dir()).unwrap();
        let serve = self.serve_command(args);
        let mut command = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        command.args(["--mount", "sh", "-c"]);
        command.arg(format!("mount -t tmpfs -o {options} disk \"$0\" && exec \"$@\""));
        command.arg(self.data_dir()).arg(serve.get_program()).args(serve.get_args());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Serves the data directory on free ports, and waits until it is ready.
    pub fn serve(&self, args: &[&str]) -> Server {
        Server::start(&mut self.serve_command(args))
    }
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A running server. Dropped, it is killed.
pub struct Server {
    child: Child,
    /// `None` once it has been waited for.
    stderr: Option<JoinHandle<String>>,
    stdout: Option<BufReader<ChildStdout>>,
    pub ready_line: String,
    pub resp_addr: SocketAddr,
    pub http_addr: SocketAddr,
}

impl Server {
    /// Starts `command` and waits for its ready line.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stderr = gather(child.stderr.take().unwrap());
        let (line, stdout) = first_line(child.stdout.take().unwrap());
        let Ok((ready_line, stdout)) = line.recv_timeout(PATIENCE).map(|line| (line, stdout))
        else {
            drop(child.kill());
            panic!("no ready line in time: {}", stderr.join().unwrap());
        };
        let Some((resp_addr, http_addr)) = addresses(&ready_line) else {
            drop(child.kill());
            drop(child.wait());
            panic!("no ready line but '{ready_line}': {}", stderr.join().unwrap());
        };
        let stdout = Some(stdout.join().unwrap());
        Self { child, stderr: Some(stderr), stdout, ready_line, resp_addr, http_addr }
    }

    /// A new RESP connection.
    #[track_caller]
    pub fn resp(&self) -> Resp {
        Resp::connect(self.resp_addr)
    }

    /// The HTTP address as `--server` takes it.
    pub fn http(&self) -> String {
        self.http_addr.to_string()
    }

    /// Runs a client command against its HTTP address.
    pub fn run(&self, args: &[&str]) -> Ran {
        run(&[args, &["--server", &self.http()]].concat())
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The root of the file system as the server sees it.
    pub fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.pid().as_raw_nonzero()))
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// `kill -9`: nothing of it is left but what is durable.
    pub fn kill9(mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    /// SIGTERM, and what became of it: its exit status, and all that it said after the ready line.
    pub fn terminate(self) -> (ExitStatus, Ended) {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> (ExitStatus, Ended) {
        let status = self.child.wait().unwrap();
        let mut out = String::new();
        self.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        (status, Ended { out, err: self.stderr.take().unwrap().join().unwrap() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a server said: on standard output after the ready line, and on standard error.
#[derive(Debug)]
pub struct Ended {
    pub out: String,
    pub err: String,
}

/// Reads all of `pipe`, so that whoever writes it never waits.
fn gather(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        drop(pipe.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The first line of `pipe` when it comes, and the rest of the pipe.
fn first_line(pipe: ChildStdout) -> (Receiver<String>, JoinHandle<BufReader<ChildStdout>>) {
    let (sender, receiver) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = String::new();
        drop(pipe.read_line(&mut line));
        drop(sender.send(line));
        pipe
    });
    (receiver, reader)
}

/// The addresses of `ticketd ready resp=ADDR http=ADDR`.
fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let (resp, http) = line.trim_end().strip_prefix("ticketd ready resp=")?.split_once(" http=")?;
    Some((resp.parse().ok()?, http.parse().ok()?))
}
