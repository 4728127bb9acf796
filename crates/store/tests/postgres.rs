//! PostgreSQL as an engine: the contract, faults, and everything that may be wrong at the edges.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail it as the test itself does")]

mod over_engine;
mod sql;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use sql::{
    Certificates, Count, again, applied, certificates, fails, full,
    no_two_changes_overlook_each_other, put, small_disk, what_is_absent_is_deleted_in_vain,
};
use ticketd_core::failure::FailureKind::{Conflict, Corrupt, Indeterminate, Invalid, Unavailable};
use ticketd_engines::postgres::{self, Cluster};
use ticketd_engines::{Place, skipped_without, wait_for};
use ticketd_store::StoreError;
use ticketd_store::engine::conformance::run_all;
use ticketd_store::engine::{Change, Engine, Key, Outcome, PostgresEngine, Version};

/// Where a URL of a database for these tests may be.
const URL: &str = "TICKETD_TEST_POSTGRES";

fn is_missing() -> bool {
    skipped_without("PostgreSQL", postgres::installed().is_some())
}

/// For tests in which nothing is killed: quicker, and refused by `vet`.
const UNSYNCED: &str = "fsync=off";

fn cluster(settings: &[&str]) -> Cluster {
    Cluster::start(Place::temporary().unwrap(), settings).unwrap()
}

/// The server that all tests use that do no harm to it; it ends with the last of them.
fn shared() -> Arc<Cluster> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let cluster = Arc::new(cluster(&[UNSYNCED]));
        *shared = Arc::downgrade(&cluster);
        cluster
    })
}

async fn open(url: &str) -> PostgresEngine {
    PostgresEngine::open(url).await.unwrap_or_else(|e| panic!("{:?}: {}", e.kind, e.to_failure()))
}

async fn several(url: &str, count: usize) -> Vec<Arc<PostgresEngine>> {
    let mut engines = Vec::new();
    for _ in 0..count {
        engines.push(Arc::new(open(url).await));
    }
    engines
}

