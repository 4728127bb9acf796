//! Plots as SVG, drawn for the page: colours are classes of its style sheet, so that they follow a
//! dark or a light screen, and each mark tells its value when it is pointed at.
//!
//! Not by a plotting library: those write fixed colours into the SVG and have no titles for marks.

use std::fmt::Write as _;

/// The size of a plot in units of its own; the page scales it.
const WIDTH: f64 = 720.0;

/// Room around the marks: for labels at the left and below.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;

/// How far marks of different series at one place are moved apart.
const DODGE: f64 = 6.0;

/// What a plot is drawn on.
pub struct Plot {
    height: f64,
    left: f64,
    width: f64,
    scale: Scale,
    svg: String,
}

/// How values become heights.
#[derive(Debug, Clone, Copy)]
pub enum Scale {
    /// From 0 to this.
    Linear(f64),
    /// From the first to the second, which are powers of ten.
    Log(f64, f64),
}

/// Values that belong together: its name, the number of its colour, and the values.
pub struct Series<'a> {
    pub name: &'a str,
    pub color: usize,
    /// Where it is on the way from left to right, from 0 to 1; and its value.
    pub points: Vec<(f64, f64)>,
}

/// A value as text.
pub type Write = fn(f64) -> String;

impl Scale {
    /// A scale from 0 that holds all of `values`, up to a round number.
    pub fn linear(values: impl Iterator<Item = f64>) -> Self {
        let max = values.fold(0.0, f64::max);
        if max <= 0.0 {
            return Self::Linear(1.0);
        }
        let unit = 10_f64.powf(max.log10().floor());
        // Whose quarters are round too.
        let steps = [1.0, 2.0, 4.0, 6.0, 8.0, 10.0];
        let round = steps.into_iter().find(|step| step * unit >= max).unwrap_or(10.0);
        Self::Linear(round * unit)
    }

    /// A scale of powers of ten that holds all of `values` above 0.
    pub fn log(values: impl Iterator<Item = f64>) -> Self {
        let positive: Vec<f64> = values.filter(|value| *value > 0.0).collect();
        let least = positive.iter().copied().fold(f64::INFINITY, f64::min);
        let most = positive.iter().copied().fold(0.0, f64::max);
        if positive.is_empty() {
            return Self::Log(1.0, 10.0);
        }
        let from = 10_f64.powf(least.log10().floor());
        Self::Log(from, 10_f64.powf(most.log10().ceil()).max(from * 10.0))
    }

    /// From 0 at the bottom to 1 at the top.
    fn at(self, value: f64) -> f64 {
        match self {
            Self::Linear(max) => (value / max).clamp(0.0, 1.0),
            Self::Log(from, to) => {
                let decades = (to / from).log10();
                ((value.max(from) / from).log10() / decades).clamp(0.0, 1.0)
            }
        }
    }

    fn ticks(self) -> Vec<f64> {
        match self {
            Self::Linear(max) => (0..=4).map(|quarter| max * f64::from(quarter) / 4.0).collect(),
            Self::Log(from, to) => {
                let decades = (to / from).log10().round() as i32;
                // Not so many that their labels would touch.
                let step = usize::try_from(decades / 6 + 1).unwrap_or(1);
                (0..=decades).step_by(step).map(|power| from * 10_f64.powi(power)).collect()
            }
        }
    }
}

