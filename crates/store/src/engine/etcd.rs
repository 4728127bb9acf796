//! etcd as an engine: every value under a key of its own, every change one transaction.
//!
//! The version of a value is etcd's `mod_revision`; the state of the whole cluster is its
//! `revision`, which only goes forward and is watched (`seen.rs`). The client is our own
//! (`docs/decisions/0008-own-etcd-client.md`).

mod client;
mod fault;
mod member;
mod seen;
mod session;
mod url;
mod vet;
mod wire;

use std::sync::atomic::{AtomicU64, Ordering};

use ticketd_core::failure::FailureKind;

use super::{Change, Engine, Entry, Key, LIST_MAX, Outcome, Version, assert_well_formed, is_value};
use crate::contract::Answer;
use crate::error::StoreError;
use client::{Client, Effect};
use fault::{Fault, Next};
use seen::Seen;
use wire::{
    Call, Compare, DeleteRangeRequest, Headed, KeyValue, PutRequest, RangeRequest, Request,
    TxnRequest,
};

pub use url::{Credentials, EtcdUrl, Tls};

/// What etcd takes in one transaction if nobody has set it otherwise.
const TXN_OPS_MAX: usize = 128;

/// An engine on a cluster of etcd.
#[derive(Debug)]
pub struct Etcd {
    client: Client,
    seen: Seen,
    /// What all keys start with, with the `/` at its end.
    root: String,
    label: String,
    is_encrypted: bool,
    commits: AtomicU64,
}

impl Etcd {
    /// Opens the engine at `url` and reads from it once.
    ///
    /// # Errors
    /// `Unavailable` if no member can be reached or there is no majority; `Invalid` if credentials,
    /// permissions or TLS are wrong.
    pub async fn open(url: &EtcdUrl) -> Result<Self, StoreError> {
        let engine = Self {
            client: Client::new(url)?,
            seen: Seen::default(),
            root: format!("{}/", url.prefix),
            label: url.to_string(),
            is_encrypted: url.tls.is_some(),
            commits: AtomicU64::new(0),
        };
        engine.list("", None, 1).await?;
        Ok(engine)
    }

    /// Sends a linearizable request; answers the revision of the cluster as well.
    async fn ask<C: Call<Answer: Headed>>(
        &self,
        request: &C,
        effect: Effect,
    ) -> Result<(C::Answer, i64), Fault> {
        let floor = self.seen.floor()?;
        let answer = self.client.call(request, effect).await?;
        let revision = self.seen.check(floor, answer.header())?;
        Ok((answer, revision))
    }

