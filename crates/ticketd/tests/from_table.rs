//! Raising a sequence above what the user's own table holds, read from real databases.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use support::{Home, Server};
use ticketd_engines::{Place, mariadb, postgres, skipped_without};

/// What every database is asked in the same way: `sql` runs a statement there, `quote` is what it
/// writes around names.
fn raises_above_what_a_table_holds(url: &str, quote: char, sql: &dyn Fn(&str)) {
    let home = Home::new();
    let server = home.serve(&[]);
    sql("CREATE TABLE notes (id bigint, small smallint, name varchar(20), price numeric(8,2))");
    let raise = |name: &str, column: &str, more: &[&str]| {
        let base = ["sequence", "raise", name, "--database", url, "--from-table", column];
        server.run(&[&base, more].concat())
    };
    let told = raise("notes", "notes.id", &[]).ok();
    assert_eq!(told, "notes: nothing to do: there is no ID in notes.id\n");
    sql("INSERT INTO notes VALUES (12, 5, 'a', 7), (4711, -5, 'b', 2.5), (NULL, NULL, NULL, NULL)");

    assert_eq!(
        raise("notes", "notes.id", &["--dry-run"]).ok(),
        "notes: would be raised from 0 to 4711\n"
    );
    let json = raise("notes", "notes.id", &["--dry-run", "--json"]).ok();
    assert_eq!(json, "{\"from\":\"0\",\"sequence\":\"notes\",\"to\":\"4711\"}\n");
    assert_eq!(server.resp().incr("notes"), 1, "a dry run changes nothing");
    assert_eq!(
        raise("notes", "notes.id", &[]).ok(),
        "notes: notes.id is at 4711; the next ID is 4712\n"
    );
    assert_eq!(server.resp().incr("notes"), 4712);
    let again = raise("notes", "notes.id", &[]).ok();
    assert!(again.contains("nothing to do: notes.id is at 4711, and higher IDs"), "{again}");
    assert_eq!(
        raise("small", "notes.small", &[]).ok(),
        "small: notes.small is at 5; the next ID is 6\n"
    );

    let told = raise("notes", "notes.id", &["--dry-run"]).ok();
    assert!(told.contains("notes: is at ") && told.contains("up to 4711 would be"), "{told}");

    other_kinds(&server, url);
    strange_names(&server, url, quote, sql);
    sql("UPDATE notes SET small = -7");
    sql("CREATE TABLE large (id numeric(30,0))");
    sql("INSERT INTO large VALUES (9223372036854775808)");
    for (column, told) in [
        ("notes.small", "is negative, which no ID is: -"),
        ("notes.price", "no whole number: 7.00"),
        ("notes.name", "no whole numbers but"),
        ("large.id", "above the last ID 9223372036854775807: 9223372036854775808"),
        ("nots.id", "there is no such table"),
        ("notes.idd", "no such column"),
    ] {
        let line = raise("notes", column, &[]).refused(1);
        assert!(line.contains(told) && line.contains(column), "{told}: {line}");
    }
    let last = i64::MAX;
    sql(&format!("UPDATE large SET id = {last}"));
    // It is of a time to come, and not of one that has passed.
    let line = raise("events", "large.id", &[]).refused(1);
    assert!(line.contains("the clock has not come that far"), "{line}");
    let told = raise("last", "large.id", &[]).ok();
    assert!(told.contains("there is no ID left"), "{told}");
    no_password_is_told(&server, url);
}

/// While the table is at 4711 there are kinds that go elsewhere, or not at all.
fn other_kinds(server: &Server, url: &str) {
    let raise = |name: &str, more: &[&str]| {
        let base = ["sequence", "raise", name, "--database", url, "--from-table", "notes.id"];
        server.run(&[&base, more].concat())
    };
    let create = |args: &[&str]| server.run(&[&["sequence", "create"], args].concat()).ok();
    create(&["stride", "--kind", "stride", "--members", "10", "--offset", "3"]);
    assert_eq!(
        raise("stride", &[]).ok(),
        "stride: notes.id is at 4711; the next ID is 4713\n",
        "of this member the next one above"
    );
    assert_eq!(server.resp().incr("stride"), 4713);
    create(&["uuid", "--kind", "uuid7"]);
    for more in [&[][..], &["--dry-run"]] {
        let line = raise("uuid", more).refused(1);
        assert!(line.contains("a uuid7 sequence does not count"), "{line}");
    }
    create(&["events", "--kind", "snowflake"]);
    assert_eq!(raise("events", &["--dry-run"]).ok(), "events: would be raised to 4711\n");
    let first = server.resp().incr("events");
    let told = raise("events", &[]).ok();
    assert!(told.contains("nothing to do") && first > 4711, "{told}");
}

