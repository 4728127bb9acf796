//! What is looked at in MariaDB and MySQL: the table, and the settings that durability depends on.

use std::collections::BTreeMap;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use ticketd_core::failure::FailureKind;

use crate::engine::sql::fault::Fault;

/// The oldest releases that have what is used.
const MARIADB_MIN: (u32, u32) = (10, 5);
const MYSQL_MIN: (u32, u32) = (8, 0);

/// Describes a table of this database; empty if there is none.
const SHAPE: &str = "
    SELECT CONCAT_WS(', ',
        GROUP_CONCAT(CONCAT_WS(' ', column_name, data_type, character_maximum_length,
                collation_name, IF(is_nullable = 'YES', 'null', NULL), NULLIF(column_key, ''))
            ORDER BY ordinal_position SEPARATOR ', '),
        MAX(engine))
    FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
    WHERE table_schema = DATABASE() AND table_name = ?";

/// Describes the table `table`; `None` if there is none.
pub async fn shape(conn: &mut Conn, table: &str) -> Result<Option<String>, Error> {
    let shape: Option<String> = conn.exec_first(SHAPE, (table,)).await?;
    Ok(shape.filter(|shape| !shape.is_empty()))
}

/// The settings that matter, by name; those of the other of the two are not there.
pub type Settings = BTreeMap<String, String>;

const SETTINGS: &str = "
    SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'innodb_flush_log_at_trx_commit',
        'innodb_doublewrite', 'log_bin', 'sync_binlog', 'binlog_format', 'wsrep_on',
        'rpl_semi_sync_master_enabled', 'rpl_semi_sync_master_wait_point',
        'rpl_semi_sync_source_enabled', 'rpl_semi_sync_source_wait_point')";

/// Reads them.
pub async fn settings(conn: &mut Conn) -> Result<Settings, Error> {
    let rows: Vec<(String, String)> = conn.query(SETTINGS).await?;
    Ok(rows.into_iter().map(|(name, value)| (name.to_lowercase(), value.to_uppercase())).collect())
}

/// What weakens the promises, a line each; fails if one would surely be broken.
pub fn judge(settings: &Settings) -> Result<Vec<String>, Fault> {
    let of = |name: &str| settings.get(name).map_or("", String::as_str);
    let refuse = |message: &str| Err(Fault::refused(FailureKind::Invalid, message));
    if !is_known(of("version")) {
        return refuse("the server is older than MariaDB 10.5 or MySQL 8.0: upgrade it");
    }
    // 3 is MariaDB's: one more sync.
    if !matches!(of("innodb_flush_log_at_trx_commit"), "1" | "3") {
        return refuse(
            "innodb_flush_log_at_trx_commit is not 1: a crash would lose what was reserved; set \
             it to 1",
        );
    }
    let has_log = of("log_bin") == "ON";
    // With a binary log InnoDB relies on it: what is not in it is rolled back after a crash.
    if has_log && of("sync_binlog") != "1" {
        return refuse(
            "sync_binlog is not 1 though log_bin is on: a loss of power would lose what was \
             reserved; set sync_binlog = 1",
        );
    }
    if has_log && of("binlog_format") == "STATEMENT" {
        return refuse("binlog_format = STATEMENT cannot log changes of ticketd: set it to ROW");
    }
    Ok(weaknesses(settings))
}

fn weaknesses(settings: &Settings) -> Vec<String> {
    let of = |name: &str| settings.get(name).map_or("", String::as_str);
    let mut warnings = Vec::new();
    if matches!(of("innodb_doublewrite"), "OFF" | "0" | "DETECT_ONLY") {
        warnings.push(
            "innodb_doublewrite is off: a loss of power may damage the table, unless the file \
             system writes pages whole; set it to ON"
                .to_owned(),
        );
    }
    let semi_sync = |what: &str| {
        [of(&format!("rpl_semi_sync_master_{what}")), of(&format!("rpl_semi_sync_source_{what}"))]
    };
    if !semi_sync("enabled").contains(&"ON") || !semi_sync("wait_point").contains(&"AFTER_SYNC") {
        warnings.push(
            "replication is asynchronous: a fail-over may lose what was reserved, and IDs would \
             come twice; if a replica may be promoted, set rpl_semi_sync_master_enabled = ON (of \
             MySQL rpl_semi_sync_source_enabled), its wait point AFTER_SYNC, and its time-out high"
                .to_owned(),
        );
    }
    if of("wsrep_on") == "ON" {
        warnings.push(
            "wsrep_on = ON: with Galera a read may be behind and changes conflict more often; \
             name one node in the URL, or use another engine"
                .to_owned(),
        );
    }
    warnings
}

/// Whether a version, such as `10.11.6-MARIADB-LOG` or `8.0.36`, is new enough.
fn is_known(version: &str) -> bool {
    let mut parts = version.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
        return false;
    };
    let least = if version.contains("MARIADB") { MARIADB_MIN } else { MYSQL_MIN };
    (major, minor) >= least
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(changes: &[(&str, &str)]) -> Settings {
        let good = [
            ("version", "10.11.6-MARIADB"),
            ("innodb_flush_log_at_trx_commit", "1"),
            ("innodb_doublewrite", "ON"),
            ("log_bin", "ON"),
            ("sync_binlog", "1"),
            ("binlog_format", "MIXED"),
            ("rpl_semi_sync_master_enabled", "ON"),
            ("rpl_semi_sync_master_wait_point", "AFTER_SYNC"),
        ];
        let all = good.iter().chain(changes);
        all.map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn what_weakens_the_promises_is_named() {
        assert_eq!(judge(&with(&[])).unwrap(), [""; 0]);
        for (name, value, says) in [
            ("innodb_doublewrite", "OFF", "innodb_doublewrite"),
            ("rpl_semi_sync_master_enabled", "OFF", "asynchronous"),
            ("rpl_semi_sync_master_wait_point", "AFTER_COMMIT", "asynchronous"),
            ("wsrep_on", "ON", "wsrep_on"),
        ] {
            let warnings = judge(&with(&[(name, value)])).unwrap();
            assert!(warnings.len() == 1 && warnings[0].contains(says), "{warnings:?}");
        }
        let no_log = with(&[("log_bin", "OFF"), ("sync_binlog", "0")]);
        assert_eq!(judge(&no_log).unwrap(), [""; 0]);
    }

    #[test]
    fn what_breaks_a_promise_is_refused() {
        for (name, value, says) in [
            ("version", "10.4.1-MARIADB", "upgrade"),
            ("version", "5.7.44-LOG", "upgrade"),
            ("innodb_flush_log_at_trx_commit", "2", "innodb_flush_log_at_trx_commit"),
            ("sync_binlog", "0", "sync_binlog"),
            ("binlog_format", "STATEMENT", "binlog_format"),
        ] {
            let fault = judge(&with(&[(name, value)])).unwrap_err();
            assert!(fault.message.contains(says), "{}", fault.message);
            assert_eq!(fault.kind, FailureKind::Invalid);
        }
        for version in ["8.0.36", "8.4.0-LOG", "11.4.2-MARIADB", "10.5.0-MARIADB"] {
            assert!(judge(&with(&[("version", version)])).is_ok(), "{version}");
        }
    }
}
