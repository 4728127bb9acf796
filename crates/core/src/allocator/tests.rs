//! Scripts: events go in, and what the allocator wants done is compared line by line.

mod burnt;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::*;
use crate::cluster::ServerId;
use crate::count::Count;
use crate::definition::{BlockLen, Kind, KindName};
use crate::limits::{AUTO_BLOCK_LEN_MAX, AUTO_BLOCK_LEN_MIN, BACKOFF_MIN_US, ID_MAX};

const TIMEOUT_US: u64 = 1_000_000;

/// An allocator, its cursor, and a clock that moves only when told to.
struct Script {
    allocator: Allocator<u32>,
    cursor: Arc<Cursor>,
    now: Instant,
}

impl Script {
    fn new(block_len: BlockLen) -> Self {
        let cursor = Arc::new(Cursor::closed());
        let config = Config::new(block_len, AUTO_BLOCK_LEN_MIN, AUTO_BLOCK_LEN_MAX);
        let allocator = Allocator::new(config, Arc::clone(&cursor));
        Self { allocator, cursor, now: Instant::from_micros(0) }
    }

    /// An allocator whose record is read: everything below `mark` is reserved, and spent.
    fn opened(block_len: BlockLen, mark: u64) -> Self {
        Self::opened_as(Definition::default(), block_len, mark)
    }

    fn opened_as(definition: Definition, block_len: BlockLen, mark: u64) -> Self {
        let mut script = Self::new(block_len);
        assert_eq!(script.tick(), "open #0");
        let record = Record { mark, spent: mark, ..Record::new(definition) };
        assert_eq!(script.tell(Event::Opened(AttemptId(0), record, 0)), "");
        script
    }

    fn tell(&mut self, event: Event<u32>) -> String {
        let mut actions = Vec::new();
        self.allocator.handle(self.now, event, &mut actions);
        let lines: Vec<String> = actions.into_iter().map(told).collect();
        lines.join("; ")
    }

    fn tick(&mut self) -> String {
        self.tell(Event::Tick)
    }

    fn after(&mut self, micros: u64) -> &mut Self {
        self.now = self.now.plus_micros(micros);
        self
    }

    fn wake(&self) -> Option<Instant> {
        self.allocator.next_wake(self.now)
    }

    fn want(&mut self, request: u32, count: u64) -> String {
        let count = Count::new(count).unwrap();
        let deadline = self.now.plus_micros(TIMEOUT_US);
        self.tell(Event::Wanted { request, count, deadline })
    }

    fn raise(&mut self, request: u32, floor: u64) -> String {
        let deadline = self.now.plus_micros(TIMEOUT_US);
        self.tell(Event::Raise { request, floor, deadline })
    }

    fn reserved(&mut self, attempt: u64, start: u64, end: u64) -> String {
        self.tell(Event::Reserved(AttemptId(attempt), Block::new(start, end).unwrap()))
    }

    fn failed(&mut self, attempt: u64, kind: FailureKind) -> String {
        self.tell(Event::Failed(AttemptId(attempt), Failure::new(kind, "broken")))
    }

    fn take(&mut self, n: u64) -> String {
        match self.cursor.take(n) {
            Some(taken) if taken.refill_due => format!("{} and a refill is due", taken.block),
            Some(taken) => taken.block.to_string(),
            None => "short".to_string(),
        }
    }

    fn burnt(&self, reason: Burn) -> u64 {
        self.allocator.observe().tally.burnt.get(reason)
    }
}

fn told(action: Action<u32>) -> String {
    match action {
        Action::Open(AttemptId(n)) => format!("open #{n}"),
        Action::Reserve(AttemptId(n), Reserve { floor, len, .. }) => {
            format!("reserve #{n}: {len} from {floor}")
        }
        Action::Raise(AttemptId(n), floor) => format!("raise #{n} to {floor}"),
        Action::HandBack(AttemptId(n), HandBack { start, end, .. }) => {
            format!("hand back #{n} [{start}, {end})")
        }
        Action::Issue(request, block) => format!("{request} gets {block}"),
        Action::Acknowledge(request) => format!("{request} is raised"),
        Action::Refuse(request, refusal) => match refusal {
            Refusal::Late(Some(failure)) => format!("{request} is late: {failure}"),
            Refusal::Late(None) => format!("{request} is late"),
            Refusal::Store(failure) => format!("{request} is refused: {:?}", failure.kind),
            Refusal::Exhausted { left } => format!("{request} finds {left} left"),
            Refusal::Overloaded => format!("{request} is too many"),
            Refusal::Stopping => format!("{request} is told to stop"),
            Refusal::OtherKind(record) => format!("{request} finds {}", record.definition),
            Refusal::OwnedBy(server, _) => format!("{request} finds it owned by {server}"),
            Refusal::Moved => format!("{request} has to ask again"),
            Refusal::Lowering { next } => format!("{request} would lower {next}"),
        },
        Action::Ended => "ended".to_string(),
    }
}

