//! `ticketd serve` by the real binary: its start, its settings, its end.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::net::TcpListener;
use std::thread;

use rustix::process::Signal;
use support::{Home, PATIENCE, Ran, Server, run, text, ticketd};

fn refused(home: &Home, args: &[&str]) -> String {
    Ran::from(home.serve_command(args).output().unwrap()).refused(3)
}

#[test]
fn the_ready_line_names_the_addresses_and_is_all_that_standard_output_holds() {
    let home = Home::new();
    let server = home.serve(&[]);
    let (resp, http) = (server.resp_addr, server.http_addr);
    assert_eq!(server.ready_line, format!("ticketd ready resp={resp} http={http}\n"));
    assert!(resp.port() != 0 && http.port() != 0 && resp != http);
    assert_eq!(server.resp().incr("notes"), 1);
    let (status, said) = server.terminate();
    assert_eq!((status.code(), said.out.as_str()), (Some(0), ""), "{}", said.err);
}

#[test]
fn a_clean_stop_by_either_signal_leaves_no_gap() {
    let home = Home::new();
    let mut expected = 1;
    for signal in [Signal::TERM, Signal::INT, Signal::TERM] {
        let server = home.serve(&[]);
        let mut resp = server.resp();
        for _ in 0..100 {
            assert_eq!(resp.incr("notes"), expected, "it goes on where it stopped");
            expected += 1;
        }
        server.signal(signal);
        let (status, said) = server.wait();
        assert_eq!(status.code(), Some(0), "{}", said.err);
    }
}

#[test]
fn a_kill_leaves_a_gap_at_most_and_never_a_duplicate() {
    let home = Home::new();
    let mut highest = 0;
    for _ in 0..3 {
        let server = home.serve(&[]);
        let mut resp = server.resp();
        for _ in 0..50 {
            let id = resp.incr("notes");
            assert!(id > highest);
            highest = id;
        }
        server.kill9();
    }
}

#[test]
fn logs_are_json_if_asked_for() {
    let home = Home::new();
    let (_, said) = home.serve(&["--log-format", "json", "--log", "debug"]).terminate();
    assert!(said.err.lines().count() >= 3, "{}", said.err);
    for line in said.err.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["level"].is_string());
    }
    let (_, said) = home.serve(&["--log", "error"]).terminate();
    assert_eq!(said.err, "");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _holder = TcpListener::bind(taken).unwrap();
    for flag in ["resp", "http"] {
        let home = Home::new();
        let other = if flag == "resp" { "http" } else { "resp" };
        let mut command = ticketd(&["serve", "--data-dir", text(&home.data_dir())]);
        command.args([&format!("--{flag}"), &taken.to_string()]);
        command.args([&format!("--{other}"), "127.0.0.1:0"]);
        let line = Ran::from(command.output().unwrap()).refused(3);
        assert!(line.contains(&taken.to_string()) && line.contains("--http"), "{line}");
    }
}

#[test]
fn a_second_server_on_the_same_directory_is_refused_and_the_first_goes_on() {
    let home = Home::new();
    let server = home.serve(&[]);
    assert_eq!(server.resp().incr("notes"), 1);
    let line = refused(&home, &[]);
    assert!(line.contains(text(&home.data_dir())), "{line}");
    assert_eq!(server.resp().incr("notes"), 2);
    // A crash does not leave the directory locked.
    server.kill9();
    assert!(home.serve(&[]).resp().incr("notes") > 2);
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named() {
    let home = Home::new();
    fs::write(home.data_dir(), "a file").unwrap();
    let line = refused(&home, &[]);
    assert!(line.contains(text(&home.data_dir())), "{line}");
    // What even root cannot write.
    let store = ["serve", "--store", "embedded:/proc/ticketd", "--resp", "127.0.0.1:0"];
    let line = run(&store).refused(3);
    assert!(line.contains("/proc/ticketd"), "{line}");
}

#[test]
fn a_read_only_data_directory_is_named() {
    let home = Home::new();
    let ran = Ran::from(home.serve_command_on_tmpfs("ro", &[]).output().unwrap());
    let line = ran.refused(3);
    assert!(line.contains(text(&home.data_dir())), "{line}");
}

#[test]
fn an_engine_that_is_not_there_and_a_store_that_is_none_stop_the_start() {
    let engines =
        ["etcd://127.0.0.1:9?timeout=300ms", "etcd://me:secret@127.0.0.1:9?timeout=300ms"];
    for url in engines {
        let line = run(&["serve", "--store", url]).refused(3);
        assert!(line.contains("127.0.0.1:9") && !line.contains("secret"), "{line}");
        let shown = run(&["serve", "--store", url, "--print-config"]).ok();
        assert!(shown.contains("127.0.0.1:9") && !shown.contains("secret"), "{shown}");
    }
    for url in ["redis://h", "nonsense", "embedded:", "memory:x"] {
        let line = run(&["serve", "--store", url]).refused(3);
        assert!(line.contains("store"), "{line}");
    }
}

#[test]
fn an_address_beyond_loopback_needs_to_be_meant() {
    for flag in ["--resp", "--http"] {
        for addr in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
            let line = run(&["serve", "--store", "memory:", flag, addr]).refused(3);
            assert!(line.contains(addr) && line.contains("--allow-open"), "{line}");
        }
    }
    let home = Home::new();
    let server = home.serve(&["--allow-open", "--resp", "0.0.0.0:0"]);
    assert_eq!(server.resp_addr.ip().to_string(), "0.0.0.0");
}

