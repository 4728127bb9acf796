//! From arguments to commands: which there are, what they take, and which are refused.

use ticketd_core::count::Count;
use ticketd_core::limits::COUNT_MAX;

use crate::error::ErrorKind;
use crate::resp::frame::{Args, parse_integer};

/// What a client asks for. Names are bytes off the wire, not checked yet.
#[derive(Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// `INCR name`: the next ID.
    Incr(&'a [u8]),
    /// `INCRBY name n`: n contiguous IDs, the last of which is answered.
    IncrBy(&'a [u8], Count),
    /// `NEXT name [COUNT n]`: n contiguous IDs, all of which are answered.
    Next(&'a [u8], Count),
    /// `DECODE id [LAYOUT layout | SEQUENCE name]`: what an ID says.
    Decode {
        /// The ID, in any form.
        id: &'a [u8],
        /// The layout of the integer that it is.
        layout: Option<&'a [u8]>,
        /// The sequence that it is of.
        sequence: Option<&'a [u8]>,
    },
    /// `GET name`: the last ID issued.
    Get(&'a [u8]),
    /// `SET name n`: nothing at or below n is issued from then on.
    Set(&'a [u8], u64),
    /// `EXISTS name ...`: how many of them there are.
    Exists(Vec<&'a [u8]>),
    /// `TYPE name`: `string` for a sequence.
    Type(&'a [u8]),
    /// `KEYS pattern`: all matching names.
    Keys(&'a [u8]),
    /// `SCAN cursor [MATCH pattern] [COUNT n] [TYPE kind]`: matching names, a page at a time.
    Scan(Scan<'a>),
    /// `DBSIZE`: how many sequences there are.
    DbSize,
    /// `PING [text]`.
    Ping(Option<&'a [u8]>),
    /// `ECHO text`.
    Echo(&'a [u8]),
    /// `HELLO [version [AUTH user password] [SETNAME name]]`.
    Hello(Hello<'a>),
    /// `AUTH ...`: there are no passwords.
    Auth,
    /// `CLIENT subcommand ...`.
    Client(Vec<&'a [u8]>),
    /// `COMMAND [subcommand ...]`.
    Command(Vec<&'a [u8]>),
    /// `CONFIG GET pattern ...`.
    ConfigGet(Vec<&'a [u8]>),
    /// `INFO [section ...]`.
    Info(Vec<&'a [u8]>),
    /// `SELECT number`.
    Select(Option<i64>),
    /// `RESET`: as if newly connected.
    Reset,
    /// `QUIT`.
    Quit,
    /// `MULTI`: gathers commands until `EXEC`.
    Multi,
    /// `EXEC`: carries out what was gathered.
    Exec,
    /// `DISCARD`: forgets what was gathered.
    Discard,
}

/// The arguments of `SCAN`.
#[derive(Debug, PartialEq, Eq)]
pub struct Scan<'a> {
    /// How many names have been seen before.
    pub cursor: u64,
    /// What the names must match; all do if there is none.
    pub pattern: Option<&'a [u8]>,
    /// About how many names to look at.
    pub count: usize,
    /// Whether only values of another type than sequences are asked for.
    pub other_type: bool,
}

/// The arguments of `HELLO`.
#[derive(Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// The version of the protocol to go on with: 2 or 3.
    pub version: Option<i64>,
    /// A user and password were given.
    pub auth: bool,
    /// The name that the client gives itself.
    pub name: Option<&'a [u8]>,
}

/// A command that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError {
    /// What it means for the client.
    pub kind: ErrorKind,
    /// What is wrong, and the way out.
    pub message: String,
}

impl CommandError {
    fn invalid(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Invalid, message: message.into() }
    }

    fn syntax() -> Self {
        Self::invalid("syntax error")
    }
}

/// What `COMMAND` tells of a command.
#[derive(Debug)]
pub struct Spec {
    /// Its name, in lower case.
    pub name: &'static str,
    /// How many arguments it takes, its name included; if negative, at least that many.
    pub arity: i64,
    /// What kind of command it is, in the words of Redis.
    pub flags: &'static [&'static str],
    /// First key, last key, and step between keys; 0 for none.
    pub keys: (i64, i64, i64),
    verb: Verb,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Incr,
    IncrBy,
    Next,
    Decode,
    Get,
    Set,
    Exists,
    Type,
    Keys,
    Scan,
    DbSize,
    Ping,
    Echo,
    Hello,
    Auth,
    Client,
    Command,
    Config,
    Info,
    Select,
    Reset,
    Quit,
    Multi,
    Exec,
    Discard,
}

const fn spec(
    name: &'static str,
    arity: i64,
    flags: &'static [&'static str],
    last_key: i64,
    verb: Verb,
) -> Spec {
    let keys = if last_key == 0 { (0, 0, 0) } else { (1, last_key, 1) };
    Spec { name, arity, flags, keys, verb }
}

const WRITE: &[&str] = &["write", "denyoom", "fast"];
const READ: &[&str] = &["readonly", "fast"];
const PLAIN: &[&str] = &["loading", "stale", "fast"];

/// Every command that is carried out, the most frequent first.
pub const SPECS: [Spec; 25] = [
    spec("incr", 2, WRITE, 1, Verb::Incr),
    spec("incrby", 3, WRITE, 1, Verb::IncrBy),
    spec("next", -2, WRITE, 1, Verb::Next),
    spec("get", 2, READ, 1, Verb::Get),
    spec("set", -3, WRITE, 1, Verb::Set),
    spec("decode", -2, PLAIN, 0, Verb::Decode),
    spec("ping", -1, PLAIN, 0, Verb::Ping),
    spec("echo", 2, PLAIN, 0, Verb::Echo),
    spec("exists", -2, READ, -1, Verb::Exists),
    spec("type", 2, READ, 1, Verb::Type),
    spec("keys", 2, &["readonly"], 0, Verb::Keys),
    spec("scan", -2, &["readonly"], 0, Verb::Scan),
    spec("dbsize", 1, READ, 0, Verb::DbSize),
    spec("hello", -1, PLAIN, 0, Verb::Hello),
    spec("auth", -2, PLAIN, 0, Verb::Auth),
    spec("client", -2, PLAIN, 0, Verb::Client),
    spec("command", -1, PLAIN, 0, Verb::Command),
    spec("config", -2, &["admin", "loading", "stale"], 0, Verb::Config),
    spec("info", -1, &["loading", "stale"], 0, Verb::Info),
    spec("select", 2, PLAIN, 0, Verb::Select),
    spec("reset", 1, PLAIN, 0, Verb::Reset),
    spec("quit", -1, PLAIN, 0, Verb::Quit),
    spec("multi", 1, PLAIN, 0, Verb::Multi),
    spec("exec", 1, PLAIN, 0, Verb::Exec),
    spec("discard", 1, PLAIN, 0, Verb::Discard),
];

/// Commands that would lower, erase or fake a sequence.
const FORBIDDEN: [&str; 35] = [
    "append",
    "copy",
    "decr",
    "decrby",
    "del",
    "expire",
    "expireat",
    "flushall",
    "flushdb",
    "getdel",
    "getex",
    "getset",
    "incrbyfloat",
    "migrate",
    "move",
    "mset",
    "msetnx",
    "persist",
    "pexpire",
    "pexpireat",
    "psetex",
    "rename",
    "renamenx",
    "replicaof",
    "restore",
    "setbit",
    "setex",
    "setnx",
    "setrange",
    "shutdown",
    "slaveof",
    "swapdb",
    "unlink",
    "eval",
    "evalsha",
];

/// Reads the command that `args` of `frame` spell; `None` if there are no arguments at all.
///
/// # Errors
/// [`CommandError`] for an unknown or forbidden command, or wrong arguments.
pub fn parse<'a>(frame: &'a [u8], args: &'a Args) -> Option<Result<Command<'a>, CommandError>> {
    let name = args.get(frame, 0)?;
    let Some(spec) = SPECS.iter().find(|spec| name.eq_ignore_ascii_case(spec.name.as_bytes()))
    else {
        return Some(Err(not_known(name, frame, args)));
    };
    let count = args.len() as i64;
    if count != spec.arity && (spec.arity >= 0 || count < -spec.arity) {
        let message = format!("wrong number of arguments for '{}' command", spec.name);
        return Some(Err(CommandError::invalid(message)));
    }
    let rest: Vec<&[u8]> = args.iter(frame).skip(1).collect();
    Some(parse_arguments(spec.verb, rest))
}

/// Whether the arguments spell `INCR name`, found without reading more than that needs.
pub fn is_incr<'a>(frame: &'a [u8], args: &'a Args) -> Option<&'a [u8]> {
    if args.len() == 2 && args.get(frame, 0)?.eq_ignore_ascii_case(b"incr") {
        args.get(frame, 1)
    } else {
        None
    }
}

fn not_known(name: &[u8], frame: &[u8], args: &Args) -> CommandError {
    if FORBIDDEN.iter().any(|word| name.eq_ignore_ascii_case(word.as_bytes())) {
        let message = format!(
            "{} is refused: a sequence only moves forward and is never erased, since an ID could \
             come twice",
            name.escape_ascii().to_string().to_uppercase()
        );
        return CommandError { kind: ErrorKind::Forbidden, message };
    }
    let shown = |text: &[u8]| text[..text.len().min(128)].escape_ascii().to_string();
    let mut message = format!("unknown command '{}', with args beginning with: ", shown(name));
    for arg in args.iter(frame).skip(1).take(4) {
        message.push_str(&format!("'{}' ", shown(arg)));
    }
    CommandError::invalid(message)
}

fn parse_arguments(verb: Verb, rest: Vec<&[u8]>) -> Result<Command<'_>, CommandError> {
    Ok(match (verb, rest.as_slice()) {
        (Verb::Incr, &[name]) => Command::Incr(name),
        (Verb::IncrBy, &[name, n]) => Command::IncrBy(name, count(n)?),
        (Verb::Next, &[name]) => Command::Next(name, Count::ONE),
        (Verb::Next, &[name, word, n]) if word.eq_ignore_ascii_case(b"count") => {
            Command::Next(name, count(n)?)
        }
        (Verb::Decode, &[id]) => Command::Decode { id, layout: None, sequence: None },
        (Verb::Decode, &[id, word, layout]) if word.eq_ignore_ascii_case(b"layout") => {
            Command::Decode { id, layout: Some(layout), sequence: None }
        }
        (Verb::Decode, &[id, word, name]) if word.eq_ignore_ascii_case(b"sequence") => {
            Command::Decode { id, layout: None, sequence: Some(name) }
        }
        (Verb::Get, &[name]) => Command::Get(name),
        (Verb::Set, &[name, to]) => Command::Set(name, raise_to(to)?),
        (Verb::Set, _) => {
            return Err(CommandError::invalid(
                "SET takes a name and a number and no options: it raises a sequence",
            ));
        }
        (Verb::Exists, _) => Command::Exists(rest),
        (Verb::Type, &[name]) => Command::Type(name),
        (Verb::Keys, &[pattern]) => Command::Keys(pattern),
        (Verb::Scan, &[cursor, ref options @ ..]) => Command::Scan(scan(cursor, options)?),
        (Verb::DbSize, _) => Command::DbSize,
        (Verb::Ping, &[]) => Command::Ping(None),
        (Verb::Ping, &[text]) => Command::Ping(Some(text)),
        (Verb::Ping, _) => {
            return Err(CommandError::invalid("wrong number of arguments for 'ping' command"));
        }
        (Verb::Echo, &[text]) => Command::Echo(text),
        (Verb::Hello, options) => Command::Hello(hello(options)?),
        (Verb::Auth, _) => Command::Auth,
        (Verb::Client, _) => Command::Client(rest),
        (Verb::Command, _) => Command::Command(rest),
        (Verb::Config, &[word, ref patterns @ ..]) if word.eq_ignore_ascii_case(b"get") => {
            Command::ConfigGet(patterns.to_vec())
        }
        (Verb::Config, _) => {
            return Err(CommandError {
                kind: ErrorKind::Forbidden,
                message: "only CONFIG GET is answered: settings are given when the server starts"
                    .to_owned(),
            });
        }
        (Verb::Info, _) => Command::Info(rest),
        (Verb::Select, &[number]) => Command::Select(parse_integer(number)),
        (Verb::Reset, _) => Command::Reset,
        (Verb::Quit, _) => Command::Quit,
        (Verb::Multi, _) => Command::Multi,
        (Verb::Exec, _) => Command::Exec,
        (Verb::Discard, _) => Command::Discard,
        _ => return Err(CommandError::syntax()),
    })
}

fn count(text: &[u8]) -> Result<Count, CommandError> {
    Count::parse(text).map_err(|_| match parse_integer(text) {
        Some(n) if n > COUNT_MAX as i64 => CommandError {
            kind: ErrorKind::TooLarge,
            message: format!("one request may ask for at most {COUNT_MAX} IDs, not {n}"),
        },
        Some(n) => CommandError::invalid(format!(
            "a sequence only moves forward: ask for 1 to {COUNT_MAX} IDs, not {n}"
        )),
        None => CommandError::invalid("value is not an integer or out of range"),
    })
}

fn raise_to(text: &[u8]) -> Result<u64, CommandError> {
    let to = parse_integer(text).and_then(|n| u64::try_from(n).ok());
    to.ok_or_else(|| {
        CommandError::invalid("value is not an integer or out of range; SET raises a sequence")
    })
}

fn scan<'a>(cursor: &[u8], options: &[&'a [u8]]) -> Result<Scan<'a>, CommandError> {
    let cursor = std::str::from_utf8(cursor).ok().and_then(|c| c.parse().ok());
    let cursor = cursor.ok_or_else(|| CommandError::invalid("invalid cursor"))?;
    let mut scan = Scan { cursor, pattern: None, count: 10, other_type: false };
    for option in options.chunks(2) {
        let &[word, value] = option else {
            return Err(CommandError::syntax());
        };
        match word.to_ascii_lowercase().as_slice() {
            b"match" => scan.pattern = Some(value),
            b"count" => {
                let count = parse_integer(value).and_then(|n| usize::try_from(n).ok());
                scan.count = count.filter(|n| *n > 0).ok_or_else(CommandError::syntax)?;
            }
            b"type" => scan.other_type = !value.eq_ignore_ascii_case(b"string"),
            _ => return Err(CommandError::syntax()),
        }
    }
    Ok(scan)
}

fn hello<'a>(options: &[&'a [u8]]) -> Result<Hello<'a>, CommandError> {
    let mut hello = Hello { version: None, auth: false, name: None };
    let Some((version, mut rest)) = options.split_first() else {
        return Ok(hello);
    };
    let version = parse_integer(version).ok_or_else(|| {
        CommandError::invalid("Protocol version is not an integer or out of range")
    })?;
    hello.version = Some(version);
    while let Some((word, values)) = rest.split_first() {
        rest = match (word.to_ascii_lowercase().as_slice(), values) {
            (b"auth", [_, _, rest @ ..]) => {
                hello.auth = true;
                rest
            }
            (b"setname", [name, rest @ ..]) => {
                hello.name = Some(name);
                rest
            }
            _ => return Err(CommandError::syntax()),
        };
    }
    Ok(hello)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::frame;

    fn kind_of(line: &str) -> Result<(), (ErrorKind, String)> {
        let frame = format!("{line}\r\n").into_bytes();
        let mut args = Args::default();
        frame::parse(&frame, &mut args).unwrap().unwrap();
        let command = parse(&frame, &args).unwrap();
        command.map(drop).map_err(|error| (error.kind, error.message))
    }

    fn check(line: &str, expected: Command<'_>) {
        let frame = format!("{line}\r\n").into_bytes();
        let mut args = Args::default();
        frame::parse(&frame, &mut args).unwrap().unwrap();
        assert_eq!(parse(&frame, &args).unwrap(), Ok(expected), "{line}");
    }

    #[test]
    fn commands_are_read_in_any_case() {
        let ten = Count::new(10).unwrap();
        check("incr notes", Command::Incr(b"notes"));
        check("InCrBy notes 10", Command::IncrBy(b"notes", ten));
        check("NEXT notes", Command::Next(b"notes", Count::ONE));
        check("next notes count 10", Command::Next(b"notes", ten));
        check("SET notes 5000", Command::Set(b"notes", 5000));
        check("select 0", Command::Select(Some(0)));
        let scan = Scan { cursor: 7, pattern: Some(b"a*"), count: 5, other_type: false };
        check("SCAN 7 MATCH a* COUNT 5 TYPE string", Command::Scan(scan));
        let hello = Hello { version: Some(3), auth: false, name: Some(b"me") };
        check("HELLO 3 SETNAME me", Command::Hello(hello));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, kind, part) in [
            ("FOO a b", ErrorKind::Invalid, "unknown command 'FOO'"),
            ("incr", ErrorKind::Invalid, "wrong number of arguments for 'incr'"),
            ("incr a b", ErrorKind::Invalid, "wrong number of arguments for 'incr'"),
            ("incrby a 0", ErrorKind::Invalid, "only moves forward"),
            ("incrby a -1", ErrorKind::Invalid, "only moves forward"),
            ("incrby a x", ErrorKind::Invalid, "not an integer"),
            ("incrby a 1000001", ErrorKind::TooLarge, "at most 1000000"),
            ("incrby a 1000000000000000000000000000000", ErrorKind::Invalid, "out of range"),
            ("next a count", ErrorKind::Invalid, "syntax"),
            ("set a -5", ErrorKind::Invalid, "not an integer or out of range"),
            ("set a 5 NX", ErrorKind::Invalid, "no options"),
            ("del a", ErrorKind::Forbidden, "DEL is refused"),
            ("flushall", ErrorKind::Forbidden, "FLUSHALL is refused"),
            ("config set a b", ErrorKind::Forbidden, "only CONFIG GET"),
            ("scan x", ErrorKind::Invalid, "invalid cursor"),
            ("scan 0 count 0", ErrorKind::Invalid, "syntax"),
            ("hello x", ErrorKind::Invalid, "Protocol version"),
        ] {
            let (seen, message) = kind_of(line).unwrap_err();
            assert_eq!(seen, kind, "{line}");
            assert!(message.contains(part), "{line}: {message}");
        }
    }
}
