//! Where an SQL engine is, and how to talk to it: the URL that `--store` names it with.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ticketd_core::failure::FailureKind;

use crate::error::StoreError;

/// The time-out of a call unless the URL gives another, and what it may be.
const TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUTS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(60);

/// The table unless the URL gives another, and how long its name may be.
const TABLE: &str = "ticketd";
const TABLE_LEN_MAX: usize = 41;

/// What the URLs of one engine look like.
pub struct Form {
    /// What stands before `://`.
    pub schemes: &'static [&'static str],
    /// The port unless the URL gives another.
    pub port: u16,
    /// The options that choose the encryption and the authority.
    pub tls: &'static str,
    pub ca: &'static str,
    /// The values of the first of these options; the first value is the default.
    pub modes: &'static [(&'static str, Mode)],
    /// A whole URL, for messages.
    pub example: &'static str,
}

/// How a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Not at all.
    Off,
    /// If the engine can; whoever it is.
    Prefer,
    /// Always; whoever the engine is.
    Require,
    /// Always, with a certificate for this host from a known authority.
    Verify,
}

/// One host of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub name: String,
    pub port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

/// A URL taken apart. It holds a password, so it cannot be printed.
pub struct Address {
    pub scheme: &'static str,
    pub user: String,
    pub password: Option<String>,
    /// At least one.
    pub hosts: Vec<Host>,
    pub database: String,
    pub table: String,
    /// How long a call may take.
    pub timeout: Duration,
    pub mode: Mode,
    /// The file of the authority's certificate; given if the mode is [`Mode::Verify`].
    pub ca: Option<PathBuf>,
}

impl Address {
    /// Takes `url` apart.
    ///
    /// # Errors
    /// `Invalid`, with what is wrong and an example, but nothing of the URL itself: it may hold a
    /// password in an unexpected place.
    pub fn parse(form: &Form, url: &str) -> Result<Self, StoreError> {
        Self::try_parse(form, url).map_err(|what| {
            let message = format!("the URL of the store: {what}; it is like {}", form.example);
            StoreError::new(FailureKind::Invalid, message)
        })
    }

    fn try_parse(form: &Form, url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("it has no ://")?;
        let known = form.schemes.contains(&scheme);
        let scheme = if known { form.schemes[0] } else { return Err("another scheme".into()) };
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (rest, database) = rest.split_once('/').ok_or("it names no database")?;
        let (login, hosts) = rest.rsplit_once('@').ok_or("it names no user")?;
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(decoded(password)?)),
            None => (login, None),
        };
        let address = Self {
            scheme,
            user: decoded(user)?,
            password,
            hosts: hosts
                .split(',')
                .map(|host| Host::parse(form, host))
                .collect::<Result<_, _>>()?,
            database: decoded(database)?,
            table: TABLE.to_owned(),
            timeout: TIMEOUT,
            mode: form.modes[0].1,
            ca: None,
        };
        address.with_options(form, options)?.checked(form)
    }

    fn with_options(mut self, form: &Form, options: &str) -> Result<Self, String> {
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').ok_or("an option without a value")?;
            let value = decoded(value)?;
            match name {
                "table" => self.table = value,
                "timeout" => self.timeout = timeout(&value)?,
                _ if name == form.ca => self.ca = Some(PathBuf::from(value)),
                _ if name == form.tls => self.mode = form.mode(&value)?,
                _ => return Err(format!("its options are {}", form.options())),
            }
        }
        Ok(self)
    }

    fn checked(self, form: &Form) -> Result<Self, String> {
        if self.user.is_empty() {
            return Err("it names no user".into());
        }
        if self.database.is_empty() {
            return Err("it names no database".into());
        }
        if !is_table(&self.table) {
            let chars = "a-z, 0-9 and _, with a letter first";
            return Err(format!("table is 1 to {TABLE_LEN_MAX} of {chars}"));
        }
        if self.mode == Mode::Verify && self.ca.is_none() {
            // A file that is always there on Debian and its like.
            let all = "/etc/ssl/certs/ca-certificates.crt";
            return Err(format!("give {}=FILE, for public authorities {all}", form.ca));
        }
        if self.mode != Mode::Verify && self.ca.is_some() {
            let verify = form.name_of(Mode::Verify);
            return Err(format!("{} is used only with {}={verify}", form.ca, form.tls));
        }
        Ok(self)
    }

    /// A warning if the password may go over a network in the clear.
    pub fn may_be_overheard(&self) -> Option<String> {
        let is_open = matches!(self.mode, Mode::Off | Mode::Prefer) && self.password.is_some();
        let remote = self.hosts.iter().find(|host| is_open && !host.is_loopback())?;
        Some(format!(
            "without TLS the password and the IDs may be overheard: demand it in the URL of the \
             store, for {remote}"
        ))
    }

    /// What the engine is called in messages: without credentials.
    pub fn label(&self) -> String {
        let hosts: Vec<_> = self.hosts.iter().map(Host::to_string).collect();
        format!("{}://{}/{}?table={}", self.scheme, hosts.join(","), self.database, self.table)
    }
}

impl Form {
    fn mode(&self, value: &str) -> Result<Mode, String> {
        let found = self.modes.iter().find(|(name, _)| *name == value);
        let names: Vec<_> = self.modes.iter().map(|(name, _)| *name).collect();
        found.map(|(_, mode)| *mode).ok_or(format!("{} is {}", self.tls, names.join(", ")))
    }

    /// How `mode` is written.
    pub fn name_of(&self, mode: Mode) -> &'static str {
        self.modes.iter().find(|(_, m)| *m == mode).map_or("", |(name, _)| name)
    }

    fn options(&self) -> String {
        format!("table, timeout, {} and {}", self.tls, self.ca)
    }
}