#[test]
fn a_sequence_whose_ids_do_not_come_in_blocks_is_told_to_all_who_ask() {
    let mut s = Script::new(BlockLen::Auto);
    assert_eq!(s.want(1, 3), "open #0");
    let record = Record::new(Definition::of(Kind::Uuid7));
    let told = s.tell(Event::Opened(AttemptId(0), record, 0));
    assert_eq!(told, "1 finds kind uuid7; ended");
    assert_eq!(s.want(2, 1), "2 finds kind uuid7");
    assert_eq!(s.tell(Event::Stop), "");
}

#[test]
fn a_sequence_that_another_server_owns_is_told_to_all_who_ask() {
    let mut s = Script::new(BlockLen::Auto);
    assert_eq!(s.want(1, 3), "open #0");
    let told = s.tell(Event::OwnedBy(AttemptId(0), ServerId(0xb), KindName::Ticket));
    assert_eq!(told, "1 finds it owned by 000000000000000b; ended");
    assert_eq!(s.want(2, 1), "2 finds it owned by 000000000000000b");
    assert_eq!(s.raise(3, 5), "3 finds it owned by 000000000000000b");
    assert_eq!((s.tell(Event::LeaseEnded), s.tell(Event::Stop)), (String::new(), String::new()));
}

#[test]
fn every_reservation_names_the_turn_and_so_does_what_is_handed_back() {
    let mut s = Script::new(BlockLen::Fixed(10));
    s.tick();
    let mut actions = Vec::new();
    let record = Record::new(Definition::default());
    let opened = Event::Opened(AttemptId(0), record, 7);
    s.allocator.handle(s.now, opened, &mut actions);
    let (request, count, deadline) = (1, Count::ONE, s.now.plus_micros(TIMEOUT_US));
    s.allocator.handle(s.now, Event::Wanted { request, count, deadline }, &mut actions);
    let reserved = Event::Reserved(AttemptId(1), Block::new(1, 11).unwrap());
    s.allocator.handle(s.now, reserved, &mut actions);
    s.allocator.handle(s.now, Event::Stop, &mut actions);
    let turns: Vec<u64> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Reserve(_, asked) => Some(asked.turn),
            Action::HandBack(_, unissued) => Some(unissued.turn),
            _ => None,
        })
        .collect();
    assert_eq!(turns, [7, 7]);
}

#[test]
fn who_is_fenced_gives_up_what_it_holds_and_everybody_asks_again() {
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    s.want(1, 1);
    s.reserved(1, 1, 11);
    assert_eq!(s.want(2, 12), "reserve #2: 20 from 11");
    assert_eq!(s.failed(2, FailureKind::Fenced), "2 has to ask again; ended");
    assert_eq!((s.take(1), s.burnt(Burn::Fenced)), ("short".to_string(), 9));
    assert_eq!(s.want(3, 1), "3 has to ask again");
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    s.want(1, 1);
    s.tell(Event::Stop);
    assert_eq!(s.failed(1, FailureKind::Fenced), "1 is told to stop; ended");
}

#[test]
fn what_was_taken_too_late_is_burnt_and_not_issued() {
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    s.want(1, 1);
    s.reserved(1, 1, 11);
    assert_eq!(s.take(4), "[2, 6) and a refill is due");
    s.allocator.forget(Block::new(2, 6).unwrap());
    let seen = s.allocator.observe();
    assert_eq!((seen.tally.issued, seen.held, s.burnt(Burn::Fenced)), (1, 5, 4));
}

#[test]
fn with_the_lease_ends_what_is_held_and_what_was_asked() {
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    s.want(1, 1);
    s.reserved(1, 1, 11);
    s.take(4);
    assert_eq!(s.want(2, 12), "reserve #2: 20 from 11");
    assert_eq!(s.tell(Event::LeaseEnded), "2 has to ask again; ended");
    assert_eq!((s.take(1), s.burnt(Burn::Fenced)), ("short".to_string(), 5));
    assert_eq!(s.wake(), None, "nothing is in flight, and nothing will be");

    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    s.want(1, 1);
    s.reserved(1, 1, 11);
    assert_eq!(s.tell(Event::Stop), "hand back #2 [2, 11)");
    assert_eq!(s.tell(Event::LeaseEnded), "ended");
    assert_eq!(s.burnt(Burn::Stop), 9, "it may have been taken back, or not");
}

