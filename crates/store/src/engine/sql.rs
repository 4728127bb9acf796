//! What the SQL engines have in common: one table with a row for each key, whose versions are
//! compared in the statement that changes them.
//!
//! What differs, an [SQL engine](Server) brings: how to connect, and how to say a few things.

pub mod address;
mod change;
pub mod fault;
mod pool;
mod schema;
pub mod session;
pub mod tls;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ticketd_core::failure::FailureKind;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::address::{Address, Host};
use self::fault::Fault;
use self::pool::{Pool, Taken};
use self::session::{Param, Row, Sent, Server, Session, Statement};
use super::{Change, Engine, Entry, Key, LIST_MAX, Outcome, assert_well_formed};
use crate::contract::Answer;
use crate::error::StoreError;

/// How long a host may take until the next one of the URL is tried as well.
const NEXT_HOST: Duration = Duration::from_millis(250);

/// Above each character of a key.
const BEYOND: &str = "~";

/// An engine that keeps values in a table of an SQL database.
pub struct SqlEngine<S: Server> {
    reach: Arc<Reach<S>>,
    table: String,
    label: String,
    pool: Pool<S::Session>,
    commits: AtomicU64,
}

/// How to reach it.
struct Reach<S> {
    server: S,
    address: Address,
}

impl<S: Server> SqlEngine<S> {
    /// Connects, and makes the table if it is not there.
    pub(super) async fn at(server: S, address: Address) -> Result<Self, StoreError> {
        let engine = Self {
            table: schema::quoted(&address.table),
            label: address.label(),
            reach: Arc::new(Reach { server, address }),
            pool: Pool::new(),
            commits: AtomicU64::new(0),
        };
        engine
            .within(&Sent::default(), async {
                let mut taken = engine.take().await?;
                schema::prepare(taken.session(), &engine.reach.address.table).await?;
                taken.give_back();
                Ok(())
            })
            .await?;
        Ok(engine)
    }

    async fn take(&self) -> Result<Taken<'_, S::Session>, Fault> {
        self.pool.take(|| connect(&self.reach)).await
    }

    /// Does `work` within the time-out. When it fails, says what that means, and trusts no
    /// connection that may have gone the same way.
    async fn within<T>(
        &self,
        sent: &Sent,
        work: impl Future<Output = Result<T, Fault>> + Send,
    ) -> Result<T, StoreError> {
        let limit = self.reach.address.timeout;
        let fault = match timeout(limit, work).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(fault)) => fault,
            Err(_elapsed) => Fault::unsure(
                FailureKind::Unavailable,
                format!("no answer within {limit:?} from {}", self.label),
            ),
        };
        if !fault.is_sure || fault.kind == FailureKind::Unavailable {
            self.pool.clear();
        }
        Err(fault.into_error(sent.is_set()))
    }

    async fn rows(&self, select: Statement<'_>) -> Result<Vec<Entry>, StoreError> {
        self.within(&Sent::default(), async {
            let mut taken = self.take().await?;
            let rows = taken.session().rows(select).await?;
            taken.give_back();
            rows.into_iter().map(Row::into_entry).collect()
        })
        .await
    }

    async fn apply(&self, change: &Change) -> Result<Outcome, StoreError> {
        let sent = Sent::default();
        let outcome = self
            .within(&sent, async {
                let mut taken = self.take().await?;
                let outcome = change::apply(taken.session(), &self.table, change, &sent).await?;
                taken.give_back();
                Ok(outcome)
            })
            .await?;
        if outcome != Outcome::Differs {
            self.commits.fetch_add(1, Ordering::Relaxed);
        }
        Ok(outcome)
    }

    async fn look_at_settings(&self) -> Result<Vec<String>, StoreError> {
        self.within(&Sent::default(), async {
            let mut taken = self.take().await?;
            let mut warnings = taken.session().vet().await?;
            taken.give_back();
            warnings.extend(self.reach.address.may_be_overheard());
            Ok(warnings)
        })
        .await
    }
}

