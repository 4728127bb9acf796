//! The figures of the page: for each property a plot of all kinds, its legend, and how it was
//! measured.

use ticketd_core::definition::KindName;
use ticketd_sim::compare::{BufferRate, Distance, Measured, SLOT_MS, Slot};

use super::plot::{Plot, Scale, Series, Write, middle};
use super::report::Report;
use super::rows::{count, millis, percent, short_count};
use super::text::{self, BUFFERS_HOW};

/// A plot with what belongs to it.
pub struct Figure {
    pub title: &'static str,
    pub how: String,
    pub legend: Vec<(usize, String)>,
    /// More than one are shown beside each other, each with its name.
    pub plots: Vec<(String, String)>,
}

/// A value of a kind, with its name.
type Value = (&'static str, fn(&Measured) -> f64);

/// All figures of `report` that have something to show.
pub fn all(report: &Report) -> Vec<Figure> {
    let figures = [
        speed(report),
        sizes(report),
        order(report),
        skewed(report),
        outage(report),
        resize(report),
        index(report),
        guess(report),
        buffers(report),
    ];
    figures.into_iter().filter(|figure| !figure.plots.is_empty()).collect()
}

/// How the row `key` was measured.
fn how(report: &Report, key: &str) -> String {
    let row = report.rows.iter().find(|row| row.key == key);
    let how = row.map_or("", |row| row.how);
    let first = how.chars().next().map(|first| first.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), how.get(1..).unwrap_or_default())
}

/// The colour of a kind is the same in all plots.
fn color_of(measured: &Measured) -> usize {
    KindName::ALL.iter().position(|kind| kind.as_str() == measured.kind).unwrap_or(0)
}

fn names(report: &Report) -> Vec<String> {
    report.kinds.iter().map(|kind| kind.kind.to_owned()).collect()
}

fn legend_of_kinds<'a>(kinds: impl Iterator<Item = &'a Measured>) -> Vec<(usize, String)> {
    kinds.map(|kind| (color_of(kind), kind.kind.to_owned())).collect()
}

fn alone(svg: String) -> Vec<(String, String)> {
    vec![(String::new(), svg)]
}

/// For each kind a bar of each value.
fn bars(
    report: &Report,
    title: &'static str,
    how: String,
    values: &[Value],
    scale: fn(Vec<f64>) -> Scale,
    write: Write,
) -> Figure {
    let kinds = &report.kinds;
    let series: Vec<Series<'_>> = values
        .iter()
        .enumerate()
        .map(|(color, (name, value))| {
            let at = |(index, kind): (usize, &Measured)| (middle(index, kinds.len()), value(kind));
            Series { name, color, points: kinds.iter().enumerate().map(at).collect() }
        })
        .collect();
    let all = series.iter().flat_map(|series| series.points.iter().map(|point| point.1));
    let plot = Plot::wide(title, scale(all.collect()), write);
    let svg = plot.bars(&series, write).categories(&names(report)).finish();
    let legend = values.iter().enumerate().map(|(color, (name, _))| (color, (*name).to_owned()));
    let legend = if values.len() > 1 { legend.collect() } else { Vec::new() };
    Figure { title, how, legend, plots: alone(svg) }
}

fn speed(report: &Report) -> Figure {
    let how = format!(
        "{} Over RESP, each agent has a connection on loopback to a real listener; clients and \
         servers share the cores. Logarithmic.",
        how(report, "in_process")
    );
    bars(
        report,
        "IDs per second",
        how,
        &[
            ("in process", |kind| kind.in_process.ids_per_second),
            ("RESP, 64 in flight", |kind| kind.resp_pipelined.ids_per_second),
            ("RESP, one at a time", |kind| kind.resp_single.ids_per_second),
        ],
        |values| Scale::log(values.into_iter()),
        short_count,
    )
}

fn sizes(report: &Report) -> Figure {
    bars(
        report,
        "Bytes per ID",
        "Binary as a database column has it; text as ticketd writes it, the longest.".to_owned(),
        &[
            ("binary", |kind| f64::from(kind.size.binary_bytes)),
            ("text, at most", |kind| f64::from(kind.size.text_bytes_max)),
        ],
        |values| Scale::linear(values.into_iter()),
        count,
    )
}

