//! All servers and their engine, as a model: what may happen next, what comes of it, and what must
//! hold of it.

use std::collections::BTreeMap;

use stateright::{Model, Property};
use ticketd_core::cluster::{Claimed, ServerId, ServerLease, Shared, drift_us};
use ticketd_core::definition::Definition;
use ticketd_core::record::{HandBack, Reserve};

use crate::server::{Client, Renewal, Reservation, Server, Taken};

/// A lease lasts for so many steps of time, by a clock that is as slow as it may be for its holder,
/// and by one that is as fast as it may be for those who watch.
const LEASE_STEPS: u64 = 1;

/// In microseconds of a clock that pass in one step of time. A lease is a fiftieth shorter for its
/// holder, so these are the furthest that two clocks may be apart.
const SLOW: u64 = 49;
const FAST: u64 = 50;

const TTL_US: u64 = FAST * LEASE_STEPS;

/// The seat of the server that renews its lease all the time, if one does.
const STEADY: usize = 1;

/// A deliberate bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    None,
    /// The lease is looked at before an ID is taken, and not after.
    LooksBeforeItTakes,
    /// A lease is counted from the answer, not from the question.
    CountsFromTheAnswer,
    /// The holder's lease is as long as that of those who watch.
    IgnoresDrift,
    /// Leases are counted by the wall clock, which somebody sets back.
    LeaseByWallClock,
    /// A silent server's lease is ended in whatever version it is by then.
    EndsAnyVersion,
    /// A reservation replaces whatever is there.
    SavesBlindly,
    /// A reservation is made in whatever turn it is.
    ReservesInAnyTurn,
    /// What is held is kept when the lease has ended, for the next one.
    KeepsWhatItHeld,
}

/// How far a search goes.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    pub servers: u64,
    /// Steps of time.
    pub time: u64,
    /// Questions about their leases that all servers together may ask.
    pub renewals: u8,
    /// Whether the second server renews its first lease, without any of these, whenever time goes on.
    pub is_steady: bool,
    /// How often servers may begin anew.
    pub lives: u64,
    /// Whether servers crash, but for a steady one.
    pub crashes: bool,
    /// Turns of the sequence.
    pub turns: u64,
    /// IDs of a reservation.
    pub block_len: u64,
    /// No reservation begins at this ID or above.
    pub ids: u64,
    /// Answers to clients.
    pub answers: u32,
    /// Whether owners hand back what they hold.
    pub hands_back: bool,
}

impl Scope {
    /// Either of two servers renews its lease.
    pub const RENEWAL: Self = Self {
        servers: 2,
        time: 2,
        renewals: 1,
        is_steady: false,
        lives: 0,
        crashes: false,
        turns: 3,
        block_len: 1,
        ids: 3,
        answers: 2,
        hands_back: false,
    };
    /// Owners hand back what they hold.
    pub const HAND_BACK: Self =
        Self { renewals: 0, block_len: 2, ids: 4, hands_back: true, ..Self::RENEWAL };
    /// One renews its lease, beside one that always does.
    pub const STEADY: Self = Self { is_steady: true, ..Self::RENEWAL };
    /// Whose lease has ended begins anew.
    pub const SECOND_LIFE: Self = Self { lives: 1, turns: 2, ..Self::STEADY };
    /// Who crashes begins anew.
    pub const CRASH: Self = Self { renewals: 0, lives: 1, crashes: true, turns: 2, ..Self::STEADY };
}

/// What may happen next: something to a server, or nothing but that time goes on.
pub type Action = Option<(Event, usize)>;

#[derive(Debug, Clone)]
pub struct World {
    pub scope: Scope,
    pub bug: Bug,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    time: u64,
    servers: Vec<Server>,
    renewals_left: u8,
    lives_left: u64,
    engine: Engine,
    /// A bit for each ID that a client was answered.
    answered: u64,
    wrong: Option<Wrong>,
}

/// What the engine remembers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Engine {
    record: Shared,
    /// The versions of the entries of those who are there.
    entries: BTreeMap<ServerId, u64>,
}

