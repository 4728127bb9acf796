//! The endpoints under `/v1/sequences`: each checks, calls the service, and puts into words.
//!
//! Whoever leaves before the answer drops the handler. That harms nothing: a reservation belongs
//! to the owner task of its sequence, and IDs that nobody takes are booked as burnt.

use std::future::Future;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::LOCATION;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ticketd_core::count::Count;
use ticketd_core::name::Name;
use ticketd_core::text::Format;

use super::HttpContext;
use super::choice::CreateSequence;
use super::document::{
    CreateProblems, ListProblems, NamePath, NextProblems, RaiseProblems, ShowProblems,
};
use super::problem::Problem;
use super::request::{SEQUENCES_PREFIX, Target, json, name, query, refuse_cross_site};
use super::wire::{NextIds, Nothing, RaiseSequence, Raised, SequenceInfo, SequencePage};
use crate::error::{ErrorKind, ServiceError};
use crate::limits::LIST_PAGE_MAX;

/// Sequences on a page if the request does not say.
const PAGE_LEN: usize = 100;

/// What a name keeps as it is when it stands in a path. Its slashes are encoded: see
/// [`super::request`].
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b':').remove(b'-');

/// Everything below `/v1/sequences/`. One handler, since a name may contain slashes.
pub(super) async fn dispatch(
    State(context): State<Arc<HttpContext>>,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let (target, encoded) = Target::of(head.uri.path());
    match (target, head.method.clone()) {
        (Target::Sequence, Method::GET | Method::HEAD) => show(&context, &name(encoded)?).await,
        (Target::Sequence, Method::PUT) => create(&context, &name(encoded)?, &head, body).await,
        (Target::Next, Method::POST) => next(&context, &name(encoded)?, &head, body).await,
        (Target::Raise, Method::POST) => raise(&context, &name(encoded)?, &head, body).await,
        _ => Err(Problem::wrong_method(Some(target.allow()))),
    }
}

/// Gives the next IDs of a sequence.
///
/// They are given to nobody else; tickets are contiguous, and all that need a store are durable. A sequence that does not exist is
/// created as a strict `ticket`, unless the server is set not to. Nothing undoes this request: if
/// its answer is lost, its IDs are a gap.
#[utoipa::path(
    post,
    path = "/v1/sequences/{name}/next",
    operation_id = "next",
    tag = "sequences",
    params(
        NamePath,
        ("count" = Option<u32>, Query, description = "How many IDs; 1 if not given", minimum = 1,
         maximum = 1_000_000, example = 10),
        ("format" = Option<String>, Query, example = "base58",
         description = "How IDs are written: `native`, `decimal`, `hex`, `base58`, `base62`, \
                        `crockford`, or a prefix before one, such as `order_base58`; `order_` \
                        alone is `order_crockford`. All but `native` give `ids`"),
    ),
    responses((status = 200, description = "The IDs", body = NextIds), NextProblems),
)]
async fn next(
    context: &HttpContext,
    name: &Name,
    head: &Parts,
    body: Body,
) -> Result<Response, Problem> {
    refuse_cross_site(&head.headers)?;
    let [count, format] = query(&head.uri, ["count", "format"])?;
    let count = match count {
        Some(text) => Count::parse(text.as_bytes()).map_err(Problem::invalid)?,
        None => Count::ONE,
    };
    let format = format.map_or(Ok(Format::default()), |text| text.parse());
    let format = format.map_err(Problem::invalid)?;
    let Nothing {} = json(&head.headers, body).await?;
    let issued = context.service.next(name, count).await?;
    Ok(Json(NextIds::new(name, issued, format)).into_response())
}

/// Raises a sequence: nothing at or below `to` is issued from then on.
///
/// Of tickets the next ID is `to + 1`. A sequence only moves forward; raising it again to where it
/// is already is no error. IDs that were skipped are booked as burnt.
#[utoipa::path(
    post,
    path = "/v1/sequences/{name}/raise",
    operation_id = "raise",
    tag = "sequences",
    params(NamePath),
    request_body(content = RaiseSequence, example = json!({"to": "5000"})),
    responses((status = 200, description = "The sequence is raised", body = Raised), RaiseProblems),
)]
async fn raise(
    context: &HttpContext,
    name: &Name,
    head: &Parts,
    body: Body,
) -> Result<Response, Problem> {
    refuse_cross_site(&head.headers)?;
    let [] = query(&head.uri, [])?;
    let to = json::<RaiseSequence>(&head.headers, body).await?.to()?;
    let raised = context.service.raise(name, to).await?;
    Ok(Json(Raised::new(name, raised)).into_response())
}

