//! RESP over real sockets: what a client may send, and what it gets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use ticketd_core::definition::BlockLen;
use ticketd_core::limits::ID_MAX;
use ticketd_server::clock::Clock;
use ticketd_server::server::{Server, ServerSettings};
use ticketd_server::service::{Service, ServiceSettings};
use ticketd_store::Memory;
use tokio::sync::oneshot;

/// A server in this process, on free ports; it stops when it goes out of scope.
struct Running {
    resp: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<bool>>,
}

impl Running {
    fn start() -> Self {
        Self::with(ServiceSettings::default(), 1000)
    }

    fn with(settings: ServiceSettings, max_connections: usize) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let service = Service::new(Arc::new(Memory::new()), settings, Clock::start());
                let any = "127.0.0.1:0".parse().unwrap();
                let settings = ServerSettings { resp: any, http: any, max_connections };
                let server = Server::bind(service, settings).await.unwrap();
                tell.send(server.resp_addr()).unwrap();
                server.run(async { drop(stopped.await) }, None).await
            })
        });
        Self { resp: told.recv().unwrap(), stop: Some(stop), thread: Some(thread) }
    }

    fn client(&self) -> Client {
        let stream = TcpStream::connect(self.resp).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Client { reader: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    /// Stops, and returns whether everything ended in time.
    fn stop(mut self) -> bool {
        self.stop.take().unwrap().send(()).unwrap();
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// One answer as text: arrays in brackets, nulls as `nil`.
    fn read(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        let line = line.trim_end_matches("\r\n").to_owned();
        let Some(kind) = line.chars().next() else {
            return "closed".to_owned();
        };
        let rest = &line[1..];
        match kind {
            '$' | '=' if rest == "-1" => "nil".to_owned(),
            '$' | '=' => {
                let mut bytes = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.reader.read_exact(&mut bytes).unwrap();
                String::from_utf8(bytes[..bytes.len() - 2].to_vec()).unwrap()
            }
            '*' => self.read_many(rest.parse().unwrap()),
            '%' => self.read_many(rest.parse::<usize>().unwrap() * 2),
            '_' => "nil".to_owned(),
            ':' => rest.to_owned(),
            '+' | '-' => line,
            other => panic!("an answer cannot start with {other:?}: {line}"),
        }
    }

    fn read_many(&mut self, count: usize) -> String {
        let all: Vec<String> = (0..count).map(|_| self.read()).collect();
        format!("[{}]", all.join(" "))
    }

    fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes());
        self.read()
    }

    fn is_closed(&mut self) -> bool {
        self.reader.read(&mut [0; 64]).is_ok_and(|read| read == 0)
    }
}

#[test]
fn numbers_are_counted_as_the_contract_says() {
    let server = Running::start();
    let mut client = server.client();
    for (line, answer) in [
        ("INCR notes", "1"),
        ("INCRBY notes 100", "101"),
        ("INCR notes", "102"),
        ("NEXT notes COUNT 3", "[103 104 105]"),
        ("NEXT notes", "[106]"),
        ("GET notes", "106"),
        ("GET nothing", "nil"),
        ("SET notes 5000", "+OK"),
        ("GET notes", "5000"),
        ("INCR notes", "5001"),
        ("SET notes 4999", "-CONFLICT a sequence only moves forward: its next ID is 5002 already"),
        ("SET notes 5001", "+OK"),
        ("INCR notes", "5002"),
        ("INCR tasks", "1"),
        ("EXISTS notes tasks nothing", "2"),
        ("TYPE notes", "+string"),
        ("TYPE nothing", "+none"),
        ("DBSIZE", "2"),
        ("KEYS n*", "[notes]"),
        ("SCAN 0", "[0 [notes tasks]]"),
        ("SCAN 0 MATCH t* COUNT 1", "[0 [tasks]]"),
        ("SCAN 0 TYPE hash", "[0 []]"),
    ] {
        assert_eq!(client.ask(line), answer, "{line}");
    }
}

#[test]
fn clients_are_introduced_as_they_expect() {
    let server = Running::start();
    let mut client = server.client();
    for (line, answer) in [
        ("PING", "+PONG"),
        ("PING hello", "hello"),
        ("ECHO \"a b\"", "a b"),
        ("SELECT 0", "+OK"),
        ("SELECT 1", "-ERR DB index is out of range; there is only 0"),
        ("CLIENT SETNAME me", "+OK"),
        ("CLIENT GETNAME", "me"),
        ("CLIENT SETINFO LIB-NAME mine", "+OK"),
        ("CONFIG GET save", "[save ]"),
        ("CONFIG GET appendonly", "[appendonly yes]"),
        ("COMMAND COUNT", "25"),
        ("COMMAND INFO incr nothing", "[[incr 2 [+write +denyoom +fast] 1 1 1] nil]"),
        ("RESET", "+RESET"),
        ("CLIENT GETNAME", "nil"),
        ("HELLO 4", "-NOPROTO unsupported protocol version; 2 and 3 are spoken"),
    ] {
        assert_eq!(client.ask(line), answer, "{line}");
    }
    assert!(client.ask("HELLO 3").contains("proto 3"));
    assert!(client.ask("INFO").contains("redis_version:"));
    assert!(client.ask("AUTH secret").starts_with("-ERR AUTH called without any password"));
    assert_eq!(client.ask("QUIT"), "+OK");
    assert!(client.is_closed());
}