/// Connects to the first host where changes can be made. A host that is silent holds nobody up for
/// long, and one that is asked later is taken only if it answers first.
async fn connect<S: Server>(reach: &Arc<Reach<S>>) -> Result<S::Session, Fault> {
    let mut attempts = JoinSet::new();
    for (n, host) in (0..).zip(&reach.address.hosts) {
        let (reach, host) = (Arc::clone(reach), host.clone());
        attempts.spawn(async move {
            tokio::time::sleep(NEXT_HOST * n).await;
            attempt(&reach, &host).await
        });
    }
    let mut worst: Option<Fault> = None;
    while let Some(attempt) = attempts.join_next().await {
        let attempt = attempt.unwrap_or_else(|_| {
            Err(Fault::unsure(FailureKind::Unavailable, "the attempt to connect was cut short"))
        });
        match attempt {
            Ok(session) => return Ok(session),
            // What a person can mend is told rather than what may pass.
            Err(fault) if fault.kind == FailureKind::Invalid => worst = Some(fault),
            Err(fault) => worst = worst.or(Some(fault)),
        }
    }
    Err(worst.expect("a URL has a host"))
}

/// A connection to whoever `server` reaches at `address`, for another use than as an engine.
pub(super) async fn connect_to<S: Server>(
    server: S,
    address: Address,
) -> Result<S::Session, Fault> {
    connect(&Arc::new(Reach { server, address })).await
}

/// Whether the table is there.
pub(super) async fn is_there<S: Server>(server: S, address: Address) -> Result<bool, StoreError> {
    let (limit, table, label) = (address.timeout, address.table.clone(), address.label());
    let looked = timeout(limit, async {
        let mut session = connect_to(server, address).await?;
        session.shape(&table).await
    });
    match looked.await {
        Ok(shape) => shape.map(|shape| shape.is_some()).map_err(|fault| fault.into_error(false)),
        Err(_elapsed) => Err(StoreError::new(
            FailureKind::Unavailable,
            format!("no answer within {limit:?} from {label}"),
        )),
    }
}

async fn attempt<S: Server>(reach: &Reach<S>, host: &Host) -> Result<S::Session, Fault> {
    reach.server.connect(&reach.address, host).await
}

/// The keys that start with `prefix` and lie after `after`.
///
/// Ranges, because a pattern would take `_` for any character.
fn range<'a>(
    table: &str,
    prefix: &'a str,
    beyond: &'a str,
    after: Option<&'a Key>,
    limit: usize,
) -> Statement<'a> {
    let sql = format!(
        "SELECT \"key\", version, value FROM {table} WHERE \"key\" >= ? AND \"key\" < ? \
         AND \"key\" > ? AND \"key\" <> ? ORDER BY \"key\" LIMIT ?"
    );
    let texts = [prefix, beyond, after.map_or("", Key::as_str), schema::SCHEMA_KEY];
    let mut params = Vec::from(texts.map(Param::Text));
    params.push(Param::Number(limit.min(LIST_MAX) as u64));
    Statement { sql, params }
}

impl<S: Server> Engine for SqlEngine<S> {
    fn read<'a>(&'a self, keys: &'a [Key]) -> Answer<'a, Vec<Option<Entry>>> {
        Box::pin(async move {
            if keys.is_empty() {
                return Ok(Vec::new());
            }
            let entries = self.rows(change::select(&self.table, keys)).await?;
            let of = |key: &Key| entries.iter().find(|entry| entry.key == *key).cloned();
            Ok(keys.iter().map(of).collect())
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a Key>,
        limit: usize,
    ) -> Answer<'a, Vec<Entry>> {
        Box::pin(async move {
            let beyond = format!("{prefix}{BEYOND}");
            self.rows(range(&self.table, prefix, &beyond, after, limit)).await
        })
    }

    fn commit<'a>(&'a self, change: &'a Change) -> Answer<'a, Outcome> {
        assert_well_formed(change);
        Box::pin(self.apply(change))
    }

    fn vet(&self) -> Answer<'_, Vec<String>> {
        Box::pin(self.look_at_settings())
    }

    fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    fn label(&self) -> &str {
        &self.label
    }
}

impl<S: Server> fmt::Debug for SqlEngine<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqlEngine").field(&self.label).finish()
    }
}