/// Shows a sequence.
#[utoipa::path(
    get,
    path = "/v1/sequences/{name}",
    operation_id = "show",
    tag = "sequences",
    params(NamePath),
    responses((status = 200, description = "The sequence", body = SequenceInfo), ShowProblems),
)]
async fn show(context: &HttpContext, name: &Name) -> Result<Response, Problem> {
    let info = in_time(context, context.service.show(name)).await?;
    Ok(Json(SequenceInfo::new(&info)).into_response())
}

/// Creates a sequence.
///
/// The same definition again is no error.
#[utoipa::path(
    put,
    path = "/v1/sequences/{name}",
    operation_id = "create",
    tag = "sequences",
    params(NamePath),
    request_body(content = CreateSequence,
                 example = json!({"kind": "ticket", "block_len": "1000"})),
    responses(
        (status = 201, description = "The sequence is made", body = SequenceInfo,
         headers(("Location" = String, description = "The path of the sequence"))),
        (status = 200, description = "It existed with this definition", body = SequenceInfo),
        CreateProblems,
    ),
)]
async fn create(
    context: &HttpContext,
    name: &Name,
    head: &Parts,
    body: Body,
) -> Result<Response, Problem> {
    refuse_cross_site(&head.headers)?;
    let [] = query(&head.uri, [])?;
    let chosen = json::<CreateSequence>(&head.headers, body).await?;
    let (wanted, insists) = (chosen.definition()?, chosen.insists());
    let created = in_time(context, context.service.create(name, wanted, insists)).await?;
    let answer = Json(SequenceInfo::new(&created.info));
    if !created.is_new {
        return Ok(answer.into_response());
    }
    let mut response = (StatusCode::CREATED, answer).into_response();
    let path = format!("{SEQUENCES_PREFIX}{}", utf8_percent_encode(name.as_str(), IN_PATH));
    if let Ok(path) = HeaderValue::try_from(path) {
        response.headers_mut().insert(LOCATION, path);
    }
    Ok(response)
}

/// Lists the sequences by name, a page at a time.
#[utoipa::path(
    get,
    path = "/v1/sequences",
    operation_id = "list",
    tag = "sequences",
    params(
        ("after" = Option<String>, Query, example = "notes",
         description = "Only names after this one in byte order; from the first if empty",
         pattern = "^([A-Za-z0-9_][A-Za-z0-9._:/-]{0,127})?$"),
        ("limit" = Option<u32>, Query, description = "At most this many; 100 if not given",
         minimum = 1, maximum = 10_000, example = 100),
    ),
    responses((status = 200, description = "One page", body = SequencePage), ListProblems),
)]
pub(super) async fn list(
    State(context): State<Arc<HttpContext>>,
    request: Request,
) -> Result<Response, Problem> {
    let [after, limit] = query(request.uri(), ["after", "limit"])?;
    let after = after.filter(|after| !after.is_empty());
    let after = after.map(|after| Name::new(&after)).transpose().map_err(Problem::invalid)?;
    let limit = limit.map_or(Ok(PAGE_LEN), |text| page_len(&text))?;
    // One more than asked for shows whether there is a next page.
    let infos = in_time(&context, context.service.list(after.as_ref(), limit + 1)).await?;
    let is_last = infos.len() <= limit && infos.len() < LIST_PAGE_MAX;
    let sequences: Vec<_> = infos.iter().take(limit).map(SequenceInfo::new).collect();
    let last = infos.iter().take(limit).next_back().filter(|_| !is_last);
    let next_after = last.map(|info| info.name.to_string());
    Ok(Json(SequencePage { sequences, next_after }).into_response())
}

fn page_len(text: &str) -> Result<usize, Problem> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(limit) if digits && (1..=LIST_PAGE_MAX).contains(&limit) => Ok(limit),
        _ => Err(Problem::invalid(format!("a limit is a whole number from 1 to {LIST_PAGE_MAX}"))),
    }
}

/// Bounds what asks the store directly and not through an owner, which has its own deadline.
async fn in_time<T>(
    context: &HttpContext,
    asked: impl Future<Output = Result<T, ServiceError>>,
) -> Result<T, Problem> {
    let limit = context.service.settings().request_timeout;
    match tokio::time::timeout(limit, asked).await {
        Ok(answer) => Ok(answer?),
        Err(_) => {
            let message = "the store has not answered in time; try again";
            Err(ServiceError::new(ErrorKind::Unavailable, message).into())
        }
    }
}
