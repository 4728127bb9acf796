//! The checkers: each sees what clients and the engine show, by the true time of the world.
//!
//! | checker | holds that |
//! | --- | --- |
//! | unique | no ID is issued twice, and none is answered twice, by whatever server |
//! | durable | what is issued was durably reserved for its server and turn, at that moment |
//! | order | of a strict sequence: what was answered before another request was made, anywhere, is smaller; of a loose one: within each life of a server |
//! | raise | a raise is durable when acknowledged, and nothing below it follows |
//! | range | a range has the length asked for |
//! | lease | nobody issues from a sequence it owns after its lease, no lease is ended while it holds, and none is extended after that |
//! | owner | at each moment one server at most believes that it owns a strict sequence, and that is whom the engine's record names |
//! | fence | blocks are reserved and handed back by the owner alone, in its turn |
//! | back | the pair of turn and mark never goes back, and nothing that was issued is handed back |
//! | window | windows of one worker ID are disjoint, and nothing was issued in one before it is leased |
//! | loss | a server that has seen more than an engine that fell back is given nothing of less |
//! | clock | no ID carries a time further ahead than its server may be, nor one that no clock may be believed to say |
//! | books | the allocator's books are right: every ID that it was given was issued, or it says why not |
//! | refusal | a refusal, and a failure of the store, is of a kind that the world allows |
//! | successor | when all have stopped cleanly and nothing disturbed them, no gap is left above the last ID |
//! | liveness | everybody succeeds again within a bounded time once all is well |
//! | assertion | nothing in the core panics |

mod flakes;
mod loss;

use std::collections::BTreeMap;

use ticketd_core::block::Block;
use ticketd_core::cluster::{ServerId, Shared};
use ticketd_core::definition::Definition;
use ticketd_core::ids::Range;
use ticketd_core::snowflake::layout::Layout;
use ticketd_core::snowflake::lease::Worker;
use ticketd_core::time::UnixMillis;

use super::engine::{Ask, Asking};
use super::flakes::layout_of;
use super::world::Life;
use crate::explore::check::{Found, Intervals, Known, Unique};
use crate::explore::stats::Mark;
use flakes::Flakes;
pub(super) use flakes::Moment;
pub(super) use loss::Image;
use loss::{Before, SeenByLife};

/// IDs that were taken, and by whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Took {
    pub(super) block: Block,
    pub(super) turn: u64,
    pub(super) server: ServerId,
    /// Whether the engine's record named this server and turn when they were taken.
    pub(super) owns: bool,
}

/// For whom a block is reserved: a life of a server, and of a strict sequence its turn.
type Holder = (Life, u64);

/// What is known of one sequence.
#[derive(Debug, Default)]
struct Sequence {
    is_strict: bool,
    /// What the engine has.
    image: Option<Shared>,
    issued: Unique,
    answered: Unique,
    /// The largest ID that was issued.
    last: u64,
    known: Known,
    known_of_life: BTreeMap<Life, Known>,
    reserved: BTreeMap<Holder, Intervals>,
    /// Of a snowflake sequence.
    flakes: Option<Flakes>,
    /// The first ID that was never reserved, in whatever history.
    latest: u64,
    /// The history that an engine has forgotten.
    before: Option<Before<Holder>>,
    /// From here on answers are compared with all others; 0 if nothing was ever lost.
    sure_from: u64,
    seen: BTreeMap<Life, SeenByLife>,
}

/// What is known of the lease of one server.
#[derive(Debug)]
struct LeaseSeen {
    life: Life,
    /// The true time until which its server believes in it.
    until: u64,
    /// When its entry was deleted, and whether by itself.
    gone: Option<(u64, bool)>,
}

/// A server that issues from a sequence.
#[derive(Debug, Clone, Copy)]
struct Believer {
    life: Life,
    server: ServerId,
    turn: u64,
}

/// All checkers. The first thing that one finds is kept.
#[derive(Debug)]
pub(super) struct Checks {
    sequences: Vec<Sequence>,
    leases: BTreeMap<ServerId, LeaseSeen>,
    /// By slot and sequence.
    believers: BTreeMap<(usize, usize), Believer>,
    found: Option<Found>,
    /// The engine has lost commits, and not everything is right again.
    fallen: bool,
    /// Checkers that are not listened to.
    ignored: &'static [&'static str],
}

/// The checkers that are not asked while the engine has lost commits.
const SUSPENDED: &[&str] = &["order", "raise", "lease", "owner", "fence", "back"];

