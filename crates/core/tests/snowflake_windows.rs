//! Every way in which two holders of tick windows can go, in small scopes: with a clock that says
//! anything at any time, worker IDs that are taken over, crashes, clean stops, and a store whose
//! questions and answers are late or lost.
//!
//! Where `snowflake.rs` goes through paths of a few moves of many layouts, this goes through all
//! states of a few layouts, however long the way there: a question to the store, its effect and its
//! answer are moves of their own, and so are those of what a clean stop gives back. The layouts are
//! used up at some time, so the search ends by itself but for the number of lives.
//!
//! Checked in every state: no ID comes twice, each lies below what was durable when it was issued,
//! and what one holder issues on one worker ID rises. Deliberate bugs show that the check can fail.

use stateright::{Checker, HasDiscoveries, Model, Property};
use ticketd_core::snowflake::CounterStart;
use ticketd_core::snowflake::generator::Generator;
use ticketd_core::snowflake::layout::Layout;
use ticketd_core::snowflake::lease::{self, LeaseAsk, Leased, Release, Worker, Workers};
use ticketd_core::time::UnixMillis;

/// A deliberate bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    /// A window starts where the clock is, also below the mark.
    WindowByTheClock,
    /// A release gives back a tick in which something was issued.
    ReleasesTooMuch,
    /// Ticks are given back whatever was leased since.
    ReleasesBlindly,
}

/// A scope.
#[derive(Debug, Clone)]
struct World {
    layout: Layout,
    bug: Bug,
    /// What the clock may say, in ticks.
    clock: &'static [u64],
    /// How often holders may begin anew, under a new number.
    lives: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    now: u64,
    workers: Vec<(u32, Worker)>,
    holders: [Holder; 2],
    begun: u64,
    /// A bit for each ID that was issued.
    issued: u64,
    wrong: Option<Wrong>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Holder {
    generator: Generator,
    lease: Question,
    /// What its last life gives back, on its way to the store.
    release: Option<Release>,
    /// The worker ID and the ID that it issued last.
    last: Option<(u32, u64)>,
}

/// What was asked of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Question {
    Nothing,
    Asked(LeaseAsk),
    Told(Leased),
}

/// What must not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Wrong {
    Twice,
    NotDurable,
    DoesNotRise,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Clock(u64),
    Asks(usize),
    ReachesStore(usize),
    Hears(usize),
    NeverHears(usize),
    Issues(usize),
    Stops(usize),
    ReleaseReachesStore(usize),
    Crashes(usize),
}

impl World {
    fn generator(&self, holder: u64) -> Generator {
        Generator::new(self.layout, CounterStart::Zero, 0, holder, None)
    }

    fn millis(&self, state: &State) -> UnixMillis {
        UnixMillis(state.now * u64::from(self.layout.tick_ms()))
    }

    fn reaches_store(&self, state: &mut State, at: usize) {
        let Question::Asked(ask) = state.holders[at].lease else { return };
        let mut workers: Workers = state.workers.iter().copied().collect();
        if self.bug == Bug::WindowByTheClock {
            workers.values_mut().for_each(|worker| worker.mark = worker.mark.min(ask.floor));
        }
        let leased = lease::lease(&mut workers, 1, ask);
        state.workers = workers.into_iter().collect();
        state.holders[at].lease = leased.map_or(Question::Nothing, Question::Told);
    }

    fn issues(&self, state: &mut State, at: usize) {
        let now = self.millis(state);
        let holder = &mut state.holders[at];
        let Ok(range) = holder.generator.take(now, 1, 0) else { return };
        let id = range.first;
        let parts = self.layout.decompose(id).expect("it is one of this layout");
        let durable = state.workers.iter().find(|(worker, _)| *worker == parts.worker);
        let bit = 1 << id;
        let last = holder.last.replace((parts.worker, id));
        if state.issued & bit != 0 {
            state.wrong = Some(Wrong::Twice);
        } else if durable.is_none_or(|(_, worker)| parts.tick >= worker.mark) {
            state.wrong = Some(Wrong::NotDurable);
        } else if last.is_some_and(|(worker, last)| worker == parts.worker && id <= last) {
            state.wrong = Some(Wrong::DoesNotRise);
        }
        state.issued |= bit;
    }

    fn begins_anew(&self, state: &mut State, at: usize, release: Option<Release>) {
        let generator = self.generator(state.begun);
        state.begun += 1;
        state.holders[at] = Holder { generator, lease: Question::Nothing, release, last: None };
    }

    fn stops(&self, state: &mut State, at: usize) {
        let mut release = state.holders[at].generator.release();
        if let (Bug::ReleasesTooMuch, Some(unspent)) = (self.bug, &mut release) {
            unspent.from = unspent.from.saturating_sub(1);
        }
        self.begins_anew(state, at, release);
    }

