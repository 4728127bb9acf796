//! Moving to another store, with real engines and real servers in between.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::thread;
use std::time::Duration;

use support::resp::Reply;
use support::{Home, Ran, Server, run, text};
use ticketd_engines::{Place, etcd, mariadb, postgres, skipped_without};

/// As short as it may be, so that little time is spent on servers that died.
const LEASE: [&str; 2] = ["--lease", "1s"];

/// Sequences of all kinds, and of what else can be chosen.
const CHOSEN: [(&str, &[&str]); 8] = [
    ("notes", &[]),
    ("single", &["--block-len", "1"]),
    ("loose", &["--order", "loose"]),
    ("orders", &["--kind", "stride", "--members", "5", "--offset", "3"]),
    ("events", &["--kind", "snowflake", "--layout", "twitter"]),
    ("u4", &["--kind", "uuid4"]),
    ("u7", &["--kind", "uuid7"]),
    ("ulid", &["--kind", "ulid"]),
];

fn copy(from: &str, to: &str, more: &[&str]) -> Ran {
    run(&[&["store", "copy", "--from", from, "--to", to], more].concat())
}

fn embedded(home: &Home) -> String {
    format!("embedded:{}", text(&home.data_dir()))
}

/// Calls `with` on the command that serves `url`, with a data directory of its own.
fn with_command<T>(url: &str, with: impl FnOnce(&mut Command) -> T) -> T {
    let home = Home::new();
    let mut command = match url.strip_prefix("embedded:") {
        Some(dir) => {
            let mut command = support::ticketd(&["serve", "--data-dir", dir]);
            command.args(["--resp", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
            command
        }
        None => home.serve_command(&[&["--store", url], &LEASE[..]].concat()),
    };
    with(command.args(["--log", "error"]))
}

fn serve(url: &str) -> Server {
    with_command(url, Server::start)
}

/// How a server over `url` ends that does not start.
fn does_not_start(url: &str) -> String {
    with_command(url, |command| Ran::from(command.output().unwrap()).refused(3))
}

/// Everything that was ever issued.
#[derive(Default)]
struct Issued(BTreeMap<String, Vec<String>>);

impl Issued {
    /// Issues from all sequences of `server`.
    fn issue(&mut self, server: &Server) {
        for (name, _) in CHOSEN {
            let ids = server.run(&["next", name, "--count", "30"]).ok();
            let all = self.0.entry(name.to_owned()).or_default();
            all.extend(ids.lines().map(str::to_owned));
        }
    }

    fn check(&self, rounds: usize) {
        for (name, ids) in &self.0 {
            assert_eq!(ids.len(), 30 * rounds, "{name}");
            assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "twice, of {name}");
            // These count, and one server issued at a time.
            if ["notes", "single", "loose", "orders"].contains(&name.as_str()) {
                let numbers: Vec<u64> = ids.iter().map(|id| id.parse().unwrap()).collect();
                assert!(numbers.is_sorted(), "{name}: {numbers:?}");
                assert!(name != "orders" || numbers.iter().all(|id| id % 5 == 3), "{numbers:?}");
            }
        }
        // A length of 1 and a clean stop, or none: nothing is skipped.
        let last = self.0["single"].last().unwrap();
        assert_eq!(*last, (30 * rounds).to_string());
    }
}

/// An etcd of one member, and a place in it.
fn an_etcd() -> Option<(etcd::Cluster, String)> {
    if skipped_without("etcd", etcd::installed().is_some()) {
        return None;
    }
    let etcd = etcd::Cluster::start(Place::temporary().unwrap(), 1, &[]).unwrap();
    let url = format!("{}/ids", etcd.url());
    Some((etcd, url))
}

#[test]
fn around_all_engines_nothing_comes_twice() {
    if skipped_without("etcd", etcd::installed().is_some())
        || skipped_without("PostgreSQL", postgres::installed().is_some())
        || skipped_without("MariaDB", mariadb::installed().is_some())
    {
        return;
    }
    let etcd = etcd::Cluster::start(Place::temporary().unwrap(), 1, &[]).unwrap();
    let postgres = postgres::Cluster::start(Place::temporary().unwrap(), &[]).unwrap();
    let mariadb = mariadb::Server::start(Place::temporary().unwrap(), &[]).unwrap();
    let (first, last) = (Home::new(), Home::new());
    let urls = [
        embedded(&first),
        format!("{}/ids", etcd.url()),
        postgres.url(),
        mariadb.url(),
        embedded(&last),
        // And back, where all of it has been before.
        mariadb.url(),
    ];
    let server = serve(&urls[0]);
    for (name, chosen) in CHOSEN {
        server.run(&[&["sequence", "create", name], chosen].concat()).ok();
    }
    let mut issued = Issued::default();
    issued.issue(&server);
    server.kill9();
    for (round, pair) in urls.windows(2).enumerate() {
        let [from, to] = pair else { unreachable!("windows of two") };
        let told = copy(from, to, &["--dry-run"]).ok();
        let due = if round == 4 { "raised" } else { "new" };
        assert_eq!(told.matches(due).count(), if round == 4 { 5 } else { 8 }, "{told}");
        let told = copy(from, to, &[]).ok();
        assert!(told.contains("8 sequences are in") && told.contains("is closed"), "{told}");
        assert!(!told.contains("p@ss") && !told.contains("p%40ss"), "{told}");
        let line = does_not_start(from);
        assert!(line.contains("the store was moved"), "{line}");
        let again = copy(from, to, &["--json"]).ok();
        assert_eq!(again.matches("\"unchanged\"").count(), 8, "{again}");

        let server = serve(to);
        issued.issue(&server);
        // As bad as it gets, every other time.
        if round % 2 == 0 { server.kill9() } else { drop(server.terminate()) }
    }
    issued.check(urls.len());
}

#[test]
fn while_a_server_runs_on_either_nothing_is_copied() {
    let Some((_etcd, engine)) = an_etcd() else { return };
    let home = Home::new();
    let here = embedded(&home);
    let server = home.serve(&[]);
    assert_eq!(server.resp().incr("notes"), 1);
    for (from, to) in [(&here, &engine), (&engine, &here)] {
        let line = copy(from, to, &[]).refused(3);
        assert!(line.contains("in use by another ticketd") || line.contains("no store"), "{line}");
    }
    drop(server.terminate());

    let server = serve(&engine);
    assert_eq!(server.resp().incr("tasks"), 1);
    for (from, to) in [(&here, &engine), (&engine, &here)] {
        let line = copy(from, to, &[]).refused(1);
        assert!(line.contains("a server uses it: stop all of them first"), "{line}");
        assert!(line.contains(&server.http()), "{line}");
    }
    assert_eq!(server.resp().incr("tasks"), 2, "it goes on");
    // One that died leaves its lease, which ends.
    server.kill9();
    copy(&here, &engine, &[]).ok();
    let server = serve(&engine);
    assert_eq!(server.resp().incr("notes"), 2);
    assert!(server.resp().incr("tasks") > 2);
}

#[test]
fn a_dry_run_and_a_refusal_write_nothing() {
    if skipped_without("PostgreSQL", postgres::installed().is_some()) {
        return;
    }
    let engine = postgres::Cluster::start(Place::temporary().unwrap(), &[]).unwrap();
    let (home, other, url) = (Home::new(), Home::new(), engine.url());
    let (here, there) = (embedded(&home), embedded(&other));
    let server = home.serve(&[]);
    server.resp().incr("notes");
    server.run(&["sequence", "create", "orders", "--order", "loose"]).ok();
    drop(server.terminate());

    for to in [&url, &there] {
        let told = copy(&here, to, &["--dry-run"]).ok();
        assert!(told.contains("notes   ticket     2   -  new"), "{told}");
    }
    assert!(!other.data_dir().exists());
    let tables = "SELECT count(*) FROM pg_tables WHERE tablename = 'ticketd'";
    assert_eq!(engine.sql(0, tables).unwrap().trim(), "0");
    let line = copy(&url, &there, &[]).refused(3);
    assert!(line.contains("no store to copy from") && !line.contains("p%40ss"), "{line}");

    let server = other.serve(&[]);
    server.run(&["sequence", "create", "orders"]).ok();
    drop(server.terminate());
    for more in [&[][..], &["--dry-run"]] {
        let line = copy(&here, &there, more).refused(1);
        assert!(line.contains("orders is there with order strict, not loose"), "{line}");
    }
    for (from, to, code) in [
        (&here, &here, 2),
        (&"memory:".to_owned(), &here, 3),
        (&here, &"memory:".to_owned(), 3),
        (&here, &"redis://me:s3cret@h".to_owned(), 3),
    ] {
        let line = copy(from, to, &[]).refused(code);
        assert!(!line.contains("s3cret"), "{line}");
    }
    let line = run(&["store", "reopen", "--store", &format!("{here}-none")]).refused(3);
    assert!(line.contains("there is no store at"), "{line}");
    let told = run(&["store", "reopen", "--store", &here]).ok();
    assert!(told.contains("is open already"), "{told}");
    // Both are what they were.
    assert_eq!(home.serve(&[]).resp().incr("notes"), 2);
    let server = other.serve(&[]);
    assert!(!server.run(&["sequence", "list"]).ok().contains("notes"));
}

/// Whether a sequence is there.
fn is_begun(etcd: &etcd::Cluster) -> bool {
    let keys = etcd.etcdctl(&["get", "--prefix", "ids/sequence/", "--keys-only", "--limit", "1"]);
    !keys.unwrap().trim().is_empty()
}

/// Sequences enough that a copy takes a while.
const MANY: usize = 1000;

fn name(at: usize) -> String {
    format!("s{at:04}")
}

fn fill(server: &Server) {
    let mut resp = server.resp();
    for chunk in (0..MANY).collect::<Vec<_>>().chunks(500) {
        chunk.iter().for_each(|at| resp.send(&["INCR", &name(*at)]).unwrap());
        for _ in chunk {
            assert_eq!(resp.receive().unwrap(), Reply::Int(1));
        }
    }
}

#[test]
fn killed_at_any_time_it_leaves_no_store_that_issues_twice_and_goes_on_when_it_is_done_again() {
    let Some((etcd, engine)) = an_etcd() else { return };
    let home = Home::new();
    let here = embedded(&home);
    let server = home.serve(&[]);
    fill(&server);
    server.kill9();
    let mut halves = 0;
    for round in 0..1000 {
        let mut command = support::ticketd(&["store", "copy", "--from", &here, "--to", &engine]);
        let mut child = command.spawn().unwrap();
        // Each time a little later, until it ends before.
        thread::sleep(Duration::from_millis(40 * round));
        drop(child.kill());
        if child.wait().unwrap().success() {
            break;
        }
        if is_begun(&etcd) {
            halves += 1;
            let line = does_not_start(&here);
            if line.contains("the store was moved") {
                // All but the last step was done, or that, too.
                break;
            }
            assert!(line.contains("a copy of the store has not ended"), "{line}");
            let line = does_not_start(&engine);
            assert!(line.contains("the store holds half a copy"), "{line}");
        }
    }
    assert!(halves > 0, "it was never cut off within");
    let told = copy(&here, &engine, &[]).ok();
    assert!(told.contains(&format!("{MANY} sequences are in")), "{told}");
    let server = serve(&engine);
    let mut resp = server.resp();
    for at in (0..MANY).step_by(97) {
        let id = resp.incr(&name(at));
        assert!(id > 1, "{} begins again", name(at));
    }
}

#[test]
fn a_copy_that_is_given_up_leaves_the_old_store_to_go_on() {
    if skipped_without("etcd", etcd::installed().is_some()) {
        return;
    }
    let mut etcd = etcd::Cluster::start(Place::temporary().unwrap(), 1, &[]).unwrap();
    let (home, engine) = (Home::new(), format!("{}/ids", etcd.url()));
    let here = embedded(&home);
    let server = home.serve(&[]);
    fill(&server);
    drop(server.terminate());
    let child =
        support::ticketd(&["store", "copy", "--from", &here, "--to", &engine]).spawn().unwrap();
    while !is_begun(&etcd) {
        thread::sleep(Duration::from_millis(1));
    }
    etcd.members[0].stop().unwrap();
    let line = Ran::from(child.wait_with_output().unwrap()).refused(1);
    assert!(line.contains("the copy has not ended") && line.contains("store reopen"), "{line}");

    let told = run(&["store", "reopen", "--store", &here]).ok();
    assert!(told.contains("is open again"), "{told}");
    let server = home.serve(&[]);
    assert_eq!(server.resp().incr(&name(0)), 2);
    drop(server.terminate());
    etcd.members[0].restart().unwrap();
    etcd.wait_until_serving(0).unwrap();
    let line = run(&["store", "reopen", "--store", &engine]).refused(1);
    assert!(line.contains("the store holds half a copy"), "{line}");
    // What was issued meanwhile goes along.
    copy(&here, &engine, &[]).ok();
    assert_eq!(serve(&engine).resp().incr(&name(0)), 3);
}
