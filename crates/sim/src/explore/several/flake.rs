//! A snowflake sequence that is open on a server: `server/src/snowflake.rs` on virtual time, with
//! places at which a thread may stand still.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;

use ticketd_core::backoff::pause_us;
use ticketd_core::cluster::ServerId;
use ticketd_core::count::Count;
use ticketd_core::ids::Range;
use ticketd_core::limits::ID_MIN;
use ticketd_core::snowflake::Snowflake;
use ticketd_core::snowflake::clock::ClockGuard;
use ticketd_core::snowflake::generator::{Generator, Short};
use ticketd_core::snowflake::layout::{Layout, OutOfTime, Parts};
use ticketd_core::snowflake::lease::{LeaseAsk, Leased, NoLease};
use ticketd_core::time::{Instant, UnixMillis};
use ticketd_store::{Store, StoreError};
use tokio::sync::{Notify, OnceCell};

use super::engine::Ask;
use super::lease::within;
use super::node::Node;
use super::service::Refused;
use super::words::What;
use crate::explore::stats::Mark;

/// What the user may choose about the generators of a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct FlakeSettings {
    pub(super) workers: u32,
    pub(super) worker_id: Option<u32>,
    pub(super) ahead_max_ms: u64,
    pub(super) clock_jump_max_ms: u64,
}

/// A snowflake sequence that is open on a server.
pub(super) struct FlakeSource {
    index: usize,
    chosen: Snowflake,
    settings: FlakeSettings,
    /// Whether what the clock may say is known from the store.
    opened: OnceCell<()>,
    state: RefCell<State>,
    /// A lease has been given or refused.
    changed: Notify,
}

struct State {
    slots: Vec<Slot>,
    /// `None` until it is opened.
    guard: Option<ClockGuard>,
    /// The last ID issued, or given up by a raise.
    last: Option<u64>,
    stopped: bool,
}

struct Slot {
    generator: Generator,
    holder: u64,
    asking: bool,
    failures_in_row: u32,
    /// When the store may be asked again, and why not before.
    pause: Option<(Instant, Refused)>,
    /// What a deliberate bug remembers of its last lease.
    last: Option<Leased>,
}

/// Why there is no ID right now.
enum Wait {
    Lease,
    Until(Instant, Refused),
    Never(Refused),
}

impl FlakeSource {
    pub(super) fn new(node: &Node, index: usize, chosen: Snowflake) -> Self {
        let (holder, settings) = {
            let mut world = node.hub.world();
            (world.draw.below(u64::MAX), world.config.flakes.settings(node.life.slot))
        };
        let slot = |number: u32| {
            let holder = holder.wrapping_add(u64::from(number));
            let generator = Generator::new(
                chosen.layout,
                chosen.counter_start,
                settings.ahead_max_ms,
                holder,
                settings.worker_id.map(|id| id.saturating_add(number)),
            );
            let generator = node.bug.in_generator(generator);
            Slot { generator, holder, asking: false, failures_in_row: 0, pause: None, last: None }
        };
        let slots = u64::from(settings.workers).min(chosen.layout.workers()) as u32;
        let slots = (0..slots).map(slot).collect();
        let state = State { slots, guard: None, last: None, stopped: false };
        Self {
            index,
            chosen,
            settings,
            opened: OnceCell::new(),
            state: RefCell::new(state),
            changed: Notify::new(),
        }
    }

    fn layout(&self) -> &Layout {
        &self.chosen.layout
    }

    fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    /// The hot path.
    pub(super) fn take_up_to(self: &Rc<Self>, node: &Rc<Node>, n: u64) -> Option<Range> {
        self.try_take(node, n).ok()
    }

    pub(super) async fn next(
        self: &Rc<Self>,
        node: &Rc<Node>,
        count: Count,
        deadline: Instant,
    ) -> Result<Vec<Range>, Refused> {
        self.ensure_open(node, deadline).await?;
        let mut ranges = Vec::new();
        let mut left = count.get();
        while left > 0 {
            let changed = self.changed.notified();
            match self.try_take(node, left) {
                Ok(range) => {
                    left -= range.count;
                    ranges.push(range);
                    node.hub.stall(node.life).await;
                }
                Err(Wait::Never(refused)) => return Err(self.refused(node, refused)),
                Err(Wait::Until(moment, refused)) if moment > deadline => {
                    return Err(self.refused(node, refused));
                }
                Err(Wait::Until(moment, _)) => {
                    node.mark(Mark::FlakeWaited);
                    node.sleep_until(moment).await;
                }
                Err(Wait::Lease) => {
                    if within(node.sleep_until(deadline), changed).await.is_none() {
                        return Err(Refused::Unavailable);
                    }
                }
            }
        }
        Ok(ranges)
    }

