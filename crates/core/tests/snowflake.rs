//! Every small world of snowflake generators: each layout of a few bits, each path of a clock that
//! steps back and forth, crashes, clean stops and lost answers of the store in between. No ID comes
//! twice, each lies in a window that was durable before, and what one generator issues on one
//! worker ID rises.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, HashSet};

use ticketd_core::snowflake::CounterStart;
use ticketd_core::snowflake::generator::{Generator, Short};
use ticketd_core::snowflake::layout::{Field, Label, Layout};
use ticketd_core::snowflake::lease::{self, Release, Worker, Workers};
use ticketd_core::time::UnixMillis;

/// What may happen next.
#[derive(Debug, Clone, Copy)]
enum Move {
    /// The wall clock is set to this many ticks after the epoch, and somebody asks.
    Clock(u64),
    /// The same moment, and somebody asks for more than a tick holds.
    Burst,
    /// The process dies and comes back.
    Crash,
    /// The process stops cleanly and comes back.
    Restart,
    /// The answer to the next lease is lost, though it was applied.
    LoseLease,
}

/// A deliberate bug, each of which must be caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    /// The store does not remember windows: they are used before they are durable.
    ForgetsWindows,
    /// A release gives back a tick in which something was issued.
    ReleasesTooMuch,
}

struct World {
    layout: Layout,
    bug: Bug,
    now: u64,
    ahead_ms: u64,
    workers: Workers,
    generators: [Generator; 2],
    lives: u64,
    lose_lease: bool,
    issued: HashSet<u64>,
    last: BTreeMap<(u64, u32), u64>,
    wrong: Option<String>,
}

impl World {
    fn new(layout: Layout, ahead_ms: u64, start: CounterStart, bug: Bug) -> Self {
        let generator = |holder| Generator::new(layout, start, ahead_ms, holder, None);
        Self {
            layout,
            bug,
            now: u64::from(layout.tick_ms()),
            ahead_ms,
            workers: Workers::new(),
            generators: [generator(0), generator(1)],
            lives: 2,
            lose_lease: false,
            issued: HashSet::new(),
            last: BTreeMap::new(),
            wrong: None,
        }
    }

    fn go(&mut self, which: usize, step: Move, start: CounterStart) {
        match step {
            Move::Clock(ticks) => {
                self.now = ticks * u64::from(self.layout.tick_ms());
                self.ask(which, 1);
            }
            Move::Burst => self.ask(which, 2 * self.layout.ids_per_tick() + 1),
            Move::LoseLease => self.lose_lease = true,
            Move::Crash => self.come_back(which, start),
            Move::Restart => {
                if let Some(mut unspent) = self.generators[which].release() {
                    if self.bug == Bug::ReleasesTooMuch {
                        unspent = Release { from: unspent.from.saturating_sub(1), ..unspent };
                    }
                    lease::release(&mut self.workers, unspent);
                }
                self.come_back(which, start);
            }
        }
    }

    fn come_back(&mut self, which: usize, start: CounterStart) {
        let holder = self.lives;
        self.lives += 1;
        self.generators[which] = Generator::new(self.layout, start, self.ahead_ms, holder, None);
    }

    fn ask(&mut self, which: usize, mut left: u64) {
        let now = UnixMillis(self.now);
        let mut leases = 0;
        while left > 0 && leases < 3 {
            if let Some(ask) = self.generators[which].lease_due(now) {
                leases += 1;
                let before = self.workers.clone();
                if let Ok(leased) = lease::lease(&mut self.workers, 1, ask) {
                    if std::mem::take(&mut self.lose_lease) {
                        continue;
                    }
                    self.generators[which].leased(leased);
                }
                if self.bug == Bug::ForgetsWindows {
                    self.workers = before;
                }
            }
            match self.generators[which].take(now, left, 1) {
                Ok(range) => {
                    left -= range.count;
                    let seen = self.generators[which].observe().unwrap();
                    range.iter().for_each(|id| self.check(which, seen.worker, id));
                }
                Err(Short::NeedsLease) if leases < 3 => leases += 1,
                Err(_) => return,
            }
        }
    }

    fn check(&mut self, which: usize, worker: u32, id: u64) {
        let parts = self.layout.decompose(id).unwrap();
        let limit = self.layout.tick_at(UnixMillis(self.now + self.ahead_ms));
        let limit = limit.unwrap_or(self.layout.ticks() - 1);
        let durable = self.workers.get(&worker).map_or(0, |Worker { mark, .. }| *mark);
        // What a generator issues under one holder and worker ID rises.
        let key = (which as u64 + self.lives * 10, worker);
        let last = self.last.insert(key, id);
        let wrong = if id == 0 {
            "0 was issued"
        } else if !self.issued.insert(id) {
            "it came twice"
        } else if parts.worker != worker {
            "it has another's worker ID"
        } else if parts.tick > limit {
            "it is too far ahead"
        } else if parts.tick >= durable && self.bug == Bug::None {
            "it lies above what is durable"
        } else if last.is_some_and(|last| id <= last) {
            "it does not rise"
        } else {
            return;
        };
        self.wrong.get_or_insert(format!("{id} at {} of {}: {wrong}", self.now, self.layout));
    }
}

