//! Every kind of sequence with the real binary: created, shown, issued over both protocols, and
//! not repeated after `kill -9`.

mod support;

use std::collections::HashSet;

use support::resp::Reply;
use support::{Home, Server, run};

/// Kinds whose IDs come one by one, with what they are created by.
const KINDS: [&[&str]; 8] = [
    &["--kind", "ticket"],
    &["--kind", "stride", "--members", "3", "--offset", "2"],
    &["--kind", "snowflake"],
    &["--kind", "snowflake", "--layout", "discord", "--counter-start", "random"],
    &[
        "--kind",
        "snowflake",
        "--layout",
        "time:40,worker:2,counter:9",
        "--epoch",
        "2025-01-01T00:00:00Z",
        "--tick",
        "2ms",
    ],
    &["--kind", "uuid4"],
    &["--kind", "uuid7"],
    &["--kind", "ulid"],
];

fn name(kind: usize) -> String {
    format!("k{kind}")
}

fn create(server: &Server) {
    for (kind, flags) in KINDS.iter().enumerate() {
        let name = name(kind);
        let args = [&["sequence", "create", &name], *flags].concat();
        server.run(&args).ok();
    }
}

#[test]
fn no_id_of_any_kind_comes_again_after_kill_9() {
    let home = Home::new();
    let mut server = home.serve(&[]);
    let mut all = vec![HashSet::new(); KINDS.len()];
    for _ in 0..4 {
        // Again and again: the same definition is no error.
        create(&server);
        for (kind, all) in all.iter_mut().enumerate() {
            let ids = server.run(&["next", &name(kind), "--count", "1000"]).ok();
            assert_eq!(ids.lines().count(), 1000);
            for id in ids.lines() {
                assert!(all.insert(id.to_owned()), "{:?}: {id} comes twice", KINDS[kind]);
            }
        }
        server.kill9();
        server = home.serve(&[]);
    }
}

#[test]
fn each_kind_is_shown_as_what_it_is() {
    let home = Home::new();
    let server = home.serve(&[]);
    create(&server);
    let list = server.run(&["sequence", "list"]).ok();
    for word in ["ticket", "stride", "snowflake", "uuid4", "uuid7", "ulid"] {
        assert!(list.contains(word), "{list}");
    }
    let shown = server.run(&["sequence", "show", "k1"]).ok();
    for row in ["members           3", "offset            2", "order             increasing per"] {
        assert!(shown.contains(row), "{shown}");
    }
    let shown = server.run(&["sequence", "show", "k2"]).ok();
    assert!(shown.contains("time:41,worker:10,counter:12@1704067200000/1ms"), "{shown}");
    assert!(shown.contains("runs_out          2093-") && !shown.contains("burnt"), "{shown}");
    for row in
        ["time_bits_left    4", "workers_last      -", "left              ", "last              "]
    {
        assert!(shown.contains(row), "{shown}");
    }
}

#[test]
fn redis_clients_get_integers_where_an_id_is_one() {
    let home = Home::new();
    let server = home.serve(&[]);
    create(&server);
    let mut resp = server.resp();
    for (kind, flags) in KINDS.iter().enumerate() {
        let name = name(kind);
        let one = resp.command(&["INCR", &name]);
        assert_eq!(matches!(one, Reply::Int(_)), kind < 5, "{flags:?}: {one:?}");
        let last = resp.command(&["GET", &name]);
        match one {
            Reply::Int(one) => assert_eq!(last, Reply::Bulk(Some(one.to_string())), "{flags:?}"),
            // An error has spent no ID.
            _ => assert_eq!(last, Reply::Bulk(None), "{flags:?}"),
        }
        let three = resp.command(&["NEXT", &name, "COUNT", "3"]);
        let Reply::Array(three) = three else { panic!("{flags:?}: {three:?}") };
        assert!(
            three.len() == 3 && three.iter().all(|id| matches!(id, Reply::Int(_)) == (kind < 5))
        );
        let range = resp.command(&["INCRBY", &name, "10"]);
        // Only of tickets does the last of a range tell which the others are.
        assert_eq!(matches!(range, Reply::Int(_)), kind == 0, "{flags:?}: {range:?}");
    }
}

#[test]
fn another_definition_is_refused_with_the_difference() {
    let home = Home::new();
    let server = home.serve(&[]);
    create(&server);
    let refused = server.run(&["sequence", "create", "k1", "--kind", "uuid7"]).refused(1);
    assert!(refused.contains("k1 exists with kind stride, not uuid7"), "{refused}");
    let wrong = ["sequence", "create", "x", "--kind", "stride", "--members", "3", "--offset", "4"];
    let refused = server.run(&wrong).refused(1);
    assert!(refused.contains("an offset is 1 to the number of members"), "{refused}");
}

#[test]
fn what_was_issued_is_explained_in_every_form_and_over_every_protocol() {
    let home = Home::new();
    let server = home.serve(&[]);
    create(&server);
    for (kind, word) in
        [(0, "ticket"), (1, "stride"), (2, "snowflake"), (6, "version 7"), (7, "ULID")]
    {
        let name = name(kind);
        for format in ["native", "decimal", "hex", "base58", "base62", "crockford", "a_b_", "x_hex"]
        {
            let id = server.run(&["next", &name, "--format", format]).ok();
            let decode = ["decode", id.trim(), "--format", format, "--sequence", &name];
            let told = server.run(&decode).ok();
            assert!(told.contains(word), "{format}: {told}");
        }
        let id = server.run(&["next", &name]).ok();
        let json = run(&["decode", id.trim(), "--json"]).ok();
        let meanings = &serde_json::from_str::<serde_json::Value>(&json).unwrap()["meanings"];
        assert!(meanings.as_array().unwrap().iter().any(|meaning| {
            meaning["kind"].as_str().unwrap().contains(word) || word == "stride"
        }));
        let over_resp = server.resp().command(&["DECODE", id.trim(), "SEQUENCE", &name]);
        assert!(format!("{over_resp:?}").contains(word), "{over_resp:?}");
    }
    let wrong = server.resp().command(&["DECODE", "12x"]);
    assert!(matches!(&wrong, Reply::Error(line) if line.contains("at character 3")), "{wrong:?}");
    assert!(run(&["decode", "12x"]).refused(1).contains("at character 3"));
    run(&["decode", "12", "--layout", "nobody"]).refused(2);
    server.run(&["decode", "12", "--sequence", "nobody"]).refused(1);
    server.run(&["next", "k0", "--format", "base5"]).refused(2);
}
