//! The highest value in a column of a user's own table, so that a sequence can be raised above it.

use std::fmt;
use std::str::FromStr;

use ticketd_core::failure::FailureKind;
use ticketd_core::limits::ID_MAX;
use tokio::time::timeout;

use super::sql::address::Address;
use super::sql::connect_to;
use super::sql::fault::Fault;
use super::sql::session::Server;
use super::{mysql, postgres};
use crate::error::StoreError;

/// The longest name that an engine takes, in characters.
const NAME_LEN_MAX: usize = 64;

/// The table is larger than the time-out.
pub(super) const TOO_SLOW: &str =
    "no answer in time: add an index to the column, or ?timeout=60s to the URL";

/// A column of a table: `TABLE.COLUMN` or `SCHEMA.TABLE.COLUMN`, with names that hold other
/// characters than letters, digits, `_` and `$` between `"`, doubled where they hold one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The schema, or of MariaDB and MySQL the database.
    pub(super) schema: Option<String>,
    pub(super) table: String,
    pub(super) column: String,
}

/// What an engine says of a column.
#[derive(Debug)]
pub struct Found {
    /// The highest value as text; `None` if there is none.
    pub(super) value: Option<String>,
    /// What the column holds, for people, if those are no numbers.
    pub(super) no_number: Option<String>,
}

/// The highest value of `column` in the database at `url`, whose rows are all that were committed;
/// `None` if the table holds none, or only 0.
///
/// # Errors
/// `Invalid` if it cannot be asked, or what is there is no ID; `Unavailable` if no host answers that
/// can be written: a copy may be behind.
pub async fn highest(url: &str, column: &Column) -> Result<Option<u64>, StoreError> {
    let scheme = url.split_once(':').map_or(url, |(scheme, _)| scheme);
    match scheme {
        "postgres" | "postgresql" => {
            let (server, address) = postgres::reach(url)?;
            ask(server, address, column).await
        }
        "mysql" | "mariadb" => {
            let (server, address) = mysql::reach(url)?;
            ask(server, address, column).await
        }
        _ => {
            // Not the URL: it may hold a password.
            let message = "a table is read over postgres:// or mysql://, not over such a URL";
            Err(StoreError::new(FailureKind::Invalid, message))
        }
    }
}

async fn ask<S>(server: S, address: Address, column: &Column) -> Result<Option<u64>, StoreError>
where
    S: Server<Session: Ask>,
{
    if let Some(warning) = address.may_be_overheard() {
        tracing::warn!("{warning}");
    }
    let limit = address.timeout;
    let asked = timeout(limit, async {
        let mut session = connect_to(server, address).await?;
        session.highest(column).await
    });
    match asked.await {
        Ok(Ok(found)) => id_of(found, column),
        Ok(Err(fault)) => Err(fault.into_error(false)),
        Err(_elapsed) => {
            Err(StoreError::new(FailureKind::Unavailable, format!("{TOO_SLOW}, {column}")))
        }
    }
}

/// A connection that can be asked for it.
pub trait Ask {
    /// The highest value of `column`.
    fn highest(&mut self, column: &Column) -> impl Future<Output = Result<Found, Fault>> + Send;
}

fn id_of(found: Found, column: &Column) -> Result<Option<u64>, StoreError> {
    let refused = |what: String| {
        Err(StoreError::new(FailureKind::Invalid, format!("{what}, of the column {column}")))
    };
    if let Some(what) = found.no_number {
        return refused(format!("what it holds are no whole numbers but {what}"));
    }
    let Some(value) = found.value else { return Ok(None) };
    let digits = value.strip_prefix('-').unwrap_or(&value);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return refused(format!("its highest value is no whole number: {value}"));
    }
    match value.parse::<u64>() {
        Ok(0) => Ok(None),
        Ok(id) if id <= ID_MAX => Ok(Some(id)),
        _ if digits.len() < value.len() => {
            refused(format!("its highest value is negative, which no ID is: {value}"))
        }
        _ => refused(format!("its highest value is above the last ID {ID_MAX}: {value}")),
    }
}

