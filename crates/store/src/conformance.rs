//! The contract of [`Store`] as named cases. Every implementation passes them, by itself and, with
//! its lies smoothed by [`crate::liar::Patient`], behind the [`crate::liar`].
//!
//! The cases ask no more than the contract says: gaps are legal, blocks may be shorter than asked.

mod claims;

use std::future::Future;
use std::sync::Arc;

use ticketd_core::block::Block;
use ticketd_core::cluster::{Claim, Claimed, ServerId};
use ticketd_core::definition::{BlockLen, Definition, Kind, Order};
use ticketd_core::failure::FailureKind;
use ticketd_core::limits::{ID_MAX, ID_MIN, MARK_MAX, NAME_LEN_MAX};
use ticketd_core::name::Name;
use ticketd_core::record::{HandBack, Record, Reserve};
use ticketd_core::snowflake::lease::{LeaseAsk, Leased, NoLease, Release};
use ticketd_core::snowflake::{CounterStart, Snowflake};
use ticketd_core::stride::resize::{NotTaken, Step};
use ticketd_core::stride::{Accepted, PlanId, Seat};

use crate::contract::{Answer, Store};
use crate::error::StoreError;

use claims::{
    a_claim_makes_the_sequence_or_does_not, who_claims_issues_in_its_turn_and_hands_back,
};

/// What the cases may rely on beyond the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// Calls succeed unless they say why not, and are applied once.
    Direct,
    /// Calls were perhaps repeated behind the scenes: blocks may be burnt on the way, and a
    /// hand-back may be given up.
    Retried,
}

/// How often a case makes a call again that has lost a compare-and-swap: one wins each time, so
/// that this is far more than as many as ask at once in any case.
const CONFLICTS_MAX: u32 = 1000;

macro_rules! cases {
    ($($case:ident),* $(,)?) => {
        /// The names of all cases, in the order in which they run.
        pub const CASES: &[&str] = &[$(stringify!($case)),*];

        /// Runs every case on a store of its own, made by `make`, which must be empty.
        ///
        /// # Panics
        /// If a case fails; its name goes to standard error.
        pub async fn run_all<S, F>(nature: Nature, make: impl Fn() -> F)
        where
            S: Store,
            F: Future<Output = S>,
        {
            $({
                let _named = Named(stringify!($case));
                $case(Arc::new(make().await), nature).await;
            })*
        }
    };
}

cases![
    a_new_sequence_starts_at_one_and_is_read_back,
    creating_twice_returns_the_first,
    blocks_rise_and_are_disjoint,
    a_floor_is_respected,
    the_mark_is_the_end_of_the_last_block,
    the_last_block_is_short_and_then_nothing_is_left,
    a_raise_is_a_maximum,
    what_is_handed_back_comes_again,
    only_the_last_holder_can_hand_back,
    a_sequence_that_was_not_made_is_not_found,
    lists_are_in_order_and_in_pages,
    concurrent_reservers_get_disjoint_blocks,
    sequences_do_not_touch_each_other,
    a_dropped_call_happens_once_or_not_at_all,
    an_error_leaves_others_intact,
    the_longest_name_is_kept_whole,
    a_working_store_is_healthy,
    windows_of_a_worker_id_rise_whoever_holds_them,
    a_worker_id_comes_free_when_its_window_has_passed,
    no_window_starts_below_a_raised_mark,
    only_who_leased_last_releases,
    askers_at_once_get_disjoint_windows,
    a_lease_needs_a_sequence,
    a_resize_is_taken_whole_and_remembered,
    who_believes_in_another_generation_reserves_nothing,
    who_claims_issues_in_its_turn_and_hands_back,
    a_claim_makes_the_sequence_or_does_not,
];

/// Says which case was running when it panicked.
struct Named(&'static str);

impl Drop for Named {
    #[expect(clippy::print_stderr, reason = "the panic itself does not name the case")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("conformance case failed: {}", self.0);
        }
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("the names of the cases are good")
}

fn ask(floor: u64, len: u64) -> Reserve {
    Reserve { floor, len, spent: ID_MIN, generation: 0, turn: 0 }
}

/// Makes a sequence from which anybody may reserve, however many servers share the store.
async fn made(store: &impl Store, text: &str) -> Name {
    let name = name(text);
    let definition = Definition { order: Order::Loose, ..Definition::default() };
    ok("create", store.create(&name, definition).await);
    name
}

