//! The metrics, read line by line as Prometheus would.

use std::collections::HashMap;

use serde_json::Value;
use ticketd_server::error::ErrorKind;

use super::support::{Reply, Server};

/// Every metric, its type and its labels.
const METRICS: [(&str, &str, &[&str]); 23] = [
    ("ticketd_ids_issued_total", "counter", &["sequence"]),
    ("ticketd_ids_burnt_total", "counter", &["sequence", "reason"]),
    ("ticketd_ids_held", "gauge", &["sequence"]),
    ("ticketd_high_water_mark", "gauge", &["sequence"]),
    ("ticketd_ids_left", "gauge", &["sequence"]),
    ("ticketd_time_bits_left", "gauge", &["sequence"]),
    ("ticketd_time_runs_out_timestamp_seconds", "gauge", &["sequence"]),
    ("ticketd_worker_ids_left", "gauge", &["sequence"]),
    ("ticketd_worker_ids_last_seconds", "gauge", &["sequence"]),
    ("ticketd_sequence_rate", "gauge", &["sequence"]),
    ("ticketd_sequence_lasts_seconds", "gauge", &["sequence"]),
    ("ticketd_refill_waits_total", "counter", &["sequence"]),
    ("ticketd_store_retries_total", "counter", &["sequence"]),
    ("ticketd_reserve_seconds", "histogram", &[]),
    ("ticketd_store_commits_total", "counter", &[]),
    ("ticketd_store_fsyncs_total", "counter", &[]),
    ("ticketd_sequences", "gauge", &[]),
    ("ticketd_connections", "gauge", &["protocol"]),
    ("ticketd_connections_total", "counter", &["protocol"]),
    ("ticketd_connections_refused_total", "counter", &["protocol"]),
    ("ticketd_errors_total", "counter", &["protocol", "kind"]),
    ("ticketd_build_info", "gauge", &["version"]),
    ("ticketd_uptime_seconds", "gauge", &[]),
];

/// A line with a value: its name, its labels, and the value as it stands.
#[derive(Debug)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: String,
}

/// Reads the text strictly: the form of each line, help and type before the samples, each once.
fn read(reply: &Reply) -> (HashMap<String, String>, Vec<Sample>) {
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(reply.body.ends_with('\n'));
    let (mut types, mut samples, mut help) = (HashMap::new(), Vec::new(), String::new());
    for line in reply.body.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, text) = rest.split_once(' ').unwrap();
            assert!(!text.is_empty(), "{name}");
            name.clone_into(&mut help);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, help, "the type follows the help");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
        } else {
            let sample = sample(line);
            let base = sample.name.strip_prefix(help.as_str());
            let base = base.unwrap_or_else(|| panic!("{line} stands under {help}"));
            assert!(["", "_sum", "_count", "_bucket"].contains(&base), "{line}");
            assert!(sample.value.parse::<f64>().is_ok(), "{line}");
            samples.push(sample);
        }
    }
    (types, samples)
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
        None => (series, ""),
    };
    let label = |text: &str| {
        let (key, value) = text.split_once('=').unwrap();
        let value = value.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
        (key.to_owned(), value.to_owned())
    };
    let labels = labels.split(',').filter(|text| !text.is_empty()).map(label).collect();
    Sample { name: name.to_owned(), labels, value: value.to_owned() }
}

fn value<'a>(samples: &'a [Sample], name: &str, labels: &[(&str, &str)]) -> &'a str {
    let fits = |sample: &&Sample| {
        sample.name == name
            && labels
                .iter()
                .all(|(key, value)| sample.labels.iter().any(|(k, v)| k == key && v == value))
    };
    let found: Vec<_> = samples.iter().filter(fits).collect();
    assert_eq!(found.len(), 1, "{name} {labels:?}");
    &found[0].value
}

