//! The generator of one worker ID: a position in ticks and counters that only moves forward,
//! within windows that the store has made durable before.
//!
//! It never sleeps and reads no clock: it is told the time, and says when it can go on. What a
//! clock does, going back, standing still, or ahead, decides when there is an ID, never whether it
//! is unique: a tick is spent only inside a window, and a position is spent once.

use crate::ids::Range;
use crate::limits::LEASE_LASTS_MS;
use crate::snowflake::CounterStart;
use crate::snowflake::layout::{Layout, OutOfTime, Parts};
use crate::snowflake::lease::{LeaseAsk, Leased, Release, Window};
use crate::time::UnixMillis;

/// The generator of one worker ID. See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Generator {
    layout: Layout,
    counter_start: CounterStart,
    ahead_max_ms: u64,
    holder: u64,
    preferred: Option<u32>,
    /// Nothing is issued below this tick, also in a window that comes later.
    floor: u64,
    held: Option<Held>,
    /// A deliberate bug, for the tests of the tests.
    #[cfg(feature = "mutants")]
    mutant: Option<Mutant>,
}

/// A deliberate bug of a generator. The deterministic world must catch each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// Goes back with a clock that goes back.
    FollowsClockBack,
    /// Gives back the ticks between two windows, which another may have held meanwhile.
    ReleasesBetween,
}

/// A worker ID, and what may be issued on it: the window being spent, and perhaps one after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Held {
    worker: u32,
    window: Window,
    next: Option<Window>,
    /// The next ID is this one or a later one.
    at: Position,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Position {
    tick: u64,
    counter: u64,
}

/// Why a generator has no ID at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Short {
    /// It holds no tick that may be spent now: see [`Generator::lease_due`].
    NeedsLease,
    /// It is as far ahead of the wall clock as it may be, because that went back or all of the
    /// time until now is spent.
    NotYet {
        /// What the wall clock has to say before there can be an ID.
        until: UnixMillis,
    },
    /// No ID can carry this moment.
    OutOfTime(OutOfTime),
}

/// What there is to see of a generator that holds a worker ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The worker ID.
    pub worker: u32,
    /// The tick of the next ID, or an earlier one if time has passed since the last.
    pub tick: u64,
}

