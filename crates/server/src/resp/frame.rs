//! From bytes to arguments: arrays of bulk strings, and inline commands.
//!
//! Source: the Redis serialization protocol specification, and for inline commands the splitting
//! rules of redis-server (quotes and escapes).

use std::fmt;

use crate::limits::{RESP_ARG_LEN_MAX, RESP_ARGS_MAX, RESP_COMMAND_LEN_MAX, RESP_INLINE_LEN_MAX};

/// The longest `*<n>` or `$<n>` line: a sign, the digits of a 64-bit number, and some room.
const HEADER_LEN_MAX: usize = 32;

/// The arguments of one command, as places in the bytes that it was read from. Reused from command
/// to command, so that parsing allocates nothing.
#[derive(Debug, Default)]
pub struct Args {
    places: Vec<(usize, usize)>,
    /// The text of an inline command with its quotes taken off; `places` point into it if it is
    /// not empty.
    unquoted: Vec<u8>,
}

/// Why bytes are no command. The connection is closed after it: where the next command would start
/// is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// Not a number, or a number out of range, after `*`.
    ArrayLength,
    /// Something else where `$` must stand.
    NoBulk(u8),
    /// Not a number, or a number out of range, after `$`.
    BulkLength,
    /// No CR LF after a bulk string.
    NoLineEnd,
    /// An inline command without an end.
    InlineTooLong,
    /// An inline command with an open quote.
    Quotes,
    /// All arguments together are too long.
    TooLong,
}

impl Args {
    /// How many arguments there are, the command's name included.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is not even a name: an empty line or an empty array.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Argument `index`, of a command that starts at `frame[0]`.
    pub fn get<'a>(&'a self, frame: &'a [u8], index: usize) -> Option<&'a [u8]> {
        let (start, end) = *self.places.get(index)?;
        let text = if self.unquoted.is_empty() { frame } else { &self.unquoted };
        text.get(start..end)
    }

    /// All arguments, of a command that starts at `frame[0]`.
    pub fn iter<'a>(&'a self, frame: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        (0..self.len()).filter_map(|index| self.get(frame, index))
    }

    fn clear(&mut self) {
        self.places.clear();
        self.unquoted.clear();
    }
}

/// Reads one command from the start of `bytes` into `args` and returns its length in bytes, or
/// `None` if the command is not complete yet.
///
/// # Errors
/// [`FrameError`] if no bytes that may follow would make it a command.
pub fn parse(bytes: &[u8], args: &mut Args) -> Result<Option<usize>, FrameError> {
    args.clear();
    match bytes.first() {
        None => Ok(None),
        Some(b'*') => parse_array(bytes, args),
        Some(_) => parse_inline(bytes, args),
    }
}

fn parse_array(bytes: &[u8], args: &mut Args) -> Result<Option<usize>, FrameError> {
    let Some((count, mut at)) = parse_header(bytes, 0, FrameError::ArrayLength)? else {
        return Ok(None);
    };
    if count > RESP_ARGS_MAX as i64 {
        return Err(FrameError::ArrayLength);
    }
    for _ in 0..count.max(0) {
        match bytes.get(at) {
            None => return incomplete(at),
            Some(b'$') => {}
            Some(&other) => return Err(FrameError::NoBulk(other)),
        }
        let Some((len, start)) = parse_header(bytes, at, FrameError::BulkLength)? else {
            return incomplete(at);
        };
        let len = usize::try_from(len).map_err(|_| FrameError::BulkLength)?;
        if len > RESP_ARG_LEN_MAX {
            return Err(FrameError::BulkLength);
        }
        let end = start + len;
        // Known before it has arrived, so that nobody has to send it first.
        if end > RESP_COMMAND_LEN_MAX {
            return Err(FrameError::TooLong);
        }
        match bytes.get(end..end + 2) {
            None => return incomplete(at),
            Some(b"\r\n") => {}
            Some(_) => return Err(FrameError::NoLineEnd),
        }
        args.places.push((start, end));
        at = end + 2;
    }
    Ok(Some(at))
}

fn incomplete(at: usize) -> Result<Option<usize>, FrameError> {
    if at > RESP_COMMAND_LEN_MAX { Err(FrameError::TooLong) } else { Ok(None) }
}

/// Reads the number of the line at `at`, whose first byte says what it counts, and returns it with
/// the place after the line.
fn parse_header(
    bytes: &[u8],
    at: usize,
    error: FrameError,
) -> Result<Option<(i64, usize)>, FrameError> {
    let line = &bytes[at + 1..bytes.len().min(at + HEADER_LEN_MAX)];
    let Some(len) = memchr::memchr(b'\r', line) else {
        return if line.len() + 1 < HEADER_LEN_MAX { Ok(None) } else { Err(error) };
    };
    match bytes.get(at + 1 + len + 1) {
        None => Ok(None),
        Some(b'\n') => {
            let number = parse_integer(&line[..len]).ok_or(error)?;
            Ok(Some((number, at + len + 3)))
        }
        Some(_) => Err(error),
    }
}

