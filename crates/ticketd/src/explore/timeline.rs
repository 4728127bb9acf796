//! A picture as SVG: a lane for each server, for clients, and for what they share.
//!
//! Everything that has a time says it (`data-a`, `data-b`), so that the page's script can look
//! closer; without the script the whole is seen.

use std::fmt::Write as _;

use ticketd_sim::explore::{Bar, Lane, Tick};

use super::picture::{Mark, Picture, Row, RowKind, Span, SpanKind};
use crate::page::escaped;

/// The size of the drawing in units of its own; the page scales it.
const WIDTH: f64 = 1200.0;

/// Room for the names at the left, and behind the end.
const LEFT: f64 = 132.0;
const RIGHT: f64 = 14.0;

/// Room above, for phases and what broke.
const TOP: f64 = 40.0;

/// Room below, for the time.
const BOTTOM: f64 = 24.0;

/// The height of a bar, and of the part of a row that holds faults.
const BAR: f64 = 14.0;
const FAULTS: f64 = 12.0;

/// Requests lie on so many levels of their row, each so high.
const LEVELS: u64 = 6;
const LEVEL: f64 = 4.0;

/// How wide a letter of a label is.
const LETTER: f64 = 6.0;

/// Where something broke, and what saw it.
#[derive(Debug, Clone, Copy)]
pub struct Broken<'a> {
    pub checker: &'a str,
    pub message: &'a str,
}

struct Timeline<'a> {
    picture: &'a Picture,
    svg: String,
    height: f64,
}

/// Draws `picture`.
pub fn draw(picture: &Picture, broken: Option<Broken<'_>>) -> String {
    let height = TOP + picture.rows.iter().map(row_height).sum::<f64>() + gaps(picture) + BOTTOM;
    let mut timeline = Timeline { picture, svg: String::new(), height };
    timeline.put(&format!(
        r#"<svg class="timeline" viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="What happened in the world" data-end="{}" data-left="{LEFT}" data-right="{RIGHT}" data-letter="{LETTER}">"#,
        picture.end_us
    ));
    timeline.frame();
    let mut y = TOP;
    let mut lane = None;
    for row in &picture.rows {
        if lane != Some(row.lane) {
            y += if lane.is_some() { GAP } else { 0.0 };
            timeline.name(row.lane, y);
            lane = Some(row.lane);
        }
        timeline.row(row, y);
        y += row_height(row);
    }
    if let Some(broken) = broken {
        timeline.broken(broken);
    }
    timeline.put("</svg>");
    timeline.svg
}

/// Room between two lanes.
const GAP: f64 = 10.0;

fn gaps(picture: &Picture) -> f64 {
    let lanes = picture.rows.chunk_by(|a, b| a.lane == b.lane).count();
    lanes.saturating_sub(1) as f64 * GAP
}

fn row_height(row: &Row) -> f64 {
    match row.kind {
        RowKind::Itself => {
            let bars = if row.bars.is_empty() { 0.0 } else { BAR + 2.0 };
            let marks = if row.marks.is_empty() { 0.0 } else { FAULTS + 1.0 };
            bars + marks
        }
        RowKind::Requests(_) => LEVELS as f64 * LEVEL + 4.0,
        RowKind::Links => {
            let most = row.bars.iter().map(|span| span.level).max().unwrap_or_default();
            (most + 1) as f64 * (BAR + 2.0)
        }
        RowKind::Lease | RowKind::Owner(_) | RowKind::Blocks(_) => BAR + 2.0,
    }
}