#[test]
fn a_bad_settings_file_is_told_with_its_line() {
    let home = Home::new();
    let cases = [
        ("# fine\nresp = 7117\n", ":2: ", "a string"),
        ("\n\nrepsonse = 1\n", ":3: ", "unknown setting 'repsonse'"),
        ("resp = \"127.0.0.1:0\"\nmax_connections = 0\n", ":2: ", "from 1 to"),
        ("auto_create = \"yes\"\n", ":1: ", "true or false"),
        ("block_len = \"often\"\n", ":1: ", "auto"),
        ("[serve]\nresp = \"127.0.0.1:0\"\n", ":1: ", "unknown setting 'serve'"),
        ("resp = \n", ":1: ", "TOML"),
        ("a = 1\nresp = \"x\"\nresp = \"y\"\n", ":3: ", "duplicate"),
        ("request_timeout = \"5\"\n", ":1: ", "unit"),
        ("sequences = 1\n", ":1: ", "sequences are tables"),
        ("[sequences.a]\nmembers = 3\n", ":1: ", "members belongs to kind stride"),
        ("[sequences.a]\nkind = \"stride\"\nmembers = 3\n", ":1: ", "needs members"),
        ("[sequences.a]\nkind = \"strode\"\n", ":2: ", "strode"),
        ("[sequences.a]\n\nmember = 3\n", ":3: ", "member"),
        ("[sequences.\"a b\"]\n", ":1: ", "a sequence name"),
    ];
    for (toml, line, told) in cases {
        let path = home.write("ticketd.toml", toml);
        let said = refused(&home, &["--config", text(&path)]);
        assert!(said.contains(&format!("{}{line}", text(&path))), "{said}");
        assert!(said.contains(told), "{said}");
    }
    let missing = home.path("missing.toml");
    let said = refused(&home, &["--config", text(&missing)]);
    assert!(said.contains(text(&missing)) && said.contains("--config"), "{said}");
}

#[test]
fn a_bad_environment_variable_is_named() {
    let home = Home::new();
    let output = home.serve_command(&[]).env("TICKETD_BLOCK_LEN", "0").output().unwrap();
    let line = Ran::from(output).refused(3);
    assert!(line.contains("TICKETD_BLOCK_LEN"), "{line}");
    let said = refused(&home, &["--block-len-min", "10", "--block-len-max", "9"]);
    assert!(said.contains("block_len_min") && said.contains("10 > 9"), "{said}");
}

#[test]
fn each_setting_comes_from_the_strongest_place_and_print_config_says_which() {
    let home = Home::new();
    let toml = "resp = \"127.0.0.1:1\"\nhttp = \"127.0.0.1:2\"\nblock_len = 500\nlog = \"warn\"\n";
    let file = home.write("ticketd.toml", toml);
    let mut command = ticketd(&["serve", "--print-config", "--resp", "127.0.0.1:3"]);
    command
        .env("TICKETD_CONFIG", &file)
        .env("TICKETD_RESP", "127.0.0.1:4")
        .env("TICKETD_HTTP", "127.0.0.1:5")
        .env("TICKETD_LOG", "");
    let printed = Ran::from(command.output().unwrap()).ok();
    let file_is = format!("file {}", text(&file));
    for line in [
        "resp = \"127.0.0.1:3\"  # flag --resp",
        "http = \"127.0.0.1:5\"  # environment TICKETD_HTTP",
        &format!("block_len = 500  # {file_is}"),
        &format!("log = \"warn\"  # {file_is}"),
        "auto_create = true  # default",
        "data_dir = \"./ticketd-data\"  # default",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line}\n{printed}");
    }
}

#[test]
fn what_print_config_prints_is_a_settings_file_that_means_the_same() {
    let home = Home::new();
    let flags = [
        &["serve", "--print-config"][..],
        &["serve", "--print-config", "--store", "memory:", "--allow-open", "--block-len", "7"],
        &["serve", "--print-config", "--data-dir", "/x \"y\"/z", "--auto-create", "false"],
        &["serve", "--print-config", "--store", "embedded:/x", "--log", "info,a=debug"],
    ];
    let values = |printed: &str| -> Vec<String> {
        printed.lines().map(|line| line.split("  # ").next().unwrap().to_owned()).collect()
    };
    for args in flags {
        let printed = run(args).ok();
        let file = home.write("printed.toml", &printed);
        let again = run(&["serve", "--print-config", "--config", text(&file)]).ok();
        assert_eq!(values(&printed), values(&again), "{args:?}");
    }
}