/// What must not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Wrong {
    Twice,
    OutOfOrder,
    AboveTheMark,
    TakenByNoOwner,
    ReservedByNoOwner,
}

/// What may happen to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    AsksForLease,
    LeaseReachesEngine,
    HearsOfLease,
    NeverHearsOfLease,
    Looks,
    EndReachesEngine,
    ReadsToClaim,
    Claims,
    Reserves,
    ReservationReachesEngine,
    HearsOfReservation,
    NeverHearsOfReservation,
    HandsBack,
    HandBackReachesEngine,
    Takes,
    LooksAtItsLease,
    Answers,
    Crashes,
    IsSetBack,
}

impl World {
    /// What holds in every state.
    pub const ALWAYS: [&'static str; 6] = ["unique", "order", "durable", "lease", "fence", "owner"];

    /// What a search that is worth its name has seen.
    pub const SOMETIMES: [&'static str; 3] = ["a takeover", "an answer in time", "a burnt ID"];

    /// A lease that has not been had yet.
    fn lease(&self) -> ServerLease {
        // A longer one, less the drift, is as long as the others think.
        let ignored = if self.bug == Bug::IgnoresDrift { drift_us(TTL_US) } else { 0 };
        ServerLease::new(TTL_US + ignored)
    }

    /// What may happen to the lease of a server. Whoever may not ask again need not give up waiting.
    const fn of_lease(server: &Server, may_ask: bool) -> &'static [Event] {
        match server.renewal {
            Renewal::Nothing if may_ask || !server.may_claim => &[Event::AsksForLease],
            Renewal::Nothing => &[],
            Renewal::Asked if may_ask => &[Event::LeaseReachesEngine, Event::NeverHearsOfLease],
            Renewal::Asked => &[Event::LeaseReachesEngine],
            Renewal::Told(_) if may_ask => &[Event::HearsOfLease, Event::NeverHearsOfLease],
            Renewal::Told(_) => &[Event::HearsOfLease],
        }
    }

    /// What may happen to a server that wants to own the sequence, or owns it.
    fn of_owning(&self, server: &Server, engine: &Engine) -> &'static [Event] {
        let stands = |owner| owner != server.id() && engine.entries.contains_key(&owner);
        let is_free = !engine.record.owner.is_some_and(stands);
        match (server.turn, server.reserve) {
            // One that is lost is tried again, as one that came too late for its record is.
            (_, Reservation::Asked(..)) => &[Event::ReservationReachesEngine],
            (_, Reservation::Told(_)) => {
                &[Event::HearsOfReservation, Event::NeverHearsOfReservation]
            }
            (None, _) if server.hand_back.is_some() => &[Event::HandBackReachesEngine],
            (None, _) if server.claim.is_some() => &[Event::Claims],
            // Whoever reads it while another's lease stands does not become its owner; if that ends
            // then, reading it later is the same.
            (None, _) if server.may_claim && is_free && engine.record.turn < self.scope.turns => {
                &[Event::ReadsToClaim]
            }
            (None, _) => &[],
            (Some(_), _) if server.block.is_some() && self.scope.hands_back => &[Event::HandsBack],
            (Some(_), _) if server.block.is_some() => &[],
            (Some(_), _) if engine.record.record.mark < self.scope.ids => &[Event::Reserves],
            (Some(_), _) => &[],
        }
    }