#[test]
fn the_first_request_opens_reserves_and_is_served_and_the_rest_is_spent_from_memory() {
    let mut s = Script::new(BlockLen::Fixed(10));
    assert_eq!(s.want(1, 3), "open #0");
    let record = Record::new(Definition::default());
    assert_eq!(s.tell(Event::Opened(AttemptId(0), record, 0)), "reserve #1: 10 from 1");
    assert_eq!(s.take(1), "short");
    assert_eq!(s.reserved(1, 1, 11), "1 gets [1, 4)");
    assert_eq!(s.take(2), "[4, 6) and a refill is due");
    assert_eq!(s.tell(Event::LowWater), "reserve #2: 10 from 11");
    assert_eq!(s.take(5), "[6, 11)");
    assert_eq!(s.reserved(2, 11, 21), "");
    assert_eq!(s.take(1), "[11, 12)");
}

#[test]
fn a_range_crosses_from_one_block_into_the_adjacent_one() {
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    s.want(1, 1);
    s.reserved(1, 1, 11);
    assert_eq!(s.want(2, 12), "reserve #2: 20 from 11");
    assert_eq!(s.reserved(2, 11, 31), "2 gets [2, 14)");
    assert_eq!(s.take(17), "[14, 31) and a refill is due");
    assert_eq!(s.allocator.observe().tally.burnt.total(), 0);
}

#[test]
fn waiting_requests_share_one_reservation_and_are_served_in_their_order() {
    let mut s = Script::opened(BlockLen::Fixed(1), 1);
    assert_eq!(s.want(1, 1), "reserve #1: 1 from 1");
    assert_eq!(s.want(2, 1), "");
    assert_eq!(s.want(3, 5), "");
    assert_eq!(s.want(4, 1), "");
    assert_eq!(s.reserved(1, 1, 2), "1 gets [1, 2); reserve #2: 7 from 2");
    let served = "2 gets [2, 3); 3 gets [3, 8); 4 gets [8, 9)";
    assert_eq!(s.reserved(2, 2, 9), served);
    assert_eq!(s.allocator.observe().held, 0, "nothing is held with a block length of 1");
}

#[test]
fn requests_that_come_together_share_the_first_reservation() {
    let mut s = Script::opened(BlockLen::Fixed(1), 1);
    let deadline = s.now.plus_micros(TIMEOUT_US);
    let mut actions = Vec::new();
    let count = Count::new(2).unwrap();
    let events = (0..50).map(|request| Event::Wanted { request, count, deadline });
    s.allocator.handle_all(s.now, events, &mut actions);
    assert_eq!(actions.into_iter().map(told).collect::<Vec<_>>(), ["reserve #1: 100 from 1"]);
}

#[test]
fn a_reservation_waits_a_little_for_those_who_were_just_served() {
    let mut s = Script::opened(BlockLen::Fixed(1), 1);
    assert_eq!(s.want(1, 1), "reserve #1: 1 from 1");
    assert_eq!(s.want(2, 1), "");
    s.after(1000);
    assert_eq!(s.reserved(1, 1, 2), "1 gets [1, 2)", "1 may come back and share the next");
    assert_eq!(s.wake(), Some(s.now.plus_micros(500)));
    assert_eq!(s.after(100).want(1, 1), "reserve #2: 2 from 2", "all are there again");
    s.after(1000);
    assert_eq!(s.reserved(2, 2, 4), "2 gets [2, 3); 1 gets [3, 4)");
    assert_eq!(s.wake(), None, "nobody waits for anybody");
    assert_eq!(s.after(450).want(2, 1), "", "half of the time is not over");
    assert_eq!(s.after(50).tick(), "reserve #3: 1 from 4", "1 does not come");
    s.after(1000);
    assert_eq!(s.reserved(3, 4, 5), "2 gets [4, 5)");
    assert_eq!(s.want(2, 1), "reserve #4: 1 from 5", "and is not expected any more");
}

