//! The table of a cluster: made on first use, and looked at before it is used.

use ticketd_core::failure::FailureKind;

use super::fault::Fault;
use super::session::{Param, Session, Statement};

/// The key of the row that says which version of the schema the table has. Keys of callers never
/// begin so.
pub const SCHEMA_KEY: &str = "#schema";

/// The version of the schema that this is.
const SCHEMA: u32 = 1;

/// How often the table is looked for and made. Others may be making it at the same time.
const ATTEMPTS: usize = 5;

/// Makes sure that `table` is there, is ours, and may be written.
pub async fn prepare<S: Session>(session: &mut S, table: &str) -> Result<(), Fault> {
    make(session, table).await?;
    let quoted = quoted(table);
    may_write(session, &quoted).await?;
    if schema(session, &quoted).await?.is_none() {
        note_schema::<S>(session, &quoted).await?;
    }
    match schema(session, &quoted).await?.map(|value| value.parse::<u32>()) {
        Some(Ok(SCHEMA)) => Ok(()),
        Some(Ok(newer)) if newer > SCHEMA => Err(invalid(format!(
            "the table was written by a newer ticketd: upgrade this one, table {table}"
        ))),
        _ => Err(not_ours(table, "another row where the version of the schema should be")),
    }
}

/// The name of a table as statements have it.
pub fn quoted(table: &str) -> String {
    format!("\"{table}\"")
}

async fn make<S: Session>(session: &mut S, table: &str) -> Result<(), Fault> {
    for _ in 0..ATTEMPTS {
        match session.shape(table).await? {
            Some(shape) if shape == S::SHAPE => return Ok(()),
            Some(shape) => return Err(not_ours(table, &shape)),
            None => create(session, table).await?,
        }
    }
    Err(Fault::refused(FailureKind::Conflict, format!("somebody drops the table {table} again")))
}

async fn create<S: Session>(session: &mut S, table: &str) -> Result<(), Fault> {
    let sql = S::CREATE.replace("{}", &quoted(table));
    match session.execute(Statement { sql, params: vec![] }).await {
        // Another server was faster.
        Err(fault) if fault.is_duplicate => Ok(()),
        made => made.map(|_| ()),
    }
}

/// Tries each right that will be needed on no row at all.
async fn may_write<S: Session>(session: &mut S, table: &str) -> Result<(), Fault> {
    let columns = "\"key\", version, value";
    let tries = [
        format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM {table} WHERE \"key\" = ?"),
        format!("UPDATE {table} SET version = version WHERE \"key\" = ?"),
        format!("DELETE FROM {table} WHERE \"key\" = ?"),
    ];
    for sql in tries {
        session.execute(Statement { sql, params: vec![Param::Text("")] }).await?;
    }
    Ok(())
}

async fn schema<S: Session>(session: &mut S, table: &str) -> Result<Option<String>, Fault> {
    let sql = format!("SELECT \"key\", version, value FROM {table} WHERE \"key\" = ?");
    let select = Statement { sql, params: vec![Param::Text(SCHEMA_KEY)] };
    Ok(session.rows(select).await?.pop().map(|row| row.value))
}

async fn note_schema<S: Session>(session: &mut S, table: &str) -> Result<(), Fault> {
    let value = SCHEMA.to_string();
    let insert = Statement {
        sql: format!(
            "INSERT INTO {table} (\"key\", version, value) VALUES (?, 1, ?) {}",
            S::OR_NOT
        ),
        params: vec![Param::Text(SCHEMA_KEY), Param::Text(&value)],
    };
    match session.execute(insert).await {
        Err(fault) if fault.is_duplicate => Ok(()),
        noted => noted.map(|_| ()),
    }
}

fn not_ours(table: &str, found: &str) -> Fault {
    invalid(format!(
        "the table {table} is not ticketd's; give another name by ?table=, or bring it back as it \
         was: it has {found}"
    ))
}

fn invalid(message: String) -> Fault {
    Fault::refused(FailureKind::Invalid, message)
}
