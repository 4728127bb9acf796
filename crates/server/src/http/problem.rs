//! Errors as HTTP tells them: `application/problem+json` of RFC 9457.

use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{ErrorKind, ServiceError};
use crate::limits::HTTP_BODY_LEN_MAX;

/// The media type of an error.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// What stands before the word in the `type` of a problem. Nothing can be fetched there, so it is
/// no address.
const TYPE_PREFIX: &str = "urn:ticketd:problem:";

/// An error on its way to a client. Its response carries the [`ErrorKind`] as an extension, for
/// whoever counts.
#[derive(Debug)]
pub(super) struct Problem {
    word: &'static str,
    title: &'static str,
    status: StatusCode,
    kind: ErrorKind,
    detail: String,
    /// The methods that would do, if the method was the mistake.
    allow: Option<&'static str>,
}

/// The body of an error, as RFC 9457 has it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    /// Which problem it is: a URN to compare, not to fetch.
    #[schema(example = "urn:ticketd:problem:conflict")]
    r#type: String,
    /// The same for every problem of this type.
    #[schema(example = "The sequence is otherwise than the request assumes")]
    title: &'static str,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599, example = 409)]
    status: u16,
    /// What happened this time and the way out.
    #[schema(example = "a sequence only moves forward: its next ID is 5001 already")]
    detail: String,
    /// What to do about it: the same words as in RESP and in the metrics.
    #[schema(value_type = ErrorKind, example = "conflict")]
    kind: &'static str,
}

impl Problem {
    /// What happened and the way out.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// A request that makes no sense, as `detail` says.
    pub(super) fn invalid(detail: impl ToString) -> Self {
        ServiceError::invalid(detail).into()
    }

    /// There is nothing at this path.
    pub(super) fn unknown_path(path: &str) -> Self {
        Self {
            word: "unknown-path",
            title: "There is nothing at this path",
            detail: format!("GET / names the paths that there are; this one is not: {path}"),
            ..Self::of(ErrorKind::NotFound)
        }
    }

    /// The path is right and the method is not; `allow` lists those that are.
    pub(super) fn wrong_method(allow: Option<&'static str>) -> Self {
        let allowed = allow.unwrap_or("see the header Allow");
        Self {
            word: "wrong-method",
            title: "The path does not have this method",
            status: StatusCode::METHOD_NOT_ALLOWED,
            detail: format!("use a method that this path has: {allowed}"),
            allow,
            ..Self::of(ErrorKind::Invalid)
        }
    }

    /// The body is not JSON by its own account.
    pub(super) fn wrong_media_type() -> Self {
        Self {
            word: "wrong-media-type",
            title: "The body is not JSON",
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            detail: "a body is JSON and says so: Content-Type: application/json".to_owned(),
            ..Self::of(ErrorKind::Invalid)
        }
    }

    /// The body is longer than a body may be.
    pub(super) fn body_too_large() -> Self {
        Self {
            detail: format!("a body has at most {HTTP_BODY_LEN_MAX} bytes"),
            ..Self::of(ErrorKind::TooLarge)
        }
    }

    /// The body did not come in time.
    pub(super) fn body_too_slow() -> Self {
        Self {
            word: "too-slow",
            title: "The request did not come in time",
            status: StatusCode::REQUEST_TIMEOUT,
            detail: "the body did not come in time; send it at once".to_owned(),
            ..Self::of(ErrorKind::Invalid)
        }
    }

    /// A web page of another origin asked for something to be done.
    pub(super) fn cross_site() -> Self {
        Self {
            detail: "a web page of another origin cannot use this server; ask from a program"
                .to_owned(),
            ..Self::of(ErrorKind::Forbidden)
        }
    }

    /// The same problem as an answer to "are you ready", which is never anything but 503.
    pub(super) fn not_ready(self) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, ..self }
    }

    fn of(kind: ErrorKind) -> Self {
        let status = StatusCode::from_u16(kind.http_status());
        Self {
            word: kind.as_str(),
            title: title(kind),
            status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            kind,
            detail: String::new(),
            allow: None,
        }
    }
}

/// What all problems of a kind have in common.
const fn title(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "The request makes no sense",
        ErrorKind::NotFound => "There is no such sequence",
        ErrorKind::Conflict => "The sequence is otherwise than the request assumes",
        ErrorKind::Forbidden => "The server never does that",
        ErrorKind::TooLarge => "More than one request may carry",
        ErrorKind::Exhausted => "The sequence has not that many IDs left",
        ErrorKind::Unavailable => "Not now",
        ErrorKind::Fenced => "Another server owns the sequence",
        ErrorKind::Corrupt => "The store is damaged",
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        Self { detail: error.message, ..Self::of(error.kind) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            r#type: format!("{TYPE_PREFIX}{}", self.word),
            title: self.title,
            status: self.status.as_u16(),
            detail: self.detail,
            kind: self.kind.as_str(),
        };
        let mut response = (self.status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            // A store that recovers is noticed within a second: see `BACKOFF_MAX_US` of the core.
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        response.extensions_mut().insert(self.kind);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_knows_every_kind() {
        use utoipa::PartialSchema;
        let schema = serde_json::to_value(ErrorKind::schema()).unwrap();
        let text = schema.to_string();
        for kind in ErrorKind::ALL {
            assert!(
                text.contains(&format!("\"{}\"", kind.as_str())),
                "{} in {text}",
                kind.as_str()
            );
        }
    }
}