/// Becomes the owner of a sequence, and returns the turn.
async fn claimed(store: &impl Store, name: &Name) -> u64 {
    match ok("claim", store.claim(name, Claim::of(ServerId(1))).await) {
        Claimed::Mine(_, turn) => turn,
        Claimed::Theirs(server, _) => panic!("nobody else is there, not {server}"),
    }
}

async fn reserved(store: &impl Store, name: &Name, floor: u64, len: u64) -> Block {
    let block = ok("reserve", settled(|| store.reserve(name, ask(floor, len))).await);
    assert!(block.len() <= len, "{block} is longer than asked: {len}");
    assert!(block.start() >= floor, "{block} starts below the floor {floor}");
    block
}

/// What a call comes to that is made again as long as others were faster, as the contract has it.
async fn settled<'a, T>(call: impl Fn() -> Answer<'a, T>) -> Result<T, StoreError> {
    for _ in 0..CONFLICTS_MAX {
        match call().await {
            Err(error) if error.kind == FailureKind::Conflict => tokio::task::yield_now().await,
            settled => return settled,
        }
    }
    call().await
}

async fn record_of(store: &impl Store, name: &Name) -> Record {
    ok("read", store.read(name).await).expect("the sequence was made")
}

fn ok<T>(what: &str, result: Result<T, StoreError>) -> T {
    result.unwrap_or_else(|e| panic!("{what} failed as {:?}: {}", e.kind, e.to_failure()))
}

fn kind_of<T>(what: &str, result: Result<T, StoreError>) -> FailureKind {
    match result {
        Ok(_) => panic!("{what} did not fail"),
        Err(error) => error.kind,
    }
}

fn assert_disjoint(blocks: &mut [Block]) {
    blocks.sort_by_key(|block| block.start());
    for pair in blocks.windows(2) {
        assert!(pair[0].end() <= pair[1].start(), "{} and {} overlap", pair[0], pair[1]);
    }
}

async fn a_new_sequence_starts_at_one_and_is_read_back<S: Store>(store: Arc<S>, _: Nature) {
    let name = name("notes");
    assert_eq!(ok("read", store.read(&name).await), None);
    let definition = Definition { block_len: Some(BlockLen::Fixed(7)), ..Definition::default() };
    let made = ok("create", store.create(&name, definition).await);
    assert_eq!(made, Record::new(definition));
    assert_eq!(record_of(&*store, &name).await, made);
    assert!(store.sizes().sequences <= 1);
}

async fn creating_twice_returns_the_first<S: Store>(store: Arc<S>, _: Nature) {
    let name = name("notes");
    let first = Definition { block_len: Some(BlockLen::Fixed(7)), ..Definition::default() };
    let second = Definition { block_len: Some(BlockLen::Auto), ..Definition::default() };
    ok("create", store.create(&name, first).await);
    let block = reserved(&*store, &name, 1, 10).await;
    let again = ok("create", store.create(&name, second).await);
    assert_eq!(again.definition, first);
    assert!(again.mark >= block.end(), "creating again must not lower the mark");
}

async fn blocks_rise_and_are_disjoint<S: Store>(store: Arc<S>, nature: Nature) {
    let name = made(&*store, "notes").await;
    let mut reached = ID_MIN;
    for len in [1, 7, 1, 1000, 3, 64] {
        let block = reserved(&*store, &name, 1, len).await;
        assert!(block.start() >= reached, "{block} starts below {reached}");
        reached = block.end();
    }
    if nature == Nature::Direct {
        assert!(record_of(&*store, &name).await.mark >= reached);
    }
}

async fn a_floor_is_respected<S: Store>(store: Arc<S>, _: Nature) {
    let name = made(&*store, "notes").await;
    let low = reserved(&*store, &name, 5, 2).await;
    let high = reserved(&*store, &name, 1_000_003, 5).await;
    // A floor below the mark must not take it back.
    let after = reserved(&*store, &name, 3, 5).await;
    assert!(low.end() <= high.start() && high.end() <= after.start());
}

async fn the_mark_is_the_end_of_the_last_block<S: Store>(store: Arc<S>, nature: Nature) {
    let name = made(&*store, "notes").await;
    for len in [10, 1, 99] {
        let block = reserved(&*store, &name, 1, len).await;
        let mark = record_of(&*store, &name).await.mark;
        match nature {
            Nature::Direct => assert_eq!(mark, block.end()),
            Nature::Retried => assert!(mark >= block.end()),
        }
    }
    let asked = Reserve { floor: 1, len: 1, spent: 50, generation: 0, turn: 0 };
    let block = ok("reserve", store.reserve(&name, asked).await);
    let record = record_of(&*store, &name).await;
    assert!(record.spent <= 50.max(block.end()) && record.spent <= record.mark);
}