/// Every layout of `bits` bits whose counter and worker ID stand in either order.
fn layouts(bits: u8, tick_ms: u32) -> Vec<Layout> {
    let field = |name: &str, width| Field { label: Label::new(name).unwrap(), width };
    let mut all = Vec::new();
    for time in 1..=bits {
        for worker in 0..=bits - time {
            let counter = bits - time - worker;
            let tail = [field("worker", worker), field("counter", counter)];
            for tail in [tail, [tail[1], tail[0]]] {
                let fields = [field("time", time), tail[0], tail[1]];
                let fields: Vec<_> = fields.into_iter().filter(|f| f.width > 0).collect();
                all.push(Layout::new(&fields, tick_ms, UnixMillis(0), false).unwrap());
            }
        }
    }
    all
}

const MOVES: [Move; 8] = [
    Move::Clock(1),
    Move::Clock(2),
    Move::Clock(4),
    Move::Clock(7),
    Move::Burst,
    Move::Crash,
    Move::Restart,
    Move::LoseLease,
];

/// Every path of `len` moves of two generators; returns how many there were and what went wrong.
fn explore(layout: Layout, len: u32, ahead_ms: u64, bug: Bug) -> (u64, Option<String>) {
    let choices = MOVES.len() as u64 * 2;
    let paths = choices.pow(len);
    for path in 0..paths {
        let start = if path % 2 == 0 { CounterStart::Zero } else { CounterStart::Random };
        let mut world = World::new(layout, ahead_ms, start, bug);
        let mut rest = path;
        for _ in 0..len {
            let choice = (rest % choices) as usize;
            rest /= choices;
            world.go(choice % 2, MOVES[choice / 2], start);
            if world.wrong.is_some() {
                return (path, world.wrong);
            }
        }
    }
    (paths, None)
}

#[test]
fn no_small_world_has_a_duplicate() {
    let mut paths = 0;
    for bits in 1..=8 {
        // A window is a second: a thousand ticks, or two, so that many are leased one after the
        // other.
        for (tick_ms, ahead_ms) in [(1, 0), (1, 1000), (500, 0), (500, 500)] {
            for layout in layouts(bits, tick_ms) {
                let (tried, wrong) = explore(layout, 3, ahead_ms, Bug::None);
                assert_eq!(wrong, None);
                paths += tried;
            }
        }
    }
    println!("{paths} paths of 3 moves over all layouts of up to 8 bits");
    assert!(paths > 1_000_000);
}

#[test]
fn longer_paths_of_layouts_that_are_quickly_used_up() {
    let texts = [
        "time:3,worker:1,counter:1@0/1ms",
        "time:4,counter:1,worker:1@0/500ms",
        "time:4,counter:1@0/500ms",
    ];
    for text in texts {
        let (paths, wrong) = explore(text.parse().unwrap(), 5, 0, Bug::None);
        assert_eq!(wrong, None);
        println!("{paths} paths of 5 moves of {text}");
    }
}

#[test]
fn deliberate_bugs_are_caught() {
    let layout = "time:6,worker:1,counter:1@0/500ms".parse().unwrap();
    for bug in [Bug::ForgetsWindows, Bug::ReleasesTooMuch] {
        // By a checker here, or by an assertion of the generator, which release builds have too.
        let tried = std::panic::catch_unwind(|| explore(layout, 4, 0, bug));
        let caught = tried.as_ref().map_or(true, |(_, wrong)| wrong.is_some());
        assert!(caught, "{bug:?} was not caught");
        println!("{bug:?}: {tried:?}");
    }
}

#[test]
fn a_raise_holds_in_a_window_that_was_on_its_way() {
    let layout: Layout = "time:8,worker:1,counter:1@0/500ms".parse().unwrap();
    let mut workers = Workers::new();
    let mut generator = Generator::new(layout, CounterStart::Zero, 5000, 1, None);
    for raised in [4, 8] {
        let now = UnixMillis(500 * (raised - 1));
        let ask = generator.lease_due(now).unwrap();
        let leased = lease::lease(&mut workers, 1, ask).unwrap();
        assert!(leased.window.start() < raised && raised < leased.window.end());
        generator.skip_to(raised);
        generator.leased(leased);
        let id = generator.take(now, 1, 0).unwrap().first;
        assert!(layout.decompose(id).unwrap().tick >= raised);
        // The other worker ID, as if this one had been taken over.
        workers.values_mut().for_each(|worker| *worker = Worker { mark: 200, holder: 9 });
    }
}

#[test]
fn a_release_gives_back_nothing_that_another_leased_in_between() {
    let layout: Layout = "time:8,counter:1@0/1ms".parse().unwrap();
    let mut workers = Workers::new();
    let [mut one, mut two, mut three] =
        [1, 2, 3].map(|holder| Generator::new(layout, CounterStart::Zero, 9, holder, None));
    let mut issued = HashSet::new();
    let grant = |generator: &mut Generator, workers: &mut Workers, now| {
        let ask = lease::LeaseAsk { len: 2, ..generator.lease_due(UnixMillis(now)).unwrap() };
        if let Ok(leased) = lease::lease(workers, 1, ask) {
            generator.leased(leased);
        }
    };
    let mut spend = |generator: &mut Generator, now| {
        while let Ok(range) = generator.take(UnixMillis(now), 2, 0) {
            range.iter().for_each(|id| assert!(issued.insert(id), "{id} came twice"));
        }
    };
    grant(&mut one, &mut workers, 1);
    spend(&mut one, 1);
    grant(&mut two, &mut workers, 3);
    spend(&mut two, 3);
    // The first one comes back, and stops before it issues; then the clock goes back.
    grant(&mut one, &mut workers, 9);
    lease::release(&mut workers, one.release().unwrap());
    grant(&mut three, &mut workers, 3);
    spend(&mut three, 3);
}
