//! The types of settings: how each is read, and what it looks like in a TOML file.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ticketd_core::definition::BlockLen;
use ticketd_core::limits::{BLOCK_LEN_MAX, SERVER_LEASE_MAX_US};
use tracing_subscriber::EnvFilter;

/// The longest time that a request may be told to wait.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// The most connections that can be asked for: what a kernel can be made to carry.
const CONNECTIONS_MAX: usize = 1_000_000;

/// The longest time that a clock may be off by a setting.
const CLOCK_SPAN_MAX: Duration = Duration::from_secs(100 * 31_557_600);

/// The most worker IDs that one server leases of a sequence: each is a generator in memory.
const WORKERS_MAX: u32 = 1024;

/// What a value looks like in a TOML file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A string.
    Text,
    /// An integer.
    Number,
    /// A string or an integer.
    TextOrNumber,
    /// A boolean.
    Switch,
}

impl Form {
    /// The form in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Number => "a whole number",
            Self::TextOrNumber => "a string or a whole number",
            Self::Switch => "true or false",
        }
    }
}

/// A type of setting.
pub trait Value: Sized {
    /// What it looks like in a TOML file.
    const FORM: Form;

    /// Reads it as it stands in a flag or in the environment; the error says what is expected.
    fn read(text: &str) -> Result<Self, String>;
}

impl Value for PathBuf {
    const FORM: Form = Form::Text;

    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("expected a directory".to_owned()) } else { Ok(Self::from(text)) }
    }
}

/// The URL of a store, not yet understood; `None` when it is left to the data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSetting(pub Option<String>);

impl Value for StoreSetting {
    const FORM: Form = Form::Text;

    fn read(text: &str) -> Result<Self, String> {
        Ok(Self((!text.is_empty()).then(|| text.to_owned())))
    }
}

impl Value for SocketAddr {
    const FORM: Form = Form::Text;

    fn read(text: &str) -> Result<Self, String> {
        let port = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        if let Some(port) = port {
            return Ok(Self::from((Ipv4Addr::LOCALHOST, port)));
        }
        text.parse().map_err(|_| "expected IP:PORT, such as 127.0.0.1:7117 or [::1]:0".to_owned())
    }
}

impl Value for bool {
    const FORM: Form = Form::Switch;

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err("expected true or false".to_owned()),
        }
    }
}

impl Value for BlockLen {
    const FORM: Form = Form::TextOrNumber;

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error| format!("{error}"))
    }
}

impl Value for u64 {
    const FORM: Form = Form::Number;

    fn read(text: &str) -> Result<Self, String> {
        let expected = || format!("expected a whole number from 1 to {BLOCK_LEN_MAX}");
        let len = text.parse().map_err(|_| expected())?;
        if (1..=BLOCK_LEN_MAX).contains(&len) { Ok(len) } else { Err(expected()) }
    }
}

impl Value for usize {
    const FORM: Form = Form::Number;

    fn read(text: &str) -> Result<Self, String> {
        let expected = || format!("expected a whole number from 1 to {CONNECTIONS_MAX}");
        let count = text.parse().map_err(|_| expected())?;
        if (1..=CONNECTIONS_MAX).contains(&count) { Ok(count) } else { Err(expected()) }
    }
}

impl Value for Duration {
    const FORM: Form = Form::Text;

    fn read(text: &str) -> Result<Self, String> {
        let expected = || "expected a time up to 1h with its unit, such as 5s or 250ms".to_owned();
        let time = humantime::parse_duration(text).map_err(|_| expected())?;
        if time.is_zero() || time > TIMEOUT_MAX { Err(expected()) } else { Ok(time) }
    }
}

/// How far a clock may be off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockSpan(pub Duration);

impl Value for ClockSpan {
    const FORM: Form = Form::Text;

    fn read(text: &str) -> Result<Self, String> {
        let time = humantime::parse_duration(text).ok().filter(|time| *time <= CLOCK_SPAN_MAX);
        let time = time.ok_or("expected a time up to 100 years with its unit, such as 1s or 30d");
        Ok(Self(time?))
    }
}

/// The shortest lease: several round trips to an engine that is busy.
const LEASE_MIN: Duration = Duration::from_millis(500);

/// The longest lease: for so long nobody takes over from a server that died.
const LEASE_MAX: Duration = Duration::from_micros(SERVER_LEASE_MAX_US);

