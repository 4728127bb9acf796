//! Changes as SQL.

use std::collections::BTreeSet;

use ticketd_core::failure::FailureKind;

use super::fault::Fault;
use super::session::{Param, Row, Sent, Session, Statement};
use crate::engine::{Change, Key, Outcome, Version};

/// Applies `change` to `table` (its quoted name).
pub async fn apply<S: Session>(
    session: &mut S,
    table: &str,
    change: &Change,
    sent: &Sent,
) -> Result<Outcome, Fault> {
    let version = fresh_version()?;
    if let Some(statement) = single::<S>(table, change, version) {
        // From its first byte on it may be applied.
        sent.set();
        return outcome(session.execute(statement).await, version);
    }
    if change.expect.is_empty() {
        return Ok(Outcome::Applied(version));
    }
    let rows = session.begin(lock(table, change)).await?;
    if !is_as_expected(change, rows)? {
        return give_up(session).await;
    }
    let committed = session.commit(writes(table, change, version), sent).await;
    outcome(committed.map(|()| 1), version)
}

/// The version of all that is put: at random, so that none ever comes twice. A counter would, on a
/// standby that was behind and took over: then a change that expects a lost state could replace
/// another one with the same number.
fn fresh_version() -> Result<Version, Fault> {
    let random = getrandom::u64().map_err(|error| {
        let message = format!("the operating system gives no random numbers: {error}");
        Fault::refused(FailureKind::Unavailable, message)
    })?;
    Ok(Version((random >> 2).max(1)))
}

/// The statement of a change of one key, which is a whole transaction: the condition is in it.
fn single<'a, S: Session>(
    table: &str,
    change: &'a Change,
    version: Version,
) -> Option<Statement<'a>> {
    let [(key, expected)] = change.expect.as_slice() else {
        return None;
    };
    let statement = match (change.put.as_slice(), *expected) {
        ([(_, value)], Version::ABSENT) => {
            let insert = insert(table, key, version, value);
            Statement { sql: format!("{} {}", insert.sql, S::OR_NOT), ..insert }
        }
        ([(_, value)], _) => {
            let mut update = update(table, key, version, value);
            update.sql.push_str(" AND version = ?");
            update.params.push(Param::Number(expected.0));
            update
        }
        ([], Version::ABSENT) => return None,
        ([], _) if change.delete.is_empty() => return None,
        _ => {
            let mut delete = delete(table, key);
            delete.sql.push_str(" AND version = ?");
            delete.params.push(Param::Number(expected.0));
            delete
        }
    };
    Some(statement)
}

fn outcome(changed: Result<u64, Fault>, version: Version) -> Result<Outcome, Fault> {
    match changed {
        Ok(0) => Ok(Outcome::Differs),
        Ok(_) => Ok(Outcome::Applied(version)),
        // Somebody has made a key that was expected to be absent; the engine has undone the rest.
        Err(fault) if fault.is_duplicate && fault.is_sure => Ok(Outcome::Differs),
        Err(fault) => Err(fault),
    }
}

/// Locks the rows of all keys that are there, in the order of the keys, so that no two changes wait
/// for each other.
fn lock<'a>(table: &str, change: &'a Change) -> Statement<'a> {
    let keys: BTreeSet<&Key> = change.expect.iter().map(|(key, _)| key).collect();
    let mut select = select(table, keys);
    select.sql.push_str(" ORDER BY \"key\" FOR UPDATE");
    select
}

fn is_as_expected(change: &Change, rows: Vec<Row>) -> Result<bool, Fault> {
    let entries = rows.into_iter().map(Row::into_entry).collect::<Result<Vec<_>, _>>()?;
    let version = |key: &Key| {
        entries.iter().find(|entry| entry.key == *key).map_or(Version::ABSENT, |e| e.version)
    };
    Ok(change.expect.iter().all(|(key, expected)| version(key) == *expected))
}

async fn give_up<S: Session>(session: &mut S) -> Result<Outcome, Fault> {
    // If that fails the connection is closed, which ends the transaction as well.
    let _rolled_back = session.roll_back().await;
    Ok(Outcome::Differs)
}

/// What is done under the locks. Keys that were absent have no row to lock: each is inserted, which
/// fails if somebody else inserts it, and makes the others wait until this is committed. If it is
/// not to stay it is deleted again.
fn writes<'a>(table: &str, change: &'a Change, version: Version) -> Vec<Statement<'a>> {
    let mut expect: Vec<_> = change.expect.iter().collect();
    expect.sort_unstable();
    let value = |key| change.put.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    let mut statements = Vec::new();
    for (key, expected) in &expect {
        match (*expected == Version::ABSENT, value(key)) {
            (true, value) => statements.push(insert(table, key, version, value.unwrap_or(""))),
            (false, Some(value)) => statements.push(update(table, key, version, value)),
            (false, None) => {}
        }
    }
    for (key, expected) in expect {
        let was_guard = *expected == Version::ABSENT && value(key).is_none();
        if was_guard || change.delete.contains(key) {
            statements.push(delete(table, key));
        }
    }
    statements
}

/// Reads `keys`, of which there is at least one.
pub fn select<'a>(table: &str, keys: impl IntoIterator<Item = &'a Key>) -> Statement<'a> {
    let params: Vec<_> = keys.into_iter().map(|key| Param::Text(key.as_str())).collect();
    let marks = vec!["?"; params.len()].join(", ");
    let sql = format!("SELECT \"key\", version, value FROM {table} WHERE \"key\" IN ({marks})");
    Statement { sql, params }
}

fn insert<'a>(table: &str, key: &'a Key, version: Version, value: &'a str) -> Statement<'a> {
    Statement {
        sql: format!("INSERT INTO {table} (\"key\", version, value) VALUES (?, ?, ?)"),
        params: vec![Param::Text(key.as_str()), Param::Number(version.0), Param::Text(value)],
    }
}

fn update<'a>(table: &str, key: &'a Key, version: Version, value: &'a str) -> Statement<'a> {
    Statement {
        sql: format!("UPDATE {table} SET version = ?, value = ? WHERE \"key\" = ?"),
        params: vec![Param::Number(version.0), Param::Text(value), Param::Text(key.as_str())],
    }
}

fn delete<'a>(table: &str, key: &'a Key) -> Statement<'a> {
    let sql = format!("DELETE FROM {table} WHERE \"key\" = ?");
    Statement { sql, params: vec![Param::Text(key.as_str())] }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by the world of several servers, as seed 1020659 made it then: a counter gave the state
    /// of a standby that was behind the version of one that was lost.
    #[test]
    fn no_version_comes_twice() {
        let versions = (0..1_000).map(|_| fresh_version().unwrap());
        let versions: BTreeSet<Version> = versions.collect();
        assert_eq!(versions.len(), 1_000);
        assert!(versions.iter().all(|version| (1..1 << 62).contains(&version.0)));
    }
}
