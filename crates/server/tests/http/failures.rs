//! What clients are told when the store does not do its part.

use std::time::Duration;

use ticketd_server::clock::Clock;
use ticketd_server::service::ServiceSettings;

use super::support::{Mood, Server};

const TIMEOUT: Duration = Duration::from_millis(300);

async fn impatient() -> Server {
    Server::with(ServiceSettings { request_timeout: TIMEOUT, ..ServiceSettings::default() }).await
}

#[tokio::test]
async fn a_store_that_fails_or_is_silent_gives_503_within_the_request_timeout() {
    for mood in [Mood::Fails, Mood::NeverAnswers] {
        let server = impatient().await;
        server.store.be(mood);
        let clock = Clock::start();
        let replies = [
            server.post("/v1/sequences/notes/next").await,
            server.json("POST", "/v1/sequences/notes/raise", r#"{"to":"5"}"#).await,
            server.json("PUT", "/v1/sequences/other", "").await,
            server.get("/v1/sequences/other").await,
            server.get("/v1/sequences").await,
        ];
        for reply in &replies {
            reply.problem(503, "unavailable", "unavailable");
        }
        let each = clock.uptime() / replies.len() as u32;
        assert!(each < TIMEOUT * 2, "{mood:?}: {each:?} each");
        assert_eq!(server.get("/healthz").await.status, 200, "the process lives all the same");
    }
}

#[tokio::test]
async fn a_store_that_recovers_is_used_again() {
    let server = impatient().await;
    server.post("/v1/sequences/notes/next").await;
    server.store.be(Mood::Fails);
    let failed = server.post("/v1/sequences/notes/next?count=1000").await;
    let detail = failed.problem(503, "unavailable", "unavailable");
    assert!(detail.contains("out for lunch"), "{detail}");
    server.store.be(Mood::Works);
    for _ in 0..20 {
        let reply = server.post("/v1/sequences/notes/next?count=1000").await;
        if reply.status == 200 {
            assert!(server.get("/metrics").await.body.contains("ticketd_store_retries_total{"));
            return;
        }
        reply.problem(503, "unavailable", "unavailable");
    }
    panic!("the store works and nothing comes");
}

#[tokio::test]
async fn readiness_follows_the_store_and_health_does_not() {
    let server = Server::start().await;
    server.store.be(Mood::Fails);
    server.get("/readyz").await.problem(503, "unavailable", "unavailable");
    server.store.be(Mood::IsDamaged);
    server.get("/readyz").await.problem(503, "corrupt", "corrupt");
    assert_eq!(server.get("/healthz").await.status, 200);
    server.store.be(Mood::Works);
    assert_eq!(server.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_damaged_store_is_told_as_such() {
    let server = Server::start().await;
    server.store.be(Mood::IsDamaged);
    server.post("/v1/sequences/notes/next").await.problem(500, "corrupt", "corrupt");
    server.get("/v1/sequences").await.problem(500, "corrupt", "corrupt");
}

#[tokio::test]
async fn a_stopping_server_is_not_ready_and_issues_nothing() {
    let server = Server::start().await;
    server.post("/v1/sequences/notes/next").await;
    assert!(server.service.stop(Duration::from_secs(5)).await);
    server.get("/readyz").await.problem(503, "unavailable", "unavailable");
    let next = server.post("/v1/sequences/notes/next").await;
    next.problem(503, "unavailable", "unavailable");
}

#[tokio::test]
async fn a_client_that_leaves_takes_nothing_from_the_others() {
    use tokio::io::AsyncWriteExt;
    let server = impatient().await;
    server.store.be(Mood::NeverAnswers);
    for _ in 0..20 {
        let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        let request =
            "POST /v1/sequences/notes/next HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
    }
    tokio::time::sleep(TIMEOUT).await;
    server.store.be(Mood::Works);
    let ids = server.post("/v1/sequences/tasks/next").await.value();
    assert_eq!(ids["first"], "1");
}
