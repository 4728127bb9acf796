//! What is told of each sequence.

use ticketd_core::allocator::Burn;

use crate::info::{Info, bits_left};

/// The `sequence` label of the line that sums up sequences beyond
/// [`METRICS_SEQUENCES_MAX`](crate::limits::METRICS_SEQUENCES_MAX). No name of a sequence can be
/// spelt like this.
pub const OTHERS: &str = "(others)";

/// What is told of one sequence, or of several that share a line.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    pub(super) label: String,
    pub(super) issued: u64,
    pub(super) burnt: [u64; Burn::ALL.len()],
    pub(super) held: u64,
    pub(super) mark: u64,
    /// IDs that can still be issued, of kinds that count them.
    pub(super) left: Option<u64>,
    pub(super) per_second: f64,
    pub(super) lasts_seconds: f64,
    pub(super) waits: u64,
    pub(super) retries: u64,
    /// Its IDs are reserved in blocks.
    pub(super) has_blocks: bool,
    /// Worker IDs that are not leased, of a snowflake sequence.
    pub(super) workers_left: Option<u64>,
    /// How long those last; `None` if the sequence has none.
    pub(super) workers_last_seconds: Option<f64>,
    /// What is left of the time of a snowflake sequence, and when it ends.
    pub(super) time: Option<(f64, u64)>,
}

impl Line {
    fn new(info: &Info) -> Self {
        let mut line = Self {
            label: info.name.as_str().to_owned(),
            issued: info.issued,
            per_second: info.per_second,
            lasts_seconds: info.lasts.map_or(f64::INFINITY, |lasts| lasts.as_secs_f64()),
            has_blocks: info.blocks.is_some(),
            left: info.left(),
            workers_left: info.snowflake.as_ref().map(|seen| seen.workers_left),
            workers_last_seconds: info
                .snowflake
                .as_ref()
                .map(|seen| seen.workers_last.map_or(f64::INFINITY, |lasts| lasts.as_secs_f64())),
            time: info.time.map(|time| (bits_left(time), time.runs_out.0 / 1000)),
            ..Self::default()
        };
        if let Some(blocks) = &info.blocks {
            line.mark = blocks.mark;
        }
        if let Some(seen) = info.blocks.as_ref().and_then(|blocks| blocks.open) {
            line.burnt = Burn::ALL.map(|reason| seen.tally.burnt.get(reason));
            line.held = seen.held;
            line.waits = seen.waits;
            line.retries = seen.retries;
        }
        line
    }

    /// One line for both: what can be added is; of the others the one to worry about stays.
    fn joined(self, other: &Self) -> Self {
        Self {
            label: OTHERS.to_owned(),
            issued: self.issued.saturating_add(other.issued),
            burnt: std::array::from_fn(|i| self.burnt[i].saturating_add(other.burnt[i])),
            held: self.held.saturating_add(other.held),
            mark: self.mark.max(other.mark),
            left: self.left.into_iter().chain(other.left).min(),
            per_second: self.per_second + other.per_second,
            lasts_seconds: self.lasts_seconds.min(other.lasts_seconds),
            waits: self.waits.saturating_add(other.waits),
            retries: self.retries.saturating_add(other.retries),
            has_blocks: self.has_blocks || other.has_blocks,
            workers_left: self.workers_left.into_iter().chain(other.workers_left).min(),
            workers_last_seconds: self
                .workers_last_seconds
                .into_iter()
                .chain(other.workers_last_seconds)
                .reduce(f64::min),
            time: match (self.time, other.time) {
                (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.min(b.1))),
                (a, b) => a.or(b),
            },
        }
    }
}

/// A line for each sequence by name, at most `max` of them, and one for the others.
pub(super) fn lines(infos: &[Info], max: usize) -> Vec<Line> {
    let mut lines: Vec<Line> = infos.iter().map(Line::new).collect();
    // By name, so that a sequence keeps its line from scrape to scrape.
    lines.sort_unstable_by(|a, b| a.label.cmp(&b.label));
    let others = lines.split_off(max.min(lines.len()));
    let mut others = others.into_iter();
    if let Some(mut first) = others.next() {
        OTHERS.clone_into(&mut first.label);
        lines.push(others.fold(first, |sum, line| sum.joined(&line)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str, mark: u64, left: u64) -> Info {
        use crate::info::BlocksInfo;
        use ticketd_core::definition::{BlockLen, Kind};
        Info {
            per_second: 2.0,
            blocks: Some(BlocksInfo { block_len: BlockLen::Auto, mark, left, open: None }),
            ..Info::of_kind(ticketd_core::name::Name::new(name).unwrap(), Kind::Ticket)
        }
    }

    #[test]
    fn sequences_beyond_the_limit_share_one_line() {
        let infos = [info("c", 5, 70), info("a", 1, 90), info("d", 3, 60), info("b", 9, 80)];
        let told = lines(&infos, 2);
        let labels: Vec<_> = told.iter().map(|line| line.label.as_str()).collect();
        assert_eq!(labels, ["a", "b", OTHERS]);
        let others = &told[2];
        assert_eq!((others.mark, others.left, others.per_second), (5, Some(60), 4.0));
        assert_eq!(lines(&infos, 3)[3].label, OTHERS);
        assert_eq!(lines(&infos, 4).len(), 4);
        assert_eq!(lines(&[], 4).len(), 0);
    }

    #[test]
    fn the_label_of_the_others_is_no_name() {
        assert!(ticketd_core::name::Name::new(OTHERS).is_err());
    }
}