#[test]
fn two_stores_are_a_contradiction_unless_one_is_stronger() {
    let both = ["serve", "--print-config", "--data-dir", "a", "--store", "memory:"];
    let line = run(&both).refused(3);
    assert!(line.contains("only one") && line.contains("--data-dir"), "{line}");
    let same = ["serve", "--print-config", "--data-dir", "a", "--store", "embedded:a"];
    run(&same).ok();
    let store_of = |args: &[&str], name: &str, value: &str| {
        let output = ticketd(args).env(name, value).output().unwrap();
        let printed = Ran::from(output).ok();
        printed.lines().find(|line| line.starts_with("store")).unwrap().to_owned()
    };
    let print = ["serve", "--print-config"];
    let stored = store_of(&[&print[..], &["--store", "memory:"]].concat(), "TICKETD_DATA_DIR", "a");
    assert_eq!(stored, "store = \"memory:\"  # flag --store");
    let stored = store_of(&[&print[..], &["--data-dir", "b"]].concat(), "TICKETD_STORE", "memory:");
    assert_eq!(stored, "store = \"embedded:b\"  # flag --data-dir (data_dir)");
}

#[test]
fn sequences_are_not_created_by_themselves_if_that_is_switched_off() {
    let home = Home::new();
    let server = home.serve(&["--auto-create", "false"]);
    let line = server.run(&["next", "notes"]).refused(1);
    assert!(line.contains("no sequence notes"), "{line}");
    server.run(&["sequence", "create", "notes"]).ok();
    assert_eq!(server.run(&["next", "notes"]).ok(), "1\n");
}

#[test]
fn the_memory_store_forgets() {
    let start = || {
        let mut command = ticketd(&["serve", "--store", "memory:"]);
        Server::start(command.args(["--resp", "127.0.0.1:0", "--http", "127.0.0.1:0"]))
    };
    for _ in 0..2 {
        assert_eq!(start().resp().incr("notes"), 1);
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let home = Home::new();
    let server = home.serve(&[]);
    // A client that is in the middle of a command keeps the stop waiting.
    let mut resp = server.resp();
    resp.incr("notes");
    server.signal(Signal::TERM);
    server.signal(Signal::INT);
    let (status, _) = server.wait();
    // Either it had stopped cleanly before the second one came, or it ended with 1.
    assert!(matches!(status.code(), Some(0 | 1)), "{status}");
}

#[test]
fn a_standard_output_that_nobody_reads_stops_nothing() {
    let home = Home::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let resp = listener.local_addr().unwrap();
    drop(listener);
    let mut command = ticketd(&["serve", "--data-dir", text(&home.data_dir())]);
    command.args(["--resp", &resp.to_string(), "--http", "127.0.0.1:0"]);
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let step = std::time::Duration::from_millis(20);
    let tries = PATIENCE.as_millis() / step.as_millis();
    let connected = (0..tries).find_map(|_| {
        thread::sleep(step);
        support::Resp::try_connect(resp).ok()
    });
    assert_eq!(connected.map(|mut resp| resp.incr("notes")), Some(1));
    child.kill().unwrap();
    child.wait().unwrap();
}

const SEQUENCES: &str = "\
[sequences.invoices]
block_len = 1

[sequences.\"eu/orders\"]
kind = \"stride\"
members = 3
offset = 2

[sequences.events]
kind = \"snowflake\"
layout = \"time:40,worker:8,counter:15\"
epoch = \"2025-01-01T00:00:00Z\"
counter_start = \"random\"

[sequences.traces]
kind = \"uuid7\"
";

#[test]
fn the_settings_file_asks_for_sequences_and_again_for_the_same() {
    let home = Home::new();
    let path = home.write("ticketd.toml", SEQUENCES);
    for round in 0..2 {
        let server = home.serve(&["--config", text(&path)]);
        let list = server.run(&["sequence", "list"]).ok();
        for (name, kind) in [
            ("invoices", "ticket"),
            ("eu/orders", "stride"),
            ("events", "snow"),
            ("traces", "uuid7"),
        ] {
            let is_row = |line: &str| line.starts_with(name) && line.contains(kind);
            assert!(list.lines().any(is_row), "{name}: {list}");
        }
        let id = server.run(&["next", "eu/orders"]).ok();
        assert_eq!(id.trim(), ["2", "5"][round]);
        server.terminate();
    }
    // What is printed asks for the same.
    let printed = run(&["serve", "--print-config", "--config", text(&path)]).ok();
    let printed = home.write("printed.toml", &printed[printed.find("[seq").unwrap()..]);
    home.serve(&["--config", text(&printed)]).terminate();
}

#[test]
fn a_sequence_that_is_otherwise_than_the_file_says_stops_the_start() {
    let home = Home::new();
    let path = home.write("ticketd.toml", SEQUENCES);
    home.serve(&["--config", text(&path)]).terminate();
    let other = SEQUENCES.replace("members = 3", "members = 4");
    let path = home.write("ticketd.toml", &other);
    let said = refused(&home, &["--config", text(&path)]);
    assert!(said.contains("ticketd.toml:4: [sequences.eu/orders]"), "{said}");
    assert!(said.contains("members 3, not 4"), "{said}");
}
