//! Connections and errors of the protocols, which no sequence knows, counted as they happen.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::ErrorKind;

/// Connections and errors of both protocols since the process started.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Those of RESP.
    pub resp: ProtocolTraffic,
    /// Those of HTTP.
    pub http: ProtocolTraffic,
}

/// Connections and errors of one protocol. Each call costs one relaxed atomic addition.
#[derive(Debug, Default)]
pub struct ProtocolTraffic {
    opened: AtomicU64,
    closed: AtomicU64,
    refused: AtomicU64,
    errors: [AtomicU64; ErrorKind::ALL.len()],
}

impl ProtocolTraffic {
    /// A connection was accepted. Each such call is followed by one of [`Self::closed`].
    pub fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection that was accepted has ended.
    pub fn closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection was turned away, because there are too many.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was answered with an error.
    pub fn error(&self, kind: ErrorKind) {
        self.errors[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Connections that are open now.
    pub fn open(&self) -> u64 {
        // Closed ones first: what is read in between can then only add to the difference.
        let closed = self.closed.load(Ordering::Relaxed);
        self.opened.load(Ordering::Relaxed).saturating_sub(closed)
    }

    /// Connections accepted so far.
    pub fn total(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Connections turned away so far.
    pub fn refused_total(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Requests answered with an error of `kind` so far.
    pub fn errors_total(&self, kind: ErrorKind) -> u64 {
        self.errors[kind as usize].load(Ordering::Relaxed)
    }
}

/// The numbers of one protocol at one moment.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) protocol: &'static str,
    pub(super) connections: u64,
    pub(super) connections_total: u64,
    pub(super) refused_total: u64,
    pub(super) errors: [u64; ErrorKind::ALL.len()],
}

impl Counts {
    pub(super) fn read(protocol: &'static str, traffic: &ProtocolTraffic) -> Self {
        Self {
            protocol,
            connections: traffic.open(),
            connections_total: traffic.total(),
            refused_total: traffic.refused_total(),
            errors: ErrorKind::ALL.map(|kind| traffic.errors_total(kind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_its_own_counter() {
        let traffic = ProtocolTraffic::default();
        for (n, kind) in ErrorKind::ALL.iter().enumerate() {
            (0..=n).for_each(|_| traffic.error(*kind));
        }
        let counts = Counts::read("resp", &traffic);
        assert_eq!(counts.errors, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn open_connections_are_those_not_closed() {
        let traffic = ProtocolTraffic::default();
        traffic.opened();
        traffic.opened();
        traffic.closed();
        traffic.refused();
        assert_eq!((traffic.open(), traffic.total()), (1, 2));
        assert_eq!(traffic.refused_total(), 1);
    }
}
