//! What is asked when an engine has lost commits.
//!
//! From the moment at which it falls back there are two histories: that of before, of which the
//! engine knows only what its image holds, and that of after. Until the operator has started all
//! servers afresh and raised every sequence:
//!
//! - what the image holds is never issued again, by whomever;
//! - within the history of before no ID is issued twice, nor within that of after; what lies in
//!   both was reserved by two servers, of which the later one had seen nothing of the first;
//! - a server that has seen a turn and a mark is given no block of a state before them, and none
//!   that it was given before;
//! - order, leases and owners are not asked for: servers of before hold leases that the engine
//!   knows nothing of.
//!
//! - a server that remembers does not start on a state before a block that it was given.
//!
//! After that all is asked as ever, of both histories together.

use std::collections::BTreeMap;

use ticketd_core::block::Block;
use ticketd_core::cluster::Shared;
use ticketd_core::snowflake::lease::Worker;

use super::{Checks, Life, Sequence};
use crate::explore::check::{Intervals, Unique};

/// What an image holds of one sequence.
#[derive(Debug, Clone, Default)]
pub(in crate::explore::several) struct Image {
    pub(super) shared: Option<Shared>,
    pub(super) workers: BTreeMap<u32, Worker>,
}

/// Of the history of before: what was reserved and issued, of IDs or of positions.
#[derive(Debug, Default)]
pub(super) struct Before<Holder> {
    reserved: BTreeMap<Holder, Intervals>,
    issued: Unique,
    /// All from here on is lost.
    cut: u64,
}

impl<Holder: Ord> Before<Holder> {
    pub(super) const fn new(
        reserved: BTreeMap<Holder, Intervals>,
        issued: Unique,
        cut: u64,
    ) -> Self {
        Self { reserved, issued, cut }
    }

    /// Whether `holder` holds `block` by what is lost.
    pub(super) fn holds(&self, holder: &Holder, block: Block) -> bool {
        self.reserved.get(holder).is_some_and(|reserved| reserved.contains(block))
    }

    /// Issues `block` once more, of the history of before; `after` is what was issued of the other.
    pub(super) fn issue(&mut self, block: Block, after: &mut Unique) -> Result<(), String> {
        if let Some(kept) = Block::new(block.start(), block.end().min(self.cut)) {
            after.issue(kept)?;
        }
        self.issued.issue(block)
    }

    /// Whether any of `block` was issued before, and is lost.
    pub(super) fn has_issued(&self, block: Block) -> bool {
        self.issued.issued().touches(block)
    }
}

/// What one life of a server has seen of one sequence.
#[derive(Debug, Default)]
pub(super) struct SeenByLife {
    /// The highest turn and mark, and those that it had seen when it last asked.
    pair: (u64, u64),
    asked: (u64, u64),
    /// The turn of the state that it last reserved from.
    turn: u64,
    /// The turn and the end of the newest block that it was given.
    given: (u64, u64),
    told: Intervals,
}

impl Checks {
    /// What the engine holds now.
    pub(in crate::explore::several) fn images(&self) -> Vec<Image> {
        let image = |s: &Sequence| Image {
            shared: s.image,
            workers: s.flakes.as_ref().map(super::Flakes::image).unwrap_or_default(),
        };
        self.sequences.iter().map(image).collect()
    }

    /// The engine knows no more than `images`.
    pub(in crate::explore::several) fn fall(&mut self, images: &[Image]) {
        self.fallen = true;
        for (s, image) in self.sequences.iter_mut().zip(images) {
            s.fall(image);
        }
    }

    /// All is as it was.
    pub(in crate::explore::several) fn stands_again(&mut self) {
        self.fallen = false;
        for s in &mut self.sequences {
            s.sure_from = s.image.map_or(1, |image| image.record.mark);
            if let Some(flakes) = &mut s.flakes {
                flakes.sure_from = s.sure_from;
            }
        }
    }

    pub(in crate::explore::several) const fn is_fallen(&self) -> bool {
        self.fallen
    }

    /// The first ID, or tick, that nobody ever saw reserved.
    pub(in crate::explore::several) fn latest(&self, sequence: usize) -> u64 {
        let s = &self.sequences[sequence];
        s.flakes.as_ref().map_or(s.latest, super::Flakes::latest)
    }

