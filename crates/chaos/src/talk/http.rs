//! HTTP/1.1 with JSON, over a connection that is kept.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

/// A connection.
#[derive(Debug)]
pub struct Http(BufReader<TcpStream>);

impl Http {
    /// Connects to a port of this machine.
    ///
    /// # Errors
    /// If nobody answers there.
    pub fn connect(port: u16) -> io::Result<Self> {
        super::connect(port).map(|stream| Self(BufReader::new(stream)))
    }

    /// Asks, and returns the status and the body. An error is the end of the connection.
    ///
    /// # Errors
    /// If there is no whole answer in time.
    pub fn ask(&mut self, method: &str, path: &str, body: &str) -> io::Result<(u16, Value)> {
        let (status, body) = self.ask_bytes(method, path, body)?;
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    fn ask_bytes(&mut self, method: &str, path: &str, body: &str) -> io::Result<(u16, Vec<u8>)> {
        let len = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: ticketd\r\ncontent-type: application/json\r\n\
             content-length: {len}\r\n\r\n"
        );
        self.0.get_mut().write_all(format!("{head}{body}").as_bytes())?;
        let status = self.line()?.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut len = 0;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let header = line.split_once(": ").unwrap_or_default();
            if header.0.eq_ignore_ascii_case("content-length") {
                len = header.1.parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; len];
        self.0.read_exact(&mut body)?;
        let status = status.ok_or_else(|| io::Error::other("no status"))?;
        Ok((status, body))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let whole = line.strip_suffix("\r\n").map(str::to_owned);
        whole.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// Asks once, over a connection of its own.
///
/// # Errors
/// As [`Http::ask`].
pub fn ask(port: u16, method: &str, path: &str, body: &str) -> io::Result<(u16, Value)> {
    Http::connect(port)?.ask(method, path, body)
}

/// Gets a text, over a connection of its own.
///
/// # Errors
/// As [`Http::ask`].
pub fn text(port: u16, path: &str) -> io::Result<String> {
    let (_, body) = Http::connect(port)?.ask_bytes("GET", path, "")?;
    String::from_utf8(body).map_err(io::Error::other)
}
