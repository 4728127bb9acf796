//! Where an etcd is and how to speak to it, as one line.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use ticketd_core::failure::FailureKind;

use crate::error::StoreError;

/// How such a URL is written.
const FORM: &str = "write etcd://[USER:PASSWORD@]HOST[:2379][,HOST...][/PREFIX]\
                    [?tls=on&ca=FILE&cert=FILE&key=FILE&timeout=2s]";

const PORT: &str = "2379";
const PREFIX: &str = "ticketd";
const PREFIX_LEN_MAX: usize = 64;
const TIMEOUT: Duration = Duration::from_secs(2);
/// Shorter than one exchange between continents, or longer than anybody waits, is a mistake.
const TIMEOUT_MIN: Duration = Duration::from_millis(100);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// `etcd://[user:password@]host[:2379],...[/prefix][?option=value&...]`, taken apart. What it shows
/// of itself is without the password.
#[derive(Clone, PartialEq, Eq)]
pub struct EtcdUrl {
    /// The members to speak to: `host:port` each, at least one.
    pub members: Vec<String>,
    /// Who to be, if etcd asks for it.
    pub credentials: Option<Credentials>,
    /// What all keys start with, before a `/`: lets clusters of ticketd share an etcd.
    pub prefix: String,
    /// TLS, if it is on.
    pub tls: Option<Tls>,
    /// How long a call may take.
    pub timeout: Duration,
}

/// A user of etcd and its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// Never shown.
    pub password: String,
}

/// Files in PEM form; the system's certificate authorities count if `ca` is not given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// Certificates of the authorities that vouch for the members.
    pub ca: Option<PathBuf>,
    /// The certificate and the key to show to the members.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl FromStr for EtcdUrl {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let rest = text.strip_prefix("etcd://").ok_or_else(|| bad("it starts with etcd://"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, PREFIX));
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (Some(Credentials::from_text(credentials)?), hosts),
            None => (None, authority),
        };
        let members = hosts.split(',').map(member).collect::<Result<_, _>>()?;
        let options = Options::from_query(query)?;
        Ok(Self {
            members,
            credentials,
            prefix: checked_prefix(prefix)?,
            timeout: options.timeout.unwrap_or(TIMEOUT),
            tls: options.tls()?,
        })
    }
}

impl fmt::Display for EtcdUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "etcd://{}/{}", self.members.join(","), self.prefix)
    }
}

impl fmt::Debug for EtcdUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.credentials.as_ref().map(|credentials| &credentials.user);
        f.debug_struct("EtcdUrl")
            .field("members", &self.members)
            .field("user", &user)
            .field("prefix", &self.prefix)
            .field("tls", &self.tls)
            .field("timeout", &self.timeout)
            .finish()
    }
}

impl Credentials {
    fn from_text(text: &str) -> Result<Self, StoreError> {
        let form = "user and password are parted by a colon, and @ : / , ? # % in them are written \
                    as %40 and so on";
        let (user, password) = text.split_once(':').ok_or_else(|| bad(form))?;
        let decoded = |text| percent_decode_str(text).decode_utf8().ok();
        match (decoded(user), decoded(password)) {
            (Some(user), Some(password)) if !user.is_empty() => {
                Ok(Self { user: user.into_owned(), password: password.into_owned() })
            }
            _ => Err(bad(form)),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What stands behind the question mark.
#[derive(Default)]
struct Options {
    tls: Option<bool>,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    timeout: Option<Duration>,
}

impl Options {
    fn from_query(query: &str) -> Result<Self, StoreError> {
        let mut options = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| bad("an option has a value"))?;
            let value = percent_decode_str(value).decode_utf8();
            options.set(name, &value.map_err(|_| bad("an option is UTF-8"))?)?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        let file = || Some(PathBuf::from(value)).filter(|path| !path.as_os_str().is_empty());
        match (name, value) {
            ("tls", "on") => self.tls = Some(true),
            ("tls", "off") => self.tls = Some(false),
            ("tls", _) => return Err(bad("tls is on or off")),
            ("ca", _) => self.ca = file(),
            ("cert", _) => self.cert = file(),
            ("key", _) => self.key = file(),
            ("timeout", _) => self.timeout = Some(timeout(value)?),
            _ => return Err(bad("an option is tls, ca, cert, key or timeout")),
        }
        Ok(())
    }

    /// Files of TLS turn it on.
    fn tls(self) -> Result<Option<Tls>, StoreError> {
        let identity = match (self.cert, self.key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err(bad("cert and key come together")),
        };
        let tls = Tls { ca: self.ca, identity };
        match self.tls {
            Some(false) if tls != Tls::default() => Err(bad("ca, cert and key need tls=on")),
            Some(false) => Ok(None),
            None if tls == Tls::default() => Ok(None),
            _ => Ok(Some(tls)),
        }
    }
}

fn timeout(value: &str) -> Result<Duration, StoreError> {
    let parsed = humantime::parse_duration(value).ok();
    let parsed = parsed.filter(|timeout| (TIMEOUT_MIN..=TIMEOUT_MAX).contains(timeout));
    parsed.ok_or_else(|| bad("timeout is between 100ms and 60s"))
}

/// `host:port` of a host that may have none.
fn member(text: &str) -> Result<String, StoreError> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    // The colons of an IPv6 address stand in brackets.
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text, PORT),
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(good),
    };
    if !is_host || !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(bad("a member is HOST or HOST:PORT, members are parted by commas"));
    }
    Ok(format!("{host}:{port}"))
}

