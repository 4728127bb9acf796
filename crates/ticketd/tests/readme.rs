//! The tour of the README, run as it is pasted, line by line.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use support::{Home, text};

/// What stands before what a line shows.
const SHOWS: &str = "# -> ";

#[test]
fn the_tour_shows_what_it_says() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let tour = readme.split("## A tour").nth(1).unwrap();
    let tour = tour.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let home = Home::new();
    let script = home.write("tour.sh", &script(tour));
    let ran = Command::new("bash")
        .arg(script)
        .current_dir(home.path("."))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let out = String::from_utf8(ran.stdout).unwrap();
    let err = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{out}{err}");
    let mut checked = 0;
    for line in tour.lines().filter(|line| line.contains(SHOWS)) {
        let expected = line.split(SHOWS).nth(1).unwrap();
        let shown = out.split(&format!("{MARK}{line}\n")).nth(1).unwrap();
        let shown = shown.split(MARK).next().unwrap().split_whitespace();
        let shown = shown.collect::<Vec<_>>().join(" ");
        assert_eq!(shown, expected, "{line}\n{err}");
        checked += 1;
    }
    assert!(checked > 10, "the tour shows something");
}

/// Stands before each line of the tour in the output.
const MARK: &str = "@@ ";

/// The tour as a script that says each line before it runs it, on free ports, with the binary
/// under test in place of the release build.
fn script(tour: &str) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_ticketd")).parent().unwrap();
    let (resp, http) = (free_port(), free_port());
    let mut script = format!(
        "set -u\nPATH=\"{}:$PATH\"\nexport TICKETD_RESP=127.0.0.1:{resp} \
         TICKETD_HTTP=127.0.0.1:{http} TICKETD_SERVER=127.0.0.1:{http}\n\
         trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n",
        text(binary)
    );
    for line in tour.lines().filter(|line| !line.starts_with("cargo build")) {
        let line_here = line.replace("7117", &resp.to_string()).replace("7118", &http.to_string());
        script.push_str(&format!("cat <<'LINE'\n{MARK}{line}\nLINE\n{line_here}\n"));
    }
    script.push_str("wait\n");
    script
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
