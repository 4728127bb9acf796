//! MariaDB as an engine, and MySQL as far as it is the same: the contract, faults, and everything
//! that may be wrong at the edges.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail it as the test itself does")]

mod over_engine;
mod sql;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use sql::{
    Certificates, Count, applied, certificates, fails, full, no_two_changes_overlook_each_other,
    put, small_disk, what_is_absent_is_deleted_in_vain,
};
use ticketd_core::failure::FailureKind::{Conflict, Corrupt, Indeterminate, Invalid, Unavailable};
use ticketd_engines::mariadb::{self, DATABASE, Server};
use ticketd_engines::{Place, Process, skipped_without, wait_for};
use ticketd_store::StoreError;
use ticketd_store::engine::conformance::run_all;
use ticketd_store::engine::{Engine, Key, MysqlEngine, Version};

/// Where a URL of a database for these tests may be.
const URL: &str = "TICKETD_TEST_MYSQL";

fn is_missing() -> bool {
    skipped_without("MariaDB", mariadb::installed().is_some())
}

fn server(options: &[&str]) -> Server {
    Server::start(Place::temporary().unwrap(), options).unwrap()
}

/// The server that all tests use that do no harm to it; it ends with the last of them.
fn shared() -> Arc<Server> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(server(&[]));
        *shared = Arc::downgrade(&server);
        server
    })
}

async fn open(url: &str) -> MysqlEngine {
    MysqlEngine::open(url).await.unwrap_or_else(|e| panic!("{:?}: {}", e.kind, e.to_failure()))
}

