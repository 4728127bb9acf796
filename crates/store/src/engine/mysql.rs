//! MariaDB and MySQL as an engine: InnoDB, and only what both have.
//!
//! Changes run in READ COMMITTED: there statements that change or lock a row look at its condition
//! on the newest version, after they have waited for whoever holds it.

mod answer;
mod vet;

use std::time::Duration;

use mysql_async::consts::ColumnType;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts, Value, from_row_opt};
use ticketd_core::failure::FailureKind;

use super::highest::{Ask, Column, Found};
use super::sql::SqlEngine;
use super::sql::address::{Address, Form, Host, Mode};
use super::sql::fault::{COLUMNS_CHANGED, Fault, NOT_ONE_ROW};
use super::sql::session::{Param, Row, Sent, Server, Session, Statement};
use super::sql::tls;
use crate::error::StoreError;

const FORM: Form = Form {
    schemes: &["mysql", "mariadb"],
    port: 3306,
    tls: "tls",
    ca: "ca",
    modes: &[("off", Mode::Off), ("on", Mode::Require), ("verify", Mode::Verify)],
    example: "mysql://USER:PASSWORD@HOST1:3306,HOST2/DATABASE?tls=verify&ca=FILE",
};

/// What the engine says to a `COMMIT` or a single statement that it has done. Longer than any
/// statement of ours; the driver would ask for it otherwise.
const PACKET_LEN_MAX: usize = 1 << 20;

/// How long the engine keeps a connection of which it hears nothing, at least: the locks of a
/// server that was paused within a transaction are free after that.
const SILENCE_MIN: Duration = Duration::from_secs(10);

/// An engine in a table of a MariaDB or MySQL database.
pub type MysqlEngine = SqlEngine<Mysql>;

/// How to connect to MariaDB and MySQL.
pub struct Mysql {
    tls: Option<SslOpts>,
}

impl MysqlEngine {
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
pub(super) fn reach(url: &str) -> Result<(Mysql, Address), StoreError> {
    let address = Address::parse(&FORM, url)?;
    let tls = encryption(&address)?;
    Ok((Mysql { tls }, address))
}

/// The encryption that `address` asks for.
fn encryption(address: &Address) -> Result<Option<SslOpts>, StoreError> {
    let options = SslOpts::default().with_disable_built_in_roots(true);
    Ok(match (address.mode, &address.ca) {
        (Mode::Off | Mode::Prefer, _) => None,
        (Mode::Verify, Some(file)) => {
            // The driver reads it at each connection, and says little of what is wrong.
            tls::roots(FORM.ca, file)?;
            Some(options.with_root_certs(vec![file.clone().into()]))
        }
        // Against those who only listen. Its verifier wants to be made of some authorities.
        _ => Some(
            SslOpts::default()
                .with_danger_accept_invalid_certs(true)
                .with_danger_skip_domain_validation(true),
        ),
    })
}

impl Server for Mysql {
    type Session = MysqlSession;