/// The share of pairs in the right order over their distance.
fn distances<'a>(
    title: &'static str,
    how: String,
    kinds: Vec<(&'a Measured, &'a [Distance])>,
) -> Figure {
    let most = kinds.iter().map(|(_, distances)| *distances).max_by_key(|all| all.len());
    let buckets: Vec<u64> = most.unwrap_or_default().iter().map(|all| all.from_us).collect();
    let place = |distance: &Distance| {
        let index = buckets.iter().position(|from_us| *from_us == distance.from_us)?;
        Some((middle(index, buckets.len()), distance.right_share))
    };
    let series: Vec<Series<'_>> = kinds
        .iter()
        .map(|(kind, distances)| Series {
            name: kind.kind,
            color: color_of(kind),
            points: distances.iter().filter_map(place).collect(),
        })
        .collect();
    let label = |from_us: &u64| match from_us {
        0 => "from 0".to_owned(),
        us => millis(*us as f64 / 1000.0),
    };
    let labels: Vec<String> = buckets.iter().map(label).collect();
    let plot = Plot::wide(title, Scale::Linear(1.0), percent)
        .marked_lines(&series, percent)
        .categories(&labels)
        .below("from the answer to one to the request for the other, at least")
        .finish();
    let legend = legend_of_kinds(kinds.iter().map(|(kind, _)| *kind));
    let plots = if kinds.is_empty() { Vec::new() } else { alone(plot) };
    Figure { title, how, legend, plots }
}

fn order(report: &Report) -> Figure {
    let kinds = report.kinds.iter().map(|kind| (kind, &*kind.order.distances)).collect();
    let how = "Agents draw at random moments, from the three servers 3 : 2 : 1. Of two IDs of \
               different servers (of tickets, of different agents) the one that was answered before \
               the other was asked for is older; the share of such pairs in which it is also the \
               smaller. Half of all pairs are right by chance. All servers have the clock of this \
               machine."
        .to_owned();
    distances("Share of pairs in the right order, across servers", how, kinds)
}

fn skewed(report: &Report) -> Figure {
    let with_time = report.kinds.iter().filter_map(|kind| {
        let skewed = kind.order_with_skewed_clocks.as_ref()?;
        Some((kind, &*skewed.distances))
    });
    let how = "The same where the wall clocks of the three servers are wrong by 0, 25 and 50 ms. \
               Kinds that carry no time do not change.";
    let title = "Share of pairs in the right order, clocks 50 ms apart";
    distances(title, how.to_owned(), with_time.collect())
}

/// A small plot for each kind: what agents got over time.
fn outage(report: &Report) -> Figure {
    let all = report.kinds.iter().flat_map(|kind| &kind.outage.timeline);
    let scale = Scale::linear(all.flat_map(|slot| [slot.ids as f64, slot.failed as f64]));
    let plot = |kind: &Measured| {
        let svg = timeline(kind, &kind.outage.timeline, scale);
        (kind.kind.to_owned(), svg)
    };
    Figure {
        title: "Availability: one of three servers is killed",
        how: format!("{} In slots of {SLOT_MS} ms.", how(report, "outage_failed")),
        legend: vec![(2, "IDs".to_owned()), (3, "requests that failed".to_owned())],
        plots: report.kinds.iter().map(plot).collect(),
    }
}

fn timeline(kind: &Measured, slots: &[Slot], scale: Scale) -> String {
    let points = |value: fn(&Slot) -> u64| -> Vec<(f64, f64)> {
        let at = |(index, slot): (usize, &Slot)| (middle(index, slots.len()), value(slot) as f64);
        slots.iter().enumerate().map(at).collect()
    };
    let series = [
        Series { name: "IDs", color: 2, points: points(|slot| slot.ids) },
        Series { name: "failed", color: 3, points: points(|slot| slot.failed) },
    ];
    let begins = slots.iter().enumerate().step_by(5);
    let place = |index: usize| index as f64 / slots.len() as f64;
    let labels: Vec<(f64, String)> =
        begins.map(|(index, slot)| (place(index), seconds(slot.from_ms))).collect();
    let death = slots.iter().position(|slot| slot.from_ms == 0).unwrap_or(0);
    Plot::new(kind.kind, 300.0, 180.0, scale, count)
        .lines(&series)
        .moment(place(death), "killed")
        .places(&labels)
        .finish()
}