impl Timeline<'_> {
    fn put(&mut self, element: &str) {
        self.svg.write_str(element).expect("a string takes any text");
    }

    fn x(&self, at_us: u64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * at_us as f64 / self.picture.end_us as f64
    }

    /// The axis, and where phases begin.
    fn frame(&mut self) {
        let bottom = self.height - BOTTOM;
        self.put(r#"<g class="axis">"#);
        for (at_us, label) in ticks(self.picture.end_us) {
            let x = self.x(at_us);
            self.put(&format!(
                r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{bottom:.1}"/><text class="tick" x="{x:.1}" y="{:.1}" text-anchor="middle">{label}</text>"#,
                bottom + 16.0
            ));
        }
        self.put("</g>");
        self.phases();
    }

    fn phases(&mut self) {
        let bottom = self.height - BOTTOM;
        let mut free = f64::MIN;
        let phases = &self.picture.phases;
        for (at_us, name) in phases {
            let x = self.x(*at_us);
            let room = (name.len() as f64 + 1.0) * LETTER;
            let (from, to, anchor) = match x + room > WIDTH {
                true => (x - room, x, r#" text-anchor="end""#),
                false => (x, x + room, ""),
            };
            let hidden = hidden(from < free);
            free = if from < free { free } else { to };
            self.put(&format!(
                r#"<g class="moment" data-a="{at_us}" data-y="0" transform="translate({x:.1} 0)"><title>phase begins: {name}</title><line y1="{:.1}" y2="{bottom:.1}"/><text class="tick" y="{:.1}"{anchor}{hidden}>{name}</text></g>"#,
                TOP - 4.0,
                TOP - 7.0
            ));
        }
    }

    fn name(&mut self, lane: Lane, y: f64) {
        self.put(&format!(
            r#"<line class="lane" x1="0" x2="100%" y1="{:.1}" y2="{:.1}"/><text class="name" x="0" y="{:.1}">{lane}</text>"#,
            y - 3.0,
            y - 3.0,
            y + 11.0
        ));
    }

    fn row(&mut self, row: &Row, y: f64) {
        let label = match row.kind {
            RowKind::Itself => "",
            RowKind::Links => "links",
            RowKind::Lease => "lease",
            RowKind::Owner(sequence) => &of(sequence, "owner"),
            RowKind::Blocks(sequence) => &of(sequence, "block"),
            RowKind::Requests(sequence) => &of(sequence, "requests"),
        };
        let (x, below) = (LEFT - 8.0, y + 11.0);
        self.put(&format!(
            r#"<text class="tick" x="{x}" y="{below:.1}" text-anchor="end">{label}</text>"#
        ));
        let marks = if row.marks.is_empty() { 0.0 } else { FAULTS };
        row.bars.iter().for_each(|span| self.span(span, y + marks));
        self.marks(&row.marks, y);
    }

    fn span(&mut self, span: &Span, y: f64) {
        let (x, until) = (self.x(span.from_us), self.x(span.until_us));
        let (y, height, class) = match span.kind {
            SpanKind::Bar(bar) => (y + span.level as f64 * (BAR + 2.0), BAR, bar_class(bar)),
            SpanKind::Request(tick) => {
                (y + (span.level % LEVELS) as f64 * LEVEL, LEVEL - 1.0, request_class(tick))
            }
        };
        let width = (until - x).max(1.5);
        let place = format!(
            r#"data-a="{}" data-b="{}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height}""#,
            span.from_us, span.until_us
        );
        let title = escaped(&title(span));
        if matches!(span.kind, SpanKind::Request(_)) {
            self.put(&format!(r#"<rect class="{class}" {place}><title>{title}</title></rect>"#));
            return;
        }
        let label = escaped(&span.label);
        let hidden = hidden(width < span.label.chars().count() as f64 * LETTER + 8.0);
        self.put(&format!(
            r#"<svg class="bar {class}" {place}><title>{title}</title><rect width="100%" height="100%" rx="2"/><text x="4" y="10.5"{hidden}>{label}</text></svg>"#
        ));
    }

    /// Marks of a row, with the numbers of faults where there is room before the next mark.
    fn marks(&mut self, marks: &[Mark], y: f64) {
        for (index, mark) in marks.iter().enumerate() {
            let x = self.x(mark.at_us);
            let next = marks[index + 1..].iter().find(|next| self.is_beside(mark, next));
            let room = next.map_or(f64::MAX, |next| self.x(next.at_us) - x);
            let (class, shape) = match mark.fault {
                Some(struck) => {
                    let number = struck.number.to_string();
                    let hidden = hidden(room < (number.len() as f64 + 2.0) * LETTER);
                    ("fault", format!(r#"{FLASH}<text x="6" y="9.5"{hidden}>{number}</text>"#))
                }
                None => ("dot", r#"<circle cy="6" r="2.2"/>"#.to_owned()),
            };
            self.put(&format!(
                r#"<g class="{class}" data-a="{}" data-y="{y:.1}" transform="translate({x:.1} {y:.1})"><title>{}</title>{shape}</g>"#,
                mark.at_us,
                escaped(&mark.title)
            ));
        }
    }

    /// Whether the next mark takes room from a number: a dot on the shape of the fault does not.
    fn is_beside(&self, mark: &Mark, next: &Mark) -> bool {
        next.fault.is_some() || self.x(next.at_us) - self.x(mark.at_us) > 4.0
    }

    fn broken(&mut self, broken: Broken<'_>) {
        let (x, bottom) = (self.x(self.picture.end_us), self.height - BOTTOM);
        let sentence = format!("{}: {}", broken.checker, broken.message);
        let (whole, short) = (escaped(&sentence), escaped(&shortened(&sentence, SENTENCE_MAX)));
        self.put(&format!(
            r#"<g class="broken" data-a="{}" data-y="0" transform="translate({x:.1} 0)"><title>{whole}</title><line y1="14" y2="{bottom:.1}"/><text x="-7" y="13" text-anchor="end">{short}</text><circle cy="14" r="4"/></g>"#,
            self.picture.end_us
        ));
    }
}

/// A fault as a shape.
const FLASH: &str = r#"<path d="M-4.5 1 L4.5 1 L0 10 Z"/>"#;

/// So many letters of what a checker says stand in the drawing.
const SENTENCE_MAX: usize = 80;

fn shortened(sentence: &str, most: usize) -> String {
    if sentence.chars().count() <= most {
        return sentence.to_owned();
    }
    let start: String = sentence.chars().take(most - 1).collect();
    format!("{start}…")
}

/// A label without room is there, and not seen.
const fn hidden(is_hidden: bool) -> &'static str {
    if is_hidden { r#" visibility="hidden""# } else { "" }
}

fn of(sequence: Option<usize>, what: &str) -> String {
    sequence.map_or_else(|| what.to_owned(), |sequence| format!("s{sequence} {what}"))
}

fn title(span: &Span) -> String {
    use ticketd_sim::explore::span as spell;
    match span.kind {
        SpanKind::Bar(_) => {
            format!("{} (lasts {})", span.title, spell(span.until_us - span.from_us))
        }
        SpanKind::Request(_) => span.title.clone(),
    }
}

const fn bar_class(bar: Bar) -> &'static str {
    match bar {
        Bar::Life => "life",
        Bar::Stopping => "stopping",
        Bar::Still => "still",
        Bar::Cut => "cut",
        Bar::Away => "away",
        Bar::Lease => "lease",
        Bar::Owner => "owner",
        Bar::Block => "block",
    }
}

const fn request_class(tick: Tick) -> &'static str {
    match tick {
        Tick::Asked | Tick::Parted => "waits",
        Tick::Answered => "answered",
        Tick::Refused => "refused",
        Tick::Lost => "lost",
    }
}

/// Round moments from 0 to `end_us`, some ten of them.
fn ticks(end_us: u64) -> Vec<(u64, String)> {
    let rough = (end_us as f64 / 10.0).max(1.0);
    let unit = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    let step = steps.into_iter().find(|step| step * unit >= rough).unwrap_or(10.0) * unit;
    let step = (step as u64).max(1);
    let label = |at_us| if at_us == 0 { "0".to_owned() } else { ticketd_sim::explore::span(at_us) };
    (0..=end_us / step).map(|n| (n * step, label(n * step))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        for end in [1, 7, 999, 24_757_345, 3_600_000_000] {
            let ticks = ticks(end);
            assert!((2..=12).contains(&ticks.len()), "{end}: {ticks:?}");
            assert!(ticks.iter().all(|(at, _)| *at <= end), "{end}: {ticks:?}");
        }
        assert_eq!(ticks(24_757_345)[1], (5_000_000, "5 s".to_owned()));
    }
}