    /// What may happen to a client of a server.
    fn of_client(&self, server: &Server, state: &State) -> &'static [Event] {
        let may_ask = state.answered.count_ones() < self.scope.answers && server.block.is_some();
        match server.client {
            Client::Nobody if may_ask && self.bug == Bug::LooksBeforeItTakes => {
                &[Event::LooksAtItsLease]
            }
            Client::Nobody if may_ask => &[Event::Takes],
            Client::Nobody => &[],
            Client::Looked(_) => &[Event::Takes],
            Client::Taken(_) => &[Event::LooksAtItsLease],
            Client::MayHave(_) => &[Event::Answers],
        }
    }

    fn time_goes_on(&self, state: &mut State) {
        state.time += 1;
        let server = &mut state.servers[STEADY];
        if self.scope.is_steady
            && server.life == 0
            && let Some(version) = state.engine.entries.get_mut(&server.id())
        {
            *version += 1;
            server.lease.asking(server.clock(state.time));
            server.lease.renewed();
        }
    }

    fn lease_reaches_engine(server: &mut Server, engine: &mut Engine) {
        if !std::mem::replace(&mut server.is_announced, true) {
            engine.entries.insert(server.id(), 0);
        }
        // Nobody but the server itself makes another version of its entry, or makes it again.
        let there = engine.entries.get_mut(&server.id()).map(|version| *version += 1).is_some();
        server.renewal = Renewal::Told(there);
    }

    fn hears_of_lease(&self, time: u64, server: &mut Server, lives_left: &mut u64) {
        let renewed = server.renewal == Renewal::Told(true);
        server.renewal = Renewal::Nothing;
        if renewed {
            if self.bug == Bug::CountsFromTheAnswer {
                server.lease.asking(server.clock(time));
            }
            server.lease.renewed();
            server.may_claim = true;
            return;
        }
        server.lease.ended();
        if self.bug != Bug::KeepsWhatItHeld {
            server.close();
        }
        if *lives_left > 0 {
            *lives_left -= 1;
            server.begin_again(self.lease());
        }
    }

    /// Reads the entries, and decides to end those of silent servers.
    fn looks(time: u64, server: &mut Server, engine: &Engine) {
        let (now, me) = (server.clock(time), server.id());
        let entries = engine.entries.iter().map(|(id, version)| (*id, *version, TTL_US));
        server.roster.saw(now, entries);
        server.ending = server.roster.silent(now).into_iter().filter(|s| s.0 != me).collect();
    }

    fn end_reaches_engine(&self, server: &mut Server, engine: &mut Engine) {
        let (id, version) = server.ending.pop().expect("it has decided so");
        let found = engine.entries.get(&id).copied();
        if found == Some(version) || self.bug == Bug::EndsAnyVersion {
            engine.entries.remove(&id);
        }
    }

    /// Looks whether the owner is there, and replaces the record if it is as it was read. An entry
    /// that is gone never comes back, so both may be one step.
    fn claims(server: &mut Server, engine: &mut Engine) {
        let before = server.claim.take().expect("it has read it");
        let mut after = before;
        let claimed = after.claim(server.id(), |owner| !engine.entries.contains_key(&owner));
        if engine.record == before
            && let Claimed::Mine(_, turn) = claimed
        {
            engine.record = after;
            server.turn = Some(turn);
        }
    }

    /// Replaces the record if it is as it was read; otherwise it is read again.
    fn reservation_reaches_engine(&self, state: &mut State, at: usize) {
        let (server, engine) = (&mut state.servers[at], &mut state.engine);
        let Reservation::Asked(before, turn) = server.reserve else { return };
        let mut after = before;
        let len = self.scope.block_len;
        let mut asked = Reserve { floor: 1, len, spent: 1, generation: 0, turn };
        if self.bug == Bug::ReservesInAnyTurn {
            asked.turn = before.turn;
        }
        let block = after.reserve(asked);
        let is_fresh = engine.record == before || self.bug == Bug::SavesBlindly;
        server.reserve = match block {
            Ok(block) if is_fresh => {
                if (before.turn, before.owner) != (turn, Some(server.id())) {
                    state.wrong = Some(Wrong::ReservedByNoOwner);
                }
                engine.record = after;
                Reservation::Told(Some(block))
            }
            Err(_) if is_fresh => Reservation::Told(None),
            Ok(_) | Err(_) => Reservation::Asked(engine.record, turn),
        };
    }

    fn hears_of_reservation(server: &mut Server) {
        let told = std::mem::replace(&mut server.reserve, Reservation::Nothing);
        match told {
            Reservation::Told(Some(block)) => server.block = Some(block),
            _ => server.close(),
        }
    }

    fn hands_back(server: &mut Server) {
        if let (Some(turn), Some(block)) = (server.turn, server.block) {
            server.hand_back = Some(HandBack { start: block.start(), end: block.end(), turn });
        }
        server.close();
    }

    fn takes(state: &mut State, at: usize) {
        let by_owner = state.is_named(&state.servers[at]);
        let largest = state.largest();
        let server = &mut state.servers[at];
        let life = server.life;
        let taken = |id, above| Taken { id, above, life, by_owner };
        server.client = match (server.client, server.take()) {
            (Client::Looked(above), Some(id)) => Client::MayHave(taken(id, above)),
            (_, Some(id)) => Client::Taken(taken(id, largest)),
            (_, None) => Client::Nobody,
        };
    }

    fn looks_at_its_lease(&self, state: &mut State, at: usize) {
        let largest = state.largest();
        let server = &mut state.servers[at];
        let is_its = |life| life == server.life || self.bug == Bug::KeepsWhatItHeld;
        server.client = match server.client {
            _ if !server.holds(state.time) => Client::Nobody,
            Client::Taken(taken) if is_its(taken.life) => Client::MayHave(taken),
            Client::Nobody => Client::Looked(largest),
            _ => Client::Nobody,
        };
    }

    fn answers(state: &mut State, at: usize) {
        let client = std::mem::replace(&mut state.servers[at].client, Client::Nobody);
        let Client::MayHave(taken) = client else { return };
        let bit = 1 << taken.id;
        if state.answered & bit != 0 {
            state.wrong = Some(Wrong::Twice);
        } else if taken.id <= taken.above {
            state.wrong = Some(Wrong::OutOfOrder);
        } else if taken.id >= state.engine.record.record.mark {
            state.wrong = Some(Wrong::AboveTheMark);
        } else if !taken.by_owner {
            state.wrong = Some(Wrong::TakenByNoOwner);
        }
        state.answered |= bit;
    }

    fn crashes(&self, server: &mut Server) {
        server.close();
        (server.client, server.hand_back) = (Client::Nobody, None);
        (server.ending, server.roster) = Default::default();
        server.begin_again(self.lease());
    }

    fn step(&self, state: &mut State, event: Event, at: usize) {
        let State { time, servers, engine, renewals_left, lives_left, .. } = state;
        let (server, time) = (&mut servers[at], *time);
        match event {
            Event::AsksForLease => {
                // A new life costs none: there are few enough of those.
                *renewals_left -= u8::from(server.may_claim);
                server.renewal = Renewal::Asked;
                server.lease.asking(server.clock(time));
            }
            Event::LeaseReachesEngine => Self::lease_reaches_engine(server, engine),
            Event::HearsOfLease => self.hears_of_lease(time, server, lives_left),
            Event::NeverHearsOfLease => {
                server.renewal = Renewal::Nothing;
                server.lease.failed(server.clock(time));
            }
            Event::Looks => Self::looks(time, server, engine),
            Event::EndReachesEngine => self.end_reaches_engine(server, engine),
            Event::ReadsToClaim => server.claim = Some(engine.record),
            Event::Claims => Self::claims(server, engine),
            Event::Reserves => {
                let turn = server.turn.expect("it owns it");
                server.reserve = Reservation::Asked(engine.record, turn);
            }
            Event::ReservationReachesEngine => self.reservation_reaches_engine(state, at),
            Event::HearsOfReservation => Self::hears_of_reservation(server),
            Event::NeverHearsOfReservation => server.reserve = Reservation::Nothing,
            Event::HandsBack => Self::hands_back(server),
            Event::HandBackReachesEngine => {
                server.hand_back.take().map(|unissued| engine.record.hand_back(unissued));
            }
            Event::Takes => Self::takes(state, at),
            Event::LooksAtItsLease => self.looks_at_its_lease(state, at),
            Event::Answers => Self::answers(state, at),
            Event::Crashes => {
                *lives_left -= 1;
                self.crashes(server);
            }
            Event::IsSetBack => server.set_back_us = TTL_US,
        }
    }
}