    async fn connect(&self, address: &Address, host: &Host) -> Result<MysqlSession, Fault> {
        let connected = Conn::new(self.options(address, host)).await;
        let conn = connected.map_err(|e| answer::connecting(host, e))?;
        let mut session = MysqlSession { conn, is_open: true };
        session.set_up(address.timeout).await?;
        Ok(session)
    }
}

impl Mysql {
    fn options(&self, address: &Address, host: &Host) -> Opts {
        let options = OptsBuilder::default()
            .ip_or_hostname(&host.name)
            .tcp_port(host.port)
            .user(Some(&address.user))
            .pass(address.password.as_deref())
            .db_name(Some(&address.database))
            .ssl_opts(self.tls.clone())
            // Nothing but the host that was named, and no questions that are not needed.
            .prefer_socket(false)
            .max_allowed_packet(Some(PACKET_LEN_MAX))
            .wait_timeout(Some(28_800))
            .tcp_keepalive(Some(Duration::from_secs(60)));
        options.into()
    }
}

/// A connection to MariaDB or MySQL.
pub struct MysqlSession {
    conn: Conn,
    is_open: bool,
}

impl MysqlSession {
    /// Gives the session the settings that changes rely on, and checks that they can be made.
    async fn set_up(&mut self, timeout: Duration) -> Result<(), Fault> {
        self.say("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
        self.say(&settings(timeout)).await?;
        let select = "SELECT CAST(@@read_only AS CHAR), CAST(@@innodb_read_only AS CHAR)";
        let row = self.conn.query_first::<(String, String), _>(select).await;
        let (server, storage) = row.map_err(answer::fault)?.unwrap_or_default();
        let is_off = |value: &str| matches!(value, "0" | "OFF");
        if !is_off(&server) || !is_off(&storage) {
            return Err(Fault::refused(
                FailureKind::Unavailable,
                "the server is read-only: name the primary in the URL, or all hosts, or set \
                 read_only = 0",
            ));
        }
        Ok(())
    }

    async fn say(&mut self, sql: &str) -> Result<(), Fault> {
        let said = self.conn.query_drop(sql).await;
        said.map_err(|e| self.noted(answer::fault(e)))
    }

    async fn run(&mut self, statement: Statement<'_>) -> Result<u64, Fault> {
        let (sql, values) = rendered(&statement);
        let done = self.conn.exec_drop(sql, values).await;
        done.map_err(|e| self.noted(answer::fault(e)))?;
        Ok(self.conn.affected_rows())
    }

    /// After a failure that the engine did not answer, the connection is of no use.
    fn noted(&mut self, fault: Fault) -> Fault {
        self.is_open &= fault.is_sure;
        fault
    }
}

/// The engine gives up to wait for a lock before the call does, if its seconds allow that, so that
/// nothing of a call is left when it has been given up.
fn settings(timeout: Duration) -> String {
    let lock = (timeout.as_secs() / 2).max(1);
    let silence = SILENCE_MIN.max(timeout * 2).as_secs();
    let transaction = timeout.as_secs().max(1);
    // The comment is a statement to MariaDB.
    format!(
        "SET SESSION autocommit = 1, innodb_lock_wait_timeout = {lock}, lock_wait_timeout = {lock}, \
         sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', wait_timeout = {silence} \
         /*M!100300 , idle_transaction_timeout = {transaction} */"
    )
}

impl Ask for MysqlSession {
    async fn highest(&mut self, column: &Column) -> Result<Found, Fault> {
        // The type that the driver tells is that of the first, the value that of the second.
        let sql = column.select("{}, CAST({} AS CHAR)", '`');
        let row = self.conn.query_first::<mysql_async::Row, _>(sql).await;
        let row = row.map_err(|error| answer::of_table(error, column))?;
        let row = row.ok_or_else(|| Fault::corrupt("an aggregate without a row"))?;
        let kind = row.columns_ref().first().map(|column| column.column_type());
        let kind = kind.ok_or_else(|| Fault::corrupt("a row without a column"))?;
        if !is_number(kind) {
            return Ok(Found { value: None, no_number: Some(format!("{kind:?}")) });
        }
        // Not `get`, which panics where the bytes are no text.
        let value = row.get_opt::<Option<String>, _>(1).and_then(Result::ok);
        let value = value.ok_or_else(|| Fault::corrupt("a number that is no text"))?;
        Ok(Found { value, no_number: None })
    }
}

fn is_number(kind: ColumnType) -> bool {
    use ColumnType::{
        MYSQL_TYPE_DECIMAL, MYSQL_TYPE_INT24, MYSQL_TYPE_LONG, MYSQL_TYPE_LONGLONG,
        MYSQL_TYPE_NEWDECIMAL, MYSQL_TYPE_SHORT, MYSQL_TYPE_TINY,
    };
    matches!(
        kind,
        MYSQL_TYPE_TINY
            | MYSQL_TYPE_SHORT
            | MYSQL_TYPE_INT24
            | MYSQL_TYPE_LONG
            | MYSQL_TYPE_LONGLONG
            | MYSQL_TYPE_DECIMAL
            | MYSQL_TYPE_NEWDECIMAL
    )
}

impl Session for MysqlSession {
    // A duplicate fails, and surely so.
    const OR_NOT: &'static str = "";
    const CREATE: &'static str = "CREATE TABLE {} (\"key\" varchar(192) CHARACTER SET ascii \
         COLLATE ascii_bin NOT NULL PRIMARY KEY, version bigint NOT NULL, value varchar(4096) \
         CHARACTER SET ascii COLLATE ascii_bin NOT NULL) ENGINE = InnoDB";
    const SHAPE: &'static str =
        "key varchar 192 ascii_bin PRI, version bigint, value varchar 4096 ascii_bin, InnoDB";

    fn is_open(&self) -> bool {
        self.is_open
    }

    async fn ping(&mut self) -> Result<(), Fault> {
        let alive = self.conn.ping().await;
        alive.map_err(|e| self.noted(answer::fault(e)))
    }

    async fn rows(&mut self, select: Statement<'_>) -> Result<Vec<Row>, Fault> {
        let (sql, values) = rendered(&select);
        let rows = self.conn.exec::<mysql_async::Row, _, _>(sql, values).await;
        let rows = rows.map_err(|e| self.noted(answer::fault(e)))?;
        rows.into_iter().map(row).collect()
    }

    async fn execute(&mut self, statement: Statement<'_>) -> Result<u64, Fault> {
        self.run(statement).await
    }

    async fn begin(&mut self, select: Statement<'_>) -> Result<Vec<Row>, Fault> {
        self.say("START TRANSACTION").await?;
        self.rows(select).await
    }

    async fn commit(&mut self, statements: Vec<Statement<'_>>, sent: &Sent) -> Result<(), Fault> {
        for statement in statements {
            let changed = self.run(statement).await.and_then(|changed| match changed {
                1 => Ok(()),
                _ => Err(Fault::corrupt(NOT_ONE_ROW)),
            });
            if let Err(fault) = changed {
                // At once, for whoever waits for the locks. If that fails the connection is closed,
                // which ends the transaction as well.
                let _rolled_back = self.roll_back().await;
                return Err(fault);
            }
        }
        sent.set();
        self.say("COMMIT").await
    }

    async fn roll_back(&mut self) -> Result<(), Fault> {
        let rolled_back = self.say("ROLLBACK").await;
        self.is_open &= rolled_back.is_ok();
        rolled_back
    }

    async fn shape(&mut self, table: &str) -> Result<Option<String>, Fault> {
        let shape = vet::shape(&mut self.conn, table).await;
        shape.map_err(|e| self.noted(answer::fault(e)))
    }

    async fn vet(&mut self) -> Result<Vec<String>, Fault> {
        let settings = vet::settings(&mut self.conn).await;
        vet::judge(&settings.map_err(|e| self.noted(answer::fault(e)))?)
    }
}

/// The statement with its names between backticks, and its values.
fn rendered(statement: &Statement<'_>) -> (String, Vec<Value>) {
    let value = |param: &Param<'_>| match *param {
        Param::Text(text) => Value::from(text),
        Param::Number(number) => Value::from(number),
    };
    (statement.sql.replace('"', "`"), statement.params.iter().map(value).collect())
}

fn row(row: mysql_async::Row) -> Result<Row, Fault> {
    let columns = from_row_opt::<(String, i64, String)>(row);
    let (key, version, value) = columns.map_err(|_| Fault::corrupt(COLUMNS_CHANGED))?;
    Ok(Row { key, version, value })
}
