//! What happens to the servers, told in the order in which it happens, and counted.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ticketd_core::cluster::{ServerId, Shared};
use ticketd_core::name::Name;
use ticketd_store::engine::{Change, Version};

use super::SERVERS;

/// Hears what happens. Called from many threads, never from two at once.
pub type Tell = Arc<dyn Fn(&Event) + Send + Sync>;

/// Something happened to a server. Servers are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It is gone, with all that it had in memory. Whoever wants an ID of what it `owned` waits
    /// until its lease has ended.
    Crashed {
        /// Which.
        server: usize,
        /// The tables it owned.
        owned: Vec<Name>,
    },
    /// It begins to stop, and hands over what it owns.
    Stops {
        /// Which.
        server: usize,
        /// The tables it owns.
        owned: Vec<Name>,
    },
    /// It was not renewed: another server has ended it.
    LeaseEnded {
        /// Whose lease.
        server: usize,
    },
    /// It is the owner from now on.
    Owns {
        /// Who.
        server: usize,
        /// Of what.
        table: Name,
        /// The fencing token.
        turn: u64,
        /// Whether another was the owner, whose lease had ended.
        is_takeover: bool,
    },
    /// It was started again, and remembers nothing.
    Back {
        /// Which.
        server: usize,
    },
}

/// How often it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Servers that crashed.
    pub crashes: u64,
    /// Servers that stopped cleanly.
    pub stops: u64,
    /// Tables that a server took over from another, whose lease had ended.
    pub takeovers: u64,
}

/// Follows what servers change in the engine, and what is done to them.
pub(super) struct Story {
    tell: Tell,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// Whose lease it is or was.
    servers: HashMap<ServerId, usize>,
    /// The lease that each server has now.
    leases: [Option<ServerId>; SERVERS],
    tables: BTreeMap<Name, Shared>,
    counts: Counts,
}

impl Story {
    pub(super) fn new(tell: Tell) -> Self {
        Self { tell, book: Mutex::default() }
    }

    /// `server` is gone.
    pub(super) fn crashed(&self, server: usize) {
        let mut book = self.book();
        book.counts.crashes += 1;
        (self.tell)(&Event::Crashed { server: server + 1, owned: book.owned_by(server) });
    }

    /// `server` begins to stop.
    pub(super) fn stops(&self, server: usize) {
        let mut book = self.book();
        book.counts.stops += 1;
        (self.tell)(&Event::Stops { server: server + 1, owned: book.owned_by(server) });
    }

    /// `server` was started again.
    pub(super) fn is_back(&self, server: usize) {
        let _in_order = self.book();
        (self.tell)(&Event::Back { server: server + 1 });
    }

    /// `server` has changed what is in the engine.
    pub(super) fn changed(&self, server: usize, change: &Change) {
        let mut book = self.book();
        let is_new = |key| change.expect.iter().any(|(k, v)| k == key && *v == Version::ABSENT);
        for (key, value) in &change.put {
            if let Some(id) = server_of(key.as_str()).filter(|_| is_new(key)) {
                book.servers.insert(id, server);
                book.leases[server] = Some(id);
            } else if let Some(table) = table_of(key.as_str())
                && let Ok(state) = Shared::from_text(&table, value)
                && let Some(event) = book.note(server, table, state)
            {
                (self.tell)(&event);
            }
        }
        for id in change.delete.iter().filter_map(|key| server_of(key.as_str())) {
            if let Some(whose) = book.ended(id, server) {
                (self.tell)(&Event::LeaseEnded { server: whose + 1 });
            }
        }
    }

    /// Who owns `table`, by its present lease.
    pub(super) fn owner(&self, table: &Name) -> Option<usize> {
        let book = self.book();
        let owner = book.tables.get(table)?.owner;
        owner.and_then(|id| book.leases.iter().position(|lease| *lease == Some(id)))
    }

    /// The high-water mark of `table`, if tickets are reserved of it.
    pub(super) fn mark(&self, table: &Name) -> Option<u64> {
        let state = *self.book().tables.get(table)?;
        state.record.definition.has_owner().then_some(state.record.mark)
    }

    /// How often it happened until now.
    pub(super) fn counts(&self) -> Counts {
        self.book().counts
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // It is held while an event is told: so they are told in their order.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn owned_by(&self, server: usize) -> Vec<Name> {
        let Some(lease) = self.leases[server] else { return Vec::new() };
        let owned = self.tables.iter().filter(|(_, state)| state.owner == Some(lease));
        owned.map(|(table, _)| table.clone()).collect()
    }

    /// Returns that `server` has become the owner, if it has.
    fn note(&mut self, server: usize, table: Name, state: Shared) -> Option<Event> {
        let before = self.tables.insert(table.clone(), state);
        let is_new_turn = before.is_none_or(|before| before.turn < state.turn);
        let owner = state.owner.filter(|_| is_new_turn)?;
        let is_takeover = before.and_then(|before| before.owner).is_some_and(|o| o != owner);
        self.counts.takeovers += u64::from(is_takeover);
        Some(Event::Owns { server: server + 1, table, turn: state.turn, is_takeover })
    }

