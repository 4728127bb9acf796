//! The parts of the OpenAPI document that are more than a type: its head, which errors an
//! endpoint has, and schemas that no derive can tell.

use std::collections::BTreeMap;

use serde_json::json;
use ticketd_core::limits::{BLOCK_LEN_MAX, ID_MAX};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, Response, ResponseBuilder};
use utoipa::{IntoParams, IntoResponses, Modify, OpenApi};

use super::problem::{PROBLEM_JSON, ProblemBody};
use super::sequences::{__path_create, __path_next, __path_raise, __path_show};
use super::stride::{__path_member, __path_take};
use crate::error::ErrorKind;

/// The head of the document, and the endpoints that share one catch-all route.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "ticketd",
        description = "A ticket server: unique IDs for many processes, durable before they are \
                       answered.\n\nIDs are strings in JSON, because JavaScript loses digits \
                       above 2^53. Every error is a problem document of RFC 9457; its `kind` says \
                       what to do.\n\nA name may contain `/` and `:`. Encode its slashes as \
                       `%2F`; they may also stand as they are, but then a name that ends in \
                       `/next` or `/raise` means something else.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "sequences", description = "Named, durable sources of IDs"),
        (name = "IDs", description = "What an ID says"),
        (name = "stride", description = "Members of stride sequences, and how they resize"),
        (name = "operations", description = "For those who run the server"),
    ),
    paths(create, next, raise, show, member, take),
    components(schemas(ProblemBody, ErrorKind)),
    modifiers(&OptionalBody),
)]
pub(super) struct Document;

/// Says that a `PUT` needs no body. The macro can only say that the body may be `null`.
struct OptionalBody;

impl Modify for OptionalBody {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for path in document.paths.paths.values_mut() {
            let body = path.put.as_mut().and_then(|put| put.request_body.as_mut());
            if let Some(RefOr::T(body)) = body {
                body.required = Some(Required::False);
            }
        }
    }
}

/// The name of a sequence in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it only describes")]
pub(super) struct NamePath {
    /// The name of the sequence, its slashes encoded as `%2F`.
    #[param(
        pattern = "^[A-Za-z0-9_][A-Za-z0-9._:/-]{0,127}$",
        min_length = 1,
        max_length = 128,
        example = "notes"
    )]
    name: String,
}

/// `auto`, or 1 to [`BLOCK_LEN_MAX`] as a number or a string of digits.
pub(super) fn block_len_schema() -> Schema {
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^(auto|[1-9][0-9]{0,6}|10000000)$"));
    let number = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(BLOCK_LEN_MAX));
    one_of(
        "How many IDs are reserved at a time. `auto` follows demand. If not given, the server's \
         setting holds.",
        [text, number, ObjectBuilder::new().schema_type(Type::Null)],
    )
}

/// 0 to [`ID_MAX`] as a number or a string of digits.
pub(super) fn to_schema() -> Schema {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-9]{1,19}$"));
    let number =
        ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).maximum(Some(ID_MAX));
    one_of(
        "Nothing at or below it is issued from then on. At most 9223372036854775807, also as a \
         string.",
        [text, number],
    )
}

fn one_of(description: &str, forms: impl IntoIterator<Item = ObjectBuilder>) -> Schema {
    let start = OneOfBuilder::new().schema_type(SchemaType::AnyValue);
    let one_of = forms.into_iter().fold(start, OneOfBuilder::item);
    one_of.description(Some(description)).build().into()
}

/// The errors of `list`.
pub(super) struct ListProblems;
/// The errors of `show`.
pub(super) struct ShowProblems;
/// The errors of `create`.
pub(super) struct CreateProblems;
/// The errors of `next`.
pub(super) struct NextProblems;
/// The errors of `raise`.
pub(super) struct RaiseProblems;
/// The errors of `readyz`.
pub(super) struct ReadyProblems;

impl IntoResponses for ListProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[400, 500, 503])
    }
}

impl IntoResponses for ShowProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[400, 404, 500, 503])
    }
}

impl IntoResponses for CreateProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[400, 403, 408, 409, 413, 415, 500, 503])
    }
}

impl IntoResponses for NextProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[400, 403, 404, 408, 410, 413, 415, 500, 503])
    }
}

impl IntoResponses for RaiseProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[400, 403, 404, 408, 409, 410, 413, 415, 500, 503])
    }
}

impl IntoResponses for ReadyProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[503])
    }
}

fn problems(statuses: &[u16]) -> BTreeMap<String, RefOr<Response>> {
    statuses.iter().map(|status| (status.to_string(), problem(*status).into())).collect()
}

fn problem(status: u16) -> Response {
    let (description, word, kind, detail) = meaning(status);
    let example = json!({
        "type": format!("urn:ticketd:problem:{word}"),
        "title": description,
        "status": status,
        "detail": detail,
        "kind": kind.as_str(),
    });
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .example(Some(example))
        .build();
    let response = ResponseBuilder::new().description(description).content(PROBLEM_JSON, content);
    if status != 503 {
        return response.build();
    }
    let seconds = ObjectBuilder::new().schema_type(Type::Integer);
    let retry_after = HeaderBuilder::new()
        .schema(Some(seconds))
        .description(Some("Seconds after which to try again"))
        .build();
    response.header("Retry-After", retry_after).build()
}

/// What a status means here: its description, and an example's word, kind and detail.
const fn meaning(status: u16) -> (&'static str, &'static str, ErrorKind, &'static str) {
    match status {
        403 => (
            "The server never does that",
            "forbidden",
            ErrorKind::Forbidden,
            "a web page of another origin cannot use this server; ask from a program",
        ),
        404 => (
            "There is no such sequence",
            "not-found",
            ErrorKind::NotFound,
            "there is no sequence notes; create it first",
        ),
        408 => (
            "The request did not come in time",
            "too-slow",
            ErrorKind::Invalid,
            "the body did not come in time; send it at once",
        ),
        409 => (
            "The sequence is otherwise than the request assumes",
            "conflict",
            ErrorKind::Conflict,
            "a sequence only moves forward: its next ID is 5001 already",
        ),
        410 => (
            "The sequence has not that many IDs left",
            "exhausted",
            ErrorKind::Exhausted,
            "the sequence is exhausted: use another one; IDs left: 0",
        ),
        413 => (
            "More than one request may carry",
            "too-large",
            ErrorKind::TooLarge,
            "a body has at most 65536 bytes",
        ),
        415 => (
            "The body is not JSON",
            "wrong-media-type",
            ErrorKind::Invalid,
            "a body is JSON and says so: Content-Type: application/json",
        ),
        500 => (
            "The store is damaged",
            "corrupt",
            ErrorKind::Corrupt,
            "the store contradicts itself; a person must look",
        ),
        503 => (
            "Not now",
            "unavailable",
            ErrorKind::Unavailable,
            "no ID could be made durable in time: the store has not answered",
        ),
        _ => (
            "The request makes no sense",
            "invalid",
            ErrorKind::Invalid,
            "a count is a whole number from 1 to 1000000",
        ),
    }
}
