//! The endpoints under `/v1/stride`: what a member of a stride sequence says of itself, and the
//! steps of a resize that it takes. `ticketd stride resize` is their client.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use ticketd_core::stride::resize::{Step, View};
use ticketd_core::stride::{Accepted, PlanId, Seat, Standing};
use utoipa::ToSchema;

use super::HttpContext;
use super::document::{CreateProblems, NamePath, ShowProblems};
use super::problem::Problem;
use super::request::{json, name, query, refuse_cross_site};
use crate::error::{ErrorKind, ServiceError};

/// The path that all members are under.
const PREFIX: &str = "/v1/stride/";

/// Everything below `/v1/stride/`. One handler, since a name may contain slashes.
pub(super) async fn dispatch(
    State(context): State<Arc<HttpContext>>,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let name = name(head.uri.path().strip_prefix(PREFIX).unwrap_or_default())?;
    let [] = query(&head.uri, [])?;
    match head.method {
        Method::GET | Method::HEAD => member(&context, &name).await,
        Method::POST => {
            refuse_cross_site(&head.headers)?;
            let asked = json::<TakeStep>(&head.headers, body).await?;
            let view = context.service.resize(&name, asked.step()?).await?;
            Ok(Json(MemberInfo::new(&view)).into_response())
        }
        _ => Err(Problem::wrong_method(Some("GET, HEAD, POST"))),
    }
}

/// Shows where this server stands as a member of a stride sequence.
#[utoipa::path(
    get,
    path = "/v1/stride/{name}",
    operation_id = "member",
    tag = "stride",
    params(NamePath),
    responses((status = 200, description = "The member", body = MemberInfo), ShowProblems),
)]
async fn member(
    context: &HttpContext,
    name: &ticketd_core::name::Name,
) -> Result<Response, Problem> {
    match context.service.member(name).await? {
        Some(view) => Ok(Json(MemberInfo::new(&view)).into_response()),
        None => {
            let message = format!("there is no sequence {name}; create it first");
            Err(ServiceError::new(ErrorKind::NotFound, message).into())
        }
    }
}

/// Takes a step of a resize.
///
/// The same step again is no error. A step that is not taken changes nothing.
#[utoipa::path(
    post,
    path = "/v1/stride/{name}",
    operation_id = "resize",
    tag = "stride",
    params(NamePath),
    request_body(content = TakeStep),
    responses(
        (status = 200, description = "The step is taken; the member is now so", body = MemberInfo),
        CreateProblems,
    ),
)]
#[expect(dead_code, reason = "it carries the description of what `dispatch` does")]
const fn take() {}

/// A plan of a resize.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanShown {
    /// The larger, the later.
    #[schema(example = 1)]
    attempt: u32,
    /// Tells plans of one attempt apart: 16 hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{1,16}$", example = "9c1185a5c5e9fc54")]
    digest: String16,
}

/// A 64-bit number as hexadecimal digits.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String)]
struct String16(u64);

impl TryFrom<String> for String16 {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&text, 16).map(Self)
    }
}

impl From<String16> for String {
    fn from(number: String16) -> Self {
        format!("{:016x}", number.0)
    }
}

impl From<PlanId> for PlanShown {
    fn from(plan: PlanId) -> Self {
        Self { attempt: plan.attempt, digest: String16(plan.digest) }
    }
}

impl From<PlanShown> for PlanId {
    fn from(plan: PlanShown) -> Self {
        Self { attempt: plan.attempt, digest: plan.digest.0 }
    }
}

/// A place among members.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SeatShown {
    /// How many members there are.
    #[schema(minimum = 1, maximum = 65_536, example = 5)]
    members: u32,
    /// Which of them this is, from 1 on.
    #[schema(minimum = 1, maximum = 65_536, example = 2)]
    offset: u32,
}

impl From<Seat> for SeatShown {
    fn from(seat: Seat) -> Self {
        Self { members: seat.members(), offset: seat.offset() }
    }
}