/// Names that hold anything stand for themselves.
fn strange_names(server: &Server, url: &str, quote: char, sql: &dyn Fn(&str)) {
    let quoted =
        |name: &str| format!("{quote}{}{quote}", name.replace(quote, &format!("{quote}{quote}")));
    let evil = "x\"; DROP TABLE notes; -- `?$1";
    for name in ["Select", "with space", "a.b", evil] {
        sql(&format!("CREATE TABLE {} ({} bigint)", quoted(name), quoted(name)));
        sql(&format!("INSERT INTO {} VALUES (321)", quoted(name)));
        let here = format!("\"{}\"", name.replace('"', "\"\""));
        let base = ["sequence", "raise", "names", "--dry-run", "--database", url, "--from-table"];
        let told = server.run(&[&base[..], &[&format!("{here}.{here}")]].concat()).ok();
        assert_eq!(told, "names: would be raised from 0 to 321\n", "{name}");
    }
}

/// Neither in a flag nor in the environment, whatever is wrong.
fn no_password_is_told(server: &Server, url: &str) {
    let (login, place) = url.rsplit_once('@').unwrap();
    let (user, _) = login.rsplit_once(':').unwrap();
    let base = ["sequence", "raise", "notes", "--from-table", "notes.id"];
    for (url, told) in [
        (format!("{user}:s3cret@{place}"), "password"),
        (
            format!("{login}@{place}?table=S3CRET&s3cret=1"),
            "the URL of --database: its options are",
        ),
        ("redis://me:s3cret@h/d".to_owned(), "postgres:// or mysql://"),
        ("s3cret".to_owned(), "postgres:// or mysql://"),
        (String::new(), "--database URL, or TICKETD_DATABASE"),
    ] {
        let code = if url.is_empty() { 2 } else { 1 };
        let line = server.run(&[&base[..], &["--database", &url]].concat()).refused(code);
        assert!(line.contains(told) && !line.to_lowercase().contains("s3cret"), "{told}: {line}");
    }
    let mut command = support::ticketd(&[&base[..], &["--server", &server.http()]].concat());
    let output = command.env("TICKETD_DATABASE", url).output().unwrap();
    let told = support::Ran::from(output).ok();
    assert!(told.contains("nothing to do"), "{told}");
}

#[test]
fn of_postgresql() {
    if skipped_without("PostgreSQL", postgres::installed().is_some()) {
        return;
    }
    let engine = postgres::Cluster::start(Place::temporary().unwrap(), &[]).unwrap();
    let run = |sql: &str| drop(engine.sql(0, sql).unwrap());
    raises_above_what_a_table_holds(&engine.url(), '"', &run);

    let (home, url) = (Home::new(), engine.url());
    let server = home.serve(&[]);
    run(
        "CREATE SCHEMA \"Eu\"; CREATE TABLE \"Eu\".notes (id int); INSERT INTO \"Eu\".notes VALUES (8)",
    );
    run("CREATE TABLE other (id uuid, note text)");
    run("CREATE USER reader PASSWORD 'x'");
    let raise = |url: &str, column: &str| {
        server.run(&["sequence", "raise", "n", "--database", url, "--from-table", column])
    };
    assert!(raise(&url, "Eu.notes.id").ok().contains("Eu.notes.id is at 8"));
    let line = raise(&url, "eu.notes.id").refused(1);
    assert!(line.contains("no such table") && line.contains("eu.notes.id"), "{line}");
    for column in ["other.id", "other.note"] {
        let line = raise(&url, column).refused(1);
        assert!(line.contains("no whole numbers"), "{line}");
    }
    let place = url.rsplit_once('@').unwrap().1;
    let reader = format!("postgres://reader:x@{place}");
    let line = raise(&reader, "public.notes.id").refused(1);
    assert!(line.contains("GRANT SELECT on it"), "{line}");
}

#[test]
fn of_mariadb() {
    if skipped_without("MariaDB", mariadb::installed().is_some()) {
        return;
    }
    let engine = mariadb::Server::start(Place::temporary().unwrap(), &[]).unwrap();
    let url = engine.url();
    let database = url.rsplit_once('/').unwrap().1.to_owned();
    let run = |sql: &str| drop(engine.sql(&format!("USE {database}; {sql}")).unwrap());
    raises_above_what_a_table_holds(&url, '`', &run);
    let home = Home::new();
    let server = home.serve(&[]);
    let column = format!("{database}.notes.id");
    let told = server.run(&["sequence", "raise", "n", "--database", &url, "--from-table", &column]);
    assert!(told.ok().contains("is at 4711"));
}