async fn the_last_block_is_short_and_then_nothing_is_left<S: Store>(store: Arc<S>, nature: Nature) {
    let name = made(&*store, "notes").await;
    ok("raise", store.raise(&name, MARK_MAX - 5).await);
    let mut blocks = Vec::new();
    let last = loop {
        match store.reserve(&name, ask(1, 100)).await {
            Ok(block) => blocks.push(block),
            Err(error) => break error,
        }
    };
    assert_eq!(last.kind, FailureKind::Exhausted);
    assert_disjoint(&mut blocks);
    for block in &blocks {
        assert!(block.start() >= MARK_MAX - 5 && block.last() <= ID_MAX, "{block}");
    }
    if nature == Nature::Direct {
        assert_eq!(blocks.iter().map(|b| b.len()).sum::<u64>(), 5, "{blocks:?}");
    }
    let full = record_of(&*store, &name).await;
    assert_eq!(full.mark, MARK_MAX);
    for asked in [ask(1, 1), ask(u64::MAX, u64::MAX), ask(MARK_MAX, 1)] {
        let failed = kind_of("reserve", store.reserve(&name, asked).await);
        assert_eq!(failed, FailureKind::Exhausted);
    }
    assert_eq!(record_of(&*store, &name).await, full, "a refusal must change nothing");
}

async fn a_raise_is_a_maximum<S: Store>(store: Arc<S>, _: Nature) {
    let name = made(&*store, "notes").await;
    assert_eq!(ok("raise", store.raise(&name, 500).await), 500);
    assert_eq!(ok("raise", store.raise(&name, 20).await), 500);
    assert_eq!(ok("raise", store.raise(&name, 500).await), 500);
    let block = reserved(&*store, &name, 1, 10).await;
    assert!(block.start() >= 500);
    let mark = ok("raise", store.raise(&name, 1).await);
    assert!(mark >= block.end());
    assert_eq!(ok("raise", store.raise(&name, u64::MAX).await), MARK_MAX);
}

async fn what_is_handed_back_comes_again<S: Store>(store: Arc<S>, nature: Nature) {
    let name = made(&*store, "notes").await;
    let block = reserved(&*store, &name, 1, 100).await;
    let unissued = HandBack { start: block.start() + 1, end: block.end(), turn: 0 };
    let taken = ok("hand_back", store.hand_back(&name, unissued).await);
    if nature == Nature::Direct {
        assert!(taken, "the last holder's rest was not taken back");
        let record = record_of(&*store, &name).await;
        assert_eq!((record.mark, record.spent), (unissued.start, unissued.start));
    }
    let next = reserved(&*store, &name, 1, 100).await;
    assert!(next.start() >= unissued.start, "an issued ID came again");
    if nature == Nature::Direct {
        assert_eq!(next.start(), unissued.start);
    }
}

async fn only_the_last_holder_can_hand_back<S: Store>(store: Arc<S>, _: Nature) {
    let name = made(&*store, "notes").await;
    let first = reserved(&*store, &name, 1, 100).await;
    let second = reserved(&*store, &name, 1, 100).await;
    let before = record_of(&*store, &name).await;
    let wrong = [
        HandBack { start: first.start(), end: first.end(), turn: 0 },
        HandBack { start: second.end() + 1, end: second.end(), turn: 0 },
        HandBack { start: 0, end: second.end(), turn: 0 },
        HandBack { start: second.start(), end: before.mark + 1, turn: 0 },
    ];
    for unissued in wrong {
        let taken = ok("hand_back", store.hand_back(&name, unissued).await);
        assert!(!taken, "{unissued:?} was taken back");
    }
    assert_eq!(record_of(&*store, &name).await, before);
}

async fn a_sequence_that_was_not_made_is_not_found<S: Store>(store: Arc<S>, nature: Nature) {
    made(&*store, "notes").await;
    let name = name("tasks");
    let reserve = kind_of("reserve", store.reserve(&name, ask(1, 1)).await);
    let raise = kind_of("raise", store.raise(&name, 5).await);
    assert_eq!([reserve, raise], [FailureKind::NotFound; 2]);
    let hand_back = store.hand_back(&name, HandBack { start: 1, end: 1, turn: 0 }).await;
    if nature == Nature::Direct {
        assert_eq!(kind_of("hand_back", hand_back), FailureKind::NotFound);
    }
    assert_eq!(ok("read", store.read(&name).await), None, "asking must not make it");
}

