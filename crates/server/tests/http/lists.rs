//! The list of sequences, page by page.

use serde_json::{Value, json};

use super::support::Server;

async fn names(server: &Server, query: &str) -> (Vec<String>, Value) {
    let page = server.get(&format!("/v1/sequences{query}")).await.value();
    let names = page["sequences"].as_array().unwrap();
    let names = names.iter().map(|info| info["sequence"].as_str().unwrap().to_owned()).collect();
    (names, page["next_after"].clone())
}

#[tokio::test]
async fn an_empty_server_lists_nothing() {
    let server = Server::start().await;
    let reply = server.get("/v1/sequences").await;
    assert_eq!(reply.body, r#"{"sequences":[],"next_after":null}"#);
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_overlap() {
    let server = Server::start().await;
    for name in ["b", "a%2Fb", "a", "C", "_"] {
        server.post(&format!("/v1/sequences/{name}/next")).await;
    }
    let all = ["C", "_", "a", "a/b", "b"];
    assert_eq!(names(&server, "").await, (all.map(String::from).to_vec(), Value::Null));
    for limit in 1..=6 {
        let (mut seen, mut after, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let (page, next) = names(&server, &format!("?limit={limit}&after={after}")).await;
            assert!(page.len() <= limit && !page.is_empty());
            seen.extend(page);
            pages += 1;
            match next {
                Value::String(next) => after = next.replace('/', "%2F"),
                _ => break,
            }
        }
        assert_eq!(seen, all, "limit {limit}");
        assert_eq!(pages, all.len().div_ceil(limit), "limit {limit}");
    }
    assert_eq!(names(&server, "?after=a").await.0, ["a/b", "b"]);
    assert_eq!(names(&server, "?after=zzz").await, (vec![], Value::Null));
    assert_eq!(names(&server, "?limit=10000").await.0.len(), 5);
}

#[tokio::test]
async fn a_page_has_a_hundred_sequences_unless_told() {
    let server = Server::start().await;
    for n in 0..101 {
        server.json("PUT", &format!("/v1/sequences/n{n:03}"), "").await;
    }
    let (page, next) = names(&server, "").await;
    assert_eq!((page.len(), next), (100, json!("n099")));
}

#[tokio::test]
async fn a_bad_page_is_refused() {
    let server = Server::start().await;
    let bad = [
        "limit=0",
        "limit=-1",
        "limit=+1",
        "limit=",
        "limit=x",
        "limit=10001",
        "limit=1&limit=1",
        "limit=100000000000000000000000",
        "after=.a",
        "after=a%20b",
        "after=%ff",
        "count=1",
        "after=a&after=b",
    ];
    for query in bad {
        server.get(&format!("/v1/sequences?{query}")).await.invalid();
    }
}
