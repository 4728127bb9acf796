//! `kill -9` at random moments, with every answered ID written down by the clients that got it.
//!
//! `TICKETD_KILLS=300 cargo test --release --test kill` for a long run.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use support::resp::{Reply, Resp};
use support::{Home, Server};

const CLIENTS: u64 = 4;

/// Commands that each client has under way at once.
const PIPELINE: u64 = 16;

/// IDs that one `INCRBY` of the load asks for.
const RANGE: u64 = 7;

/// The most IDs that may be answered and lost on the way when the server dies: what all clients
/// have asked for and not read.
const UNREAD_MAX: u64 = CLIENTS * PIPELINE * RANGE;

/// A block length, and the most IDs that a server with it may hold: the block being spent and the
/// next one. For those who wait it reserves what they want on top, which is [`UNREAD_MAX`] at most.
const SETTINGS: [(&[&str], u64); 4] = [
    (&["--block-len", "1"], 0),
    (&["--block-len", "50"], 100),
    (&["--block-len-max", "2000"], 4000),
    (&[], 2_000_000),
];

#[test]
fn no_id_comes_twice_however_often_the_server_is_killed() {
    let rounds = std::env::var("TICKETD_KILLS").map_or(32, |n| n.parse().unwrap());
    let home = Home::new();
    let (mut last, mut answered, mut burnt, mut held_max) = (0, 0, 0, 0);
    for round in 0..rounds {
        let (args, holds) = SETTINGS[round % SETTINGS.len()];
        let server = home.serve(args);
        let first = server.resp().incr("notes");
        assert!(first > last, "round {round}: {first} after {last} had been answered");
        // What lies between was held, as the server itself says, or answered and never read.
        let crash = burnt_by_crash(&server);
        assert!(crash <= held_max + UNREAD_MAX, "round {round}: {crash} were held");
        let gap = first - last - 1;
        assert!(gap <= crash + UNREAD_MAX, "round {round}: {gap} missing, {crash} accounted for");
        let ids = load_until_killed(server, first);
        last = *ids.last().unwrap();
        let missing = last - first + 1 - ids.len() as u64;
        assert!(missing <= UNREAD_MAX, "round {round}: {missing} missing without a reason");
        answered += ids.len();
        burnt += crash;
        held_max = holds;
    }
    println!("{rounds} kills, {answered} IDs answered, 0 twice, at most {burnt} burnt");
}

/// How many IDs the server says that the one before it may have burnt.
fn burnt_by_crash(server: &Server) -> u64 {
    let shown = server.run(&["sequence", "show", "notes", "--json"]).ok();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    shown["burnt"]["crash"].as_str().unwrap().parse().unwrap()
}

/// Loads `server` from several connections, kills it at a random moment, and returns every ID that
/// was answered, `first` included, in order and each once.
fn load_until_killed(server: Server, first: u64) -> Vec<u64> {
    let clients: Vec<_> = (0..CLIENTS).map(|_| start_client(server.resp_addr)).collect();
    thread::sleep(Duration::from_millis(5 + RandomState::new().hash_one(server.pid()) % 120));
    server.kill9();
    let mut ids = vec![first];
    ids.extend(clients.into_iter().flat_map(|client| client.join().unwrap()));
    ids.sort_unstable();
    assert!(ids.is_sorted_by(|a, b| a < b), "an ID was answered twice");
    assert_eq!(ids[0], first, "an ID came after a larger one had been answered");
    ids
}

/// A client that asks for IDs until nobody answers any more.
fn start_client(addr: SocketAddr) -> JoinHandle<Vec<u64>> {
    thread::spawn(move || {
        let mut ids = Vec::new();
        // An error is the end of the server; what was read before it was answered.
        drop(ask_for_ever(addr, &mut ids));
        assert!(ids.is_sorted_by(|a, b| a < b), "on one connection IDs rise");
        ids
    })
}

fn ask_for_ever(addr: SocketAddr, ids: &mut Vec<u64>) -> std::io::Result<()> {
    let mut resp = Resp::try_connect(addr)?;
    loop {
        for n in 0..PIPELINE {
            match n % 8 {
                7 => resp.send(&["INCRBY", "notes", &RANGE.to_string()])?,
                _ => resp.send(&["INCR", "notes"])?,
            }
        }
        for n in 0..PIPELINE {
            let Reply::Int(last) = resp.receive()? else { panic!("the load asks nothing bad") };
            ids.extend(if n % 8 == 7 { last + 1 - RANGE..=last } else { last..=last });
        }
    }
}

#[test]
fn a_clean_stop_between_kills_leaves_no_gap_of_its_own() {
    let home = Home::new();
    let server = home.serve(&[]);
    let mut resp = server.resp();
    assert_eq!(resp.incr("notes"), 1);
    server.kill9();
    let server = home.serve(&[]);
    let after_kill = server.resp().incr("notes");
    assert!(after_kill > 1);
    let (status, _) = server.terminate();
    assert!(status.success());
    let server = home.serve(&[]);
    assert_eq!(server.resp().incr("notes"), after_kill + 1, "a clean start goes on");
}

#[test]
fn with_a_block_length_of_one_a_kill_burns_nothing_that_was_not_asked_for() {
    let home = Home::new();
    for n in 0..5 {
        let server = home.serve(&["--block-len", "1"]);
        let mut resp = server.resp();
        for id in 1..=20 {
            assert_eq!(resp.incr("invoices"), n * 20 + id);
        }
        server.kill9();
    }
}
