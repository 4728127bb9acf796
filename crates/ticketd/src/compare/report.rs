//! What was measured, as a whole and as JSON.

use std::io::{self, Write};
use std::thread;

use serde::Serialize;
use ticketd_core::time::Rfc3339;
use ticketd_server::clock::Clock;
use ticketd_sim::compare::{
    BufferRate, Measured, PAGE_BYTES, PIPELINE, ROWS_PER_COMMIT, SERVERS, SERVERS_AFTER, SKEWS_MS,
    SURE_SHARE, Scenario,
};

use super::rows::{self, Row};

/// All that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What was run.
    pub scenario: Shown,
    /// IDs that came twice, in all measurements together.
    pub duplicates: u64,
    /// One for each kind.
    pub kinds: Vec<Measured>,
    /// The open question of the buffer between server and agents.
    pub buffers: Vec<BufferRate>,
    /// The table as people see it, with how each row was measured.
    pub rows: Vec<Row>,
}

/// The scenario and where it was run.
#[derive(Debug, Serialize)]
pub struct Shown {
    pub version: &'static str,
    /// RFC 3339, in UTC.
    pub measured_at: String,
    pub took_seconds: f64,
    pub cores: usize,
    /// Whether the binary was built without optimizations: then its rates say nothing.
    pub is_debug_build: bool,
    pub agents: usize,
    pub tables: Vec<String>,
    pub seconds_per_measurement: f64,
    pub servers: usize,
    pub servers_after_resize: usize,
    pub requests_in_flight: usize,
    pub clock_skews_ms: [i64; SERVERS],
    pub sure_share: f64,
    pub index_rows: usize,
    pub index_rows_per_commit: usize,
    pub index_page_bytes: u64,
}

impl Report {
    /// The report on measurements that began when `clock` was started.
    pub fn new(
        scenario: &Scenario,
        kinds: Vec<Measured>,
        buffers: Vec<BufferRate>,
        clock: Clock,
    ) -> Self {
        let of_kinds: u64 = kinds.iter().map(Measured::duplicates).sum();
        let of_buffers: u64 = buffers.iter().map(|run| run.duplicates).sum();
        Self {
            scenario: Shown::new(scenario, clock),
            duplicates: of_kinds + of_buffers,
            rows: rows::all(&kinds),
            kinds,
            buffers,
        }
    }

    /// Writes it as one object.
    pub fn json(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        writeln!(out)
    }
}

impl Shown {
    fn new(scenario: &Scenario, clock: Clock) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            measured_at: Rfc3339(clock.wall().0.cast_signed()).to_string(),
            took_seconds: clock.uptime().as_secs_f64(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            is_debug_build: cfg!(debug_assertions),
            agents: scenario.agents,
            tables: scenario.tables.iter().map(ToString::to_string).collect(),
            seconds_per_measurement: scenario.duration.as_secs_f64(),
            servers: SERVERS,
            servers_after_resize: SERVERS_AFTER,
            requests_in_flight: PIPELINE,
            clock_skews_ms: SKEWS_MS,
            sure_share: SURE_SHARE,
            index_rows: scenario.rows,
            index_rows_per_commit: ROWS_PER_COMMIT,
            index_page_bytes: PAGE_BYTES,
        }
    }
}
