//! What Prometheus is told: the counters of the protocols, and the text of `/metrics`.
//!
//! The hot path keeps no metric of its own. Everything about sequences and the store is read when
//! somebody scrapes; only [`Traffic`], which no sequence knows, and what servers say to each other
//! are counted as they happen.
//!
//! The text is Prometheus' exposition format 0.0.4, which every scraper reads. Sequences that this
//! server has not opened since it started are not in it.

mod families;
mod line;
mod several;
mod traffic;

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use ticketd_core::allocator::Burn;
use ticketd_store::Sizes;

use crate::error::ErrorKind;
use crate::limits::METRICS_SEQUENCES_MAX;
use crate::service::Service;
use crate::store_times::StoreTimes;

use families::{Families, Form};
use line::{Line, lines};
use several::Several;
use traffic::Counts;

pub use line::OTHERS;
pub use traffic::{ProtocolTraffic, Traffic};

/// The media type of what [`encode`] returns.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The text of `/metrics`, of media type [`CONTENT_TYPE`]. It looks at every open sequence: with
/// very many of them, call it where blocking is no harm.
pub fn encode(service: &Service, traffic: &Traffic) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot::take(service, traffic)));
    let mut out = String::new();
    text::encode_registry(&mut out, &registry).expect("a String takes any text");
    // The library writes infinity as Rust does. Nothing but a value stands between a space and
    // the end of a line, and no help text ends so.
    out.replace(" inf\n", " +Inf\n")
}

/// All that one scrape is told, read before any of it is written.
#[derive(Debug)]
struct Snapshot {
    lines: Vec<Line>,
    protocols: [Counts; 2],
    sizes: Sizes,
    reserve_counts: [u64; StoreTimes::BOUNDS_US.len() + 1],
    reserve_sum_us: u64,
    uptime_seconds: f64,
    several: Option<Several>,
}

impl Snapshot {
    fn take(service: &Service, traffic: &Traffic) -> Self {
        let (reserve_counts, reserve_sum_us) = service.times().read();
        Self {
            lines: lines(&service.opened_infos(), METRICS_SEQUENCES_MAX),
            protocols: [Counts::read("resp", &traffic.resp), Counts::read("http", &traffic.http)],
            sizes: service.store_sizes(),
            reserve_counts,
            reserve_sum_us,
            uptime_seconds: service.clock().uptime().as_secs_f64(),
            several: Several::read(service),
        }
    }

    fn encode_ids(&self, out: &mut Families<'_>) -> fmt::Result {
        let each = || self.lines.iter();
        let with_blocks = || each().filter(|line| line.has_blocks);
        out.by_sequence(
            Form::counter("ticketd_ids_issued_total", "IDs given to clients by this server"),
            each().map(|line| (line, line.issued)),
        )?;
        let mut burnt = out.family(Form::counter(
            "ticketd_ids_burnt_total",
            "IDs reserved and never to be issued, by reason, since this server opened the sequence",
        ))?;
        for line in each() {
            for (reason, ids) in Burn::ALL.iter().zip(line.burnt) {
                let labels = [("sequence", line.label.as_str()), ("reason", reason.as_str())];
                burnt.encode_family(&labels)?.encode_gauge(&ids)?;
            }
        }
        out.by_sequence(
            Form::gauge("ticketd_ids_held", "IDs reserved by this server and not yet issued"),
            each().map(|line| (line, line.held)),
        )?;
        out.by_sequence(
            Form::gauge(
                "ticketd_high_water_mark",
                "The first ID never yet reserved, as far as this server knows; of (others) the \
                 highest",
            ),
            with_blocks().map(|line| (line, line.mark)),
        )?;
        out.by_sequence(
            Form::gauge("ticketd_ids_left", "IDs that can still be issued; of (others) the fewest"),
            each().filter_map(|line| Some((line, line.left?))),
        )?;
        out.by_sequence(
            Form::gauge(
                "ticketd_time_bits_left",
                "Bits that the ticks left of a snowflake layout would need; of (others) the fewest",
            ),
            each().filter_map(|line| Some((line, line.time?.0))),
        )?;
        out.by_sequence(
            Form::gauge(
                "ticketd_time_runs_out_timestamp_seconds",
                "When the time of a snowflake layout runs out, in seconds since 1970; of (others) \
                 the first",
            ),
            each().filter_map(|line| Some((line, line.time?.1))),
        )?;
        out.by_sequence(
            Form::gauge(
                "ticketd_worker_ids_left",
                "Worker IDs that nobody held when this server last leased one; of (others) the \
                 fewest",
            ),
            each().filter_map(|line| Some((line, line.workers_left?))),
        )?;
        out.by_sequence(
            Form::gauge(
                "ticketd_worker_ids_last_seconds",
                "Seconds that the worker IDs left last if they go on being taken as they lately \
                 were, +Inf if for ever; of (others) the shortest",
            ),
            each().filter_map(|line| Some((line, line.workers_last_seconds?))),
        )
    }

