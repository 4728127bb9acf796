//! A server under pressure: thousands of idle clients, a full disk, a data directory that goes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use support::resp::Reply;
use support::{Home, Server, text};

#[test]
fn ten_thousand_idle_clients_disturb_nobody() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let home = Home::new();
    let server = home.serve(&[]);
    let idle: Vec<TcpStream> =
        (0..10_000).map(|_| TcpStream::connect(server.resp_addr).unwrap()).collect();
    let mut resp = server.resp();
    for id in 1..=1000 {
        assert_eq!(resp.incr("notes"), id);
    }
    let resident = resident_mib(&server);
    assert!(resident < 500, "{} idle clients cost {resident} MiB", idle.len());
    let (status, _) = server.terminate();
    assert!(status.success(), "idle clients do not hold up a stop");
}

fn resident_mib(server: &Server) -> u64 {
    let pid = server.pid().as_raw_nonzero();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// A server whose data directory is a disk of a few megabytes, and that disk.
fn serve_on_small_disk(home: &Home) -> (Server, PathBuf) {
    let args = ["--block-len", "1000", "--request-timeout", "300ms"];
    let server = Server::start(&mut home.serve_command_on_tmpfs("size=8m", &args));
    let disk = server.root().join(home.data_dir().strip_prefix("/").unwrap());
    (server, disk)
}

/// Fills the disk that `dir` is on to the last byte.
fn fill(dir: &Path) -> PathBuf {
    let filler = dir.join("filler");
    let bytes = vec![0x5a; 64 * 1024 * 1024];
    // It ends in "no space left", which is what is wanted.
    drop(std::fs::write(&filler, bytes));
    filler
}

#[test]
fn a_full_disk_stops_new_blocks_and_mends_itself() {
    let home = Home::new();
    let (server, disk) = serve_on_small_disk(&home);
    let mut resp = server.resp();
    let mut last = 0;
    for _ in 0..10 {
        last = resp.incr("notes");
    }
    let filler = fill(&disk);
    let mut refused = None;
    for _ in 0..200_000 {
        match resp.command(&["INCR", "notes"]) {
            Reply::Int(id) => {
                assert!(id > last, "{id} after {last}");
                last = id;
            }
            Reply::Error(message) => {
                refused = Some(message);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    // Overwriting in place may need no room at all; creating sequences needs some in the end.
    for n in 0..2000 {
        if refused.is_some() {
            break;
        }
        if let Reply::Error(message) = resp.command(&["INCR", &format!("new{n}")]) {
            refused = Some(message);
        }
    }
    let refused = refused.expect("a full disk must be noticed in the end");
    assert!(refused.starts_with("UNAVAILABLE "), "{refused}");
    std::fs::remove_file(filler).unwrap();
    let mut recovered = None;
    for _ in 0..100 {
        if let Reply::Int(id) = resp.command(&["INCRBY", "notes", "5000"]) {
            recovered = Some(id);
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    assert!(recovered.expect("it mends itself when there is room") >= last + 5000);
}

#[test]
fn a_data_directory_deleted_under_the_server_stops_the_sequence() {
    let home = Home::new();
    let server = home.serve(&["--block-len", "10"]);
    let mut resp = server.resp();
    assert_eq!(resp.incr("notes"), 1);
    std::fs::remove_dir_all(home.data_dir()).unwrap();
    let mut seen = 1;
    let message = loop {
        match resp.command(&["INCR", "notes"]) {
            Reply::Int(id) => {
                assert!(id > seen && id <= 40, "what was reserved may still be issued, not {id}");
                seen = id;
            }
            Reply::Error(message) => break message,
            other => panic!("{other:?}"),
        }
    };
    assert!(message.starts_with("CORRUPT "), "{message}");
    assert!(message.contains("deleted"), "{message}");
    let ready = Command::new("curl")
        .args(["-sS", "-o", text(&home.path("answer")), "-w", "%{http_code}"])
        .arg(format!("http://{}/readyz", server.http_addr))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&ready.stdout), "503");
}
