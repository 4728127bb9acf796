//! Clients that we did not write: redis-cli, redis-benchmark, redis-py and curl, unmodified.
//!
//! They must be installed; `cargo xtask ci` sees to that.

mod support;

use std::process::{Command, Stdio};

use support::{Home, Server};

/// Runs a program that must succeed, and returns what it printed.
#[track_caller]
fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{program}: {error}; install it, `cargo xtask ci` does so where it may")
    });
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {text}{errors}");
    text
}

#[track_caller]
fn redis_cli(server: &Server, args: &[&str]) -> String {
    let port = server.resp_addr.port().to_string();
    run("redis-cli", &[&["-p", &port], args].concat()).trim_end().to_owned()
}

#[test]
fn redis_cli_counts_as_the_readme_shows() {
    let home = Home::new();
    let server = home.serve(&[]);
    for (args, answer) in [
        (&["INCR", "notes"][..], "1"),
        (&["INCRBY", "notes", "100"], "101"),
        (&["INCR", "notes"], "102"),
        (&["-3", "INCR", "notes"], "103"),
        (&["NEXT", "notes", "COUNT", "2"], "104\n105"),
        (&["--scan", "--pattern", "n*"], "notes"),
        (&["DBSIZE"], "1"),
    ] {
        assert_eq!(redis_cli(&server, args), answer, "{args:?}");
    }
    assert!(redis_cli(&server, &["DEL", "notes"]).starts_with("FORBIDDEN DEL is refused"));
    assert!(redis_cli(&server, &["INFO", "server"]).contains("ticketd_version:"));
}

#[test]
fn redis_benchmark_gets_exactly_as_many_numbers_as_it_asks_for() {
    let home = Home::new();
    let server = home.serve(&[]);
    let port = server.resp_addr.port().to_string();
    let shapes: [(&str, &[&str]); 3] = [
        ("1000000", &["-P", "16"]),
        ("20000", &["-P", "1"]),
        ("100000", &["-P", "50", "--threads", "2"]),
    ];
    let mut expected = 0;
    for (requests, shape) in shapes {
        let common = ["-p", &port, "-c", "50", "-q", "-n", requests];
        run("redis-benchmark", &[&common[..], shape, &["INCR", "bench"]].concat());
        expected += requests.parse::<u64>().unwrap() + 1;
        assert_eq!(redis_cli(&server, &["INCR", "bench"]), expected.to_string());
    }
}

const REDIS_PY: &str = r#"
import sys, redis
for protocol in (2, 3):
    try:
        r = redis.Redis(port=int(sys.argv[1]), protocol=protocol)
    except TypeError:  # older than RESP 3 in redis-py
        r = redis.Redis(port=int(sys.argv[1]))
    name = f"py{protocol}:{sys.argv[2].strip('/')}"
    assert r.ping()
    assert r.get(name) is None
    assert r.incr(name) == 1
    assert r.incrby(name, 100) == 101
    assert r.execute_command("NEXT", name, "COUNT", 3) == [102, 103, 104]
    assert r.get(name) == b"104"
    assert r.set(name, 5000)
    assert r.incr(name) == 5001
    for transaction in (True, False):
        pipe = r.pipeline(transaction=transaction)
        for _ in range(500):
            pipe.incr(name)
        ids = pipe.execute()
        assert ids == list(range(ids[0], ids[0] + 500)), ids[:5]
    assert r.exists(name) == 1
    assert r.type(name) == b"string"
    assert name.encode() in r.keys("py*")
    assert name.encode() in list(r.scan_iter("py*"))
    assert r.dbsize() >= 1
    assert "redis_version" in r.info()
    assert r.config_get("save") == {"save": ""}
    r.client_setname("tests")
    assert r.client_getname() in ("tests", b"tests")
    for command in (("DEL", name), ("FLUSHALL",), ("DECR", name)):
        try:
            r.execute_command(*command)
            raise SystemExit(f"{command} was not refused")
        except redis.ResponseError as error:
            assert "FORBIDDEN" in str(error), error
print("ok", redis.__version__)
"#;

#[test]
fn redis_py_works_unmodified() {
    let home = Home::new();
    let server = home.serve(&[]);
    let port = server.resp_addr.port().to_string();
    // The system's Python has Debian's redis-py, another one may have a newer: all are tried.
    let has_redis = |python: &&str| {
        let import = Command::new(python).args(["-c", "import redis"]).output();
        import.is_ok_and(|import| import.status.success())
    };
    let pythons: Vec<&str> =
        ["python3", "/usr/bin/python3"].into_iter().filter(has_redis).collect();
    assert!(!pythons.is_empty(), "no Python has redis-py; install it, `cargo xtask ci` does so");
    for python in pythons {
        let out = run(python, &["-c", REDIS_PY, &port, python]);
        assert!(out.starts_with("ok"), "{out}");
    }
}

#[test]
fn curl_gets_a_range_as_the_readme_shows() {
    let home = Home::new();
    let server = home.serve(&[]);
    let url = format!("http://{}/v1/sequences/notes/next?count=10", server.http_addr);
    let out = run("curl", &["-sS", "-X", "POST", &url]);
    let expected =
        r#"{"sequence":"notes","kind":"ticket","count":10,"first":"1","last":"10","step":"1"}"#;
    assert_eq!(out.trim_end(), expected);
}