    fn encode_use(&self, out: &mut Families<'_>) -> fmt::Result {
        let each = || self.lines.iter();
        out.by_sequence(
            Form::gauge(
                "ticketd_sequence_rate",
                "IDs issued per second, a mean that favours the last minute",
            ),
            each().map(|line| (line, line.per_second)),
        )?;
        out.by_sequence(
            Form::gauge(
                "ticketd_sequence_lasts_seconds",
                "Seconds that the IDs left last at the present rate, +Inf if for ever; of \
                 (others) the shortest",
            ),
            each().map(|line| (line, line.lasts_seconds)),
        )?;
        out.by_sequence(
            Form::counter("ticketd_refill_waits_total", "Requests that had to wait for the store"),
            each().map(|line| (line, line.waits)),
        )?;
        out.by_sequence(
            Form::counter(
                "ticketd_store_retries_total",
                "Attempts at the store that were made again after a failure",
            ),
            each().map(|line| (line, line.retries)),
        )
    }

    fn encode_store(&self, out: &mut Families<'_>) -> fmt::Result {
        let bounds = StoreTimes::BOUNDS_US.iter().map(|us| *us as f64 / 1e6);
        let bounds = bounds.chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(self.reserve_counts).collect();
        let count = self.reserve_counts.iter().sum();
        let sum = self.reserve_sum_us as f64 / 1e6;
        out.family(Form {
            name: "ticketd_reserve_seconds",
            help: "Seconds that the store took to reserve a block",
            metric_type: MetricType::Histogram,
        })?
        .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        out.one(
            Form::counter("ticketd_store_commits_total", "Transactions committed by the store"),
            self.sizes.commits,
        )?;
        out.one(
            Form::counter(
                "ticketd_store_fsyncs_total",
                "Calls of fsync or its like by the store; 0 for a store that has none",
            ),
            self.sizes.syncs,
        )?;
        out.one(
            Form::gauge("ticketd_sequences", "Sequences that the store remembers"),
            self.sizes.sequences,
        )
    }

    fn encode_traffic(&self, out: &mut Families<'_>) -> fmt::Result {
        let each = || self.protocols.iter();
        out.by_label(
            Form::gauge("ticketd_connections", "Connections that are open now"),
            "protocol",
            each().map(|counts| (counts.protocol, counts.connections)),
        )?;
        out.by_label(
            Form::counter("ticketd_connections_total", "Connections accepted"),
            "protocol",
            each().map(|counts| (counts.protocol, counts.connections_total)),
        )?;
        out.by_label(
            Form::counter("ticketd_connections_refused_total", "Connections turned away"),
            "protocol",
            each().map(|counts| (counts.protocol, counts.refused_total)),
        )?;
        let mut errors = out.family(Form::counter(
            "ticketd_errors_total",
            "Requests answered with an error, by its kind",
        ))?;
        for counts in each() {
            for (kind, total) in ErrorKind::ALL.iter().zip(counts.errors) {
                let labels = [("protocol", counts.protocol), ("kind", kind.as_str())];
                errors.encode_family(&labels)?.encode_gauge(&total)?;
            }
        }
        Ok(())
    }

    fn encode_process(&self, out: &mut Families<'_>) -> fmt::Result {
        let form = Form::gauge("ticketd_build_info", "1; the version of this server is its label");
        out.family(form)?
            .encode_family(&[("version", env!("CARGO_PKG_VERSION"))])?
            .encode_gauge(&1_u64)?;
        out.one(
            Form::gauge("ticketd_uptime_seconds", "Seconds since this server started"),
            self.uptime_seconds,
        )
    }
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Families(encoder);
        self.encode_ids(&mut out)?;
        self.encode_use(&mut out)?;
        self.encode_store(&mut out)?;
        self.encode_traffic(&mut out)?;
        self.encode_process(&mut out)?;
        self.several.iter().try_for_each(|several| several.encode(&mut out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_exact_however_large() {
        let mut out = String::new();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Snapshot {
            lines: vec![Line { label: "n".into(), issued: u64::MAX, ..Line::default() }],
            protocols: [
                Counts::read("resp", &ProtocolTraffic::default()),
                Counts::read("http", &ProtocolTraffic::default()),
            ],
            sizes: Sizes { commits: (1 << 53) + 1, ..Sizes::default() },
            reserve_counts: [0; StoreTimes::BOUNDS_US.len() + 1],
            reserve_sum_us: 0,
            uptime_seconds: 0.0,
            several: None,
        }));
        text::encode_registry(&mut out, &registry).unwrap();
        assert!(out.contains("ticketd_ids_issued_total{sequence=\"n\"} 18446744073709551615\n"));
        assert!(out.contains("ticketd_store_commits_total 9007199254740993\n"));
    }
}
