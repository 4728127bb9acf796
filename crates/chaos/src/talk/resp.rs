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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What is received of `answer`, after which the connection ends.
    fn receive(answer: &'static str) -> io::Result<Reply> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            client.write_all(answer.as_bytes()).unwrap();
        });
        Resp::connect(port).unwrap().receive()
    }

    #[test]
    fn answers_are_whole_or_none() {
        assert_eq!(receive(":42\r\n").unwrap(), Reply::Int(42));
        assert_eq!(receive("-UNAVAILABLE no\r\n").unwrap(), Reply::Error("UNAVAILABLE no".into()));
        let array = Reply::Array(vec![Reply::Int(7), Reply::Int(12)]);
        assert_eq!(receive("*2\r\n:7\r\n$2\r\n12\r\n").unwrap(), array);
        // The end of a number may be missing, and it would be another ID.
        for cut_off in [":4", ":42\r", "*2\r\n:7\r\n", "", "+OK\r\n"] {
            assert!(receive(cut_off).is_err(), "{cut_off:?}");
        }
    }
}
