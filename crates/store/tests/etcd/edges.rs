//! Wrong addresses, passwords and permissions; an etcd that is full, or was restored.

use std::io::{Read, Write};
use std::net::TcpListener;

use ticketd_core::failure::FailureKind;
use ticketd_engines::etcd::Cluster;
use ticketd_engines::free_ports;
use ticketd_store::engine::{Engine, Key, Outcome, Version};

use crate::{applied, assert_failed, cluster, open, put, try_open};

#[tokio::test]
async fn nobody_there_is_unavailable_and_named() {
    let [one, two] = free_ports().unwrap();
    let url = format!("etcd://127.0.0.1:{one},127.0.0.1:{two}");
    let words = ["cannot reach etcd at 127.0.0.1", "refused"];
    assert_failed(try_open(&url).await, FailureKind::Unavailable, &words);
    let url = "etcd://no-such-host.invalid:2379?timeout=5s";
    let words = ["cannot reach etcd at no-such-host.invalid:2379"];
    assert_failed(try_open(url).await, FailureKind::Unavailable, &words);
}

/// A port where every connection gets `answer`, whatever is asked.
fn something_else(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut asked = [0; 1024];
                let _some = stream.read(&mut asked);
                let _sent = stream.write_all(answer);
                if answer.is_empty() {
                    // Keeps the connection, and says nothing.
                    while stream.read(&mut asked).is_ok_and(|len| len > 0) {}
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn something_else_there_is_said() {
    let port = something_else(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    let opened = try_open(&format!("etcd://127.0.0.1:{port}")).await;
    assert_failed(opened, FailureKind::Unavailable, &["or is none", "127.0.0.1"]);
    let port = something_else(b"");
    let opened = try_open(&format!("etcd://127.0.0.1:{port}?timeout=300ms")).await;
    assert_failed(opened, FailureKind::Unavailable, &["no answer in time", "127.0.0.1"]);
}

/// An etcd with the users `root`, `ticketd` and `reader`, whose password is `secret`; it does not ask
/// for them yet.
fn with_users() -> Option<Cluster> {
    let cluster = cluster(1, &["--bcrypt-cost", "4"])?;
    let grants = [("ticketd", "readwrite"), ("reader", "read")];
    let mut commands =
        vec!["user add root:secret".to_owned(), "user grant-role root root".to_owned()];
    for (user, right) in grants {
        commands.push(format!("user add {user}:secret"));
        commands.push(format!("role add {user}"));
        commands.push(format!("role grant-permission {user} {right} ticketd/ --prefix"));
        commands.push(format!("user grant-role {user} {user}"));
    }
    for command in commands {
        let args: Vec<&str> = command.split(' ').collect();
        cluster.etcdctl(&args).unwrap();
    }
    Some(cluster)
}

#[tokio::test(flavor = "multi_thread")]
async fn users_passwords_and_permissions_are_told_apart() {
    let Some(mut cluster) = with_users() else { return };
    cluster.etcdctl(&["auth", "enable"]).unwrap();
    let as_user = |user: &str| cluster.url().replace("//", &format!("//{user}@"));

    let opened = try_open(&cluster.url()).await;
    assert_failed(opened, FailureKind::Invalid, &["USER:PASSWORD@"]);
    for wrong in ["ticketd:secret%20", "nobody:secret"] {
        let opened = try_open(&as_user(wrong)).await;
        assert_failed(opened, FailureKind::Invalid, &["user and password"]);
    }
    let elsewhere = try_open(&format!("{}/other", as_user("ticketd:secret"))).await;
    assert_failed(elsewhere, FailureKind::Invalid, &["denies"]);

    let reader = open(&as_user("reader:secret")).await;
    let change = put("a", Version::ABSENT, "x");
    assert_failed(reader.commit(&change).await, FailureKind::Invalid, &["readwrite"]);
    assert_failed(reader.vet().await, FailureKind::Invalid, &["readwrite"]);
    assert_eq!(reader.read(&[Key::new("a")]).await.unwrap(), [None]);

    let writer = open(&as_user("ticketd:secret")).await;
    let version = applied(&writer, change).await;
    let lines = writer.vet().await.unwrap();
    assert!(lines.len() == 1 && lines[0].contains("one member"), "{lines:?}");
    // A member that was started again has forgotten the tokens that it gave.
    cluster.members[0].kill().unwrap();
    cluster.members[0].restart().unwrap();
    cluster.wait_until_serving(0).unwrap();
    applied(&writer, put("a", version, "y")).await;
}

#[tokio::test]
async fn a_needless_password_is_mentioned_and_kept() {
    let Some(cluster) = with_users() else { return };
    let engine = open(&cluster.url().replace("//", "//ticketd:secret@")).await;
    let version = applied(&engine, put("a", Version::ABSENT, "x")).await;
    let lines = engine.vet().await.unwrap();
    assert!(lines.iter().any(|line| line.contains("auth enable")), "{lines:?}");
    assert!(!format!("{engine:?}{lines:?}").contains("secret"));
    // It is shown as soon as etcd asks for it.
    cluster.etcdctl(&["auth", "enable"]).unwrap();
    applied(&engine, put("a", version, "y")).await;
}

#[tokio::test]
async fn a_full_etcd_says_so_and_still_reads() {
    let Some(cluster) = cluster(1, &["--quota-backend-bytes", "200000"]) else { return };
    let engine = open(&cluster.url()).await;
    let mut version = Version::ABSENT;
    let (key, value) = (Key::new("a"), "v".repeat(4096));
    let full = loop {
        match engine.commit(&put("a", version, &value)).await {
            Ok(Outcome::Applied(at)) => version = at,
            other => break other,
        }
        assert!(engine.commits() < 1000, "the quota is never reached");
    };
    // etcd may say it already of a change that it has applied.
    let found = engine.read(std::slice::from_ref(&key)).await.unwrap().remove(0).unwrap().version;
    let is_applied = found != version;
    let kind = if is_applied { FailureKind::Indeterminate } else { FailureKind::Unavailable };
    assert_failed(full, kind, &["quota", "disarm"]);
    let more = engine.commit(&put("a", found, &value)).await;
    assert_failed(more, FailureKind::Unavailable, &["quota", "disarm"]);
    assert_eq!(engine.read(&[key]).await.unwrap()[0].as_ref().unwrap().version, found);
    let lines = engine.vet().await.unwrap();
    assert_eq!(lines.iter().filter(|line| line.contains("quota")).count(), 1, "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_only_grows_is_mentioned() {
    let Some(cluster) = cluster(1, &[]) else { return };
    let engine = std::sync::Arc::new(open(&cluster.url()).await);
    let writers: Vec<_> = (0..50)
        .map(|writer| {
            let engine = std::sync::Arc::clone(&engine);
            tokio::spawn(async move {
                let mut version = Version::ABSENT;
                for _ in 0..201 {
                    version = applied(&engine, put(&writer.to_string(), version, "x")).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let is_mentioned = |lines: Vec<String>| lines.iter().any(|line| line.contains("compaction"));
    assert!(is_mentioned(engine.vet().await.unwrap()));
    cluster.etcdctl(&["compact", "9000"]).unwrap();
    assert!(!is_mentioned(engine.vet().await.unwrap()));
}

#[tokio::test]
async fn a_cluster_that_lost_its_state_is_not_trusted() {
    let Some(mut cluster) = cluster(1, &[]) else { return };
    let engine = open(&cluster.url()).await;
    for n in 0..5 {
        applied(&engine, put(&format!("k{n}"), Version::ABSENT, "x")).await;
    }
    cluster.members[0].kill().unwrap();
    std::fs::remove_dir_all(cluster.data_dir(0)).unwrap();
    cluster.members[0].restart().unwrap();
    cluster.wait_until_serving(0).unwrap();
    let read = engine.read(&[Key::new("k0")]).await;
    assert_failed(read, FailureKind::Corrupt, &["went back", "raise"]);
    // Also when it has come as far again.
    for n in 0..9 {
        cluster.etcdctl(&["put", "else", &n.to_string()]).unwrap();
    }
    assert_failed(engine.list("", None, 1).await, FailureKind::Corrupt, &["went back"]);
    let change = put("new", Version::ABSENT, "x");
    assert_failed(engine.commit(&change).await, FailureKind::Corrupt, &["went back"]);
}

#[tokio::test]
async fn members_of_two_clusters_are_refused() {
    let (Some(one), Some(mut two)) = (cluster(1, &[]), cluster(1, &[])) else { return };
    let both = format!("etcd://127.0.0.1:{},127.0.0.1:{}", two.ports[0], one.ports[0]);
    let engine = open(&both).await;
    two.members[0].kill().unwrap();
    let read = engine.read(&[Key::new("a")]).await;
    assert_failed(read, FailureKind::Corrupt, &["one etcd cluster"]);
}
