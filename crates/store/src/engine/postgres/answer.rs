//! What PostgreSQL's errors mean.
//!
//! By their codes (appendix A of its manual): its texts come in many languages, and may repeat what
//! must not be told.

use std::error::Error as StdError;
use std::io;

use ticketd_core::failure::FailureKind::{Conflict, Corrupt, Invalid, Unavailable};
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::engine::highest::{Column, TOO_SLOW};
use crate::engine::sql::address::Host;
use crate::engine::sql::fault::{COLUMNS_CHANGED, Fault, TABLE_GONE};
use crate::engine::sql::tls;

/// What the failure of a statement means.
pub fn fault(error: &Error) -> Fault {
    match error.as_db_error() {
        Some(answer) => answered(answer),
        None => Fault {
            source: io_cause(error),
            ..Fault::unsure(Unavailable, "the connection to PostgreSQL broke")
        },
    }
}

/// What the failure to read the user's own `column` means.
pub fn of_table(error: &Error, column: &Column) -> Fault {
    let code = error.code().map(SqlState::code);
    let what = match code {
        Some("42P01" | "3F000") => "there is no such table: see its schema, and case and quotes",
        Some("42703") => "the table has no such column: see its case and quotes",
        Some("42883") => "what it holds are no whole numbers",
        Some("42501") => "the user may not read the table: GRANT SELECT on it",
        Some("57014") => TOO_SLOW,
        Some(code) if code.starts_with("42") || code.starts_with("22") => "it cannot be read so",
        _ => return fault(error),
    };
    Fault::refused(Invalid, format!("{what}, {column}"))
}

/// What the failure to connect to `host` means.
pub fn connecting(host: &Host, error: &Error) -> Fault {
    if let Some(answer) = error.as_db_error() {
        return answered(answer);
    }
    let text = error.to_string();
    if let Some(tls) = tls_cause(error) {
        return Fault {
            source: Some(Box::new(tls)),
            ..Fault::refused(
                Invalid,
                format!("no encrypted connection: see sslmode and sslrootcert, for {host}"),
            )
        };
    }
    // The driver has no other way to tell these apart; a test has each of them.
    if text.contains("TLS") && error.source().is_some_and(|e| e.to_string().contains("support")) {
        let message = format!("PostgreSQL has no TLS: set ssl = on there, or sslmode here, {host}");
        return Fault::refused(Invalid, message);
    }
    if text.contains("configuration") || text.contains("authentic") {
        let message =
            format!("PostgreSQL wants a password or another login: see pg_hba.conf, {host}");
        return Fault::refused(Invalid, message);
    }
    let io_kind = error.source().and_then(|e| e.downcast_ref::<io::Error>()).map(io::Error::kind);
    let is_garbled =
        matches!(io_kind, Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData));
    if is_garbled || text.contains("unexpected message") || text.contains("parsing") {
        let message = format!("what answers is not PostgreSQL: see the port in the URL, {host}");
        return Fault::refused(Invalid, message);
    }
    let source = io_cause(error);
    Fault {
        source,
        ..Fault::unsure(Unavailable, format!("PostgreSQL cannot be reached at {host}"))
    }
}

/// An error that PostgreSQL itself has sent.
fn answered(answer: &DbError) -> Fault {
    let code = answer.code().code();
    let (kind, message) = match code {
        "28P01" | "28000" => {
            (Invalid, "PostgreSQL refuses the user or the password: see the URL and pg_hba.conf")
        }
        "3D000" => (Invalid, "there is no such database: make it with createdb, or see the URL"),
        "42501" => (
            Invalid,
            "the user may not make or change the table: GRANT SELECT, INSERT, UPDATE, DELETE on \
             it, or CREATE on the schema",
        ),
        "3F000" => (Invalid, "there is no schema to make the table in: see search_path"),
        "25006" => (Unavailable, "PostgreSQL is read-only: name the primary in the URL"),
        "53100" => (Unavailable, "the disk of PostgreSQL is full: make room there"),
        "53200" => (Unavailable, "PostgreSQL is out of memory"),
        "53300" => (Unavailable, "PostgreSQL has too many connections: raise max_connections"),
        "57P01" | "57P02" => (Unavailable, "PostgreSQL is shutting down"),
        "57P03" => (Unavailable, "PostgreSQL is starting up or shutting down"),
        "57014" => (Unavailable, "PostgreSQL took too long for a statement"),
        "55P03" => (Conflict, "somebody else holds the row for too long"),
        "40001" | "40P01" => (Conflict, "somebody else changes the same rows"),
        "42P01" => (Corrupt, TABLE_GONE),
        "42703" => (Corrupt, COLUMNS_CHANGED),
        "23505" | "42P07" | "42710" => (Conflict, "somebody else has made it"),
        code if code.starts_with("XX") && code != "XX000" => {
            (Corrupt, "PostgreSQL finds its data damaged: see its log")
        }
        code if code.starts_with("42") || code.starts_with("22") || code.starts_with("23") => {
            (Corrupt, COLUMNS_CHANGED)
        }
        _ => (Unavailable, "PostgreSQL failed: see its log"),
    };
    Fault {
        kind,
        message: format!("{message}, error {code}"),
        source: None,
        // More severe ones come with the end of the session, perhaps within a commit.
        is_sure: answer.parsed_severity() == Some(Severity::Error) && !code.starts_with("57P"),
        is_duplicate: matches!(code, "23505" | "42P07" | "42710"),
    }
}

/// The cause of the operating system, whose text holds no secret.
fn io_cause(error: &Error) -> Option<Box<dyn StdError + Send + Sync>> {
    let cause = error.source()?.downcast_ref::<io::Error>()?;
    Some(cause.to_string().into())
}

fn tls_cause(error: &Error) -> Option<rustls::Error> {
    let io = error.source()?.downcast_ref::<io::Error>()?;
    tls::cause(io).cloned()
}
