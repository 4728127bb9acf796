//! What happened, line by line.
//!
//! Each world has its own words ([`Words`]). A line is a few numbers until somebody wants to read
//! it; then it is a [`Step`], of which texts and pictures are made. Every line goes into a hash, so
//! that two runs can be compared without their texts; the last ones are kept for the story of a
//! failure.

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::fault::Fault;
use super::step::{Lane, Sign, Step, Struck, span};

/// How many lines a story has.
const STORY_LEN: usize = 40;

/// The failures of a store by their numbers.
const FAILURES: [&str; 8] = [
    "unavailable",
    "indeterminate",
    "conflict",
    "fenced",
    "exhausted",
    "not found",
    "invalid",
    "corrupt",
];

/// The number of a place that is the engine, in `{a:place}`.
pub(super) const ENGINE_NUMBER: u64 = u64::MAX;

/// What lines of a world can be about: its words, and where and how a picture shows them.
pub(super) trait Words: Copy {
    /// Tells one from the other.
    fn number(self) -> u64;

    /// The line in words, with `{a}`, `{b}` and `{c}` for its numbers, or for what they mean:
    ///
    /// | form | is |
    /// | --- | --- |
    /// | `{a:span}`, `{a:at}` | a time, and a moment, in microseconds |
    /// | `{a:id}` | the beginning of a server's ID |
    /// | `{a:place}` | a server by its slot, or the engine |
    /// | `{a:failure}`, `{a:outcome}` | a kind of failure; 0 for none, or the one before |
    /// | `{a:fault}` | a kind of fault |
    /// | `{a:word}` | a word of the world's own: see [`Words::word`] |
    fn text(self) -> &'static str;

    /// The lane that shows it.
    fn lane(self, _place: usize, _numbers: [u64; 3]) -> Lane {
        Lane::WORLD
    }

    /// The sequence that it is about.
    fn sequence(_place: usize) -> Option<usize> {
        None
    }

    /// How a picture shows it, if it happens at `at`.
    fn sign(self, _at: u64, _numbers: [u64; 3]) -> Sign {
        Sign::Plain
    }

    /// What a number means to it, in a word.
    fn word(self, _number: u64) -> &'static str {
        "?"
    }
}

/// One line: when, where, what, and up to three numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<W> {
    at: u64,
    what: W,
    place: usize,
    numbers: [u64; 3],
}

impl<W: Words> Line<W> {
    fn step(&self) -> Step {
        Step {
            at_us: self.at,
            lane: self.what.lane(self.place, self.numbers),
            sequence: W::sequence(self.place),
            text: self.words(),
            sign: self.what.sign(self.at, self.numbers),
        }
    }

    fn words(&self) -> String {
        let mut words = String::new();
        let mut rest = self.what.text();
        while let Some((before, after)) = rest.split_once('{') {
            let (slot, after) = after.split_once('}').expect("every brace is closed");
            let number = self.numbers[usize::from(slot.as_bytes()[0] - b'a')];
            words.push_str(before);
            self.write(&mut words, number, slot.split_once(':').map_or("", |(_, form)| form));
            rest = after;
        }
        words + rest
    }

    fn write(&self, words: &mut String, number: u64, form: &str) {
        let fault = |number: u64| Fault::ALL.get(number as usize).map_or("?", |f| f.as_str());
        let failure = |number: u64| *FAILURES.get(number as usize).unwrap_or(&"?");
        let written = match form {
            "span" => {
                words.push_str(&span(number));
                Ok(())
            }
            "at" => write!(words, "{}.{:06} s", number / 1_000_000, number % 1_000_000),
            "id" => write!(words, "{number:04x}"),
            "place" if number == ENGINE_NUMBER => write!(words, "the engine"),
            "place" => write!(words, "server {}", number + 1),
            "failure" => write!(words, "{}", failure(number)),
            "outcome" if number == 0 => write!(words, "done"),
            "outcome" => write!(words, "{}", failure(number - 1)),
            "fault" => write!(words, "{}", fault(number)),
            "word" => write!(words, "{}", self.what.word(number)),
            _ => write!(words, "{number}"),
        };
        written.expect("a string takes any text");
    }
}

/// The sign of a fault whose number and kind are these.
pub(super) fn fault_sign(number: u64, kind: u64) -> Sign {
    let fault = Fault::ALL.get(kind as usize);
    fault.map_or(Sign::Plain, |fault| Sign::Fault(Struck { number, fault: *fault }))
}

/// The lines of one world.
#[derive(Debug)]
pub(super) struct Trace<W> {
    hash: u64,
    last: VecDeque<Line<W>>,
    all: Option<Vec<Line<W>>>,
}

impl<W: Words> Trace<W> {
    /// A trace that keeps all lines, or the last ones only.
    pub(super) fn new(keep_all: bool) -> Self {
        Self { hash: 0, last: VecDeque::with_capacity(STORY_LEN), all: keep_all.then(Vec::new) }
    }

    pub(super) fn line(&mut self, at: u64, place: usize, what: W, numbers: [u64; 3]) {
        let line = Line { at, what, place, numbers };
        for word in [at, what.number() | (place as u64) << 8].into_iter().chain(numbers) {
            // The step of FxHash: one rotation and one multiplication.
            self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
        if let Some(all) = &mut self.all {
            all.push(line);
        }
        if self.last.len() == STORY_LEN {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// Takes all lines out.
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(false))
    }

    /// The last lines.
    pub(super) fn story(&self) -> Vec<Step> {
        self.last.iter().map(Line::step).collect()
    }

    /// All lines, if they were kept.
    pub(super) fn into_steps(self) -> Option<Vec<Step>> {
        self.all.map(|all| all.iter().map(Line::step).collect())
    }
}
