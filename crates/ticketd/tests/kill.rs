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

/// A block length and the most IDs that a server with it may hold, by its own account: the block
/// being spent, and the next one; for those who wait it reserves what they want on top.
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
    let mut answered: Vec<u64> = Vec::new();
    let mut gap_budget = 0;
    for round in 0..rounds {
        let (args, held_max) = SETTINGS[round % SETTINGS.len()];
        let server = home.serve(args);
        let new = load_until_killed(server);
        let before = answered.last().copied().unwrap_or(0);
        if let Some(first) = new.first() {
            assert!(*first > before, "round {round}: {first} after {before} had been answered");
        }
        answered.extend(new);
        gap_budget += held_max + UNREAD_MAX + CLIENTS * PIPELINE * RANGE;
    }
    let last = *answered.last().expect("the load got IDs");
    assert!(answered.is_sorted_by(|a, b| a < b), "an ID was answered twice");
    let gaps = last - answered.len() as u64;
    assert!(gaps <= gap_budget, "{gaps} IDs are missing, at most {gap_budget} may have been held");
    println!("{rounds} kills, {} IDs answered, 0 duplicates, {gaps} missing", answered.len());
}

/// Loads `server` from several connections, kills it at a random moment, and returns every ID that
/// was answered, in order.
fn load_until_killed(server: Server) -> Vec<u64> {
    let clients: Vec<_> = (0..CLIENTS).map(|_| start_client(server.resp_addr)).collect();
    thread::sleep(Duration::from_millis(5 + RandomState::new().hash_one(server.pid()) % 120));
    server.kill9();
    let mut ids: Vec<u64> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    ids.sort_unstable();
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
