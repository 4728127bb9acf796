//! The steps of one world as lanes, bars and marks.

use std::collections::BTreeMap;

use ticketd_sim::explore::{Bar, Lane, Outcome, Sign, Step, Struck, Tick, span};

use super::thin;

/// One world to draw.
#[derive(Debug)]
pub struct Picture {
    /// When it ends, in microseconds.
    pub end_us: u64,
    pub rows: Vec<Row>,
    /// When each phase begins, and what it is called.
    pub phases: Vec<(u64, String)>,
    /// What was left out so that the rest can be seen, in sentences.
    pub thinned: Vec<String>,
}

/// A row of a lane.
#[derive(Debug)]
pub struct Row {
    pub lane: Lane,
    pub kind: RowKind,
    pub bars: Vec<Span>,
    pub marks: Vec<Mark>,
}

/// What a row shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowKind {
    /// The process, or whatever the lane is of, with its faults.
    Itself,
    Links,
    Lease,
    /// Of a sequence, if the world has more than one.
    Owner(Option<usize>),
    Blocks(Option<usize>),
    Requests(Option<usize>),
}

/// Something that lasts.
#[derive(Debug)]
pub struct Span {
    pub kind: SpanKind,
    pub from_us: u64,
    pub until_us: u64,
    pub label: String,
    pub title: String,
    /// On which line of its row it lies: requests and links may last at once.
    pub level: u64,
}

/// What lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    Bar(Bar),
    Request(Tick),
}

/// A moment.
#[derive(Debug)]
pub struct Mark {
    pub at_us: u64,
    pub fault: Option<Struck>,
    pub title: String,
}

/// What is gathered while the steps go by.
#[derive(Default)]
struct Drawing {
    rows: BTreeMap<(u8, Lane, RowKind), Row>,
    /// Where the last bar of each kind is.
    last: BTreeMap<(Lane, Option<usize>, Bar), usize>,
    asked: BTreeMap<u64, Asked>,
    phases: Vec<(u64, String)>,
}

/// A request that has no answer yet.
#[derive(Debug, Clone)]
struct Asked {
    at_us: u64,
    sequence: Option<usize>,
    /// How many IDs it asks for.
    count: u64,
    text: String,
}

impl Picture {
    /// The picture of a world whose steps were kept.
    pub fn of(outcome: &Outcome) -> Self {
        let steps = outcome.trace.as_deref().unwrap_or_default();
        let end_us = steps.last().map_or(1, |step| step.at_us).max(1);
        let mut drawing = Drawing::default();
        steps.iter().for_each(|step| drawing.step(step));
        drawing.give_up_waiting(end_us);
        let mut rows: Vec<Row> = drawing.rows.into_values().collect();
        for span in rows.iter_mut().flat_map(|row| &mut row.bars) {
            span.until_us = span.until_us.min(end_us).max(span.from_us);
        }
        rows.iter_mut().filter(|row| row.kind == RowKind::Links).for_each(lay_apart);
        let thinned = thin::thin(&mut rows, end_us);
        Self { end_us, rows, phases: drawing.phases, thinned }
    }
}

impl Drawing {
    fn step(&mut self, step: &Step) {
        match &step.sign {
            Sign::Plain => {}
            Sign::Moment if step.lane == Lane::WORLD => {
                let name = step.text.rsplit(": ").next().unwrap_or_default();
                self.phases.push((step.at_us, name.to_owned()));
            }
            Sign::Moment => self.mark(step, None),
            Sign::Fault(struck) => self.mark(step, Some(*struck)),
            Sign::Request { tick, request, ids } => self.request(step, *tick, *request, *ids),
            Sign::Begins { bar, label, until_us } => self.begin(step, *bar, label, *until_us),
            Sign::Ends(bar) => self.end(step, *bar),
            Sign::EndsAll => {
                let bars =
                    [Bar::Life, Bar::Stopping, Bar::Still, Bar::Lease, Bar::Owner, Bar::Block];
                self.cut_off(step, &bars, |_| true);
                self.mark(step, None);
            }
        }
    }

    fn row(&mut self, lane: Lane, kind: RowKind) -> &mut Row {
        let row = || Row { lane, kind, bars: Vec::new(), marks: Vec::new() };
        self.rows.entry((rank(lane), lane, kind)).or_insert_with(row)
    }

    fn mark(&mut self, step: &Step, fault: Option<Struck>) {
        let mark = Mark { at_us: step.at_us, fault, title: told(step) };
        self.row(step.lane, RowKind::Itself).marks.push(mark);
    }