/// Reads a decimal 64-bit integer: an optional `-`, then digits and nothing else.
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    // 18 digits fit without a check; longer ones take the careful way.
    if digits.is_empty() || digits.len() > 18 {
        let text = std::str::from_utf8(text).ok().filter(|t| !t.starts_with('+'))?;
        return text.parse().ok();
    }
    let mut number = 0_i64;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + i64::from(digit - b'0');
    }
    Some(if digits.len() < text.len() { -number } else { number })
}

fn parse_inline(bytes: &[u8], args: &mut Args) -> Result<Option<usize>, FrameError> {
    let window = &bytes[..bytes.len().min(RESP_INLINE_LEN_MAX)];
    let Some(end) = memchr::memchr(b'\n', window) else {
        let full = window.len() == RESP_INLINE_LEN_MAX;
        return if full { Err(FrameError::InlineTooLong) } else { Ok(None) };
    };
    let line = window[..end].strip_suffix(b"\r").unwrap_or(&window[..end]);
    split_inline(line, args)?;
    if args.len() > RESP_ARGS_MAX {
        return Err(FrameError::ArrayLength);
    }
    Ok(Some(end + 1))
}

fn split_inline(line: &[u8], args: &mut Args) -> Result<(), FrameError> {
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Ok(());
        }
        let start = args.unquoted.len();
        rest = unquote(rest, &mut args.unquoted)?;
        args.places.push((start, args.unquoted.len()));
        // An empty argument must not make the whole look like one that was not unquoted.
        if args.unquoted.is_empty() {
            args.unquoted.push(b' ');
        }
    }
}

/// Appends the first word of `text` to `out` without its quotes, and returns what follows it.
fn unquote<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], FrameError> {
    let mut quote = None;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        match (quote, byte) {
            (None, b' ' | b'\t' | b'\r' | 0) => return Ok(&text[at..]),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(b'"'), b'\\') => {
                let (unescaped, len) = unescape(&text[at..]).ok_or(FrameError::Quotes)?;
                out.push(unescaped);
                at += len;
            }
            (Some(b'\''), b'\\') if text.get(at) == Some(&b'\'') => {
                out.push(b'\'');
                at += 1;
            }
            (Some(open), _) if byte == open => {
                // A closing quote ends the word.
                return match text.get(at) {
                    None => Ok(&[]),
                    Some(next) if next.is_ascii_whitespace() => Ok(&text[at..]),
                    Some(_) => Err(FrameError::Quotes),
                };
            }
            _ => out.push(byte),
        }
    }
    if quote.is_some() { Err(FrameError::Quotes) } else { Ok(&[]) }
}

/// The byte that an escape in double quotes stands for, and the length of the escape after `\`.
fn unescape(text: &[u8]) -> Option<(u8, usize)> {
    if let [b'x', high, low, ..] = text
        && let (Some(high), Some(low)) = (hex(*high), hex(*low))
    {
        return Some((high * 16 + low, 3));
    }
    Some(match *text.first()? {
        b'n' => (b'\n', 1),
        b'r' => (b'\r', 1),
        b't' => (b'\t', 1),
        b'b' => (8, 1),
        b'a' => (7, 1),
        other => (other, 1),
    })
}

fn hex(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ArrayLength => {
                write!(f, "invalid multibulk length; at most {RESP_ARGS_MAX} arguments")
            }
            Self::NoBulk(byte) => write!(f, "expected '$', got '{}'", byte.escape_ascii()),
            Self::BulkLength => {
                write!(f, "invalid bulk length; an argument has at most {RESP_ARG_LEN_MAX} bytes")
            }
            Self::NoLineEnd => f.write_str("a bulk string is longer than its length says"),
            Self::InlineTooLong => f.write_str("too big inline request"),
            Self::Quotes => f.write_str("unbalanced quotes in request"),
            Self::TooLong => {
                write!(f, "a command has at most {RESP_COMMAND_LEN_MAX} bytes")
            }
        }
    }
}