async fn lists_are_in_order_and_in_pages<S: Store>(store: Arc<S>, _: Nature) {
    assert_eq!(ok("list", store.list(None, 10).await), Vec::new());
    // In byte order capitals come before small letters, and '-' before '.' before '/'.
    let in_order = ["0", "Z", "a", "a-b", "a.b", "a/b", "a:b", "aa", "b", "z"];
    for text in ["z", "a:b", "0", "a.b", "b", "aa", "Z", "a/b", "a", "a-b"] {
        made(&*store, text).await;
    }
    let names = |page: Vec<(Name, Record)>| -> Vec<String> {
        page.into_iter().map(|(name, _)| name.to_string()).collect()
    };
    assert_eq!(names(ok("list", store.list(None, 100).await)), in_order);
    let mut after = None;
    let mut all = Vec::new();
    loop {
        let page = ok("list", store.list(after.as_ref(), 3).await);
        assert!(page.len() <= 3);
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        all.extend(names(page));
    }
    assert_eq!(all, in_order);
    // A name that does not exist is a place in the order like any other.
    let between = name("a-a");
    assert_eq!(names(ok("list", store.list(Some(&between), 2).await)), ["a-b", "a.b"]);
    assert_eq!(ok("list", store.list(None, 0).await), Vec::new());
}

async fn concurrent_reservers_get_disjoint_blocks<S: Store>(store: Arc<S>, _: Nature) {
    let name = made(&*store, "notes").await;
    let tasks: Vec<_> = (0..16_u64)
        .map(|task| {
            let (store, name) = (Arc::clone(&store), name.clone());
            tokio::spawn(async move {
                let mut blocks = Vec::new();
                for round in 0..8 {
                    let block = reserved(&*store, &name, 1, 1 + (task * 7 + round) % 13).await;
                    let before = blocks.last().map_or(0, |b: &Block| b.end());
                    assert!(block.start() >= before, "one reserver's blocks must rise");
                    blocks.push(block);
                }
                blocks
            })
        })
        .collect();
    let mut blocks = Vec::new();
    for task in tasks {
        blocks.extend(task.await.expect("the reserver ends well"));
    }
    assert_eq!(blocks.len(), 128);
    assert_disjoint(&mut blocks);
}

async fn sequences_do_not_touch_each_other<S: Store>(store: Arc<S>, nature: Nature) {
    let (a, b) = (made(&*store, "a").await, made(&*store, "b").await);
    ok("raise", store.raise(&a, 1_000_000).await);
    let block = reserved(&*store, &b, 1, 5).await;
    assert!(block.end() < 1_000_000, "{block} of one sequence follows another's mark");
    if nature == Nature::Direct {
        assert_eq!(record_of(&*store, &a).await.mark, 1_000_000);
    }
}

async fn a_dropped_call_happens_once_or_not_at_all<S: Store>(store: Arc<S>, nature: Nature) {
    const LEN: u64 = 10;
    const ROUNDS: u64 = 40;
    let name = made(&*store, "notes").await;
    for round in 0..ROUNDS {
        let call = store.reserve(&name, ask(1, LEN));
        if round % 2 == 0 {
            drop(call);
        } else {
            // Polled, and perhaps dropped before the answer.
            drop(tokio::time::timeout(std::time::Duration::from_micros(50), call).await);
        }
    }
    let block = reserved(&*store, &name, 1, LEN).await;
    let mark = record_of(&*store, &name).await.mark;
    assert!(mark >= block.end());
    if nature == Nature::Direct {
        assert!(mark <= ID_MIN + LEN * (ROUNDS + 1), "a dropped call happened twice");
    }
}

async fn an_error_leaves_others_intact<S: Store>(store: Arc<S>, _: Nature) {
    let (full, good) = (made(&*store, "full").await, made(&*store, "good").await);
    ok("raise", store.raise(&full, MARK_MAX).await);
    let missing = name("missing");
    let mut blocks = Vec::new();
    for _ in 0..10 {
        // Asked at the same time, so that a store which groups calls has them in one group.
        let (exhausted, block, not_found, another) = tokio::join!(
            store.reserve(&full, ask(1, 1)),
            store.reserve(&good, ask(1, 3)),
            store.reserve(&missing, ask(1, 1)),
            store.reserve(&good, ask(1, 4)),
        );
        assert_eq!(kind_of("reserve", exhausted), FailureKind::Exhausted);
        assert_eq!(kind_of("reserve", not_found), FailureKind::NotFound);
        blocks.extend([ok("reserve", block), ok("reserve", another)]);
    }
    assert_disjoint(&mut blocks);
}

