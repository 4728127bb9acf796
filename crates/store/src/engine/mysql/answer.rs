//! What the errors of MariaDB and MySQL mean.
//!
//! By their numbers: their texts come in many languages, and may repeat what must not be told.

use std::io;

use mysql_async::{DriverError, Error, IoError};
use ticketd_core::failure::FailureKind::{self, Conflict, Corrupt, Invalid, Unavailable};

use crate::engine::highest::{Column, TOO_SLOW};
use crate::engine::sql::address::Host;
use crate::engine::sql::fault::{COLUMNS_CHANGED, Fault, TABLE_GONE};
use crate::engine::sql::tls;

/// What the failure of a statement means.
pub fn fault(error: Error) -> Fault {
    match error {
        Error::Server(answer) => answered(answer.code),
        error => Fault {
            source: cause(&error).map(Into::into),
            ..Fault::unsure(Unavailable, "the connection to the server broke")
        },
    }
}

/// What the failure to read the user's own `column` means.
pub fn of_table(error: Error, column: &Column) -> Fault {
    let Error::Server(answer) = &error else { return fault(error) };
    let what = match answer.code {
        1146 | 1049 => "there is no such table: see its database, and its case",
        1054 => "the table has no such column",
        1142 | 1143 => "the user may not read the table: GRANT SELECT on it",
        1317 | 1969 | 3024 => TOO_SLOW,
        _ => return fault(error),
    };
    Fault::refused(Invalid, format!("{what}, {column}"))
}

/// What the failure to connect to `host` means.
pub fn connecting(host: &Host, error: Error) -> Fault {
    let refused = |message: &str| Fault::refused(Invalid, format!("{message}, {host}"));
    match &error {
        Error::Server(answer) => answered(answer.code),
        Error::Io(IoError::Tls(_)) => unencrypted(host, &error),
        Error::Io(IoError::Io(io)) if tls::cause(io).is_some() => unencrypted(host, &error),
        Error::Io(_) | Error::Driver(DriverError::ConnectionClosed) => Fault {
            source: cause(&error).map(Into::into),
            ..Fault::unsure(Unavailable, format!("the server cannot be reached at {host}"))
        },
        Error::Driver(DriverError::NoClientSslFlagFromServer) => {
            refused("the server has no TLS: set ssl_cert and ssl_key there, or tls=off here")
        }
        Error::Driver(
            DriverError::UnknownAuthPlugin { .. }
            | DriverError::MysqlOldPasswordDisabled
            | DriverError::CleartextPluginDisabled,
        ) => refused("the user logs in by a way that ticketd does not know: give it a password"),
        _ => refused("what answers is not MariaDB or MySQL: see the port in the URL"),
    }
}

fn unencrypted(host: &Host, error: &Error) -> Fault {
    let message = format!("no encrypted connection: see tls and ca, for {host}");
    Fault { source: cause(error).map(Into::into), ..Fault::refused(Invalid, message) }
}

/// The cause of the operating system or of TLS, whose texts hold no secret.
fn cause(error: &Error) -> Option<String> {
    match error {
        Error::Io(IoError::Io(io)) => Some(io.to_string()),
        Error::Io(IoError::Tls(tls)) => Some(tls.to_string()),
        Error::Driver(DriverError::ConnectionClosed) => {
            Some(io::Error::from(io::ErrorKind::UnexpectedEof).to_string())
        }
        _ => None,
    }
}

/// An error that the server itself has sent.
fn answered(code: u16) -> Fault {
    let Some((kind, message)) = refusal(code) else {
        // At the end of a commit, or of the server, anything may have happened before.
        let message = format!("{}, error {code}", failure(code));
        return Fault::unsure(Unavailable, message);
    };
    let is_duplicate = matches!(code, 1050 | 1062);
    Fault { is_duplicate, ..Fault::refused(kind, format!("{message}, error {code}")) }
}

/// Errors after which a statement has surely done nothing.
fn refusal(code: u16) -> Option<(FailureKind, &'static str)> {
    Some(match code {
        1045 | 1698 => (Invalid, "the server refuses the user or the password: see the URL"),
        1044 => (Invalid, "the user may not use the database: GRANT it, or see the URL"),
        1049 => (Invalid, "there is no such database: CREATE DATABASE, or see the URL"),
        1129 | 1130 => (Invalid, "the server refuses this host: see the user's host there"),
        1251 => (Invalid, "the user logs in by a way that ticketd does not know"),
        3159 | 4151 => (Invalid, "the server demands encryption: add tls=verify&ca=FILE"),
        1142 | 1143 | 1227 => (
            Invalid,
            "the user may not make or change the table: GRANT SELECT, INSERT, UPDATE, DELETE, \
             CREATE on it",
        ),
        1286 => (Invalid, "the server has no InnoDB: enable it"),
        1665 => (Invalid, "binlog_format = STATEMENT cannot log changes: set it to ROW"),
        1290 | 1792 | 1836 => (Unavailable, "the server is read-only: name the primary"),
        1040 | 1203 | 1226 => {
            (Unavailable, "the server has too many connections: raise max_connections")
        }
        1114 => (Unavailable, "the disk of the server is full: make room there"),
        1020 | 1213 => (Conflict, "somebody else changes the same rows"),
        1205 => (Conflict, "somebody else holds the row for too long"),
        1050 | 1062 => (Conflict, "somebody else has made it"),
        1146 => (Corrupt, TABLE_GONE),
        1054 | 1136 | 1264 | 1265 | 1364 | 1366 | 1406 => (Corrupt, COLUMNS_CHANGED),
        _ => return None,
    })
}

/// Errors that may come after a statement was done.
fn failure(code: u16) -> &'static str {
    match code {
        3 | 1021 | 1026 | 1030 => "the disk of the server is full, or fails: make room there",
        1037 | 1038 | 1041 => "the server is out of memory",
        1053 => "the server is shutting down",
        1317 | 1927 => "somebody has killed the statement or the connection",
        4031 => "the server has closed the connection, which was idle",
        _ => "the server failed: see its log",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_surely_did_nothing_is_called_so() {
        let kind = |code| answered(code).into_error(true).kind;
        assert_eq!([1213, 1205, 1062].map(kind), [Conflict; 3]);
        assert_eq!([1045, 1142, 1665].map(kind), [Invalid; 3]);
        assert_eq!([1290, 1040, 1114].map(kind), [Unavailable; 3]);
        assert_eq!([1146, 1054].map(kind), [Corrupt; 2]);
        // A full disk or a kill within the commit, a server that ends, and what is not known.
        assert_eq!([1021, 1317, 1053, 1180, 9999].map(kind), [FailureKind::Indeterminate; 5]);
        assert!(answered(1062).is_duplicate && !answered(1213).is_duplicate);
        assert_eq!(answered(1053).into_error(false).kind, Unavailable);
    }
}
