//! PostgreSQL as an engine.
//!
//! Changes run in READ COMMITTED: a statement that had to wait for a row looks at its condition
//! again, on the row as it then is.

mod answer;
mod tls;
mod vet;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use ticketd_core::failure::FailureKind;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::error::Severity;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::highest::{Ask, Column, Found};
use super::sql::SqlEngine;
use super::sql::address::{Address, Form, Host, Mode};
use super::sql::fault::{COLUMNS_CHANGED, Fault, NOT_ONE_ROW};
use super::sql::session::{Param, Row, Sent, Server, Session, Statement};
use crate::error::StoreError;

const FORM: Form = Form {
    schemes: &["postgres", "postgresql"],
    port: 5432,
    tls: "sslmode",
    ca: "sslrootcert",
    modes: &[
        ("prefer", Mode::Prefer),
        ("disable", Mode::Off),
        ("require", Mode::Require),
        ("verify-full", Mode::Verify),
    ],
    example: "postgres://USER:PASSWORD@HOST1:5432,HOST2/DATABASE?sslmode=verify-full&sslrootcert=FILE",
};

/// Of a server with a lower timeline than one that was seen.
const REPLACED: &str = "an old primary answers, which a standby has replaced: stop it, or make it \
     a standby of the new one";

/// An engine in a table of a PostgreSQL database.
pub type PostgresEngine = SqlEngine<Postgres>;

/// How to connect to PostgreSQL.
pub struct Postgres {
    tls: MakeRustlsConnect,
    /// The highest timeline of a primary so far: each promotion begins a higher one. A primary on a
    /// lower one was replaced, and does not know what has been reserved since.
    timeline: Arc<AtomicU32>,
}

impl PostgresEngine {
    /// Connects to the database that `url` names, and makes its table on first use.
    ///
    /// # Errors
    /// `Invalid` if the URL, the credentials or the table are not good, `Unavailable` if no host
    /// answers that can be written.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let (server, address) = reach(url)?;
        Self::at(server, address).await
    }
}

/// How to connect to what `url` names.
pub(super) fn reach(url: &str) -> Result<(Postgres, Address), StoreError> {
    let address = Address::parse(&FORM, url)?;
    let tls = MakeRustlsConnect::new(tls::client(&address)?);
    Ok((Postgres { tls, timeline: Arc::default() }, address))
}

impl Server for Postgres {
    type Session = PostgresSession;

    async fn connect(&self, address: &Address, host: &Host) -> Result<PostgresSession, Fault> {
        let config = config(address, host);
        let connected = config.connect(self.tls.clone()).await;
        let (client, connection) = connected.map_err(|e| answer::connecting(host, &e))?;
        let warned = Arc::new(AtomicBool::new(false));
        let driver = tokio::spawn(drive(connection, Arc::clone(&warned)));
        let newest = Arc::clone(&self.timeline);
        let mut session = PostgresSession { client, warned, driver, timeline: 0, newest };
        session.set_up(address.timeout).await?;
        Ok(session)
    }
}

fn config(address: &Address, host: &Host) -> Config {
    use tokio_postgres::config::SslMode;
    let mut config = Config::new();
    config.host(&host.name).port(host.port).dbname(&address.database).user(&address.user);
    config.application_name("ticketd").connect_timeout(address.timeout);
    if let Some(password) = &address.password {
        config.password(password);
    }
    config.ssl_mode(match address.mode {
        Mode::Off => SslMode::Disable,
        Mode::Prefer => SslMode::Prefer,
        Mode::Require | Mode::Verify => SslMode::Require,
    });
    config
}

/// Moves bytes between the socket and the client until one of them ends, and notes warnings.
///
/// If somebody cuts the wait for a synchronous standby short, PostgreSQL acknowledges the commit
/// all the same, with a warning before the acknowledgement.
async fn drive<S, T>(mut connection: Connection<S, T>, warned: Arc<AtomicBool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
        if let AsyncMessage::Notice(notice) = message
            && !matches!(
                notice.parsed_severity(),
                Some(Severity::Notice | Severity::Info | Severity::Debug | Severity::Log)
            )
        {
            warned.store(true, Ordering::Relaxed);
        }
    }
}

/// A connection to PostgreSQL.
pub struct PostgresSession {
    client: Client,
    /// The engine has warned of something since the last look.
    warned: Arc<AtomicBool>,
    driver: JoinHandle<()>,
    /// Of the server that it leads to, and the highest that any connection has led to.
    timeline: u32,
    newest: Arc<AtomicU32>,
}

