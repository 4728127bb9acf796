//! RESP 2, as much of it as answers to INCR, INCRBY and NEXT need.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;

/// A connection.
#[derive(Debug)]
pub struct Resp(BufReader<TcpStream>);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A number.
    Int(u64),
    /// Several answers.
    Array(Vec<Self>),
    /// Why there is none.
    Error(String),
}

impl Resp {
    /// Connects to a port of this machine.
    ///
    /// # Errors
    /// If nobody answers there.
    pub fn connect(port: u16) -> io::Result<Self> {
        super::connect(port).map(|stream| Self(BufReader::new(stream)))
    }

    /// Sends commands, and waits for nothing.
    ///
    /// # Errors
    /// If not all were sent.
    pub fn send(&mut self, commands: &[Vec<String>]) -> io::Result<()> {
        let mut frames = String::new();
        for args in commands {
            frames.push_str(&format!("*{}\r\n", args.len()));
            for arg in args {
                frames.push_str(&format!("${}\r\n{arg}\r\n", arg.len()));
            }
        }
        self.0.get_mut().write_all(frames.as_bytes())
    }

    /// The next answer. An error is the end of the connection.
    ///
    /// # Errors
    /// If there is none in time.
    pub fn receive(&mut self) -> io::Result<Reply> {
        let line = self.line()?;
        let (mark, rest) = line.split_at_checked(1).ok_or_else(|| odd(&line))?;
        match mark {
            ":" => rest.parse().map(Reply::Int).map_err(|_| odd(&line)),
            "-" => Ok(Reply::Error(rest.to_owned())),
            // An ID in an array may be a text.
            "$" => self.line()?.parse().map(Reply::Int).map_err(|_| odd(&line)),
            "*" => {
                let len: usize = rest.parse().map_err(|_| odd(&line))?;
                (0..len).map(|_| self.receive()).collect::<io::Result<_>>().map(Reply::Array)
            }
            _ => Err(odd(&line)),
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        // A line that was cut off was not answered.
        let whole = line.strip_suffix("\r\n").map(str::to_owned);
        whole.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

fn odd(line: &str) -> io::Error {
    io::Error::other(format!("not what was expected: {line:?}"))
}