#[tokio::test(flavor = "multi_thread")]
async fn it_conforms() {
    if is_missing() {
        return;
    }
    let cluster = shared();
    let url = std::env::var(URL).unwrap_or_else(|_| cluster.url());
    let join = if url.contains('?') { '&' } else { '?' };
    let tables = std::sync::atomic::AtomicUsize::new(0);
    let pid = std::process::id();
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
    let mut cluster = cluster(&[]);
    let url = format!("{}?timeout=1s", cluster.url());
    let engines = several(&url, 3).await;
    let warnings = engines[0].vet().await.unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("synchronous_standby_names is empty"), "{warnings:?}");
    let count = Count::start(&engines);
    for end in [Cluster::kill, Cluster::shut_down] {
        tokio::time::sleep(Duration::from_secs(1)).await;
        tokio::task::block_in_place(|| {
            end(&mut cluster, 0).unwrap();
            cluster.restart(0).unwrap();
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        cluster.pause(0).unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        cluster.resume(0).unwrap();
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
    let Some(place) = small_disk(postgres::USER) else { return };
    let small = ["min_wal_size=32MB", "max_wal_size=48MB"];
    let mut cluster = Cluster::start(place, &small).unwrap();
    let engines = several(&format!("{}?timeout=1s", cluster.url()), 3).await;
    let count = Count::start(&engines);
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.place.fill_disk().unwrap();
    let error = full(&*engines[0]).await;
    println!("{:?}: {}", error.kind, error.to_failure());
    assert!(matches!(error.kind, Unavailable | Indeterminate), "{error:?}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.place.clear_disk().unwrap();
    if !cluster.servers[0].is_running() {
        // It had no room for its log: it ends, and is started again by an operator.
        tokio::task::block_in_place(|| cluster.restart(0).unwrap());
    }
    let (acknowledged, unknown) = count.check(&*engines[0]).await;
    println!("{acknowledged} acknowledged, {unknown} of unknown outcome");
    assert!(acknowledged > 50, "too few to be a test: {acknowledged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_standby_takes_over() {
    if is_missing() {
        return;
    }
    let mut cluster = cluster(&[]);
    tokio::task::block_in_place(|| cluster.add_standby(&[]).unwrap());
    let url = format!("{}?timeout=1s", cluster.url());
    let engines = several(&url, 3).await;
    assert_eq!(engines[0].vet().await.unwrap(), [""; 0]);
    let count = Count::start(&engines);
    tokio::time::sleep(Duration::from_secs(1)).await;
    tokio::task::block_in_place(|| {
        cluster.kill(0).unwrap();
        cluster.promote_standby().unwrap();
    });
    // What is asked of it later fails by no time-out of a busy machine.
    let patient = format!("{}?timeout=10s", cluster.url());
    let new = again(|| PostgresEngine::open(&patient)).await;
    let (acknowledged, unknown) = count.check(&new).await;
    println!("{acknowledged} acknowledged, {unknown} of unknown outcome");
    assert!(acknowledged > 50, "too few to be a test: {acknowledged}");
    // The old primary is back, and the first one in the URL: nobody who knows better asks it.
    tokio::task::block_in_place(|| cluster.restart(0).unwrap());
    let new = Arc::new(new);
    let attempts: Vec<_> = (0..8)
        .map(|n| {
            let new = Arc::clone(&new);
            let change = put(&format!("after/{n}"), Version::ABSENT, "1");
            tokio::spawn(async move { again(|| new.commit(&change)).await })
        })
        .collect();
    for attempt in attempts {
        assert_ne!(attempt.await.unwrap(), Outcome::Differs);
    }
    let count = "SELECT count(*) FROM ticketd WHERE key LIKE 'after/%'";
    let counts = tokio::task::block_in_place(|| [0, 1].map(|n| cluster.sql(n, count).unwrap()));
    assert_eq!(counts.each_ref().map(|count| count.trim()), ["0", "8"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_did_not_wait_for_the_standby_is_of_unknown_outcome() {
    if is_missing() {
        return;
    }
    let mut cluster = cluster(&[UNSYNCED]);
    tokio::task::block_in_place(|| cluster.add_standby(&[UNSYNCED]).unwrap());
    let engine = Arc::new(open(&format!("{}?timeout=10s", cluster.url())).await);
    let made = applied(engine.as_ref(), &put("a", Version::ABSENT, "1")).await;
    let pair = Change {
        expect: vec![(Key::new("b"), Version::ABSENT), (Key::new("c"), Version::ABSENT)],
        put: vec![(Key::new("b"), "1".into())],
        delete: vec![],
    };
    cluster.pause(1).unwrap();
    // What PostgreSQL acknowledges all the same, with a warning: of one statement, and of several.
    for change in [put("a", made, "2"), pair] {
        let asked = Arc::clone(&engine);
        let committed = tokio::spawn(async move { asked.commit(&change).await });
        let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity \
                      WHERE wait_event = 'SyncRep'";
        tokio::task::block_in_place(|| {
            let cancelled = || Ok(cluster.sql(0, cancel)?.trim() == "1");
            wait_for("the wait was cancelled", Duration::from_secs(8), cancelled).unwrap();
        });
        let result = committed.await.unwrap();
        fails(result, Indeterminate, "synchronous standby");
    }
    // No time-out of the engine's own ends the wait.
    let brief = open(&format!("{}?timeout=1s", cluster.url())).await;
    let result = brief.commit(&put("d", Version::ABSENT, "1")).await;
    fails(result, Indeterminate, "no answer within 1s");
    cluster.resume(1).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn several_servers_make_the_table_at_once_and_clusters_have_their_own() {
    if is_missing() {
        return;
    }
    let cluster = shared();
    for table in ["first_a", "first_b"] {
        let url = format!("{}?table={table}", cluster.url());
        let starts: Vec<_> = (0..8)
            .map(|_| {
                tokio::spawn({
                    let url = url.clone();
                    async move { open(&url).await }
                })
            })
            .collect();
        for start in starts {
            start.await.unwrap();
        }
    }
    let a = open(&format!("{}?table=first_a", cluster.url())).await;
    let b = open(&format!("{}?table=first_b", cluster.url())).await;
    a.commit(&put("x", Version::ABSENT, "1")).await.unwrap();
    assert_eq!(b.read(&[Key::new("x")]).await.unwrap(), [None]);
    assert_eq!(a.list("", None, 10).await.unwrap().len(), 1, "the row of the schema is hidden");
    what_is_absent_is_deleted_in_vain(&a).await;
    no_two_changes_overlook_each_other(&[Arc::new(a)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_of_one_key_is_one_transaction_and_one_statement() {
    if is_missing() {
        return;
    }
    let cluster = shared();
    let sql = |sql: &str| tokio::task::block_in_place(|| cluster.sql(0, sql).unwrap());
    sql("CREATE ROLE counted LOGIN PASSWORD 'c'; GRANT CREATE ON SCHEMA public TO counted");
    sql("ALTER ROLE counted SET log_statement = 'all'");
    let url = format!("postgres://counted:c@127.0.0.1:{}/postgres?table=counted", cluster.ports[0]);
    let engine = open(&url).await;
    let before = statements(&cluster);
    let mut version = Version::ABSENT;
    for n in 0..10 {
        version = applied(&engine, &put("one", version, &n.to_string())).await;
    }
    let logged = statements(&cluster);
    let after: Vec<_> = logged[before.len()..].iter().map(|line| line.to_uppercase()).collect();
    let (inserts, updates) = after.split_at(1);
    assert!(inserts[0].contains("INSERT") && updates.len() == 9, "{after:?}");
    assert!(updates.iter().all(|line| line.contains("UPDATE")), "{after:?}");
    assert_eq!(engine.commits(), 10);
}

/// The statements that the engine has logged: only those of one role.
fn statements(cluster: &Cluster) -> Vec<String> {
    let log = cluster.servers[0].log();
    let is_statement = |line: &&str| line.contains("execute ") || line.contains("statement: ");
    log.lines().filter(is_statement).filter(|l| !l.contains("ERROR")).map(str::to_owned).collect()
}

async fn try_at(url: String) -> Result<PostgresEngine, StoreError> {
    PostgresEngine::open(&url).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_url_is_told_in_one_line() {
    if is_missing() {
        return;
    }
    let cluster = shared();
    let url = cluster.url();
    let at = |from: &str, to: &str| try_at(url.replacen(from, to, 1));
    fails(at("p%40ss", "wrong").await, Invalid, "refuses the user or the password");
    fails(at(":p%40ss%2Fw%3Ard", "").await, Invalid, "wants a password");
    let port = cluster.ports[0].to_string();
    fails(at(&format!("{port}/postgres"), &format!("{port}/x")).await, Invalid, "such database");
    fails(at("@127.0.0.1", "@").await, Invalid, "no host");
    fails(at(&port, "1").await, Unavailable, "cannot be reached at 127.0.0.1:1");
    fails(try_at(format!("{url}?sslmode=require")).await, Invalid, "no TLS");
    fails(try_at(format!("{url}?sslmode=verify-full")).await, Invalid, "sslrootcert=FILE");
    let absent = format!("{url}?sslmode=verify-full&sslrootcert=/nowhere");
    fails(try_at(absent).await, Invalid, "cannot be read: /nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_postgresql_is_told_in_one_line() {
    // As MySQL greets, and nothing at all.
    for (greeting, kind, says) in [
        (&b"[\0\0\0\x0a8.0.36\0"[..], Invalid, "is not PostgreSQL"),
        (&b""[..], Unavailable, "no answer within 500ms"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let greet = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, greeting).await.unwrap();
            stream
        });
        let url = format!("postgres://u:p@{address}/d?timeout=500ms&sslmode=disable");
        fails(try_at(url).await, kind, says);
        greet.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_user_may_not_do_is_told_in_one_line() {
    if is_missing() {
        return;
    }
    let cluster = shared();
    let sql = |sql: &str| tokio::task::block_in_place(|| cluster.sql(0, sql).unwrap());
    open(&format!("{}?table=rights", cluster.url())).await;
    sql("CREATE ROLE reader LOGIN PASSWORD 'r'; GRANT SELECT ON rights TO reader");
    sql("CREATE ROLE writer LOGIN PASSWORD 'w'; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON rights TO writer");
    let host = format!("127.0.0.1:{}", cluster.ports[0]);
    let reader = format!("postgres://reader:r@{host}/postgres?table");
    fails(try_at(format!("{reader}=rights")).await, Invalid, "GRANT SELECT, INSERT");
    fails(try_at(format!("{reader}=absent")).await, Invalid, "CREATE on the schema");
    let writer = format!("postgres://writer:w@{host}/postgres?table=rights");
    let engine = open(&writer).await;
    let made = applied(&engine, &put("a", Version::ABSENT, "1")).await;
    sql("REVOKE UPDATE ON rights FROM writer");
    fails(engine.commit(&put("a", made, "2")).await, Invalid, "GRANT SELECT, INSERT");
    sql("ALTER ROLE writer SET default_transaction_read_only = on");
    fails(try_at(writer).await, Unavailable, "read-only");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_not_as_it_was_made_is_refused() {
    if is_missing() {
        return;
    }
    let cluster = shared();
    let sql = |sql: &str| tokio::task::block_in_place(|| cluster.sql(0, sql).unwrap());
    let at = |table: &str| try_at(format!("{}?table={table}", cluster.url()));
    sql("CREATE TABLE theirs (id bigint PRIMARY KEY, note text)");
    fails(at("theirs").await, Invalid, "theirs is not ticketd's; give another name by ?table=");
    sql("CREATE VIEW a_view AS SELECT 1 AS one");
    fails(at("a_view").await, Invalid, "a_view is not ticketd's");
    let engine = at("newer").await.unwrap();
    sql("UPDATE newer SET value = '2' WHERE key = '#schema'");
    fails(at("newer").await, Invalid, "written by a newer ticketd");
    sql("UPDATE newer SET value = 'x' WHERE key = '#schema'");
    fails(at("newer").await, Invalid, "not ticketd's");
    sql("ALTER TABLE newer SET UNLOGGED");
    fails(at("newer").await, Invalid, "unlogged");
    sql("INSERT INTO newer VALUES ('a', -1, ''), ('b c', 1, '')");
    fails(engine.read(&[Key::new("a")]).await, Corrupt, "edited by hand");
    fails(engine.list("b", None, 10).await, Corrupt, "never writes");
    sql("ALTER TABLE newer RENAME COLUMN value TO other");
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
    let cluster = cluster(&[UNSYNCED]);
    let engine = open(&format!("{}?timeout=1s", cluster.url())).await;
    let made = applied(&engine, &put("held", Version::ABSENT, "1")).await;
    let hold = "BEGIN; SELECT * FROM ticketd WHERE key = 'held' FOR UPDATE; SELECT pg_sleep(4)";
    std::thread::scope(|scope| {
        scope.spawn(|| cluster.sql(0, hold));
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
                let is_held = || Ok(cluster.sql(0, sleeping)?.trim() == "1");
                wait_for("the row is held", Duration::from_secs(10), is_held).unwrap();
                let result = engine.commit(&put("held", made, "2")).await;
                fails(result, Conflict, "somebody else holds the row");
            });
        });
    });
    engine.read(&[Key::new("held")]).await.unwrap();
    cluster.pause(0).unwrap();
    fails(engine.commit(&put("held", made, "2")).await, Indeterminate, "no answer within 1s");
    fails(engine.read(&[Key::new("held")]).await, Unavailable, "no answer within 1s");
    cluster.resume(0).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_encrypted_and_the_authority_is_checked() {
    if is_missing() {
        return;
    }
    let (place, other) = (Place::temporary().unwrap(), Place::temporary().unwrap());
    let (ours, theirs) = (certificates(place.path()), certificates(other.path()));
    postgres::own(&ours.key).unwrap();
    let file = |name, path: &std::path::Path| format!("{name}={}", path.display());
    let (cert, key) = (file("ssl_cert_file", &ours.cert), file("ssl_key_file", &ours.key));
    let cluster = Cluster::start(place, &[UNSYNCED, "ssl=on", &cert, &key]).unwrap();
    let url = cluster.url();
    let count = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                 WHERE ssl AND application_name = 'ticketd'";
    let ca = |certificates: &Certificates| {
        format!("{url}?sslmode=verify-full&{}", file("sslrootcert", &certificates.ca))
    };
    for good in [url.clone(), format!("{url}?sslmode=require"), ca(&ours)] {
        let engine = open(&good).await;
        let encrypted = tokio::task::block_in_place(|| cluster.sql(0, count).unwrap());
        assert_eq!(encrypted.trim(), "1", "{good}");
        drop(engine);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    fails(try_at(ca(&theirs)).await, Invalid, "sslrootcert");
    let by_name = ca(&ours).replace("127.0.0.1", "localhost");
    fails(try_at(by_name).await, Invalid, "sslrootcert");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_break_a_promise_are_refused() {
    if is_missing() {
        return;
    }
    let cluster = cluster(&[UNSYNCED, "max_connections=5", "synchronous_commit=off"]);
    let engine = open(&cluster.url()).await;
    fails(engine.vet().await, Invalid, "fsync = off");
    let mut open = Vec::new();
    let full = loop {
        match PostgresEngine::open(&cluster.url()).await {
            Ok(engine) if open.len() < 10 => open.push(engine),
            Ok(_) => panic!("more than max_connections"),
            Err(error) => break error,
        }
    };
    fails::<()>(Err(full), Unavailable, "max_connections");
}
