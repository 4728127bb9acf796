//! The folder in which an engine keeps its files, and how long it lives.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// Ties a program to its parent, and gives it another user. Of util-linux, which Debian always has.
const SETPRIV: &str = "/usr/bin/setpriv";

/// A file system in memory. Tests kill processes and not machines: what is written there survives
/// as much, and no other work of the disk makes an engine late.
const MEMORY: &str = "/dev/shm";

const PREFIX: &str = "ticketd-engine-";

/// A folder for the files of engines.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    /// Deletes the folder when dropped.
    temporary: Option<TempDir>,
}

impl Place {
    /// A new folder that goes when this is dropped. What is started in it ends with it, and with
    /// this process.
    pub fn temporary() -> Result<Self> {
        let temporary = if Path::new(MEMORY).is_dir() {
            TempDir::with_prefix_in(PREFIX, MEMORY)?
        } else {
            TempDir::with_prefix(PREFIX)?
        };
        Ok(Self { path: temporary.path().to_owned(), temporary: Some(temporary) })
    }

    /// The folder `path`, made empty, which stays. What is started in it goes on when this process
    /// has ended, once it is [released](crate::Process::release).
    pub fn kept(path: &Path) -> Result<Self> {
        let shown = path.display();
        if path.exists() {
            std::fs::remove_dir_all(path).with_context(|| format!("{shown} cannot be emptied"))?;
        }
        std::fs::create_dir_all(path).with_context(|| format!("{shown} cannot be made"))?;
        Ok(Self { path: path.canonicalize()?, temporary: None })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How to start `program` here, as `user` if one is given (which takes root).
    pub fn command(&self, program: &Path, user: Option<&str>) -> Command {
        let mut options = Vec::new();
        if self.temporary.is_some() {
            options.extend(["--pdeathsig".to_owned(), "KILL".to_owned()]);
        }
        if let Some(user) = user {
            options.extend([format!("--reuid={user}"), format!("--regid={user}")]);
            options.push("--init-groups".to_owned());
        }
        if options.is_empty() {
            return Command::new(program);
        }
        let mut command = Command::new(SETPRIV);
        command.args(options).arg("--").arg(program);
        command
    }
}

/// Whether this process may start programs as other users.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Gives the file or folder `path` to `user`, and lets nobody else look into it.
pub(crate) fn give_to(user: &str, path: &Path) -> Result<()> {
    let status = Command::new("chown").arg(user).arg(path).status();
    if !status.context("chown could not be started")?.success() {
        anyhow::bail!("{} cannot be given to {user}", path.display());
    }
    Ok(())
}