#[test]
fn what_would_lower_or_erase_a_sequence_is_refused() {
    let server = Running::start();
    let mut client = server.client();
    client.ask("INCR notes");
    for line in ["DEL notes", "DECR notes", "DECRBY notes 5", "FLUSHALL", "EXPIRE notes 1"] {
        let answer = client.ask(line);
        assert!(answer.starts_with("-FORBIDDEN "), "{line}: {answer}");
    }
    assert_eq!(client.ask("INCR notes"), "2");
}

#[test]
fn bad_names_and_counts_are_refused_and_create_nothing() {
    let server = Running::start();
    let mut client = server.client();
    let long = format!("INCR {}", "n".repeat(129));
    for line in [
        "INCR \"\"",
        "INCR \"a b\"",
        "INCR .a",
        "INCR n\u{e9}",
        long.as_str(),
        "INCRBY a 0",
        "INCRBY a -1",
        "INCRBY a 1000000000000000000000000000000",
        "INCRBY a x",
        "INCRBY a 1000001",
        "NEXT a COUNT 0",
        "NEXT a COUNT",
        "SET a -1",
        "SET a x",
        "SET a 1 NX",
        "SET a 9223372036854775808",
        "NOSUCH",
        "INCR",
        "INCR a b",
    ] {
        let answer = client.ask(line);
        assert!(
            answer.starts_with("-ERR ") || answer.starts_with("-TOOLARGE "),
            "{line}: {answer}"
        );
    }
    assert_eq!(client.ask("DBSIZE"), "0");
}

#[test]
fn the_end_of_the_id_space_is_an_error_and_never_a_number() {
    let server = Running::start();
    let mut client = server.client();
    assert_eq!(client.ask(&format!("SET notes {}", ID_MAX - 3)), "+OK");
    assert_eq!(client.ask("INCR notes"), (ID_MAX - 2).to_string());
    let answer = client.ask("INCRBY notes 10");
    assert!(answer.starts_with("-EXHAUSTED ") && answer.ends_with("IDs left: 2"), "{answer}");
    client.send(&b"INCR notes\r\n".repeat(4));
    assert_eq!(client.read(), (ID_MAX - 1).to_string());
    assert_eq!(client.read(), ID_MAX.to_string());
    for _ in 0..2 {
        assert!(client.read().starts_with("-EXHAUSTED "));
    }
    assert_eq!(client.ask(&format!("SET notes {ID_MAX}")), "+OK");
    assert!(client.ask("INCR notes").starts_with("-EXHAUSTED "));
}

#[test]
fn a_deep_pipeline_is_answered_in_order() {
    let server = Running::start();
    let mut client = server.client();
    let mut writer = client.stream.try_clone().unwrap();
    let depth = 100_000;
    let sender = std::thread::spawn(move || {
        for _ in 0..depth / 100 {
            let mut bytes = b"*2\r\n$4\r\nINCR\r\n$5\r\nnotes\r\n".repeat(99);
            bytes.extend_from_slice(b"PING\r\n");
            writer.write_all(&bytes).unwrap();
        }
    });
    let mut expected = 1;
    for n in 1..=depth {
        let answer = client.read();
        if n % 100 == 0 {
            assert_eq!(answer, "+PONG");
        } else {
            assert_eq!(answer, expected.to_string());
            expected += 1;
        }
    }
    sender.join().unwrap();
}

#[test]
fn many_clients_never_share_a_number() {
    for block_len in [BlockLen::Auto, BlockLen::Fixed(1), BlockLen::Fixed(7)] {
        let settings = ServiceSettings { block_len, ..ServiceSettings::default() };
        let server = Running::with(settings, 1000);
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let mut client = server.client();
                std::thread::spawn(move || {
                    let mut seen = Vec::new();
                    for _ in 0..50 {
                        client
                            .send(b"INCR notes\r\nINCR notes\r\nINCRBY notes 5\r\nINCR notes\r\n");
                        let ids: Vec<u64> =
                            (0..4).map(|_| client.read().parse().unwrap()).collect();
                        seen.extend([ids[0], ids[1]]);
                        seen.extend(ids[2] - 4..=ids[2]);
                        seen.push(ids[3]);
                    }
                    assert!(seen.is_sorted(), "on one connection IDs rise");
                    seen
                })
            })
            .collect();
        let mut all: Vec<u64> = clients.into_iter().flat_map(|c| c.join().unwrap()).collect();
        all.sort_unstable();
        let expected: Vec<u64> = (1..=8 * 50 * 8).collect();
        assert_eq!(all, expected, "with {block_len}: each once, without a gap");
    }
}