    fn release_reaches_store(&self, state: &mut State, at: usize) {
        let Some(mut unspent) = state.holders[at].release.take() else { return };
        let mut workers: Workers = state.workers.iter().copied().collect();
        if let (Bug::ReleasesBlindly, Some(worker)) = (self.bug, workers.get(&unspent.worker)) {
            (unspent.holder, unspent.end) = (worker.holder, worker.mark);
        }
        lease::release(&mut workers, unspent);
        state.workers = workers.into_iter().collect();
    }
}

impl Model for World {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        let holder = |number| Holder {
            generator: self.generator(number),
            lease: Question::Nothing,
            release: None,
            last: None,
        };
        vec![State {
            now: self.clock[0],
            workers: Vec::new(),
            holders: [holder(0), holder(1)],
            begun: 2,
            issued: 0,
            wrong: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Event>) {
        actions.extend(self.clock.iter().copied().map(Event::Clock));
        let may_begin = state.begun < 2 + self.lives;
        for (at, holder) in state.holders.iter().enumerate() {
            actions.push(Event::Issues(at));
            match holder.lease {
                Question::Nothing => actions.push(Event::Asks(at)),
                // One that is lost is as one that never arrives.
                Question::Asked(_) => actions.push(Event::ReachesStore(at)),
                Question::Told(_) => actions.extend([Event::Hears(at), Event::NeverHears(at)]),
            }
            if holder.release.is_some() {
                actions.push(Event::ReleaseReachesStore(at));
            } else if may_begin {
                actions.extend([Event::Stops(at), Event::Crashes(at)]);
            }
        }
    }

    fn next_state(&self, before: &State, event: Event) -> Option<State> {
        let mut state = before.clone();
        match event {
            Event::Clock(ticks) => state.now = ticks,
            Event::Asks(at) => {
                let ask = state.holders[at].generator.lease_due(self.millis(before))?;
                state.holders[at].lease = Question::Asked(ask);
            }
            Event::ReachesStore(at) => self.reaches_store(&mut state, at),
            Event::Hears(at) => {
                let told = std::mem::replace(&mut state.holders[at].lease, Question::Nothing);
                let Question::Told(leased) = told else { return None };
                state.holders[at].generator.leased(leased);
            }
            Event::NeverHears(at) => state.holders[at].lease = Question::Nothing,
            Event::Issues(at) => self.issues(&mut state, at),
            Event::Stops(at) => self.stops(&mut state, at),
            Event::ReleaseReachesStore(at) => self.release_reaches_store(&mut state, at),
            Event::Crashes(at) => self.begins_anew(&mut state, at, None),
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("right", |_, state: &State| state.wrong.is_none()),
            Property::sometimes("a takeover", |_, state: &State| {
                state.workers.iter().any(|(_, worker)| worker.holder > 1)
            }),
        ]
    }
}

/// Explores all of `world`; returns how many states there are, or what went wrong and how.
fn explore(world: World) -> Result<usize, String> {
    let checker = world.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs();
    let checker = checker.join();
    if let Some(path) = checker.discovery("right") {
        let wrong = path.last_state().wrong;
        return Err(format!("{wrong:?}: {:?}", path.into_actions()));
    }
    assert!(checker.discovery("a takeover").is_some(), "no worker ID changed hands");
    Ok(checker.unique_state_count())
}

/// One worker ID, or two, and windows of two ticks.
fn worlds() -> [World; 2] {
    let world = |layout: &str, clock, lives| World {
        layout: layout.parse().expect("it is a layout"),
        bug: Bug::None,
        clock,
        lives,
    };
    [
        world("time:3,counter:1@0/500ms", &[1, 3, 5], 2),
        world("time:3,worker:1,counter:1@0/500ms", &[1, 4], 1),
    ]
}

#[test]
fn no_holder_of_a_window_repeats_an_id() {
    for world in worlds() {
        let layout = world.layout;
        println!("{layout}: {} states", explore(world).unwrap_or_else(|wrong| panic!("{wrong}")));
    }
}

#[test]
fn deliberate_bugs_are_found() {
    for bug in [Bug::WindowByTheClock, Bug::ReleasesTooMuch, Bug::ReleasesBlindly] {
        let [world, _] = worlds();
        let found = std::panic::catch_unwind(|| explore(World { bug, ..world }));
        match found {
            Ok(found) => println!("{bug:?}: {}", found.expect_err(&format!("{bug:?} not found"))),
            // By an assertion of the generator, which release builds have too.
            Err(_) => println!("{bug:?}: an assertion"),
        }
    }
}
