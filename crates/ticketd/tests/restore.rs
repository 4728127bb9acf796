//! Engines that go back to an older state, or are exchanged, and servers that have seen more.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{Home, Ran, run, text};
use ticketd_engines::{Place, etcd, postgres, skipped_without};

/// How a server over `url` ends that does not start.
fn refused(home: &Home, url: &str) -> String {
    let mut command = home.serve_command(&["--store", url, "--log", "error"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    for _ in 0..1500 {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // It has started, or hangs: then its end is not that of a refusal.
    drop(child.kill());
    Ran::from(child.wait_with_output().unwrap()).refused(3)
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

#[test]
fn etcd_from_an_older_copy_is_noticed_and_repaired_before_anything_is_issued() {
    if skipped_without("etcd", etcd::installed().is_some()) {
        return;
    }
    let mut engine = etcd::Cluster::start(Place::temporary().unwrap(), 1, &[]).unwrap();
    let (url, home) = (engine.url(), Home::new());
    let serve = || home.serve(&["--store", &url, "--lease", "1s"]);

    let server = serve();
    assert_eq!(server.resp().incr("notes"), 1);
    assert!(server.terminate().0.success());
    let (data, backup) = (engine.data_dir(0), home.path("backup"));
    engine.members[0].stop().unwrap();
    copy(&data, &backup);
    engine.members[0].restart().unwrap();
    engine.wait_until_serving(0).unwrap();

    let server = serve();
    let mut resp = server.resp();
    for id in 2..=5000 {
        assert_eq!(resp.incr("notes"), id);
    }
    assert_eq!(resp.incr("later"), 1);
    // As bad as it gets: what it saw last is in the witness all the same.
    server.kill9();
    engine.members[0].stop().unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    engine.members[0].restart().unwrap();
    engine.wait_until_serving(0).unwrap();

    let line = refused(&home, &url);
    for told in ["sequence later is missing, and mark", "; and 1 more", "sequence raise --all"] {
        assert!(line.contains(told), "{told}: {line}");
    }
    let raise = ["sequence", "raise", "--all", "--by", "100000", "--store", &url, "--data-dir"];
    let data_dir = home.data_dir();
    let raise = [&raise[..], &[text(&data_dir)]].concat();
    let plan = run(&[&raise[..], &["--dry-run"]].concat()).ok();
    assert!(plan.contains("later: would be made again, with mark 10"), "{plan}");
    assert!(plan.contains("notes: mark 2 would be raised to 1"), "{plan}");
    let again = refused(&home, &url);
    assert_eq!(line, again, "a dry run changes nothing");
    let done = run(&raise).ok();
    assert_eq!(
        done.replace("is raised", "would be raised").replace("is made", "would be made"),
        plan
    );

    let server = serve();
    assert!(server.resp().incr("notes") > 104_999 && server.resp().incr("later") > 100_000);
    // A server has the directory, and a server uses the engine.
    let line = run(&raise).refused(1);
    assert!(line.contains("in use by another ticketd"), "{line}");
    let ran = run(&raise[..raise.len() - 2]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("a server uses it: stop all of them first"), "{}", ran.err);
    // One that died is waited for.
    server.kill9();
    run(&raise).ok();
    assert!(serve().resp().incr("notes") > 204_999);
}

#[test]
fn a_restored_table_of_postgresql_is_noticed_by_a_server_that_only_forwarded() {
    if skipped_without("PostgreSQL", postgres::installed().is_some()) {
        return;
    }
    let engine = postgres::Cluster::start(Place::temporary().unwrap(), &[]).unwrap();
    let (url, homes) = (engine.url(), [Home::new(), Home::new()]);
    let args = ["--store", &url, "--lease", "1s"];
    let servers = homes.each_ref().map(|home| home.serve(&args));
    assert_eq!(servers[0].resp().incr("notes"), 1);
    engine.sql(0, "CREATE TABLE backup AS SELECT * FROM ticketd").unwrap();
    let mut highest = 0;
    for server in [0, 1].repeat(3000) {
        highest = servers[server].resp().incr("notes");
    }
    assert_eq!(highest, 6001);
    // Some looks at what others do.
    std::thread::sleep(Duration::from_millis(500));
    for server in servers {
        assert!(server.terminate().0.success());
    }
    engine.sql(0, "TRUNCATE ticketd; INSERT INTO ticketd SELECT * FROM backup").unwrap();
    for home in &homes {
        let line = refused(home, &url);
        assert!(line.contains("the engine went back: sequence notes has mark "), "{line}");
        assert!(!line.contains("p@ss") && !line.contains("p%40ss"), "{line}");
    }
    // The forwarder may have seen a mark that the owner has lowered when it stopped.
    let dirs = homes.each_ref().map(Home::data_dir);
    let dirs = dirs.each_ref().map(|dir| ["--data-dir", text(dir)]);
    let raise = ["sequence", "raise", "--all", "--by", "10", "--store", &url, "--json"];
    let done = run(&[&raise[..], &dirs.concat()].concat()).ok();
    assert!(
        done.contains(r#""kind":"ticket""#) && done.contains(r#""sequence":"notes""#),
        "{done}"
    );
    let servers = homes.each_ref().map(|home| home.serve(&args));
    let ids = servers.each_ref().map(|server| server.resp().incr("notes"));
    assert!(ids[0] > highest && ids[1] > ids[0], "{ids:?} after {highest}");
}

#[test]
fn a_data_directory_has_one_server_and_another_engine_is_refused() {
    if skipped_without("etcd", etcd::installed().is_some()) {
        return;
    }
    let engine = etcd::Cluster::start(Place::temporary().unwrap(), 1, &[]).unwrap();
    let (url, home) = (format!("{}/a", engine.url()), Home::new());
    let server = home.serve(&["--store", &url]);
    server.resp().incr("notes");
    let line = refused(&home, &url);
    assert!(line.contains("in use by another ticketd") && line.contains("--data-dir"), "{line}");
    server.kill9();
    let other = format!("{}/b", engine.url());
    let line = refused(&home, &other);
    assert!(line.starts_with("ticketd: the engine is empty; bring"), "{line}");
    Home::new().serve(&["--store", &other]).resp().incr("notes");
    let line = refused(&home, &other);
    assert!(
        line.contains("the engine belongs to cluster ") && line.contains("--store of"),
        "{line}"
    );

    let (file, below) = (home.write("file", ""), home.path("file/data"));
    for dir in [&file, &below] {
        let line = run(&["serve", "--store", &url, "--data-dir", text(dir)]).refused(3);
        assert!(line.contains("data directory"), "{line}");
    }
    std::fs::write(home.data_dir().join("engine-witness"), "scribble").unwrap();
    let line = refused(&home, &url);
    assert!(line.contains("the witness of the engine is damaged"), "{line}");
}

#[test]
fn an_embedded_store_is_raised_while_no_server_uses_it() {
    let home = Home::new();
    let server = home.serve(&[]);
    assert_eq!(server.resp().incr("notes"), 1);
    let url = format!("embedded:{}", text(&home.data_dir()));
    let raise = ["sequence", "raise", "--all", "--by", "100", "--store", &url];
    let line = run(&raise).refused(1);
    assert!(line.contains("in use"), "{line}");
    assert!(server.terminate().0.success());
    let plan = run(&[&raise[..], &["--dry-run"]].concat()).ok();
    assert_eq!(plan, "notes: mark 2 would be raised to 102\n");
    assert_eq!(run(&raise).ok(), "notes: mark 2 is raised to 102\n");
    assert_eq!(home.serve(&[]).resp().incr("notes"), 102);
}

#[test]
fn what_cannot_be_raised_offline_is_told_with_the_way_out() {
    let unused = tempfile::tempdir().unwrap();
    let raise = ["sequence", "raise", "--all", "--by", "1"];
    for (more, code, told) in [
        (&["--store", "memory:"][..], 2, "forgets all at its end"),
        (&["--store", "redis://h"], 2, "there are embedded:DIR"),
        (&["--store", "embedded:/nowhere/at/all"], 1, "there is no directory of that name"),
        (&["--store", "embedded:/tmp", "--data-dir", "/tmp"], 2, "--data-dir is for the --store"),
        (&["--data-dir", "/tmp"], 2, "--data-dir is of use with the --store"),
        (&["--store", "etcd://h", "--data-dir", "/nowhere"], 1, "there is no directory"),
        (
            &["--store", "etcd://h", "--data-dir", text(unused.path())],
            1,
            "no server over an engine",
        ),
    ] {
        let line = run(&[&raise[..], more].concat()).refused(code);
        assert!(line.contains(told), "{line}");
    }
    assert!(std::fs::read_dir(unused.path()).unwrap().next().is_none(), "nothing was made there");
    let line = run(&["sequence", "raise", "n", "--to", "5", "--store", "memory:"]).refused(2);
    assert!(line.contains("--all"), "{line}");
}