impl Column {
    /// `SELECT` of the highest value, with names between `quote`.
    pub(super) fn select(&self, expression: &str, quote: char) -> String {
        let quoted = |name: &str| {
            let doubled = name.replace(quote, &format!("{quote}{quote}"));
            format!("{quote}{doubled}{quote}")
        };
        let schema = self.schema.as_deref().map(|schema| format!("{}.", quoted(schema)));
        let expression = expression.replace("{}", &format!("max({})", quoted(&self.column)));
        format!("SELECT {expression} FROM {}{}", schema.unwrap_or_default(), quoted(&self.table))
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        write!(f, "{}.{}", self.table, self.column)
    }
}

impl FromStr for Column {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected TABLE.COLUMN or SCHEMA.TABLE.COLUMN, with names of letters, \
                        digits, _ and $, or of anything between \"";
        let mut names = names(text).ok_or(expected)?;
        let (Some(column), Some(table)) = (names.pop(), names.pop()) else {
            return Err(expected.to_owned());
        };
        let schema = names.pop();
        if names.is_empty() { Ok(Self { schema, table, column }) } else { Err(expected.to_owned()) }
    }
}

/// Names between dots.
fn names(text: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = text;
    loop {
        let (name, after) = name(rest)?;
        if name.is_empty()
            || name.chars().count() > NAME_LEN_MAX
            || name.chars().any(char::is_control)
        {
            return None;
        }
        names.push(name);
        match after.strip_prefix('.') {
            Some(after) => rest = after,
            None if after.is_empty() => return Some(names),
            None => return None,
        }
    }
}

/// The name that `text` begins with, and what follows.
fn name(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let is_plain = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let end = text.find(|c| !is_plain(c)).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (before, after) = rest.split_once('"')?;
        name.push_str(before);
        let Some(doubled) = after.strip_prefix('"') else { return Some((name, after)) };
        name.push('"');
        rest = doubled;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(text: &str) -> Column {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn names_are_taken_apart_and_quoted_whatever_they_hold() {
        assert_eq!(column("notes.id").select("{}", '"'), r#"SELECT max("id") FROM "notes""#);
        assert_eq!(column("Eu.notes.id").select("{}", '`'), "SELECT max(`id`) FROM `Eu`.`notes`");
        let evil = column(r#""a.b"".""; DROP TABLE x; --"."c`d""#);
        assert_eq!(evil.schema, None);
        assert_eq!(
            evil.select("{}", '"'),
            r#"SELECT max("c`d") FROM "a.b"".""; DROP TABLE x; --""#
        );
        assert_eq!(evil.select("{}", '`'), r#"SELECT max(`c``d`) FROM `a.b"."; DROP TABLE x; --`"#);
        for bad in [
            "",
            "notes",
            ".id",
            "notes.",
            "a.b.c.d",
            "notes.id ",
            "no tes.id",
            "notes.id;--",
            "\"notes.id",
            "\"notes\"x.id",
            "\"\".id",
            "a\0.id",
            "no'tes.id",
            "notes.i`d",
        ] {
            assert!(bad.parse::<Column>().is_err(), "{bad}");
        }
        assert!(format!("{}.id", "x".repeat(65)).parse::<Column>().is_err());
    }

    #[test]
    fn only_what_can_be_an_id_is_taken() {
        let of = |value: Option<&str>| {
            let found = Found { value: value.map(str::to_owned), no_number: None };
            id_of(found, &column("notes.id"))
        };
        for (value, id) in [(None, None), (Some("0"), None), (Some("7"), Some(7))] {
            assert_eq!(of(value).unwrap(), id);
        }
        assert_eq!(of(Some("9223372036854775807")).unwrap(), Some(ID_MAX));
        for (value, told) in [
            ("-3", "negative"),
            ("9223372036854775808", "above the last ID"),
            ("99999999999999999999999", "above the last ID"),
            ("1.5", "no whole number"),
            ("NaN", "no whole number"),
            ("", "no whole number"),
        ] {
            let error = of(Some(value)).unwrap_err();
            assert!(error.message.contains(told) && error.message.contains("notes.id"), "{error}");
        }
    }
}