impl Plot {
    /// An empty plot with lines at the ticks of `scale`.
    pub fn new(title: &str, width: f64, height: f64, scale: Scale, write: Write) -> Self {
        let mut svg = String::new();
        put(
            &mut svg,
            &format!(r#"<svg viewBox="0 0 {width} {height}" role="img" aria-label="{title}">"#),
        );
        let mut plot = Self { height, left: LEFT, width: width - LEFT - RIGHT, scale, svg };
        for tick in scale.ticks() {
            let y = plot.y(tick);
            let (from, to) = (plot.left, plot.left + plot.width);
            plot.put(&format!(
                r#"<line class="grid" x1="{from}" x2="{to}" y1="{y:.1}" y2="{y:.1}"/>"#
            ));
            let (x, y, label) = (from - 8.0, y + 4.0, trimmed(&write(tick)));
            plot.put(&format!(
                r#"<text class="tick" x="{x}" y="{y:.1}" text-anchor="end">{label}</text>"#
            ));
        }
        plot
    }

    /// One of the page's usual size.
    pub fn wide(title: &str, scale: Scale, write: Write) -> Self {
        Self::new(title, WIDTH, 300.0, scale, write)
    }

    fn put(&mut self, element: &str) {
        put(&mut self.svg, element);
    }

    fn x(&self, at: f64) -> f64 {
        self.left + self.width * at
    }

    fn y(&self, value: f64) -> f64 {
        let height = self.height - TOP - BOTTOM;
        TOP + height * (1.0 - self.scale.at(value))
    }

    fn label(&mut self, at: f64, text: &str) {
        let (x, y) = (self.x(at), self.height - BOTTOM + 18.0);
        self.put(&format!(
            r#"<text class="tick" x="{x:.1}" y="{y}" text-anchor="middle">{text}</text>"#
        ));
    }

    /// Labels below, each in the middle of its part of the width.
    pub fn categories(mut self, labels: &[String]) -> Self {
        for (index, label) in labels.iter().enumerate() {
            self.label(middle(index, labels.len()), label);
        }
        self
    }

    /// Labels below, at these places.
    pub fn places(mut self, labels: &[(f64, String)]) -> Self {
        for (at, label) in labels {
            self.label(*at, &trimmed(label));
        }
        self
    }

    /// What the labels below count.
    pub fn below(mut self, text: &str) -> Self {
        let (x, y) = (self.x(0.5), self.height - 5.0);
        self.put(&format!(
            r#"<text class="axis" x="{x:.1}" y="{y}" text-anchor="middle">{text}</text>"#
        ));
        self
    }

    /// For each category a bar of each series, with its value above it.
    pub fn bars(mut self, series: &[Series<'_>], write: Write) -> Self {
        let bottom = self.height - BOTTOM;
        for (number, one) in series.iter().enumerate() {
            let categories = one.points.len() as f64;
            let room = self.width / categories * 0.86;
            let bar = room / series.len() as f64;
            for (at, value) in &one.points {
                let x = self.x(*at) - room / 2.0 + bar * number as f64;
                let (y, text) = (self.y(*value), write(*value));
                let (width, height) = (bar - 2.0, (bottom - y).max(1.0));
                let (color, name) = (one.color, one.name);
                self.put(&format!(
                    r#"<rect class="c{color}" x="{x:.1}" y="{:.1}" width="{width:.1}" height="{height:.1}" rx="2"><title>{name}: {text}</title></rect>"#,
                    bottom - height
                ));
                let (x, y) = (x + width / 2.0, bottom - height - 4.0);
                self.put(&format!(
                    r#"<text class="value" x="{x:.1}" y="{y:.1}" text-anchor="middle">{text}</text>"#
                ));
            }
        }
        self
    }

    /// A line for each series, with marks moved a little apart so that none hides another.
    pub fn marked_lines(self, series: &[Series<'_>], write: Write) -> Self {
        let middle = (series.len() as f64 - 1.0) / 2.0;
        series.iter().enumerate().fold(self, |plot, (number, one)| {
            let plot = plot.line(one, (number as f64 - middle) * DODGE);
            plot.marks(one, (number as f64 - middle) * DODGE, write)
        })
    }

    /// A line for each series.
    pub fn lines(self, series: &[Series<'_>]) -> Self {
        series.iter().fold(self, |plot, one| plot.line(one, 0.0))
    }

    fn line(mut self, series: &Series<'_>, dx: f64) -> Self {
        let mut path = String::new();
        for (at, value) in &series.points {
            let letter = if path.is_empty() { 'M' } else { 'L' };
            put(&mut path, &format!("{letter}{:.1} {:.1}", self.x(*at) + dx, self.y(*value)));
        }
        let (color, name) = (series.color, series.name);
        self.put(&format!(
            r#"<path class="line s{color}" d="{path}"><title>{name}</title></path>"#
        ));
        self
    }

    fn marks(mut self, series: &Series<'_>, dx: f64, write: Write) -> Self {
        for (at, value) in &series.points {
            let (x, y) = (self.x(*at) + dx, self.y(*value));
            let (color, name, text) = (series.color, series.name, write(*value));
            self.put(&format!(
                r#"<circle class="c{color}" cx="{x:.1}" cy="{y:.1}" r="4"><title>{name}: {text}</title></circle>"#
            ));
        }
        self
    }

    /// A stroke from top to bottom, with a word beside it.
    pub fn moment(mut self, at: f64, word: &str) -> Self {
        let (x, bottom) = (self.x(at), self.height - BOTTOM);
        self.put(&format!(
            r#"<line class="moment" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{bottom}"/>"#
        ));
        let (x, y) = (x + 5.0, TOP + 10.0);
        self.put(&format!(r#"<text class="tick" x="{x:.1}" y="{y}">{word}</text>"#));
        self
    }

    /// The SVG.
    pub fn finish(mut self) -> String {
        self.put("</svg>");
        self.svg
    }
}

/// A round number without the zeros behind its point.
fn trimmed(number: &str) -> String {
    number.replace(".00 ", " ").replace(".0 ", " ")
}

/// The middle of part number `index` of so many.
pub fn middle(index: usize, parts: usize) -> f64 {
    (index as f64 + 0.5) / parts as f64
}

fn put(out: &mut String, text: &str) {
    out.write_str(text).expect("a string takes any text");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_hold_their_values_between_round_numbers() {
        let Scale::Linear(max) = Scale::linear([3.0, 17.0].into_iter()) else { unreachable!() };
        assert_eq!(max, 20.0);
        let Scale::Log(from, to) = Scale::log([0.0, 30.0, 99_000.0].into_iter()) else {
            unreachable!()
        };
        assert!((from - 10.0).abs() < 1e-9 && (to - 100_000.0).abs() < 1e-3, "{from} to {to}");
        let log = Scale::Log(1.0, 100.0);
        assert_eq!([0.0, 1.0, 10.0, 100.0, 1000.0].map(|v| log.at(v)), [0.0, 0.0, 0.5, 1.0, 1.0]);
        assert_eq!(Scale::linear(std::iter::empty()).ticks().len(), 5);
    }

    #[test]
    fn every_value_has_a_mark_that_tells_it() {
        let points = vec![(middle(0, 2), 5.0), (middle(1, 2), 10.0)];
        let series = [Series { name: "ticket", color: 0, points }];
        let plot = || Plot::wide("p", Scale::Linear(10.0), |value| format!("{value} x"));
        let bars = plot().bars(&series, |value| format!("{value} x")).finish();
        let lines = plot().marked_lines(&series, |value| format!("{value} x")).finish();
        for svg in [bars, lines] {
            assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"));
            for told in ["ticket: 5 x", "ticket: 10 x"] {
                assert!(svg.contains(told), "{svg}");
            }
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
