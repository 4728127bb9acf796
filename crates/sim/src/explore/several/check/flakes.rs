//! What is known of one snowflake sequence: its windows as the engine has made them durable, and
//! what was issued in them.

use std::collections::BTreeMap;

use ticketd_core::block::Block;
use ticketd_core::ids::Range;
use ticketd_core::snowflake::layout::{Layout, Parts};
use ticketd_core::snowflake::lease::Worker;
use ticketd_core::time::UnixMillis;

use super::Life;
use super::loss::Before;
use crate::explore::check::{Intervals, Unique};
use crate::explore::stats::Mark;

/// What a checker finds: its name, and what is wrong.
type Wrong = (&'static str, String);

/// What is known of one snowflake sequence.
#[derive(Debug)]
pub(in crate::explore::several) struct Flakes {
    layout: Layout,
    /// As the engine has them.
    workers: BTreeMap<u32, Seen>,
    /// The ticks that each holder has leased on each worker ID.
    leased: BTreeMap<(u64, u32), Intervals>,
    /// What each holder issued last on each worker ID.
    last: BTreeMap<(u64, u32), u64>,
    answered: BTreeMap<u32, Unique>,
    /// The tick that each life was told to issue nothing below.
    raised: BTreeMap<Life, u64>,
    /// The first tick that was never leased nor given up.
    latest: u64,
    /// From this tick on answers are compared with all others; 0 if nothing was ever lost.
    pub(super) sure_from: u64,
}

/// What is known of one worker ID.
#[derive(Debug, Default)]
struct Seen {
    image: Option<Worker>,
    leased: Intervals,
    issued: Unique,
    /// The largest position that was issued.
    last: u64,
    /// What was issued by what an engine has forgotten.
    before: Option<Before<u64>>,
}

/// What a right answer depends on, at its moment.
#[derive(Debug, Clone, Copy)]
pub(in crate::explore::several) struct Moment {
    pub(in crate::explore::several) life: Life,
    /// What the server's wall clock says, and how far IDs may be ahead of it.
    pub(in crate::explore::several) wall: UnixMillis,
    pub(in crate::explore::several) ahead_max_ms: u64,
    /// No clock has said more than that and was to be believed.
    pub(in crate::explore::several) credible: UnixMillis,
}

impl Flakes {
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            layout,
            workers: BTreeMap::new(),
            leased: BTreeMap::new(),
            last: BTreeMap::new(),
            answered: BTreeMap::new(),
            raised: BTreeMap::new(),
            latest: 0,
            sure_from: 0,
        }
    }

    pub(in crate::explore::several) const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Until when all that was ever leased lasts.
    pub(in crate::explore::several) const fn ends(&self) -> UnixMillis {
        self.layout.time_of(self.latest)
    }

    /// The first tick that was never leased nor given up.
    pub(super) const fn latest(&self) -> u64 {
        self.latest
    }

    /// What the engine holds.
    pub(super) fn image(&self) -> BTreeMap<u32, Worker> {
        self.workers.iter().filter_map(|(id, seen)| Some((*id, seen.image?))).collect()
    }

    /// The engine knows no more than `images`.
    pub(super) fn fall(&mut self, images: &BTreeMap<u32, Worker>) {
        let per_tick = self.layout.ids_per_tick();
        self.sure_from = u64::MAX;
        for (id, seen) in &mut self.workers {
            seen.image = images.get(id).copied();
            let cut = seen.image.map_or(1, |worker| worker.mark);
            seen.leased.cut(cut);
            let mut reserved = BTreeMap::new();
            for ((holder, _), leased) in self.leased.iter_mut().filter(|((_, of), _)| of == id) {
                reserved.insert(*holder, leased.clone());
                leased.cut(cut);
            }
            let kept = seen.issued.below(cut * per_tick);
            let issued = std::mem::replace(&mut seen.issued, kept);
            seen.last = seen.issued.issued().last();
            seen.before = Some(Before::new(reserved, issued, cut * per_tick));
        }
    }

    /// The mark of the record is `mark`.
    pub(super) fn raised_to(&mut self, mark: u64) {
        self.latest = self.latest.max(mark);
    }

    /// A change of a worker ID is durable. Windows start at `base` or above, and that of a lease at
    /// the tick that it asked for, `floor`.
    pub(super) fn committed(
        &mut self,
        id: u32,
        after: Worker,
        base: u64,
        floor: u64,
    ) -> Result<Mark, Wrong> {
        self.latest = self.latest.max(after.mark);
        let per_tick = self.layout.ids_per_tick();
        let seen = self.workers.entry(id).or_default();
        let before = seen.image.replace(after);
        let mark = before.map_or(0, |before| before.mark);
        let previous = before.map_or(after.holder, |before| before.holder);
        if after.mark <= mark {
            return self.released(id, previous, mark, after);
        }
        let start = mark.max(base).max(floor).max(1);
        let window = Block::new(start, after.mark);
        let window = window.ok_or_else(|| ("window", format!("{after:?} is leased, {start}")))?;
        seen.leased.add(window).map_err(|other| {
            ("window", format!("{window} of worker {id} is leased, and {other:?} was before"))
        })?;
        let is_spent = seen.last >= window.start() * per_tick;
        let mine = self.leased.entry((after.holder, id)).or_default();
        mine.add(window).map_err(|other| ("window", format!("{window} follows {other:?}")))?;
        if is_spent {
            let message = format!("{window} of worker {id} is leased, and was issued in before");
            return Err(("window", message));
        }
        Ok(if previous == after.holder { Mark::WindowLeased } else { Mark::WorkerTakenOver })
    }

    fn released(&mut self, id: u32, holder: u64, mark: u64, after: Worker) -> Result<Mark, Wrong> {
        let seen = self.workers.entry(id).or_default();
        if after.holder != holder {
            let message =
                format!("the mark of worker {id} falls from {mark} by another: {after:?}");
            return Err(("fence", message));
        }
        seen.leased.cut(after.mark);
        if let Some(leased) = self.leased.get_mut(&(holder, id)) {
            leased.cut(after.mark);
        }
        if seen.last >= after.mark * self.layout.ids_per_tick() {
            let last = seen.last / self.layout.ids_per_tick();
            let message = format!("worker {id} is given back from {after:?}, and issued in {last}");
            return Err(("back", message));
        }
        Ok(Mark::TicksGivenBack)
    }

    /// Where `range` lies: its worker ID, its tick, and its positions on that worker ID.
    fn place(&self, range: Range) -> Option<(Parts, Block)> {
        let first = self.layout.decompose(range.first)?;
        let last = self.layout.decompose(range.last())?;
        let end = Parts { counter: first.counter + range.count - 1, ..first };
        let position = first.tick * self.layout.ids_per_tick() + first.counter;
        let block = Block::new(position, position + range.count)?;
        (last == end).then_some((first, block))
    }

    /// A server takes IDs from the generator `holder`.
    pub(super) fn taken(&mut self, at: Moment, holder: u64, range: Range) -> Vec<Wrong> {
        let Some((parts, block)) = self.place(range) else {
            return vec![("range", format!("{range:?} is not of one tick"))];
        };
        let Parts { tick, worker, .. } = parts;
        let mut wrong = Vec::new();
        let seen = self.workers.entry(worker).or_default();
        let leased = self.leased.get(&(holder, worker));
        let window = Block::new(tick, tick + 1).expect("no tick is the last number");
        let holds = leased.is_some_and(|leased| leased.contains(window));
        let before = seen.before.as_mut().filter(|before| !holds && before.holds(&holder, window));
        let is_before = before.is_some();
        let unique = match before {
            Some(before) => before.issue(block, &mut seen.issued),
            None => seen.issued.issue(block),
        };
        if !is_before {
            seen.last = seen.last.max(block.last());
        }
        if let Err(message) = unique {
            wrong.push(("unique", format!("worker {worker}: {message}")));
        }
        if !holds && !is_before {
            let message = format!("tick {tick} of worker {worker} was never leased by {holder}");
            wrong.push(("durable", message));
        }
        let last = self.last.insert((holder, worker), block.last());
        if last.is_some_and(|last| last >= block.start()) {
            wrong.push(("order", format!("worker {worker}: {block} follows {last:?}")));
        }
        let time = self.layout.time_of(tick);
        if time > at.wall.plus(at.ahead_max_ms) {
            wrong.push(("clock", format!("{time:?} is issued when it is {:?}", at.wall)));
        }
        if time > at.credible.plus(at.ahead_max_ms) {
            wrong.push(("clock", format!("{time:?} is issued, beyond {:?}", at.credible)));
        }
        let floor = self.raised.get(&at.life).copied().unwrap_or_default();
        if tick < floor {
            wrong.push(("raise", format!("{tick} is issued after a raise to {floor}")));
        }
        wrong
    }

    /// A server tells a client that a raise to `tick` is done.
    pub(super) fn acknowledged(&mut self, life: Life, tick: u64) {
        let raised = self.raised.entry(life).or_default();
        *raised = tick.max(*raised);
    }

    /// A server answers a client.
    pub(super) fn answer(&mut self, range: Range) -> Result<(), String> {
        let Some((parts, block)) = self.place(range) else { return Ok(()) };
        if parts.tick < self.sure_from {
            return Ok(());
        }
        self.answered.entry(parts.worker).or_default().issue(block)
    }

    /// Whether a generator can be ahead of a clock that says `now` by `ahead_max_ms` or more.
    pub(super) fn can_be_ahead(&self, now: UnixMillis, ahead_max_ms: u64) -> bool {
        self.ends() > now.plus(ahead_max_ms)
    }

    /// Whether a window has reached the end of all ticks.
    pub(in crate::explore::several) fn has_run_out(&self) -> bool {
        self.latest >= self.layout.ticks()
    }

    /// Whether each worker ID was leased by somebody.
    pub(super) fn are_all_taken(&self) -> bool {
        self.workers.values().filter(|seen| seen.image.is_some()).count() as u64
            >= self.layout.workers()
    }
}
