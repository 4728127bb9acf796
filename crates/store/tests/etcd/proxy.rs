//! A proxy before a member of etcd that can lose its answers.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use ticketd_core::failure::FailureKind;
use ticketd_store::engine::{Engine, Key, Outcome, Version};

use crate::{applied, assert_failed, cluster, open, put};

/// Passes everything on.
const PASS: u8 = 0;
/// Answers disappear.
const SWALLOW: u8 = 1;
/// The connection breaks when an answer comes, some time later.
const BREAK: u8 = 2;

/// How long after the first bytes of an answer a connection breaks: what was asked is done by then.
const BREAK_AFTER: Duration = Duration::from_millis(500);

/// Listens before `port`; answers its own port, and what it does with answers.
fn before(port: u16) -> (u16, Arc<AtomicU8>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    let mode = Arc::new(AtomicU8::new(PASS));
    let of_answers = Arc::clone(&mode);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || pass(from, to, &AtomicU8::new(PASS)));
            let mode = Arc::clone(&of_answers);
            std::thread::spawn(move || pass(server, client, &mode));
        }
    });
    (own, mode)
}

fn pass(mut from: TcpStream, mut to: TcpStream, mode: &AtomicU8) {
    let mut bytes = [0; 4096];
    while let Ok(len) = from.read(&mut bytes)
        && len > 0
    {
        match mode.load(Ordering::Relaxed) {
            SWALLOW => continue,
            BREAK => {
                std::thread::sleep(BREAK_AFTER);
                break;
            }
            _ => {}
        }
        if to.write_all(&bytes[..len]).is_err() {
            break;
        }
    }
    // Whoever has gone already needs not be told.
    let _closed = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_answer_is_lost_is_indeterminate_and_made_once() {
    let Some(cluster) = cluster(1, &[]) else { return };
    let direct = open(&cluster.url()).await;
    for lost in [SWALLOW, BREAK] {
        let (proxy, mode) = before(cluster.ports[0]);
        // The member once behind the proxy and once without.
        let url = format!("etcd://127.0.0.1:{proxy},127.0.0.1:{}?timeout=3s", cluster.ports[0]);
        let engine = open(&url).await;
        let key = Key::new(format!("lost-{lost}"));
        let version = applied(&engine, put(key.as_str(), Version::ABSENT, "x")).await;
        mode.store(lost, Ordering::Relaxed);
        let outcome = engine.commit(&put(key.as_str(), version, "y")).await;
        assert_failed(outcome, FailureKind::Indeterminate, &["127.0.0.1"]);
        let found = direct.read(std::slice::from_ref(&key)).await.unwrap().remove(0).unwrap();
        assert_eq!((found.value.as_str(), engine.commits()), ("y", 1));
        // The other way is taken from then on, and a read never fails.
        let read = engine.read(std::slice::from_ref(&key)).await.unwrap();
        assert_eq!(read, [Some(found.clone())]);
        let change = put(key.as_str(), found.version, "z");
        assert!(matches!(engine.commit(&change).await, Ok(Outcome::Applied(_))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_whose_answer_is_lost_is_asked_of_another_member() {
    let Some(cluster) = cluster(1, &[]) else { return };
    for lost in [SWALLOW, BREAK] {
        let (proxy, mode) = before(cluster.ports[0]);
        let url = format!("etcd://127.0.0.1:{proxy},127.0.0.1:{}?timeout=4s", cluster.ports[0]);
        let engine = open(&url).await;
        mode.store(lost, Ordering::Relaxed);
        assert_eq!(engine.read(&[Key::new("a")]).await.unwrap(), [None]);
    }
}
