//! The tours of the README, run as they are pasted, line by line.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use support::{Home, text};
use ticketd_engines::etcd::{self, Cluster};
use ticketd_engines::{Place, free_ports, skipped_without};

/// What stands before what a line shows.
const SHOWS: &str = "# -> ";

#[test]
fn the_tour_shows_what_it_says() {
    let ports = on_free_ports(["7117", "7118"]);
    let [(_, resp), (_, http)] = &ports;
    let settings = format!(
        "export TICKETD_RESP=127.0.0.1:{resp} TICKETD_HTTP=127.0.0.1:{http} \
         TICKETD_SERVER=127.0.0.1:{http}\n"
    );
    assert!(shows_what_it_says("## A tour", &settings, &ports) > 10, "the tour shows something");
}

#[test]
fn the_tour_of_several_servers_shows_what_it_says() {
    if skipped_without("etcd", etcd::installed().is_some()) {
        return;
    }
    // In place of what the first line and the last start and stop.
    let cluster = Cluster::start(Place::temporary().unwrap(), 3, &[]).unwrap();
    let settings = format!("TICKETD_TEST_ETCD={}\n", cluster.url());
    let ports = on_free_ports(["7121", "7122", "7123", "7221", "7222", "7223"]);
    let shown = shows_what_it_says("## Several servers", &settings, &ports);
    assert!(shown > 4, "the tour shows something");
}

/// Runs the tour below `heading` with other ports; returns how many lines showed what they say.
fn shows_what_it_says(heading: &str, settings: &str, ports: &[(String, u16)]) -> usize {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let tour = readme.split(heading).nth(1).unwrap();
    let tour = tour.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let home = Home::new();
    let script = home.write("tour.sh", &script(tour, settings, ports));
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
        assert_eq!(shown, expected, "{line}\n{out}{err}");
        checked += 1;
    }
    checked
}

/// Stands before each line of the tour in the output.
const MARK: &str = "@@ ";

/// The tour as a script that says each line before it runs it, on free ports, with the binary
/// under test in place of the release build.
fn script(tour: &str, settings: &str, ports: &[(String, u16)]) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_ticketd")).parent().unwrap();
    let mut script = format!(
        "set -u\nPATH=\"{}:$PATH\"\n{settings}\
         trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n",
        text(binary)
    );
    for line in tour.lines().filter(|line| !line.contains("cargo ")) {
        let mut here = line.to_owned();
        for (port, free) in ports {
            here = here.replace(port.as_str(), &free.to_string());
        }
        script.push_str(&format!("cat <<'LINE'\n{MARK}{line}\nLINE\n{here}\n"));
    }
    script.push_str("wait\n");
    script
}

/// A free port in place of each of the tour's, which no outgoing connection takes meanwhile.
fn on_free_ports<const N: usize>(ports: [&str; N]) -> [(String, u16); N] {
    let free: [u16; N] = free_ports().unwrap();
    std::array::from_fn(|n| (ports[n].to_owned(), free[n]))
}
