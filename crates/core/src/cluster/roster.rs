//! Who is there, and who has been silent for so long that its lease is over.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::cluster::ServerId;
use crate::name::Name;
use crate::time::Instant;

/// What was last seen of the servers that announced themselves.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Roster(BTreeMap<ServerId, Seen>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Seen {
    version: u64,
    /// When it was first seen to be of this version.
    since: Instant,
    ttl_us: u64,
}

impl Roster {
    /// A roster of nobody.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Takes note of all entries as they were read, by an answer that arrived at `now`: ID, version
    /// and time of the lease in microseconds. Who is not among them is gone.
    pub fn saw(&mut self, now: Instant, entries: impl IntoIterator<Item = (ServerId, u64, u64)>) {
        let before = core::mem::take(&mut self.0);
        for (id, version, ttl_us) in entries {
            let known = before.get(&id).filter(|seen| seen.version == version);
            let since = known.map_or(now, |seen| seen.since);
            self.0.insert(id, Seen { version, since, ttl_us });
        }
    }

    /// Who has not renewed its lease for the whole of it, with the version to end. Whoever ends it
    /// makes sure that this is still the version: then it has not been renewed since.
    pub fn silent(&self, now: Instant) -> Vec<(ServerId, u64)> {
        let silent = |seen: &Seen| now.micros_since(seen.since) >= seen.ttl_us;
        self.0.iter().filter(|(_, s)| silent(s)).map(|(id, s)| (*id, s.version)).collect()
    }

    /// All who are there, in the order of their IDs.
    pub fn servers(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.0.keys().copied()
    }

    /// For how long `server` has not been seen to renew its lease, in microseconds; `None` if it is
    /// not there.
    pub fn age_us(&self, server: ServerId, now: Instant) -> Option<u64> {
        self.0.get(&server).map(|seen| now.micros_since(seen.since))
    }
}

/// Which of `servers` should own the sequence `name` when nobody does: the same for all who know
/// the same servers, and spread evenly over them (rendezvous hashing, Thaler and Ravishankar 1996).
pub fn preferred(name: &Name, servers: impl IntoIterator<Item = ServerId>) -> Option<ServerId> {
    servers.into_iter().max_by_key(|server| (weight(name, *server), *server))
}

fn weight(name: &Name, server: ServerId) -> u64 {
    // FNV-1a over the name, then the finalizer of SplitMix64, whose output bits depend on all of
    // its input bits.
    let hash = name.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut mixed = hash ^ server.0;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    const TTL_US: u64 = 5_000_000;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    fn id(n: u64) -> ServerId {
        ServerId(n)
    }

    #[test]
    fn only_who_was_unchanged_for_a_whole_lease_is_silent() {
        let mut roster = Roster::new();
        roster.saw(at(1000), [(id(1), 7, TTL_US), (id(2), 8, TTL_US)]);
        assert_eq!(roster.silent(at(5999)), []);
        roster.saw(at(4000), [(id(1), 7, TTL_US), (id(2), 9, TTL_US)]);
        assert_eq!(roster.silent(at(6000)), [(id(1), 7)]);
        assert_eq!(roster.silent(at(9000)), [(id(1), 7), (id(2), 9)]);
        assert_eq!(roster.age_us(id(1), at(6000)), Some(5_000_000));
    }

    #[test]
    fn who_was_gone_and_is_seen_again_begins_anew() {
        let mut roster = Roster::new();
        roster.saw(at(0), [(id(1), 7, TTL_US)]);
        roster.saw(at(1000), []);
        assert_eq!((roster.age_us(id(1), at(1000)), roster.servers().count()), (None, 0));
        roster.saw(at(2000), [(id(1), 7, TTL_US)]);
        assert_eq!(roster.silent(at(6999)), []);
        assert_eq!(roster.silent(at(7000)), [(id(1), 7)]);
    }

    #[test]
    fn sequences_are_spread_over_servers_and_move_only_from_one_that_leaves() {
        let servers = [3, 99, 0x1234_5678_9abc_def0].map(ServerId);
        let names = (0..3000).map(|n| Name::new(&format!("table-{n}")).unwrap());
        let mut counts = BTreeMap::new();
        for name in names {
            let chosen = preferred(&name, servers).unwrap();
            *counts.entry(chosen).or_insert(0) += 1;
            let left = servers.into_iter().filter(|server| *server != servers[0]);
            let then = preferred(&name, left).unwrap();
            assert!(chosen == servers[0] || then == chosen, "{name} moved for no reason");
        }
        assert!(counts.values().all(|count| (900..1100).contains(count)), "{counts:?}");
        assert_eq!(preferred(&Name::new("a").unwrap(), []), None);
    }

    #[test]
    fn ids_read_as_they_are_written_and_in_no_other_form() {
        for n in [0, 1, 0xab, u64::MAX] {
            let text = format!("{}", id(n));
            assert_eq!((text.len(), text.parse()), (16, Ok(id(n))));
        }
        for bad in ["", "1", "00000000000000AB", "+00000000000000a", "00000000000000000"] {
            assert_eq!(bad.parse::<ServerId>(), Err(()), "{bad}");
        }
    }
}
