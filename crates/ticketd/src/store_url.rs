//! The URL of a store: which one, and where.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ticketd_core::failure::FailureKind;
use ticketd_store::engine::{self, Engine};
use ticketd_store::transfer::Transfer;
use ticketd_store::{DirWitness, Embedded, EngineStore, Memory, Store, StoreError};

use crate::failure::Failure;

/// What a URL may start with, for those who mistyped it.
const SCHEMES: &str = "embedded:DIR, memory:, etcd://HOSTS, postgres://..., mysql://...";

/// Where blocks are reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A directory of this machine.
    Embedded(PathBuf),
    /// Nothing outlives the process.
    Memory,
    /// An engine that several servers share.
    Engine(EngineUrl),
}

/// The URL of an engine, which may hold a password and does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct EngineUrl(String);

impl EngineUrl {
    /// Connects to the engine, and warns of settings that weaken a promise.
    ///
    /// # Errors
    /// It is not there, refuses the credentials, would surely break a promise, ...
    pub async fn connect(&self) -> Result<Arc<dyn Engine>, StoreError> {
        let engine = engine::open(&self.0).await?;
        for weakness in engine.vet().await? {
            tracing::warn!("{}: {weakness}", engine.label());
        }
        Ok(engine)
    }
}

/// A store that is open.
pub enum Opened {
    /// This server alone uses it.
    Alone(Arc<dyn Store>),
    /// Several servers share it.
    Shared(Arc<EngineStore>),
}

impl Opened {
    /// The store.
    pub fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Alone(store) => Arc::clone(store),
            Self::Shared(store) => Arc::clone(store) as Arc<dyn Store>,
        }
    }
}

/// A store as one end of a copy.
#[derive(Clone)]
pub enum End {
    /// A data directory; open, it is locked.
    Embedded(Arc<Embedded>),
    /// An engine that several servers share.
    Engine(Arc<EngineStore>),
}

impl End {
    /// The store.
    pub fn store(&self) -> Arc<dyn Transfer> {
        match self {
            Self::Embedded(store) => Arc::clone(store) as Arc<dyn Transfer>,
            Self::Engine(store) => Arc::clone(store) as Arc<dyn Transfer>,
        }
    }

    /// Whether both are the same.
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Engine(one), Self::Engine(other)) => one.cluster() == other.cluster(),
            // Nobody can have the same data directory open twice.
            _ => false,
        }
    }
}

impl StoreUrl {
    /// Opens the store for a copy, whether or not it is closed, if there is one. Nothing is made.
    ///
    /// # Errors
    /// As [`StoreUrl::open`].
    pub async fn open_end(&self) -> Result<Option<End>, Failure> {
        let opened = match self {
            Self::Memory => return Err(nothing_stays()),
            Self::Embedded(dir) if !Embedded::is_there(dir) => Ok(None),
            Self::Embedded(dir) => {
                Embedded::open_closed(dir).map(|store| Some(End::Embedded(Arc::new(store))))
            }
            Self::Engine(url) => open_engine_end(url).await,
        };
        opened.map_err(|error| Failure::start(error.to_failure().message))
    }

    /// As [`StoreUrl::open_end`], of a store that is not there yet: makes it.
    ///
    /// # Errors
    /// As [`StoreUrl::open`].
    pub async fn make_end(&self) -> Result<End, Failure> {
        let made = match self {
            Self::Memory => return Err(nothing_stays()),
            Self::Embedded(dir) => {
                Embedded::open_closed(dir).map(|store| End::Embedded(Arc::new(store)))
            }
            Self::Engine(url) => make_engine_end(url).await,
        };
        made.map_err(|error| Failure::start(error.to_failure().message))
    }

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
            (scheme, rest) if engine::SCHEMES.contains(&scheme) && rest.starts_with("//") => {
                Ok(Self::Engine(EngineUrl(url.to_owned())))
            }
            // Not the whole URL: it may hold a password.
            (unknown, _) => Err(Failure::start(format!(
                "unknown store '{unknown}:' in the store URL; there are {SCHEMES}"
            ))),
        }
    }

    /// Opens the store; beside an engine, `data_dir` remembers what is seen of it.
    ///
    /// # Errors
    /// The directory is in use, cannot be written, holds something else, the engine is not there,
    /// refuses the credentials, is behind what was seen of it, ...
    pub async fn open(&self, data_dir: &Path) -> Result<Opened, Failure> {
        let opened = match self {
            Self::Memory => Ok(Opened::Alone(Arc::new(Memory::new()))),
            Self::Embedded(dir) => {
                Embedded::open(dir).map(|store| Opened::Alone(Arc::new(store) as Arc<dyn Store>))
            }
            Self::Engine(url) => open_engine(url, data_dir).await,
        };
        opened.map_err(|error| Failure::start(error.to_failure().message))
    }
}