async fn the_longest_name_is_kept_whole<S: Store>(store: Arc<S>, _: Nature) {
    let long = "Az9_.:-/".repeat(NAME_LEN_MAX / 8);
    let almost = &long[..NAME_LEN_MAX - 1];
    let (long, almost) = (made(&*store, &long).await, made(&*store, almost).await);
    ok("raise", store.raise(&long, 77).await);
    assert!(record_of(&*store, &long).await.mark >= 77);
    assert_eq!(record_of(&*store, &almost).await.mark, ID_MIN);
    let listed = ok("list", store.list(Some(&almost), 5).await);
    assert_eq!(listed.first().map(|(name, _)| name), Some(&long));
}

async fn a_working_store_is_healthy<S: Store>(store: Arc<S>, _: Nature) {
    ok("health", store.health());
    made(&*store, "notes").await;
    ok("health", store.health());
}

fn wish(holder: u64, floor: u64) -> LeaseAsk {
    LeaseAsk { holder, preferred: None, floor, len: 7, workers: 4, ticks: 1 << 40 }
}

fn snowflake() -> Definition {
    let layout = "time:40,worker:2,counter:3@0/1ms".parse().expect("it is a layout");
    let counter_start = CounterStart::Zero;
    Definition::of(Kind::Snowflake(Snowflake { layout, counter_start }))
}

async fn leased<S: Store>(store: &S, ask: LeaseAsk) -> Leased {
    let leased = store.lease(&name("e"), ask).await.expect("it is leased");
    let leased = leased.expect("a worker ID is free");
    assert!(leased.window.start() >= ask.floor && u64::from(leased.worker) < ask.workers);
    assert!(leased.window.end() - leased.window.start() <= ask.len);
    leased
}

async fn windows_of_a_worker_id_rise_whoever_holds_them<S: Store>(store: Arc<S>, _: Nature) {
    store.create(&name("e"), snowflake()).await.expect("it is made");
    let mut end = 0;
    for (holder, floor) in [(1, 3), (1, 3), (2, 1000), (1, 2000), (1, 5)] {
        let one = LeaseAsk { workers: 1, ..wish(holder, floor) };
        let leased = leased(&*store, one).await;
        assert!(leased.window.start() >= end, "{leased:?} starts below {end}");
        end = leased.window.end();
    }
    let seen = store.leases(&name("e"), 0).await.expect("they are read");
    assert_eq!((seen.taken, seen.latest), (1, end));
}

async fn a_worker_id_comes_free_when_its_window_has_passed<S: Store>(
    store: Arc<S>,
    nature: Nature,
) {
    store.create(&name("e"), snowflake()).await.expect("it is made");
    let mut workers = Vec::new();
    for holder in 1..=4 {
        workers.push(leased(&*store, wish(holder, 10)).await.worker);
    }
    workers.sort_unstable();
    assert_eq!(workers, [0, 1, 2, 3], "each holder has a worker ID of its own");
    let refused = store.lease(&name("e"), wish(5, 10)).await.expect("it is answered");
    let Err(NoLease::AllTaken { free_at }) = refused else {
        panic!("all are taken, and yet: {refused:?}");
    };
    assert!(free_at > 10 && (nature == Nature::Retried || free_at == 17));
    let latest = store.leases(&name("e"), 10).await.expect("they are read").latest;
    leased(&*store, wish(5, latest)).await;
}

async fn no_window_starts_below_a_raised_mark<S: Store>(store: Arc<S>, _: Nature) {
    store.create(&name("e"), snowflake()).await.expect("it is made");
    store.raise(&name("e"), 500).await.expect("it is raised");
    assert!(leased(&*store, wish(1, 10)).await.window.start() >= 500);
}