    /// Lets the world look whether the moment allows it.
    fn refused(&self, node: &Node, refused: Refused) -> Refused {
        node.hub.world().flake_refused(node.life, self.index, refused);
        refused
    }

    async fn ensure_open(&self, node: &Node, deadline: Instant) -> Result<(), Refused> {
        let opening = self.opened.get_or_try_init(|| self.open(node));
        let opened = within(node.sleep_until(deadline), opening).await;
        opened.unwrap_or(Err(Refused::Unavailable)).map(drop)
    }

    /// Learns from the store what has been leased, and by that what the clock must have said.
    async fn open(&self, node: &Node) -> Result<(), Refused> {
        let name = node.name(self.index);
        let record = node.store.read(name).await.map_err(|error| node.refused_by(&error))?;
        let record = record.ok_or(Refused::Wrong(ticketd_core::failure::FailureKind::NotFound))?;
        let tick = self.layout().tick_at(node.wall()).unwrap_or(0);
        let leases = node.store.leases(name, tick).await;
        let latest = leases.map_err(|error| node.refused_by(&error))?.latest.max(record.mark);
        // A sequence whose making was cut short knows nothing of the time.
        let known = if latest > ID_MIN { self.layout().time_of(latest) } else { node.wall() };
        let jump_ms = self.settings.clock_jump_max_ms;
        self.state().guard = Some(ClockGuard::new(known, node.now(), jump_ms));
        Ok(())
    }

    fn try_take(self: &Rc<Self>, node: &Rc<Node>, n: u64) -> Result<Range, Wait> {
        let mut guard = self.state();
        let state = &mut *guard;
        if state.stopped {
            return Err(Wait::Never(Refused::Stopping));
        }
        let mono = node.now();
        let Some(clock) = &mut state.guard else {
            return Err(Wait::Lease);
        };
        let now = clock.check(node.wall(), mono).map_err(|_| Wait::Never(Refused::NotBelieved))?;
        let random = node.hub.world().draw.below(u64::MAX);
        let mut wait = None;
        for index in 0..state.slots.len() {
            let slot = &mut state.slots[index];
            let taken = slot.generator.take(now, n, random);
            self.lease_if_due(node, slot, index, now, mono);
            match taken {
                Ok(range) => {
                    state.last = Some(range.last());
                    let holder = slot.holder;
                    node.hub.world().flake_taken(node.life, self.index, holder, range);
                    return Ok(range);
                }
                Err(short) => wait = Some(sooner(wait, wait_for(short, slot, now, mono))),
            }
        }
        Err(wait.unwrap_or(Wait::Lease))
    }

