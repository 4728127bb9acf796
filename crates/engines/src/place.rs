//! The folder in which an engine keeps its files, and how long it lives.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::{Process, wait_for};

/// Ties a program to its parent, and gives it another user. Of util-linux, which Debian always has.
const SETPRIV: &str = "/usr/bin/setpriv";

/// A file system in memory. Tests kill processes and not machines: what is written there survives
/// as much, and no other work of the disk makes an engine late.
const MEMORY: &str = "/dev/shm";

const PREFIX: &str = "ticketd-engine-";

/// How long it may take to make a disk.
const DISK_BOUND: Duration = Duration::from_secs(10);

/// Whatever is written to fill a disk, so much at a time.
static BALLAST: [u8; 64 * 1024] = [0; 64 * 1024];

/// Where the disk of a place lies in it.
const DISK: &str = "disk";

/// A folder for the files of engines.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    /// Holds a mount namespace in which a disk of its own lies at [`Place::files`].
    disk: Option<Process>,
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
        Ok(Self { path: temporary.path().to_owned(), disk: None, temporary: Some(temporary) })
    }

    /// The same with a disk of `mib` MiB for the files of an engine, which `user` owns; nothing of
    /// that is left when it is dropped. `None` if this process may not make one: that takes root.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn with_disk(mib: u32, user: &str) -> Result<Option<Self>> {
        if !is_root() {
            return Ok(None);
        }
        let mut place = Self::temporary()?;
        std::fs::create_dir(place.path.join(DISK))?;
        let mut command = place.command(Path::new("/usr/bin/unshare"), None);
        command.args(["--mount", "sh", "-c"]);
        command.arg(
            "mount -t tmpfs -o \"$1\" disk \"$0\" && chown \"$2\" \"$0\" && exec sleep infinity",
        );
        command.arg(place.path.join(DISK)).arg(format!("size={mib}m,mode=700")).arg(user);
        let mut holder = Process::start(&place, "disk", command)?;
        wait_for("the disk is there", DISK_BOUND, || {
            anyhow::ensure!(holder.is_running(), "no disk: {}", holder.log_tail());
            let name = std::fs::read_to_string(format!("/proc/{}/comm", holder.pid()));
            Ok(name.is_ok_and(|name| name.trim() == "sleep"))
        })?;
        place.disk = Some(holder);
        Ok(Some(place))
    }

    /// Where the files of an engine are: on its disk, if it has one.
    pub fn files(&self) -> PathBuf {
        if self.disk.is_some() { self.path.join(DISK) } else { self.path.clone() }
    }

    /// Leaves no room on the disk.
    ///
    /// # Errors
    /// If there is no disk, or it fails otherwise.
    pub fn fill_disk(&self) -> Result<()> {
        let mut ballast = File::create(self.ballast()?)?;
        loop {
            match ballast.write(&BALLAST) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error).context("the disk cannot be filled"),
            }
        }
    }

    /// Makes room on it again.
    ///
    /// # Errors
    /// If it was not filled.
    pub fn clear_disk(&self) -> Result<()> {
        std::fs::remove_file(self.ballast()?).context("there is no ballast on the disk")
    }

    /// As seen from outside of its namespace.
    fn ballast(&self) -> Result<PathBuf> {
        let holder = self.disk.as_ref().context("the place has no disk of its own")?;
        let inside = self.files().join("ballast");
        let inside = inside.strip_prefix("/").context("the place has no whole path")?;
        Ok(Path::new(&format!("/proc/{}/root", holder.pid())).join(inside))
    }

    /// The folder `path`, made empty, which stays. What is started in it goes on when this process
    /// has ended, once it is [released](crate::Process::release).
    pub fn kept(path: &Path) -> Result<Self> {
        let shown = path.display();
        if path.exists() {
            std::fs::remove_dir_all(path).with_context(|| format!("{shown} cannot be emptied"))?;
        }
        std::fs::create_dir_all(path).with_context(|| format!("{shown} cannot be made"))?;
        Ok(Self { path: path.canonicalize()?, disk: None, temporary: None })
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
        let mut command = match &self.disk {
            Some(holder) => {
                let mut command = Command::new("/usr/bin/nsenter");
                command.arg(format!("--mount=/proc/{}/ns/mnt", holder.pid())).args(["--", SETPRIV]);
                command
            }
            None => Command::new(SETPRIV),
        };
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