#[test]
fn a_hole_before_a_block_is_booked_and_what_is_held_is_spent_first() {
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    s.want(1, 5);
    assert_eq!(s.reserved(1, 1, 11), "1 gets [1, 6); reserve #2: 10 from 11");
    assert_eq!(s.reserved(2, 31, 41), "");
    assert_eq!(s.burnt(Burn::Indeterminate), 20);
    assert_eq!(s.take(6), "short");
    assert_eq!(s.take(5), "[6, 11)");
    assert_eq!(s.want(2, 1), "2 gets [31, 32)");
    assert_eq!(s.take(1), "[32, 33)");
}

#[test]
fn a_range_that_does_not_fit_before_a_hole_burns_what_is_left_there() {
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    s.want(1, 5);
    s.reserved(1, 1, 11);
    s.reserved(2, 31, 41);
    assert_eq!(s.want(2, 8), "2 gets [31, 39); reserve #3: 10 from 41");
    assert_eq!(s.burnt(Burn::Skipped), 5);
    assert_eq!(s.reserved(3, 41, 51), "");
    assert_eq!(s.want(3, 20), "reserve #4: 20 from 51");
    assert_eq!(s.reserved(4, 90, 110), "3 gets [90, 110); reserve #5: 10 from 110");
    assert_eq!(s.burnt(Burn::Skipped), 5 + 12);
}

#[test]
fn nothing_of_an_attempt_with_an_unknown_outcome_is_used() {
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    assert_eq!(s.want(1, 1), "reserve #1: 10 from 1");
    assert_eq!(s.failed(1, FailureKind::Indeterminate), "");
    assert_eq!(s.take(1), "short");
    assert_eq!(s.wake(), Some(Instant::from_micros(BACKOFF_MIN_US)));
    assert_eq!(s.after(BACKOFF_MIN_US).tick(), "reserve #2: 10 from 1");
    assert_eq!(s.reserved(2, 11, 21), "1 gets [11, 12)");
    assert_eq!(s.burnt(Burn::Indeterminate), 10);
}

#[test]
fn failures_are_tried_again_after_growing_pauses_and_the_late_are_told_why() {
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    s.want(1, 1);
    let mut pauses = Vec::new();
    for attempt in 1..=7 {
        assert_eq!(s.failed(attempt, FailureKind::Unavailable), "");
        let wake = s.wake().unwrap();
        pauses.push(wake.micros_since(s.now) / 1000);
        s.now = wake;
        let told = s.tick();
        if attempt == 7 {
            assert_eq!(told, "1 is late: broken");
        } else {
            assert_eq!(told, format!("reserve #{}: 10 from 1", attempt + 1));
        }
    }
    assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 370]);
}

#[test]
fn a_lost_race_is_tried_again_at_once_but_not_for_ever() {
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    s.want(1, 1);
    for attempt in 1..=3 {
        let again = format!("reserve #{}: 10 from 1", attempt + 1);
        assert_eq!(s.failed(attempt, FailureKind::Conflict), again);
    }
    assert_eq!(s.failed(4, FailureKind::Conflict), "");
    assert!(s.wake().unwrap() > s.now);
}

#[test]
fn a_failed_refill_that_nobody_waits_for_is_tried_again() {
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    s.want(1, 5);
    s.reserved(1, 1, 11);
    assert_eq!(s.failed(2, FailureKind::Unavailable), "");
    s.now = s.wake().unwrap();
    assert_eq!(s.tick(), "reserve #3: 10 from 11");
    assert_eq!(s.wake(), None, "nothing to wake for while the store is asked");
}

#[test]
fn the_last_id_is_issued_and_then_the_sequence_is_exhausted() {
    let mut s = Script::opened(BlockLen::Fixed(10), ID_MAX - 4);
    s.want(1, 1);
    let first = format!("1 gets [{}, {})", ID_MAX - 4, ID_MAX - 3);
    assert_eq!(s.reserved(1, ID_MAX - 4, MARK_MAX), first);
    assert_eq!(s.want(2, 5), "2 finds 4 left");
    assert_eq!(s.take(3), format!("[{}, {})", ID_MAX - 3, ID_MAX));
    assert_eq!(s.want(3, 1), format!("3 gets [{ID_MAX}, {MARK_MAX})"));
    assert_eq!(s.want(4, 1), "4 finds 0 left");
    assert_eq!(s.take(1), "short");
}

#[test]
fn a_store_that_says_exhausted_is_believed() {
    let mut s = Script::opened(BlockLen::Fixed(10), 100);
    assert_eq!(s.want(1, 1), "reserve #1: 10 from 100");
    assert_eq!(s.failed(1, FailureKind::Exhausted), "1 finds 0 left");
    assert_eq!(s.want(2, 1), "2 finds 0 left");
}

