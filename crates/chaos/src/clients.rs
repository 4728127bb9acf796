//! The clients: several at each server, each of which asks, writes down, and asks again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::Clock;
use crate::history::{Answer, Asked, Call, Place, Promise};
use crate::random::Random;
use crate::talk::http::Http;
use crate::talk::resp::{Reply, Resp};

/// Clients at each server that speak RESP, and then those that speak HTTP.
const RESP_CLIENTS: usize = 4;
const HTTP_CLIENTS: usize = 1;

/// The most requests that are sent together, and the most IDs that one asks for.
const PIPELINE_MAX: u64 = 16;
const COUNT_MAX: u64 = 50;

/// How long a client thinks between two requests, at most; now and then longer. It keeps histories
/// of minutes small enough to be held and sorted.
const PAUSE_MAX_US: u64 = 4_000;
const LONG_PAUSE: Duration = Duration::from_millis(30);

/// How long a client waits before it connects again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);

/// All clients at work.
pub struct Clients {
    threads: Vec<JoinHandle<Vec<Call>>>,
    stop: Arc<AtomicBool>,
    served_us: Arc<Vec<AtomicU64>>,
}

impl Clients {
    /// Starts them at the servers, which speak RESP and HTTP at `ports`.
    pub fn start(clock: Clock, ports: &[(u16, u16)], sequences: &[Asked], random: &Random) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let per_server = RESP_CLIENTS + HTTP_CLIENTS;
        let count = ports.len() * per_server;
        let served_us: Vec<_> = (0..count).map(|_| AtomicU64::new(0)).collect();
        let served_us = Arc::new(served_us);
        let start = |client: usize| {
            let server = client / per_server;
            let speaks_http = client % per_server >= RESP_CLIENTS;
            let mut client = Client {
                clock,
                port: if speaks_http { ports[server].1 } else { ports[server].0 },
                speaks_http,
                place: Place { server, client, connection: 0 },
                sequences: sequences.to_vec(),
                random: random.part(client as u64),
                calls: Vec::new(),
                served_us: Arc::clone(&served_us),
            };
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                client.work(&stop);
                client.calls
            })
        };
        Self { threads: (0..count).map(start).collect(), stop, served_us }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.threads.len()
    }

    /// Whether each has been answered a request that it made since `since_us`.
    pub fn are_served_since(&self, since_us: u64) -> bool {
        self.served_us.iter().all(|served| served.load(Ordering::Relaxed) >= since_us)
    }

    /// Ends them, and returns all their calls: those of each client in their order.
    ///
    /// # Panics
    /// If a client has panicked.
    pub fn stop(mut self) -> Vec<Call> {
        self.stop.store(true, Ordering::Relaxed);
        let calls = std::mem::take(&mut self.threads).into_iter();
        calls.flat_map(|thread| thread.join().expect("a client does not panic")).collect()
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        // Of a run that has failed: nobody wants their calls any more.
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What is asked of a sequence.
#[derive(Debug, Clone, Copy)]
struct Request {
    sequence: usize,
    how: How,
}

#[derive(Debug, Clone, Copy)]
enum How {
    Incr,
    IncrBy(u64),
    Next(u64),
}

struct Client {
    clock: Clock,
    port: u16,
    speaks_http: bool,
    place: Place,
    sequences: Vec<Asked>,
    random: Random,
    calls: Vec<Call>,
    served_us: Arc<Vec<AtomicU64>>,
}

impl Client {
    fn work(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            // Its end is written down as answers that did not come.
            let _ended = if self.speaks_http { self.over_http(stop) } else { self.over_resp(stop) };
            self.place.connection += 1;
            std::thread::sleep(RECONNECT_PAUSE);
        }
    }

    fn over_resp(&mut self, stop: &AtomicBool) -> io::Result<()> {
        let mut resp = Resp::connect(self.port)?;
        while !stop.load(Ordering::Relaxed) {
            let requests = self.requests();
            let commands: Vec<_> = requests.iter().map(|request| self.command(*request)).collect();
            let start_us = self.clock.now_us();
            let mut broken = resp.send(&commands).err();
            for request in requests {
                let reply = match broken {
                    None => resp.receive(),
                    Some(_) => Err(io::ErrorKind::BrokenPipe.into()),
                };
                match reply {
                    Ok(reply) => self.note(request.sequence, start_us, ids_of(&reply, request.how)),
                    Err(error) => {
                        self.note(request.sequence, start_us, Told::Nothing);
                        broken.get_or_insert(error);
                    }
                }
            }
            broken.map_or(Ok(()), Err)?;
            self.think();
        }
        Ok(())
    }

    fn over_http(&mut self, stop: &AtomicBool) -> io::Result<()> {
        let mut http = Http::connect(self.port)?;
        while !stop.load(Ordering::Relaxed) {
            let sequence = self.sequence();
            let name = &self.sequences[sequence].name;
            let count = self.random.between(1, COUNT_MAX);
            let path = format!("/v1/sequences/{name}/next?count={count}");
            let start_us = self.clock.now_us();
            match http.ask("POST", &path, "") {
                Ok((status, body)) => {
                    self.note(
                        sequence,
                        start_us,
                        if status == 200 { ids_in(&body) } else { Told::No },
                    );
                }
                Err(error) => {
                    self.note(sequence, start_us, Told::Nothing);
                    return Err(error);
                }
            }
            self.think();
        }
        Ok(())
    }

    fn think(&mut self) {
        if self.random.once_in(100) {
            std::thread::sleep(LONG_PAUSE);
        } else {
            std::thread::sleep(Duration::from_micros(self.random.between(0, PAUSE_MAX_US)));
        }
    }

    fn sequence(&mut self) -> usize {
        let last = self.sequences.len() as u64 - 1;
        usize::try_from(self.random.between(0, last)).expect("it is less than a length")
    }

    /// One request, or several to be sent together.
    fn requests(&mut self) -> Vec<Request> {
        let together =
            if self.random.once_in(6) { self.random.between(2, PIPELINE_MAX) } else { 1 };
        let one_sequence = self.random.once_in(2).then(|| self.sequence());
        (0..together)
            .map(|_| {
                let sequence = one_sequence.unwrap_or_else(|| self.sequence());
                let count = self.random.between(2, COUNT_MAX);
                // Only tickets come as ranges.
                let ranges = self.sequences[sequence].promise != Promise::Unique;
                let how = match self.random.between(0, 9) {
                    0 | 1 if ranges => How::IncrBy(count),
                    2 | 3 => How::Next(count),
                    _ => How::Incr,
                };
                Request { sequence, how }
            })
            .collect()
    }

    fn command(&self, request: Request) -> Vec<String> {
        let name = self.sequences[request.sequence].name.clone();
        match request.how {
            How::Incr => vec!["INCR".to_owned(), name],
            How::IncrBy(count) => vec!["INCRBY".to_owned(), name, count.to_string()],
            How::Next(count) => {
                vec!["NEXT".to_owned(), name, "COUNT".to_owned(), count.to_string()]
            }
        }
    }

    fn note(&mut self, sequence: usize, start_us: u64, told: Told) {
        let end_us = self.clock.now_us();
        let call = |answer, is_more| Call {
            place: self.place,
            sequence,
            start_us,
            end_us,
            answer,
            is_more,
        };
        match told {
            Told::Ids(runs) => {
                let ids = runs.iter().enumerate();
                let call = |(n, (first, last)): (usize, &(u64, u64))| {
                    call(Answer::Ids { first: *first, last: *last }, n > 0)
                };
                self.calls.extend(ids.map(call));
                self.served_us[self.place.client].store(start_us, Ordering::Relaxed);
            }
            Told::No => self.calls.push(call(Answer::Refused, false)),
            Told::Nothing => self.calls.push(call(Answer::Unknown, false)),
        }
    }
}

