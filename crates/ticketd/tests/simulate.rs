//! `ticketd simulate` by the real binary.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{Home, Ran, run, ticketd};

/// The tickets of a run as text: agent, table, ID.
fn tickets(out: &str) -> Vec<(u64, String, u64)> {
    let lines = out.lines().take_while(|line| !line.is_empty());
    lines
        .map(|line| {
            let words: Vec<&str> = line.split("  ").collect();
            let [agent, table, id] = words[..] else { panic!("a torn line: {line}") };
            let agent = agent.strip_prefix("agent ").unwrap().parse().unwrap();
            (agent, table.to_owned(), id.parse().unwrap())
        })
        .collect()
}

fn summary(out: &str) -> Value {
    let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    last["summary"].clone()
}

#[test]
fn the_classic_demonstration_is_two_agents_for_notes_and_two_for_tasks() {
    let out = run(&["simulate", "--tickets", "20000"]).ok();
    let tickets = tickets(&out);
    assert_eq!(tickets.len(), 20_000);
    let mut tables: HashMap<String, HashSet<u64>> = HashMap::new();
    for (agent, table, id) in tickets {
        let expected = if agent <= 2 { "notes" } else { "tasks" };
        assert_eq!(table, expected, "agent {agent}");
        assert!(tables.entry(table).or_default().insert(id), "a duplicate: {id}");
    }
    for ids in tables.values() {
        assert_eq!(ids.iter().max(), Some(&(ids.len() as u64)), "no gap");
    }
    assert!(out.contains("every promise was kept"), "{out}");
    assert!(out.contains("uniqueness checked exactly from 1 to"), "{out}");
}

