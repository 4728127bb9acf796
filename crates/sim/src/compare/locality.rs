//! What an index of the IDs costs: they are inserted, in the order of issue, into a B-tree (redb's,
//! whose pages are written to memory here), and the pages that each commit writes are counted.

use std::collections::HashSet;
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use redb::backends::InMemoryBackend;
use redb::{Database, ReadableTableMetadata, StorageBackend, TableDefinition};
use serde::Serialize;
use ticketd_core::definition::KindName;
use ticketd_server::clock::Clock;

use super::fleet::Fleet;
use super::{SEED, SERVERS, Scenario, UNEVEN, bits_of, servers_of, value_of};

/// How many IDs are inserted in one transaction.
pub const ROWS_PER_COMMIT: usize = 1000;

/// How long a page is.
pub const PAGE_BYTES: u64 = 4096;

/// Keys in big-endian, so that they sort as the IDs; the value is the number of the row.
const INDEX: TableDefinition<'_, &[u8], u64> = TableDefinition::new("index");

/// What the index came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Locality {
    /// How many IDs are in it.
    pub rows: u64,
    /// Distinct pages of 4 KiB that each commit of 1,000 rows wrote.
    pub pages_per_commit: Vec<u64>,
    /// Of the last half of the commits, the mean.
    pub pages_per_commit_mean: f64,
    /// Pages that the tree has in the end.
    pub tree_pages: u64,
    /// How much of them is filled with keys and values.
    pub filled_share: f64,
    /// How long the file would be.
    pub file_bytes: u64,
}

/// Memory in place of a file, that remembers which pages were written.
#[derive(Debug, Clone)]
struct Counting {
    pages: Arc<InMemoryBackend>,
    written: Arc<Mutex<HashSet<u64>>>,
}

impl Counting {
    fn written(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many pages were written since this was asked last.
    fn take(&self) -> u64 {
        let mut written = self.written();
        let count = written.len() as u64;
        written.clear();
        count
    }
}

impl StorageBackend for Counting {
    fn len(&self) -> io::Result<u64> {
        self.pages.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.pages.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.pages.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.pages.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let last = (offset + (data.len() as u64).saturating_sub(1)) / PAGE_BYTES;
        self.written().extend(offset / PAGE_BYTES..=last);
        self.pages.write(offset, data)
    }
}

/// Inserts IDs of three servers, in the order in which they were issued.
///
/// # Errors
/// If a service cannot start or refuses an ID, or the B-tree fails.
pub fn locality(kind: KindName, scenario: &Scenario) -> io::Result<Locality> {
    let ids = issue(kind, scenario)?;
    insert(&ids, bits_of(kind) as usize / 8).map_err(io::Error::other)
}

/// Draws as many IDs as there are rows, from servers that are asked unevenly.
fn issue(kind: KindName, scenario: &Scenario) -> io::Result<Vec<u128>> {
    let tables = &scenario.tables[..1];
    let servers = servers_of(kind);
    let fleet = Fleet::start(kind, tables, servers, |_| Clock::start())?;
    let mut dispensers: Vec<_> =
        (0..SERVERS).map(|server| fleet.dispenser(server % servers, &tables[0])).collect();
    let mut random = Pcg64::seed_from_u64(SEED);
    let all: u32 = UNEVEN.iter().sum();
    let draw = |_| {
        let mut at = random.random_range(0..all);
        let server = UNEVEN
            .iter()
            .position(|weight| at.checked_sub(*weight).map(|left| at = left).is_none());
        let id = dispensers[server.unwrap_or(0)].next_id().map_err(io::Error::other)?;
        Ok(value_of(id))
    };
    let ids: io::Result<Vec<u128>> = (0..scenario.rows).map(draw).collect();
    fleet.stop()?;
    ids
}

/// Inserts `ids` as keys of so many bytes.
fn insert(ids: &[u128], key_bytes: usize) -> Result<Locality, Box<dyn Error + Send + Sync>> {
    let backend = Counting { pages: Arc::new(InMemoryBackend::new()), written: Arc::default() };
    let database = Database::builder().create_with_backend(backend.clone())?;
    let mut pages_per_commit = Vec::new();
    let mut row = 0;
    for batch in ids.chunks(ROWS_PER_COMMIT) {
        backend.take();
        let transaction = database.begin_write()?;
        {
            let mut table = transaction.open_table(INDEX)?;
            for id in batch {
                let key = id.to_be_bytes();
                table.insert(&key[key.len() - key_bytes..], row)?;
                row += 1;
            }
        }
        transaction.commit()?;
        pages_per_commit.push(backend.take());
    }
    let transaction = database.begin_write()?;
    let stats = transaction.open_table(INDEX)?.stats()?;
    transaction.abort()?;
    let tree_pages = stats.leaf_pages() + stats.branch_pages();
    let filled = stats.stored_bytes() as f64 / (tree_pages.max(1) * PAGE_BYTES) as f64;
    let last_half = &pages_per_commit[pages_per_commit.len() / 2..];
    let mean = super::share(last_half.iter().sum(), last_half.len() as u64);
    Ok(Locality {
        rows: row,
        pages_per_commit_mean: mean,
        tree_pages,
        filled_share: filled,
        file_bytes: backend.len()?,
        pages_per_commit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_order_touch_few_pages_and_random_ones_many() {
        let in_order: Vec<u128> = (1..=20_000).collect();
        let mut random = Pcg64::seed_from_u64(5);
        let mixed: Vec<u128> = (0..20_000).map(|_| random.random()).collect();
        let (rising, mixed) = (insert(&in_order, 16).unwrap(), insert(&mixed, 16).unwrap());
        assert_eq!((rising.rows, rising.pages_per_commit.len()), (20_000, 20));
        assert!(mixed.pages_per_commit_mean > 4.0 * rising.pages_per_commit_mean);
        assert!(rising.filled_share <= 1.0 && mixed.filled_share > 0.2);
        let narrow = insert(&in_order, 8).unwrap();
        assert!(narrow.tree_pages < rising.tree_pages, "8 bytes take less room than 16");
    }
}
