//! The nemesis: from a seed, one fault after the other, and now and then two at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;

use crate::clock::{Clock, micros};
use crate::faults::{Field, Kind, Wound};
use crate::random::Random;

/// One in so many rounds has two faults at once.
const TWO_ONCE_IN: u64 = 4;

/// How long a sleep may go on when the end is asked for.
const SLICE: Duration = Duration::from_millis(50);

/// A fault that was.
#[derive(Debug, Clone)]
pub struct Fault {
    /// What kind.
    pub kind: Kind,
    /// What was done, for people.
    pub what: String,
    /// When it began and when it was undone, in microseconds.
    pub from_us: u64,
    /// See `from_us`.
    pub until_us: u64,
    /// Until then its effects may be felt: the end of the pause that followed it.
    pub felt_until_us: u64,
    /// Servers that could not be expected to serve meanwhile.
    pub hit: Vec<usize>,
    /// A server whose clock was set far ahead.
    pub far_ahead: Option<usize>,
}

/// How it goes on.
pub struct Nemesis<'a> {
    /// What time it is.
    pub clock: Clock,
    /// Whom it attacks.
    pub field: &'a mut Field,
    /// The length of the leases.
    pub lease: Duration,
    /// What it draws from.
    pub random: Random,
    /// The end is asked for.
    pub stop: &'a AtomicBool,
    /// Told of each fault as it begins.
    pub tell: &'a dyn Fn(&str),
    deck: Vec<Kind>,
    faults: Vec<Fault>,
    /// Servers that ended although nobody ended them, and what they said last.
    ended: HashMap<usize, String>,
}

/// What it has done.
#[derive(Debug)]
pub struct Done {
    /// The faults in the order in which they began.
    pub faults: Vec<Fault>,
    /// Servers that ended although nobody ended them, and what they said last.
    pub ended: HashMap<usize, String>,
}

impl<'a> Nemesis<'a> {
    /// One that has done nothing yet.
    pub fn new(
        clock: Clock,
        field: &'a mut Field,
        lease: Duration,
        random: Random,
        stop: &'a AtomicBool,
        tell: &'a dyn Fn(&str),
    ) -> Self {
        let (deck, faults, ended) = (Vec::new(), Vec::new(), HashMap::new());
        Self { clock, field, lease, random, stop, tell, deck, faults, ended }
    }

    /// Attacks until `until_us`, and leaves all well.
    ///
    /// # Errors
    /// If something cannot be attacked, or does not become well again.
    pub fn rage(mut self, until_us: u64) -> Result<Done> {
        while self.clock.now_us() < until_us && !self.stop.load(Ordering::Relaxed) {
            self.round()?;
        }
        Ok(Done { faults: self.faults, ended: self.ended })
    }

    fn round(&mut self) -> Result<()> {
        let begun = self.faults.len();
        let kind = self.draw();
        let lasts = kind.lasts(self.lease, &mut self.random);
        let first = self.begin(kind)?;
        let second = if self.random.once_in(TWO_ONCE_IN) {
            let part = self.tenths(0, 10, lasts);
            self.sleep(part);
            let kind = self.draw();
            let second = self.begin(kind)?;
            let lasts = kind.lasts(self.lease, &mut self.random);
            self.sleep(lasts);
            second
        } else {
            self.sleep(lasts);
            None
        };
        // The second was done to what the first had left.
        let wounds: Vec<Wound> = [first, second].into_iter().flatten().collect();
        for (n, wound) in wounds.into_iter().enumerate().rev() {
            self.field.undo(&wound)?;
            self.faults[begun + n].until_us = self.clock.now_us();
        }
        self.look_for_ended();
        self.field.wait_until_well()?;
        // So long does a fail-over that has begun late still go on.
        let quiet = self.tenths(2, 15, self.lease);
        self.sleep(quiet);
        self.look_for_ended();
        let now = self.clock.now_us();
        for fault in &mut self.faults[begun..] {
            fault.felt_until_us = now;
        }
        Ok(())
    }

    /// The next kind: each has its turn before any comes again.
    fn draw(&mut self) -> Kind {
        let engine = self.field.engine.shape();
        if self.deck.is_empty() {
            self.deck = Kind::ALL.into_iter().filter(|kind| kind.fits(engine)).collect();
            self.random.shuffle(&mut self.deck);
        }
        self.deck.pop().expect("it was filled")
    }

    fn begin(&mut self, kind: Kind) -> Result<Option<Wound>> {
        let from_us = self.clock.now_us();
        let wound = self.field.attack(kind, &mut self.random)?;
        if let Some(wound) = &wound {
            (self.tell)(&format!(
                "{:7.2} s  {}: {}",
                from_us as f64 / 1e6,
                kind.name(),
                wound.what
            ));
            self.faults.push(Fault {
                kind,
                what: wound.what.clone(),
                from_us,
                until_us: from_us,
                felt_until_us: from_us,
                hit: wound.hit.clone(),
                far_ahead: wound.far_ahead,
            });
        }
        Ok(wound)
    }

    /// From `min` to `max` tenths of `whole`.
    fn tenths(&mut self, min: u32, max: u32, whole: Duration) -> Duration {
        let tenths = self.random.between(u64::from(min), u64::from(max));
        whole * u32::try_from(tenths).expect("it is at most max") / 10
    }

    fn sleep(&self, long: Duration) {
        let until = self.clock.now_us() + micros(long);
        while self.clock.now_us() < until && !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(
                SLICE.min(Duration::from_micros(until - self.clock.now_us().min(until))),
            );
        }
    }

    fn look_for_ended(&mut self) {
        for (n, server) in self.field.servers.iter_mut().enumerate() {
            if server.has_ended_by_itself() {
                self.ended.entry(n).or_insert_with(|| server.process.log_tail());
            }
        }
    }
}