#[test]
fn a_raise_within_what_is_reserved_needs_no_store() {
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    s.want(1, 1);
    s.reserved(1, 1, 11);
    assert_eq!(s.raise(2, 2), "2 is raised");
    assert_eq!(s.raise(3, 5), "3 is raised");
    assert_eq!(s.burnt(Burn::Raise), 3);
    assert_eq!(s.raise(4, 4), "4 would lower 5");
    assert_eq!(s.take(1), "[5, 6) and a refill is due");
    assert_eq!(s.raise(5, 11), "5 is raised");
    assert_eq!(s.take(1), "short");
}

#[test]
fn a_raise_beyond_what_is_reserved_is_durable_before_it_is_acknowledged() {
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    s.want(1, 1);
    s.reserved(1, 1, 11);
    assert_eq!(s.raise(2, 5001), "raise #2 to 5001");
    assert_eq!(s.take(1), "[2, 3)", "what is held may be issued until the raise is answered");
    assert_eq!(s.tell(Event::Raised(AttemptId(2), 5001)), "2 is raised");
    assert_eq!(s.take(1), "short");
    assert_eq!(s.burnt(Burn::Raise), 8);
    assert_eq!(s.allocator.observe().last, Some(5000));
    assert_eq!(s.want(3, 1), "reserve #3: 10 from 5001");
    assert_eq!(s.reserved(3, 5001, 5011), "3 gets [5001, 5002)");
}

#[test]
fn a_raise_whose_requester_has_gone_still_counts() {
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    assert_eq!(s.raise(1, 100), "raise #1 to 100");
    assert_eq!(s.after(TIMEOUT_US).tick(), "1 is late");
    assert_eq!(s.raise(2, 50), "");
    assert_eq!(s.tell(Event::Raised(AttemptId(1), 100)), "2 would lower 100");
}

#[test]
fn a_clean_stop_hands_back_what_was_not_issued() {
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    s.want(1, 3);
    s.reserved(1, 1, 11);
    s.take(1);
    assert_eq!(s.tell(Event::Stop), "hand back #2 [5, 11)");
    assert_eq!(s.take(1), "short");
    assert_eq!(s.want(2, 1), "2 is told to stop");
    assert_eq!(s.tell(Event::HandedBack(AttemptId(2), true)), "ended");
    assert_eq!(s.allocator.observe().tally.burnt.total(), 0);
}

#[test]
fn a_stop_that_reserved_nothing_asks_nothing() {
    assert_eq!(Script::new(BlockLen::Auto).tell(Event::Stop), "ended");
    assert_eq!(Script::opened(BlockLen::Auto, 7).tell(Event::Stop), "ended");
}

#[test]
fn a_stop_serves_those_who_wait_first() {
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    s.want(1, 3);
    assert_eq!(s.tell(Event::Stop), "");
    assert_eq!(s.reserved(1, 1, 11), "1 gets [1, 4); hand back #2 [4, 11)");
}

#[test]
fn a_stop_with_a_failing_store_does_not_wait() {
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    s.want(1, 3);
    s.tell(Event::Stop);
    let told = s.failed(1, FailureKind::Unavailable);
    assert_eq!(told, "1 is late: broken; hand back #2 [1, 1)");
}

#[test]
fn handing_back_is_never_repeated() {
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    s.want(1, 3);
    s.reserved(1, 1, 11);
    assert_eq!(s.tell(Event::Stop), "hand back #2 [4, 11)");
    assert_eq!(s.failed(2, FailureKind::Indeterminate), "ended");
    assert_eq!(s.burnt(Burn::Stop), 7);
    assert_eq!(s.after(TIMEOUT_US).tick(), "");
}

#[test]
fn only_the_last_block_can_be_handed_back() {
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    s.want(1, 5);
    s.reserved(1, 1, 11);
    s.reserved(2, 31, 41);
    assert_eq!(s.tell(Event::Stop), "hand back #3 [31, 41)");
    assert_eq!(s.burnt(Burn::Stop), 5);
}

#[test]
fn a_store_that_goes_back_stops_the_sequence() {
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    s.want(1, 4);
    s.reserved(1, 1, 11);
    s.want(2, 20);
    assert_eq!(s.reserved(2, 3, 33), "2 is refused: Corrupt");
    assert_eq!(s.take(1), "short");
    assert_eq!(s.want(3, 1), "3 is refused: Corrupt");
    assert_eq!(s.raise(4, 1000), "4 is refused: Corrupt");
    assert_eq!(s.burnt(Burn::Broken), 6);
    assert_eq!(s.tell(Event::Stop), "ended");
}

