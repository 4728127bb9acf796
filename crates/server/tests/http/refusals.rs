//! Requests that make no sense, each with its own clear error.

use ticketd_server::error::ErrorKind;

use super::support::Server;

const BODY_LEN_MAX: usize = ticketd_server::limits::HTTP_BODY_LEN_MAX;

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let server = Server::start().await;
    for path in ["/nope", "/v1", "/v1/", "/v2/sequences", "/v1/sequences/", "/healthz/", "/%ff"] {
        for method in ["GET", "POST", "DELETE"] {
            let reply = server.send(method, path, &[], b"").await;
            let detail = reply.problem(404, "unknown-path", "not-found");
            assert!(detail.ends_with(path), "{detail}");
        }
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let server = Server::start().await;
    let paths = [
        ("/", "GET,HEAD"),
        ("/healthz", "GET,HEAD"),
        ("/readyz", "GET,HEAD"),
        ("/metrics", "GET,HEAD"),
        ("/openapi.json", "GET,HEAD"),
        ("/v1/sequences", "GET,HEAD"),
        ("/v1/sequences/notes", "GET, HEAD, PUT"),
        ("/v1/sequences/notes/next", "POST"),
        ("/v1/sequences/notes/raise", "POST"),
    ];
    for (path, allow) in paths {
        let methods = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"];
        for method in methods.into_iter().filter(|method| !allow.contains(method)) {
            let reply = server.send(method, path, &[], b"").await;
            reply.problem(405, "wrong-method", "invalid");
            assert_eq!(reply.header("allow"), Some(allow), "{method} {path}");
        }
    }
    assert_eq!(server.get("/v1/sequences").await.value()["sequences"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn a_bad_count_is_refused_and_takes_nothing() {
    let server = Server::start().await;
    let million = "1000000000000000000000000000000";
    let bad = [
        "0",
        "-1",
        "+1",
        "",
        "1.0",
        "1e3",
        "x",
        "1000001",
        million,
        "18446744073709551616",
        "%31%20",
        "1&count=1",
        "1&count=2",
        "1&x=1",
        "%ff",
        "١",
    ];
    for count in bad {
        let path = format!("/v1/sequences/notes/next?count={count}");
        let encoded: String = path.chars().map(|c| if c.is_ascii() { c } else { '~' }).collect();
        server.post(&encoded).await.invalid();
    }
    let detail = server.post("/v1/sequences/notes/next?count=0").await.invalid();
    assert_eq!(detail, "a count is a whole number from 1 to 1000000");
    server.post("/v1/sequences/notes/next?cuont=5").await.invalid();
    assert_eq!(server.post("/v1/sequences/notes/next?count=%31").await.value()["first"], "1");
}

#[tokio::test]
async fn a_bad_name_is_refused_with_what_is_wrong() {
    let server = Server::start().await;
    let long = "n".repeat(129);
    let bad = [
        (".a", "character 1 is '.'"),
        ("a%20b", "character 2 is ' '"),
        ("a%00", "character 2 is '\\x00'"),
        ("%ff", "character 1 is '\\xff'"),
        ("a%zz", "character 2 is '%'"),
        ("%2Fa", "character 1 is '/'"),
        ("/a", "character 1 is '/'"),
        ("a%25", "character 2 is '%'"),
        ("a%0d%0aX-Y:%20z", "character 2 is '\\r'"),
        (long.as_str(), "at most 128 characters"),
    ];
    for (name, what) in bad {
        let path = format!("/v1/sequences/{name}");
        let replies = [
            server.get(&path).await,
            server.json("PUT", &path, "").await,
            server.post(&format!("{path}/next")).await,
            server.json("POST", &format!("{path}/raise"), r#"{"to":"1"}"#).await,
        ];
        for reply in replies {
            let detail = reply.invalid();
            assert!(detail.contains(what), "{name}: {detail}");
        }
    }
    assert!(server.post("/v1/sequences//next").await.invalid().contains("at least one character"));
    let longest = "n".repeat(128);
    let ids = server.post(&format!("/v1/sequences/{longest}/next")).await.value();
    assert_eq!(ids["sequence"], longest);
}

#[tokio::test]
async fn a_bad_definition_is_refused_and_creates_nothing() {
    let server = Server::start().await;
    let deep = "[".repeat(10_000);
    let bad = [
        "nope",
        "[",
        "null",
        "1",
        "\"ticket\"",
        "[]x",
        "{} {}",
        "{\"kind\":\"ticket\"",
        r#"{"kind":"stride"}"#,
        r#"{"kind":""}"#,
        r#"{"kind":1}"#,
        r#"{"Kind":"ticket"}"#,
        r#"{"block_len":0}"#,
        r#"{"block_len":-1}"#,
        r#"{"block_len":1.5}"#,
        r#"{"block_len":"0"}"#,
        r#"{"block_len":10000001}"#,
        r#"{"block_len":1e30}"#,
        r#"{"block_len":"Auto"}"#,
        r#"{"block_len":true}"#,
        r#"{"block_len":[1]}"#,
        r#"{"order":"lose"}"#,
        r#"{"kind":"uuid7","order":"loose"}"#,
        r#"{"block_len":1,"block_len":1}"#,
        "\u{feff}{}",
        &deep,
    ];
    for body in bad {
        let reply = server.json("PUT", "/v1/sequences/notes", body).await;
        assert_eq!(reply.status, 400, "{body}: {reply:?}");
        reply.invalid();
    }
    let not_utf8 = [("Content-Type", "application/json"), ("Content-Length", "2")];
    server.send("PUT", "/v1/sequences/notes", &not_utf8, b"\"\xff").await.invalid();
    server.json("PUT", "/v1/sequences/notes?x=1", "").await.invalid();
    server.get("/v1/sequences/notes").await.problem(404, "not-found", "not-found");
}

#[tokio::test]
async fn a_step_of_a_resize_from_another_generation_is_refused_and_changes_nothing() {
    let server = Server::start().await;
    let stride = r#"{"kind":"stride","members":3,"offset":2}"#;
    server.json("PUT", "/v1/sequences/s", stride).await;
    let before = server.get("/v1/stride/s").await.value();
    let plan = r#""plan":{"attempt":1,"digest":"00000000000000aa"}"#;
    let accept = format!(
        r#"{{"step":"accept",{plan},"generation":7,"seat":{{"members":5,"offset":2}},
            "cap":"100","joins":false}}"#
    );
    let detail = server.json("POST", "/v1/stride/s", &accept).await;
    let detail = detail.problem(409, "conflict", "conflict");
    assert!(detail.contains("another generation"), "{detail}");
    let open = format!(r#"{{"step":"open",{plan},"floor":"100"}}"#);
    let detail = server.json("POST", "/v1/stride/s", &open).await;
    let detail = detail.problem(409, "conflict", "conflict");
    assert!(detail.contains("has not accepted the plan"), "{detail}");
    assert_eq!(server.get("/v1/stride/s").await.value(), before);
    assert_eq!(server.post("/v1/sequences/s/next").await.value()["first"], "2");
}

#[tokio::test]
async fn a_bad_raise_is_refused_and_raises_nothing() {
    let server = Server::start().await;
    let bad = [
        "",
        "{}",
        "nope",
        "[]",
        r#"{"to":null}"#,
        r#"{"to":""}"#,
        r#"{"to":"-1"}"#,
        r#"{"to":-1}"#,
        r#"{"to":"+1"}"#,
        r#"{"to":" 1"}"#,
        r#"{"to":1.5}"#,
        r#"{"to":"1e3"}"#,
        r#"{"to":1e30}"#,
        r#"{"to":"9223372036854775808"}"#,
        r#"{"to":18446744073709551615}"#,
        r#"{"to":true}"#,
        r#"{"to":"1000000000000000000000000000000"}"#,
        r#"{"to":1000000000000000000000000000000}"#,
        r#"{"to":"5","to":"6"}"#,
        r#"{"to":"5","by":"me"}"#,
    ];
    for body in bad {
        let reply = server.json("POST", "/v1/sequences/notes/raise", body).await;
        assert_eq!(reply.status, 400, "{body}: {reply:?}");
        reply.invalid();
    }
    server.json("POST", "/v1/sequences/notes/raise?to=5", r#"{"to":"5"}"#).await.invalid();
    assert_eq!(server.post("/v1/sequences/notes/next").await.value()["first"], "1");
}

#[tokio::test]
async fn only_a_body_that_says_it_is_json_is_read() {
    let server = Server::start().await;
    let form = "application/x-www-form-urlencoded";
    let paths = [
        ("PUT", "/v1/sequences/notes", "{}"),
        ("POST", "/v1/sequences/notes/next", "{}"),
        ("POST", "/v1/sequences/notes/raise", "{\"to\":\"5\"}"),
    ];
    for (method, path, body) in paths {
        let len = body.len().to_string();
        let len = ("Content-Length", len.as_str());
        for content_type in [form, "text/plain", "multipart/form-data; boundary=x", "", "json"] {
            let headers = [len, ("Content-Type", content_type)];
            let reply = server.send(method, path, &headers, body.as_bytes()).await;
            reply.problem(415, "wrong-media-type", "invalid");
        }
        let reply = server.send(method, path, &[len], body.as_bytes()).await;
        reply.problem(415, "wrong-media-type", "invalid");
        let headers = [len, ("Content-Type", "Application/JSON; charset=UTF-8")];
        let reply = server.send(method, path, &headers, body.as_bytes()).await;
        assert!(reply.status < 300, "{reply:?}");
    }
    // Without any byte there is nothing to read, whatever its type.
    let headers = [("Content-Type", form), ("Content-Length", "0")];
    let reply = server.send("POST", "/v1/sequences/notes/next", &headers, b"").await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn next_takes_no_fields() {
    let server = Server::start().await;
    let detail = server.json("POST", "/v1/sequences/notes/next", r#"{"count":5}"#).await.invalid();
    assert!(detail.contains("count"), "{detail}");
    assert_eq!(server.post("/v1/sequences/notes/next").await.value()["first"], "1");
}

#[tokio::test]
async fn a_web_page_of_another_origin_changes_nothing() {
    let server = Server::start().await;
    for site in ["cross-site", "same-site", "nonsense"] {
        let headers = [("Sec-Fetch-Site", site), ("Content-Length", "0")];
        let paths = [("POST", "/next"), ("POST", "/raise"), ("PUT", "")];
        for (method, end) in paths {
            let path = format!("/v1/sequences/notes{end}");
            let reply = server.send(method, &path, &headers, b"").await;
            reply.problem(403, "forbidden", "forbidden");
        }
        assert_eq!(server.send("GET", "/v1/sequences", &headers, b"").await.status, 200);
    }
    for site in ["same-origin", "none"] {
        let headers = [("Sec-Fetch-Site", site), ("Content-Length", "0")];
        let reply = server.send("POST", "/v1/sequences/notes/next", &headers, b"").await;
        assert_eq!(reply.status, 200);
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_however_it_comes() {
    let server = Server::start().await;
    let fits = format!("{{{}}}", " ".repeat(BODY_LEN_MAX - 2));
    let too_long = format!("{{{}}}", " ".repeat(BODY_LEN_MAX - 1));
    for path in ["/v1/sequences/notes/next", "/v1/sequences/notes/raise"] {
        server.json("POST", path, &too_long).await.problem(413, "too-large", "too-large");
    }
    let path = "/v1/sequences/notes";
    server.json("PUT", path, &too_long).await.problem(413, "too-large", "too-large");
    let streamed = [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")];
    let chunked = |body: &str| {
        let (one, two) = body.split_at(1000);
        format!("{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", one.len(), two.len())
    };
    let reply = server.send("PUT", path, &streamed, chunked(&too_long).as_bytes()).await;
    reply.problem(413, "too-large", "too-large");
    server.get(path).await.problem(404, "not-found", "not-found");
    assert_eq!(server.send("PUT", path, &streamed, chunked(&fits).as_bytes()).await.status, 201);
    assert_eq!(server.json("PUT", path, &fits).await.status, 200);
    // Nothing of it is sent: what is announced is enough.
    let announced = [("Content-Type", "application/json"), ("Content-Length", "99999999999")];
    server.send("PUT", path, &announced, b"").await.problem(413, "too-large", "too-large");
}

#[tokio::test]
async fn every_refusal_is_counted_by_its_kind() {
    let server = Server::start().await;
    server.get("/nope").await;
    server.get("/v1/sequences/none").await;
    server.post("/healthz").await;
    server.post("/v1/sequences/notes/next?count=0").await;
    server.post("/v1/sequences/notes/next").await;
    let counted = |kind| server.traffic.http.errors_total(kind);
    assert_eq!(counted(ErrorKind::NotFound), 2);
    assert_eq!(counted(ErrorKind::Invalid), 2);
    assert_eq!(counted(ErrorKind::Conflict), 0);
    let metrics = server.get("/metrics").await.body;
    assert!(metrics.contains("ticketd_errors_total{protocol=\"http\",kind=\"not-found\"} 2\n"));
    assert!(metrics.contains("ticketd_errors_total{protocol=\"resp\",kind=\"not-found\"} 0\n"));
}
