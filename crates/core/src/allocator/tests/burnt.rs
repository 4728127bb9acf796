//! What is booked as burnt.

use super::*;
use crate::definition::Order;

#[test]
fn what_a_crash_may_have_burnt_is_known_at_the_next_start() {
    let mut s = Script::new(BlockLen::Auto);
    s.tick();
    let record = Record { mark: 1000, spent: 936, ..Record::new(Definition::default()) };
    s.tell(Event::Opened(AttemptId(0), record, 0));
    assert_eq!(s.burnt(Burn::Crash), 64);
    assert_eq!(s.allocator.observe().last, None, "nobody knows which was the last");
}

/// Two attempts of unknown outcome, which asked for 10 IDs each; the third one is number 3.
fn in_doubt(definition: Definition) -> Script {
    let mut s = Script::opened_as(definition, BlockLen::Fixed(10), 1);
    assert_eq!(s.want(1, 1), "reserve #1: 10 from 1");
    s.failed(1, FailureKind::Indeterminate);
    assert_eq!(s.after(TIMEOUT_US / 4).tick(), "reserve #2: 10 from 1");
    s.failed(2, FailureKind::Indeterminate);
    assert_eq!(s.after(TIMEOUT_US / 4).tick(), "reserve #3: 10 from 1");
    s
}

#[test]
fn what_lies_before_a_block_is_a_hole() {
    let mut s = in_doubt(Definition::default());
    s.reserved(3, 21, 31);
    assert_eq!(s.burnt(Burn::Indeterminate), 20);
}

#[test]
fn what_lost_attempts_have_reserved_at_the_end_is_a_hole() {
    let mut s = Script::opened(BlockLen::Fixed(10), MARK_MAX - 4);
    s.want(1, 1);
    s.failed(1, FailureKind::Indeterminate);
    assert_eq!(s.after(TIMEOUT_US / 4).tick(), format!("reserve #2: 10 from {}", MARK_MAX - 4));
    assert_eq!(s.failed(2, FailureKind::Exhausted), "1 finds 0 left");
    assert_eq!(s.burnt(Burn::Indeterminate), 4);
}

#[test]
fn what_other_servers_hold_of_a_loose_sequence_is_not_burnt() {
    let loose = Definition { order: Order::Loose, ..Definition::default() };
    let mut s = in_doubt(loose);
    s.reserved(3, 1_001, 1_011);
    assert_eq!(s.burnt(Burn::Indeterminate), 20, "at most what was asked for");
    assert_eq!(s.want(2, 10), "reserve #4: 10 from 1011");
    s.reserved(4, 2_001, 2_011);
    assert_eq!(s.burnt(Burn::Indeterminate), 20);
}
