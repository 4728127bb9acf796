//! Histories that are wrong, each of which the checker must find, and right ones that look wrong.

use super::{Found, Kind, Revival, check, revived};
use crate::history::{Answer, Asked, Call, Place, Promise};

/// A call to `server` by the client of the same number, from `start` to `end`.
fn call(server: usize, (start, end): (u64, u64), (first, last): (u64, u64)) -> Call {
    Call {
        place: Place { server, client: server, connection: 0 },
        sequence: 0,
        start_us: start,
        end_us: end,
        answer: Answer::Ids { first, last },
        is_more: false,
    }
}

fn on_connection(connection: u32, call: Call) -> Call {
    Call { place: Place { connection, ..call.place }, ..call }
}

fn answered(answer: Answer, call: Call) -> Call {
    Call { answer, ..call }
}

fn asked(promise: Promise) -> [Asked; 1] {
    [Asked { name: "notes".to_owned(), promise }]
}

#[track_caller]
fn assert_found(promise: Promise, mark: Option<u64>, calls: &[Call], expected: &[Kind]) -> Found {
    let found = check(calls, &asked(promise), &[mark]);
    let kinds: Vec<Kind> = found.violations.iter().map(|violation| violation.kind).collect();
    assert_eq!(kinds, expected, "{:?}", found.violations);
    found
}

const ALL: [Promise; 3] = [Promise::Strict, Promise::Loose, Promise::Unique];

#[test]
fn a_right_history_is_right() {
    let calls = [
        call(0, (0, 10), (1, 1)),
        // At the same time as the first.
        call(1, (5, 15), (4, 9)),
        call(2, (8, 30), (2, 3)),
        answered(Answer::Unknown, call(0, (40, 50), (0, 0))),
        answered(Answer::Refused, call(0, (51, 52), (0, 0))),
        call(0, (60, 70), (20, 20)),
    ];
    for promise in ALL {
        assert_found(promise, Some(21), &calls, &[]);
    }
}

#[test]
fn an_id_that_comes_twice_is_found() {
    let at_once = [call(0, (0, 100), (7, 7)), call(1, (0, 100), (7, 7))];
    for promise in ALL {
        assert_eq!(assert_found(promise, None, &at_once, &[Kind::Duplicate]).duplicates, 1);
    }
    // One range within another, and one that begins where a longer one before still goes on.
    let ranges =
        [call(0, (0, 100), (1, 100)), call(1, (0, 100), (5, 6)), call(2, (0, 100), (98, 110))];
    let found = assert_found(Promise::Strict, None, &ranges, &[Kind::Duplicate, Kind::Duplicate]);
    assert_eq!(found.duplicates, 2 + 3);
}

#[test]
fn an_order_that_real_time_contradicts_is_found() {
    let calls = [
        call(0, (0, 10), (5, 9)),
        call(1, (10, 20), (1, 1)),
        call(1, (21, 30), (2, 2)),
        call(2, (0, 60), (3, 3)),
    ];
    let found = assert_found(Promise::Strict, None, &calls, &[Kind::Order]);
    assert_eq!(found.violations[0].calls, [calls[0], calls[2]], "the moment 10 proves nothing");
    assert_found(Promise::Loose, None, &calls, &[]);
    assert_found(Promise::Unique, None, &calls, &[]);
}

#[test]
fn the_largest_before_counts_and_not_the_latest() {
    let calls = [call(0, (0, 5), (10, 10)), call(1, (3, 20), (4, 4)), call(2, (30, 40), (7, 7))];
    assert_found(Promise::Strict, None, &calls, &[Kind::Order]);
}

#[test]
fn a_step_back_of_one_server_is_found_in_a_loose_sequence() {
    let calls = [
        on_connection(0, call(0, (0, 10), (100, 100))),
        on_connection(1, call(0, (20, 30), (50, 50))),
    ];
    assert_found(Promise::Loose, None, &calls, &[Kind::Order]);
    assert_found(Promise::Unique, None, &calls, &[]);
}

#[test]
fn a_step_back_along_a_connection_is_found_also_among_requests_that_were_sent_together() {
    let calls = [call(0, (0, 10), (3, 3)), call(0, (0, 11), (2, 2))];
    for promise in [Promise::Strict, Promise::Loose] {
        assert_found(promise, None, &calls, &[Kind::Order]);
    }
    assert_found(Promise::Unique, None, &calls, &[]);
}

#[test]
fn an_answer_above_the_mark_is_found() {
    let calls = [call(0, (0, 10), (1, 9)), call(0, (20, 30), (10, 12))];
    assert_found(Promise::Loose, Some(13), &calls, &[]);
    assert_eq!(assert_found(Promise::Loose, Some(12), &calls, &[Kind::AboveMark]).above_mark, 1);
}

#[test]
fn a_client_that_never_succeeds_again_is_found() {
    let revival = Revival { healed_us: 100, bound_us: 50, far_ahead: vec![] };
    let find = |calls: &[Call]| {
        let mut found = Found::default();
        revived(calls, &asked(Promise::Strict), 2, &revival, &mut found);
        found.violations.into_iter().map(|violation| violation.what).collect::<Vec<_>>()
    };
    let served = call(0, (100, 149), (8, 8));
    assert_eq!(find(&[served, call(1, (101, 150), (9, 9))]).len(), 0);
    // Too late; asked before the faults ended; refused; and silent.
    assert_eq!(find(&[served, call(1, (101, 151), (9, 9))]).len(), 2, "the client and the server");
    assert_eq!(find(&[served, call(1, (99, 120), (9, 9))]).len(), 1, "it did not ask again");
    let refused = answered(Answer::Refused, call(1, (101, 110), (0, 0)));
    assert_eq!(find(&[served, refused]).len(), 2);
    assert_eq!(find(&[served]).len(), 1);
}

#[test]
fn only_times_in_ids_wait_for_a_clock_that_was_ahead() {
    let refused = answered(Answer::Refused, call(0, (101, 110), (0, 0)));
    let served = Call { sequence: 1, ..call(0, (120, 130), (9, 9)) };
    let names = [("notes", Promise::Unique), ("tasks", Promise::Strict)];
    let sequences = names.map(|(name, promise)| Asked { name: name.to_owned(), promise });
    let find = |calls: &[Call], far_ahead: Vec<usize>| {
        let mut found = Found::default();
        let revival = Revival { healed_us: 100, bound_us: 50, far_ahead };
        revived(calls, &sequences, 1, &revival, &mut found);
        found.violations.len()
    };
    assert_eq!(find(&[refused, served], vec![]), 1);
    assert_eq!(find(&[refused, served], vec![0]), 0);
    let otherwise = [Call { sequence: 1, ..refused }, Call { sequence: 0, ..served }];
    assert_eq!(find(&otherwise, vec![0]), 1);
}

#[test]
fn many_violations_are_counted_and_few_are_shown() {
    let calls: Vec<Call> =
        (0..100).map(|n| call(0, (n * 10, n * 10 + 5), (200 - n, 200 - n))).collect();
    let found = check(&calls, &asked(Promise::Unique), &[Some(1)]);
    assert_eq!((found.above_mark, found.violations.len()), (100, 5));
    assert!(found.violations[0].to_string().starts_with("AboveMark: 200 of notes"));
}
