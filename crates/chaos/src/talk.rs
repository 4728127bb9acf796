//! What the bench says to servers: RESP and HTTP over blocking sockets with time-outs, in as few
//! lines as it takes, so that no library's retries come between a request and its answer.

pub mod http;
pub mod resp;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long an answer may take: longer than any server lets a client wait.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

fn connect(port: u16) -> io::Result<TcpStream> {
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let stream = TcpStream::connect_timeout(&addr, CONNECT_TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    Ok(stream)
}
