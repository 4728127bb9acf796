//! Servers as processes of their own: this binary, each with a data directory and free ports. They
//! are killed when they are dropped.

use std::io::{self, BufRead, BufReader, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use ticketd_core::definition::KindName;
use ticketd_core::name::Name;
use ticketd_sim::compare::Servers;

use crate::client::Place;

/// How many IDs, counted over all members, may be issued while a resize is under way. The agents
/// draw a few thousand a second, and a resize takes less than a second.
pub const HEADROOM: u64 = 100_000;

/// Any free port of loopback.
const FREE: &str = "127.0.0.1:0";

/// Running servers.
pub struct Members {
    /// Removed after the servers are killed: fields are dropped in this order.
    members: Vec<Member>,
    _home: TempDir,
}

struct Member {
    dir: PathBuf,
    child: Child,
    resp: SocketAddr,
    http: SocketAddr,
}

impl Members {
    /// Starts so many servers, without a sequence.
    pub fn start(count: usize) -> io::Result<Self> {
        let home = TempDir::with_prefix("ticketd-compare-")?;
        let start = |index: usize| Member::start(home.path().join(index.to_string()), FREE);
        let members = (0..count).map(start).collect::<io::Result<_>>()?;
        Ok(Self { members, _home: home })
    }

    /// Makes the sequence `name` on the first `members` of them, each in its seat.
    pub fn create(&self, name: &Name, kind: KindName, members: usize) -> io::Result<()> {
        for (index, member) in self.members.iter().take(members).enumerate() {
            let definition = match kind {
                KindName::Stride => {
                    json!({ "kind": "stride", "members": members, "offset": index + 1 })
                }
                _ => json!({ "kind": kind.as_str() }),
            };
            member.create(name, &definition)?;
        }
        Ok(())
    }

    /// Where they serve RESP.
    pub fn resp_addrs(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.resp).collect()
    }

    /// Makes all of them members of the stride sequence `name`, by the command that an operator
    /// would use.
    pub fn resize(&self, name: &Name) -> io::Result<()> {
        let addrs: Vec<String> =
            self.members.iter().map(|member| member.http.to_string()).collect();
        let mut command = this_binary()?;
        command.args(["stride", "resize", name.as_str(), "--members", &addrs.join(",")]);
        command.args(["--headroom", &HEADROOM.to_string()]);
        let ran = command.stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
        if ran.status.success() {
            return Ok(());
        }
        Err(io::Error::other(String::from_utf8_lossy(&ran.stderr).trim().to_owned()))
    }
}

impl Servers for Members {
    fn addrs(&self) -> Vec<SocketAddr> {
        self.resp_addrs()
    }

    /// SIGKILL: nothing of it is left but what is durable.
    fn kill(&mut self, server: usize) -> io::Result<()> {
        self.members[server].kill()
    }

    fn revive(&mut self, server: usize) -> io::Result<()> {
        let Member { dir, resp, .. } = &self.members[server];
        self.members[server] = Member::start(dir.clone(), &resp.to_string())?;
        Ok(())
    }
}

impl Member {
    fn start(dir: PathBuf, resp: &str) -> io::Result<Self> {
        let mut command = this_binary()?;
        command.args(["serve", "--log", "error", "--resp", resp, "--http", FREE]);
        command.arg("--data-dir").arg(&dir).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        match ready(&mut child) {
            Ok((resp, http)) => Ok(Self { dir, child, resp, http }),
            Err(error) => {
                // It may have ended by itself.
                drop(child.kill());
                drop(child.wait());
                Err(error)
            }
        }
    }

    fn create(&self, name: &Name, definition: &Value) -> io::Result<()> {
        let place = Place::find(&self.http.to_string()).map_err(io::Error::other)?;
        let mut client = place.connect().map_err(io::Error::other)?;
        client.create(name, definition).map_err(io::Error::other)?;
        Ok(())
    }

    fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // One that is dead already cannot be killed.
        drop(self.kill());
    }
}

/// This binary, with none of the user's settings.
fn this_binary() -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TICKETD_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    Ok(command)
}

/// Waits for the line `ticketd ready resp=ADDR http=ADDR`.
fn ready(child: &mut Child) -> io::Result<(SocketAddr, SocketAddr)> {
    let stdout = child.stdout.take().ok_or(ErrorKind::BrokenPipe)?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    addresses(&line).ok_or_else(|| {
        io::Error::other("a server did not start; 'ticketd serve' by hand tells why")
    })
}

fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let (resp, http) = line.trim_end().strip_prefix("ticketd ready resp=")?.split_once(" http=")?;
    Some((resp.parse().ok()?, http.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_read_whole_or_not_at_all() {
        let line = "ticketd ready resp=127.0.0.1:1 http=127.0.0.1:2\n";
        let (resp, http) = addresses(line).unwrap();
        assert_eq!((resp.port(), http.port()), (1, 2));
        assert_eq!(addresses("ticketd ready resp=127.0.0.1:1"), None);
        assert_eq!(addresses(""), None);
    }
}
