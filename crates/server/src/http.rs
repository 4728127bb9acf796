//! HTTP/JSON over the service.
//!
//! [`router`] is everything behind a connection; listening and accepting are the server's.
//! Handlers check the request, call the [`Service`] and put its answer into `wire` types; they
//! hold no state. Every error is a problem document, and [`openapi`] describes it all from the
//! same code. How names stand in paths is told in `request.rs`.

mod choice;
mod cluster;
mod decode;
mod document;
mod probes;
mod problem;
mod request;
mod sequences;
mod stride;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{any, post};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::choice::CreateSequence;
pub use self::decode::Decoded;
use self::document::Document;
use self::problem::Problem;
use crate::cluster::peer;
use crate::error::ErrorKind;
use crate::metrics::Traffic;
use crate::service::Service;

/// What the endpoints work with.
#[derive(Debug)]
pub struct HttpContext {
    /// The service that they call.
    pub service: Arc<Service>,
    /// Where errors are counted. Connections are counted by whoever accepts them.
    pub traffic: Arc<Traffic>,
    /// Where this server listens for RESP, for `/healthz`.
    pub resp_addr: String,
    /// Where this server listens for HTTP, for `/healthz`.
    pub http_addr: String,
}

/// All endpoints. It answers every request, and none with a panic.
pub fn router(context: Arc<HttpContext>) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .fallback(async |request: Request| Problem::unknown_path(request.uri().path()))
        .method_not_allowed_fallback(async || Problem::wrong_method(None))
        .layer(from_fn_with_state(Arc::clone(&context), finish))
        .with_state(context)
}

/// The OpenAPI document of [`router`].
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes().into_openapi()
}

fn routes() -> OpenApiRouter<Arc<HttpContext>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(probes::index))
        .routes(routes!(probes::healthz))
        .routes(routes!(probes::readyz))
        .routes(routes!(probes::metrics))
        .routes(routes!(probes::openapi))
        .routes(routes!(sequences::list))
        .routes(routes!(decode::decode))
        .routes(routes!(cluster::show))
        .route(peer::PATH, post(cluster::answer))
        .route("/v1/sequences/{*rest}", any(sequences::dispatch))
        .route("/v1/stride/{*rest}", any(stride::dispatch))
}

/// What every answer gets: an error is counted, and nobody keeps a copy, since an ID that comes
/// twice out of a cache would be a duplicate.
async fn finish(State(context): State<Arc<HttpContext>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(kind) = response.extensions().get::<ErrorKind>() {
        context.traffic.http.error(*kind);
    }
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
