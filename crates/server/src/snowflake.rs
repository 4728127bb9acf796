//! Snowflake sequences: the shell of the generators of `ticketd-core`.
//!
//! A generator says what it needs: a window of ticks on a worker ID, which is leased from the
//! store by a task of its own, so that no client can cancel it by leaving; or that time passes,
//! which is waited for here. How often an attempt at the store is made again, too, is decided
//! here; everything about IDs is decided in [`ticketd_core::snowflake`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ticketd_core::backoff::pause_us;
use ticketd_core::count::Count;
use ticketd_core::definition::{Kind, KindName};
use ticketd_core::forecast::{self, RateMeter, TimeLeft};
use ticketd_core::ids::{Id, Ids, Range};
use ticketd_core::limits::ID_MIN;
use ticketd_core::name::Name;
use ticketd_core::snowflake::Snowflake;
use ticketd_core::snowflake::clock::{ClockAhead, ClockGuard};
use ticketd_core::snowflake::generator::{Generator, Short};
use ticketd_core::snowflake::layout::{Layout, OutOfTime, Parts};
use ticketd_core::snowflake::lease::{LeaseAsk, Leased, Leases, NoLease};
use ticketd_core::time::{Instant, UnixMillis};
use ticketd_store::{Store, StoreError};
use tokio::runtime::Handle;
use tokio::sync::{Notify, OnceCell};
use tracing::{debug, warn};

use crate::clock::Clock;
use crate::error::{ErrorKind, ONLY_FORWARD, ServiceError};
use crate::info::Info;
use crate::source::Issued;

/// What the user may choose about the generators of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnowflakeSettings {
    /// How many worker IDs a sequence leases: each is a generator, and they multiply the rate.
    pub workers: u32,
    /// The worker ID to ask for first; it is taken if it is free.
    pub worker_id: Option<u32>,
    /// How far the times in IDs may run ahead of the wall clock.
    pub ahead_max: Duration,
    /// How far the wall clock may jump into the future and still be believed.
    pub clock_jump_max: Duration,
}

impl Default for SnowflakeSettings {
    fn default() -> Self {
        Self {
            workers: 1,
            worker_id: None,
            ahead_max: Duration::from_secs(1),
            // A sequence may well rest for months; a year of 365.25 days.
            clock_jump_max: Duration::from_secs(31_557_600),
        }
    }
}

/// What there is to see of an open snowflake sequence.
#[derive(Debug, Clone)]
pub struct SnowflakeSeen {
    /// The worker IDs that this server holds.
    pub workers: Vec<u32>,
    /// Worker IDs that nobody held when this server last leased one.
    pub workers_left: u64,
    /// How long those last if they go on being taken as they lately were; `None` if for ever.
    pub workers_last: Option<Duration>,
    /// How far the newest ID is ahead of the wall clock.
    pub ahead: Duration,
}

/// A snowflake sequence that is open on this server.
pub struct SnowflakeSource {
    name: Name,
    chosen: Snowflake,
    store: Arc<dyn Store>,
    clock: Clock,
    settings: SnowflakeSettings,
    /// Whether what the clock may say is known from the store.
    opened: OnceCell<()>,
    state: Mutex<State>,
    /// A lease has been given or refused.
    changed: Notify,
    issued: AtomicU64,
    rate: Mutex<RateMeter>,
    runtime: Handle,
}

struct State {
    slots: Vec<Slot>,
    /// `None` until it is opened.
    guard: Option<ClockGuard>,
    leases: Leases,
    /// How fast worker IDs are taken; `None` until it is known how many are.
    taking: Option<RateMeter>,
    /// The last ID issued, or given up by a raise.
    last: Option<u64>,
    /// For counters that start at random: where they start is no secret.
    random: u64,
    stopped: bool,
}

struct Slot {
    generator: Generator,
    asking: bool,
    failures_in_row: u32,
    /// When the store may be asked again, and why not before.
    pause: Option<(Instant, ServiceError)>,
}

/// Why there is no ID right now.
enum Wait {
    /// A lease is on its way.
    Lease,
    /// Not before this moment, for this reason.
    Until(Instant, ServiceError),
    /// Waiting does not help.
    Never(ServiceError),
}