/// For how long a server may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseSpan(pub Duration);

impl Value for LeaseSpan {
    const FORM: Form = Form::Text;

    fn read(text: &str) -> Result<Self, String> {
        let time = humantime::parse_duration(text).ok();
        let time = time.filter(|time| (LEASE_MIN..=LEASE_MAX).contains(time));
        Ok(Self(time.ok_or("expected a time from 500ms to 60s with its unit, such as 3s")?))
    }
}

/// Where other servers reach this one; `None` for the address that it listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertise(pub Option<String>);

impl Value for Advertise {
    const FORM: Form = Form::Text;

    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let expected = || "expected HOST:PORT, such as ids-1.example.org:7118".to_owned();
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte);
        let is_host = !host.is_empty() && host.len() <= 253 && host.bytes().all(good);
        match port.parse::<u16>() {
            Ok(port) if port > 0 && is_host => Ok(Self(Some(text.to_owned()))),
            _ => Err(expected()),
        }
    }
}

/// How many worker IDs to lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerCount(pub u32);

impl Value for WorkerCount {
    const FORM: Form = Form::Number;

    fn read(text: &str) -> Result<Self, String> {
        let count = text.parse().ok().filter(|count| (1..=WORKERS_MAX).contains(count));
        let expected = || format!("expected a whole number from 1 to {WORKERS_MAX}");
        Ok(Self(count.ok_or_else(expected)?))
    }
}

/// The worker ID to prefer, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreferredWorker(pub Option<u32>);

impl Value for PreferredWorker {
    const FORM: Form = Form::TextOrNumber;

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "any" => Ok(Self(None)),
            number => match number.parse() {
                Ok(id) => Ok(Self(Some(id))),
                Err(_) => Err("expected any, or a whole number from 0 on".to_owned()),
            },
        }
    }
}

/// What to log.
#[derive(Debug, Clone)]
pub struct LogFilter(pub String);

impl Value for LogFilter {
    const FORM: Form = Form::Text;

    fn read(text: &str) -> Result<Self, String> {
        match EnvFilter::try_new(text) {
            Ok(_) if !text.is_empty() => Ok(Self(text.to_owned())),
            _ => Err("expected a level such as info, or a filter such as \
                      info,ticketd_server=debug"
                .to_owned()),
        }
    }
}

/// How to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: an object a line.
    Json,
}

impl Value for LogFormat {
    const FORM: Form = Form::Text;

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("expected text or json".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_numbers_or_localhost() {
        assert_eq!(SocketAddr::read("localhost:0").unwrap().to_string(), "127.0.0.1:0");
        assert_eq!(SocketAddr::read("[::1]:7117").unwrap().to_string(), "[::1]:7117");
        for bad in ["", "7117", ":7117", "localhost", "localhost:x", "example.org:1", "1.2.3.4"] {
            assert!(SocketAddr::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_are_kept_at_both_ends() {
        assert_eq!(u64::read("10000000"), Ok(BLOCK_LEN_MAX));
        assert!(u64::read("0").is_err() && u64::read("10000001").is_err());
        assert!(usize::read("0").is_err() && usize::read("-1").is_err());
        assert_eq!(Duration::read("250ms"), Ok(Duration::from_millis(250)));
        assert!(Duration::read("0s").is_err() && Duration::read("5").is_err());
        assert!(Duration::read("2h").is_err());
    }

    #[test]
    fn an_advertised_address_has_a_host_and_a_port() {
        for good in ["a:1", "ids-1.example.org:7118", "[::1]:7118", "10.0.0.1:65535"] {
            assert_eq!(Advertise::read(good), Ok(Advertise(Some(good.to_owned()))));
        }
        for bad in ["a", ":1", "a:0", "a:65536", "http://a:1", "a b:1", "a:1/x"] {
            assert!(Advertise::read(bad).is_err(), "{bad}");
        }
        assert!(LeaseSpan::read("499ms").is_err() && LeaseSpan::read("61s").is_err());
    }

    #[test]
    fn log_filters_are_checked_before_the_start() {
        assert!(LogFilter::read("info,ticketd_server=debug").is_ok());
        assert!(LogFilter::read("").is_err() && LogFilter::read("a=b=c").is_err());
    }
}
