//! A program that is stopped, killed and paused by its process id.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::{Place, wait_for};

/// How long a program may take to end by itself.
const STOP_BOUND: Duration = Duration::from_secs(20);

/// How much of a log is shown, in bytes.
const TAIL_LEN: usize = 2000;

/// A program that was started in a [`Place`]. When dropped it is killed.
#[derive(Debug)]
pub struct Process {
    command: Command,
    child: Child,
    log: PathBuf,
    is_released: bool,
}

impl Process {
    /// Starts `command`, which [`Place::command`] has made; what it prints goes to `NAME.log`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(place: &Place, name: &str, mut command: Command) -> Result<Self> {
        let log = place.path().join(format!("{name}.log"));
        let out = OpenOptions::new().create(true).append(true).open(&log)?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        // An interrupt at the terminal is not for it.
        command.process_group(0);
        let (command, child) = spawn(command);
        let child = child.with_context(|| format!("{name} could not be started"))?;
        Ok(Self { command, child, log, is_released: false })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it go on when this process has ended, in a place that is kept; answers its process id.
    pub fn release(mut self) -> u32 {
        self.is_released = true;
        self.pid()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it at once, as a loss of its machine would, and waits until it has ended.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end and waits until it has.
    pub fn stop(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        self.resume()?;
        wait_for("the program ended", STOP_BOUND, || Ok(!self.is_running()))
    }

    /// Starts it again, after it has ended, with the same arguments.
    pub fn restart(&mut self) -> Result<()> {
        let command = std::mem::replace(&mut self.command, Command::new("true"));
        let (command, child) = spawn(command);
        self.command = command;
        self.child = child.context("it could not be started again")?;
        Ok(())
    }

    /// Freezes it until [`resume`](Self::resume).
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Sends `signal`, if it has not ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("not a process id")?, signal).context("no signal could be sent")
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The end of what it has printed.
    pub fn log_tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(TAIL_LEN)..]).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.is_released {
            // It may have ended by itself.
            let _ended = self.kill();
        }
    }
}

/// Whether the process `pid` runs and has `folder` among its arguments: process ids are used again.
pub fn is_running_in(pid: u32, folder: &Path) -> bool {
    let args = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&args).contains(&*folder.to_string_lossy())
}

/// Stops the process `pid` of an earlier `cargo xtask engines`, if it still runs in `folder`.
///
/// # Errors
/// If it does not end.
pub fn stop_pid(pid: u32, folder: &Path) -> Result<()> {
    let Some(id) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Ok(());
    };
    for signal in [Signal::TERM, Signal::KILL] {
        if !is_running_in(pid, folder) {
            return Ok(());
        }
        kill_process(id, signal).context("no signal could be sent")?;
        if wait_for("it ended", STOP_BOUND, || Ok(!is_running_in(pid, folder))).is_ok() {
            return Ok(());
        }
    }
    anyhow::bail!("process {pid} does not end");
}

type Started = (Command, io::Result<Child>);

/// Starts `command` from a thread that lives as long as this process. A program that is tied to its
/// parent ends with the thread that started it, and the thread of a test ends with the test.
fn spawn(command: Command) -> Started {
    static STARTER: OnceLock<Sender<(Command, Sender<Started>)>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (ask, asked) = channel::<(Command, Sender<Started>)>();
        std::thread::spawn(move || {
            for (mut command, answer) in asked {
                let child = command.spawn();
                // Whoever asked waits for it.
                let _sent = answer.send((command, child));
            }
        });
        ask
    });
    let (answer, answered) = channel();
    starter.send((command, answer)).expect("the starter never ends");
    answered.recv().expect("the starter answers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program;

    #[test]
    fn a_process_is_paused_killed_and_started_again() {
        let place = Place::temporary().unwrap();
        let mut command = place.command(&program(&["sleep"], &[]).unwrap(), None);
        command.arg("60");
        let mut process = Process::start(&place, "sleep", command).unwrap();
        let first = process.pid();
        process.pause().unwrap();
        assert!(process.is_running());
        process.kill().unwrap();
        assert!(!process.is_running());
        process.restart().unwrap();
        assert_ne!(process.pid(), first);
        process.stop().unwrap();
        assert!(!process.is_running());
    }

    #[test]
    fn what_is_dropped_is_killed_and_its_folder_gone() {
        let place = Place::temporary().unwrap();
        let mut command = place.command(&program(&["tail"], &[]).unwrap(), None);
        let path = place.path().to_owned();
        std::fs::write(path.join("file"), "").unwrap();
        command.arg("-f").arg(path.join("file"));
        let process = Process::start(&place, "tail", command).unwrap();
        let pid = process.pid();
        wait_for("it runs", STOP_BOUND, || Ok(is_running_in(pid, &path))).unwrap();
        drop((process, place));
        assert!(!is_running_in(pid, &path) && !path.exists());
    }
}
