//! What is told of this server as one of several that share an engine.

use std::fmt;
use std::time::Duration;

use ticketd_store::Claims;

use super::families::{Families, Form};
use crate::cluster::tally::{ByOutcome, Counted, Outcome};
use crate::service::Service;

/// The numbers of this server among others at one moment.
#[derive(Debug)]
pub(super) struct Several {
    lease_left: Duration,
    servers: u64,
    owned: u64,
    claims: Claims,
    counted: Counted,
}

impl Several {
    /// `None` if the server is alone.
    pub(super) fn read(service: &Service) -> Option<Self> {
        let cluster = service.cluster()?;
        Some(Self {
            lease_left: cluster.lease().left(),
            servers: cluster.servers_there(),
            owned: service.owned(),
            claims: cluster.store().claims(),
            counted: cluster.tally.read(),
        })
    }

    pub(super) fn encode(&self, out: &mut Families<'_>) -> fmt::Result {
        self.encode_leases(out)?;
        self.encode_owning(out)?;
        self.encode_forwarding(out)
    }

    fn encode_leases(&self, out: &mut Families<'_>) -> fmt::Result {
        out.one(
            Form::gauge(
                "ticketd_lease_left_seconds",
                "Seconds that the lease of this server holds if it is not renewed; 0 if it does not",
            ),
            self.lease_left.as_secs_f64(),
        )?;
        out.one(
            Form::counter(
                "ticketd_lease_renewals_failed_total",
                "Attempts to renew the lease of this server that failed",
            ),
            self.counted.renewals_failed,
        )?;
        out.by_label(
            Form::counter(
                "ticketd_leases_ended_total",
                "Leases that ended for want of renewal: own, of this server; other, that this \
                 server has ended",
            ),
            "whose",
            [("own", self.counted.own_ended), ("other", self.counted.others_ended)],
        )?;
        out.one(
            Form::gauge(
                "ticketd_servers",
                "Servers that were there when this server last looked, itself included",
            ),
            self.servers,
        )
    }

    fn encode_owning(&self, out: &mut Families<'_>) -> fmt::Result {
        out.one(
            Form::gauge("ticketd_sequences_owned", "Open sequences that this server owns"),
            self.owned,
        )?;
        out.one(
            Form::counter(
                "ticketd_claims_total",
                "Times that this server became the owner of a sequence, or began another turn",
            ),
            self.claims.made,
        )?;
        out.one(
            Form::counter(
                "ticketd_takeovers_total",
                "Claims of sequences whose owner was another server, and its lease had ended",
            ),
            self.claims.taken_over,
        )
    }

    fn encode_forwarding(&self, out: &mut Families<'_>) -> fmt::Result {
        let counted = &self.counted;
        out.by_label(
            Form::counter(
                "ticketd_forwarded_batches_total",
                "Batches of requests sent to the owners of their sequences, by outcome",
            ),
            "outcome",
            by_outcome(counted.batches),
        )?;
        out.by_label(
            Form::counter(
                "ticketd_forwarded_requests_total",
                "Requests in batches sent to the owners of their sequences, by outcome; one that \
                 is asked again counts again",
            ),
            "outcome",
            by_outcome(counted.requests),
        )?;
        out.by_label(
            Form::counter(
                "ticketd_received_batches_total",
                "Batches of requests that came from other servers, by outcome",
            ),
            "outcome",
            by_outcome(counted.received),
        )
    }
}

fn by_outcome(totals: ByOutcome) -> impl Iterator<Item = (&'static str, u64)> {
    Outcome::ALL.map(Outcome::as_str).into_iter().zip(totals)
}
