//! The client commands, wrong usage, and what a packager needs, by the real binary.

mod support;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;

use support::{Home, Ran, run, text, ticketd};

#[test]
fn without_a_command_it_shows_its_help() {
    let ran = run(&[]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("Usage: ticketd <COMMAND>"), "{}", ran.err);
    let help = run(&["--help"]).ok();
    for command in
        ["serve", "next", "sequence", "simulate", "explore", "compare", "completions", "man"]
    {
        assert!(help.contains(&format!("  {command} ")), "{help}");
        let help = run(&[command, "--help"]).ok();
        assert!(help.contains("Examples:"), "{help}");
    }
}

#[test]
fn wrong_usage_is_refused_with_code_2_before_anybody_is_asked() {
    let long = "n".repeat(129);
    let cases: &[(&[&str], &str)] = &[
        (&["next"], "<NAME>"),
        (&["next", ""], "at least one character"),
        (&["next", "no tes"], "character 3 is ' '"),
        (&["next", ".a"], "character 1"),
        (&["next", &long], "at most 128"),
        (&["next", "a", "--count", "0"], "from 1 to 1000000"),
        (&["next", "a", "--count", "-1"], "from 1 to 1000000"),
        (&["next", "a", "--count", "1000001"], "from 1 to 1000000"),
        (&["next", "a", "--count", "1000000000000000000000000000000"], "from 1 to 1000000"),
        (&["next", "a", "--server", "ftp://h"], "HOST:PORT"),
        (&["sequence", "create", "a", "--kind", "guid"], "snowflake"),
        (&["sequence", "create", "a", "--kind", "stride", "--members", "-1"], "--members"),
        (&["sequence", "create", "a", "--block-len", "0"], "auto"),
        (&["sequence", "raise", "a"], "--to"),
        (&["sequence", "raise", "a", "--to", "0"], "1..=9223372036854775807"),
        (&["sequence", "raise", "a", "--to", "9223372036854775808"], "1..=9223372036854775807"),
        (&["simulate", "--agents", "0"], "from 1 to 1000"),
        (&["simulate", "--tables", "a,b,a"], "twice"),
        (&["simulate", "--tables", "a,,b"], "at least one character"),
        (&["simulate", "--rate", "0"], "tickets per second"),
        (&["simulate", "--rate", "NaN"], "tickets per second"),
        (&["simulate", "--duration", "10"], "unit"),
        (&["simulate", "--kind", "uuid5"], "ticket"),
        (&["compare", "--agents", "1"], "more tables than there are agents"),
        (&["compare", "--tables", "a,a"], "twice"),
        (&["compare", "--seconds", "0"], "500ms"),
        (&["compare", "--kind", "ticket,uuid5"], "snowflake"),
        (&["compare", "--rows", "10"], "from 1000"),
        (&["explore", "--trace"], "--seed"),
        (&["explore", "--html", "page.html"], "--seed"),
        (&["explore", "--seed", "1", "--jobs", "0", "--html", "page.html"], "from 1 to 1024"),
        (&["serve", "--resp", "7117"], "IP:PORT"),
        (&["serve", "--prot", "7117"], "--prot"),
        (&["frobnicate"], "frobnicate"),
    ];
    for (args, told) in cases {
        let line = run(args).refused(2);
        assert!(line.contains(told), "{args:?}: {line}");
    }
}

#[test]
fn a_server_that_is_not_there_is_told_with_the_way_out() {
    // Bound and not accepting would hang; bound and dropped is surely free to refuse.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for args in [&["next", "a"][..], &["sequence", "list"], &["simulate", "--tickets", "1"]] {
        let line = run(&[args, &["--server", &free]].concat()).refused(1);
        assert!(line.contains(&format!("no server at {free}: ")), "{line}");
        assert!(line.contains("ticketd serve") && line.contains("--server"), "{line}");
    }
}

#[test]
fn something_else_at_the_address_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let other = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"220 mail.example ESMTP\r\n").unwrap();
    });
    let line = run(&["next", "a", "--server", &addr]).refused(1);
    assert!(line.contains("is no ticketd"), "{line}");
    other.join().unwrap();
}

