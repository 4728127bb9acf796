//! What Prometheus is told: the counters of the protocols, and the text of `/metrics`.
//!
//! The hot path keeps no metric of its own. Everything about sequences and the store is read when
//! somebody scrapes; only [`Traffic`], which no sequence knows, is counted as it happens.
//!
//! The text is Prometheus' exposition format 0.0.4, which every scraper reads. Sequences that this
//! server has not opened since it started are not in it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use ticketd_core::allocator::Burn;
use ticketd_store::Sizes;

use crate::error::ErrorKind;
use crate::info::{Info, bits_left};
use crate::limits::METRICS_SEQUENCES_MAX;
use crate::service::Service;
use crate::store_times::StoreTimes;

/// The media type of what [`encode`] returns.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The `sequence` label of the line that sums up sequences beyond [`METRICS_SEQUENCES_MAX`]. No
/// name of a sequence can be spelt like this.
pub const OTHERS: &str = "(others)";

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

/// What is told of one sequence, or of several that share a line.
#[derive(Debug, Clone, Default)]
struct Line {
    label: String,
    issued: u64,
    burnt: [u64; Burn::ALL.len()],
    held: u64,
    mark: u64,
    /// IDs that can still be issued, of kinds that count them.
    left: Option<u64>,
    per_second: f64,
    lasts_seconds: f64,
    waits: u64,
    retries: u64,
    /// Its IDs are reserved in blocks.
    has_blocks: bool,
    /// Worker IDs that are not leased, of a snowflake sequence.
    workers_left: Option<u64>,
    /// How long those last; `None` if the sequence has none.
    workers_last_seconds: Option<f64>,
    /// What is left of the time of a snowflake sequence, and when it ends.
    time: Option<(f64, u64)>,
}

impl Line {
    fn new(info: &Info) -> Self {
        let mut line = Self {
            label: info.name.as_str().to_owned(),
            issued: info.issued,
            per_second: info.per_second,
            lasts_seconds: info.lasts.map_or(f64::INFINITY, |lasts| lasts.as_secs_f64()),
            has_blocks: info.blocks.is_some(),
            left: info.left(),
            workers_left: info.snowflake.as_ref().map(|seen| seen.workers_left),
            workers_last_seconds: info
                .snowflake
                .as_ref()
                .map(|seen| seen.workers_last.map_or(f64::INFINITY, |lasts| lasts.as_secs_f64())),
            time: info.time.map(|time| (bits_left(time), time.runs_out.0 / 1000)),
            ..Self::default()
        };
        if let Some(blocks) = &info.blocks {
            line.mark = blocks.mark;
        }
        if let Some(seen) = info.blocks.as_ref().and_then(|blocks| blocks.open) {
            line.burnt = Burn::ALL.map(|reason| seen.tally.burnt.get(reason));
            line.held = seen.held;
            line.waits = seen.waits;
            line.retries = seen.retries;
        }
        line
    }

    /// One line for both: what can be added is; of the others the one to worry about stays.
    fn joined(self, other: &Self) -> Self {
        Self {
            label: OTHERS.to_owned(),
            issued: self.issued.saturating_add(other.issued),
            burnt: std::array::from_fn(|i| self.burnt[i].saturating_add(other.burnt[i])),
            held: self.held.saturating_add(other.held),
            mark: self.mark.max(other.mark),
            left: self.left.into_iter().chain(other.left).min(),
            per_second: self.per_second + other.per_second,
            lasts_seconds: self.lasts_seconds.min(other.lasts_seconds),
            waits: self.waits.saturating_add(other.waits),
            retries: self.retries.saturating_add(other.retries),
            has_blocks: self.has_blocks || other.has_blocks,
            workers_left: self.workers_left.into_iter().chain(other.workers_left).min(),
            workers_last_seconds: self
                .workers_last_seconds
                .into_iter()
                .chain(other.workers_last_seconds)
                .reduce(f64::min),
            time: match (self.time, other.time) {
                (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.min(b.1))),
                (a, b) => a.or(b),
            },
        }
    }
}

/// A line for each sequence by name, at most `max` of them, and one for the others.
fn lines(infos: &[Info], max: usize) -> Vec<Line> {
    let mut lines: Vec<Line> = infos.iter().map(Line::new).collect();
    // By name, so that a sequence keeps its line from scrape to scrape.
    lines.sort_unstable_by(|a, b| a.label.cmp(&b.label));
    let others = lines.split_off(max.min(lines.len()));
    let mut others = others.into_iter();
    if let Some(mut first) = others.next() {
        OTHERS.clone_into(&mut first.label);
        lines.push(others.fold(first, |sum, line| sum.joined(&line)));
    }
    lines
}

