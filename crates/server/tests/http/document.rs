//! The OpenAPI document: generated from the code, and the same as the one in `docs`.

use std::path::Path;

use serde_json::Value;

use super::support::Server;

/// Set it to 1 to write what the code says into `docs/openapi.json`.
const UPDATE: &str = "TICKETD_UPDATE_GOLDEN";

#[test]
fn the_document_in_docs_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let document = serde_json::to_value(ticketd_server::http::openapi()).unwrap();
    let said = serde_json::to_string_pretty(&document).unwrap() + "\n";
    if std::env::var(UPDATE).is_ok_and(|value| value == "1") {
        std::fs::write(&path, &said).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == said,
        "docs/openapi.json is not what the code says; look at the difference after \
         {UPDATE}=1 cargo test -p ticketd-server --test http"
    );
}

#[tokio::test]
async fn the_server_serves_the_document() {
    let server = Server::start().await;
    let served = server.get("/openapi.json").await.value();
    assert_eq!(served, serde_json::to_value(ticketd_server::http::openapi()).unwrap());
}

#[test]
fn the_document_is_complete() {
    let document = serde_json::to_value(ticketd_server::http::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let mut operations = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            operations.push(format!("{method} {path}"));
            check_operation(path, operation);
        }
    }
    operations.sort();
    let expected = [
        "get /",
        "get /healthz",
        "get /metrics",
        "get /openapi.json",
        "get /readyz",
        "get /v1/cluster",
        "get /v1/decode/{id}",
        "get /v1/sequences",
        "get /v1/sequences/{name}",
        "get /v1/stride/{name}",
        "post /v1/sequences/{name}/next",
        "post /v1/sequences/{name}/raise",
        "post /v1/stride/{name}",
        "put /v1/sequences/{name}",
    ];
    assert_eq!(operations, expected);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let text = document.to_string();
    for name in schemas.keys() {
        assert!(text.contains(&format!("#/components/schemas/{name}\"")), "{name} is used");
    }
}

fn check_operation(path: &str, operation: &Value) {
    assert!(operation["summary"].is_string(), "{path} has a summary");
    let responses = operation["responses"].as_object().unwrap();
    assert!(responses.keys().any(|status| status.starts_with('2')), "{path} can succeed");
    for (status, response) in responses {
        let content = response["content"].as_object().unwrap();
        if status.starts_with('2') {
            assert!(content.values().all(|content| content["schema"].is_object()), "{path}");
            continue;
        }
        let problem = &content["application/problem+json"];
        assert_eq!(problem["schema"]["$ref"], "#/components/schemas/Problem", "{path} {status}");
        assert_eq!(problem["example"]["status"].to_string(), *status, "{path}");
    }
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        assert!(parameter["description"].is_string(), "{path}: {parameter}");
        assert!(!parameter["example"].is_null(), "{path}: {parameter}");
    }
}
