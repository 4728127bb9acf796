//! One RESP client, from its first byte to its last.

use std::sync::Arc;
use std::time::Duration;

use ticketd_core::count::Count;
use ticketd_core::definition::KindName;
use ticketd_core::ids::{Id, Ids, Range};
use ticketd_core::limits::ID_MAX;
use ticketd_core::name::Name;
use ticketd_core::text::Format;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::error::{ErrorKind, ServiceError};
use crate::limits::{RESP_IDS_PER_WRITE, RESP_READ_LEN, RESP_WRITE_LEN, WRITE_TIMEOUT_SECONDS};
use crate::resp::command::{self, Command};
use crate::resp::context::RespContext;
use crate::resp::decode;
use crate::resp::frame::{self, Args};
use crate::resp::introspection::{self, Client};
use crate::resp::listing;
use crate::resp::reply::Reply;
use crate::resp::transaction::Transaction;
use crate::source::{Issued, Source};
use crate::stopping::stopped;

/// Whether the connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    GoOn,
    Close,
}

/// The client has gone, or takes no answers.
struct Gone;

struct Connection {
    context: Arc<RespContext>,
    stream: TcpStream,
    reply: Reply,
    client: Client,
    /// The sequence asked last, so that a client of one sequence looks it up once.
    last: Option<Source>,
    transaction: Option<Transaction>,
}

/// Serves the client at the other end of `stream` until it leaves, misbehaves, or `stopping` turns
/// true; then what has arrived is still answered.
pub async fn serve(
    context: Arc<RespContext>,
    stream: TcpStream,
    id: u64,
    stopping: watch::Receiver<bool>,
) {
    let client = Client::new(id, stream.peer_addr().ok());
    let reply = Reply::default();
    let mut connection =
        Connection { context, stream, reply, client, last: None, transaction: None };
    // `Err` says that nobody is there to be told anything.
    drop(connection.run(stopping).await);
}

impl Connection {
    async fn run(&mut self, mut stopping: watch::Receiver<bool>) -> Result<(), Gone> {
        let mut stopped = std::pin::pin!(stopped(&mut stopping));
        let mut input = Vec::new();
        let mut args = Args::default();
        loop {
            input.reserve(RESP_READ_LEN);
            let read = tokio::select! {
                biased;
                read = self.stream.read_buf(&mut input) => read.map_err(|_| Gone)?,
                () = &mut stopped => {
                    // What has arrived by now is in flight: answer it, then leave.
                    while self.stream.try_read_buf(&mut input).is_ok_and(|read| read > 0) {}
                    self.process(&mut input, &mut args).await?;
                    return self.flush().await;
                }
            };
            if read == 0 {
                return Ok(());
            }
            let flow = self.process(&mut input, &mut args).await?;
            self.flush().await?;
            if flow == Flow::Close {
                return Ok(());
            }
            if input.is_empty() {
                input.shrink_to(RESP_READ_LEN);
            }
        }
    }

    /// Answers all complete commands in `input` and takes them out of it.
    async fn process(&mut self, input: &mut Vec<u8>, args: &mut Args) -> Result<Flow, Gone> {
        let mut at = 0;
        let mut flow = Flow::GoOn;
        while flow == Flow::GoOn && at < input.len() {
            match frame::parse(&input[at..], args) {
                Ok(None) => break,
                Ok(Some(used)) => {
                    let (read, after) = self.answer(&input[at..], used, args).await?;
                    at += read;
                    flow = after;
                }
                Err(error) => {
                    self.error(ErrorKind::Invalid, &format!("Protocol error: {error}"));
                    flow = Flow::Close;
                }
            }
            if self.reply.bytes().len() >= RESP_WRITE_LEN {
                self.flush().await?;
            }
        }
        input.drain(..at);
        Ok(flow)
    }

    /// Answers the command in the first `used` bytes of `input`, and if it is `INCR`, those like
    /// it that follow. Returns how many bytes that was.
    async fn answer(
        &mut self,
        input: &[u8],
        used: usize,
        args: &Args,
    ) -> Result<(usize, Flow), Gone> {
        let frame = &input[..used];
        if self.transaction.is_none()
            && let Some(name) = command::is_incr(frame, args)
        {
            let run = run_len(input, used);
            self.increment(name, run).await;
            return Ok((used * run as usize, Flow::GoOn));
        }
        let flow = match command::parse(frame, args) {
            None => Flow::GoOn,
            Some(Err(_)) if introspection::is_http(frame) => {
                let message = format!("this is RESP; HTTP is served at {}", self.context.http_addr);
                self.error(ErrorKind::Invalid, &message);
                Flow::Close
            }
            Some(Err(error)) => {
                self.spoil_transaction();
                self.error(error.kind, &error.message);
                Flow::GoOn
            }
            Some(Ok(command)) => self.gather_or_carry_out(frame, command).await?,
        };
        Ok((used, flow))
    }