impl std::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The length of a command, and its words.
    type Words = (usize, Vec<Vec<u8>>);

    fn words(bytes: &[u8]) -> Result<Option<Words>, FrameError> {
        let mut args = Args::default();
        let used = parse(bytes, &mut args)?;
        Ok(used.map(|used| (used, args.iter(bytes).map(<[u8]>::to_vec).collect())))
    }

    fn ok(bytes: &[u8]) -> (usize, Vec<String>) {
        let (used, words) = words(bytes).unwrap().unwrap();
        (used, words.into_iter().map(|w| String::from_utf8(w).unwrap()).collect())
    }

    #[test]
    fn reads_arrays_and_leaves_what_follows() {
        let (used, words) = ok(b"*2\r\n$4\r\nINCR\r\n$5\r\nnotes\r\n*1\r\n");
        assert_eq!((used, words), (25, vec!["INCR".into(), "notes".into()]));
        assert_eq!(ok(b"*0\r\n").0, 4);
        assert_eq!(ok(b"*-1\r\nPING\r\n"), (5, vec![]));
        assert_eq!(ok(b"*1\r\n$0\r\n\r\n"), (10, vec![String::new()]));
    }

    #[test]
    fn reads_inline_commands_with_quotes() {
        assert_eq!(ok(b"PING\r\n"), (6, vec!["PING".into()]));
        assert_eq!(ok(b"\r\n"), (2, vec![]));
        assert_eq!(ok(b"  INCR   notes \n").1, ["INCR", "notes"]);
        assert_eq!(ok(b"ECHO \"a \\\"b\\x41\\n\" 'c \\' d'\r\n").1, ["ECHO", "a \"bA\n", "c ' d"]);
        assert_eq!(ok(b"'' a \"\"\r\n").1, ["", "a", ""]);
        assert_eq!(words(b"ECHO \"a\r\n"), Err(FrameError::Quotes));
        assert_eq!(words(b"ECHO \"a\"b\r\n"), Err(FrameError::Quotes));
    }

    #[test]
    fn a_command_cut_at_any_byte_is_incomplete_and_never_misread() {
        for whole in [
            &b"*3\r\n$6\r\nINCRBY\r\n$5\r\nnotes\r\n$2\r\n10\r\n"[..],
            b"*-1\r\n",
            b"INCR \"no\\x41tes\"\r\n",
        ] {
            for cut in 0..whole.len() {
                let seen = words(&whole[..cut]);
                assert_eq!(seen, Ok(None), "{} cut at {cut}", whole.escape_ascii());
            }
            assert_eq!(words(whole).unwrap().unwrap().0, whole.len());
        }
    }

    #[test]
    fn garbage_is_refused_with_the_reason() {
        for (bytes, error) in [
            (&b"*x\r\n"[..], FrameError::ArrayLength),
            (b"*1025\r\n", FrameError::ArrayLength),
            (b"*99999999999999999999\r\n", FrameError::ArrayLength),
            (b"*+1\r\n", FrameError::ArrayLength),
            (b"*1\rx", FrameError::ArrayLength),
            (b"*1\r\n*1\r\n$4\r\nPING\r\n", FrameError::NoBulk(b'*')),
            (b"*1\r\n$-1\r\n", FrameError::BulkLength),
            (b"*1\r\n$65537\r\n", FrameError::BulkLength),
            (b"*1\r\n$4\r\nPINGPONG", FrameError::NoLineEnd),
        ] {
            assert_eq!(words(bytes), Err(error), "{}", bytes.escape_ascii());
        }
        assert_eq!(words(&[b'*'; HEADER_LEN_MAX]), Err(FrameError::ArrayLength));
        assert_eq!(words(&[b'1'; RESP_INLINE_LEN_MAX]), Err(FrameError::InlineTooLong));
    }

    #[test]
    fn a_command_is_refused_before_its_bytes_have_to_be_sent() {
        let mut bytes = b"*6\r\n".to_vec();
        for _ in 0..4 {
            bytes.extend_from_slice(b"$60000\r\n");
            bytes.extend_from_slice(&[b'x'; 60_000]);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"$60000\r\n");
        assert_eq!(words(&bytes), Err(FrameError::TooLong));
    }

    #[test]
    fn reads_integers_to_both_ends() {
        for number in [0, 1, -1, 42, i64::MAX, i64::MIN, 999_999_999_999_999_999] {
            assert_eq!(parse_integer(number.to_string().as_bytes()), Some(number));
        }
        for bad in ["", "-", "+1", "1 ", "1.5", "9223372036854775808", "--1", "1e3"] {
            assert_eq!(parse_integer(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(parse_integer(&b"9".repeat(31)), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut args = Args::default();
            if let Ok(Some(used)) = parse(&bytes, &mut args) {
                prop_assert!(used > 0 && used <= bytes.len());
                prop_assert_eq!(args.iter(&bytes).count(), args.len());
            }
        }

        #[test]
        fn reads_back_what_a_client_writes(
            words in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..8),
        ) {
            let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
            for word in &words {
                bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
                bytes.extend_from_slice(word);
                bytes.extend_from_slice(b"\r\n");
            }
            prop_assert_eq!(super::tests::words(&bytes), Ok(Some((bytes.len(), words))));
        }
    }
}
