//! Resizing a stride sequence with real processes, under load.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use support::resp::{Reply, Resp};
use support::{Home, Server, run};
use ticketd_server::clock::Clock;

/// How long a member that is up may not answer, as promised.
const PAUSE_MAX_US: u64 = 1_000_000;

/// A server in front of a member that cuts the first connection which carries a certain word.
struct Cutter {
    addr: SocketAddr,
    has_cut: Arc<AtomicBool>,
}

impl Cutter {
    fn start(upstream: SocketAddr, word: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let has_cut = Arc::new(AtomicBool::new(false));
        let cut = Arc::clone(&has_cut);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, cut) = (client.unwrap(), Arc::clone(&cut));
                thread::spawn(move || forward(client, upstream, word, &cut));
            }
        });
        Self { addr, has_cut }
    }

    fn has_cut(&self) -> bool {
        self.has_cut.load(Ordering::SeqCst)
    }
}

fn forward(mut client: TcpStream, upstream: SocketAddr, word: &str, cut: &AtomicBool) {
    let Ok(mut server) = TcpStream::connect(upstream) else { return };
    let (mut answers, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || drop(std::io::copy(&mut answers, &mut back)));
    let (mut seen, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(len @ 1..) = client.read(&mut piece) {
        seen.extend_from_slice(&piece[..len]);
        let is_due = String::from_utf8_lossy(&seen).contains(word);
        if is_due && !cut.swap(true, Ordering::SeqCst) {
            drop(client.shutdown(Shutdown::Both));
            break;
        }
        if server.write_all(&piece[..len]).is_err() {
            break;
        }
    }
    drop(server.shutdown(Shutdown::Both));
}

/// What an agent has seen.
struct Drawn {
    ids: Vec<u64>,
    longest_pause_us: u64,
}

/// Draws IDs from the server at `addr` until `stop`, also when it is away for a while.
fn draw(addr: SocketAddr, stop: Arc<AtomicBool>) -> JoinHandle<Drawn> {
    thread::spawn(move || {
        let clock = Clock::start();
        let mut drawn = Drawn { ids: Vec::new(), longest_pause_us: 0 };
        let (mut resp, mut answered): (Option<Resp>, _) = (None, clock.now());
        while !stop.load(Ordering::SeqCst) {
            let Some(open) = resp.as_mut() else {
                resp = Resp::try_connect(addr).ok();
                thread::sleep(Duration::from_millis(1));
                continue;
            };
            let ask = open.send(&["NEXT", "s", "COUNT", "7"]).and_then(|()| open.receive());
            match ask {
                Ok(Reply::Array(ids)) => drawn.ids.extend(ids.iter().map(|id| match id {
                    Reply::Int(id) => *id,
                    other => panic!("{other:?} is no ID"),
                })),
                // Neither does a resize make a member refuse.
                Ok(other) => panic!("{addr} answered {other:?}"),
                Err(_) => {
                    resp = None;
                    continue;
                }
            }
            let now = clock.now();
            drawn.longest_pause_us = drawn.longest_pause_us.max(now.micros_since(answered));
            answered = now;
        }
        drawn
    })
}

fn member(home: &Home, offset: usize) -> Server {
    let server = home.serve(&[]);
    let offset = offset.to_string();
    let create = ["sequence", "create", "s", "--kind", "stride", "--members", "3", "--offset"];
    server.run(&[&create[..], &[&offset]].concat()).ok();
    server
}

fn resize(members: &[String], more: &[&str]) -> support::Ran {
    let members = members.join(",");
    run(&[&["stride", "resize", "s", "--members", &members], more].concat())
}

#[test]
fn three_become_five_under_load_while_one_is_killed() {
    let homes: Vec<Home> = (0..5).map(|_| Home::new()).collect();
    let mut servers: Vec<Server> = (0..3).map(|at| member(&homes[at], at + 1)).collect();
    servers.extend(homes[3..].iter().map(|home| home.serve(&[])));
    let stop = Arc::new(AtomicBool::new(false));
    let agent = |server: &Server| draw(server.resp_addr, Arc::clone(&stop));
    let mut agents: Vec<_> = servers[..3].iter().map(agent).collect();
    // What a server pauses that takes no part is the machine's doing.
    let bystander_home = Home::new();
    let bystander = member(&bystander_home, 1);
    let noise = agent(&bystander);
    thread::sleep(Duration::from_millis(200));

    // The second member hears of the plan, and dies before it hears that it opens.
    let cutter = Cutter::start(servers[1].http_addr, "\"open\"");
    let mut members: Vec<String> = servers.iter().map(Server::http).collect();
    members[1] = cutter.addr.to_string();
    let planned = resize(&members, &["--dry-run"]).ok();
    assert!(
        planned.contains("3 of 3 -> 3 of 5") && planned.contains("joins -> 5 of 5"),
        "{planned}"
    );
    let refused = resize(&members, &[]).refused(1);
    assert!(cutter.has_cut() && refused.contains("run the command again"), "{refused}");
    let dead = servers.remove(1);
    let (resp, http) = (dead.resp_addr.to_string(), dead.http_addr.to_string());
    dead.kill9();
    let refused = resize(&members, &[]).refused(1);
    assert!(refused.contains("does not answer"), "{refused}");
    thread::sleep(Duration::from_millis(300));
    servers.insert(1, homes[1].serve(&["--resp", &resp, "--http", &http]));
    resize(&members, &[]).ok();
    assert!(resize(&members, &[]).ok().contains("done"));

    agents.extend(servers[3..].iter().map(agent));
    thread::sleep(Duration::from_millis(300));
    stop.store(true, Ordering::SeqCst);
    let noise_us = noise.join().unwrap().longest_pause_us;
    let drawn: Vec<Drawn> = agents.into_iter().map(|agent| agent.join().unwrap()).collect();
    let mut all = HashSet::new();
    for (at, drawn) in drawn.iter().enumerate() {
        let pause_us = drawn.longest_pause_us;
        println!("member {}: {} IDs, {pause_us} us, noise {noise_us} us", at + 1, drawn.ids.len());
        assert!(!drawn.ids.is_empty());
        assert!(drawn.ids.is_sorted_by(|a, b| a < b), "member {} goes back", at + 1);
        assert!(drawn.ids.iter().all(|id| all.insert(*id)), "member {}: twice", at + 1);
        assert!(at == 1 || pause_us < PAUSE_MAX_US + noise_us, "member {} paused", at + 1);
    }
    // All count in the new generation.
    let last: HashSet<u64> = drawn.iter().map(|drawn| drawn.ids.last().unwrap() % 5).collect();
    assert_eq!(last.len(), 5);
    for server in &servers {
        let shown = server.run(&["sequence", "show", "s"]).ok();
        assert!(shown.contains("members           5"), "{shown}");
    }
}

#[test]
fn five_become_two_and_those_who_left_say_so() {
    let homes: Vec<Home> = (0..3).map(|_| Home::new()).collect();
    let servers: Vec<Server> = (0..3).map(|at| member(&homes[at], at + 1)).collect();
    let all: Vec<String> = servers.iter().map(Server::http).collect();
    resize(&all[..1], &["--leaving", &all[1..].join(","), "--headroom", "10"]).ok();
    let refused = servers[2].run(&["next", "s"]).refused(1);
    assert!(refused.contains("this member has left"), "{refused}");
    let mut ids = HashSet::new();
    for id in servers[0].run(&["next", "s", "--count", "100"]).ok().lines() {
        assert!(id.parse::<u64>().unwrap() > 3 && ids.insert(id.to_owned()));
    }
    // They may come again.
    resize(&all, &[]).ok();
    for server in &servers {
        for id in server.run(&["next", "s", "--count", "100"]).ok().lines() {
            assert!(ids.insert(id.to_owned()), "{id} comes twice");
        }
    }
}

#[test]
fn a_resize_that_cannot_go_on_says_why_and_changes_nothing() {
    let homes: Vec<Home> = (0..4).map(|_| Home::new()).collect();
    let servers: Vec<Server> = (0..3).map(|at| member(&homes[at], at + 1)).collect();
    let http: Vec<String> = servers.iter().map(Server::http).collect();
    let told = resize(&http[..2], &[]).refused(1);
    assert!(told.contains("the member with offset 3 of 3 is missing"), "{told}");
    let twin = homes[3].serve(&[]);
    let create = ["sequence", "create", "s", "--kind", "stride", "--members", "3", "--offset", "3"];
    twin.run(&create).ok();
    let told = resize(&[&http[..], &[twin.http()]].concat(), &[]).refused(1);
    assert!(told.contains("have the same offset"), "{told}");
    let told = resize(&[http[0].clone(), http[0].clone()], &[]).refused(2);
    assert!(told.contains("name each member once"), "{told}");
    let told = resize(&["127.0.0.1:1".to_owned()], &[]).refused(1);
    assert!(told.contains("does not answer"), "{told}");
    assert!(resize(&http, &[]).ok().contains("done"));
    twin.run(&["sequence", "create", "t"]).ok();
    let told = run(&["stride", "resize", "t", "--members", &twin.http()]).refused(1);
    assert!(told.contains("no stride sequence"), "{told}");
}

#[test]
fn a_member_from_another_generation_is_named() {
    let homes: Vec<Home> = (0..4).map(|_| Home::new()).collect();
    let servers: Vec<Server> = (0..3).map(|at| member(&homes[at], at + 1)).collect();
    let http: Vec<String> = servers.iter().map(Server::http).collect();
    let swapped = [http[1].clone(), http[0].clone(), http[2].clone()];
    resize(&swapped, &[]).ok();
    // It was set up as the third of three, as long ago, and has not heard of the second generation.
    let late = member(&homes[3], 3);
    let told = resize(&[http[0].clone(), http[1].clone(), late.http()], &[]).refused(1);
    assert!(told.contains("are in different generations"), "{told}");
    assert!(told.contains(&late.http()), "{told}");
    assert_eq!(late.run(&["next", "s"]).ok(), "3\n", "nothing has changed");
}

#[test]
fn a_resize_that_not_all_have_accepted_can_be_abandoned() {
    let homes: Vec<Home> = (0..3).map(|_| Home::new()).collect();
    let servers: Vec<Server> = (0..3).map(|at| member(&homes[at], at + 1)).collect();
    let cutter = Cutter::start(servers[2].http_addr, "\"accept\"");
    let mut members: Vec<String> = servers.iter().map(Server::http).collect();
    members[2] = cutter.addr.to_string();
    let leaving = ["--leaving", &members[2]];
    resize(&members[..2], &leaving).refused(1);
    let raise = servers[0].run(&["sequence", "raise", "s", "--to", "50"]).refused(1);
    assert!(raise.contains("a resize is under way"), "{raise}");
    let other = resize(&[members[1].clone(), members[0].clone()], &leaving).refused(1);
    assert!(other.contains("has accepted another resize"), "{other}");
    resize(&members[..2], &[&leaving[..], &["--abandon"]].concat()).ok();
    servers[0].run(&["sequence", "raise", "s", "--to", "50"]).ok();
    // What was refused is not taken up again: it is another attempt.
    resize(&[members[1].clone(), members[0].clone()], &leaving).ok();
    let told = resize(&members[..2], &[&leaving[..], &["--abandon"]].concat()).ok();
    assert!(told.contains("no resize is under way"), "{told}");
}