    async fn gather_or_carry_out(
        &mut self,
        frame: &[u8],
        command: Command<'_>,
    ) -> Result<Flow, Gone> {
        let ends = matches!(
            command,
            Command::Multi | Command::Exec | Command::Discard | Command::Reset | Command::Quit
        );
        match &mut self.transaction {
            Some(transaction) if !ends => {
                if transaction.push(frame) {
                    self.reply.simple("QUEUED");
                } else {
                    self.error(ErrorKind::TooLarge, "too many commands in one MULTI");
                }
                Ok(Flow::GoOn)
            }
            _ => self.carry_out(command).await,
        }
    }

    async fn carry_out(&mut self, command: Command<'_>) -> Result<Flow, Gone> {
        match command {
            Command::Incr(name) => self.increment(name, 1).await,
            Command::IncrBy(name, count) => match self.next_range(name, count).await {
                Ok(range) => self.reply.integer(range.last()),
                Err(error) => self.service_error(&error),
            },
            Command::Next(name, count) => match self.next(name, count).await {
                Ok(issued) => self.write_ids(&issued).await?,
                Err(error) => self.service_error(&error),
            },
            Command::Decode { id, layout, sequence } => {
                match decode::decode(&self.context.service, id, layout, sequence).await {
                    Ok(meanings) => decode::write(&mut self.reply, &meanings),
                    Err(error) => self.service_error(&error),
                }
            }
            Command::Exec => return Box::pin(self.exec()).await,
            Command::Multi if self.transaction.is_some() => {
                self.error(ErrorKind::Invalid, "MULTI calls can not be nested");
            }
            Command::Multi => {
                self.transaction = Some(Transaction::default());
                self.reply.ok();
            }
            Command::Discard => match self.transaction.take() {
                Some(_) => self.reply.ok(),
                None => self.error(ErrorKind::Invalid, "DISCARD without MULTI"),
            },
            Command::Quit => {
                self.reply.ok();
                return Ok(Flow::Close);
            }
            Command::Reset => {
                self.transaction = None;
                self.client.reset();
                self.reply.resp3 = false;
                self.reply.simple("RESET");
            }
            other => self.look_up(other).await?,
        }
        Ok(Flow::GoOn)
    }

    /// Commands that issue nothing.
    async fn look_up(&mut self, command: Command<'_>) -> Result<(), Gone> {
        let service = Arc::clone(&self.context.service);
        match command {
            Command::Get(name) => match self.last_of(name).await {
                Ok(Some(last)) => self.reply.bulk(Format::default().write(last)),
                Ok(None) => self.reply.null(),
                Err(error) => self.service_error(&error),
            },
            Command::Set(name, to) => match self.raise(name, to).await {
                Ok(()) => self.reply.ok(),
                Err(error) => self.service_error(&error),
            },
            Command::Exists(names) => {
                let mut found = 0;
                for name in names {
                    match self.exists(name).await {
                        Ok(exists) => found += u64::from(exists),
                        Err(error) => {
                            self.service_error(&error);
                            return Ok(());
                        }
                    }
                }
                self.reply.integer(found);
            }
            Command::Type(name) => match self.exists(name).await {
                Ok(exists) => self.reply.simple(if exists { "string" } else { "none" }),
                Err(error) => self.service_error(&error),
            },
            Command::Keys(pattern) => match listing::keys(&service, pattern).await {
                Ok(names) => self.write_names(&names).await?,
                Err(error) => self.service_error(&error),
            },
            Command::Scan(scan) => match listing::scan(&service, &scan).await {
                Ok((next, names)) => {
                    self.reply.array(2);
                    self.reply.bulk(itoa::Buffer::new().format(next));
                    self.write_names(&names).await?;
                }
                Err(error) => self.service_error(&error),
            },
            Command::DbSize => self.reply.integer(service.store_sizes().sequences),
            other => {
                let result =
                    introspection::answer(&self.context, &mut self.client, &mut self.reply, other);
                if let Err(error) = result {
                    self.service_error(&error);
                }
            }
        }
        Ok(())
    }