#[test]
fn next_prints_contiguous_ids_by_either_address() {
    let home = Home::new();
    let server = home.serve(&[]);
    let resp = server.resp_addr.to_string();
    assert_eq!(run(&["next", "notes", "--server", &resp]).ok(), "1\n");
    assert_eq!(server.run(&["next", "notes", "--count", "3"]).ok(), "2\n3\n4\n");
    let url = format!("http://{}", server.http());
    let json = run(&["next", "notes", "--count", "2", "--json", "--server", &url]).ok();
    assert_eq!(
        json,
        "{\"sequence\":\"notes\",\"id\":\"5\"}\n{\"sequence\":\"notes\",\"id\":\"6\"}\n"
    );
    let output = ticketd(&["next", "notes"]).env("TICKETD_SERVER", &resp).output().unwrap();
    assert_eq!(Ran::from(output).ok(), "7\n");
    let million = server.run(&["next", "big", "--count", "1000000"]).ok();
    let ids: Vec<u64> = million.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(ids.len(), 1_000_000);
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "contiguous");
}

#[test]
fn a_server_on_all_addresses_is_found_by_its_resp_address() {
    let home = Home::new();
    let mut command = ticketd(&["serve", "--data-dir", text(&home.data_dir()), "--allow-open"]);
    let server =
        support::Server::start(command.args(["--resp", "0.0.0.0:0", "--http", "0.0.0.0:0"]));
    let resp = format!("127.0.0.1:{}", server.resp_addr.port());
    assert_eq!(run(&["next", "notes", "--server", &resp]).ok(), "1\n");
}

#[test]
fn nobody_reading_the_output_is_no_error_and_a_full_disk_is_one() {
    let home = Home::new();
    let server = home.serve(&[]);
    let http = server.http();
    let mut command = ticketd(&["next", "a", "--count", "1000000", "--server", &http]);
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(Ran::from(child.wait_with_output().unwrap()).ok(), "");
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = ticketd(&["next", "a", "--server", &http]);
    let output = command.stdout(Stdio::from(full)).output().unwrap();
    assert!(Ran::from(output).refused(1).contains("standard output"));
}

#[test]
fn all_sequences_that_count_are_raised_at_once_after_a_dry_run() {
    let home = Home::new();
    let server = home.serve(&[]);
    server.run(&["sequence", "create", "notes", "--block-len", "10"]).ok();
    server.run(&["next", "notes"]).ok();
    server
        .run(&["sequence", "create", "s", "--kind", "stride", "--members", "3", "--offset", "2"])
        .ok();
    server.run(&["sequence", "create", "e", "--kind", "snowflake"]).ok();
    let all = ["sequence", "raise", "--all", "--by", "1000"];
    let dry = server.run(&[&all[..], &["--dry-run"]].concat()).ok();
    let told = "notes: would be raised from 10 to 1010\ns: would be raised from 1 to 1001\n";
    assert_eq!(dry, told);
    assert_eq!(server.run(&["next", "notes"]).ok(), "2\n", "nothing was done");
    server.run(&all).ok();
    let next = server.run(&["next", "notes"]).ok().trim().parse::<u64>().unwrap();
    assert!(next > 1010, "{next}");
    assert!(server.run(&["next", "s"]).ok().trim().parse::<u64>().unwrap() > 1001);
    for wrong in [&["--all"][..], &["--by", "5"], &["--all", "--to", "5"], &["a", "--dry-run"], &[]]
    {
        server.run(&[&["sequence", "raise"], wrong].concat()).refused(2);
    }
}

#[test]
fn sequences_are_created_listed_shown_and_raised() {
    let home = Home::new();
    let server = home.serve(&[]);
    let create = ["sequence", "create", "eu/invoices", "--block-len", "1"];
    assert_eq!(server.run(&create).ok(), "eu/invoices: created\n");
    assert_eq!(server.run(&create).ok(), "eu/invoices: was there already\n");
    let other = ["sequence", "create", "eu/invoices", "--block-len", "auto"];
    assert!(server.run(&other).refused(1).contains("block_len 1"), "it names the difference");
    assert_eq!(server.run(&["next", "eu/invoices"]).ok(), "1\n");

    let raise = ["sequence", "raise", "eu/invoices", "--to", "5000"];
    assert_eq!(server.run(&raise).ok(), "eu/invoices: the next ID is 5001\n");
    assert_eq!(server.run(&["next", "eu/invoices"]).ok(), "5001\n");
    let down = ["sequence", "raise", "eu/invoices", "--to", "50"];
    assert!(server.run(&down).refused(1).contains("only moves forward"));

    server.run(&["next", "notes"]).ok();
    let list = server.run(&["sequence", "list"]).ok();
    let rows: Vec<&str> = list.lines().collect();
    assert_eq!(rows.len(), 3, "{list}");
    assert!(rows[0].starts_with("sequence") && rows[1].starts_with("eu/invoices"), "{list}");
    let show = server.run(&["sequence", "show", "eu/invoices"]).ok();
    let words: Vec<Vec<&str>> = show.lines().map(|l| l.split_whitespace().collect()).collect();
    assert!(words.contains(&vec!["last", "5001"]), "{show}");
    assert!(words.contains(&vec!["order", "strict"]), "{show}");
    assert!(server.run(&["sequence", "show", "nope"]).refused(1).contains("no sequence nope"));
}

