//! What is left out of a picture so that the rest can be seen, and its page opened.

use super::picture::{Row, RowKind, Span, SpanKind};

/// So many requests are drawn of a world: some more than most worlds have.
const REQUESTS_MAX: usize = 1_500;

/// So many marks of a row: closer ones would lie on each other.
const MARKS_MAX: usize = 400;

/// So many bars of a row; two to three pixels of a wide page are left for each.
const BARS_MAX: usize = 500;

/// Leaves out what would be too much to see. Says what, in sentences.
pub fn thin(rows: &mut Vec<Row>, end_us: u64) -> Vec<String> {
    let requests = fewer_requests(rows);
    let owners = fewer_owners(rows, end_us);
    let marks_and_bars = rows.iter_mut().flat_map(|row| [fewer_marks(row), fewer_bars(row)]);
    [owners, requests].into_iter().chain(marks_and_bars).flatten().collect()
}

fn fewer_requests(rows: &mut [Row]) -> Option<String> {
    let is_of_requests = |row: &&mut Row| matches!(row.kind, RowKind::Requests(_));
    let all: usize = rows.iter_mut().filter(is_of_requests).map(|row| row.bars.len()).sum();
    let each = each(all, REQUESTS_MAX)?;
    rows.iter_mut().filter(is_of_requests).for_each(|row| keep_each(&mut row.bars, each));
    Some(format!("Of {all} requests one in {each} is drawn."))
}

/// Whoever opens a sequence of a kind that nobody owns has it for a moment all the same.
fn fewer_owners(rows: &mut Vec<Row>, end_us: u64) -> Option<String> {
    let is_short = |bar: &Span| (bar.until_us - bar.from_us) * 1_000 < end_us;
    let is_seen = |row: &Row| {
        !matches!(row.kind, RowKind::Owner(_))
            || row.bars.iter().any(|bar| !is_short(bar) || bar.until_us == end_us)
    };
    let all = rows.len();
    rows.retain(is_seen);
    let fewer = all - rows.len();
    let left_out = "rows of owners who never last a thousandth of the time are left out";
    (fewer > 0).then(|| format!("{fewer} {left_out}."))
}

fn fewer_marks(row: &mut Row) -> Option<String> {
    let (lane, all) = (row.lane, row.marks.len());
    let each = each(all, MARKS_MAX)?;
    keep_each(&mut row.marks, each);
    Some(format!("Of {all} marks of {lane} one in {each} is drawn."))
}

fn fewer_bars(row: &mut Row) -> Option<String> {
    if matches!(row.kind, RowKind::Requests(_)) {
        return None;
    }
    let (lane, all) = (row.lane, row.bars.len());
    let each = each(all, BARS_MAX)?;
    row.bars = joined(std::mem::take(&mut row.bars), each);
    Some(format!("Of {all} bars in a row of {lane}, {each} at a time are drawn as one."))
}

/// One in how many is enough, if not all.
fn each(all: usize, most: usize) -> Option<usize> {
    Some(all.div_ceil(most)).filter(|each| *each > 1)
}

/// Keeps one in so many, and the last one.
fn keep_each<T>(items: &mut Vec<T>, each: usize) {
    let mut after = items.len();
    items.retain(|_| {
        after -= 1;
        after.is_multiple_of(each)
    });
}

/// Makes one of so many bars of a kind.
fn joined(bars: Vec<Span>, each: usize) -> Vec<Span> {
    let mut kinds: Vec<((SpanKind, u64), Vec<Span>)> = Vec::new();
    for bar in bars {
        let kind = (bar.kind, bar.level);
        match kinds.iter_mut().find(|(of, _)| *of == kind) {
            Some((_, bars)) => bars.push(bar),
            None => kinds.push((kind, vec![bar])),
        }
    }
    kinds.iter().flat_map(|(_, bars)| bars.chunks(each).filter_map(one)).collect()
}