async fn try_at(url: String) -> Result<MysqlEngine, StoreError> {
    MysqlEngine::open(&url).await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_conforms() {
    if is_missing() {
        return;
    }
    let server = shared();
    let url = std::env::var(URL).unwrap_or_else(|_| server.url());
    let join = if url.contains('?') { '&' } else { '?' };
    let pid = std::process::id();
    let tables = std::sync::atomic::AtomicUsize::new(0);
    run_all(|| {
        let n = tables.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let url = format!("{url}{join}table=conform_{pid}_{n}");
        async move { open(&url).await }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_over_it_conforms() {
    if is_missing() {
        return;
    }
    let server = shared();
    let url = server.url();
    let join = if url.contains('?') { '&' } else { '?' };
    over_engine::store_conforms(|n| {
        let url = format!("{url}{join}timeout=20s&table=store_{n}");
        async move { open(&url).await }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_doubled_when_it_is_killed_and_paused() {
    if is_missing() {
        return;
    }
    let mut server = server(&["--log-bin", "--sync-binlog=1"]);
    let url = format!("{}?timeout=1s", server.url());
    let engines = [Arc::new(open(&url).await), Arc::new(open(&url).await)];
    let count = Count::start(&engines);
    for end in [Process::kill, Process::stop] {
        tokio::time::sleep(Duration::from_secs(1)).await;
        tokio::task::block_in_place(|| {
            end(&mut server.process).unwrap();
            server.process.restart().unwrap();
            server.wait_until_serving().unwrap();
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.process.pause().unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        server.process.resume().unwrap();
    }
    let (acknowledged, unknown) = count.check(&*engines[0]).await;
    println!("{acknowledged} acknowledged, {unknown} of unknown outcome");
    assert!(acknowledged > 50, "too few to be a test: {acknowledged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_its_disk_is_full() {
    if is_missing() {
        return;
    }
    let Some(place) = small_disk(mariadb::USER) else { return };
    let mut server = Server::start(place, &["--innodb-log-file-size=8M"]).unwrap();
    let url = format!("{}?timeout=1s", server.url());
    let engines = [Arc::new(open(&url).await), Arc::new(open(&url).await)];
    let count = Count::start(&engines);
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.place.fill_disk().unwrap();
    let error = full(&*engines[0]).await;
    println!("{:?}: {}", error.kind, error.to_failure());
    assert!(matches!(error.kind, Unavailable | Indeterminate), "{error:?}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.place.clear_disk().unwrap();
    if !server.process.is_running() {
        // It could not go on without room, and is started again by an operator.
        tokio::task::block_in_place(|| {
            server.process.restart().unwrap();
            server.wait_until_serving().unwrap();
        });
    }
    let (acknowledged, unknown) = count.check(&*engines[0]).await;
    println!("{acknowledged} acknowledged, {unknown} of unknown outcome");
    assert!(acknowledged > 50, "too few to be a test: {acknowledged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_servers_make_the_table_at_once_and_clusters_have_their_own() {
    if is_missing() {
        return;
    }
    let server = shared();
    for table in ["first_a", "first_b"] {
        let url = format!("{}?table={table}", server.url());
        let start = |_| {
            let url = url.clone();
            tokio::spawn(async move { open(&url).await })
        };
        for started in (0..8).map(start).collect::<Vec<_>>() {
            started.await.unwrap();
        }
    }
    let a = open(&format!("{}?table=first_a", server.url())).await;
    let b = open(&format!("{}?table=first_b", server.url())).await;
    a.commit(&put("x", Version::ABSENT, "1")).await.unwrap();
    assert_eq!(b.read(&[Key::new("x")]).await.unwrap(), [None]);
    assert_eq!(a.list("", None, 10).await.unwrap().len(), 1, "the row of the schema is hidden");
    what_is_absent_is_deleted_in_vain(&a).await;
    no_two_changes_overlook_each_other(&[Arc::new(a)]).await;
    // Keys are found by the index, whatever the character set of the connection is.
    let explain = format!("EXPLAIN SELECT * FROM {DATABASE}.first_a WHERE `key` = 'x'");
    assert!(server.sql(&explain).unwrap().contains("PRIMARY"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_of_one_key_is_one_statement() {
    if is_missing() {
        return;
    }
    let server = server(&[]);
    let engine = open(&server.url()).await;
    let mut version = applied(&engine, &put("one", Version::ABSENT, "0")).await;
    let looking = statements(&server);
    let before = statements(&server);
    let looking = before - looking;
    for n in 0..10 {
        version = applied(&engine, &put("one", version, &n.to_string())).await;
    }
    assert_eq!(statements(&server) - before - looking, 10);
    assert_eq!(engine.commits(), 11);
}

/// How many statements of clients the server has run.
fn statements(server: &Server) -> u64 {
    let show = "SHOW GLOBAL STATUS WHERE Variable_name = 'Questions'";
    server.sql(show).unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_url_is_told_in_one_line() {
    if is_missing() {
        return;
    }
    let server = shared();
    let url = server.url();
    let at = |from: &str, to: &str| try_at(url.replacen(from, to, 1));
    fails(at("p%40ss", "wrong").await, Invalid, "refuses the user or the password");
    let port = server.port.to_string();
    fails(at(DATABASE, "nowhere").await, Invalid, "may not use the database");
    fails(at("@127.0.0.1", "@").await, Invalid, "no host");
    fails(at(&port, "1").await, Unavailable, "cannot be reached at 127.0.0.1:1");
    fails(try_at(format!("{url}?tls=on")).await, Invalid, "no TLS");
    fails(try_at(format!("{url}?tls=verify")).await, Invalid, "ca=FILE");
    let absent = format!("{url}?tls=verify&ca=/nowhere");
    fails(try_at(absent).await, Invalid, "cannot be read: /nowhere");
    // The first host is silent, and the second one serves.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hosts = format!("@{},127.0.0.1", silent.local_addr().unwrap());
    at("@127.0.0.1", &hosts).await.unwrap();
    let other = format!("mysql://u:p@{}/d?timeout=500ms", silent.local_addr().unwrap());
    fails(try_at(other).await, Unavailable, "no answer within 500ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_user_may_not_do_is_told_in_one_line() {
    if is_missing() {
        return;
    }
    // Whatever the others do at that time is not to fail.
    let server = server(&[]);
    open(&format!("{}?table=rights", server.url())).await;
    let sql = |sql: &str| tokio::task::block_in_place(|| server.sql(sql).unwrap());
    sql("CREATE USER reader IDENTIFIED BY 'r'; GRANT SELECT ON tests.rights TO reader");
    sql("CREATE USER writer IDENTIFIED BY 'w'; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON tests.rights TO writer");
    let host = format!("127.0.0.1:{}", server.port);
    let reader = format!("mysql://reader:r@{host}/tests?table");
    fails(try_at(format!("{reader}=rights")).await, Invalid, "GRANT SELECT, INSERT");
    fails(try_at(format!("{reader}=absent")).await, Invalid, "CREATE on it");
    let writer = format!("mysql://writer:w@{host}/tests?table=rights");
    let engine = open(&writer).await;
    let made = applied(&engine, &put("a", Version::ABSENT, "1")).await;
    sql("SET GLOBAL read_only = 1");
    fails(engine.commit(&put("a", made, "2")).await, Unavailable, "read-only");
    fails(try_at(writer.clone()).await, Unavailable, "read-only");
    sql("SET GLOBAL read_only = 0; SET GLOBAL max_connections = 10");
    let engine = open(&writer).await;
    let changed = applied(&engine, &put("a", made, "2")).await;
    sql("REVOKE UPDATE ON tests.rights FROM writer");
    fails(engine.commit(&put("a", changed, "3")).await, Invalid, "GRANT SELECT, INSERT");
    let mut engines = Vec::new();
    let full = loop {
        match MysqlEngine::open(&server.url()).await {
            Ok(engine) if engines.len() < 12 => engines.push(engine),
            Ok(_) => panic!("more than max_connections"),
            Err(error) => break error,
        }
    };
    fails::<()>(Err(full), Unavailable, "max_connections");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_not_as_it_was_made_is_refused() {
    if is_missing() {
        return;
    }
    let server = shared();
    let sql = |sql: &str| {
        let sql = format!("USE {DATABASE}; {sql}");
        tokio::task::block_in_place(|| server.sql(&sql).unwrap())
    };
    let at = |table: &str| try_at(format!("{}?table={table}", server.url()));
    sql("CREATE TABLE theirs (id bigint PRIMARY KEY, note text)");
    fails(at("theirs").await, Invalid, "theirs is not ticketd's; give another name by ?table=");
    sql("CREATE VIEW a_view AS SELECT 1 AS one");
    fails(at("a_view").await, Invalid, "a_view is not ticketd's");
    let engine = at("newer").await.unwrap();
    sql("UPDATE newer SET value = '2' WHERE `key` = '#schema'");
    fails(at("newer").await, Invalid, "written by a newer ticketd");
    sql("UPDATE newer SET value = 'x' WHERE `key` = '#schema'");
    fails(at("newer").await, Invalid, "not ticketd's");
    sql("INSERT INTO newer VALUES ('a', -1, ''), ('b c', 1, '')");
    fails(engine.read(&[Key::new("a")]).await, Corrupt, "edited by hand");
    fails(engine.list("b", None, 10).await, Corrupt, "never writes");
    sql("ALTER TABLE newer ENGINE = MyISAM");
    fails(at("newer").await, Invalid, "MyISAM");
    sql("ALTER TABLE newer DROP COLUMN value, ADD COLUMN other int");
    fails(engine.read(&[Key::new("a")]).await, Corrupt, "changed by hand");
    fails(engine.commit(&put("c", Version::ABSENT, "")).await, Corrupt, "changed by hand");
    sql("DROP TABLE newer");
    fails(engine.read(&[Key::new("a")]).await, Corrupt, "the table is gone");
    fails(engine.commit(&put("c", Version::ABSENT, "")).await, Corrupt, "the table is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_holds_is_a_conflict_and_a_silent_server_is_not_waited_for() {
    if is_missing() {
        return;
    }
    let server = server(&[]);
    let engine = open(&format!("{}?timeout=3s", server.url())).await;
    let made = applied(&engine, &put("held", Version::ABSENT, "1")).await;
    let hold = format!(
        "USE {DATABASE}; START TRANSACTION; SELECT * FROM ticketd WHERE `key` = 'held' FOR UPDATE; \
         SELECT SLEEP(5)"
    );
    std::thread::scope(|scope| {
        scope.spawn(|| server.sql(&hold));
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let sleeping = "SELECT COUNT(*) FROM information_schema.processlist \
                                WHERE info LIKE 'SELECT SLEEP%'";
                let is_held = || Ok(server.sql(sleeping)?.trim() == "1");
                wait_for("the row is held", Duration::from_secs(10), is_held).unwrap();
                let result = engine.commit(&put("held", made, "2")).await;
                fails(result, Conflict, "somebody else holds the row");
            });
        });
    });
    engine.read(&[Key::new("held")]).await.unwrap();
    server.process.pause().unwrap();
    fails(engine.commit(&put("held", made, "2")).await, Indeterminate, "no answer within 3s");
    fails(engine.read(&[Key::new("held")]).await, Unavailable, "no answer within 3s");
    server.process.resume().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_encrypted_and_the_authority_is_checked() {
    if is_missing() {
        return;
    }
    let (place, other) = (Place::temporary().unwrap(), Place::temporary().unwrap());
    let (ours, theirs) = (certificates(place.path()), certificates(other.path()));
    mariadb::own(&ours.key).unwrap();
    let file = |name, path: &std::path::Path| format!("{name}={}", path.display());
    let (cert, key) = (file("--ssl-cert", &ours.cert), file("--ssl-key", &ours.key));
    let server = Server::start(place, &[&cert, &key]).unwrap();
    server.sql("ALTER USER tester REQUIRE SSL").unwrap();
    let url = server.url();
    let ca =
        |certificates: &Certificates| format!("{url}?tls=verify&{}", file("ca", &certificates.ca));
    for good in [format!("{url}?tls=on"), ca(&ours)] {
        let engine = open(&good).await;
        engine.read(&[Key::new("a")]).await.unwrap();
    }
    fails(try_at(url.clone()).await, Invalid, "refuses the user");
    fails(try_at(ca(&theirs)).await, Invalid, "see tls and ca");
    let by_name = ca(&ours).replace("127.0.0.1", "localhost");
    fails(try_at(by_name).await, Invalid, "see tls and ca");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_break_a_promise_are_refused() {
    if is_missing() {
        return;
    }
    let server = server(&[]);
    let engine = open(&server.url()).await;
    let warnings = engine.vet().await.unwrap();
    assert!(warnings.len() == 1 && warnings[0].contains("asynchronous"), "{warnings:?}");
    server.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 2").unwrap();
    fails(engine.vet().await, Invalid, "innodb_flush_log_at_trx_commit is not 1");
}
