//! What servers say to each other: a request for IDs, or to raise, goes to the owner, whole.
//!
//! It is HTTP with JSON, on the port that clients use, under `/v1/peer/`. Each request says which
//! version of this it speaks; a server answers those of its own version and of the one before, so
//! that a cluster can be upgraded one server at a time.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ticketd_core::count::Count;
use ticketd_core::ids::Range;
use ticketd_core::name::Name;
use ticketd_store::Announcement;

use super::versions::{SPOKEN, Versions};
use crate::error::{ErrorKind, ServiceError};
use crate::limits::HTTP_BODY_LEN_MAX;

/// The version of what servers say to each other.
pub const PROTOCOL: u32 = 1;

/// The oldest version that is still understood.
pub(crate) const PROTOCOL_MIN: u32 = 1;

/// The path that requests of servers are under.
pub(crate) const PATH: &str = "/v1/peer";

/// How long a connection to another server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// What one server asks another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ask {
    /// The version that whoever asks speaks.
    pub(crate) protocol: u32,
    /// The name of the sequence.
    pub(crate) sequence: String,
    /// What is wanted of it.
    pub(crate) wish: Wish,
    /// For how long the client still waits, in milliseconds.
    pub(crate) within_ms: u64,
}

/// What is wanted of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wish {
    /// So many IDs that are evenly apart.
    Next(u64),
    /// Nothing at or below it is issued from then on.
    Raise(u64),
}

/// What the other says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told {
    /// The IDs.
    Ids { first: u64, step: u64, count: u64 },
    /// It is raised, and this is the smallest ID that can come next.
    Raised(Option<u64>),
    /// Another server owns the sequence, as far as it knows.
    OwnedBy(String),
    /// It owns the sequence and refuses.
    Refused { kind: String, message: String },
}

/// Why a request makes no sense to the other: it is of another version.
#[derive(Debug, Deserialize)]
struct Problem {
    detail: String,
}

impl Ask {
    /// Reads what another server asks. Its version comes first: in another, all may be different.
    ///
    /// # Errors
    /// Says what is wrong, and the way out.
    pub(crate) fn read(asked: Value, spoken: Versions) -> Result<Self, String> {
        let protocol = asked.get("protocol").and_then(Value::as_u64);
        let protocol = protocol.and_then(|version| u32::try_from(version).ok());
        let protocol = protocol.ok_or("this is for the other servers of a cluster")?;
        spoken.check(protocol)?;
        serde_json::from_value(asked).map_err(|error| error.to_string())
    }
}

impl Told {
    pub(crate) fn refused(error: &ServiceError) -> Self {
        Self::Refused { kind: error.kind.as_str().to_owned(), message: error.message.clone() }
    }

    /// The refusal as this server tells it.
    pub(crate) fn error(kind: &str, message: String) -> ServiceError {
        let kind = ErrorKind::ALL.into_iter().find(|known| known.as_str() == kind);
        ServiceError::new(kind.unwrap_or(ErrorKind::Unavailable), message)
    }
}

/// Asks other servers, over connections that are kept.
pub(crate) struct Client(HttpClient<HttpConnector, Full<Bytes>>);

/// Why another server could not be asked. Whether it did what was asked is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    #[error("no answer in time")]
    Late,
    #[error("{0}")]
    Transport(Box<dyn std::error::Error + Send + Sync>),
    #[error("{0}")]
    NotNow(String),
    #[error("{0}")]
    OtherVersion(String),
    #[error("it answered with status {0}")]
    Status(StatusCode),
}

impl Client {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = HttpClient::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(connector);
        Self(client)
    }

    /// Asks the server that says `owner` of itself, in the version that both speak.
    pub(crate) async fn ask(
        &self,
        owner: &Announcement,
        name: &Name,
        wish: Wish,
        within: Duration,
    ) -> Result<Told, Unanswered> {
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let protocol = SPOKEN.with(owner.protocol).map_err(Unanswered::OtherVersion)?;
        let ask = Ask { protocol, sequence: name.to_string(), wish, within_ms };
        let body = serde_json::to_vec(&ask).expect("it is plain data");
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{}{PATH}", owner.address))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body))
            .map_err(|error| Unanswered::Transport(error.into()))?;
        let answer = tokio::time::timeout(within, self.answer(request)).await;
        answer.unwrap_or(Err(Unanswered::Late))
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<Told, Unanswered> {
        let response = self.0.request(request).await;
        let response = response.map_err(|error| Unanswered::Transport(error.into()))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), HTTP_BODY_LEN_MAX).collect().await;
        let body = body.map_err(Unanswered::Transport)?.to_bytes();
        if status == StatusCode::BAD_REQUEST
            && let Ok(problem) = serde_json::from_slice::<Problem>(&body)
        {
            return Err(Unanswered::OtherVersion(problem.detail));
        }
        if status != StatusCode::OK {
            return Err(Unanswered::Status(status));
        }
        serde_json::from_slice(&body).map_err(|error| Unanswered::Transport(error.into()))
    }
}

/// The range of an answer, if it is what was asked for.
pub(crate) fn range_of(first: u64, step: u64, count: u64, asked: Count) -> Option<Range> {
    let range = Range { first, step, count };
    let last = u128::from(first) + u128::from(count.checked_sub(1)?) * u128::from(step);
    (count == asked.get() && step >= 1 && u64::try_from(last).is_ok()).then_some(range)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_version_of_a_request_is_looked_at_before_all_else() {
        let spoken = Versions { oldest: 2, newest: 3 };
        let ask = |protocol: u32, wish| json!({ "protocol": protocol, "sequence": "notes", "wish": wish, "within_ms": 9 });
        let known = Ask::read(ask(2, json!({ "next": 5 })), spoken).unwrap();
        assert_eq!((known.protocol, known.wish), (2, Wish::Next(5)));
        for (version, what) in [(1, "1"), (4, "4")] {
            let refused = Ask::read(ask(version, json!({ "unheard of": [] })), spoken);
            let end = "and this one knows 2 to 3: upgrade one release at a time";
            let told = format!("a server asks in version {what}, {end}");
            assert_eq!(refused.unwrap_err(), told);
        }
        assert!(Ask::read(ask(3, json!({ "unheard of": [] })), spoken).is_err());
        assert!(Ask::read(json!([]), spoken).is_err());
    }
}