    /// Everything that counts was put above `after`'s mark while no server ran.
    pub(in crate::explore::several) fn repaired(&mut self, sequence: usize, after: Shared) {
        let s = &mut self.sequences[sequence];
        let before = s.image.replace(after);
        s.latest = s.latest.max(after.record.mark);
        if let Some(flakes) = &mut s.flakes {
            flakes.raised_to(after.record.mark);
        }
        if before.is_some_and(|b| b.turn >= after.turn || b.record.mark > after.record.mark) {
            self.find("back", format!("{before:?} is repaired to {after:?}"));
        }
    }

    /// A server that remembers starts to serve: what it was given in earlier lives, the engine has.
    pub(in crate::explore::several) fn starts(&mut self, life: Life) {
        let is_earlier = |other: &Life| other.slot == life.slot && other.number < life.number;
        for sequence in 0..self.sequences.len() {
            let s = &self.sequences[sequence];
            let given = s.seen.iter().filter(|(of, _)| is_earlier(of)).map(|(_, seen)| seen.given);
            let (turn, mark) = given.max().unwrap_or_default();
            let image = s.image.map_or((0, 0), |image| (image.turn, image.record.mark));
            // After a repair turns are counted anew.
            let has_all = match image.0 >> 32 > turn >> 32 {
                true => image.1 >= mark,
                false => image >= (turn, mark),
            };
            if !has_all {
                let message = format!(
                    "{life:?} starts on turn and mark {image:?}, and was given {:?}",
                    (turn, mark)
                );
                self.find("witness", message);
            }
        }
    }

    /// A server has seen a turn and a mark.
    pub(in crate::explore::several) fn saw(
        &mut self,
        life: Life,
        sequence: usize,
        pair: (u64, u64),
    ) {
        let seen = self.sequences[sequence].seen.entry(life).or_default();
        seen.pair = seen.pair.max(pair);
    }

    /// A server asks for something of a sequence.
    pub(in crate::explore::several) fn asks(&mut self, life: Life, sequence: usize) {
        if let Some(seen) = self.sequences[sequence].seen.get_mut(&life) {
            seen.asked = seen.pair;
        }
    }

    /// What a server asked for is durable, in a state of this turn.
    pub(super) fn reserved_in(&mut self, life: Life, sequence: usize, turn: u64) {
        if let Some(seen) = self.sequences[sequence].seen.get_mut(&life) {
            seen.turn = turn;
        }
    }

    /// A server hands back all from `mark` on.
    pub(super) fn hands_back(&mut self, life: Life, sequence: usize, mark: u64) {
        if let Some(seen) = self.sequences[sequence].seen.get_mut(&life) {
            seen.told.cut(mark);
        }
    }

    /// A server hears that `block` is reserved for it.
    pub(in crate::explore::several) fn told_block(
        &mut self,
        life: Life,
        sequence: usize,
        block: Block,
    ) {
        let seen = self.sequences[sequence].seen.entry(life).or_default();
        let (asked, from) = (seen.asked, (seen.turn, block.start()));
        seen.given = seen.given.max((seen.turn, block.end()));
        let twice = seen.told.add(block).err();
        if from < asked {
            let message = format!("{life:?} has seen {asked:?}, and reserves {block} of {from:?}");
            self.find("loss", message);
        }
        if let Some((start, end)) = twice {
            let message = format!("{life:?} is given {block}, and had been given [{start}, {end})");
            self.find("loss", message);
        }
    }
}

impl Sequence {
    fn fall(&mut self, image: &Image) {
        let cut = image.shared.map_or(1, |shared| shared.record.mark);
        self.image = image.shared;
        let kept = self.issued.below(cut);
        let issued = std::mem::replace(&mut self.issued, kept);
        self.last = self.issued.issued().last();
        let reserved = self.reserved.clone();
        self.reserved.values_mut().for_each(|reserved| reserved.cut(cut));
        self.before = Some(Before::new(reserved, issued, cut));
        self.sure_from = u64::MAX;
        if let Some(flakes) = &mut self.flakes {
            flakes.fall(&image.workers);
        }
    }
}