impl Drop for PostgresSession {
    fn drop(&mut self) {
        // At once, though an answer may be under way: nobody waits for it any more.
        self.driver.abort();
    }
}

impl PostgresSession {
    /// Gives the session the settings that changes rely on, and checks that they can be made.
    async fn set_up(&mut self, timeout: Duration) -> Result<(), Fault> {
        let messages = self.client.simple_query(&settings(timeout)).await;
        let messages = messages.map_err(|e| answer::fault(&e))?;
        let row = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let is = |n, value| row.and_then(|row| row.get(n)) == Some(value);
        if is(0, "t") || !is(1, "off") {
            return Err(Fault::refused(
                FailureKind::Unavailable,
                "PostgreSQL is read-only here: name the primary in the URL, or all hosts, or set \
                 default_transaction_read_only = off",
            ));
        }
        if !is(2, "on") {
            return Err(Fault::refused(
                FailureKind::Invalid,
                "synchronous_commit cannot be set to on for this connection: connect to \
                 PostgreSQL itself, or to a pooler in session mode",
            ));
        }
        let timeline = row.and_then(|row| row.get(3)).map(|hex| u32::from_str_radix(hex, 16));
        self.timeline = timeline.and_then(Result::ok).unwrap_or_default();
        if self.newest.fetch_max(self.timeline, Ordering::Relaxed) > self.timeline {
            return Err(Fault::refused(FailureKind::Unavailable, REPLACED));
        }
        self.warned.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Whether no connection has led to a primary that has replaced this one.
    fn is_newest(&self) -> bool {
        self.newest.load(Ordering::Relaxed) <= self.timeline
    }

    /// Fails if the engine has warned: what it then says is not sure.
    fn trust<T>(&self, value: T) -> Result<T, Fault> {
        if self.warned.swap(false, Ordering::Relaxed) {
            return Err(Fault::unsure(
                FailureKind::Unavailable,
                "PostgreSQL did not wait for its synchronous standby: see its log for who \
                 cancelled the wait",
            ));
        }
        Ok(value)
    }

    async fn query(&self, statement: &Statement<'_>) -> Result<Vec<Row>, Fault> {
        let (sql, values) = rendered(statement);
        let rows = self.client.query_typed(&sql, &params(&values)).await;
        rows.map_err(|e| answer::fault(&e))?.iter().map(row).collect()
    }

    async fn run(&self, statement: &Statement<'_>) -> Result<u64, Fault> {
        let (sql, values) = rendered(statement);
        let changed = self.client.execute_typed(&sql, &params(&values)).await;
        changed.map_err(|e| answer::fault(&e))
    }

    async fn say(&self, sql: &str) -> Result<(), Fault> {
        self.client.batch_execute(sql).await.map_err(|e| answer::fault(&e))
    }
}

/// Time-outs of the engine's own are below that of the call, so that its answer, which is sure,
/// comes first, and nothing of a call is left when it has been given up. None of them ends the wait
/// for a synchronous standby.
fn settings(timeout: Duration) -> String {
    let (all, lock) = (timeout.as_millis() * 3 / 4, timeout.as_millis() / 2);
    format!(
        "SET synchronous_commit = on; SET client_min_messages = warning; \
         SET default_transaction_isolation = 'read committed'; \
         SET statement_timeout = {all}; SET lock_timeout = {lock}; \
         SET idle_in_transaction_session_timeout = {all}; \
         SELECT pg_is_in_recovery(), current_setting('transaction_read_only'), \
         current_setting('synchronous_commit'), CASE WHEN NOT pg_is_in_recovery() \
         THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END"
    )
}

impl Ask for PostgresSession {
    async fn highest(&mut self, column: &Column) -> Result<Found, Fault> {
        let sql = column.select("{}::text, pg_typeof({})::text", '"');
        let row = self.client.query_typed(&sql, &[]).await;
        let row = row.map_err(|error| answer::of_table(&error, column))?;
        let row = row.first().ok_or_else(|| Fault::corrupt("an aggregate without a row"))?;
        let text = |at| row.try_get::<_, Option<String>>(at).map_err(|e| answer::fault(&e));
        let (value, kind) = (text(0)?, text(1)?.unwrap_or_default());
        let is_number = matches!(kind.as_str(), "smallint" | "integer" | "bigint" | "numeric");
        Ok(Found { value, no_number: (!is_number).then_some(kind) })
    }
}

impl Session for PostgresSession {
    const OR_NOT: &'static str = "ON CONFLICT DO NOTHING";
    const CREATE: &'static str = "CREATE TABLE {} (\"key\" text COLLATE \"C\" PRIMARY KEY, \
         version bigint NOT NULL, value text NOT NULL)";
    const SHAPE: &'static str = "key text C, version bigint, value text, primary key (key)";