impl Generator {
    /// A generator that holds nothing. `holder` is a number that no other generator has; it asks
    /// for the worker ID `preferred` first. Its IDs may be ahead of the wall clock by up to
    /// `ahead_max_ms` milliseconds.
    pub const fn new(
        layout: Layout,
        counter_start: CounterStart,
        ahead_max_ms: u64,
        holder: u64,
        preferred: Option<u32>,
    ) -> Self {
        Self {
            layout,
            counter_start,
            ahead_max_ms,
            holder,
            preferred,
            floor: 0,
            held: None,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    /// The same with a deliberate bug.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub const fn with_mutant(self, mutant: Option<Mutant>) -> Self {
        Self { mutant, ..self }
    }

    #[cfg(feature = "mutants")]
    fn is_mutant(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    #[cfg(not(feature = "mutants"))]
    #[expect(clippy::unused_self, reason = "the same call in both builds")]
    const fn is_mutant(&self, _: Mutant) -> bool {
        false
    }

    /// Takes up to `n` IDs, all of one tick, when the wall clock says `now`. `random` is where the
    /// counter of a fresh tick starts, if it is to start at random.
    ///
    /// # Errors
    /// [`Short`] if there is none right now; nothing changes then.
    ///
    /// # Panics
    /// If `n` is 0, or if an ID would lie outside what is held: that would be a duplicate in the
    /// making.
    pub fn take(&mut self, now: UnixMillis, n: u64, random: u64) -> Result<Range, Short> {
        assert!(n > 0, "a request is for at least one ID");
        let present = self.layout.tick_at(now).map_err(Short::OutOfTime)?;
        // Beyond the last tick there is no window, so a limit above it does no harm.
        let ahead = now.plus(self.ahead_max_ms).since(self.layout.epoch());
        let limit = ahead / u64::from(self.layout.tick_ms());
        let goes_back = self.is_mutant(Mutant::FollowsClockBack);
        let held = self.held.as_mut().ok_or(Short::NeedsLease)?;
        if goes_back && present < held.at.tick {
            held.at = Position { tick: present, counter: 0 };
        }
        let mut at = held.at;
        if at.tick < present {
            at = Position { tick: present, counter: 0 };
            if self.counter_start == CounterStart::Random {
                at.counter = random % self.layout.ids_per_tick();
            }
        }
        let window = held.window_for(&mut at).ok_or(Short::NeedsLease)?;
        if at.tick > limit {
            let early = at.tick.saturating_mul(u64::from(self.layout.tick_ms()));
            let until = self.layout.epoch().plus(early.saturating_sub(self.ahead_max_ms));
            return Err(Short::NotYet { until });
        }
        let count = n.min(self.layout.ids_per_tick() - at.counter);
        let parts = Parts { tick: at.tick, worker: held.worker, counter: at.counter };
        assert!(held.at <= at, "a generator never goes back");
        assert!((window.start()..window.end()).contains(&at.tick), "an ID lies in a window");
        held.spend(window, at, count, self.layout.ids_per_tick());
        Ok(Range { first: self.layout.compose(parts), step: self.layout.counter_step(), count })
    }

    /// What to ask the store for when the wall clock says `now`, if anything. Ask once at a time.
    pub fn lease_due(&self, now: UnixMillis) -> Option<LeaseAsk> {
        let present = self.layout.tick_at(now).ok()?;
        let len = self.lease_len();
        let due = self.held.is_none_or(|held| {
            let end = held.next.unwrap_or(held.window).end();
            let left = end.saturating_sub(held.at.tick.max(present));
            left == 0 || (held.next.is_none() && left < len.div_ceil(2))
        });
        due.then_some(LeaseAsk {
            holder: self.holder,
            preferred: self.held.map(|held| held.worker).or(self.preferred),
            floor: present,
            len,
            workers: self.layout.workers(),
            ticks: self.layout.ticks(),
        })
    }

    fn lease_len(&self) -> u64 {
        LEASE_LASTS_MS.div_ceil(u64::from(self.layout.tick_ms())).max(2)
    }

    /// Takes over a window that the store has made durable.
    ///
    /// # Panics
    /// If it overlaps one that this generator has held: that would be a duplicate in the making.
    pub fn leased(&mut self, leased: Leased) {
        let Leased { worker, window } = leased;
        let forgets = self.is_mutant(Mutant::ReleasesBetween);
        assert!(u64::from(worker) < self.layout.workers(), "there is such a worker ID");
        match &mut self.held {
            Some(held) if held.worker == worker => {
                let end = held.next.unwrap_or(held.window).end();
                assert!(end <= window.start(), "the windows of a worker ID rise");
                let at = held.at;
                held.extend(window);
                if forgets {
                    held.at = at;
                }
            }
            // Somebody else has taken over the worker ID: what was held of it is given up.
            _ => {
                let at = Position { tick: window.start(), counter: 0 };
                self.held = Some(Held { worker, window, next: None, at });
            }
        }
        // A raise may have come while the lease was on its way.
        self.skip_to(self.floor);
    }

    /// Issues nothing below `tick` any more.
    pub fn skip_to(&mut self, tick: u64) {
        self.floor = self.floor.max(tick);
        if let Some(held) = &mut self.held {
            held.at = held.at.max(Position { tick, counter: 0 });
        }
    }

    /// Gives up what is held, and says what a store may give to others.
    pub fn release(&mut self) -> Option<Release> {
        let held = self.held.take()?;
        let end = held.next.unwrap_or(held.window).end();
        // A tick in which something was issued is spent as a whole.
        let from = held.at.tick + u64::from(held.at.counter > 0);
        let adjacent = held.next.is_none_or(|next| next.start() == held.window.end());
        let Self { holder, .. } = *self;
        (adjacent && from < end).then_some(Release { worker: held.worker, holder, from, end })
    }

    /// What there is to see of it; `None` if it holds nothing.
    pub fn observe(&self) -> Option<Seen> {
        self.held.map(|held| Seen { worker: held.worker, tick: held.at.tick })
    }
}

impl Held {
    /// The window that `at` lies in, moved up to its start if it lies before it.
    fn window_for(&self, at: &mut Position) -> Option<Window> {
        let windows = [Some(self.window), self.next];
        let window = windows.into_iter().flatten().find(|window| at.tick < window.end())?;
        *at = (*at).max(Position { tick: window.start(), counter: 0 });
        Some(window)
    }

    fn spend(&mut self, window: Window, at: Position, count: u64, ids_per_tick: u64) {
        self.at = Position { tick: at.tick, counter: at.counter + count };
        if self.at.counter >= ids_per_tick {
            self.at = Position { tick: at.tick + 1, counter: 0 };
        }
        if self.next == Some(window) {
            self.next = None;
            self.window = window;
        }
    }

    fn extend(&mut self, window: Window) {
        let last = self.next.as_mut().unwrap_or(&mut self.window);
        match Window::new(last.start(), window.end()) {
            Some(both) if last.end() == window.start() => *last = both,
            _ if self.at.tick >= self.window.end() => {
                // What lies between may be another's: a release must not give it back.
                self.at = self.at.max(Position { tick: window.start(), counter: 0 });
                self.window = window;
            }
            _ => self.next = Some(window),
        }
    }
}
