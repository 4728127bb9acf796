//! What the endpoints answer when all is well.

use serde_json::{Value, json};
use ticketd_server::service::ServiceSettings;

use super::support::Server;

const LAST_ID: &str = "9223372036854775807";

#[tokio::test]
async fn next_answers_to_the_letter_of_the_contract_and_in_order() {
    let server = Server::start().await;
    server.post("/v1/sequences/notes/next?count=100").await;
    let reply = server.post("/v1/sequences/notes/next?count=10").await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.body,
        r#"{"sequence":"notes","kind":"ticket","count":10,"first":"101","last":"110","step":"1"}"#
    );
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let one = server.post("/v1/sequences/notes/next").await.value();
    assert_eq!(
        (&one["count"], &one["first"], &one["last"]),
        (&json!(1), &json!("111"), &json!("111"))
    );
    let other = server.post("/v1/sequences/tasks/next?count=1000000").await.value();
    assert_eq!((&other["first"], &other["last"]), (&json!("1"), &json!("1000000")));
}

#[tokio::test]
async fn names_work_encoded_and_as_they_are() {
    let server = Server::start().await;
    let paths = ["a%2Fb/next", "a/b/next", "a%2fb/next", "%61/b/next"];
    for (n, path) in paths.iter().enumerate() {
        let ids = server.post(&format!("/v1/sequences/{path}")).await.value();
        assert_eq!(ids["sequence"], "a/b", "{path}");
        assert_eq!(ids["first"], (n + 1).to_string(), "{path}");
    }
    let ids = server.post("/v1/sequences/eu:notes.v2_x-y/next").await.value();
    assert_eq!(ids["sequence"], "eu:notes.v2_x-y");
}

#[tokio::test]
async fn a_name_that_ends_like_an_endpoint_is_reached_by_encoding_its_slash() {
    let server = Server::start().await;
    let made = server.json("PUT", "/v1/sequences/a%2Fnext", "").await;
    assert_eq!((made.status, made.header("location")), (201, Some("/v1/sequences/a%2Fnext")));
    assert_eq!(server.get("/v1/sequences/a%2Fnext").await.value()["sequence"], "a/next");
    for path in ["/v1/sequences/a%2Fnext/next", "/v1/sequences/a/next/next"] {
        assert_eq!(server.post(path).await.value()["sequence"], "a/next", "{path}");
    }
    // As it stands, it is the next of `a`, and that cannot be looked at.
    let reply = server.get("/v1/sequences/a/next").await;
    reply.problem(405, "wrong-method", "invalid");
    assert_eq!(reply.header("allow"), Some("POST"));
    server.get("/v1/sequences/a").await.problem(404, "not-found", "not-found");
    for name in ["next", "raise"] {
        let ids = server.post(&format!("/v1/sequences/{name}/next")).await.value();
        assert_eq!(ids["sequence"], *name);
        assert_eq!(server.get(&format!("/v1/sequences/{name}")).await.value()["sequence"], *name);
    }
}

