//! Finds out what serves at an address: HTTP, or RESP, which then tells where HTTP is.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::failure::Failure;

/// The HTTP port of a server that was told nothing else.
const DEFAULT_PORT: u16 = 7118;

/// How long the probe waits for a connection or an answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest answer to the probe that is looked at.
const ANSWER_LEN_MAX: usize = 64 * 1024;

/// Answered in one line by RESP, and an error to HTTP.
const PING: &[u8] = b"PING\r\n";
const INFO: &[u8] = b"INFO\r\n";

/// Where the server at `address` serves HTTP, as `HOST:PORT`.
///
/// # Errors
/// Nobody is there, or somebody else is.
pub fn http_address(address: &str) -> Result<String, Failure> {
    if let Some(rest) = address.strip_prefix("http://") {
        let authority = rest.trim_end_matches('/');
        return with_port(authority, 80);
    }
    if let Some((scheme, _)) = address.split_once("://") {
        let message =
            format!("a server is named HOST:PORT or http://HOST:PORT, not {scheme}: {address}");
        return Err(Failure::usage(message));
    }
    let address = with_port(address, DEFAULT_PORT)?;
    let mut stream = connect(&address)?;
    match ask(&mut stream, &address) {
        Ok(http) => Ok(http),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Err(Failure::work(format!("what answers at {address} is no ticketd: {error}")))
        }
        Err(error) => Err(no_server(&address, &error)),
    }
}

/// Connects to the first of the addresses of `address` that answers.
pub fn connect(address: &str) -> Result<TcpStream, Failure> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    let found = address.to_socket_addrs().map_err(|error| no_server(address, &error))?;
    for addr in found {
        match TcpStream::connect_timeout(&addr, TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(no_server(address, &last))
}

/// The message for a server that is not there.
pub fn no_server(address: &str, error: &io::Error) -> Failure {
    Failure::work(format!(
        "no server at {address}: {error}; start one with 'ticketd serve' or name it with --server"
    ))
}

fn with_port(authority: &str, default: u16) -> Result<String, Failure> {
    let message = || format!("a server is named HOST:PORT or http://HOST:PORT, not '{authority}'");
    let host_ends = authority.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match authority[host_ends..].rfind(':') {
        Some(at) => (&authority[..host_ends + at], authority[host_ends + at + 1..].parse()),
        None => (authority, Ok(default)),
    };
    let is_bare_v6 = host_ends == 0 && host.contains(':');
    match port {
        Ok(port) if !host.is_empty() && !is_bare_v6 && !host.contains('/') => {
            Ok(format!("{host}:{port}"))
        }
        _ => Err(Failure::usage(message())),
    }
}

fn ask(stream: &mut TcpStream, address: &str) -> io::Result<String> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(PING)?;
    let answer = read_until(stream, |answer| answer.len() >= 5)?;
    if answer.starts_with(b"HTTP/") {
        return Ok(address.to_owned());
    }
    if !answer.starts_with(b"+PONG") {
        return Err(invalid("it speaks neither HTTP nor RESP"));
    }
    stream.write_all(INFO)?;
    let info = read_until(stream, |answer| http_line(answer).is_some())?;
    let http = http_line(&info).and_then(|line| line.parse().ok());
    let http = http.ok_or_else(|| invalid("its INFO names no http_addr"))?;
    Ok(reachable(http, stream.peer_addr()?))
}

/// Reads until there is enough, or the end.
fn read_until(stream: &mut TcpStream, enough: impl Fn(&[u8]) -> bool) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while !enough(&answer) && answer.len() < ANSWER_LEN_MAX {
        match stream.read(&mut piece)? {
            0 => break,
            n => answer.extend_from_slice(&piece[..n]),
        }
    }
    Ok(answer)
}

/// The value of the line `http_addr:...`, once the line is complete.
fn http_line(info: &[u8]) -> Option<&str> {
    let lines = info.split_inclusive(|byte| *byte == b'\n');
    let line = lines.filter(|line| line.ends_with(b"\n")).find_map(|line| {
        let value = line.strip_prefix(b"http_addr:")?;
        std::str::from_utf8(value).ok()
    })?;
    Some(line.trim())
}

/// A server that listens on all addresses is reached where it was reached just now.
fn reachable(http: SocketAddr, peer: SocketAddr) -> String {
    if http.ip().is_unspecified() {
        return SocketAddr::new(peer.ip().to_canonical(), http.port()).to_string();
    }
    http.to_string()
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_port_gets_the_default_one() {
        let with = |text| with_port(text, 7118).map_err(|failure| failure.code());
        assert_eq!(with("ids.example").unwrap(), "ids.example:7118");
        assert_eq!(with("ids.example:80").unwrap(), "ids.example:80");
        assert_eq!(with("[::1]").unwrap(), "[::1]:7118");
        assert_eq!(with("[::1]:9").unwrap(), "[::1]:9");
        for bad in ["", ":7118", "::1", "a:b", "a:99999", "a/b:1"] {
            assert_eq!(with(bad), Err(2), "{bad}");
        }
    }

    #[test]
    fn the_http_address_is_read_from_a_complete_line_only() {
        assert_eq!(http_line(b"$99\r\nhttp_addr:127.0.0.1:71"), None);
        let info = b"$99\r\nresp_addr:1.2.3.4:1\r\nhttp_addr:127.0.0.1:7118\r\nx";
        assert_eq!(http_line(info), Some("127.0.0.1:7118"));
    }

    #[test]
    fn a_server_on_all_addresses_is_reached_where_it_answered() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let open = reachable(addr("0.0.0.0:7118"), addr("10.0.0.5:7117"));
        assert_eq!(open, "10.0.0.5:7118");
        let named = reachable(addr("10.0.0.6:7118"), addr("10.0.0.5:7117"));
        assert_eq!(named, "10.0.0.6:7118");
    }
}