/// The numbers of one protocol at one moment.
#[derive(Debug)]
struct Counts {
    protocol: &'static str,
    connections: u64,
    connections_total: u64,
    refused_total: u64,
    errors: [u64; ErrorKind::ALL.len()],
}

impl Counts {
    fn read(protocol: &'static str, traffic: &ProtocolTraffic) -> Self {
        Self {
            protocol,
            connections: traffic.open(),
            connections_total: traffic.total(),
            refused_total: traffic.refused_total(),
            errors: ErrorKind::ALL.map(|kind| traffic.errors_total(kind)),
        }
    }
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
        out.by_protocol(
            Form::gauge("ticketd_connections", "Connections that are open now"),
            each().map(|counts| (counts.protocol, counts.connections)),
        )?;
        out.by_protocol(
            Form::counter("ticketd_connections_total", "Connections accepted"),
            each().map(|counts| (counts.protocol, counts.connections_total)),
        )?;
        out.by_protocol(
            Form::counter("ticketd_connections_refused_total", "Connections turned away"),
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
        self.encode_process(&mut out)
    }
}

/// The name, help and type of a metric.
struct Form {
    name: &'static str,
    help: &'static str,
    metric_type: MetricType,
}

impl Form {
    const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, metric_type: MetricType::Counter }
    }

    const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, metric_type: MetricType::Gauge }
    }
}

/// Writes metrics one after the other.
///
/// All values but histograms go through `encode_gauge`, counters too: `encode_counter` appends
/// `_total` to the samples and not to the type line, which is OpenMetrics and not format 0.0.4.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn family(&mut self, form: Form) -> Result<MetricEncoder<'_>, fmt::Error> {
        self.0.encode_descriptor(form.name, form.help, None, form.metric_type)
    }

    fn one(&mut self, form: Form, value: impl EncodeGaugeValue) -> fmt::Result {
        self.family(form)?.encode_gauge(&value)
    }

    fn by_sequence<'l, V: EncodeGaugeValue>(
        &mut self,
        form: Form,
        values: impl Iterator<Item = (&'l Line, V)>,
    ) -> fmt::Result {
        let mut family = self.family(form)?;
        for (line, value) in values {
            family.encode_family(&[("sequence", line.label.as_str())])?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn by_protocol(
        &mut self,
        form: Form,
        values: impl Iterator<Item = (&'static str, u64)>,
    ) -> fmt::Result {
        let mut family = self.family(form)?;
        for (protocol, value) in values {
            family.encode_family(&[("protocol", protocol)])?.encode_gauge(&value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str, mark: u64, left: u64) -> Info {
        use crate::info::BlocksInfo;
        use ticketd_core::definition::{BlockLen, Kind};
        Info {
            per_second: 2.0,
            blocks: Some(BlocksInfo { block_len: BlockLen::Auto, mark, left, open: None }),
            ..Info::of_kind(ticketd_core::name::Name::new(name).unwrap(), Kind::Ticket)
        }
    }

    #[test]
    fn sequences_beyond_the_limit_share_one_line() {
        let infos = [info("c", 5, 70), info("a", 1, 90), info("d", 3, 60), info("b", 9, 80)];
        let told = lines(&infos, 2);
        let labels: Vec<_> = told.iter().map(|line| line.label.as_str()).collect();
        assert_eq!(labels, ["a", "b", OTHERS]);
        let others = &told[2];
        assert_eq!((others.mark, others.left, others.per_second), (5, Some(60), 4.0));
        assert_eq!(lines(&infos, 3)[3].label, OTHERS);
        assert_eq!(lines(&infos, 4).len(), 4);
        assert_eq!(lines(&[], 4).len(), 0);
    }

    #[test]
    fn the_label_of_the_others_is_no_name() {
        assert!(ticketd_core::name::Name::new(OTHERS).is_err());
    }

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
        }));
        text::encode_registry(&mut out, &registry).unwrap();
        assert!(out.contains("ticketd_ids_issued_total{sequence=\"n\"} 18446744073709551615\n"));
        assert!(out.contains("ticketd_store_commits_total 9007199254740993\n"));
    }
}