fn seconds(millis: i64) -> String {
    format!("{:.1} s", millis as f64 / 1000.0)
}

fn resize(report: &Report) -> Figure {
    bars(
        report,
        "From three servers to five: time until all five issue",
        format!("{} Logarithmic.", how(report, "resize_took")),
        &[("takes", |kind| kind.resize.took_ms)],
        |values| Scale::log(values.into_iter()),
        millis,
    )
}

fn index(report: &Report) -> Figure {
    let series: Vec<Series<'_>> = report
        .kinds
        .iter()
        .map(|kind| {
            let pages = &kind.locality.pages_per_commit;
            let at = |(index, pages_written): (usize, &u64)| {
                (middle(index, pages.len()), *pages_written as f64)
            };
            let points = pages.iter().enumerate().map(at).collect();
            Series { name: kind.kind, color: color_of(kind), points }
        })
        .collect();
    let values = series.iter().flat_map(|series| series.points.iter().map(|point| point.1));
    let scale = Scale::log(values);
    let rows = report.scenario.index_rows as f64;
    let labels: Vec<(f64, String)> =
        [0.0, 0.25, 0.5, 0.75, 1.0].map(|at| (at, count(rows * at))).to_vec();
    let title = "Pages written per 1,000 IDs inserted";
    let svg = Plot::wide(title, scale, count)
        .lines(&series)
        .places(&labels)
        .below("IDs in the index")
        .finish();
    let how = format!("{} Logarithmic.", how(report, "pages_per_commit"));
    Figure { title, how, legend: legend_of_kinds(report.kinds.iter()), plots: alone(svg) }
}

fn guess(report: &Report) -> Figure {
    let how = format!(
        "{} Within 1,000 tries: {}",
        how(report, "guessed_at_once"),
        how(report, "guessed_within_1000").to_lowercase()
    );
    bars(
        report,
        "Share of next IDs that were guessed",
        how,
        &[
            ("at once", |kind| kind.guess.guessed_at_once_share),
            ("within 1,000 tries", |kind| kind.guess.guessed_within_1000_share),
        ],
        |_| Scale::Linear(1.0),
        percent,
    )
}

fn buffers(report: &Report) -> Figure {
    let runs: Vec<_> = report.buffers.chunk_by(|a, b| a.agents == b.agents).collect();
    let names: Vec<String> = runs.iter().map(|runs| format!("{} agents", runs[0].agents)).collect();
    let series: Vec<Series<'_>> = runs
        .iter()
        .zip(&names)
        .enumerate()
        .map(|(color, (runs, name))| {
            let at = |(index, run): (usize, &BufferRate)| {
                (middle(index, runs.len()), run.ids_per_second)
            };
            Series { name, color, points: runs.iter().enumerate().map(at).collect() }
        })
        .collect();
    let values = report.buffers.iter().map(|run| run.ids_per_second);
    let title = "Tickets per second by the buffer between server and agents";
    let sizes: Vec<String> = runs
        .first()
        .map_or(&[][..], |runs| runs)
        .iter()
        .map(|run| run.buffer.to_string())
        .collect();
    let svg = Plot::wide(title, Scale::log(values), count)
        .marked_lines(&series, count)
        .categories(&sizes)
        .below("IDs that may wait for the agents of a table (0: server and agent meet)")
        .finish();
    let legend = names.into_iter().enumerate().collect();
    let answer = text::buffers_answer(&report.buffers);
    let how = format!("{answer} T{}. Logarithmic.", &BUFFERS_HOW[1..]);
    Figure { title, how, legend, plots: alone(svg) }
}