fn checked_prefix(text: &str) -> Result<String, StoreError> {
    // Without a slash: no prefix lies within another one.
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !(1..=PREFIX_LEN_MAX).contains(&text.len()) || !text.bytes().all(good) {
        return Err(bad("the prefix is 1 to 64 of A-Z a-z 0-9 . _ -"));
    }
    Ok(text.to_owned())
}

/// The URL itself is not repeated: it may hold a password.
fn bad(why: &str) -> StoreError {
    StoreError::new(FailureKind::Invalid, format!("bad URL of etcd: {why}; {FORM}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> EtcdUrl {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let short = url("etcd://db");
        assert_eq!(short.members, ["db:2379"]);
        assert_eq!((short.prefix.as_str(), short.timeout), ("ticketd", Duration::from_secs(2)));
        assert_eq!((short.credentials, short.tls), (None, None));
    }

    #[test]
    fn everything_can_be_given() {
        let long = url("etcd://a%40b:p%3Aw%2Fx:y@h1:1,[::1],[::2]:3,h_4.x/one-2.x_Y\
             ?ca=%2Fa%20b&cert=c&key=k&timeout=300ms&tls=on");
        assert_eq!(long.members, ["h1:1", "[::1]:2379", "[::2]:3", "h_4.x:2379"]);
        let credentials = long.credentials.clone().unwrap();
        assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("a@b", "p:w/x:y"));
        assert_eq!((long.prefix.as_str(), long.timeout), ("one-2.x_Y", Duration::from_millis(300)));
        let tls = long.tls.clone().unwrap();
        assert_eq!(tls.ca, Some("/a b".into()));
        assert_eq!(tls.identity, Some(("c".into(), "k".into())));
        assert_eq!(long.to_string(), "etcd://h1:1,[::1]:2379,[::2]:3,h_4.x:2379/one-2.x_Y");
        for shown in [format!("{long:?}"), long.to_string(), format!("{credentials:?}")] {
            assert!(!shown.contains("p:w"), "{shown}");
        }
        assert_eq!(url("etcd://h?tls=on").tls, Some(Tls::default()));
        assert_eq!(url("etcd://h?tls=off").tls, None);
    }

    #[test]
    fn what_is_wrong_is_refused_without_repeating_it() {
        let wrong = [
            "http://h",
            "etcd://",
            "etcd:///p",
            "etcd://h,,i",
            "etcd://h:0",
            "etcd://h:x",
            "etcd://h:70000",
            "etcd://[::1",
            "etcd://[::1]x",
            "etcd://[x]",
            "etcd://h i",
            "etcd://user-secret@h",
            "etcd://:secret@h",
            "etcd://u:%ff-secret@h",
            "etcd://h/",
            "etcd://h/p/q",
            "etcd://h/p/",
            "etcd://h/p q",
            "etcd://h/p#q",
            "etcd://u:secret@h?time=1s",
            "etcd://h?timeout",
            "etcd://h?timeout=0s",
            "etcd://h?timeout=1h",
            "etcd://h?tls=yes",
            "etcd://h?cert=c",
            "etcd://h?tls=off&ca=c",
        ];
        for text in wrong.map(str::to_owned).into_iter().chain([format!("etcd://h/{:065}", 0)]) {
            let error = text.parse::<EtcdUrl>().expect_err(&text);
            assert_eq!(error.kind, FailureKind::Invalid);
            assert!(error.message.contains(FORM) && !error.message.contains("secret"), "{error}");
        }
    }
}
