//! Servers announce themselves under a key of their own, and renew it: that is their lease.

use std::fmt;
use std::time::Duration;

use ticketd_core::cluster::ServerId;
use ticketd_core::failure::FailureKind;
use ticketd_core::limits::SERVER_LEASE_MAX_US;

use super::EngineStore;
use super::meta::Meta;
use crate::engine::{Change, Engine, Entry, Key, LIST_MAX, Outcome, Version};
use crate::error::StoreError;

const SERVERS: &str = "server/";

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Where other servers reach it: host and port of its HTTP.
    pub address: String,
    /// Its version, for people.
    pub version: String,
    /// The version of what servers say to each other.
    pub protocol: u32,
    /// The length of its lease in milliseconds: whoever sees it unchanged for so long may end it.
    pub ttl_ms: u64,
    /// How often it has renewed its lease.
    pub renewals: u64,
}

/// A server that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// Which.
    pub id: ServerId,
    /// Changes with each renewal.
    pub version: Version,
    /// What it says of itself.
    pub says: Announcement,
}

impl EngineStore {
    /// Announces `id`, or renews what it has announced as `version`. Returns the version from then
    /// on; `None` if somebody has ended it.
    ///
    /// # Errors
    /// `Invalid` if the store is closed to a server that comes; otherwise whatever the engine says. It
    /// may then have been renewed or not: ask again, with the version of old.
    pub async fn announce(
        &self,
        id: ServerId,
        version: Option<Version>,
        says: &Announcement,
    ) -> Result<Option<Version>, StoreError> {
        let key = server_key(id);
        let mut expected = version.unwrap_or(Version::ABSENT);
        // Twice: an attempt that was thought to have failed may have been applied after all.
        for _ in 0..2 {
            let change = Change {
                expect: vec![(key.clone(), expected)],
                put: vec![(key.clone(), says.to_string())],
                delete: Vec::new(),
            };
            if let Outcome::Applied(now) = self.engine.commit(&change).await? {
                if version.is_none() {
                    self.check_open_to(id).await?;
                }
                return Ok(Some(now));
            }
            match self.read_server(id).await? {
                Some(entry) => expected = entry.version,
                // Nobody but this server makes it, and it makes it once.
                None => return Ok(None),
            }
        }
        let message = format!("something else writes to the lease of this server: {key}");
        Err(StoreError::new(FailureKind::Conflict, message))
    }

    /// Whoever copies the store away closes it first and looks for servers then; a server
    /// announces itself first and looks at this then. So one of them sees the other.
    async fn check_open_to(&self, id: ServerId) -> Result<(), StoreError> {
        if let Err(closed) = Meta::read(self.engine()).await {
            self.leave(id).await?;
            return Err(closed);
        }
        Ok(())
    }

    /// All servers that are there.
    ///
    /// # Errors
    /// Whatever the engine says.
    pub async fn servers(&self) -> Result<Vec<Announced>, StoreError> {
        servers(self.engine.as_ref()).await
    }

    /// Ends the lease of `id`, if it is still of `version`. Returns whether it has ended.
    ///
    /// # Errors
    /// Whatever the engine says. It may then have ended or not.
    pub async fn end(&self, id: ServerId, version: Version) -> Result<bool, StoreError> {
        Ok(end(self.engine.as_ref(), id, version).await? || !self.is_there(id).await?)
    }

    /// Ends the lease of `id` in whatever version, by whom it belongs to.
    ///
    /// # Errors
    /// Whatever the engine says. It may then have ended or not.
    pub async fn leave(&self, id: ServerId) -> Result<(), StoreError> {
        // A renewal may have been on its way: then the version is another one when it has arrived.
        for _ in 0..2 {
            match self.read_server(id).await? {
                Some(entry) if !self.end(id, entry.version).await? => {}
                _ => return Ok(()),
            }
        }
        let message = format!("something else renews the lease of this server: {id}");
        Err(StoreError::new(FailureKind::Conflict, message))
    }

    /// Whether the lease of `id` stands.
    pub(super) async fn is_there(&self, id: ServerId) -> Result<bool, StoreError> {
        Ok(self.read_server(id).await?.is_some())
    }

    async fn read_server(&self, id: ServerId) -> Result<Option<Entry>, StoreError> {
        let keys = [server_key(id)];
        Ok(self.engine.read(&keys).await?.into_iter().next().flatten())
    }
}

/// Makes sure that no server uses `engine`, for work that must not be done beside one. Leases that
/// are not renewed for as long as they last are ended; that takes as long.
///
/// # Errors
/// `Invalid` if a server is there, or whatever the engine says.
pub async fn nobody_serves(engine: &dyn Engine) -> Result<(), StoreError> {
    let first = servers(engine).await?;
    let Some(longest) = first.iter().map(|server| server.says.ttl_ms).max() else { return Ok(()) };
    tokio::time::sleep(
        Duration::from_millis(longest).min(Duration::from_micros(SERVER_LEASE_MAX_US)),
    )
    .await;
    let second = servers(engine).await?;
    if let Some(alive) = second.iter().find(|server| !first.contains(server)) {
        let message = format!(
            "a server uses it: stop all of them first; at {}, of {}",
            alive.says.address,
            engine.label()
        );
        return Err(StoreError::new(FailureKind::Invalid, message));
    }
    for server in second {
        end(engine, server.id, server.version).await?;
    }
    Ok(())
}

async fn servers(engine: &dyn Engine) -> Result<Vec<Announced>, StoreError> {
    let entries = engine.list(SERVERS, None, LIST_MAX).await?;
    entries.iter().map(announced).collect()
}

/// Returns whether the lease was of `version`, and has ended.
async fn end(engine: &dyn Engine, id: ServerId, version: Version) -> Result<bool, StoreError> {
    let key = server_key(id);
    let change =
        Change { expect: vec![(key.clone(), version)], put: Vec::new(), delete: vec![key] };
    Ok(matches!(engine.commit(&change).await?, Outcome::Applied(_)))
}

fn server_key(id: ServerId) -> Key {
    Key::new(format!("{SERVERS}{id}"))
}

fn announced(entry: &Entry) -> Result<Announced, StoreError> {
    let id = entry.key.as_str().strip_prefix(SERVERS).and_then(|text| text.parse().ok());
    match (id, Announcement::parse(&entry.value)) {
        (Some(id), Some(says)) => Ok(Announced { id, version: entry.version, says }),
        _ => {
            let message = format!("ticketd has not written what is there: look at {}", entry.key);
            Err(StoreError::new(FailureKind::Corrupt, message))
        }
    }
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, version, protocol, ttl_ms, renewals } = self;
        write!(
            f,
            "renewals={renewals} ttl_ms={ttl_ms} protocol={protocol} address={address} \
             version={version}"
        )
    }
}

impl Announcement {
    /// Reads what `Display` wrote. Fields of later versions may follow.
    fn parse(text: &str) -> Option<Self> {
        let (mut address, mut version) = (None, None);
        let (mut protocol, mut ttl_ms, mut renewals) = (None, None, None);
        for (name, value) in text.split(' ').filter_map(|field| field.split_once('=')) {
            match name {
                "address" => address = Some(value),
                "version" => version = Some(value),
                "protocol" => protocol = value.parse().ok(),
                "ttl_ms" => ttl_ms = value.parse().ok(),
                "renewals" => renewals = value.parse().ok(),
                _ => {}
            }
        }
        Some(Self {
            address: address?.to_owned(),
            version: version?.to_owned(),
            protocol: protocol?,
            ttl_ms: ttl_ms?,
            renewals: renewals?,
        })
    }
}
