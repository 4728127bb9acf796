//! What the client commands know about a running server: where it is, and how to ask it.

mod http;
mod probe;
mod stride;

use std::fmt::Display;
use std::net::SocketAddr;

use clap::Args;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use ticketd_core::count::Count;
use ticketd_core::definition::KindName;
use ticketd_core::ids::{self, Id, Range};
use ticketd_core::name::Name;
use ticketd_core::text::{Form, Format};
use ticketd_server::error::ONLY_FORWARD;

use crate::failure::Failure;
use http::{Connection, Reply};

/// Which server to ask.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// Address of the server, HTTP or RESP: it finds out which
    #[arg(
        long,
        value_name = "ADDR",
        env = "TICKETD_SERVER",
        hide_env_values = true,
        default_value = "127.0.0.1:7118",
        global = true
    )]
    pub server: String,
}

/// Where a running server serves HTTP.
#[derive(Debug, Clone)]
pub struct Place(String);

impl Place {
    /// Finds the server at `address`: `HOST:PORT` of either protocol, or `http://HOST:PORT`.
    ///
    /// # Errors
    /// Nobody is there, or somebody else is.
    pub fn find(address: &str) -> Result<Self, Failure> {
        probe::http_address(address).map(Self)
    }

    /// The server that is known to serve HTTP at `address`.
    pub fn http(address: SocketAddr) -> Self {
        Self(address.to_string())
    }

    /// Connects to it.
    ///
    /// # Errors
    /// It is gone.
    pub fn connect(&self) -> Result<Client, Failure> {
        Ok(Client { connection: Connection::open(&self.0)? })
    }
}

/// A connection to a running server.
pub struct Client {
    connection: Connection,
}

/// IDs as the server answers them: as a range, or each.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Answered {
    Range { first: String, last: String, step: String },
    Each { ids: Vec<String> },
}

/// IDs of any kind.
#[derive(Debug)]
pub enum Ids {
    /// Integers that are evenly apart.
    Range(Range),
    /// Each as text.
    Each(Vec<String>),
}

/// An object as the server wrote it: what is printed as JSON keeps its order.
pub type Raw = Box<RawValue>;

/// An error as the server answers it (RFC 9457).
#[derive(Debug, Deserialize)]
struct Problem {
    detail: String,
}

impl Client {
    /// Finds the server and connects to it.
    ///
    /// # Errors
    /// As [`Place::find`].
    pub fn connect(args: &ServerArgs) -> Result<Self, Failure> {
        Place::find(&args.server)?.connect()
    }

    /// `count` IDs of the sequence `name`, written in `format`.
    ///
    /// # Errors
    /// What the server says.
    pub fn next(&mut self, name: &Name, count: Count, format: &Format) -> Result<Ids, Failure> {
        let path = format!("{}/next?count={}&format={format}", path_of(name), count.get());
        let reply = self.connection.send("POST", &path, None)?;
        match understand(&checked(reply)?)? {
            Answered::Each { ids } if ids.len() as u64 == count.get() => Ok(Ids::Each(ids)),
            Answered::Each { ids } => Err(miscounted(ids.len(), count)),
            Answered::Range { first, last, step } => {
                let number = |text: &str| text.parse::<u64>().map_err(not_understood);
                let (first, last, step) = (number(&first)?, number(&last)?, number(&step)?);
                let range = Range { first, step, count: count.get() };
                let reaches =
                    (count.get() - 1).checked_mul(step).and_then(|n| n.checked_add(first));
                if step > 0 && reaches == Some(last) {
                    return Ok(Ids::Range(range));
                }
                Err(not_understood(format!("{first} to {last} by {step} are not {count} IDs")))
            }
        }
    }

    /// `count` IDs of the sequence `name`, which is of `kind`, as values.
    ///
    /// # Errors
    /// What the server says, or that they are of another kind.
    pub fn next_ids(
        &mut self,
        name: &Name,
        count: Count,
        kind: KindName,
    ) -> Result<ids::Ids, Failure> {
        let comes_as_range = matches!(kind, KindName::Ticket | KindName::Stride);
        // In hex a text is as good as a value: its length says of which width it is.
        let form = if comes_as_range { "native" } else { "hex" };
        let format = form.parse().expect("the form is one of them");
        match self.next(name, count, &format)? {
            Ids::Range(range) if kind != KindName::Ticket || range.step == 1 => {
                Some(ids::Ids::Range(range))
            }
            Ids::Each(texts) if !comes_as_range => read_all(&texts, kind),
            Ids::Range(_) | Ids::Each(_) => None,
        }
        .ok_or_else(|| Failure::work(format!("{name} is not of kind {}", kind.as_str())))
    }

    /// The kind of the sequence `name`; `None` if there is none.
    ///
    /// # Errors
    /// What the server says.
    pub fn kind_of(&mut self, name: &Name) -> Result<Option<String>, Failure> {
        Ok(self.show_if_there::<Shown>(name)?.map(|shown| shown.kind))
    }

    /// What there is to see of the sequence `name`; `None` if there is none.
    ///
    /// # Errors
    /// What the server says.
    pub fn show_if_there<T>(&mut self, name: &Name) -> Result<Option<T>, Failure>
    where
        T: for<'a> Deserialize<'a>,
    {
        let reply = self.connection.send("GET", &path_of(name), None)?;
        if reply.status == hyper::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        understand(&checked(reply)?).map(Some)
    }