    fn lease_if_due(
        self: &Rc<Self>,
        node: &Rc<Node>,
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
            if node.bug.uses_before_lease() {
                slot.use_before_lease(ask);
            }
            let (source, node) = (Rc::clone(self), Rc::clone(node));
            let hub = node.hub.clone();
            hub.spawn(node.life, async move { source.lease(&node, index, ask).await });
        }
    }

    /// Asks the store for a window. Belongs to a task of its own.
    async fn lease(&self, node: &Node, index: usize, ask: LeaseAsk) {
        let name = node.name(self.index);
        node.line(self.index, What::AskWindow, [ask.floor, ask.len, ask.holder >> 48]);
        node.hub.world().asks_window(node.life, self.index, ask);
        let leased = node.store.lease(name, ask).await;
        node.hub.stall(node.life).await;
        // Real servers count what is leased; here it is one more question on the way.
        let counted = node.store.leases(name, ask.floor).await;
        if let Err(error) = counted {
            node.hub.world().failed(node.life, &error);
        }
        {
            let mut state = self.state();
            let slot = &mut state.slots[index];
            slot.pause = match leased {
                Ok(Ok(leased)) => {
                    self.granted(node, slot, leased);
                    None
                }
                Ok(Err(NoLease::AllTaken { .. })) => {
                    node.mark(Mark::WorkersAllTaken);
                    Some(slot.pause_for(node, Refused::AllTaken))
                }
                Ok(Err(NoLease::RunOut)) => Some(slot.pause_for(node, Refused::Exhausted)),
                Err(error) => Some(slot.pause_for(node, node.refused_by(&error))),
            };
            slot.asking = false;
        }
        self.changed.notify_waiters();
    }

    fn granted(&self, node: &Node, slot: &mut Slot, leased: Leased) {
        let (start, end) = (leased.window.start(), leased.window.end());
        node.line(self.index, What::Leased, [u64::from(leased.worker), start, end]);
        let held = slot.generator.observe();
        node.mark(match held {
            None => Mark::WorkerFirst,
            Some(seen) if seen.worker == leased.worker => Mark::WorkerRenewed,
            Some(_) => Mark::WorkerChanged,
        });
        slot.failures_in_row = 0;
        if slot.last.replace(leased) != Some(leased) || !node.bug.uses_before_lease() {
            slot.generator.leased(leased);
        }
    }

    /// Makes sure that no ID at or below `to` is issued any more, and believes a clock that says
    /// so.
    pub(super) async fn raise(
        &self,
        node: &Node,
        to: u64,
        deadline: Instant,
    ) -> Result<(), Refused> {
        self.ensure_open(node, deadline).await?;
        let parts = self.layout().decompose(to);
        let parts = parts.ok_or(Refused::Wrong(ticketd_core::failure::FailureKind::Invalid))?;
        let time = self.layout().time_of(parts.tick);
        if time > node.wall().plus(self.settings.ahead_max_ms) {
            node.mark(Mark::RaiseTooEarly);
            return Err(Refused::Lowering);
        }
        if self.state().last.is_some_and(|last| to < last) {
            return Err(Refused::Lowering);
        }
        let next = Parts { tick: parts.tick + 1, worker: 0, counter: 0 };
        node.hub.world().asks(node.life, self.index, Ask::Raise, ServerId(0), 0);
        let raising = node.store.raise(node.name(self.index), next.tick);
        let raised = within(node.sleep_until(deadline), raising).await;
        raised.ok_or(Refused::Unavailable)?.map_err(|error| node.refused_by(&error))?;
        let mut state = self.state();
        if let Some(guard) = &mut state.guard {
            guard.trust(time, node.now());
        }
        for slot in &mut state.slots {
            slot.generator.skip_to(next.tick);
        }
        state.last = state.last.max(Some(to));
        node.hub.world().flake_raised(node.life, self.index, next.tick);
        Ok(())
    }

    /// Issues nothing any more and gives the unspent ticks back.
    pub(super) async fn stop(&self, node: &Node) {
        let unspent: Vec<_> = {
            let mut state = self.state();
            state.stopped = true;
            state.slots.iter_mut().filter_map(|slot| slot.generator.release()).collect()
        };
        for unspent in unspent {
            node.line(
                self.index,
                What::AskRelease,
                [u64::from(unspent.worker), unspent.from, unspent.end],
            );
            match node.store.release(node.name(self.index), unspent).await {
                Ok(true) => node.mark(Mark::TicksReleased),
                Ok(false) => node.mark(Mark::ReleaseRefused),
                Err(error) => node.hub.world().failed(node.life, &error),
            }
        }
    }
}

impl Slot {
    /// When to ask again, and why not before.
    fn pause_for(&mut self, node: &Node, refused: Refused) -> (Instant, Refused) {
        self.failures_in_row = self.failures_in_row.saturating_add(1);
        (node.now().plus_micros(pause_us(self.failures_in_row)), refused)
    }

    /// A deliberate bug: the window that the store will surely lease is spent before it has.
    fn use_before_lease(&mut self, ask: LeaseAsk) {
        use ticketd_core::snowflake::lease::Window;
        let Some(last) = self.last else { return };
        let start = last.window.end().max(ask.floor);
        if let Some(window) = Window::new(start, (start + ask.len).min(ask.ticks)) {
            let leased = Leased { worker: last.worker, window };
            self.last = Some(leased);
            self.generator.leased(leased);
        }
    }
}

/// What has to happen before a generator that is short can issue.
fn wait_for(short: Short, slot: &Slot, now: UnixMillis, mono: Instant) -> Wait {
    match short {
        Short::NeedsLease => match &slot.pause {
            _ if slot.asking => Wait::Lease,
            Some((_, refused)) if refused.is_final() => Wait::Never(*refused),
            Some((moment, refused)) => Wait::Until(*moment, *refused),
            None => Wait::Lease,
        },
        Short::NotYet { until } => {
            let wait_ms = until.since(now).max(1);
            Wait::Until(mono.plus_micros(wait_ms.saturating_mul(1000)), Refused::NotYet)
        }
        Short::OutOfTime(OutOfTime::BeforeEpoch) => Wait::Never(Refused::BeforeEpoch),
        Short::OutOfTime(OutOfTime::RunOut) => Wait::Never(Refused::Exhausted),
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

impl Node {
    /// What the wall clock says. It may lie.
    fn wall(&self) -> UnixMillis {
        self.hub.world().wall(self.life.slot)
    }

    /// What a client is told when the store fails.
    fn refused_by(&self, error: &StoreError) -> Refused {
        self.hub.world().failed(self.life, error);
        Refused::of_store(error.kind)
    }
}
