//! What is looked at in PostgreSQL: the table, and the settings that durability depends on.

use ticketd_core::failure::FailureKind;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use crate::engine::sql::fault::Fault;

/// The oldest release whose settings are known.
const VERSION_MIN: u32 = 120_000;

/// Describes the table that statements would use.
const SHAPE: &str = "
    SELECT concat_ws(', ',
        (SELECT string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod),
                                     nullif(collname, 'default'),
                                     CASE WHEN NOT attnotnull THEN 'null' END), ', ' ORDER BY attnum)
         FROM pg_attribute LEFT JOIN pg_collation ON pg_collation.oid = attcollation
         WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped),
        (SELECT 'primary key (' || string_agg(attname, ', ') || ')'
         FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
         WHERE indrelid = c.oid AND indisprimary AND indisvalid),
        CASE WHEN relkind NOT IN ('r', 'p') THEN 'not a table' END,
        CASE relpersistence WHEN 'u' THEN 'unlogged' WHEN 't' THEN 'temporary' END)
    FROM pg_class c WHERE c.oid = to_regclass($1)";

/// Describes the table `table`; `None` if there is none.
pub async fn shape(client: &Client, table: &str) -> Result<Option<String>, Error> {
    let name = format!("\"{table}\"");
    let row = client.query_typed_opt(SHAPE, &[(&name, Type::TEXT)]).await?;
    row.map(|row| row.try_get(0)).transpose()
}

/// The settings that matter, as this connection has them.
#[derive(Debug, Clone)]
pub struct Settings {
    version: u32,
    fsync: bool,
    full_page_writes: bool,
    synchronous_commit: String,
    synchronous_standby_names: String,
}

const SETTINGS: &str = "
    SELECT current_setting('server_version_num'), current_setting('fsync'),
           current_setting('full_page_writes'), current_setting('synchronous_commit'),
           current_setting('synchronous_standby_names')";

/// Reads them.
pub async fn settings(client: &Client) -> Result<Settings, Error> {
    let row = client.query_typed_one(SETTINGS, &[]).await?;
    let text = |n: usize| row.try_get::<_, String>(n);
    Ok(Settings {
        version: text(0)?.parse().unwrap_or_default(),
        fsync: text(1)? == "on",
        full_page_writes: text(2)? == "on",
        synchronous_commit: text(3)?,
        synchronous_standby_names: text(4)?,
    })
}

/// What weakens the promises, a line each; fails if one would surely be broken.
pub fn judge(settings: &Settings) -> Result<Vec<String>, Fault> {
    let refuse = |message: &str| Err(Fault::refused(FailureKind::Invalid, message));
    if settings.version < VERSION_MIN {
        return refuse("PostgreSQL is older than release 12: upgrade it");
    }
    if !settings.fsync {
        return refuse("fsync = off: a crash would lose what was reserved; set fsync = on");
    }
    if settings.synchronous_commit != "on" {
        return refuse("synchronous_commit is not on for this connection: allow ticketd to set it");
    }
    let mut warnings = Vec::new();
    if !settings.full_page_writes {
        warnings.push(
            "full_page_writes = off: a loss of power may damage the table, unless the file system \
             writes pages whole; set full_page_writes = on"
                .to_owned(),
        );
    }
    if settings.synchronous_standby_names.is_empty() {
        warnings.push(
            "synchronous_standby_names is empty: a fail-over may lose what was reserved, and IDs \
             would come twice; name a standby there if one may be promoted"
                .to_owned(),
        );
    }
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_weakens_the_promises_is_named() {
        let good = Settings {
            version: 150_000,
            fsync: true,
            full_page_writes: true,
            synchronous_commit: "on".to_owned(),
            synchronous_standby_names: "s1".to_owned(),
        };
        assert_eq!(judge(&good).unwrap(), [""; 0]);
        let alone = Settings { synchronous_standby_names: String::new(), ..good.clone() };
        assert!(judge(&alone).unwrap()[0].starts_with("synchronous_standby_names"));
        let torn = Settings { full_page_writes: false, ..good.clone() };
        assert!(judge(&torn).unwrap()[0].starts_with("full_page_writes"));
        for (settings, says) in [
            (Settings { version: 110_022, ..good.clone() }, "release 12"),
            (Settings { fsync: false, ..good.clone() }, "fsync = off"),
            (Settings { synchronous_commit: "local".into(), ..good }, "synchronous_commit"),
        ] {
            let fault = judge(&settings).unwrap_err();
            assert!(fault.message.contains(says), "{}", fault.message);
            assert_eq!(fault.kind, FailureKind::Invalid);
        }
    }
}
