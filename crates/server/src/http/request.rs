//! What a request says: its path, its query, its body. Pure functions but for reading the body.
//!
//! # Names in paths
//!
//! The name of a sequence may contain `/` and `:`. Both may stand in the path as they are or
//! percent-encoded: `/v1/sequences/a/b/next` and `/v1/sequences/a%2Fb/next` are the same. What
//! comes after the name is looked for in the path *before* it is decoded: exactly a literal
//! `/next` or `/raise` at the end is no part of the name. So a sequence that is called `a/next`
//! is reached by encoding its last slash: `GET /v1/sequences/a%2Fnext` shows it, and
//! `POST /v1/sequences/a%2Fnext/next` (or `/v1/sequences/a/next/next`) takes from it. Clients
//! that always encode the name never meet this rule.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Query;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use ticketd_core::name::Name;

use super::problem::Problem;
use crate::limits::{HTTP_BODY_LEN_MAX, HTTP_HEAD_TIMEOUT_SECONDS};

/// The path that all sequences are under.
pub(super) const SEQUENCES_PREFIX: &str = "/v1/sequences/";

/// What a path under [`SEQUENCES_PREFIX`] means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// The sequence itself.
    Sequence,
    /// Its next IDs.
    Next,
    /// Raising it.
    Raise,
}

impl Target {
    /// Splits a path, still encoded, into what is meant and the name, still encoded.
    pub(super) fn of(path: &str) -> (Self, &str) {
        let rest = path.strip_prefix(SEQUENCES_PREFIX).unwrap_or_default();
        if let Some(name) = rest.strip_suffix("/next") {
            (Self::Next, name)
        } else if let Some(name) = rest.strip_suffix("/raise") {
            (Self::Raise, name)
        } else {
            (Self::Sequence, rest)
        }
    }

    /// The methods that it has.
    pub(super) const fn allow(self) -> &'static str {
        match self {
            Self::Sequence => "GET, HEAD, PUT",
            Self::Next | Self::Raise => "POST",
        }
    }
}

/// The name that `encoded`, a part of a path, spells.
pub(super) fn name(encoded: &str) -> Result<Name, Problem> {
    let bytes: Vec<u8> = percent_decode_str(encoded).collect();
    Name::from_bytes(&bytes).map_err(Problem::invalid)
}

/// The values of the query parameters `allowed`. Others are refused, and so is one given twice: a
/// misspelt `count` must not pass for none.
pub(super) fn query<const N: usize>(
    uri: &Uri,
    allowed: [&str; N],
) -> Result<[Option<String>; N], Problem> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| Problem::invalid("the query is not made of name=value pairs"))?;
    let mut values = [const { None }; N];
    for (key, value) in pairs {
        let Some(index) = allowed.iter().position(|name| *name == key) else {
            let known = if N == 0 { "none".to_owned() } else { allowed.join(", ") };
            let detail = format!("parameters of this path: {known}; not: {}", key.escape_debug());
            return Err(Problem::invalid(detail));
        };
        if values[index].replace(value).is_some() {
            return Err(Problem::invalid(format!("give each parameter once; twice came: {key}")));
        }
    }
    Ok(values)
}

/// Refuses what a web page of another origin sends without the user's doing. Browsers say so in
/// `Sec-Fetch-Site`; programs do not send it. The media type alone cannot tell, since a form
/// without fields has no body.
pub(super) fn refuse_cross_site(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get("sec-fetch-site").map(|site| site.as_bytes()) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err(Problem::cross_site()),
    }
}

/// Reads a body as JSON; one without any byte is `T`'s default.
pub(super) async fn json<T: DeserializeOwned + Default>(
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    let bytes = read(body).await?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    if !is_json(headers) {
        return Err(Problem::wrong_media_type());
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::invalid(format!("the body is not what is asked for: {error}")))
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    // A body that says beforehand that it is too long is not read at all.
    if body.size_hint().lower() > HTTP_BODY_LEN_MAX as u64 {
        return Err(Problem::body_too_large());
    }
    let reading = Limited::new(body, HTTP_BODY_LEN_MAX).collect();
    // The body has the time that the head had: nothing else bounds how slowly it may come.
    let limit = Duration::from_secs(HTTP_HEAD_TIMEOUT_SECONDS);
    match tokio::time::timeout(limit, reading).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::body_too_large()),
        Ok(Err(_)) => Err(Problem::invalid("the body ended before its end; send it again")),
        Err(_) => Err(Problem::body_too_slow()),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(CONTENT_TYPE).map(|value| value.to_str()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_path_is_split_off_before_it_is_decoded() {
        let cases = [
            ("/v1/sequences/notes", Target::Sequence, "notes"),
            ("/v1/sequences/notes/next", Target::Next, "notes"),
            ("/v1/sequences/notes/raise", Target::Raise, "notes"),
            ("/v1/sequences/a/b/next", Target::Next, "a/b"),
            ("/v1/sequences/a%2Fnext", Target::Sequence, "a/next"),
            ("/v1/sequences/a%2fnext/next", Target::Next, "a/next"),
            ("/v1/sequences/a/next/next", Target::Next, "a/next"),
            ("/v1/sequences/a/%6Eext", Target::Sequence, "a/next"),
            ("/v1/sequences/a/raise/next", Target::Next, "a/raise"),
            ("/v1/sequences/next", Target::Sequence, "next"),
            ("/v1/sequences/next/next", Target::Next, "next"),
            ("/v1/sequences/a//next", Target::Next, "a/"),
            ("/v1/sequences/a/next/", Target::Sequence, "a/next/"),
            ("/v1/sequences/eu:notes%3Av2", Target::Sequence, "eu:notes:v2"),
        ];
        for (path, target, decoded) in cases {
            let (found, encoded) = Target::of(path);
            assert_eq!(found, target, "{path}");
            assert_eq!(name(encoded).unwrap().as_str(), decoded, "{path}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in ["", "%", "%2", "%zz", "a%00", "%ff", "a%20b", "a+b", "%2Fa", ".a", "\u{e9}"] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_query_is_read_strictly() {
        let read = |text: &str| query(&format!("/x{text}").parse().unwrap(), ["count", "after"]);
        assert_eq!(read("").unwrap(), [None, None]);
        assert_eq!(read("?").unwrap(), [None, None]);
        assert_eq!(read("?count=").unwrap(), [Some(String::new()), None]);
        assert_eq!(read("?count").unwrap(), [Some(String::new()), None]);
        let both = [Some("2".to_owned()), Some("a/b".to_owned())];
        assert_eq!(read("?after=a%2Fb&count=2").unwrap(), both);
        for bad in ["?count=1&count=1", "?cuont=1", "?Count=1", "?count=1&=", "?%ff"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_json_is_json() {
        let says = |value: &'static str| {
            is_json(&HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]))
        };
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/x+json"] {
            assert!(says(good), "{good}");
        }
        for bad in ["", "text/plain", "application/x-www-form-urlencoded", "text/json", "json"] {
            assert!(!says(bad), "{bad}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
