//! Every way in which servers can own one strict sequence, in small scopes.
//!
//! Two servers share an engine, which does one compare-and-swap after the other. Who owns
//! the sequence, how long a lease lasts, who is silent and what a reservation comes to is decided
//! by the real parts of the core ([`ServerLease`](ticketd_core::cluster::ServerLease),
//! [`Roster`](ticketd_core::cluster::Roster), [`Shared`](ticketd_core::cluster::Shared)); what the
//! shell and the store do around them is here, a step at a time: a server may stand still before
//! each of its steps, for as long as it likes. Clocks are as fast or as slow as the drift of a
//! lease allows, each for itself. Questions to the engine are late, answers are late or lost,
//! servers crash, begin anew, and hand back what they hold.
//!
//! Checked in every state: no ID is answered twice; one that is answered is larger than all that
//! were answered before it was asked for, and lies below the mark; and whoever owns the sequence
//! while its lease holds is whom the engine names. Deliberate bugs show that each check can fail.

mod server;
mod world;

use stateright::{Checker, HasDiscoveries, Model};
use world::{Bug, Scope, World};

/// Explores `world` until one of `properties` does not hold; returns how many states there are, or
/// what went wrong and how.
fn explore(world: World, properties: &[&'static str]) -> Result<usize, String> {
    let any = HasDiscoveries::AnyOf(properties.iter().copied().collect());
    let checker = world.checker().threads(2).finish_when(any).spawn_bfs().join();
    for property in properties {
        if let Some(path) = checker.discovery(property) {
            let story: Vec<_> = path.into_actions().into_iter().flatten().collect();
            return Err(format!("{property}: {story:?}"));
        }
    }
    match World::SOMETIMES.iter().find(|property| checker.discovery(property).is_none()) {
        Some(property) => Err(format!("{property}: never")),
        None => Ok(checker.unique_state_count()),
    }
}

fn no_bug(scope: Scope) -> usize {
    let explored = explore(World { scope, bug: Bug::None }, &World::ALWAYS);
    explored.unwrap_or_else(|wrong| panic!("{scope:?}: {wrong}"))
}

#[test]
fn a_lease_that_is_renewed_keeps_the_order() {
    println!("renewal: {} states", no_bug(Scope::RENEWAL));
}

#[test]
fn a_lease_beside_a_steady_one_keeps_the_order() {
    println!("steady: {} states", no_bug(Scope::STEADY));
}

#[test]
fn who_hands_back_keeps_the_order() {
    println!("hand back: {} states", no_bug(Scope::HAND_BACK));
}

#[test]
fn who_begins_anew_keeps_the_order() {
    println!("second life: {} states", no_bug(Scope::SECOND_LIFE));
}

#[test]
fn who_crashes_keeps_the_order() {
    println!("crash: {} states", no_bug(Scope::CRASH));
}

#[test]
fn deliberate_bugs_are_found() {
    let bugs = [
        (Bug::LooksBeforeItTakes, Scope::RENEWAL, "lease"),
        (Bug::CountsFromTheAnswer, Scope::STEADY, "order"),
        (Bug::IgnoresDrift, Scope::STEADY, "order"),
        (Bug::LeaseByWallClock, Scope::RENEWAL, "owner"),
        (Bug::EndsAnyVersion, Scope::STEADY, "order"),
        (Bug::SavesBlindly, Scope::STEADY, "unique"),
        (Bug::ReservesInAnyTurn, Scope::RENEWAL, "fence"),
        (Bug::KeepsWhatItHeld, Scope::SECOND_LIFE, "order"),
    ];
    for (bug, scope, property) in bugs {
        let found = explore(World { scope, bug }, &[property]);
        println!("{bug:?}: {}", found.expect_err(&format!("{bug:?} was not found")));
    }
}