/// The checkers that look at more than users see.
#[cfg(feature = "mutants")]
const BOOKS: &[&str] = &[
    "durable",
    "lease",
    "owner",
    "fence",
    "back",
    "books",
    "successor",
    "stray",
    "refusal",
    "window",
    "loss",
];

impl Checks {
    pub(super) fn new(definitions: &[Definition]) -> Self {
        let sequence = |definition: &Definition| Sequence {
            is_strict: definition.has_owner(),
            flakes: layout_of(definition).map(Flakes::new),
            ..Sequence::default()
        };
        Self {
            sequences: definitions.iter().map(sequence).collect(),
            leases: BTreeMap::new(),
            believers: BTreeMap::new(),
            found: None,
            fallen: false,
            ignored: &[],
        }
    }

    pub(super) fn find(&mut self, checker: &'static str, message: String) {
        let suspended = self.fallen && SUSPENDED.contains(&checker);
        if !suspended && !self.ignored.contains(&checker) {
            self.found.get_or_insert((checker, message));
        }
    }

    /// Listens no more to those who look at more than users see.
    #[cfg(feature = "mutants")]
    pub(super) const fn ignore_books(&mut self) {
        self.ignored = BOOKS;
    }

    pub(super) fn note(&mut self, checker: &'static str, result: Result<(), String>) {
        if let Err(message) = result {
            self.find(checker, message);
        }
    }

    pub(super) const fn has_found(&self) -> bool {
        self.found.is_some()
    }

    pub(super) fn take_found(&mut self) -> Option<Found> {
        self.found.take()
    }

    pub(super) fn is_strict(&self, sequence: usize) -> bool {
        self.sequences[sequence].is_strict
    }

    /// What clients know now; a request keeps it.
    pub(super) fn known(&self, sequence: usize) -> Known {
        self.sequences[sequence].known
    }

    pub(super) fn known_of_life(&self, sequence: usize, life: Life) -> Known {
        self.sequences[sequence].known_of_life.get(&life).copied().unwrap_or_default()
    }

    pub(super) fn image(&self, sequence: usize) -> Option<Shared> {
        self.sequences[sequence].image
    }

    /// Whether the engine's record names `server` as the owner.
    pub(super) fn is_owner(&self, sequence: usize, server: ServerId) -> bool {
        self.image(sequence).is_some_and(|image| image.owner == Some(server))
    }

    /// Whether the engine's record names `server` in `turn`; of a sequence without owners, yes.
    pub(super) fn owns(&self, sequence: usize, server: ServerId, turn: u64) -> bool {
        let s = &self.sequences[sequence];
        let named = |image: Shared| image.owner == Some(server) && image.turn == turn;
        !s.is_strict || s.image.is_some_and(named)
    }

    // Leases.

    pub(super) fn new_lease(&mut self, life: Life, id: ServerId) {
        self.leases.insert(id, LeaseSeen { life, until: 0, gone: None });
    }

    /// Whose lease it is.
    pub(super) fn life_of(&self, id: ServerId) -> Option<Life> {
        self.leases.get(&id).map(|lease| lease.life)
    }