impl Host {
    fn is_loopback(&self) -> bool {
        let address = self.name.parse::<std::net::IpAddr>();
        self.name == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    fn parse(form: &Form, text: &str) -> Result<Self, String> {
        let (name, port) = match text.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
            Some((name, "")) => (name, None),
            Some((name, rest)) => (name, Some(rest.strip_prefix(':').ok_or("not a host")?)),
            None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
        };
        let port = port.map_or(Ok(form.port), |port| port.parse().map_err(|_| "not a port"))?;
        if name.is_empty() || port == 0 {
            return Err("it names no host, or one without its name or port".into());
        }
        Ok(Self { name: name.to_owned(), port })
    }
}

fn is_table(name: &str) -> bool {
    name.len() <= TABLE_LEN_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn timeout(value: &str) -> Result<Duration, String> {
    let timeout = humantime::parse_duration(value).ok().filter(|t| TIMEOUTS.contains(t));
    timeout.ok_or("timeout is from 100ms to 60s".to_owned())
}

/// `text` with `%41` and its like replaced.
fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err("a % without two digits: write %25 for it".into());
        };
        bytes.push(u8::try_from(high * 16 + low).expect("two digits of 16"));
    }
    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    text.ok_or("what its percent signs stand for is no text".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Form = Form {
        schemes: &["sql", "sequel"],
        port: 77,
        tls: "tls",
        ca: "ca",
        modes: &[("off", Mode::Off), ("verify", Mode::Verify)],
        example: "sql://USER:PASSWORD@HOST/DATABASE",
    };

    fn parsed(url: &str) -> Address {
        Address::parse(&FORM, url).unwrap_or_else(|e| panic!("{url}: {e}"))
    }

    #[test]
    fn a_url_is_taken_apart() {
        let address = parsed("sequel://u%40x:p%3aw@[::1]:5,h2/d%2Fb?timeout=500ms&table=a_1");
        assert_eq!((address.user.as_str(), address.password.as_deref()), ("u@x", Some("p:w")));
        assert_eq!(address.hosts[0], Host { name: "::1".into(), port: 5 });
        assert_eq!(address.hosts[1], Host { name: "h2".into(), port: 77 });
        assert_eq!((address.database.as_str(), address.table.as_str()), ("d/b", "a_1"));
        assert_eq!((address.timeout, address.mode), (Duration::from_millis(500), Mode::Off));
        assert_eq!(address.label(), "sql://::1:5,h2:77/d/b?table=a_1");
        let address = parsed("sql://u@h/d?tls=verify&ca=/x%20y");
        assert_eq!((address.password, address.table.as_str()), (None, TABLE));
        assert_eq!((address.mode, address.ca), (Mode::Verify, Some("/x y".into())));
        // A password as people write it, with an @ in it.
        assert_eq!(parsed("sql://u:a@b@h/d").password.as_deref(), Some("a@b"));
    }

    #[test]
    fn a_password_that_may_be_overheard_is_mentioned() {
        for url in ["sql://u:p@127.0.0.1,localhost,[::1]/d", "sql://u@h/d"] {
            assert_eq!(parsed(url).may_be_overheard(), None, "{url}");
        }
        assert_eq!(parsed("sql://u:p@h/d?tls=verify&ca=x").may_be_overheard(), None);
        let warning = parsed("sql://u:secret@[::1],h2/d").may_be_overheard().unwrap();
        assert!(warning.ends_with("for h2:77") && !warning.contains("secret"), "{warning}");
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        let cases = [
            ("sql:h", "no ://"),
            ("other://u:secret@h/d", "another scheme"),
            ("sql://u:secret@h", "no database"),
            ("sql://u:secret@h/", "no database"),
            ("sql://h/d", "no user"),
            ("sql://:secret@h/d", "no user"),
            ("sql://u:secret@/d", "no host"),
            ("sql://u:secret@h:0/d", "no host"),
            ("sql://u:secret@h:secret/d", "not a port"),
            ("sql://u:secret@[::1]x/d", "not a host"),
            ("sql://u:secret%@h/d", "%25"),
            ("sql://u:secret%ff@h/d", "no text"),
            ("sql://u:secret%00@h/d", "no text"),
            ("sql://u:x?secret@h/d", "no database"),
            ("sql://u:x/y?secret@h/d", "no user"),
            ("sql://u:secret@h/d?secret=1", "its options are table, timeout, tls and ca"),
            ("sql://u:secret@h/d?secret", "without a value"),
            ("sql://u:secret@h/d?table=Secret", "a-z"),
            ("sql://u:secret@h/d?table=1a", "a-z"),
            ("sql://u:secret@h/d?table=", "a-z"),
            ("sql://u:secret@h/d?timeout=secret", "timeout is from"),
            ("sql://u:secret@h/d?timeout=1ms", "timeout is from"),
            ("sql://u:secret@h/d?tls=secret", "tls is off, verify"),
            ("sql://u:secret@h/d?tls=verify", "give ca=FILE"),
            ("sql://u:secret@h/d?ca=secret", "only with tls=verify"),
        ];
        for (url, says) in cases {
            let Err(error) = Address::parse(&FORM, url) else { panic!("{url} is taken") };
            let message = error.to_string();
            assert!(message.contains(says), "{url}: {message}");
            assert!(!message.to_lowercase().contains("secret"), "{url}: {message}");
            assert!(message.ends_with(FORM.example) && error.kind == FailureKind::Invalid);
        }
        let long = format!("sql://u@h/d?table={}", "a".repeat(42));
        assert!(Address::parse(&FORM, &long).is_err());
        assert_eq!(parsed(&long[..long.len() - 1]).table.len(), 41);
    }
}