async fn open_engine(url: &EngineUrl, data_dir: &Path) -> Result<Opened, StoreError> {
    let witness = Box::new(DirWitness::open(data_dir)?);
    let engine = url.connect().await?;
    let store = EngineStore::open_witnessed(engine, new_cluster()?, witness).await?;
    Ok(Opened::Shared(Arc::new(store)))
}

async fn open_engine_end(url: &EngineUrl) -> Result<Option<End>, StoreError> {
    if !engine::is_there(&url.0).await? {
        return Ok(None);
    }
    let store = EngineStore::open_closed(url.connect().await?).await?;
    Ok(store.map(|store| End::Engine(Arc::new(store))))
}

async fn make_engine_end(url: &EngineUrl) -> Result<End, StoreError> {
    let store = EngineStore::open(url.connect().await?, new_cluster()?).await?;
    Ok(End::Engine(Arc::new(store)))
}

fn nothing_stays() -> Failure {
    Failure::start(
        "memory: forgets all when its server ends: there is nothing to copy; give another",
    )
}

/// What to call a cluster that has no name yet.
///
/// # Errors
/// If the system gives no random numbers.
pub fn new_cluster() -> Result<u64, StoreError> {
    let mut id = [0; 8];
    getrandom::fill(&mut id).map_err(|error| {
        let message = format!("the system gives no random numbers: {error}");
        StoreError::new(FailureKind::Invalid, message)
    })?;
    Ok(u64::from_le_bytes(id))
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(dir) => write!(f, "embedded:{}", dir.display()),
            Self::Memory => f.write_str("memory:"),
            Self::Engine(url) => write!(f, "{url}"),
        }
    }
}

impl fmt::Display for EngineUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        // A password may be anywhere before the last @, whatever else is wrong with the URL.
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        let hidden = if place.len() < rest.len() { "***@" } else { "" };
        write!(f, "{scheme}://{hidden}{place}")
    }
}

impl fmt::Debug for EngineUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stores_of_this_version_read_as_they_are_written() {
        for url in ["embedded:./data", "embedded:/var/lib/ticketd", "memory:", "etcd://a,b:2379/x"]
        {
            assert_eq!(StoreUrl::parse(url).unwrap().to_string(), url);
        }
    }

    #[test]
    fn others_are_refused_with_what_there_is_and_without_a_password() {
        for url in ["", "data", "embedded:", "memory:x", "redis://h", "etcd:a", "MEMORY:"] {
            let failure = StoreUrl::parse(url).unwrap_err();
            assert_eq!(failure.code(), 3, "{url}");
        }
        for url in ["postgres://me:secret@h/db", "mysql://secret@h@h/db", "etcd://a:s@ecret@h,i"] {
            let parsed = StoreUrl::parse(url).unwrap();
            for shown in [parsed.to_string(), format!("{parsed:?}")] {
                assert!(shown.contains("***@h") && !shown.contains("ecret"), "{shown}");
            }
        }
        let unknown = StoreUrl::parse("redis://h").unwrap_err().to_string();
        assert!(unknown.contains("embedded:DIR, memory:, etcd:"), "{unknown}");
    }
}
