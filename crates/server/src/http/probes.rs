//! The endpoints for those who run the server: health, readiness, metrics, the document, an index.

use std::sync::{Arc, LazyLock};

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::HttpContext;
use super::document::ReadyProblems;
use super::problem::Problem;
use super::wire::{Health, Readiness};
use crate::error::{ErrorKind, ServiceError};
use crate::metrics;

const INDEX: &str = "\
ticketd hands out unique IDs.

POST /v1/sequences/{name}/next?count=n   the next IDs of a sequence
POST /v1/sequences/{name}/raise          {\"to\":\"5000\"}: the next ID is 5001
GET  /v1/stride/{name}                   this member of a stride sequence
POST /v1/stride/{name}                   a step of a resize: see 'ticketd stride resize'
GET  /v1/sequences                       the sequences; ?after=name&limit=n
GET  /v1/sequences/{name}                one sequence
PUT  /v1/sequences/{name}                creates one; {\"kind\":\"ticket\",\"block_len\":\"auto\"}
GET  /v1/decode/{id}                     what an ID says; ?layout=, ?sequence=, ?format=
GET  /v1/cluster                         the servers that share this one's engine
GET  /healthz                            the process lives
GET  /readyz                             it can issue IDs
GET  /metrics                            for Prometheus
GET  /openapi.json                       all of this for programs

A slash in a name is written %2F.
";

/// Names the endpoints.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "index",
    tag = "operations",
    responses((status = 200, description = "The endpoints", body = String,
               content_type = "text/plain; charset=utf-8")),
)]
pub(super) async fn index() -> &'static str {
    INDEX
}

/// Says that the process lives.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "healthz",
    tag = "operations",
    responses((status = 200, description = "It lives", body = Health)),
)]
pub(super) async fn healthz(State(context): State<Arc<HttpContext>>) -> Json<Health> {
    Json(Health {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
        resp: context.resp_addr.clone(),
        http: context.http_addr.clone(),
        uptime_seconds: context.service.clock().uptime().as_secs(),
    })
}

/// Says whether this server can issue IDs.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "operations",
    responses((status = 200, description = "It can", body = Readiness), ReadyProblems),
)]
pub(super) async fn readyz(
    State(context): State<Arc<HttpContext>>,
) -> Result<Json<Readiness>, Problem> {
    match context.service.ready() {
        Ok(()) => Ok(Json(Readiness { status: "ready" })),
        Err(error) => Err(Problem::from(error).not_ready()),
    }
}

/// The metrics, for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "operations",
    responses((status = 200, description = "Exposition format 0.0.4", body = String,
               content_type = "text/plain; version=0.0.4; charset=utf-8")),
)]
pub(super) async fn metrics(State(context): State<Arc<HttpContext>>) -> Result<Response, Problem> {
    // It looks at every open sequence, and there may be a million: not on an async worker.
    let encoding = move || metrics::encode(&context.service, &context.traffic);
    match tokio::task::spawn_blocking(encoding).await {
        Ok(text) => Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()),
        Err(_) => {
            let message = "the metrics could not be read; try again";
            Err(ServiceError::new(ErrorKind::Unavailable, message).into())
        }
    }
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "operations",
    responses((status = 200, description = "The OpenAPI document", body = serde_json::Value)),
)]
pub(super) async fn openapi() -> Response {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
        serde_json::to_vec(&super::openapi()).expect("the document is plain data").into()
    });
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.clone()).into_response()
}
