//! `GET /v1/decode/{id}`: what an ID says of itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use ticketd_core::decode::Meaning;
use ticketd_core::time::Rfc3339;
use utoipa::ToSchema;

use super::HttpContext;
use super::document::ShowProblems;
use super::problem::Problem;
use super::request::query;
use crate::service::{Hints, text_of};

/// What comes before the ID in the path.
const PREFIX: &str = "/v1/decode/";

/// Explains an ID: of ticketd, or one that is taken for such.
///
/// All plausible meanings are told, the most telling first.
#[utoipa::path(
    get,
    path = "/v1/decode/{id}",
    operation_id = "decode",
    tag = "IDs",
    params(
        ("id" = String, Path, description = "The ID, in any form",
         example = "1541815603606036480"),
        ("layout" = Option<String>, Query, description = "The layout of the integer that it is",
         example = "twitter"),
        ("sequence" = Option<String>, Query, description = "The sequence that it is of",
         example = "events"),
        ("format" = Option<String>, Query, description = "How it is written", example = "base58"),
    ),
    responses((status = 200, description = "What it says", body = Decoded), ShowProblems),
)]
pub(super) async fn decode(
    State(context): State<Arc<HttpContext>>,
    request: Request,
) -> Result<Response, Problem> {
    let encoded = request.uri().path().strip_prefix(PREFIX).unwrap_or_default();
    let id: Vec<u8> = percent_decode_str(encoded).collect();
    let id = text_of(&id)?;
    let [layout, sequence, format] = query(request.uri(), ["layout", "sequence", "format"])?;
    let hints = Hints {
        layout: layout.as_deref(),
        sequence: sequence.as_deref(),
        format: format.as_deref(),
    };
    let meanings = context.service.decode(id, &hints).await?;
    Ok(Json(Decoded::new(id, &meanings)).into_response())
}

/// What an ID says of itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct Decoded {
    /// The ID as it was given.
    #[schema(example = "1541815603606036480")]
    id: String,
    /// All plausible meanings, the most telling first.
    meanings: Vec<MeaningShown>,
}

/// One way to read an ID.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Meaning)]
struct MeaningShown {
    /// What it is.
    #[schema(example = "snowflake of layout twitter")]
    kind: String,
    /// The moment that it carries, in RFC 3339, UTC; `null` if it carries none.
    #[schema(required = true, example = "2022-06-28T16:07:40.105Z")]
    time: Option<String>,
    /// The same in milliseconds since 1970.
    #[schema(required = true, example = "1656432460105")]
    time_unix_ms: Option<String>,
    /// More about it.
    notes: Vec<Note>,
    /// Its bits, from the most significant down.
    parts: Vec<PartShown>,
    /// The same as lines of text: 64 bits a row, and below each the letter of its part.
    drawing: Vec<String>,
}

/// More about an ID.
#[derive(Debug, Serialize, ToSchema)]
struct Note {
    #[schema(example = "worker")]
    name: &'static str,
    #[schema(example = "378")]
    value: String,
}

/// Adjacent bits that mean something together.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Part)]
struct PartShown {
    /// What they mean.
    #[schema(example = "counter")]
    name: String,
    /// How many they are.
    #[schema(minimum = 1, maximum = 128, example = 12)]
    bits: u32,
    /// Their value.
    #[schema(example = "0")]
    value: String,
}

impl Decoded {
    /// The ID `id`, which can mean `meanings`.
    pub fn new(id: &str, meanings: &[Meaning]) -> Self {
        Self { id: id.to_owned(), meanings: meanings.iter().map(MeaningShown::new).collect() }
    }
}

impl MeaningShown {
    fn new(meaning: &Meaning) -> Self {
        let note = |(name, value): &(&'static str, String)| Note { name, value: value.clone() };
        let part = |part: &ticketd_core::decode::Part| PartShown {
            name: part.name.clone(),
            bits: part.bits,
            value: part.value.to_string(),
        };
        Self {
            kind: meaning.kind.clone(),
            time: meaning.time_ms.map(|ms| Rfc3339(ms).to_string()),
            time_unix_ms: meaning.time_ms.map(|ms| ms.to_string()),
            notes: meaning.notes.iter().map(note).collect(),
            parts: meaning.parts.iter().map(part).collect(),
            drawing: meaning.drawing(),
        }
    }
}
