//! The service: what every protocol calls, and nothing that any protocol knows.

mod cluster;
mod decode;
mod raise;
mod resize;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use ticketd_core::allocator::{Config, Refusal};
use ticketd_core::count::Count;
use ticketd_core::definition::{BlockLen, Definition, Kind};
use ticketd_core::ids::Ids;
use ticketd_core::limits::{AUTO_BLOCK_LEN_MAX, AUTO_BLOCK_LEN_MIN, ID_MIN};
use ticketd_core::name::Name;
use ticketd_core::record::Record;
use ticketd_core::snowflake::layout::{Layout, OutOfTime};
use ticketd_core::time::{Instant, Rfc3339, UnixMillis};
use ticketd_store::{Sizes, Store};
use tokio::sync::{mpsc, watch};

use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::error::{ErrorKind, ServiceError};
use crate::info::Info;
use crate::limits::{
    LIST_PAGE_MAX, OWNER_QUEUE_LEN, RATE_INTERVAL_SECONDS, SEQUENCES_MAX, WIDE_IDS_PER_TURN,
};
use crate::owner::Owner;
use crate::sequence::{NoAnswer, Sequence};
use crate::snowflake::{SnowflakeSettings, SnowflakeSource};
use crate::source::{Issued, Source};
use crate::store_times::StoreTimes;
use crate::wide::Wide;

pub use decode::{Hints, text_of};
pub use raise::Raised;

/// What the user may choose about the service.
#[derive(Debug, Clone, Copy)]
pub struct ServiceSettings {
    /// The block length of sequences that name none.
    pub block_len: BlockLen,
    /// The shortest block of [`BlockLen::Auto`].
    pub block_len_min: u64,
    /// The longest block of [`BlockLen::Auto`].
    pub block_len_max: u64,
    /// Whether a sequence that does not exist is created on first use.
    pub auto_create: bool,
    /// How long a request waits for the store.
    pub request_timeout: Duration,
    /// How this server makes snowflake IDs.
    pub snowflake: SnowflakeSettings,
}

impl Default for ServiceSettings {
    fn default() -> Self {
        Self {
            block_len: BlockLen::Auto,
            block_len_min: AUTO_BLOCK_LEN_MIN,
            block_len_max: AUTO_BLOCK_LEN_MAX,
            auto_create: true,
            request_timeout: Duration::from_secs(5),
            snowflake: SnowflakeSettings::default(),
        }
    }
}

/// On whose behalf a sequence is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    /// Of a client: if nobody owns it, it may be left to another server.
    Client,
    /// Of another server, or of a client whom another server has sent here: it is this server's if
    /// it is nobody's.
    Server,
}

/// Whether a `create` made the sequence or found it.
#[derive(Debug, Clone)]
pub struct Created {
    /// It was not there before.
    pub is_new: bool,
    /// What it is now.
    pub info: Info,
}

