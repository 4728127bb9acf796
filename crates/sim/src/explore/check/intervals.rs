//! Sets of IDs as half-open intervals, so that a range of a million costs what one ID costs.

use std::collections::BTreeMap;

use ticketd_core::block::Block;

/// Disjoint intervals, adjacent ones joined.
#[derive(Debug, Default, Clone)]
pub(in crate::explore) struct Intervals {
    /// From the start of an interval to its end.
    ends: BTreeMap<u64, u64>,
}

impl Intervals {
    /// Adds `block`.
    ///
    /// # Errors
    /// An interval that shares an ID with it; nothing is added then.
    pub(in crate::explore) fn add(&mut self, block: Block) -> Result<(), (u64, u64)> {
        let (mut start, mut end) = (block.start(), block.end());
        if let Some((&before, &before_end)) = self.ends.range(..end).next_back() {
            if before_end > start {
                return Err((before, before_end));
            }
            if before_end == start {
                start = before;
            }
        }
        if let Some(after_end) = self.ends.remove(&end) {
            end = after_end;
        }
        self.ends.insert(start, end);
        Ok(())
    }

    /// Whether any ID of `block` is among them.
    pub(in crate::explore) fn touches(&self, block: Block) -> bool {
        let before = self.ends.range(..block.end()).next_back();
        before.is_some_and(|(_, &end)| end > block.start())
    }

    /// Removes all IDs from `from` on.
    pub(in crate::explore) fn cut(&mut self, from: u64) {
        self.ends.split_off(&from);
        if let Some(mut last) = self.ends.last_entry() {
            let end = last.get_mut();
            *end = (*end).min(from);
        }
    }

    /// The last of all IDs; 0 if there is none.
    pub(in crate::explore) fn last(&self) -> u64 {
        self.ends.last_key_value().map_or(0, |(_, end)| end - 1)
    }

    /// Whether all IDs of `block` are in one interval.
    pub(in crate::explore) fn contains(&self, block: Block) -> bool {
        let before = self.ends.range(..=block.start()).next_back();
        before.is_some_and(|(_, &end)| end >= block.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(start: u64, end: u64) -> Block {
        Block::new(start, end).unwrap()
    }

    #[test]
    fn agrees_with_a_set_of_single_ids() {
        let mut draw = crate::explore::random::Draw::new(7);
        for _ in 0..200 {
            let (mut intervals, mut ids) =
                (Intervals::default(), std::collections::BTreeSet::new());
            for _ in 0..40 {
                let start = draw.between(1, 60);
                let block = block(start, start + draw.between(1, 8));
                match draw.below(8) {
                    0 => {
                        intervals.cut(block.start());
                        ids.retain(|&id| id < block.start());
                    }
                    1 => assert_eq!(
                        intervals.contains(block),
                        block.ids().all(|id| ids.contains(&id))
                    ),
                    _ => {
                        let free = block.ids().all(|id| !ids.contains(&id));
                        assert_eq!(intervals.add(block).is_ok(), free);
                        if free {
                            ids.extend(block.ids());
                        }
                    }
                }
            }
        }
    }
}