/// What a server has told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// IDs, as runs of IDs that follow each other: smallest and largest.
    Ids(Vec<(u64, u64)>),
    /// A refusal.
    No,
    /// Nothing that could be understood.
    Nothing,
}

/// The IDs of an answer over RESP.
fn ids_of(reply: &Reply, how: How) -> Told {
    match (reply, how) {
        (Reply::Int(last), How::IncrBy(count)) if *last >= count => {
            Told::Ids(vec![(last + 1 - count, *last)])
        }
        (Reply::Int(id), How::Incr) => Told::Ids(vec![(*id, *id)]),
        (Reply::Array(replies), How::Next(count)) if replies.len() as u64 == count => {
            let id = |reply: &Reply| if let Reply::Int(id) = reply { Some(*id) } else { None };
            replies.iter().map(id).collect::<Option<Vec<_>>>().map_or(Told::Nothing, runs)
        }
        (Reply::Error(_), _) => Told::No,
        _ => Told::Nothing,
    }
}

/// The IDs of an answer over HTTP.
fn ids_in(body: &serde_json::Value) -> Told {
    let id = |value: &serde_json::Value| value.as_str().and_then(|id| id.parse::<u64>().ok());
    if let Some(ids) = body["ids"].as_array() {
        return ids.iter().map(id).collect::<Option<Vec<_>>>().map_or(Told::Nothing, runs);
    }
    match (id(&body["first"]), id(&body["last"])) {
        (Some(first), Some(last)) => Told::Ids(vec![(first, last)]),
        _ => Told::Nothing,
    }
}

/// IDs as runs that follow each other.
fn runs(ids: Vec<u64>) -> Told {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for id in ids {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(id) => *last = id,
            _ => runs.push((id, id)),
        }
    }
    Told::Ids(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_they_are_meant() {
        assert_eq!(ids_of(&Reply::Int(7), How::Incr), Told::Ids(vec![(7, 7)]));
        assert_eq!(ids_of(&Reply::Int(7), How::IncrBy(3)), Told::Ids(vec![(5, 7)]));
        let array = |ids: &[u64]| Reply::Array(ids.iter().map(|id| Reply::Int(*id)).collect());
        let runs = Told::Ids(vec![(1, 2), (9, 9), (4, 4)]);
        assert_eq!(ids_of(&array(&[1, 2, 9, 4]), How::Next(4)), runs);
        assert_eq!(ids_of(&array(&[1, 2]), How::Next(4)), Told::Nothing, "too few");
        assert_eq!(ids_of(&Reply::Error("UNAVAILABLE".into()), How::Incr), Told::No);
        assert_eq!(ids_of(&array(&[1]), How::Incr), Told::Nothing);
    }

    #[test]
    fn answers_over_http_are_read_as_they_are_meant() {
        let range = serde_json::json!({ "first": "5", "last": "9" });
        assert_eq!(ids_in(&range), Told::Ids(vec![(5, 9)]));
        let ids = serde_json::json!({ "ids": ["5", "6", "8"] });
        assert_eq!(ids_in(&ids), Told::Ids(vec![(5, 6), (8, 8)]));
        assert_eq!(ids_in(&serde_json::json!({ "first": "5" })), Told::Nothing);
    }
}
