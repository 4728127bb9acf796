//! From answers to bytes, in version 2 or 3 of the protocol.

use ticketd_core::ids::Id;
use ticketd_core::limits::ID_MAX;

use crate::error::ServiceError;

/// Answers on their way to a client.
#[derive(Debug, Default)]
pub struct Reply {
    bytes: Vec<u8>,
    /// The client has said `HELLO 3`.
    pub resp3: bool,
}

impl Reply {
    /// What has been gathered.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets what has been gathered, and gives memory back if it was much.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(crate::limits::RESP_WRITE_LEN);
    }

    /// A short text: `+OK`.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text);
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.simple("OK");
    }

    /// An error with its first word: `-ERR ...`.
    pub fn error(&mut self, prefix: &str, message: &str) {
        self.bytes.push(b'-');
        self.bytes.extend_from_slice(prefix.as_bytes());
        self.bytes.push(b' ');
        // A line break would let a client believe that the answer ends here.
        let message = message.bytes().map(|b| if b == b'\r' || b == b'\n' { b' ' } else { b });
        self.bytes.extend(message);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// An error of the service.
    pub fn service_error(&mut self, error: &ServiceError) {
        self.error(error.kind.resp_prefix(), &error.message);
    }

    /// An ID or another number that is not negative.
    pub fn integer(&mut self, number: u64) {
        self.line(b':', itoa::Buffer::new().format(number));
    }

    /// A number that may be negative.
    pub fn signed(&mut self, number: i64) {
        self.line(b':', itoa::Buffer::new().format(number));
    }

    /// The IDs from `ids`, each as an integer.
    pub fn integers(&mut self, ids: impl Iterator<Item = u64>) {
        let mut digits = itoa::Buffer::new();
        for id in ids {
            self.line(b':', digits.format(id));
        }
    }

    /// One ID: an integer, or a text where RESP, whose integers are signed, has none for it.
    pub fn id(&mut self, id: Id) {
        match id {
            Id::Integer(id) if id <= ID_MAX => self.integer(id),
            Id::Integer(id) => self.bulk(itoa::Buffer::new().format(id)),
            Id::Uuid(id) => {
                let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
                self.bulk(&*uuid::Uuid::from_u128(id).hyphenated().encode_lower(&mut text));
            }
            Id::Ulid(id) => {
                let mut text = [0; ulid::ULID_LEN];
                self.bulk(&*ulid::Ulid(id).array_to_str(&mut text));
            }
        }
    }

    /// A text of any bytes.
    pub fn bulk(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        self.line(b'$', itoa::Buffer::new().format(text.len()));
        self.bytes.extend_from_slice(text);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// A text that a version 3 client may show as it is.
    pub fn verbatim(&mut self, text: &str) {
        if self.resp3 {
            self.line(b'=', itoa::Buffer::new().format(text.len() + 4));
            self.bytes.extend_from_slice(b"txt:");
            self.bytes.extend_from_slice(text.as_bytes());
            self.bytes.extend_from_slice(b"\r\n");
        } else {
            self.bulk(text);
        }
    }

    /// Nothing.
    pub fn null(&mut self) {
        self.bytes.extend_from_slice(if self.resp3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// `len` answers follow.
    pub fn array(&mut self, len: usize) {
        self.line(b'*', itoa::Buffer::new().format(len));
    }

    /// `pairs` pairs of answers follow: a map, or in version 2 a flat array.
    pub fn map(&mut self, pairs: usize) {
        if self.resp3 {
            self.line(b'%', itoa::Buffer::new().format(pairs));
        } else {
            self.array(pairs * 2);
        }
    }

    fn line(&mut self, kind: u8, text: &str) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(resp3: bool, write: impl Fn(&mut Reply)) -> String {
        let mut reply = Reply { resp3, ..Reply::default() };
        write(&mut reply);
        String::from_utf8(reply.bytes().to_vec()).unwrap()
    }

    #[test]
    fn writes_both_versions() {
        let all = |reply: &mut Reply| {
            reply.ok();
            reply.integer(u64::MAX);
            reply.bulk("ab");
            reply.null();
            reply.map(1);
            reply.verbatim("x");
            reply.integers(9..11);
        };
        assert_eq!(
            written(false, all),
            "+OK\r\n:18446744073709551615\r\n$2\r\nab\r\n$-1\r\n*2\r\n$1\r\nx\r\n:9\r\n:10\r\n"
        );
        assert_eq!(
            written(true, all),
            "+OK\r\n:18446744073709551615\r\n$2\r\nab\r\n_\r\n%1\r\n=5\r\ntxt:x\r\n:9\r\n:10\r\n"
        );
    }

    #[test]
    fn an_error_is_one_line_whatever_is_in_it() {
        assert_eq!(written(false, |r| r.error("ERR", "a\r\n+OK\nb")), "-ERR a  +OK b\r\n");
    }
}