    async fn exec(&mut self) -> Result<Flow, Gone> {
        let Some(transaction) = self.transaction.take() else {
            self.error(ErrorKind::Invalid, "EXEC without MULTI");
            return Ok(Flow::GoOn);
        };
        let Some((mut frames, count)) = transaction.finish() else {
            let message = "Transaction discarded because of previous errors.";
            self.reply.error("EXECABORT", message);
            return Ok(Flow::GoOn);
        };
        self.reply.array(count);
        self.process(&mut frames, &mut Args::default()).await
    }

    /// Answers `run` requests for one ID each.
    async fn increment(&mut self, name: &[u8], run: u64) {
        let mut left = run;
        while left > 0 {
            if let Some(range) = self.remembered(name).and_then(|s| s.take_up_to(left)) {
                self.integers(range);
                left -= range.count;
                continue;
            }
            let count = Count::new(left).expect("a run is no longer than a request may be");
            match self.next_integers(name, count).await {
                Ok(ranges) => {
                    ranges.into_iter().for_each(|range| self.integers(range));
                    left = 0;
                }
                // Fewer than the run are left; each request stands for itself.
                Err(error) if error.kind == ErrorKind::Exhausted && left > 1 => {
                    match self.next_integers(name, Count::ONE).await {
                        Ok(ranges) => ranges.into_iter().for_each(|range| self.integers(range)),
                        Err(error) => self.service_error(&error),
                    }
                    left -= 1;
                }
                Err(error) => {
                    for _ in 0..left {
                        self.service_error(&error);
                    }
                    left = 0;
                }
            }
        }
    }

    /// Answers each ID as an integer, which in RESP is signed.
    fn integers(&mut self, range: Range) {
        if range.last() > ID_MAX {
            let message = "the ID has 64 bits and RESP integers are signed; ask with NEXT";
            (0..range.count).for_each(|_| self.error(ErrorKind::Invalid, message));
        } else {
            self.reply.integers(range.iter());
        }
    }

    /// The sequence `name` if it is open, by memory if it was asked last.
    fn remembered(&mut self, name: &[u8]) -> Option<&Source> {
        let known = self.last.as_ref().is_some_and(|source| source.name().as_bytes() == name);
        if !known {
            self.last = self.context.service.opened(std::str::from_utf8(name).ok()?);
        }
        self.last.as_ref()
    }

    async fn next(&mut self, name: &[u8], count: Count) -> Result<Issued, ServiceError> {
        // The one remembered may have been closed and opened again.
        self.last = None;
        let name = checked(name)?;
        self.context.service.next(&name, count).await
    }

    /// IDs that are integers.
    async fn next_integers(
        &mut self,
        name: &[u8],
        count: Count,
    ) -> Result<Vec<Range>, ServiceError> {
        // A kind that has none must not spend an ID on saying so.
        let kind = match self.remembered(name) {
            Some(Source::Wide(wide)) => Some(wide.kind()),
            Some(_) => None,
            None => self.kind_of(name).await?,
        };
        if let Some(kind @ (KindName::Uuid4 | KindName::Uuid7 | KindName::Ulid)) = kind {
            return Err(no_integers(kind));
        }
        let issued = self.next(name, count).await?;
        match issued.ids {
            Ids::Range(range) => Ok(vec![range]),
            Ids::Ranges(ranges) => Ok(ranges),
            Ids::Wide(_) => Err(no_integers(issued.kind)),
        }
    }

    /// `count` contiguous IDs: the client works them out from the last.
    async fn next_range(&mut self, name: &[u8], count: Count) -> Result<Range, ServiceError> {
        let contiguous = count == Count::ONE || self.is_ticket(name).await?;
        if !contiguous {
            return Err(not_contiguous());
        }
        if let Some(range) = self.remembered(name).and_then(|s| s.take(count.get())) {
            return Ok(range);
        }
        let ranges = self.next_integers(name, count).await?;
        match ranges.as_slice() {
            [range] => Ok(*range),
            _ => Err(not_contiguous()),
        }
    }