    /// A server believes in its lease until `until`.
    pub(super) fn extended(&mut self, now: u64, id: ServerId, until: u64) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        lease.until = until;
        if let Some((at, _)) = lease.gone
            && until > at
        {
            let message = format!("{id} believes until {until}, and its lease was ended at {at}");
            self.find("lease", message);
        }
        for sequence in 0..self.sequences.len() {
            self.check_believers(now, sequence);
        }
    }

    /// The entry of a server is deleted, by `life`.
    pub(super) fn gone(&mut self, now: u64, life: Life, id: ServerId) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        lease.gone = Some((now, lease.life == life));
        if lease.until > now {
            let until = lease.until;
            self.find("lease", format!("{id} is ended at {now}, and believes until {until}"));
        }
    }

    /// A process is over.
    pub(super) fn down(&mut self, life: Life) {
        self.leases.values_mut().filter(|lease| lease.life == life).for_each(|l| l.until = 0);
        self.believers.retain(|_, believer| believer.life != life);
    }

    // Owners.

    /// A server begins to issue from a sequence.
    pub(super) fn opened(
        &mut self,
        now: u64,
        life: Life,
        sequence: usize,
        server: ServerId,
        turn: u64,
    ) {
        if self.sequences[sequence].is_strict {
            self.believers.insert((life.slot, sequence), Believer { life, server, turn });
            self.check_believers(now, sequence);
        }
    }

    /// A server issues no longer from a sequence.
    pub(super) fn gives_up(&mut self, life: Life, sequence: usize) {
        self.believers.remove(&(life.slot, sequence));
    }

    fn check_believers(&mut self, now: u64, sequence: usize) {
        let image = self.sequences[sequence].image;
        let wrong = self.believers.iter().find(|((_, of), believer)| {
            let holds = self.leases.get(&believer.server).is_some_and(|lease| lease.until > now);
            *of == sequence && holds && !self.owns(sequence, believer.server, believer.turn)
        });
        if let Some((_, believer)) = wrong {
            let message = format!("{believer:?} owns s{sequence}, and the engine says {image:?}");
            self.find("owner", message);
        }
    }

    // The engine.

    /// A change of a sequence is durable. Returns what is worth marking.
    pub(super) fn committed(
        &mut self,
        now: u64,
        asking: &Asking,
        after: Shared,
    ) -> [Option<Mark>; 2] {
        let s = &mut self.sequences[asking.sequence];
        let before = s.image.replace(after);
        let (mark, turn) = before.map_or((1, 0), |before| (before.record.mark, before.turn));
        s.latest = s.latest.max(after.record.mark);
        if let Some(flakes) = &mut s.flakes {
            flakes.raised_to(after.record.mark);
        }
        if (after.turn, after.record.mark) < (turn, mark) {
            let message = format!("{after:?} follows turn {turn} and mark {mark}");
            self.find("back", message);
        }
        let marks = match asking.ask {
            Ask::Claim => self.claimed(before, after),
            Ask::Reserve { floor } => {
                self.check_fence(asking, before);
                self.reserved_in(asking.life, asking.sequence, after.turn);
                self.reserved(asking, mark.max(floor), after.record.mark)
            }
            Ask::Raise => [Some(Mark::RaisedByStore), None],
            Ask::HandBack => {
                self.check_fence(asking, before);
                self.handed_back(asking, after.record.mark);
                [None; 2]
            }
        };
        self.check_believers(now, asking.sequence);
        marks
    }

    fn claimed(&self, before: Option<Shared>, after: Shared) -> [Option<Mark>; 2] {
        let Some(previous) = before.and_then(|before| before.owner) else {
            return [None; 2];
        };
        let gone = self.leases.get(&previous).and_then(|lease| lease.gone);
        let mark = match gone {
            _ if after.owner == Some(previous) => Mark::ClaimedAgain,
            Some((_, true)) => Mark::TakenOverAfterLeave,
            _ => Mark::TakenOverAfterSilence,
        };
        [Some(mark), None]
    }

    fn check_fence(&mut self, asking: &Asking, before: Option<Shared>) {
        if !self.sequences[asking.sequence].is_strict {
            return;
        }
        let named =
            |before: Shared| (before.owner, before.turn) == (Some(asking.server), asking.turn);
        if !before.is_some_and(named) {
            self.find("fence", format!("{asking:?} comes to pass, and the record was {before:?}"));
        }
    }

    fn reserved(&mut self, asking: &Asking, start: u64, end: u64) -> [Option<Mark>; 2] {
        let Some(block) = Block::new(start, end) else {
            self.find("durable", format!("[{start}, {end}) is reserved"));
            return [None; 2];
        };
        let s = &mut self.sequences[asking.sequence];
        let holder = s.holder(asking.life, asking.turn);
        let others = !s.is_strict && s.reserved.keys().any(|other| *other != holder);
        let taken = s.reserved.values().any(|reserved| reserved.touches(block));
        s.reserved.entry(holder).or_default().add(block).ok();
        if taken {
            self.find("unique", format!("{block} is reserved, and some of it was before"));
        }
        [others.then_some(Mark::LooseShared), None]
    }

    fn handed_back(&mut self, asking: &Asking, mark: u64) {
        self.hands_back(asking.life, asking.sequence, mark);
        let s = &mut self.sequences[asking.sequence];
        s.reserved.values_mut().for_each(|reserved| reserved.cut(mark));
        if s.last >= mark {
            let message = format!("the mark falls to {mark}, and {} was issued", s.last);
            self.find("back", message);
        }
    }

    // Snowflakes.

    /// A sequence was made before the world begins.
    pub(super) fn made(&mut self, sequence: usize, image: Shared) {
        let s = &mut self.sequences[sequence];
        s.image = Some(image);
        if let Some(flakes) = &mut s.flakes {
            flakes.raised_to(image.record.mark);
        }
    }

    /// A change of a worker ID is durable: by a lease from the tick `floor` on, or a release.
    pub(super) fn put_worker(
        &mut self,
        sequence: usize,
        id: u32,
        after: Worker,
        floor: u64,
    ) -> Option<Mark> {
        let s = &mut self.sequences[sequence];
        let base = s.image.map_or(1, |image| image.record.mark);
        match s.flakes.as_mut()?.committed(id, after, base, floor) {
            Ok(mark) => Some(mark),
            Err((checker, message)) => {
                self.find(checker, message);
                None
            }
        }
    }

    pub(super) fn flake_taken(&mut self, sequence: usize, at: Moment, holder: u64, range: Range) {
        let Some(flakes) = &mut self.sequences[sequence].flakes else { return };
        for (checker, message) in flakes.taken(at, holder, range) {
            self.find(checker, message);
        }
    }

    pub(super) fn flake_raised(&mut self, sequence: usize, life: Life, tick: u64) {
        let s = &mut self.sequences[sequence];
        let mark = s.image.map_or(1, |image| image.record.mark);
        if let Some(flakes) = &mut s.flakes {
            flakes.acknowledged(life, tick);
        }
        if mark < tick {
            let message = format!("a raise to {tick} is acknowledged, the durable mark is {mark}");
            self.find("raise", message);
        }
    }

    /// A server answers a client, who wants `count` IDs.
    pub(super) fn flakes_answered(&mut self, sequence: usize, count: u64, ranges: &[Range]) {
        let Some(flakes) = &mut self.sequences[sequence].flakes else { return };
        let answered: Vec<_> = ranges.iter().map(|range| flakes.answer(*range)).collect();
        for result in answered {
            self.note("unique", result);
        }
        let given: u64 = ranges.iter().map(|range| range.count).sum();
        if given != count {
            self.find("range", format!("{given} IDs answer a request for {count}"));
        }
    }

    fn flakes(&self, sequence: usize) -> Option<&Flakes> {
        self.sequences[sequence].flakes.as_ref()
    }

    pub(super) fn layout(&self, sequence: usize) -> Option<Layout> {
        self.flakes(sequence).map(|flakes| *flakes.layout())
    }

    pub(super) fn can_be_ahead(&self, sequence: usize, now: UnixMillis, ahead_max_ms: u64) -> bool {
        self.flakes(sequence).is_some_and(|flakes| flakes.can_be_ahead(now, ahead_max_ms))
    }

    pub(super) fn has_run_out(&self, sequence: usize) -> bool {
        self.flakes(sequence).is_some_and(Flakes::has_run_out)
    }

    /// Whether `now` is after the last tick.
    pub(super) fn is_past(&self, sequence: usize, now: UnixMillis) -> bool {
        self.layout(sequence).is_some_and(|layout| now >= layout.runs_out())
    }

    pub(super) fn are_all_taken(&self, sequence: usize) -> bool {
        self.flakes(sequence).is_some_and(Flakes::are_all_taken)
    }

    /// Until when all that is leased of any sequence lasts.
    pub(super) fn leased_until(&self) -> Option<UnixMillis> {
        self.sequences.iter().filter_map(|s| s.flakes.as_ref()).map(Flakes::ends).max()
    }

    // What servers and clients say.

    /// A server decides to answer what it took.
    pub(super) fn is_issued_again(&self, sequence: usize, took: Took) -> bool {
        let s = &self.sequences[sequence];
        s.is_issued_before(took.block)
            || (s.before.is_some() && s.issued.issued().touches(took.block))
    }

    pub(super) fn issue(&mut self, now: u64, life: Life, sequence: usize, took: Took) {
        let until = self.leases.get(&took.server).map_or(0, |lease| lease.until);
        let s = &mut self.sequences[sequence];
        let (unique, durable) = s.issue(life, took);
        let is_strict = s.is_strict;
        self.note("unique", unique);
        self.note("durable", durable);
        if is_strict && !took.owns {
            self.find("owner", format!("{took:?} is issued by {life:?}, which is not the owner"));
        }
        if is_strict && until <= now {
            self.find("lease", format!("{took:?} is issued at {now}, the lease ended at {until}"));
        }
    }

    /// A server answers a client, that asked when `known` was known.
    pub(super) fn answer(&mut self, sequence: usize, known: Known, count: u64, blocks: &[Block]) {
        let sure_from = self.sequences[sequence].sure_from;
        for block in blocks {
            if block.start() >= sure_from {
                let answered = self.sequences[sequence].answered.issue(*block);
                self.note("unique", answered);
            }
            self.note("order", known.order(*block));
            self.note("raise", known.floor(*block));
        }
        if blocks.iter().map(|block| block.len()).sum::<u64>() != count {
            self.find("range", format!("{blocks:?} answers a request for {count}"));
        }
        if blocks.windows(2).any(|pair| pair[0].end() > pair[1].start()) {
            self.find("order", format!("{blocks:?} answers one client in this order"));
        }
    }

    /// IDs reach a client.
    pub(super) fn answered(&mut self, sequence: usize, life: Life, block: Block) {
        let s = &mut self.sequences[sequence];
        s.known.ids(block);
        s.known_of_life.entry(life).or_default().ids(block);
    }

    /// A server tells a client that its raise is done.
    pub(super) fn acknowledge(&mut self, sequence: usize, floor: u64) {
        let mark = self.image(sequence).map_or(1, |image| image.record.mark);
        if self.is_strict(sequence) && mark < floor {
            let message = format!("a raise to {floor} is acknowledged, the durable mark is {mark}");
            self.find("raise", message);
        }
    }

    /// The acknowledgement reaches the client.
    pub(super) fn acknowledged(&mut self, sequence: usize, floor: u64) {
        let s = &mut self.sequences[sequence];
        // Of a loose sequence other servers may still hold what is below.
        if s.is_strict {
            s.known.done(floor);
        }
    }

    /// All servers have stopped cleanly, after each sequence issued and nothing went wrong.
    pub(super) fn all_stopped(&mut self) {
        for index in 0..self.sequences.len() {
            let s = &self.sequences[index];
            let Some(image) =
                s.image.filter(|image| s.is_strict && image.record.mark != s.last + 1)
            else {
                continue;
            };
            let message = format!(
                "{} was the last ID of s{index}, and the mark is {}",
                s.last, image.record.mark
            );
            self.find("successor", message);
        }
    }
}