async fn only_who_leased_last_releases<S: Store>(store: Arc<S>, nature: Nature) {
    store.create(&name("e"), snowflake()).await.expect("it is made");
    let mine = leased(&*store, wish(1, 10)).await;
    let (worker, end) = (mine.worker, mine.window.end());
    let back = Release { worker, holder: 1, from: end - 3, end };
    for wrong in [Release { holder: 2, ..back }, Release { end: end + 1, ..back }] {
        assert!(!store.release(&name("e"), wrong).await.expect("it is answered"), "{wrong:?}");
    }
    let released = store.release(&name("e"), back).await.expect("it is answered");
    assert!(released || nature == Nature::Retried);
    let next = leased(&*store, LeaseAsk { preferred: Some(worker), ..wish(2, end - 3) }).await;
    assert!(next.worker != worker || next.window.start() >= end - 3);
}

async fn askers_at_once_get_disjoint_windows<S: Store>(store: Arc<S>, _: Nature) {
    store.create(&name("e"), snowflake()).await.expect("it is made");
    let asking: Vec<_> = (0..32)
        .map(|n| {
            let store = Arc::clone(&store);
            // Three holders, so that some ask twice at once and some take over.
            let asked = LeaseAsk { workers: 2, ..wish(n % 3, 1 + n * 5) };
            tokio::spawn(async move { settled(|| store.lease(&name("e"), asked)).await })
        })
        .collect();
    let mut ticks = std::collections::HashSet::new();
    for asked in asking {
        let answer = asked.await.expect("no case panics here").expect("it is answered");
        let Ok(Leased { worker, window }) = answer else { continue };
        for tick in window.start()..window.end() {
            assert!(ticks.insert((worker, tick)), "tick {tick} of worker {worker} comes twice");
        }
    }
    assert!(!ticks.is_empty());
}

async fn a_lease_needs_a_sequence<S: Store>(store: Arc<S>, _: Nature) {
    let none = store.lease(&name("e"), wish(1, 1)).await.map(drop);
    assert_eq!(none.map_err(|error| error.kind), Err(FailureKind::NotFound));
    let none = store.leases(&name("e"), 1).await.map(drop);
    assert_eq!(none.map_err(|error| error.kind), Err(FailureKind::NotFound));
}

/// Two members become three; this is the first.
fn stride_steps() -> [Step; 2] {
    let plan = PlanId { attempt: 1, digest: 7 };
    let seat = Seat::new(3, 1).ok();
    let accepted = Accepted { plan, generation: 1, seat, cap: 100 };
    [Step::Accept { accepted, joins: false }, Step::Open { plan, floor: 200 }]
}

async fn stride<S: Store>(store: &S) -> u64 {
    let seat = Seat::new(2, 1).expect("there is such a seat");
    let definition = Definition::of(Kind::Stride(seat));
    store.create(&name("s"), definition).await.expect("it is made");
    claimed(store, &name("s")).await
}

async fn a_resize_is_taken_whole_and_remembered<S: Store>(store: Arc<S>, _: Nature) {
    stride(&*store).await;
    for step in stride_steps() {
        for _ in 0..2 {
            let taken = store.resize(&name("s"), step).await.expect("it is answered");
            let taken = taken.expect("the step is taken, and taken again");
            let read = store.read(&name("s")).await.expect("it is read");
            assert_eq!(read, Some(taken));
        }
    }
    let record = store.read(&name("s")).await.expect("it is read").expect("it is there");
    assert_eq!((record.generation(), record.id_of(record.mark)), (2, 202));
    let none = store.resize(&name("other"), stride_steps()[1]).await.expect("it is answered");
    assert_eq!(none, Err(NotTaken::Missing));
    assert_eq!(store.read(&name("other")).await.expect("it is read"), None);
}

async fn who_believes_in_another_generation_reserves_nothing<S: Store>(store: Arc<S>, _: Nature) {
    let turn = stride(&*store).await;
    let asked = |generation| Reserve { generation, turn, ..ask(1, 10) };
    let block = store.reserve(&name("s"), asked(1)).await.expect("there are IDs");
    for step in stride_steps() {
        let taken = store.resize(&name("s"), step).await.expect("it is answered");
        assert!(taken.is_ok());
    }
    let fenced = store.reserve(&name("s"), asked(1)).await;
    assert_eq!(kind_of("reserve", fenced), FailureKind::Fenced);
    let stale = HandBack { start: block.start(), end: block.end(), turn };
    assert!(!ok("hand_back", store.hand_back(&name("s"), stale).await));
    let next = store.reserve(&name("s"), asked(2)).await.expect("there are IDs");
    assert!(next.start() >= block.end());
}