#[tokio::test]
async fn a_raise_moves_forward_only() {
    let server = Server::start().await;
    let path = "/v1/sequences/notes/raise";
    let raised = server.json("POST", path, r#"{"to":"5000"}"#).await;
    assert_eq!(
        (raised.status, raised.body.as_str()),
        (200, r#"{"sequence":"notes","kind":"ticket","next":"5001"}"#)
    );
    let next = server.post("/v1/sequences/notes/next").await.value();
    assert_eq!(next["first"], "5001");
    let lower = server.json("POST", path, r#"{"to":"5000"}"#).await;
    assert!(lower.problem(409, "conflict", "conflict").contains("5002"));
    let again = server.json("POST", path, r#"{"to":5001}"#).await;
    assert_eq!((again.status, &again.value()["next"]), (200, &json!("5002")));
    let next = server.post("/v1/sequences/notes/next").await.value();
    assert_eq!(next["first"], "5002");
}

#[tokio::test]
async fn the_last_id_is_issued_and_the_next_request_is_told_that_it_is_exhausted() {
    let server = Server::start().await;
    let path = "/v1/sequences/notes/raise";
    let raised = server.json("POST", path, r#"{"to":"9223372036854775806"}"#).await.value();
    assert_eq!(raised["next"], LAST_ID);
    server.post("/v1/sequences/notes/next?count=2").await.problem(410, "exhausted", "exhausted");
    let last = server.post("/v1/sequences/notes/next").await.value();
    assert_eq!((&last["first"], &last["last"]), (&json!(LAST_ID), &json!(LAST_ID)));
    server.post("/v1/sequences/notes/next").await.problem(410, "exhausted", "exhausted");
    let info = server.get("/v1/sequences/notes").await.value();
    assert_eq!((&info["left"], &info["last"]), (&json!("0"), &json!(LAST_ID)));
    let all = json!({ "to": LAST_ID }).to_string();
    let raised = server.json("POST", path, &all).await.value();
    assert_eq!(raised["next"], Value::Null);
}

#[tokio::test]
async fn a_sequence_is_created_once_and_the_same_definition_again_is_no_error() {
    let server = Server::start().await;
    let made = server.json("PUT", "/v1/sequences/a", r#"{"kind":"ticket","block_len":500}"#).await;
    assert_eq!((made.status, made.header("location")), (201, Some("/v1/sequences/a")));
    assert_eq!(made.value()["block_len"], "500");
    for same in [r#"{"block_len":"500"}"#, r#"{"block_len":500,"kind":null}"#] {
        let again = server.json("PUT", "/v1/sequences/a", same).await;
        assert_eq!((again.status, again.header("location")), (200, None), "{same}");
        assert_eq!(again.value()["block_len"], "500");
    }
    for other in [r#"{"block_len":"501"}"#, r#"{"block_len":"auto"}"#, "{}", ""] {
        let reply = server.json("PUT", "/v1/sequences/a", other).await;
        let detail = reply.problem(409, "conflict", "conflict");
        assert!(detail.contains("block_len 500"), "{detail}");
    }
    assert_eq!(server.json("PUT", "/v1/sequences/b", "").await.status, 201);
    assert_eq!(server.send("PUT", "/v1/sequences/b", &[], b"").await.status, 200);
    assert_eq!(server.json("PUT", "/v1/sequences/b", "{}").await.status, 200);
    let auto = server.json("PUT", "/v1/sequences/c", r#"{"block_len":"auto"}"#).await;
    assert_eq!((auto.status, &auto.value()["block_len"]), (201, &json!("auto")));
}

#[tokio::test]
async fn a_sequence_is_shown_with_all_that_there_is_to_see() {
    let server = Server::start().await;
    server.json("PUT", "/v1/sequences/notes", r#"{"block_len":100}"#).await;
    let burnt = json!({
        "crash": "0", "indeterminate": "0", "skipped": "0", "raise": "0", "stop": "0",
        "abandoned": "0", "broken": "0", "fenced": "0"
    });
    let mut expected = json!({
        "sequence": "notes", "kind": "ticket", "order": "strict", "block_len": "100",
        "last": null, "high_water_mark": "1", "left": LAST_ID, "issued": "0", "burnt": burnt,
        "held": "0", "waiting": 0, "rate_per_second": 0.0, "lasts_seconds": null, "lasts": null
    });
    assert_eq!(server.get("/v1/sequences/notes").await.value(), expected);
    server.post("/v1/sequences/notes/next?count=7").await;
    server.json("POST", "/v1/sequences/notes/raise", r#"{"to":"17"}"#).await;
    expected["last"] = json!("17");
    expected["high_water_mark"] = json!("101");
    expected["left"] = json!("9223372036854775790");
    expected["issued"] = json!("7");
    expected["burnt"]["raise"] = json!("10");
    expected["held"] = json!("83");
    assert_eq!(server.get("/v1/sequences/notes").await.value(), expected);
}

#[tokio::test]
async fn a_sequence_in_use_is_shown_with_its_rate_and_how_long_it_lasts() {
    let server = Server::start().await;
    server.post("/v1/sequences/notes/next?count=1000000").await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let info = server.get("/v1/sequences/notes").await.value();
    assert!(info["rate_per_second"].as_f64().unwrap() > 1000.0, "{info}");
    assert!(info["lasts_seconds"].as_f64().unwrap() > 1e12, "{info}");
    assert!(info["lasts"].as_str().unwrap().ends_with(" thousand years"), "{info}");
    let metrics = server.get("/metrics").await.body;
    assert!(!metrics.contains("ticketd_sequence_lasts_seconds{sequence=\"notes\"} +Inf"));
}

#[tokio::test]
async fn without_auto_create_nothing_comes_into_being_by_itself() {
    let settings = ServiceSettings { auto_create: false, ..ServiceSettings::default() };
    let server = Server::with(settings).await;
    let next = server.post("/v1/sequences/notes/next").await;
    next.problem(404, "not-found", "not-found");
    let raise = server.json("POST", "/v1/sequences/notes/raise", r#"{"to":"5"}"#).await;
    raise.problem(404, "not-found", "not-found");
    server.get("/v1/sequences/notes").await.problem(404, "not-found", "not-found");
    assert_eq!(server.get("/v1/sequences").await.value()["sequences"], json!([]));
    assert_eq!(server.json("PUT", "/v1/sequences/notes", "").await.status, 201);
    assert_eq!(server.post("/v1/sequences/notes/next").await.value()["first"], "1");
}

#[tokio::test]
async fn the_probes_say_that_the_server_lives_and_is_ready() {
    let server = Server::start().await;
    let health = server.get("/healthz").await.value();
    let expected = json!({
        "status": "ok", "version": env!("CARGO_PKG_VERSION"), "resp": "127.0.0.1:1",
        "http": server.address.to_string(), "uptime_seconds": 0
    });
    assert_eq!(health, expected);
    let ready = server.get("/readyz").await;
    assert_eq!((ready.status, ready.value()), (200, json!({"status": "ready"})));
}

#[tokio::test]
async fn the_index_names_every_endpoint() {
    let server = Server::start().await;
    let index = server.get("/").await;
    assert_eq!(index.status, 200);
    assert_eq!(index.header("content-type"), Some("text/plain; charset=utf-8"));
    let document = serde_json::to_value(ticketd_server::http::openapi()).unwrap();
    for path in document["paths"].as_object().unwrap().keys().filter(|path| *path != "/") {
        assert!(index.body.contains(path), "{path}");
    }
}

#[tokio::test]
async fn head_answers_as_get_without_a_body() {
    let server = Server::start().await;
    server.post("/v1/sequences/notes/next").await;
    for path in ["/", "/healthz", "/readyz", "/v1/sequences", "/v1/sequences/notes"] {
        let head = server.send("HEAD", path, &[], b"").await;
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        assert!(head.header("content-length").is_some_and(|len| len != "0"), "{path}");
    }
    let missing = server.send("HEAD", "/v1/sequences/none", &[], b"").await;
    assert_eq!((missing.status, missing.body.as_str()), (404, ""));
}

#[tokio::test]
async fn many_clients_at_once_never_get_the_same_id() {
    let server = std::sync::Arc::new(Server::start().await);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let server = std::sync::Arc::clone(&server);
        clients.spawn(async move {
            let mut ranges = Vec::new();
            for count in 1..=20_u64 {
                let path = format!("/v1/sequences/notes/next?count={count}");
                let ids = server.post(&path).await.value();
                let id = |key: &str| ids[key].as_str().unwrap().parse::<u64>().unwrap();
                assert_eq!(id("last") - id("first") + 1, count);
                ranges.push((id("first"), id("last")));
            }
            assert!(ranges.is_sorted(), "strict order holds for each client");
            ranges
        });
    }
    let mut all = clients.join_all().await.concat();
    all.sort_unstable();
    assert!(all.windows(2).all(|pair| pair[0].1 < pair[1].0), "no two ranges overlap");
    assert_eq!(all.iter().map(|(first, last)| last - first + 1).sum::<u64>(), 8 * 210);
}

#[tokio::test]
async fn an_id_is_explained() {
    let server = Server::start().await;
    let tweet = server.get("/v1/decode/1541815603606036480?layout=twitter").await;
    let meaning = &tweet.value()["meanings"][0];
    assert_eq!(meaning["time"], "2022-06-28T16:07:40.105Z");
    assert_eq!(meaning["parts"][2], json!({"name": "datacenter", "bits": 5, "value": "11"}));
    server.json("PUT", "/v1/sequences/e", r#"{"kind":"snowflake","layout":"discord"}"#).await;
    let of = server.get("/v1/decode/175928847299117063?sequence=e").await;
    assert_eq!(of.value()["meanings"][0]["time"], "2016-04-30T11:18:25.796Z");
    for (path, told) in [
        ("/v1/decode/12x", "at character 3"),
        ("/v1/decode/%ff", "at character 1"),
        ("/v1/decode/%20", "at character 1"),
        ("/v1/decode/%C3%A9%ff", "at character 2"),
        ("/v1/decode/1?layout=nobody", "layout"),
        ("/v1/decode/1?format=nothing", "a format is"),
        ("/v1/decode/1?layout=js53&sequence=e", "not both"),
    ] {
        let refused = server.get(path).await;
        assert_eq!(refused.status, 400, "{path}");
        assert!(refused.body.contains(told), "{path}: {}", refused.body);
    }
    assert_eq!(server.get("/v1/decode/1?sequence=none").await.status, 404);
}

#[tokio::test]
async fn ids_come_in_the_format_that_is_asked_for() {
    let server = Server::start().await;
    let next = server.post("/v1/sequences/notes/next?count=2&format=order_hex").await;
    let ids = json!(["order_0000000000000001", "order_0000000000000002"]);
    assert_eq!((next.value()["ids"].clone(), next.value().get("first")), (ids, None));
    let refused = server.post("/v1/sequences/notes/next?format=hexx").await;
    assert!(refused.status == 400 && refused.body.contains("base58"), "{}", refused.body);
    // Nothing was issued for the request that was refused.
    let next = server.post("/v1/sequences/notes/next?format=native").await;
    assert_eq!(next.value()["first"], "3");
}