impl std::fmt::Debug for SnowflakeSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnowflakeSource").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SnowflakeSource {
    /// A sequence that will lease its worker IDs from `store`, on the tokio runtime of the caller.
    pub(crate) fn new(
        name: Name,
        chosen: Snowflake,
        store: Arc<dyn Store>,
        clock: Clock,
        settings: SnowflakeSettings,
    ) -> Self {
        let random = uuid::Uuid::new_v4().as_u128();
        let holder = (random >> 64) as u64;
        let ahead_ms = millis(settings.ahead_max);
        let slot = |index: u32| Slot {
            generator: Generator::new(
                chosen.layout,
                chosen.counter_start,
                ahead_ms,
                // One server is a holder for each of its generators, or all would get one worker.
                holder.wrapping_add(u64::from(index)),
                settings.worker_id.map(|id| id.saturating_add(index)),
            ),
            asking: false,
            failures_in_row: 0,
            pause: None,
        };
        let slots = u64::from(settings.workers).min(chosen.layout.workers()) as u32;
        let state = State {
            slots: (0..slots).map(slot).collect(),
            guard: None,
            leases: Leases::default(),
            taking: None,
            last: None,
            random: random as u64,
            stopped: false,
        };
        Self {
            name,
            chosen,
            store,
            clock,
            settings,
            opened: OnceCell::new(),
            state: Mutex::new(state),
            changed: Notify::new(),
            issued: AtomicU64::new(0),
            rate: Mutex::new(RateMeter::new(clock.now(), 0)),
            runtime: Handle::current(),
        }
    }

    /// Its name.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    fn layout(&self) -> &Layout {
        &self.chosen.layout
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in a generator is a broken invariant: going on could issue a duplicate.
        self.state.lock().expect("no generator has panicked")
    }

    /// The hot path: up to `n` IDs of one tick, or nothing.
    pub(crate) fn take_up_to(self: &Arc<Self>, n: u64) -> Option<Range> {
        self.try_take(n).ok()
    }

    /// `count` IDs, waiting for the store and for time to pass until `deadline` if need be.
    pub(crate) async fn next(
        self: &Arc<Self>,
        count: Count,
        deadline: Instant,
    ) -> Result<Issued, ServiceError> {
        self.ensure_open(deadline).await?;
        let mut ranges = Vec::new();
        let mut left = count.get();
        while left > 0 {
            let changed = self.changed.notified();
            match self.try_take(left) {
                Ok(range) => {
                    left -= range.count;
                    ranges.push(range);
                }
                Err(Wait::Never(error)) => return Err(error),
                Err(Wait::Until(moment, error)) if moment > deadline => return Err(error),
                Err(Wait::Until(moment, _)) => self.clock.sleep_until(moment).await,
                Err(Wait::Lease) => tokio::select! {
                    () = changed => {}
                    () = self.clock.sleep_until(deadline) => return Err(late()),
                },
            }
        }
        let ids = match ranges.as_slice() {
            [range] => Ids::Range(*range),
            _ => Ids::Ranges(ranges),
        };
        Ok(Issued { kind: KindName::Snowflake, ids })
    }

    async fn ensure_open(&self, deadline: Instant) -> Result<(), ServiceError> {
        let opening = self.opened.get_or_try_init(|| self.open());
        self.clock.within(deadline, opening).await.unwrap_or_else(|| Err(late())).map(drop)
    }

    /// Learns from the store what has been leased, and by that what the clock must have said.
    async fn open(&self) -> Result<(), ServiceError> {
        let record = self.store.read(&self.name).await?;
        let record = record.ok_or_else(|| StoreError::not_found(&self.name))?;
        let tick = self.layout().tick_at(self.clock.wall()).unwrap_or(0);
        let leases = self.store.leases(&self.name, tick).await?;
        let latest = leases.latest.max(record.mark);
        // A sequence whose making was cut short knows nothing of the time.
        let known = if latest > ID_MIN { self.layout().time_of(latest) } else { self.clock.wall() };
        let jump_ms = millis(self.settings.clock_jump_max);
        let mut state = self.state();
        state.leases = leases;
        state.guard = Some(ClockGuard::new(known, self.clock.now(), jump_ms));
        Ok(())
    }

    fn try_take(self: &Arc<Self>, n: u64) -> Result<Range, Wait> {
        let mut state = self.state();
        if state.stopped {
            return Err(Wait::Never(ServiceError::stopping()));
        }
        let mono = self.clock.now();
        let Some(guard) = &mut state.guard else {
            return Err(Wait::Lease);
        };
        let now = guard.check(self.clock.wall(), mono).map_err(|e| self.not_believed(e))?;
        let random = state.next_random();
        let mut wait = None;
        for index in 0..state.slots.len() {
            let taken = state.slots[index].generator.take(now, n, random);
            self.lease_if_due(&mut state.slots[index], index, now, mono);
            match taken {
                Ok(range) => {
                    self.issued.fetch_add(range.count, Ordering::Relaxed);
                    state.last = Some(range.last());
                    return Ok(range);
                }
                Err(short) => {
                    let found = self.wait_for(short, &state.slots[index], now, mono);
                    wait = Some(sooner(wait, found));
                }
            }
        }
        Err(wait.unwrap_or(Wait::Lease))
    }

    /// What has to happen before a generator that is short can issue.
    fn wait_for(&self, short: Short, slot: &Slot, now: UnixMillis, mono: Instant) -> Wait {
        match short {
            Short::NeedsLease => match &slot.pause {
                _ if slot.asking => Wait::Lease,
                Some((_, error)) if error.kind != ErrorKind::Unavailable => {
                    Wait::Never(error.clone())
                }
                Some((moment, error)) => Wait::Until(*moment, error.clone()),
                None => Wait::Lease,
            },
            Short::NotYet { until } => {
                let wait_ms = until.since(now).max(1);
                let message = format!(
                    "the IDs are ahead of the clock, which went back, or all of this time are \
                     issued; try again in {} s",
                    wait_ms as f64 / 1000.0
                );
                let error = ServiceError::new(ErrorKind::Unavailable, message);
                Wait::Until(mono.plus_micros(wait_ms.saturating_mul(1000)), error)
            }
            Short::OutOfTime(OutOfTime::BeforeEpoch) => {
                let message = format!(
                    "the clock is before the epoch of the layout: set the clock; it says {} ms \
                     since 1970",
                    now.0
                );
                Wait::Never(ServiceError::new(ErrorKind::Unavailable, message))
            }
            Short::OutOfTime(OutOfTime::RunOut) => Wait::Never(run_out()),
        }
    }

    /// A jump of the clock that is too far to be believed. The way out is a raise: it is the word
    /// of an operator that this time has come.
    fn not_believed(&self, ahead: ClockAhead) -> Wait {
        let days = ahead.wall.since(ahead.believed) / 86_400_000;
        let message = match self.layout().tick_at(ahead.wall) {
            Ok(tick) => format!(
                "the clock has jumped {days} days into the future: set it right, or if it is \
                 right, say so with: ticketd sequence raise {} --to {}",
                self.name,
                self.layout().compose(Parts { tick, worker: 0, counter: 0 })
            ),
            Err(_) => format!(
                "the clock has jumped {days} days into the future, beyond the time of the layout: \
                 set it right"
            ),
        };
        Wait::Never(ServiceError::new(ErrorKind::Unavailable, message))
    }

    fn lease_if_due(
        self: &Arc<Self>,
        slot: &mut Slot,
        index: usize,
        now: UnixMillis,
        mono: Instant,
    ) {
        let pausing = slot.pause.as_ref().is_some_and(|(moment, _)| mono < *moment);
        if slot.asking || pausing {
            return;
        }
        if let Some(ask) = slot.generator.lease_due(now) {
            slot.asking = true;
            let source = Arc::clone(self);
            self.runtime.spawn(async move { source.lease(index, ask).await });
        }
    }

    /// Asks the store for a window. Belongs to a task of its own.
    async fn lease(&self, index: usize, ask: LeaseAsk) {
        let leased = self.store.lease(&self.name, ask).await;
        let leases = self.store.leases(&self.name, ask.floor).await;
        {
            let mut state = self.state();
            if let Ok(leases) = leases {
                let now = self.clock.now();
                let taking = state.taking.get_or_insert(RateMeter::new(now, leases.taken));
                taking.observe(now, leases.taken);
                state.leases = leases;
            }
            let pause = match leased {
                Ok(Ok(leased)) => {
                    self.granted(&mut state.slots[index], leased);
                    None
                }
                Ok(Err(NoLease::AllTaken { free_at })) => {
                    let taken = self.all_taken(free_at);
                    Some(self.pause_for(&mut state.slots[index], taken))
                }
                Ok(Err(NoLease::RunOut)) => {
                    Some(self.pause_for(&mut state.slots[index], run_out()))
                }
                Err(error) => {
                    warn!(sequence = %self.name, "no worker ID could be leased: {error}");
                    Some(self.pause_for(&mut state.slots[index], error.into()))
                }
            };
            let slot = &mut state.slots[index];
            slot.asking = false;
            slot.pause = pause;
        }
        self.changed.notify_waiters();
    }

    fn granted(&self, slot: &mut Slot, leased: Leased) {
        debug!(sequence = %self.name, worker = leased.worker, "leased");
        slot.failures_in_row = 0;
        slot.generator.leased(leased);
    }

    fn all_taken(&self, free_at: u64) -> ServiceError {
        let wait_ms = self.layout().time_of(free_at).since(self.clock.wall()).max(1);
        let message = format!(
            "all {} worker IDs are taken; the first comes free in {} s",
            self.layout().workers(),
            wait_ms as f64 / 1000.0
        );
        ServiceError::new(ErrorKind::Unavailable, message)
    }

    /// When to ask again after `error`: soon, since a holder may release its worker ID, the clock
    /// may be set right, and the store may come back; and less often the longer it takes.
    fn pause_for(&self, slot: &mut Slot, error: ServiceError) -> (Instant, ServiceError) {
        slot.failures_in_row = slot.failures_in_row.saturating_add(1);
        (self.clock.now().plus_micros(pause_us(slot.failures_in_row)), error)
    }

    /// Makes sure that no ID at or below `to` is issued any more, and believes a clock that says
    /// so. Returns the smallest ID that can come next; `None` if there is none left.
    pub(crate) async fn raise(
        &self,
        to: u64,
        deadline: Instant,
    ) -> Result<Option<u64>, ServiceError> {
        self.ensure_open(deadline).await?;
        let Some(parts) = self.layout().decompose(to) else {
            let bits = self.layout().bits();
            let message = format!("an ID of this sequence has {bits} bits, not {to}");
            return Err(ServiceError::invalid(message));
        };
        let time = self.layout().time_of(parts.tick);
        if time > self.clock.wall().plus(millis(self.settings.ahead_max)) {
            let days = time.since(self.clock.wall()) / 86_400_000;
            let message = format!(
                "the clock has not come that far: nothing would be issued for {days} days; raise \
                 to an ID of the present at most"
            );
            return Err(ServiceError::new(ErrorKind::Conflict, message));
        }
        if let Some(last) = self.state().last.filter(|last| to < *last) {
            let message = format!("{ONLY_FORWARD}: it has issued {last} already");
            return Err(ServiceError::new(ErrorKind::Conflict, message));
        }
        let next = Parts { tick: parts.tick + 1, worker: 0, counter: 0 };
        let raising = self.store.raise(&self.name, next.tick);
        self.clock.within(deadline, raising).await.ok_or_else(late)??;
        let mut state = self.state();
        if let Some(guard) = &mut state.guard {
            guard.trust(time, self.clock.now());
        }
        for slot in &mut state.slots {
            slot.generator.skip_to(next.tick);
        }
        state.last = state.last.max(Some(to));
        Ok((next.tick < self.layout().ticks()).then(|| self.layout().compose(next)))
    }

    /// What there is to see of it at `now`.
    pub(crate) fn info(&self, now: Instant) -> Info {
        let issued = self.issued.load(Ordering::Relaxed);
        let per_second = {
            let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
            rate.observe(now, issued)
        };
        let wall = self.clock.wall();
        let mut state = self.state();
        let taken = state.leases.taken;
        let workers_left = self.layout().workers().saturating_sub(taken);
        let taking = state.taking.as_mut().map_or(0.0, |taking| taking.observe(now, taken));
        let seen = state.slots.iter().filter_map(|slot| slot.generator.observe());
        let ahead = seen.clone().map(|s| self.layout().time_of(s.tick).since(wall)).max();
        let snowflake = SnowflakeSeen {
            workers: seen.map(|s| s.worker).collect(),
            workers_left,
            workers_last: forecast::lasts(workers_left, taking),
            ahead: Duration::from_millis(ahead.unwrap_or(0)),
        };
        let time = TimeLeft::of(self.layout(), wall);
        Info {
            issued,
            last: state.last.map(Id::Integer),
            per_second,
            lasts: Some(time.lasts),
            time: Some(time),
            snowflake: Some(snowflake),
            ..Info::of_kind(self.name.clone(), Kind::Snowflake(self.chosen))
        }
    }

    /// Issues nothing any more and gives the unspent ticks back.
    pub(crate) async fn stop(&self) {
        let unspent: Vec<_> = {
            let mut state = self.state();
            state.stopped = true;
            state.slots.iter_mut().filter_map(|slot| slot.generator.release()).collect()
        };
        for unspent in unspent {
            if let Err(error) = self.store.release(&self.name, unspent).await {
                warn!(sequence = %self.name, "a worker ID was not released: {error}");
            }
        }
    }
}

impl State {
    /// Steele and Vigna's SplitMix64.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Which of two waits may end first. A lease may come at any moment.
fn sooner(one: Option<Wait>, other: Wait) -> Wait {
    match (one, other) {
        (None | Some(Wait::Never(_)), wait) | (Some(wait), Wait::Never(_)) => wait,
        (Some(Wait::Lease), _) | (_, Wait::Lease) => Wait::Lease,
        (Some(Wait::Until(a, why)), Wait::Until(b, other)) => {
            if a <= b {
                Wait::Until(a, why)
            } else {
                Wait::Until(b, other)
            }
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn late() -> ServiceError {
    let message = "no worker ID could be leased in time: the store has not answered";
    ServiceError::new(ErrorKind::Unavailable, message)
}

fn run_out() -> ServiceError {
    let message = "the time field of the layout has run out: create a sequence with another layout";
    ServiceError::new(ErrorKind::Exhausted, message)
}