#[test]
fn sequences_come_as_json_an_object_a_line() {
    let home = Home::new();
    let server = home.serve(&[]);
    // More than a page of the server's list.
    let mut resp = server.resp();
    for n in 0..250 {
        resp.incr(&format!("s{n:03}"));
    }
    let list = server.run(&["sequence", "list", "--json"]).ok();
    let names: Vec<String> = list
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|info| info["sequence"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, (0..250).map(|n| format!("s{n:03}")).collect::<Vec<_>>());
    let raised = server.run(&["sequence", "raise", "s000", "--to", "9", "--json"]).ok();
    assert_eq!(raised, "{\"sequence\":\"s000\",\"kind\":\"ticket\",\"next\":\"10\"}\n");
    let made = server.run(&["sequence", "create", "new", "--json"]).ok();
    assert!(made.starts_with("{\"sequence\":\"new\",\"kind\":\"ticket\""), "{made}");
}

#[test]
fn completions_and_manual_pages_are_made() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(&["completions", shell]).ok();
        assert!(script.contains("simulate") && script.contains("print-config"), "{shell}");
    }
    assert!(run(&["completions", "tcsh"]).refused(2).contains("bash"));
    let page = run(&["man"]).ok();
    assert!(page.contains(".TH ticketd 1"), "{page}");
    let home = Home::new();
    let dir = home.path("man1");
    assert_eq!(run(&["man", text(&dir)]).ok(), "");
    let pages = fs::read_dir(&dir).unwrap().count();
    assert!(pages >= 8, "{pages} pages");
    assert!(fs::read_to_string(dir.join("ticketd-serve.1")).unwrap().contains("data\\-dir"));
    let file = home.write("file", "");
    assert!(run(&["man", text(&file)]).refused(1).contains("cannot be written"));
}

#[test]
fn explore_tells_what_it_has_searched() {
    let told = run(&["explore", "--seeds", "5"]).ok();
    // Of every eighth seed there is one on disk.
    assert!(told.contains("16 worlds from seed 0") && told.contains("every promise"), "{told}");
    let again = run(&["explore", "--seeds", "5", "--json"]).ok();
    let last: serde_json::Value = serde_json::from_str(again.lines().last().unwrap()).unwrap();
    assert_eq!((&last["summary"]["seeds"], &last["summary"]["worlds"]), (&5.into(), &16.into()));
    let worlds = [("one", 1_000), ("several", 1_000), ("members", 1_000), ("disk", 30)];
    for (world, requests) in worlds {
        let counts = &last["summary"]["counts"][world];
        assert!(counts["requests"].as_u64().unwrap() > requests, "{last}");
        let told = run(&["explore", "--world", world, "--seeds", "2"]).ok();
        assert!(told.contains("2 worlds from seed 0"), "{told}");
    }
    assert!(told.contains(last["summary"]["hash"].as_str().unwrap()), "the same worlds twice");
    // How long it took is another number each time.
    let traced = || run(&["explore", "--seed", "3", "--trace"]).ok();
    let without_times = |text: String| {
        text.lines().filter(|line| !line.ends_with(" a second")).map(str::to_owned).collect()
    };
    let [one, two]: [Vec<String>; 2] = [traced(), traced()].map(without_times);
    assert_eq!(one, two);
    assert!(one.len() > 100, "{one:?}");
    let least = run(&["explore", "--world", "one", "--seed", "3", "--minimize"]).ok();
    assert!(least.contains("every promise was kept"), "{least}");
}