#[test]
fn the_summary_alone_comes_as_one_line_of_json() {
    let out = run(&["simulate", "--tickets", "100000", "--quiet", "--json"]).ok();
    assert_eq!(out.lines().count(), 1, "{out}");
    let summary = summary(&out);
    assert_eq!(summary["issued"], 100_000);
    for broken in ["duplicates", "inversions", "gaps", "unchecked"] {
        assert_eq!(summary[broken], 0, "{broken}");
    }
    assert_eq!(summary["kept"], true);
    let tables: Vec<&str> = summary["tables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["table"].as_str().unwrap())
        .collect();
    assert_eq!(tables, ["notes", "tasks"]);
}

#[test]
fn json_has_a_line_for_each_ticket_and_the_summary_at_the_end() {
    let args = ["--agents", "3", "--tables", "a,b,c", "--buffer", "8", "--tickets", "3000"];
    let out = run(&[&["simulate", "--json"], &args[..]].concat()).ok();
    let mut lines = out.lines();
    assert_eq!(summary(&out)["duplicates"], 0);
    lines.next_back();
    let mut seen = HashSet::new();
    for line in lines {
        let ticket: Value = serde_json::from_str(line).unwrap();
        let agent = ticket["agent"].as_u64().unwrap();
        let table = ticket["table"].as_str().unwrap().to_owned();
        assert_eq!(table, ["a", "b", "c"][agent as usize - 1]);
        let id: u64 = ticket["id"].as_str().unwrap().parse().unwrap();
        assert!(seen.insert((table, id)));
    }
    assert_eq!(seen.len(), 3000);
}

#[test]
fn it_runs_until_ctrl_c_and_then_sums_up() {
    let mut child = ticketd(&["simulate"]).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut told = String::new();
    for _ in 0..1000 {
        out.read_line(&mut told).unwrap();
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    out.read_to_string(&mut told).unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let printed = tickets(&told).len();
    assert!(told.contains(&format!("\n{printed} tickets in ")), "every ticket has its line");
    assert!(told.trim_end().ends_with("every promise was kept"));
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let mut child = ticketd(&["simulate"]).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    drop(out);
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
}

#[test]
fn a_duration_and_a_rate_are_kept() {
    let args = ["simulate", "--duration", "500ms", "--rate", "10", "--quiet", "--json"];
    let summary = summary(&run(&args).ok());
    let issued = summary["issued"].as_u64().unwrap();
    // Each of the four is due at 0, 100, ... 500 ms.
    assert!((4..=24).contains(&issued), "{issued}");
    assert!(summary["seconds"].as_f64().unwrap() >= 0.5);
}

#[test]
fn agents_of_a_real_server_keep_the_same_promises() {
    let home = Home::new();
    let server = home.serve(&[]);
    for (buffer, addr) in [("0", server.http()), ("100", server.resp_addr.to_string())] {
        let args = ["simulate", "--tickets", "2000", "--buffer", buffer, "--json"];
        let out = run(&[&args[..], &["--server", &addr]].concat()).ok();
        assert_eq!(out.lines().count(), 2001);
        let summary = summary(&out);
        assert_eq!(summary["duplicates"], 0);
        assert_eq!(summary["inversions"], 0);
        assert_eq!(summary["server"], addr);
    }
    let next = |table| server.run(&["next", table]).ok().trim().parse::<u64>().unwrap();
    assert_eq!(next("notes") + next("tasks"), 4002, "they came from this server");
}

#[test]
fn a_server_that_dies_ends_it_with_its_summary_and_code_1() {
    let home = Home::new();
    let server = home.serve(&[]);
    let http = server.http();
    let mut child = ticketd(&["simulate", "--server", &http]).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut told = String::new();
    for _ in 0..100 {
        out.read_line(&mut told).unwrap();
    }
    server.kill9();
    out.read_to_string(&mut told).unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert!(told.contains("uniqueness checked exactly"), "{told}");
    let line = ran.refused(1);
    assert!(line.contains("agent ") && line.contains(&http), "{line}");
}

#[test]
fn every_kind_is_simulated_and_its_promises_are_kept() {
    for (kind, order) in [
        ("ticket", "strict"),
        ("stride", "increasing per member"),
        ("snowflake", "k-sorted by time, increasing per worker"),
        ("uuid4", "none"),
        ("uuid7", "k-sorted by time, increasing per server"),
        ("ulid", "k-sorted by time, increasing per server"),
    ] {
        for buffer in ["0", "64"] {
            let args = ["simulate", "--kind", kind, "--tickets", "5000", "--quiet", "--json"];
            let out = run(&[&args[..], &["--agents", "5", "--buffer", buffer]].concat()).ok();
            let out: serde_json::Value = serde_json::from_str(&out).unwrap();
            let summary = &out["summary"];
            assert_eq!((&summary["kind"], &summary["order"]), (&kind.into(), &order.into()));
            assert_eq!(summary["issued"], 5000, "{summary}");
            assert_eq!(summary["duplicates"], 0, "{summary}");
            assert_eq!((&summary["inversions"], &summary["kept"]), (&0.into(), &true.into()));
        }
    }
    assert!(run(&["simulate", "--kind", "uuid5"]).refused(2).contains("uuid7"));
}

#[test]
fn every_kind_is_simulated_against_a_real_server() {
    let home = Home::new();
    let server = home.serve(&[]);
    let http = server.http();
    let simulate = |kind: &str, table: &str| {
        let args = ["simulate", "--kind", kind, "--tables", table, "--tickets", "5000", "--quiet"];
        run(&[&args[..], &["--buffer", "64", "--json", "--server", &http]].concat())
    };
    let told = simulate("stride", "t-stride").refused(1);
    assert!(told.contains("sequence create t-stride --kind stride --members"), "{told}");
    let member = ["--kind", "stride", "--members", "3", "--offset", "2"];
    server.run(&[&["sequence", "create", "t-stride"], &member[..]].concat()).ok();
    for kind in ["ticket", "stride", "snowflake", "uuid4", "uuid7", "ulid"] {
        let summary = summary(&simulate(kind, &format!("t-{kind}")).ok());
        assert_eq!((&summary["issued"], &summary["duplicates"]), (&5000.into(), &0.into()));
        assert_eq!((&summary["inversions"], &summary["kept"]), (&0.into(), &true.into()));
    }
    let told = simulate("uuid4", "t-ulid").refused(1);
    assert!(told.contains("t-ulid is of kind ulid, not uuid4"), "{told}");
}

/// The faults of a run with `--json`, as its lines tell them.
fn faults(out: &str) -> Vec<Value> {
    let lines = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter_map(|line| line.get("fault").cloned()).collect()
}

#[test]
fn servers_that_crash_and_come_back_cost_ids_and_no_promise() {
    let out = run(&["simulate", "--faults", "--duration", "6s", "--seed", "1", "--json"]).ok();
    let (faults, summary) = (faults(&out), summary(&out));
    let crash = faults.iter().position(|fault| fault["event"] == "crash").unwrap();
    let (server, table) = (&faults[crash]["server"], &faults[crash]["owned"][0]);
    let after = |event: &str, is_it: &dyn Fn(&Value) -> bool| {
        let found = faults[crash..].iter().position(|f| f["event"] == event && is_it(f));
        found.unwrap_or_else(|| panic!("no {event} after the crash of {server}: {out}"))
    };
    let ended = after("lease ended", &|fault| fault["server"] == *server);
    let taken = after("takeover", &|fault| fault["table"] == *table);
    assert!(ended < taken, "while its lease stands, a server is not replaced: {out}");
    for broken in ["duplicates", "inversions", "unchecked"] {
        assert_eq!(summary[broken], 0, "{broken}");
    }
    assert_eq!((&summary["kept"], &summary["faults"]["seed"]), (&true.into(), &1.into()));
    for (event, count) in [("crash", "crashes"), ("stop", "stops"), ("takeover", "takeovers")] {
        let told = faults.iter().filter(|fault| fault["event"] == event).count();
        assert_eq!(summary["faults"][count], told, "{out}");
    }
    let burnt = summary["faults"]["burnt"].as_u64().unwrap();
    let gaps = summary["gaps"].as_u64().unwrap();
    assert!(burnt > 0 && gaps <= burnt, "what the dead server held is lost: {gaps} of {burnt}");
    let tickets = out.lines().filter(|line| line.starts_with(r#"{"agent":"#)).count();
    assert_eq!(summary["issued"], tickets);
}

#[test]
fn faults_stand_out_among_tickets_and_ctrl_c_ends_them() {
    let args = ["simulate", "--faults", "--seed", "2", "--kind", "snowflake"];
    let mut child = ticketd(&args).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut told = String::new();
    while !told.contains(" is back\n") {
        assert!(out.read_line(&mut told).unwrap() > 0, "{told}");
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let events = told.lines().filter(|line| line.starts_with("    -- server ")).count();
    out.read_to_string(&mut told).unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(events >= 2 && told.contains(" crashes; "), "{told}");
    assert!(told.contains("\nseed 2: servers 3, crashes "), "{told}");
    assert!(told.trim_end().ends_with("every promise was kept"), "{told}");
}

#[test]
fn faults_are_for_servers_of_this_process_that_share_an_engine() {
    for (args, way_out) in [
        (&["--faults", "--kind", "uuid7"][..], "give --kind ticket or snowflake with it"),
        (&["--faults", "--server", "127.0.0.1:1"], "--server"),
        (&["--seed", "1"], "--faults"),
    ] {
        let line = run(&[&["simulate"], args].concat()).refused(2);
        assert!(line.contains(way_out), "{line}");
    }
}