#[test]
fn multi_gathers_and_exec_answers_all() {
    let server = Running::start();
    let mut client = server.client();
    assert_eq!(client.ask("MULTI"), "+OK");
    assert_eq!(client.ask("INCR notes"), "+QUEUED");
    assert_eq!(client.ask("INCRBY notes 5"), "+QUEUED");
    assert_eq!(client.ask("EXEC"), "[1 6]");
    assert_eq!(client.ask("MULTI"), "+OK");
    assert!(client.ask("NOSUCH").starts_with("-ERR unknown command"));
    assert!(client.ask("EXEC").starts_with("-EXECABORT"));
    assert_eq!(client.ask("MULTI"), "+OK");
    assert_eq!(client.ask("INCR notes"), "+QUEUED");
    assert_eq!(client.ask("DISCARD"), "+OK");
    assert_eq!(client.ask("EXEC"), "-ERR EXEC without MULTI");
    assert_eq!(client.ask("INCR notes"), "7");
}

#[test]
fn a_frame_cut_at_every_byte_is_waited_for() {
    let server = Running::start();
    let mut client = server.client();
    client.stream.set_nodelay(true).unwrap();
    for byte in b"*3\r\n$6\r\nINCRBY\r\n$5\r\nnotes\r\n$2\r\n10\r\nPING\r\n" {
        client.send(&[*byte]);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(client.read(), "10");
    assert_eq!(client.read(), "+PONG");
}

#[test]
fn garbage_is_answered_once_and_ends_the_connection() {
    let server = Running::start();
    let nested = b"*1\r\n*1\r\n*1\r\n*1\r\n".to_vec();
    let endless = vec![b'x'; 70_000];
    for bytes in [&b"*x\r\n"[..], b"*1\r\n$-5\r\n", b"*2000000000\r\n", &nested, &endless] {
        let mut client = server.client();
        client.send(bytes);
        let answer = client.read();
        assert!(answer.starts_with("-ERR Protocol error: "), "{answer}");
    }
    let mut browser = server.client();
    browser.send(b"POST /v1/sequences/a/next HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(browser.read().starts_with("-ERR this is RESP; HTTP is served at 127.0.0.1:"));
    assert_eq!(server.client().ask("INCR notes"), "1", "others are not disturbed");
}

#[test]
fn a_client_that_never_reads_costs_no_one_else_anything() {
    let server = Running::start();
    let mut greedy = server.client();
    greedy.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    // Until the server stops reading, which it must: what it owes is bounded.
    let chunk = b"NEXT greedy COUNT 1000000\r\n".repeat(100);
    let mut sent = 0_usize;
    while sent < 64 * 1024 * 1024 {
        match greedy.stream.write(&chunk) {
            Ok(n) => sent += n,
            Err(_) => break,
        }
    }
    assert!(sent < 64 * 1024 * 1024, "the server must not take in more than it can answer");
    let mut other = server.client();
    for n in 1..=1000 {
        assert_eq!(other.ask("INCR notes"), n.to_string());
    }
}

#[test]
fn a_client_too_many_is_told_so() {
    let server = Running::with(ServiceSettings::default(), 2);
    let (mut first, mut second) = (server.client(), server.client());
    assert_eq!((first.ask("PING"), second.ask("PING")), ("+PONG".into(), "+PONG".into()));
    let mut third = server.client();
    assert_eq!(third.read(), "-ERR max number of clients reached");
    drop(first);
    let mut again = "closed".to_owned();
    for _ in 0..100 {
        let mut client = server.client();
        client.send(b"PING\r\n");
        again = client.read();
        if again == "+PONG" {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(again, "+PONG", "room is given back");
}

#[test]
fn without_auto_create_nothing_is_made_by_asking() {
    let settings = ServiceSettings { auto_create: false, ..ServiceSettings::default() };
    let server = Running::with(settings, 10);
    let mut client = server.client();
    for _ in 0..3 {
        assert_eq!(client.ask("INCR notes"), "-NOTFOUND there is no sequence notes");
    }
    assert_eq!(client.ask("DBSIZE"), "0");
}

#[test]
fn a_stop_answers_what_has_arrived() {
    let server = Running::start();
    let mut client = server.client();
    assert_eq!(client.ask("INCR notes"), "1");
    client.send(&b"INCR notes\r\n".repeat(1000));
    // They come in one segment: with the first answer all have arrived, however late that was.
    assert_eq!(client.read(), "2");
    assert!(server.stop(), "a stop with an idle store is clean");
    let mut last = 2;
    loop {
        match client.read().as_str() {
            "closed" => break,
            id => {
                assert_eq!(id, (last + 1).to_string());
                last += 1;
            }
        }
    }
    assert_eq!(last, 1001, "what was in flight was answered");
}