    /// The lease `id` has ended. Returns whose it was, unless `by` has ended its own.
    fn ended(&mut self, id: ServerId, by: usize) -> Option<usize> {
        let whose = *self.servers.get(&id)?;
        let is_own = whose == by && self.leases[by] == Some(id);
        self.leases[whose] = self.leases[whose].filter(|lease| *lease != id);
        (!is_own).then_some(whose)
    }
}

fn server_of(key: &str) -> Option<ServerId> {
    key.strip_prefix("server/")?.parse().ok()
}

fn table_of(key: &str) -> Option<Name> {
    Name::new(key.strip_prefix("sequence/")?).ok()
}

#[cfg(test)]
mod tests {
    use ticketd_core::cluster::Claimed;
    use ticketd_core::definition::Definition;
    use ticketd_core::record::{HandBack, Reserve};
    use ticketd_store::engine::Key;

    use super::*;

    const IDS: [ServerId; 3] = [ServerId(0xa), ServerId(0xb), ServerId(0xc)];

    fn notes() -> Name {
        Name::new("notes").unwrap()
    }

    fn change(key: &str, before: u64, after: Option<String>) -> Change {
        let key = Key::new(key);
        Change {
            expect: vec![(key.clone(), Version(before))],
            put: after.iter().map(|value| (key.clone(), value.clone())).collect(),
            delete: if after.is_none() { vec![key] } else { Vec::new() },
        }
    }

    fn announced(id: ServerId, before: u64) -> Change {
        change(&format!("server/{id}"), before, Some("as a server does".to_owned()))
    }

    fn ended(id: ServerId) -> Change {
        change(&format!("server/{id}"), 5, None)
    }

    fn written(state: &Shared) -> Change {
        change("sequence/notes", 5, Some(state.to_text(&notes())))
    }

    /// Claims for `server`, and reserves: the turn.
    fn claim(state: &mut Shared, server: usize) -> u64 {
        let Claimed::Mine(_, turn) = state.claim(IDS[server], |_| true) else {
            panic!("the owner's lease has ended")
        };
        let asked = Reserve { floor: 1, len: 10, spent: 1, generation: 0, turn };
        state.reserve(asked).unwrap();
        turn
    }

    /// A story of two servers, and what it has told.
    fn story() -> (Story, Arc<Mutex<Vec<Event>>>) {
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&events);
        let story = Story::new(Arc::new(move |event: &Event| {
            heard.lock().unwrap().push(event.clone());
        }));
        story.changed(0, &announced(IDS[0], 0));
        story.changed(1, &announced(IDS[1], 0));
        (story, events)
    }

    fn owns(server: usize, turn: u64, is_takeover: bool) -> Event {
        Event::Owns { server, table: notes(), turn, is_takeover }
    }

    #[test]
    fn a_crash_is_followed_by_the_end_of_the_lease_and_a_takeover() {
        let (story, events) = story();
        let mut state = Shared::new(Definition::default());
        claim(&mut state, 0);
        story.changed(0, &written(&state));
        assert_eq!((story.owner(&notes()), story.mark(&notes())), (Some(0), Some(11)));
        story.crashed(0);
        // It is back before its lease has ended, under another one.
        story.changed(0, &announced(IDS[2], 0));
        story.is_back(0);
        assert_eq!(story.owner(&notes()), None, "of its former life it knows nothing");
        story.changed(0, &ended(IDS[0]));
        claim(&mut state, 1);
        story.changed(1, &written(&state));
        // Neither a renewal nor another block is worth a word.
        story.changed(1, &announced(IDS[1], 5));
        story.changed(1, &written(&state));
        let expected = [
            owns(1, 1, false),
            Event::Crashed { server: 1, owned: vec![notes()] },
            Event::Back { server: 1 },
            Event::LeaseEnded { server: 1 },
            owns(2, 2, true),
        ];
        assert_eq!(*events.lock().unwrap(), expected);
        assert_eq!(story.counts(), Counts { crashes: 1, stops: 0, takeovers: 1 });
    }

    #[test]
    fn a_stop_hands_over_which_is_no_takeover() {
        let (story, events) = story();
        let mut state = Shared::new(Definition::default());
        let turn = claim(&mut state, 0);
        story.changed(0, &written(&state));
        story.stops(0);
        assert!(state.hand_back(HandBack { start: 5, end: 11, turn }));
        story.changed(0, &written(&state));
        assert_eq!(story.mark(&notes()), Some(5));
        story.changed(0, &ended(IDS[0]));
        claim(&mut state, 1);
        story.changed(1, &written(&state));
        let stops = Event::Stops { server: 1, owned: vec![notes()] };
        assert_eq!(*events.lock().unwrap(), [owns(1, 1, false), stops, owns(2, 3, false)]);
        assert_eq!(story.counts(), Counts { crashes: 0, stops: 1, takeovers: 0 });
    }
}