impl State {
    /// The largest ID that was answered; 0 if none was.
    const fn largest(&self) -> u64 {
        (63 - (self.answered | 1).leading_zeros()) as u64
    }

    /// Whether `server` owns the sequence as far as it knows, and may answer.
    fn believes(&self, server: &Server) -> bool {
        server.turn.is_some() && server.holds(self.time)
    }

    fn is_named(&self, server: &Server) -> bool {
        let record = &self.engine.record;
        record.owner == Some(server.id()) && server.turn == Some(record.turn)
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    /// All servers have just announced themselves and seen each other; nobody owns the sequence.
    /// Some clocks are fast and some slow.
    fn init_states(&self) -> Vec<State> {
        let Scope { servers, renewals, lives, .. } = self.scope;
        (1..servers)
            .map(|slow| {
                let speed = |seat| if seat < slow { SLOW } else { FAST };
                let server = |seat| Server::new(seat, speed(seat), self.lease());
                let mut servers: Vec<Server> = (0..servers).map(server).collect();
                let entries: BTreeMap<_, _> = servers.iter().map(|s| (s.id(), 0)).collect();
                let engine = Engine { record: Shared::new(Definition::default()), entries };
                for server in &mut servers {
                    Self::looks(0, server, &engine);
                }
                State {
                    time: 0,
                    servers,
                    renewals_left: renewals,
                    lives_left: lives,
                    engine,
                    answered: 0,
                    wrong: None,
                }
            })
            .collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.time < self.scope.time {
            actions.push(None);
        }
        for (at, server) in state.servers.iter().enumerate() {
            let mut add = |event| actions.push(Some((event, at)));
            let is_steady = self.scope.is_steady && at == STEADY;
            let may_ask = state.renewals_left > 0 && !is_steady;
            Self::of_lease(server, may_ask).iter().copied().for_each(&mut add);
            self.of_owning(server, &state.engine).iter().copied().for_each(&mut add);
            self.of_client(server, state).iter().copied().for_each(&mut add);
            add(Event::Looks);
            if !server.ending.is_empty() {
                add(Event::EndReachesEngine);
            }
            if self.scope.crashes && !is_steady && state.lives_left > 0 {
                add(Event::Crashes);
            }
            if self.bug == Bug::LeaseByWallClock && server.set_back_us == 0 {
                add(Event::IsSetBack);
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            None => self.time_goes_on(&mut state),
            Some((event, at)) => self.step(&mut state, event, at),
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let [unique, order, durable, lease, fence, owner] = Self::ALWAYS;
        let [takeover, in_time, burnt] = Self::SOMETIMES;
        vec![
            Property::always(unique, |_, state: &State| state.wrong != Some(Wrong::Twice)),
            Property::always(order, |_, state: &State| state.wrong != Some(Wrong::OutOfOrder)),
            Property::always(durable, |_, state: &State| state.wrong != Some(Wrong::AboveTheMark)),
            Property::always(lease, |_, state: &State| state.wrong != Some(Wrong::TakenByNoOwner)),
            Property::always(fence, |_, state: &State| {
                state.wrong != Some(Wrong::ReservedByNoOwner)
            }),
            Property::always(owner, |_, state: &State| {
                state.servers.iter().all(|s| !state.believes(s) || state.is_named(s))
            }),
            Property::sometimes(takeover, |_, state: &State| {
                state.engine.record.turn > 1 && state.servers.iter().any(|s| state.believes(s))
            }),
            Property::sometimes(in_time, |_, state: &State| state.answered != 0),
            Property::sometimes(burnt, |_, state: &State| {
                let lapsed =
                    |s: &Server| matches!(s.client, Client::Taken(_)) && !s.holds(state.time);
                state.answered != 0 && state.servers.iter().any(lapsed)
            }),
        ]
    }
}
