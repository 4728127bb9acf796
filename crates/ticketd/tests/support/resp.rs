//! A small RESP 2 client, so that tests see the bytes of the server and not a library's idea of
//! them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Simple(String),
    Error(String),
    Int(u64),
    Bulk(Option<String>),
    Array(Vec<Self>),
}

/// A connection.
pub struct Resp {
    stream: BufReader<TcpStream>,
}

impl Resp {
    #[track_caller]
    pub fn connect(addr: SocketAddr) -> Self {
        Self::try_connect(addr).unwrap()
    }

    pub fn try_connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends a command and waits for its answer.
    #[track_caller]
    pub fn command(&mut self, args: &[&str]) -> Reply {
        self.send(args).unwrap();
        self.receive().unwrap()
    }

    /// The next ID of `name`.
    #[track_caller]
    pub fn incr(&mut self, name: &str) -> u64 {
        match self.command(&["INCR", name]) {
            Reply::Int(id) => id,
            other => panic!("INCR {name}: {other:?}"),
        }
    }

    /// Sends a command and waits for nothing.
    pub fn send(&mut self, args: &[&str]) -> io::Result<()> {
        let mut frame = format!("*{}\r\n", args.len());
        for arg in args {
            frame.push_str(&format!("${}\r\n{arg}\r\n", arg.len()));
        }
        self.stream.get_mut().write_all(frame.as_bytes())
    }

    /// The next answer. An error is the end of the connection.
    pub fn receive(&mut self) -> io::Result<Reply> {
        let line = self.line()?;
        let (mark, rest) = line.split_at_checked(1).ok_or_else(|| odd(&line))?;
        match mark {
            "+" => Ok(Reply::Simple(rest.to_owned())),
            "-" => Ok(Reply::Error(rest.to_owned())),
            ":" => rest.parse().map(Reply::Int).map_err(|_| odd(&line)),
            "$" if rest == "-1" => Ok(Reply::Bulk(None)),
            "$" => self.bulk(rest.parse().map_err(|_| odd(&line))?),
            "*" => {
                let len: usize = rest.parse().map_err(|_| odd(&line))?;
                (0..len).map(|_| self.receive()).collect::<io::Result<_>>().map(Reply::Array)
            }
            _ => Err(odd(&line)),
        }
    }

    fn bulk(&mut self, len: usize) -> io::Result<Reply> {
        let mut bytes = vec![0; len + 2];
        self.stream.read_exact(&mut bytes)?;
        bytes.truncate(len);
        let text = String::from_utf8(bytes).map_err(io::Error::other)?;
        Ok(Reply::Bulk(Some(text)))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            // A line that was cut off was not answered.
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn odd(line: &str) -> io::Error {
    io::Error::other(format!("not RESP: {line:?}"))
}