#[test]
fn failures_that_waiting_does_not_mend_stop_the_sequence() {
    for kind in [FailureKind::Invalid, FailureKind::Corrupt] {
        let mut s = Script::opened(BlockLen::Fixed(10), 1);
        s.want(1, 1);
        assert_eq!(s.failed(1, kind), format!("1 is refused: {kind:?}"));
        assert_eq!(s.want(2, 1), format!("2 is refused: {kind:?}"));
        assert_eq!(s.wake(), None);
    }
}

#[test]
fn a_sequence_that_does_not_exist_ends() {
    let mut s = Script::new(BlockLen::Auto);
    s.want(1, 1);
    assert_eq!(s.failed(0, FailureKind::NotFound), "1 is refused: NotFound; ended");
    assert_eq!(s.want(2, 1), "2 is refused: NotFound");
}

#[test]
fn those_who_left_are_not_served_and_burn_nothing() {
    let mut s = Script::opened(BlockLen::Fixed(1), 1);
    s.want(1, 1);
    s.want(2, 1);
    s.allocator.abandon(|request| *request == 1);
    assert_eq!(s.reserved(1, 1, 2), "2 gets [1, 2)");
    assert_eq!(s.tell(Event::Undelivered(Block::new(1, 2).unwrap())), "");
    assert_eq!(s.burnt(Burn::Abandoned), 1);
    assert_eq!(s.allocator.observe().tally.issued, 0);
}

#[test]
fn the_late_in_front_give_way_to_those_behind() {
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    s.want(1, 1);
    s.reserved(1, 1, 11);
    assert_eq!(s.want(2, 500), "reserve #2: 500 from 11");
    assert_eq!(s.after(TIMEOUT_US / 2).want(3, 4), "");
    assert_eq!(s.after(TIMEOUT_US / 2).tick(), "2 is late; 3 gets [2, 6)");
}

#[test]
fn more_than_may_wait_are_refused() {
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    for request in 0..u32::try_from(WAITING_MAX).unwrap() {
        assert_ne!(s.want(request, 1), format!("{request} is too many"));
    }
    assert_eq!(s.want(70_000, 1), "70000 is too many");
}

#[test]
fn a_low_water_mark_longer_than_all_below_the_end_is_reached_at_once() {
    // Found by seed 6 of the deterministic world: a short block at the start of the ID space.
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    assert_eq!(s.want(1, 1), "reserve #1: 10 from 1");
    assert_eq!(s.reserved(1, 1, 3), "1 gets [1, 2); reserve #2: 10 from 3");
}

#[test]
fn what_was_taken_from_the_open_cursor_may_go_to_nobody_too() {
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    s.want(1, 1);
    s.reserved(1, 1, 11);
    assert_eq!(s.take(3), "[2, 5)");
    s.tell(Event::Undelivered(Block::new(2, 5).unwrap()));
    assert_eq!((s.allocator.observe().tally.issued, s.burnt(Burn::Abandoned)), (1, 3));
}

#[test]
fn the_next_id_after_a_spent_block_is_the_first_beyond_the_hole() {
    // Found by seed 2933 of the deterministic world: the refusal named an ID below the floor.
    let mut s = Script::opened(BlockLen::Fixed(10), 1);
    s.want(1, 5);
    s.reserved(1, 1, 11);
    s.reserved(2, 31, 41);
    assert_eq!(s.take(5), "[6, 11)");
    assert_eq!(s.allocator.observe().next, 31);
    assert_eq!(s.raise(2, 20), "2 would lower 31");
    assert_eq!(s.raise(3, 31), "3 is raised");
    assert_eq!(s.take(1), "[31, 32)");
}

#[test]
fn the_next_id_after_the_last_that_could_be_reserved_is_none() {
    // Found by seed 1058516 of the deterministic world: somebody else had reserved the rest.
    let mut s = Script::opened(BlockLen::Fixed(10), ID_MAX - 20);
    s.want(1, 10);
    s.reserved(1, ID_MAX - 20, ID_MAX - 10);
    assert_eq!(s.want(2, 1), "");
    assert_eq!(s.failed(2, FailureKind::Exhausted), "2 finds 0 left");
    assert_eq!(s.allocator.observe().next, MARK_MAX);
    assert_eq!(s.raise(3, ID_MAX), format!("3 would lower {MARK_MAX}"));
}
