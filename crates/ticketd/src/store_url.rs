//! The URL of a store: which one, and where.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use ticketd_store::{Embedded, Memory, Store};

use crate::failure::Failure;

/// What a URL may start with, for those who mistyped it.
const SCHEMES: &str = "embedded:DIR, memory:";

/// Schemes that are meant for later versions.
const LATER: [&str; 5] = ["etcd", "postgres", "postgresql", "mysql", "mariadb"];

/// A store of this version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A directory of this machine.
    Embedded(PathBuf),
    /// Nothing outlives the process.
    Memory,
}

impl StoreUrl {
    /// Understands a URL.
    ///
    /// # Errors
    /// Which stores there are.
    pub fn parse(url: &str) -> Result<Self, Failure> {
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(Failure::start(format!("'{url}' is no store URL; there are {SCHEMES}")));
        };
        match (scheme, rest) {
            ("embedded", "") => {
                Err(Failure::start("the store URL embedded: needs a directory: embedded:DIR"))
            }
            ("embedded", dir) => Ok(Self::Embedded(PathBuf::from(dir))),
            ("memory", "" | "//") => Ok(Self::Memory),
            ("memory", _) => Err(Failure::start(format!(
                "the store URL memory: stands alone, nothing follows it; not '{url}'"
            ))),
            // Not the whole URL: it may hold a password.
            (later, _) if LATER.contains(&later) => Err(Failure::start(format!(
                "the store {later}: is not in this version; there are {SCHEMES}"
            ))),
            (unknown, _) => Err(Failure::start(format!(
                "unknown store '{unknown}:' in the store URL; there are {SCHEMES}"
            ))),
        }
    }

    /// Opens the store.
    ///
    /// # Errors
    /// The directory is in use, cannot be written, holds something else, ...
    pub fn open(&self) -> Result<Arc<dyn Store>, Failure> {
        match self {
            Self::Memory => Ok(Arc::new(Memory::new())),
            Self::Embedded(dir) => match Embedded::open(dir) {
                Ok(store) => Ok(Arc::new(store)),
                Err(error) => Err(Failure::start(error.to_failure().message)),
            },
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(dir) => write!(f, "embedded:{}", dir.display()),
            Self::Memory => f.write_str("memory:"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stores_of_this_version_read_as_they_are_written() {
        for url in ["embedded:./data", "embedded:/var/lib/ticketd", "memory:"] {
            assert_eq!(StoreUrl::parse(url).unwrap().to_string(), url);
        }
    }

    #[test]
    fn others_are_refused_with_what_there_is_and_without_a_password() {
        for url in ["", "data", "embedded:", "memory:x", "redis://h", "etcd://a,b", "MEMORY:"] {
            let failure = StoreUrl::parse(url).unwrap_err();
            assert_eq!(failure.code(), 3, "{url}");
        }
        let later = StoreUrl::parse("postgres://me:secret@h/db").unwrap_err().to_string();
        assert!(later.contains("not in this version") && !later.contains("secret"), "{later}");
        let unknown = StoreUrl::parse("redis://h").unwrap_err().to_string();
        assert!(unknown.contains("embedded:DIR, memory:"), "{unknown}");
    }
}