/// The sequences of one server, over one store.
pub struct Service {
    store: Arc<dyn Store>,
    settings: ServiceSettings,
    clock: Clock,
    sequences: RwLock<HashMap<Name, Source>>,
    stopping: watch::Sender<bool>,
    /// Every owner task holds a clone of the sender: when all are gone, the receiver hears of it.
    alive: Mutex<Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>>,
    times: Arc<StoreTimes>,
    /// Written by a step of a resize, read by a raise: a floor is worked out for one generation.
    steps: tokio::sync::RwLock<()>,
    /// Of one server among several.
    cluster: OnceLock<Arc<Cluster>>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Service {
    /// A service over `store`. Its owner tasks run on the tokio runtime of whoever first asks for
    /// a sequence.
    pub fn new(store: Arc<dyn Store>, settings: ServiceSettings, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            store,
            settings,
            clock,
            sequences: RwLock::default(),
            stopping: watch::Sender::new(false),
            alive: Mutex::new(Some(mpsc::channel(1))),
            times: Arc::default(),
            steps: tokio::sync::RwLock::default(),
            cluster: OnceLock::new(),
        })
    }

    /// The clock that deadlines are told by.
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// What the user chose.
    pub const fn settings(&self) -> &ServiceSettings {
        &self.settings
    }

    /// How long reservations took.
    pub fn times(&self) -> &StoreTimes {
        &self.times
    }

    /// How much work the store has done.
    pub fn store_sizes(&self) -> Sizes {
        self.store.sizes()
    }

    /// Whether this server can issue IDs.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> Result<(), ServiceError> {
        if *self.stopping.borrow() {
            return Err(ServiceError::stopping());
        }
        self.ready_in_cluster()?;
        Ok(self.store.health()?)
    }

    fn deadline(&self) -> Instant {
        self.clock.now().plus(self.settings.request_timeout)
    }

    /// The sequence `name` if it is open: the hot path asks for nothing else.
    pub fn opened(&self, name: &str) -> Option<Source> {
        let sequences = self.sequences.read().unwrap_or_else(PoisonError::into_inner);
        sequences.get(name).cloned()
    }

    /// The sequence `name`, opened if it is not yet, for `asker`. Whether it exists is known only
    /// when it is asked for an ID.
    fn open(self: &Arc<Self>, name: &Name, asker: Asker) -> Result<Source, ServiceError> {
        if let Some(sequence) = self.opened(name.as_str()) {
            return Ok(sequence);
        }
        let mut sequences = self.sequences.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(sequence) = sequences.get(name) {
            return Ok(sequence.clone());
        }
        if *self.stopping.borrow() {
            return Err(ServiceError::stopping());
        }
        let full = sequences.len() as u64 >= SEQUENCES_MAX;
        if full || (self.settings.auto_create && self.store.sizes().sequences >= SEQUENCES_MAX) {
            let message =
                format!("too many sequences; the limit of this server is {SEQUENCES_MAX}");
            return Err(ServiceError::new(ErrorKind::TooLarge, message));
        }
        let source = Source::Blocks(self.start_owner(name, asker));
        sequences.insert(name.clone(), source.clone());
        Ok(source)
    }

    /// Opens the sequence that `record` describes, whose IDs do not come in blocks. Whoever comes
    /// first does it.
    fn open_other_kind(&self, name: &Name, record: &Record) -> Result<(), ServiceError> {
        let mut sequences = self.sequences.write().unwrap_or_else(PoisonError::into_inner);
        if *self.stopping.borrow() {
            return Err(ServiceError::stopping());
        }
        if !matches!(sequences.get(name), None | Some(Source::Blocks(_))) {
            return Ok(());
        }
        let now = self.clock.now();
        let source = match record.definition.kind {
            Kind::Snowflake(chosen) => {
                let store = Arc::clone(&self.store);
                let settings = self.settings.snowflake;
                let source =
                    SnowflakeSource::new(name.clone(), chosen, store, self.clock, settings);
                Source::Snowflake(Arc::new(source))
            }
            kind => match Wide::new(name.clone(), kind, now) {
                Some(wide) => Source::Wide(Arc::new(wide)),
                None => return Ok(()),
            },
        };
        sequences.insert(name.clone(), source);
        Ok(())
    }

    fn start_owner(self: &Arc<Self>, name: &Name, asker: Asker) -> Arc<Sequence> {
        let now = self.clock.now();
        let lease = self.cluster.get().map(|cluster| cluster.lease());
        let claim = self.claim(name, asker, lease.as_deref());
        let config = self.allocator_config();
        let (sequence, requests) = Sequence::new(name.clone(), config, OWNER_QUEUE_LEN, lease, now);
        let sequence = Arc::new(sequence);
        let owner = Owner {
            sequence: Arc::clone(&sequence),
            requests,
            store: Arc::clone(&self.store),
            clock: self.clock,
            claim,
            stopping: self.stopping.subscribe(),
            times: Arc::clone(&self.times),
        };
        let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = alive.as_ref().map(|(sender, _)| sender.clone());
        let service = Arc::downgrade(self);
        tokio::spawn(async move {
            let sequence = Arc::clone(&owner.sequence);
            owner.run().await;
            if let Some(service) = service.upgrade() {
                service.close(&sequence);
            }
            drop(alive);
        });
        sequence
    }

    fn allocator_config(&self) -> Config {
        let settings = &self.settings;
        Config::new(settings.block_len, settings.block_len_min, settings.block_len_max)
    }

    /// Forgets a sequence whose owner has ended, so that it can be opened again.
    fn close(&self, sequence: &Arc<Sequence>) {
        let mut sequences = self.sequences.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(sequences.get(sequence.name()),
            Some(Source::Blocks(open)) if Arc::ptr_eq(open, sequence))
        {
            sequences.remove(sequence.name());
        }
    }

    /// The next `count` IDs of the sequence `name`. Those of kinds that need a store lie in what
    /// it had made durable before; tickets are contiguous.
    ///
    /// # Errors
    /// [`ServiceError`] says why there are none; then nothing was issued.
    pub async fn next(self: &Arc<Self>, name: &Name, count: Count) -> Result<Issued, ServiceError> {
        let deadline = self.deadline();
        let mut asker = Asker::Client;
        loop {
            match self.open(name, asker)? {
                Source::Blocks(sequence) => match sequence.next(count, deadline).await {
                    Ok(range) => {
                        let kind = sequence.kind().expect("it has issued, so its kind is known");
                        return Ok(Issued { kind, ids: Ids::Range(range) });
                    }
                    Err(no_answer) => self.try_otherwise(name, no_answer, deadline).await?,
                },
                Source::Snowflake(source) => return source.next(count, deadline).await,
                Source::Wide(wide) => return self.next_wide(&wide, count).await,
                Source::Elsewhere(elsewhere) => match elsewhere.next(count, deadline).await {
                    Ok(range) => {
                        return Ok(Issued { kind: elsewhere.kind(), ids: Ids::Range(range) });
                    }
                    Err(not_there) => asker = self.follow(&elsewhere, not_there, deadline).await?,
                },
                Source::Changing(changing) => self.wait_for(&changing, deadline).await?,
            }
        }
    }

    /// Whether asking again may help, because the sequence has to be opened otherwise or afresh.
    async fn try_otherwise(
        &self,
        name: &Name,
        no_answer: NoAnswer,
        deadline: Instant,
    ) -> Result<(), ServiceError> {
        match no_answer {
            NoAnswer::Refused(Refusal::OtherKind(record)) => self.open_other_kind(name, &record),
            NoAnswer::Refused(Refusal::OwnedBy(server, kind)) => {
                self.open_elsewhere(name, server, kind)
            }
            NoAnswer::Refused(Refusal::Moved) => self.check_reopening(deadline).await,
            // It is closed for a moment, and not with the server.
            NoAnswer::Refused(Refusal::Stopping) => self.check_reopening(deadline).await,
            NoAnswer::Refused(refusal) => Err(refusal.into()),
            NoAnswer::Closed => self.check_reopening(deadline).await,
            // There is nothing to be had until the engine has given this server another lease.
            NoAnswer::LeaseEnded => self.pause_before_sending_on(deadline).await,
        }
    }

    async fn next_wide(&self, wide: &Wide, count: Count) -> Result<Issued, ServiceError> {
        let mut ids = Vec::with_capacity(usize::try_from(count.get()).unwrap_or(0));
        while (ids.len() as u64) < count.get() {
            let piece = (count.get() - ids.len() as u64).min(WIDE_IDS_PER_TURN);
            ids.extend(wide.take(self.clock.wall(), piece)?);
            // Others have their turn in between.
            tokio::task::yield_now().await;
        }
        Ok(Issued { kind: wide.kind(), ids: Ids::Wide(ids) })
    }

    /// A request met an owner that was ending. It may try again while there is time.
    async fn check_reopening(&self, deadline: Instant) -> Result<(), ServiceError> {
        if *self.stopping.borrow() {
            return Err(ServiceError::stopping());
        }
        if self.clock.now() >= deadline {
            let message = "the sequence could not be opened in time; try again";
            return Err(ServiceError::new(ErrorKind::Unavailable, message));
        }
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Creates the sequence `name`. The same definition again is no error.
    ///
    /// # Errors
    /// `Conflict` if it exists with another definition, with the difference in the message.
    /// `Invalid` for a snowflake layout whose time has not begun, or, unless whoever asks `insists`,
    /// runs out within ten years, or if the clock is decades ahead.
    pub async fn create(
        &self,
        name: &Name,
        wanted: Definition,
        insists: bool,
    ) -> Result<Created, ServiceError> {
        let before = self.store.read(name).await?;
        if let (None, Kind::Snowflake(chosen)) = (before, wanted.kind) {
            check_time(&chosen.layout, self.clock.wall(), insists)?;
        }
        if before.is_none() && self.store.sizes().sequences >= SEQUENCES_MAX {
            let message =
                format!("too many sequences; the limit of this server is {SEQUENCES_MAX}");
            return Err(ServiceError::new(ErrorKind::TooLarge, message));
        }
        let record = self.store.create(name, wanted).await?;
        if record.definition != wanted {
            return Err(ServiceError::new(
                ErrorKind::Conflict,
                format!("{name} exists with {}", record.definition.difference_to(&wanted)),
            ));
        }
        if let (None, Kind::Snowflake(chosen)) = (before, wanted.kind) {
            // So that from the first ID on it is known which time has come: see `ClockGuard`.
            let tick = chosen.layout.tick_at(self.clock.wall()).unwrap_or(0);
            self.store.raise(name, tick.max(ID_MIN)).await?;
        }
        Ok(Created { is_new: before.is_none(), info: self.show(name).await? })
    }

    /// What there is to see of the sequence `name`.
    ///
    /// # Errors
    /// `NotFound`, or a failure of the store.
    pub async fn show(&self, name: &Name) -> Result<Info, ServiceError> {
        if let Some(info) = self.opened_info(name) {
            return Ok(info);
        }
        match self.store.read(name).await? {
            Some(record) => Ok(self.closed_info(name.clone(), &record)),
            None => Err(ServiceError::new(
                ErrorKind::NotFound,
                format!("there is no sequence {name}; create it first"),
            )),
        }
    }

    /// What there is to see of the sequence `name`, if it is open on this server.
    pub fn opened_info(&self, name: &Name) -> Option<Info> {
        self.info_of(&self.opened(name.as_str())?)
    }

    fn closed_info(&self, name: Name, record: &Record) -> Info {
        Info::closed(name, record, self.settings.block_len, self.clock.wall())
    }

    fn info_of(&self, source: &Source) -> Option<Info> {
        let now = self.clock.now();
        match source {
            Source::Blocks(sequence) => sequence.info(now),
            Source::Snowflake(source) => Some(source.info(now)),
            Source::Wide(wide) => Some(wide.info(now)),
            Source::Elsewhere(_) | Source::Changing(_) => None,
        }
    }

    /// Up to `limit` sequences with names after `after`, in byte order.
    ///
    /// # Errors
    /// A failure of the store.
    pub async fn list(
        &self,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Info>, ServiceError> {
        let records = self.store.list(after, limit.min(LIST_PAGE_MAX)).await?;
        let info = |(name, record)| {
            self.opened_info(&name).unwrap_or_else(|| self.closed_info(name, &record))
        };
        Ok(records.into_iter().map(info).collect())
    }

    /// Up to `limit` names after `after`, in byte order.
    ///
    /// # Errors
    /// A failure of the store.
    pub async fn names(
        &self,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Name>, ServiceError> {
        let records = self.store.list(after, limit.min(LIST_PAGE_MAX)).await?;
        Ok(records.into_iter().map(|(name, _)| name).collect())
    }

    /// What there is to see of all sequences that are open on this server.
    pub fn opened_infos(&self) -> Vec<Info> {
        let sequences = self.sequences.read().unwrap_or_else(PoisonError::into_inner);
        let open: Vec<_> = sequences.values().cloned().collect();
        drop(sequences);
        open.iter().filter_map(|source| self.info_of(source)).collect()
    }

    /// Keeps the rates of all sequences up to date. Runs until it is dropped.
    pub async fn watch_rates(&self) {
        loop {
            tokio::time::sleep(Duration::from_secs(RATE_INTERVAL_SECONDS)).await;
            drop(self.opened_infos());
        }
    }

    /// Serves those who wait, hands back what is left, and ends all owners, within `within`.
    /// Returns whether all ended in time.
    pub async fn stop(&self, within: Duration) -> bool {
        {
            // Under the lock that sequences are opened under: no owner starts after this.
            let _sequences = self.sequences.write().unwrap_or_else(PoisonError::into_inner);
            self.stopping.send_replace(true);
        }
        let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((sender, mut receiver)) = alive else {
            return true;
        };
        drop(sender);
        let ended = async {
            receiver.recv().await;
            for source in self.snowflakes() {
                source.stop().await;
            }
        };
        tokio::time::timeout(within, ended).await.is_ok()
    }

    fn snowflakes(&self) -> Vec<Arc<SnowflakeSource>> {
        let sequences = self.sequences.read().unwrap_or_else(PoisonError::into_inner);
        let of_kind = |source: &Source| match source {
            Source::Snowflake(source) => Some(Arc::clone(source)),
            Source::Blocks(_) | Source::Wide(_) | Source::Elsewhere(_) | Source::Changing(_) => {
                None
            }
        };
        sequences.values().filter_map(of_kind).collect()
    }
}

/// How long the time of a new layout has to last, unless the user insists: ten years.
const LAYOUT_LASTS_MS: u64 = 10 * 31_557_600_000;

/// Until when a clock is plausible of which nothing else is known, as when a sequence is made:
/// 2056-01-01, thirty years after this was written. What is further in the future needs the word
/// of the user, since a sequence that was made then has no ID before.
const CLOCK_PLAUSIBLE_UNTIL: UnixMillis = UnixMillis(2_713_910_400_000);

/// Whether a sequence of `layout` should be made `now`.
fn check_time(layout: &Layout, now: UnixMillis, insists: bool) -> Result<(), ServiceError> {
    let years = |from: UnixMillis| layout.runs_out().since(from) as f64 / 31_557_600_000.0;
    let message = match layout.tick_at(now) {
        Err(OutOfTime::BeforeEpoch) => {
            "the epoch is in the future: choose one that has been, or set the clock".to_owned()
        }
        Err(OutOfTime::RunOut) => {
            "the time of this layout has run out: give time more bits, a longer tick or a later \
             epoch"
                .to_owned()
        }
        Ok(_) if now >= CLOCK_PLAUSIBLE_UNTIL && !insists => format!(
            "the clock says {}, and nothing would be issued before that: set it right, or insist \
             if it is",
            Rfc3339(i64::try_from(now.0).unwrap_or(i64::MAX))
        ),
        Ok(_) if layout.runs_out().since(now) < LAYOUT_LASTS_MS && !insists => format!(
            "the time of this layout runs out in {:.1} years: give time more bits, a longer tick or \
             a later epoch, or insist",
            years(now)
        ),
        Ok(_) => return Ok(()),
    };
    Err(ServiceError::invalid(message))
}
