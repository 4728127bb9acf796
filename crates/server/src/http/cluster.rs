//! The servers that share an engine: `/v1/cluster` for people, `/v1/peer` for each other.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use ticketd_core::name::Name;
use utoipa::ToSchema;

use super::HttpContext;
use super::document::ListProblems;
use super::problem::Problem;
use super::request::{json, refuse_cross_site};
use crate::cluster::peer::Ask;
use crate::cluster::versions::SPOKEN;
use crate::cluster::{Cluster, ServerSeen};
use crate::error::{ErrorKind, ServiceError};

/// Sequences that are shown with their owners.
const SHOWN_MAX: usize = 1000;

/// The servers that share an engine, and who owns what.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClusterInfo {
    /// The same for all servers that share what is in the engine.
    #[schema(example = "5b0c7a1e9f3d2486")]
    cluster: String,
    /// The engine, without credentials.
    #[schema(example = "etcd://127.0.0.1:2379/ticketd")]
    engine: String,
    /// All servers that are there, in the order of their addresses.
    servers: Vec<ServerInfo>,
    /// The first thousand sequences that one server at a time owns, in the order of their names.
    sequences: Vec<OwnedInfo>,
}

/// A server.
#[derive(Debug, Serialize, ToSchema)]
struct ServerInfo {
    /// One run of one server.
    #[schema(example = "00c0ffee00c0ffee")]
    id: String,
    /// Where the others reach it.
    #[schema(example = "127.0.0.1:7118")]
    address: String,
    /// Its version.
    #[schema(example = "0.1.0")]
    version: String,
    /// The version of what it says to the others.
    #[schema(example = 1)]
    protocol: u32,
    /// The length of its lease.
    #[schema(example = 3.0)]
    lease_seconds: f64,
    /// For how long it has not been seen to renew its lease.
    #[schema(example = 0.4)]
    age_seconds: f64,
    /// Whether it is the one that was asked.
    is_me: bool,
    /// How many of the sequences shown it owns.
    #[schema(example = 12)]
    owns: u64,
}

/// A sequence that one server at a time owns.
#[derive(Debug, Serialize, ToSchema)]
struct OwnedInfo {
    /// Its name.
    #[schema(example = "notes")]
    sequence: String,
    /// The ID of its owner; `null` if nobody owns it.
    #[schema(required = true, example = "00c0ffee00c0ffee")]
    owner: Option<String>,
    /// The fencing token: it rises with each new owner.
    #[schema(example = "3")]
    turn: String,
}

/// Shows the servers that share this one's engine.
#[utoipa::path(
    get,
    path = "/v1/cluster",
    operation_id = "cluster",
    tag = "operations",
    responses((status = 200, description = "The servers", body = ClusterInfo), ListProblems),
)]
pub(super) async fn show(
    State(context): State<Arc<HttpContext>>,
) -> Result<Json<ClusterInfo>, Problem> {
    let Some(cluster) = context.service.cluster() else {
        let message = "this server is alone: with --store etcd://..., postgres://... or mysql://... \
                       several share an engine";
        return Err(ServiceError::new(ErrorKind::NotFound, message).into());
    };
    Ok(Json(ClusterInfo::new(cluster).await?))
}

/// Answers another server.
pub(super) async fn answer(
    State(context): State<Arc<HttpContext>>,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    refuse_cross_site(&head.headers)?;
    let asked = json::<Option<Value>>(&head.headers, body).await?;
    let ask = Ask::read(asked.unwrap_or_default(), SPOKEN).map_err(Problem::invalid)?;
    let name = Name::new(&ask.sequence).map_err(Problem::invalid)?;
    let within = Duration::from_millis(ask.within_ms);
    match context.service.answer_server(&name, ask.wish, within).await {
        Some(told) => Ok(Json(told).into_response()),
        // It is asked again, or somebody else is.
        None => Ok(StatusCode::SERVICE_UNAVAILABLE.into_response()),
    }
}

impl ClusterInfo {
    async fn new(cluster: &Cluster) -> Result<Self, ServiceError> {
        let owned = cluster.store().owners(None, SHOWN_MAX).await?;
        let owns = |seen: &ServerSeen| {
            owned.iter().filter(|(_, shared)| shared.owner == Some(seen.id)).count() as u64
        };
        let servers = cluster.servers();
        Ok(Self {
            cluster: cluster.store().cluster().to_owned(),
            engine: cluster.store().engine().label().to_owned(),
            servers: servers.iter().map(|seen| ServerInfo::new(seen, owns(seen))).collect(),
            sequences: owned
                .iter()
                .map(|(name, shared)| OwnedInfo {
                    sequence: name.to_string(),
                    owner: shared.owner.map(|owner| owner.to_string()),
                    turn: shared.turn.to_string(),
                })
                .collect(),
        })
    }
}

impl ServerInfo {
    fn new(seen: &ServerSeen, owns: u64) -> Self {
        Self {
            id: seen.id.to_string(),
            address: seen.says.address.clone(),
            version: seen.says.version.clone(),
            protocol: seen.says.protocol,
            lease_seconds: seen.says.ttl_ms as f64 / 1000.0,
            age_seconds: seen.age.as_secs_f64(),
            is_me: seen.is_me,
            owns,
        }
    }
}