    /// What there is to see of the sequence `name`.
    ///
    /// # Errors
    /// What the server says.
    pub fn show(&mut self, name: &Name) -> Result<Raw, Failure> {
        let reply = self.connection.send("GET", &path_of(name), None)?;
        understand(&checked(reply)?)
    }

    /// A page of sequences with names after `after`, and the name after which the next one starts.
    ///
    /// # Errors
    /// What the server says.
    pub fn list(&mut self, after: Option<&str>) -> Result<(Vec<Raw>, Option<String>), Failure> {
        let path = match after {
            Some(after) => format!("/v1/sequences?after={}", escaped(after)),
            None => "/v1/sequences".to_owned(),
        };
        let page: Page = understand(&checked(self.connection.send("GET", &path, None)?)?)?;
        Ok((page.sequences, page.next_after))
    }

    /// The servers that share the engine of this one.
    ///
    /// # Errors
    /// What the server says.
    pub fn cluster(&mut self) -> Result<Raw, Failure> {
        understand(&checked(self.connection.send("GET", "/v1/cluster", None)?)?)
    }

    /// Creates the sequence `name` by `definition`. Answers whether it is new, and what it is now.
    ///
    /// # Errors
    /// What the server says.
    pub fn create(&mut self, name: &Name, definition: &Value) -> Result<(bool, Raw), Failure> {
        let reply = self.connection.send("PUT", &path_of(name), Some(definition.to_string()))?;
        let is_new = reply.status == hyper::StatusCode::CREATED;
        Ok((is_new, understand(&checked(reply)?)?))
    }

    /// Raises the sequence `name`: nothing at or below `to` is issued any more. Answers what is
    /// next.
    ///
    /// # Errors
    /// What the server says.
    pub fn raise(&mut self, name: &Name, to: u64) -> Result<Raw, Failure> {
        understand(&checked(self.ask_to_raise(name, to)?)?)
    }

    /// As [`Client::raise`]; `None` if higher IDs are next already.
    ///
    /// # Errors
    /// What the server says.
    pub fn raise_if_below(&mut self, name: &Name, to: u64) -> Result<Option<Raw>, Failure> {
        match checked(self.ask_to_raise(name, to)?) {
            // Other conflicts, such as an ID of the far future, are none of these.
            Err(refused) if refused.to_string().starts_with(ONLY_FORWARD) => Ok(None),
            answer => understand(&answer?).map(Some),
        }
    }

    fn ask_to_raise(&mut self, name: &Name, to: u64) -> Result<Reply, Failure> {
        let body = serde_json::json!({ "to": to.to_string() }).to_string();
        let path = format!("{}/raise", path_of(name));
        self.connection.send("POST", &path, Some(body))
    }
}

/// What is asked of a sequence that is shown.
#[derive(Debug, Deserialize)]
struct Shown {
    kind: String,
}

/// IDs of `kind` in hex as values; `None` if one is no such ID.
fn read_all(texts: &[String], kind: KindName) -> Option<ids::Ids> {
    let values = texts.iter().map(|text| Form::Hex.read(text).ok());
    if kind == KindName::Snowflake {
        let one = |id: Option<Id>| match id? {
            Id::Integer(first) => Some(Range { first, step: 1, count: 1 }),
            Id::Uuid(_) | Id::Ulid(_) => None,
        };
        return values.map(one).collect::<Option<_>>().map(ids::Ids::Ranges);
    }
    let one = |id: Option<Id>| match id? {
        Id::Uuid(id) | Id::Ulid(id) => Some(id),
        Id::Integer(_) => None,
    };
    values.map(one).collect::<Option<_>>().map(ids::Ids::Wide)
}

/// A page of a list.
#[derive(Debug, Deserialize)]
struct Page {
    sequences: Vec<Raw>,
    next_after: Option<String>,
}

/// The body of an answer that is no error.
fn checked(reply: Reply) -> Result<Vec<u8>, Failure> {
    if reply.status.is_success() {
        return Ok(reply.body);
    }
    match serde_json::from_slice::<Problem>(&reply.body) {
        Ok(problem) => Err(Failure::work(problem.detail)),
        Err(_) => Err(Failure::work(format!("the server answered only {}", reply.status))),
    }
}

fn understand<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(not_understood)
}

fn not_understood(why: impl Display) -> Failure {
    Failure::work(format!("the server's answer makes no sense; is it of another version? {why}"))
}

fn miscounted(came: usize, count: Count) -> Failure {
    not_understood(format!("{came} IDs came, not {count}"))
}

fn path_of(name: &Name) -> String {
    format!("/v1/sequences/{}", escaped(name.as_str()))
}

/// A name as one segment of a path: the slash is the one character of names that would end it.
fn escaped(name: &str) -> String {
    name.replace('/', "%2F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_slashes_stays_one_segment() {
        let name = Name::new("eu/notes.v2:a-b_c").unwrap();
        assert_eq!(path_of(&name), "/v1/sequences/eu%2Fnotes.v2:a-b_c");
    }

    #[test]
    fn a_problem_is_told_by_its_detail_and_anything_else_by_its_status() {
        let reply = |body: &str| Reply {
            status: hyper::StatusCode::CONFLICT,
            body: body.as_bytes().to_vec(),
        };
        let told = checked(reply(r#"{"title":"conflict","detail":"notes exists"}"#)).unwrap_err();
        assert_eq!((told.code(), told.to_string()), (1, "notes exists".to_owned()));
        let told = checked(reply("<html>")).unwrap_err().to_string();
        assert_eq!(told, "the server answered only 409 Conflict");
    }
}
