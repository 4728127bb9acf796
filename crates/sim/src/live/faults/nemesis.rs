//! Who is attacked, how, and when: all drawn from a seed. At least one server is always there.

use std::io;
use std::time::Duration;

use ticketd_core::name::Name;

use super::{SERVERS, Servers};
use crate::explore::random::Draw;
use crate::live::Stop;

/// Milliseconds until the next fault, from the shortest to the longest.
const FAULT_AFTER_MS: (u64, u64) = (1000, 3000);

/// Milliseconds until a server that has gone comes back: mostly longer than its lease stands.
const BACK_AFTER_MS: (u64, u64) = (1000, 3000);

/// In a thousand: that two servers are gone at once, that one crashes rather than stops, and that
/// the owner of some table is attacked rather than anybody.
const TWO_PER_MILLE: u64 = 250;
const CRASH_PER_MILLE: u64 = 700;
const OWNER_PER_MILLE: u64 = 750;

/// Attacks servers, and starts them again.
pub(super) struct Nemesis {
    attacks: Attacks,
    tables: Vec<Name>,
    servers: Servers,
}

/// What a seed has in store.
struct Attacks {
    draw: Draw,
    tables: usize,
    is_first: bool,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Attack {
    after: Duration,
    /// Whose owner it is, if it is one.
    table: Option<usize>,
    /// Who it is otherwise.
    server: usize,
    crashes: bool,
}

/// Somebody said stop.
struct Over;

impl Nemesis {
    pub(super) fn new(seed: u64, tables: Vec<Name>, servers: Servers) -> Self {
        Self { attacks: Attacks::new(seed, tables.len()), tables, servers }
    }

    /// Attacks until `over`, or until a server does not start again. Returns the servers as they
    /// are then.
    pub(super) fn run(mut self, over: &Stop) -> (Servers, io::Result<()>) {
        loop {
            match self.round(over) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return (self.servers, Err(error)),
                Err(Over) => return (self.servers, Ok(())),
            }
        }
    }

    /// One or two go, and come back.
    fn round(&mut self, over: &Stop) -> Result<io::Result<()>, Over> {
        let mut gone = Vec::new();
        for _ in 0..self.attacks.in_a_round() {
            let attack = self.attacks.next();
            pause(over, attack.after)?;
            let victim = self.victim(attack);
            gone.push(victim);
            if attack.crashes {
                self.servers.crash(victim);
            } else {
                // What it does not hand back in time is burnt.
                self.servers.stop(victim);
            }
        }
        for server in gone {
            pause(over, self.attacks.until_back())?;
            if let Err(error) = self.servers.come_back(server) {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// Who is attacked, of those that are there.
    fn victim(&self, attack: Attack) -> usize {
        let there = self.servers.are_there();
        let owner = attack.table.and_then(|table| self.servers.story.owner(&self.tables[table]));
        let owner = owner.filter(|owner| there.contains(owner));
        owner.unwrap_or_else(|| there[attack.server % there.len()])
    }
}

impl Attacks {
    fn new(seed: u64, tables: usize) -> Self {
        Self { draw: Draw::new(seed), tables, is_first: true }
    }

    /// How many servers go before the first of them comes back.
    fn in_a_round(&mut self) -> usize {
        if self.draw.chance(TWO_PER_MILLE) { 2 } else { 1 }
    }

    /// Draws as often whatever the servers do, so that the seed alone decides what is drawn. First
    /// an owner crashes: whoever watches for a few seconds only has seen what this is about.
    fn next(&mut self) -> Attack {
        let after = self.draw_pause(FAULT_AFTER_MS);
        let table = self.draw.below(self.tables as u64) as usize;
        let server = self.draw.below(SERVERS as u64) as usize;
        let is_first = std::mem::take(&mut self.is_first);
        let of_owner = self.draw.chance(OWNER_PER_MILLE) || is_first;
        let crashes = self.draw.chance(CRASH_PER_MILLE) || is_first;
        Attack { after, table: of_owner.then_some(table), server, crashes }
    }

    fn until_back(&mut self) -> Duration {
        self.draw_pause(BACK_AFTER_MS)
    }

    fn draw_pause(&mut self, (shortest, longest): (u64, u64)) -> Duration {
        Duration::from_millis(self.draw.between(shortest, longest))
    }
}

fn pause(over: &Stop, length: Duration) -> Result<(), Over> {
    over.sleep(length);
    if over.is_requested() { Err(Over) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64) -> Vec<(usize, Attack, Duration)> {
        let mut attacks = Attacks::new(seed, 2);
        (0..100).map(|_| (attacks.in_a_round(), attacks.next(), attacks.until_back())).collect()
    }

    #[test]
    fn a_seed_means_the_same_attacks_and_another_one_others() {
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }

    #[test]
    fn an_owner_crashes_first_and_then_everything_comes_to_pass() {
        for seed in 0..20 {
            let drawn = drawn(seed);
            assert!(drawn[0].1.crashes && drawn[0].1.table.is_some(), "seed {seed}");
            let any = |test: fn(&(usize, Attack, Duration)) -> bool| drawn.iter().any(test);
            assert!(any(|d| d.0 == 2) && any(|d| d.0 == 1), "one at a time, and two");
            assert!(any(|d| !d.1.crashes) && any(|d| d.1.table.is_none()), "seed {seed}");
            let servers = (0..SERVERS).filter(|n| drawn.iter().any(|d| d.1.server == *n));
            assert_eq!(servers.count(), SERVERS, "each can be meant");
        }
    }
}