fn one(bars: &[Span]) -> Option<Span> {
    let (first, last) = (bars.first()?, bars.last()?);
    let title = match bars.len() {
        1 => first.title.clone(),
        n => format!("{}; and so on, {n} in all, until {}", first.title, last.title),
    };
    let (kind, level, label) = (first.kind, first.level, String::new());
    let label = if bars.len() == 1 { first.label.clone() } else { label };
    Some(Span { kind, from_us: first.from_us, until_us: last.until_us, label, title, level })
}

#[cfg(test)]
mod tests {
    use ticketd_sim::explore::{Bar, Lane, Tick};

    use super::super::picture::Mark;
    use super::*;

    fn span(kind: SpanKind, from_us: u64, until_us: u64) -> Span {
        let (label, title) = (format!("b{from_us}"), format!("t{from_us}"));
        Span { kind, from_us, until_us, label, title, level: 0 }
    }

    fn row(kind: RowKind, bars: Vec<Span>, marks: usize) -> Row {
        let mark = |at| Mark { at_us: at as u64, fault: None, title: String::new() };
        Row { lane: Lane::server(0), kind, bars, marks: (0..marks).map(mark).collect() }
    }

    #[test]
    fn what_is_little_stays_as_it_is() {
        let bars = vec![span(SpanKind::Bar(Bar::Block), 0, 5)];
        let mut rows = vec![row(RowKind::Blocks(None), bars, MARKS_MAX)];
        assert_eq!(thin(&mut rows, 10), Vec::<String>::new());
        assert_eq!((rows[0].bars.len(), rows[0].marks.len()), (1, MARKS_MAX));
    }

    #[test]
    fn of_too_much_the_last_is_kept_and_a_sentence_says_so() {
        let asked = |n| span(SpanKind::Request(Tick::Answered), n, n + 1);
        let requests = (0..REQUESTS_MAX as u64 + 2).map(asked).collect();
        let mut rows = vec![row(RowKind::Requests(None), requests, 2 * MARKS_MAX + 1)];
        let said = thin(&mut rows, 2_000);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("Of 1502 requests one in 2"), "{said:?}");
        assert_eq!(rows[0].bars.len(), 751);
        assert_eq!(rows[0].bars[750].from_us, 1_501);
        assert_eq!(rows[0].marks.last().unwrap().at_us, 2 * MARKS_MAX as u64);
        assert!(rows[0].marks.len() <= MARKS_MAX);
    }

    #[test]
    fn neighbours_become_one_bar_of_their_kind() {
        let life = |n: u64| span(SpanKind::Bar(Bar::Life), n * 10, n * 10 + 8);
        let mut bars: Vec<Span> = (0..999).map(life).collect();
        bars.push(span(SpanKind::Bar(Bar::Still), 12, 14));
        let mut rows = vec![row(RowKind::Itself, bars, 0)];
        let said = thin(&mut rows, 10_000);
        assert!(said[0].contains("Of 1000 bars in a row of server 1, 2 at a time"), "{said:?}");
        let bars = &rows[0].bars;
        assert_eq!(bars.len(), 501);
        assert_eq!((bars[0].from_us, bars[0].until_us, bars[0].label.as_str()), (0, 18, ""));
        assert!(bars[0].title.contains("t0") && bars[0].title.contains("until t10"));
        assert_eq!((bars[499].from_us, bars[499].label.as_str()), (9_980, "b9980"), "alone");
        assert_eq!(bars[500].kind, SpanKind::Bar(Bar::Still));
    }

    #[test]
    fn an_owner_for_a_moment_is_left_out_unless_it_is_the_last() {
        let owner = |from, until| {
            let bars = vec![span(SpanKind::Bar(Bar::Owner), from, until)];
            row(RowKind::Owner(Some(0)), bars, 0)
        };
        let mut rows = vec![owner(5, 6), owner(0, 5_000), owner(9_999, 10_000)];
        assert_eq!(thin(&mut rows, 10_000).len(), 1);
        let left: Vec<u64> = rows.iter().map(|row| row.bars[0].from_us).collect();
        assert_eq!(left, [0, 9_999]);
    }
}