impl SeatShown {
    fn seat(self) -> Result<Seat, Problem> {
        Seat::new(self.members, self.offset).map_err(Problem::invalid)
    }
}

/// A step of a resize.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(tag = "step", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum TakeStep {
    /// No step was named.
    #[default]
    #[serde(skip)]
    #[schema(ignore)]
    None,
    /// Accept a plan: reserve nothing from `cap` on until it opens.
    Accept {
        plan: PlanShown,
        /// The number of the generation that the plan ends.
        generation: u32,
        /// Where this member will sit; without it, it leaves.
        seat: Option<SeatShown>,
        /// Reserve nothing from this ID on; of no meaning if it joins.
        #[schema(value_type = String, example = "1000000001")]
        cap: Number,
        /// Whether it joins.
        joins: bool,
    },
    /// Count in the new seat, at or above `floor`.
    Open {
        plan: PlanShown,
        #[schema(value_type = String, example = "1000000001")]
        floor: Number,
    },
    /// Never accept the plan, which would end this generation.
    Refuse { plan: PlanShown, generation: u32 },
    /// Forget the plan, which will never open.
    Release { plan: PlanShown },
}

/// A 64-bit number as a string.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Number(u64);

impl TryFrom<String> for Number {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl From<Number> for String {
    fn from(number: Number) -> Self {
        number.0.to_string()
    }
}

impl TakeStep {
    fn step(self) -> Result<Step, Problem> {
        Ok(match self {
            Self::None => return Err(Problem::invalid("name a step: {\"step\": \"open\", ...}")),
            Self::Accept { plan, generation, seat, cap, joins } => {
                let seat = seat.map(SeatShown::seat).transpose()?;
                let accepted = Accepted { plan: plan.into(), generation, seat, cap: cap.0 };
                Step::Accept { accepted, joins }
            }
            Self::Open { plan, floor } => Step::Open { plan: plan.into(), floor: floor.0 },
            Self::Refuse { plan, generation } => Step::Refuse { plan: plan.into(), generation },
            Self::Release { plan } => Step::Release { plan: plan.into() },
        })
    }
}

/// Where a member of a stride sequence stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MemberInfo {
    /// `joining` issues nothing yet, `issuing` does, `left` never will.
    #[schema(example = "issuing")]
    standing: &'static str,
    /// The number of its generation, from 1 on.
    #[schema(example = 1)]
    generation: u32,
    seat: SeatShown,
    /// The first ID that it has not yet reserved.
    #[schema(value_type = String, example = "1001")]
    reached: Number,
    /// It accepts only plans of a later attempt.
    attempt: u32,
    /// The plan that brought it here; the attempt is 0 if none has.
    opened: PlanShown,
    /// The ID that its generation began at or above.
    #[schema(value_type = String, example = "0")]
    floor: Number,
    /// The plan that it has accepted.
    accepted: Option<AcceptedShown>,
}

/// A plan that a member has accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AcceptedShown {
    plan: PlanShown,
    /// The number of the generation that the plan ends.
    generation: u32,
    /// Where the member will sit; `null` if it leaves.
    seat: Option<SeatShown>,
    /// It reserves nothing from this ID on.
    #[schema(value_type = String, example = "1000000001")]
    cap: Number,
}

impl MemberInfo {
    fn new(view: &View) -> Self {
        Self {
            standing: match view.standing {
                Standing::Joining => "joining",
                Standing::Issuing => "issuing",
                Standing::Left => "left",
            },
            generation: view.number,
            seat: view.seat.into(),
            reached: Number(view.reached),
            attempt: view.attempt,
            opened: view.opened.plan.into(),
            floor: Number(view.opened.floor),
            accepted: view.accepted.map(|accepted| AcceptedShown {
                plan: accepted.plan.into(),
                generation: accepted.generation,
                seat: accepted.seat.map(Into::into),
                cap: Number(accepted.cap),
            }),
        }
    }
}
