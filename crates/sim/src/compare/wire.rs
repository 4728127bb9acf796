//! A RESP client of a few lines: it blocks, and sends as many requests ahead as it is told.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ticketd_core::definition::KindName;
use ticketd_core::name::Name;
use ticketd_core::text::Form;

use super::{bits_of, value_of};

/// How long a server may take to answer before the client takes it for dead.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection.
pub(super) struct Client {
    command: &'static str,
    stream: BufReader<TcpStream>,
    line: Vec<u8>,
}

impl Client {
    /// Connects, to ask for IDs of `kind`.
    pub(super) fn connect(addr: SocketAddr, kind: KindName) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // `INCR` answers integers only.
        let command = if bits_of(kind) == 64 { "INCR" } else { "NEXT" };
        Ok(Self { command, stream: BufReader::new(stream), line: Vec::new() })
    }

    /// Asks for `count` IDs of `table`, each by a request of its own, all in flight at once.
    pub(super) fn draw(
        &mut self,
        table: &Name,
        count: usize,
        ids: &mut Vec<u128>,
    ) -> io::Result<()> {
        let name = table.as_str();
        let command = self.command;
        let request = format!("*2\r\n$4\r\n{command}\r\n${}\r\n{name}\r\n", name.len());
        self.stream.get_mut().write_all(request.repeat(count).as_bytes())?;
        for _ in 0..count {
            ids.push(self.receive()?);
        }
        Ok(())
    }

    fn receive(&mut self) -> io::Result<u128> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).unwrap_or(("", line));
        match kind {
            // `NEXT` answers an array of the one ID.
            "*" if rest == "1" => self.receive(),
            ":" => rest.parse().map_err(|_| unexpected(line)),
            "$" => {
                let len = rest.parse().map_err(|_| unexpected(line))?;
                self.bulk(len)
            }
            _ => Err(unexpected(line)),
        }
    }

    /// A UUID or ULID of `len` characters and the end of its line.
    fn bulk(&mut self, len: u64) -> io::Result<u128> {
        let text = self.line()?;
        if text.len() as u64 != len {
            return Err(unexpected(text));
        }
        read_wide(text).ok_or_else(|| unexpected(text))
    }

    fn line(&mut self) -> io::Result<&str> {
        /// Longer than any answer with an ID in it, and than any error of the server.
        const LINE_MAX: u64 = 4096;
        self.line.clear();
        (&mut self.stream).take(LINE_MAX).read_until(b'\n', &mut self.line)?;
        let line = self.line.strip_suffix(b"\r\n").ok_or(ErrorKind::UnexpectedEof)?;
        std::str::from_utf8(line).map_err(|_| ErrorKind::InvalidData.into())
    }
}

/// The bits of a UUID or a ULID.
fn read_wide(text: &str) -> Option<u128> {
    if text.contains('-') {
        return u128::from_str_radix(&text.replace('-', ""), 16).ok();
    }
    Form::Crockford.read(text).ok().map(value_of)
}

fn unexpected(answer: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("a server answered {answer}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_and_ulids_are_read_to_the_last_bit() {
        let uuid = read_wide("017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
        assert_eq!(uuid, Some(0x017f_22e2_79b0_7cc3_98c4_dc0c_0c07_398f));
        assert_eq!(read_wide("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"), Some(u128::MAX));
        assert_eq!(read_wide("nonsense"), None);
    }
}
