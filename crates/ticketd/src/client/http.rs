//! A connection that is kept: one request after the other, each waited for.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::runtime::{Builder, Runtime};

use super::probe;
use crate::failure::Failure;

/// How long a request may take: longer than any server is told to let one wait, but not for ever.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What a server answered.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub body: Vec<u8>,
}

/// A connection to `address`, opened anew when the server has closed it between two requests.
pub struct Connection {
    address: String,
    runtime: Runtime,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Nobody is there.
    pub fn open(address: &str) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| probe::no_server(address, &error))?;
        let sender = dial(&runtime, address)?;
        Ok(Self { address: address.to_owned(), runtime, sender })
    }

    /// Sends a request and waits for the answer. It is never sent twice: the first one may have
    /// been served.
    ///
    /// # Errors
    /// There was no answer.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        body: Option<String>,
    ) -> Result<Reply, Failure> {
        if self.runtime.block_on(self.sender.ready()).is_err() {
            self.sender = dial(&self.runtime, &self.address)?;
        }
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.address);
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = Full::new(Bytes::from(body.unwrap_or_default()));
        let request = request.body(body).expect("paths are made of checked names");
        let sent = self.sender.send_request(request);
        let whole = async { read(sent.await?).await };
        match self.runtime.block_on(async { tokio::time::timeout(TIMEOUT, whole).await }) {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(Failure::work(format!(
                "the server at {} ended the connection before it answered: {error}",
                self.address
            ))),
            Err(_) => Err(Failure::work(format!(
                "the server at {} has not answered for {}",
                self.address,
                humantime::format_duration(TIMEOUT)
            ))),
        }
    }
}

async fn read(response: Response<Incoming>) -> Result<Reply, hyper::Error> {
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes().to_vec();
    Ok(Reply { status, body })
}

fn dial(runtime: &Runtime, address: &str) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = probe::connect(address)?;
    let shaken = runtime.block_on(shake(stream));
    shaken.map_err(|error| probe::no_server(address, &error))
}

async fn shake(stream: TcpStream) -> io::Result<SendRequest<Full<Bytes>>> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let stream = tokio::net::TcpStream::from_std(stream)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // Its errors come out of the request that meets them.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}