    async fn read_all(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, StoreError> {
        let mut entries = Vec::with_capacity(keys.len());
        let mut revision = 0;
        for keys in keys.chunks(TXN_OPS_MAX) {
            let ranges = keys.iter().map(|key| self.one(key, revision));
            let success = ranges.map(|range| Request::Range(range).into()).collect();
            let request = TxnRequest { compare: Vec::new(), success };
            let (answer, at) = self.ask(&request, Effect::None).await?;
            if answer.responses.len() != keys.len() {
                return Err(contradicts("it answered another number of reads than it was asked"));
            }
            for response in answer.responses {
                let found = response.range.and_then(|range| range.kvs.into_iter().next());
                entries.push(found.map(|found| self.entry(found)).transpose()?);
            }
            // What does not fit into one transaction is read as it was at the same moment.
            revision = if revision == 0 { at } else { revision };
        }
        Ok(entries)
    }

    async fn page(
        &self,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let start = self.place(prefix);
        let range_end = end_of(&start);
        let after = after.map(|key| [self.place(key.as_str()), vec![0]].concat());
        let key = after.unwrap_or_default().max(start);
        if limit == 0 || key >= range_end {
            return Ok(Vec::new());
        }
        let limit = i64::try_from(limit.min(LIST_MAX)).expect("LIST_MAX is small");
        let request = RangeRequest { key, range_end, limit, revision: 0 };
        let (answer, _) = self.ask(&request, Effect::None).await?;
        answer.kvs.into_iter().map(|found| self.entry(found)).collect()
    }

    async fn apply(&self, change: &Change) -> Result<Outcome, StoreError> {
        let (answer, revision) = match self.ask(&self.txn(change), Effect::Change).await {
            Err(fault) if fault.next == Next::ToLook => return Err(self.look(change, fault).await),
            other => other?,
        };
        if !answer.succeeded {
            return Ok(Outcome::Differs);
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        let version = u64::try_from(revision).map_err(|_| contradicts("a revision is negative"))?;
        Ok(Outcome::Applied(Version(version)))
    }

    /// Whether `change`, of which `fault` has come and which is decided, was applied: surely not if
    /// all versions are still as it expected.
    async fn look(&self, change: &Change, fault: Fault) -> StoreError {
        let mut error = fault.error;
        let keys: Vec<Key> = change.expect.iter().map(|(key, _)| key.clone()).collect();
        if let Ok(found) = self.read_all(&keys).await {
            let found = found.iter().map(|e| e.as_ref().map_or(Version::ABSENT, |e| e.version));
            if found.eq(change.expect.iter().map(|(_, version)| *version)) {
                error.kind = FailureKind::Unavailable;
            }
        }
        error
    }

    fn txn(&self, change: &Change) -> TxnRequest {
        let compare = change.expect.iter().map(|(key, version)| {
            // No revision is larger: nothing has such a version.
            let revision = i64::try_from(version.0).unwrap_or(i64::MAX);
            Compare::changed_at(self.place(key.as_str()), revision)
        });
        let puts = change.put.iter().map(|(key, value)| {
            let value = value.clone().into_bytes();
            Request::Put(PutRequest { key: self.place(key.as_str()), value })
        });
        let deletes = change
            .delete
            .iter()
            .map(|key| Request::DeleteRange(DeleteRangeRequest { key: self.place(key.as_str()) }));
        TxnRequest {
            compare: compare.collect(),
            success: puts.chain(deletes).map(Into::into).collect(),
        }
    }

    fn one(&self, key: &Key, revision: i64) -> RangeRequest {
        let key = self.place(key.as_str());
        RangeRequest { key, range_end: Vec::new(), limit: 0, revision }
    }

    /// Where in etcd a key, or the start of keys, is.
    fn place(&self, text: &str) -> Vec<u8> {
        [self.root.as_bytes(), text.as_bytes()].concat()
    }

    /// What was found, if it is a thing of ticketd.
    fn entry(&self, found: KeyValue) -> Result<Entry, StoreError> {
        let key = found.key.strip_prefix(self.root.as_bytes());
        let key = key.and_then(|key| std::str::from_utf8(key).ok()).and_then(Key::checked);
        let Some(key) = key else {
            let message =
                format!("there is a key that is not of ticketd: delete it, under {}", self.root);
            return Err(StoreError::new(FailureKind::Corrupt, message));
        };
        let version = u64::try_from(found.mod_revision).unwrap_or(0);
        match String::from_utf8(found.value) {
            Ok(value) if is_value(&value) && version > 0 => {
                Ok(Entry { key, version: Version(version), value })
            }
            _ => {
                let message = format!("a value is not of ticketd: restore it, {}{key}", self.root);
                Err(StoreError::new(FailureKind::Corrupt, message))
            }
        }
    }
}

impl Engine for Etcd {
    fn read<'a>(&'a self, keys: &'a [Key]) -> Answer<'a, Vec<Option<Entry>>> {
        Box::pin(self.read_all(keys))
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a Key>,
        limit: usize,
    ) -> Answer<'a, Vec<Entry>> {
        Box::pin(self.page(prefix, after, limit))
    }

    fn commit<'a>(&'a self, change: &'a Change) -> Answer<'a, Outcome> {
        assert_well_formed(change);
        Box::pin(self.apply(change))
    }

    fn vet(&self) -> Answer<'_, Vec<String>> {
        Box::pin(vet::vet(self))
    }

    fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    fn label(&self) -> &str {
        &self.label
    }
}

/// The first key after all that start with `start`, which ends in ASCII.
fn end_of(start: &[u8]) -> Vec<u8> {
    let mut end = start.to_vec();
    let last = end.last_mut().expect("the root is not empty");
    *last += 1;
    end
}

fn contradicts(what: &str) -> StoreError {
    StoreError::new(FailureKind::Corrupt, format!("etcd contradicts itself: {what}"))
}
