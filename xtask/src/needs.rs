//! Programs that the tests use and that cargo does not bring: real clients and peers.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A program, how to see whether it is there, and the Debian package that brings it.
struct Need {
    check: &'static [&'static str],
    package: &'static str,
}

const NEEDS: [Need; 9] = [
    Need { check: &["redis-server", "--version"], package: "redis-server" },
    Need { check: &["redis-benchmark", "--version"], package: "redis-tools" },
    Need { check: &["curl", "--version"], package: "curl" },
    Need { check: &["/usr/bin/python3", "-c", "import redis"], package: "python3-redis" },
    Need { check: &["etcd", "--version"], package: "etcd-server" },
    Need { check: &["etcdctl", "version"], package: "etcd-client" },
    Need { check: &["faketime", "--version"], package: "faketime" },
    // Its servers are where no PATH looks, in a folder for each release.
    Need { check: &["sh", "-c", "ls /usr/lib/postgresql/*/bin/postgres"], package: "postgresql" },
    Need { check: &["/usr/sbin/mariadbd", "--version"], package: "mariadb-server" },
];

/// Makes sure that all programs are there, installing what is missing if this is root on Debian.
pub fn provide() -> Result<()> {
    let missing: Vec<&str> =
        NEEDS.iter().filter(|need| !works(need.check)).map(|need| need.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() || !works(&["apt-get", "--version"]) {
        bail!("missing programs; install them with: apt-get install {}", missing.join(" "));
    }
    println!("installing {}", missing.join(" "));
    apt_get(&["update"])?;
    // The servers that packages bring are started by the tests themselves, on free ports.
    apt_get(&[&["install", "--yes", "--no-install-recommends"], missing.as_slice()].concat())?;
    if let Some(need) = NEEDS.iter().find(|need| !works(need.check)) {
        bail!("{} is installed, but {:?} does not work", need.package, need.check);
    }
    Ok(())
}

fn works(command: &[&str]) -> bool {
    let (program, args) = command.split_first().expect("a check names a program");
    let status =
        Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n")
}

fn apt_get(args: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .args(["-qq"])
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Keeps packages from starting their servers.
        .env("RUNLEVEL", "1")
        .stdout(Stdio::null())
        .status()
        .context("apt-get could not be started")?;
    if !status.success() {
        bail!("apt-get {} failed", args.join(" "));
    }
    Ok(())
}