impl Sequence {
    const fn holder(&self, life: Life, turn: u64) -> Holder {
        (life, if self.is_strict { turn } else { 0 })
    }

    /// Takes note of what is issued: whether it is for the first time, and was reserved.
    fn issue(&mut self, life: Life, took: Took) -> (Result<(), String>, Result<(), String>) {
        let Some((lost, rest)) = self.of_before(life, took) else {
            self.last = self.last.max(took.block.last());
            return (self.issued.issue(took.block), self.durable(life, took));
        };
        let before = self.before.as_mut().expect("something of it is taken");
        let issued = before.issue(lost, &mut self.issued);
        let Some(block) = rest.filter(|_| issued.is_ok()) else {
            return (issued, Ok(()));
        };
        self.last = self.last.max(block.last());
        (self.issued.issue(block), self.durable(life, Took { block, ..took }))
    }

    /// What of `took` was reserved for it before the engine fell back, and is lost, and the rest:
    /// a cursor goes on over both where one begins at the end of the other.
    fn of_before(&self, life: Life, took: Took) -> Option<(Block, Option<Block>)> {
        let before = self.before.as_ref().filter(|_| self.durable(life, took).is_err())?;
        let (holder, block) = (self.holder(life, took.turn), took.block);
        let is_lost = |end: &u64| {
            let part = Block::new(block.start(), *end);
            part.is_some_and(|part| before.holds(&holder, part))
        };
        let end = (block.start() + 1..=block.end()).take_while(is_lost).last()?;
        Some((Block::new(block.start(), end)?, Block::new(end, block.end())))
    }

    /// Whether `block` was issued before the engine fell back, by what it has forgotten.
    fn is_issued_before(&self, block: Block) -> bool {
        self.before.as_ref().is_some_and(|before| before.has_issued(block))
    }

    fn durable(&self, life: Life, took: Took) -> Result<(), String> {
        let block = took.block;
        let mark = self.image.map_or(1, |image| image.record.mark);
        if block.end() > mark {
            return Err(format!("{block} is issued, but the durable mark is {mark}"));
        }
        let reserved = self.reserved.get(&self.holder(life, took.turn));
        if !reserved.is_some_and(|reserved| reserved.contains(block)) {
            return Err(format!("{took:?} is issued, but was never reserved for it durably"));
        }
        Ok(())
    }
}