#[tokio::test]
async fn every_metric_is_there_with_its_type_and_labels() {
    let server = Server::start().await;
    server.post("/v1/sequences/notes/next").await;
    server.json("PUT", "/v1/sequences/events", r#"{"kind":"snowflake"}"#).await;
    server.post("/v1/sequences/events/next").await;
    let (types, samples) = read(&server.get("/metrics").await);
    assert_eq!(types.len(), METRICS.len());
    for (name, kind, labels) in METRICS {
        assert_eq!(types.get(name).map(String::as_str), Some(kind), "{name}");
        let of_it = samples.iter().filter(|sample| sample.name == name).collect::<Vec<_>>();
        assert!(!of_it.is_empty() || kind == "histogram", "{name}");
        for sample in of_it {
            let keys: Vec<_> = sample.labels.iter().map(|(key, _)| key.as_str()).collect();
            assert_eq!(keys, labels, "{name}");
        }
    }
}

#[tokio::test]
async fn the_numbers_are_those_of_the_sequences() {
    let server = Server::start().await;
    server.json("PUT", "/v1/sequences/a:b%2Fc", r#"{"block_len":100}"#).await;
    server.post("/v1/sequences/a:b%2Fc/next?count=7").await;
    server.json("POST", "/v1/sequences/a:b%2Fc/raise", r#"{"to":"17"}"#).await;
    server.json("PUT", "/v1/sequences/closed", "").await;
    let (_, samples) = read(&server.get("/metrics").await);
    let of = |name: &str| value(&samples, name, &[("sequence", "a:b/c")]).to_owned();
    assert_eq!(of("ticketd_ids_issued_total"), "7");
    assert_eq!(of("ticketd_ids_held"), "83");
    assert_eq!(of("ticketd_high_water_mark"), "101");
    assert_eq!(of("ticketd_ids_left"), "9223372036854775790");
    assert_eq!(of("ticketd_sequence_rate"), "0.0");
    assert_eq!(of("ticketd_sequence_lasts_seconds"), "+Inf");
    assert_eq!(of("ticketd_refill_waits_total"), "1");
    assert_eq!(of("ticketd_store_retries_total"), "0");
    let burnt = |reason| value(&samples, "ticketd_ids_burnt_total", &[("reason", reason)]);
    assert_eq!((burnt("raise"), burnt("crash")), ("10", "0"));
    assert_eq!(value(&samples, "ticketd_sequences", &[]), "2");
    // Above 2^53, where a float would lose the last digit.
    assert_eq!(value(&samples, "ticketd_store_commits_total", &[]), "9007199254740993");
    assert_eq!(value(&samples, "ticketd_store_fsyncs_total", &[]), "7");
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(value(&samples, "ticketd_build_info", &version), "1");
}

#[tokio::test]
async fn what_a_snowflake_has_left_is_measured() {
    let server = Server::start().await;
    server.json("PUT", "/v1/sequences/events", r#"{"kind":"snowflake"}"#).await;
    server.post("/v1/sequences/events/next").await;
    let (_, samples) = read(&server.get("/metrics").await);
    let of = |name: &str| value(&samples, name, &[("sequence", "events")]).to_owned();
    // 2093-09-06T15:47:35Z.
    assert_eq!(of("ticketd_time_runs_out_timestamp_seconds"), "3903090455");
    assert!((30.0..41.0).contains(&of("ticketd_time_bits_left").parse::<f64>().unwrap()));
    assert!(of("ticketd_ids_left").parse::<u64>().unwrap() > 1 << 60);
    assert_eq!(of("ticketd_worker_ids_left"), "1023");
    assert_eq!(of("ticketd_worker_ids_last_seconds"), "+Inf");
    let shown = server.get("/v1/sequences/events").await.value();
    assert_eq!((&shown["workers_left"], &shown["workers_last"]), (&1023.into(), &Value::Null));
    assert!(shown["left"].as_str().unwrap().parse::<u64>().unwrap() > 1 << 60);
    assert!((30.0..41.0).contains(&shown["time_bits_left"].as_f64().unwrap()));
}

#[tokio::test]
async fn the_histogram_of_reservations_adds_up() {
    let server = Server::start().await;
    for name in ["a", "b", "c"] {
        server.post(&format!("/v1/sequences/{name}/next")).await;
    }
    let (_, samples) = read(&server.get("/metrics").await);
    let buckets = samples.iter().filter(|sample| sample.name == "ticketd_reserve_seconds_bucket");
    let buckets: Vec<(f64, u64)> = buckets
        .map(|sample| (sample.labels[0].1.parse().unwrap(), sample.value.parse().unwrap()))
        .collect();
    assert_eq!(buckets.len(), 15);
    assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{buckets:?}");
    assert_eq!(buckets[0].0, 0.0001);
    assert_eq!(buckets[14].0, f64::INFINITY);
    let count = value(&samples, "ticketd_reserve_seconds_count", &[]);
    assert_eq!(count, buckets[14].1.to_string());
    assert!(buckets[14].1 >= 3);
}

#[tokio::test]
async fn traffic_of_both_protocols_is_told_apart() {
    let server = Server::start().await;
    server.traffic.resp.opened();
    server.traffic.resp.opened();
    server.traffic.resp.closed();
    server.traffic.http.refused();
    server.traffic.resp.error(ErrorKind::Exhausted);
    let (_, samples) = read(&server.get("/metrics").await);
    let of = |name: &str, protocol| value(&samples, name, &[("protocol", protocol)]).to_owned();
    assert_eq!(of("ticketd_connections", "resp"), "1");
    assert_eq!(of("ticketd_connections", "http"), "0");
    assert_eq!(of("ticketd_connections_total", "resp"), "2");
    assert_eq!(of("ticketd_connections_refused_total", "http"), "1");
    let labels = [("protocol", "resp"), ("kind", "exhausted")];
    assert_eq!(value(&samples, "ticketd_errors_total", &labels), "1");
}

#[tokio::test]
async fn a_server_without_sequences_has_metrics_too() {
    let server = Server::start().await;
    let (types, samples) = read(&server.get("/metrics").await);
    assert_eq!(types.len(), METRICS.len());
    assert_eq!(value(&samples, "ticketd_sequences", &[]), "0");
    assert!(!samples.iter().any(|sample| sample.name == "ticketd_ids_issued_total"));
}