    fn is_open(&self) -> bool {
        !self.client.is_closed() && self.is_newest()
    }

    async fn ping(&mut self) -> Result<(), Fault> {
        self.say("").await
    }

    async fn rows(&mut self, select: Statement<'_>) -> Result<Vec<Row>, Fault> {
        self.query(&select).await
    }

    async fn execute(&mut self, statement: Statement<'_>) -> Result<u64, Fault> {
        let changed = self.run(&statement).await?;
        self.trust(changed)
    }

    async fn begin(&mut self, select: Statement<'_>) -> Result<Vec<Row>, Fault> {
        // Both travel together.
        let (begun, rows) = tokio::join!(self.say("BEGIN"), self.query(&select));
        begun?;
        rows
    }

    async fn commit(&mut self, statements: Vec<Statement<'_>>, sent: &Sent) -> Result<(), Fault> {
        // All travel together. If one fails, PostgreSQL refuses the following ones, and makes a
        // ROLLBACK of the COMMIT.
        sent.set();
        let session = &*self;
        let mut steps: Vec<Step<'_>> = Vec::new();
        for statement in &statements {
            steps.push(Box::pin(async move { session.run(statement).await.and_then(one) }));
        }
        steps.push(Box::pin(session.say("COMMIT")));
        let done = in_order(steps).await;
        done.into_iter().collect::<Result<(), Fault>>()?;
        self.trust(())
    }

    async fn roll_back(&mut self) -> Result<(), Fault> {
        self.say("ROLLBACK").await
    }

    async fn shape(&mut self, table: &str) -> Result<Option<String>, Fault> {
        vet::shape(&self.client, table).await.map_err(|e| answer::fault(&e))
    }

    async fn vet(&mut self) -> Result<Vec<String>, Fault> {
        let settings = vet::settings(&self.client).await.map_err(|e| answer::fault(&e))?;
        vet::judge(&settings)
    }
}

type Step<'a> = Pin<Box<dyn Future<Output = Result<(), Fault>> + Send + 'a>>;

/// What all `steps` answer. They are sent in their order, each without waiting for the ones before.
async fn in_order(mut steps: Vec<Step<'_>>) -> Vec<Result<(), Fault>> {
    let mut done: Vec<_> = steps.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (step, done) in steps.iter_mut().zip(&mut done) {
            if done.is_none()
                && let Poll::Ready(result) = step.as_mut().poll(cx)
            {
                *done = Some(result);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// A locked row that was there is one row still.
fn one(changed: u64) -> Result<(), Fault> {
    if changed == 1 {
        return Ok(());
    }
    // It may be committed by then.
    Err(Fault { is_sure: false, ..Fault::corrupt(NOT_ONE_ROW) })
}

enum Value<'a> {
    Text(&'a str),
    Number(i64),
}

/// The statement with `$1` and so on for its question marks, and its values.
fn rendered<'a>(statement: &Statement<'a>) -> (String, Vec<Value<'a>>) {
    let mut sql = String::with_capacity(statement.sql.len() + 8);
    for (n, part) in statement.sql.split('?').enumerate() {
        if n > 0 {
            sql.push_str(&format!("${n}"));
        }
        sql.push_str(part);
    }
    let value = |param: &Param<'a>| match *param {
        Param::Text(text) => Value::Text(text),
        Param::Number(number) => {
            Value::Number(i64::try_from(number).expect("versions and limits are below 2^63"))
        }
    };
    (sql, statement.params.iter().map(value).collect())
}

fn params<'a>(values: &'a [Value<'a>]) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    let param = |value: &'a Value<'a>| -> (&'a (dyn ToSql + Sync), Type) {
        match value {
            Value::Text(text) => (text, Type::TEXT),
            Value::Number(number) => (number, Type::INT8),
        }
    };
    values.iter().map(param).collect()
}

fn row(row: &tokio_postgres::Row) -> Result<Row, Fault> {
    let read = || -> Result<Row, tokio_postgres::Error> {
        Ok(Row { key: row.try_get(0)?, version: row.try_get(1)?, value: row.try_get(2)? })
    };
    read().map_err(|_| Fault::corrupt(COLUMNS_CHANGED))
}