    /// Whether `name` is a sequence of tickets, or will be one when it is asked for.
    async fn is_ticket(&mut self, name: &[u8]) -> Result<bool, ServiceError> {
        if let Some(Source::Blocks(sequence)) = self.remembered(name)
            && let Some(kind) = sequence.kind()
        {
            return Ok(kind == KindName::Ticket);
        }
        let kind = self.kind_of(name).await?;
        Ok(kind.is_none_or(|kind| kind == KindName::Ticket))
    }

    /// The kind of `name`; `None` if there is no such sequence.
    async fn kind_of(&self, name: &[u8]) -> Result<Option<KindName>, ServiceError> {
        match self.context.service.show(&checked(name)?).await {
            Ok(info) => Ok(Some(info.kind.name())),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn raise(&self, name: &[u8], to: u64) -> Result<(), ServiceError> {
        self.context.service.raise(&checked(name)?, to).await.map(drop)
    }

    async fn exists(&self, name: &[u8]) -> Result<bool, ServiceError> {
        if Name::from_bytes(name).is_err() {
            return Ok(false);
        }
        Ok(self.kind_of(name).await?.is_some())
    }

    async fn last_of(&self, name: &[u8]) -> Result<Option<Id>, ServiceError> {
        match self.context.service.show(&checked(name)?).await {
            Ok(info) => Ok(info.last),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes all IDs as an array, in pieces: integers as such, all others as text.
    async fn write_ids(&mut self, issued: &Issued) -> Result<(), Gone> {
        self.reply.array(usize::try_from(issued.ids.count()).unwrap_or(usize::MAX));
        let mut written = 0;
        for id in issued.ids.iter(issued.kind) {
            self.reply.id(id);
            written += 1;
            if written % RESP_IDS_PER_WRITE == 0 {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn write_names(&mut self, names: &[Name]) -> Result<(), Gone> {
        self.reply.array(names.len());
        for name in names {
            self.reply.bulk(name.as_str());
            if self.reply.bytes().len() >= RESP_WRITE_LEN {
                self.flush().await?;
            }
        }
        Ok(())
    }

    fn spoil_transaction(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.spoil();
        }
    }

    fn error(&mut self, kind: ErrorKind, message: &str) {
        self.context.traffic.resp.error(kind);
        self.reply.error(kind.resp_prefix(), message);
    }

    fn service_error(&mut self, error: &ServiceError) {
        self.context.traffic.resp.error(error.kind);
        self.reply.service_error(error);
    }

    /// Writes what has been gathered. Nothing more is read from the client before it has taken it.
    async fn flush(&mut self) -> Result<(), Gone> {
        let bytes = self.reply.bytes();
        if bytes.is_empty() {
            return Ok(());
        }
        let written = self.stream.try_write(bytes).unwrap_or(0);
        if written < bytes.len() {
            let rest = self.stream.write_all(&bytes[written..]);
            let limit = Duration::from_secs(WRITE_TIMEOUT_SECONDS);
            tokio::time::timeout(limit, rest).await.map_err(|_| Gone)?.map_err(|_| Gone)?;
        }
        self.reply.clear();
        Ok(())
    }
}

fn no_integers(kind: KindName) -> ServiceError {
    let kind = kind.as_str();
    ServiceError::invalid(format!("an ID of kind {kind} is no integer; ask with NEXT"))
}

fn not_contiguous() -> ServiceError {
    let message = "only tickets are contiguous, so that the last one tells all; ask with NEXT";
    ServiceError::invalid(message)
}

fn checked(name: &[u8]) -> Result<Name, ServiceError> {
    Name::from_bytes(name).map_err(ServiceError::invalid)
}

/// How many times the first `used` bytes of `input` stand there in a row. Bounded, so that the
/// answers to one run fit into one write.
fn run_len(input: &[u8], used: usize) -> u64 {
    let (first, rest) = input.split_at(used);
    let more = rest.chunks_exact(used).take(RESP_IDS_PER_WRITE as usize - 1);
    1 + more.take_while(|frame| *frame == first).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_what_repeats_from_the_start_and_nothing_more() {
        let input = b"INCR a\r\nINCR a\r\nINCR b\r\nINCR a\r\n";
        assert_eq!(run_len(input, 8), 2);
        assert_eq!(run_len(&input[8..], 8), 1);
        assert_eq!(run_len(&input[..15], 8), 1);
        assert_eq!(run_len(&b"x\n".repeat(10_000), 2), RESP_IDS_PER_WRITE);
    }
}
