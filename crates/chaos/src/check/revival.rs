//! When the faults have ended, everybody is served again within a bound.

use std::collections::BTreeMap;

use super::{Found, Kind};
use crate::history::{Asked, Call, Promise};

/// When that must be.
#[derive(Debug, Clone)]
pub struct Revival {
    /// When the last fault ended.
    pub healed_us: u64,
    /// How long it may take.
    pub bound_us: u64,
    /// Servers whose wall clocks were far ahead for a while: what is told by the time may wait there
    /// until that time has come.
    pub far_ahead: Vec<usize>,
}

/// Each client, and each sequence at each server, that was asked after the faults had ended is
/// answered within the bound.
pub fn revived(
    calls: &[Call],
    sequences: &[Asked],
    clients: usize,
    revival: &Revival,
    found: &mut Found,
) {
    let until = revival.healed_us + revival.bound_us;
    let mut served = vec![false; clients];
    let mut pairs: BTreeMap<(usize, usize), bool> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.start_us >= revival.healed_us) {
        let is_served = call.ids().is_some() && call.end_us <= until;
        served[call.place.client] |= is_served;
        *pairs.entry((call.place.server, call.sequence)).or_default() |= is_served;
    }
    let within = revival.bound_us / 1_000_000;
    let late = |call: &&Call| call.end_us > revival.healed_us;
    for (client, _) in served.iter().enumerate().filter(|(_, served)| !**served) {
        let of_client = calls.iter().filter(late).filter(|call| call.place.client == client);
        let what = format!("client {client} had no answer within {within} s after the last fault");
        found.add(Kind::NotRevived, what, of_client.copied().take(20).collect());
    }
    let may_wait = |(server, sequence): (usize, usize)| {
        sequences[sequence].promise == Promise::Unique && revival.far_ahead.contains(&server)
    };
    let unserved = pairs.iter().filter(|(pair, served)| !**served && !may_wait(**pair));
    for ((server, sequence), _) in unserved {
        let of_pair = |call: &&Call| (call.place.server, call.sequence) == (*server, *sequence);
        let name = &sequences[*sequence].name;
        let what = format!("{name} was not served at server {server} within {within} s after it");
        let calls = calls.iter().filter(late).filter(of_pair);
        found.add(Kind::NotRevived, what, calls.copied().take(20).collect());
    }
}
