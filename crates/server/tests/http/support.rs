//! A server on a free port, a store that fails on demand, and a client that sends bytes as told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use serde_json::Value;
use ticketd_core::block::Block;
use ticketd_core::definition::Definition;
use ticketd_core::failure::FailureKind;
use ticketd_core::name::Name;
use ticketd_core::record::{HandBack, Record, Reserve};
use ticketd_core::snowflake::lease::{LeaseAsk, Leased, Leases, NoLease, Release};
use ticketd_core::stride::resize::{NotTaken, Step};
use ticketd_server::clock::Clock;
use ticketd_server::http::{HttpContext, router};
use ticketd_server::metrics::Traffic;
use ticketd_server::service::{Service, ServiceSettings};
use ticketd_store::{Answer, Memory, Sizes, Store, StoreError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server under test.
pub struct Server {
    pub address: SocketAddr,
    pub service: Arc<Service>,
    pub traffic: Arc<Traffic>,
    pub store: Arc<Fickle>,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(ServiceSettings::default()).await
    }

    pub async fn with(settings: ServiceSettings) -> Self {
        let store = Arc::new(Fickle::default());
        let service = Service::new(Arc::clone(&store) as _, settings, Clock::start());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let traffic = Arc::new(Traffic::default());
        let context = Arc::new(HttpContext {
            service: Arc::clone(&service),
            traffic: Arc::clone(&traffic),
            resp_addr: "127.0.0.1:1".to_owned(),
            http_addr: address.to_string(),
        });
        tokio::spawn(async move { axum::serve(listener, router(context)).await });
        Self { address, service, traffic, store }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"").await
    }

    pub async fn post(&self, path: &str) -> Reply {
        self.send("POST", path, &[("Content-Length", "0")], b"").await
    }

    /// With a body that says it is JSON.
    pub async fn json(&self, method: &str, path: &str, body: &str) -> Reply {
        let len = body.len().to_string();
        let headers = [("Content-Type", "application/json"), ("Content-Length", len.as_str())];
        self.send(method, path, &headers, body.as_bytes()).await
    }

    /// Exactly these bytes, on a connection of their own.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        let reading = stream.read_to_end(&mut answer);
        tokio::time::timeout(Duration::from_secs(20), reading).await.unwrap().unwrap();
        Reply::parse(&String::from_utf8(answer).unwrap())
    }
}

/// An answer, taken apart.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let pair = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Self { status, headers: lines.map(pair).collect(), body: body.to_owned() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(key, _)| key == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} comes once: {self:?}");
        value
    }

    /// The body, which must be JSON and say so.
    #[track_caller]
    pub fn value(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }

    /// Checks that this is a well-formed problem of this status, word and kind; returns its detail.
    #[track_caller]
    pub fn problem(&self, status: u16, word: &str, kind: &str) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let retry = (status == 503).then_some("1");
        assert_eq!(self.header("retry-after"), retry, "{self:?}");
        let body: Value = serde_json::from_str(&self.body).unwrap();
        let keys: Vec<_> = body.as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["detail", "kind", "status", "title", "type"]);
        assert_eq!(body["type"], format!("urn:ticketd:problem:{word}"));
        assert_eq!(body["status"], status);
        assert_eq!(body["kind"], kind);
        assert!(!body["title"].as_str().unwrap().is_empty());
        let detail = body["detail"].as_str().unwrap().to_owned();
        assert!(!detail.is_empty() && !detail.ends_with('.'), "{detail}");
        detail
    }

    #[track_caller]
    pub fn invalid(&self) -> String {
        self.problem(400, "invalid", "invalid")
    }
}

/// What a [`Fickle`] store does with every question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mood {
    Works,
    Fails,
    NeverAnswers,
    IsDamaged,
}

/// A store in memory that works, or fails, or never answers, as it is told.
#[derive(Default)]
pub struct Fickle {
    memory: Memory,
    mood: AtomicU8,
}

impl Fickle {
    pub fn be(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }

    fn failure(&self) -> Option<StoreError> {
        let mood = self.mood.load(Ordering::SeqCst);
        if mood == Mood::IsDamaged as u8 {
            return Some(StoreError::new(FailureKind::Corrupt, "the store is damaged"));
        }
        (mood != Mood::Works as u8)
            .then(|| StoreError::new(FailureKind::Unavailable, "the store is out for lunch"))
    }

    fn answer<'a, T: Send + 'a>(&self, answer: Answer<'a, T>) -> Answer<'a, T> {
        if self.mood.load(Ordering::SeqCst) == Mood::NeverAnswers as u8 {
            return Box::pin(std::future::pending());
        }
        match self.failure() {
            Some(failure) => Box::pin(std::future::ready(Err(failure))),
            None => answer,
        }
    }
}

impl Store for Fickle {
    fn read(&self, name: &Name) -> Answer<'_, Option<Record>> {
        self.answer(self.memory.read(name))
    }

    fn create(&self, name: &Name, definition: Definition) -> Answer<'_, Record> {
        if self.failure().is_some() {
            return self.answer(Box::pin(std::future::pending()));
        }
        self.memory.create(name, definition)
    }

    fn list(&self, after: Option<&Name>, limit: usize) -> Answer<'_, Vec<(Name, Record)>> {
        self.answer(self.memory.list(after, limit))
    }

    fn reserve(&self, name: &Name, asked: Reserve) -> Answer<'_, Block> {
        if self.failure().is_some() {
            return self.answer(Box::pin(std::future::pending()));
        }
        self.memory.reserve(name, asked)
    }

    fn raise(&self, name: &Name, floor: u64) -> Answer<'_, u64> {
        if self.failure().is_some() {
            return self.answer(Box::pin(std::future::pending()));
        }
        self.memory.raise(name, floor)
    }

    fn hand_back(&self, name: &Name, unissued: HandBack) -> Answer<'_, bool> {
        self.memory.hand_back(name, unissued)
    }

    fn lease(&self, name: &Name, ask: LeaseAsk) -> Answer<'_, Result<Leased, NoLease>> {
        if self.failure().is_some() {
            return self.answer(Box::pin(std::future::pending()));
        }
        self.memory.lease(name, ask)
    }

    fn release(&self, name: &Name, unspent: Release) -> Answer<'_, bool> {
        self.memory.release(name, unspent)
    }

    fn leases(&self, name: &Name, tick: u64) -> Answer<'_, Leases> {
        self.answer(self.memory.leases(name, tick))
    }

    fn resize(&self, name: &Name, step: Step) -> Answer<'_, Result<Record, NotTaken>> {
        self.answer(self.memory.resize(name, step))
    }

    fn sizes(&self) -> Sizes {
        Sizes { commits: (1 << 53) + 1, syncs: 7, ..self.memory.sizes() }
    }

    fn health(&self) -> Result<(), StoreError> {
        self.failure().map_or(Ok(()), Err)
    }
}