    fn begin(&mut self, step: &Step, bar: Bar, label: &str, until_us: Option<u64>) {
        let key = (step.lane, step.sequence, bar);
        let last = self.last.get(&key).copied();
        let row = self.row(step.lane, row_of(bar, step.sequence));
        if let Some(last) = last.and_then(|index| row.bars.get_mut(index)) {
            let goes_on = bar == Bar::Lease && last.until_us >= step.at_us && last.label == label;
            if let Some(until) = until_us.filter(|_| goes_on) {
                last.until_us = until;
                return;
            }
            if matches!(bar, Bar::Lease | Bar::Owner | Bar::Block | Bar::Life) {
                last.until_us = last.until_us.min(step.at_us);
            }
        }
        row.bars.push(Span {
            kind: SpanKind::Bar(bar),
            from_us: step.at_us,
            until_us: until_us.unwrap_or(u64::MAX),
            label: label.to_owned(),
            title: told(step),
            level: 0,
        });
        let index = row.bars.len() - 1;
        self.last.insert(key, index);
    }

    fn end(&mut self, step: &Step, bar: Bar) {
        // What was reserved for an owner is of no use without it.
        let bars: &[Bar] = if bar == Bar::Owner { &[Bar::Owner, Bar::Block] } else { &[bar] };
        let sequence = step.sequence;
        self.cut_off(step, bars, |of| of == sequence);
    }

    /// Ends bars of this lane, of the sequences that are meant.
    fn cut_off(&mut self, step: &Step, bars: &[Bar], is_meant: impl Fn(Option<usize>) -> bool) {
        let ended: Vec<_> = self
            .last
            .iter()
            .filter(|((lane, sequence, bar), _)| {
                *lane == step.lane && bars.contains(bar) && is_meant(*sequence)
            })
            .map(|((_, sequence, bar), index)| (row_of(*bar, *sequence), *index))
            .collect();
        for (kind, index) in ended {
            if let Some(span) = self.row(step.lane, kind).bars.get_mut(index) {
                span.until_us = span.until_us.min(step.at_us);
            }
        }
    }

    fn request(&mut self, step: &Step, tick: Tick, request: u64, ids: (u64, u64)) {
        match tick {
            Tick::Asked => {
                let (count, text) = (ids.1, step.text.clone());
                let asked = Asked { at_us: step.at_us, sequence: step.sequence, count, text };
                self.asked.insert(request, asked);
            }
            Tick::Parted => self.part(request, ids),
            Tick::Answered | Tick::Refused | Tick::Lost => self.done(step, tick, request),
        }
    }

    /// Some parts of a request wait on their own. It is over if these are all.
    fn part(&mut self, request: u64, (first, end): (u64, u64)) {
        let Some(asked) = self.asked.get(&request).cloned() else { return };
        if end - first == asked.count {
            self.asked.remove(&request);
        }
        self.asked.extend((first..end).map(|part| (part, asked.clone())));
    }

    fn done(&mut self, step: &Step, tick: Tick, request: u64) {
        // Whoever was given up may still be answered.
        let Some(asked) = self.asked.remove(&request) else { return };
        let took = span(step.at_us - asked.at_us);
        let title = format!("{}; {} after {took}", asked.text, step.text);
        let bar = Span {
            kind: SpanKind::Request(tick),
            from_us: asked.at_us,
            until_us: step.at_us,
            label: String::new(),
            title,
            level: request,
        };
        self.row(Lane::CLIENTS, RowKind::Requests(asked.sequence)).bars.push(bar);
    }

    /// What nobody answered until the end.
    fn give_up_waiting(&mut self, end_us: u64) {
        for (request, asked) in std::mem::take(&mut self.asked) {
            let bar = Span {
                kind: SpanKind::Request(Tick::Asked),
                from_us: asked.at_us,
                until_us: end_us,
                label: String::new(),
                title: format!("{}, and no end of it is seen", asked.text),
                level: request,
            };
            self.row(Lane::CLIENTS, RowKind::Requests(asked.sequence)).bars.push(bar);
        }
    }
}

/// Puts spans that last at once on lines of their own.
fn lay_apart(row: &mut Row) {
    let mut free: Vec<u64> = Vec::new();
    for span in &mut row.bars {
        let level = free.iter().position(|until| *until <= span.from_us).unwrap_or(free.len());
        free.resize(free.len().max(level + 1), 0);
        free[level] = span.until_us;
        span.level = level as u64;
    }
}

const fn row_of(bar: Bar, sequence: Option<usize>) -> RowKind {
    match (bar, sequence) {
        (Bar::Lease, _) => RowKind::Lease,
        (Bar::Cut, _) => RowKind::Links,
        (Bar::Owner, sequence) => RowKind::Owner(sequence),
        (Bar::Block, sequence) => RowKind::Blocks(sequence),
        _ => RowKind::Itself,
    }
}

/// Clients first, then servers, then what they share.
fn rank(lane: Lane) -> u8 {
    match lane {
        Lane::CLIENTS => 0,
        Lane::WORLD => 3,
        _ if lane.number > 0 => 1,
        _ => 2,
    }
}

/// A moment as texts tell it.
pub fn seconds(at_us: u64) -> String {
    format!("{}.{:06}", at_us / 1_000_000, at_us % 1_000_000)
}

fn told(step: &Step) -> String {
    let sequence = step.sequence.map(|sequence| format!(", s{sequence}")).unwrap_or_default();
    format!("{} s{sequence}: {}", seconds(step.at_us), step.text)
}
