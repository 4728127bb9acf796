//! Every kind of sequence through the service: what is issued, in which order, across restarts,
//! and with a clock that lies.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ticketd_core::block::Block;
use ticketd_core::count::Count;
use ticketd_core::definition::{BlockLen, Definition, Kind, KindName, Order};
use ticketd_core::failure::FailureKind;
use ticketd_core::ids::{Id, Ids};
use ticketd_core::limits::ID_MAX;
use ticketd_core::name::Name;
use ticketd_core::record::{HandBack, Record, Reserve};
use ticketd_core::snowflake::layout::Layout;
use ticketd_core::snowflake::lease::{LeaseAsk, Leased, Leases, NoLease, Release};
use ticketd_core::snowflake::{CounterStart, Snowflake, preset};
use ticketd_core::stride::Seat;
use ticketd_core::stride::resize::{NotTaken, Step};
use ticketd_server::clock::Clock;
use ticketd_server::error::ErrorKind;
use ticketd_server::service::{Raised, Service, ServiceSettings};
use ticketd_server::snowflake::SnowflakeSettings;
use ticketd_store::{Answer, Memory, Sizes, Store, StoreError};

/// What is wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Outage {
    #[default]
    None,
    Fails,
    AppliesAndFails,
    Hangs,
}

/// A store whose leases fail for as long as is asked for.
#[derive(Debug, Default)]
struct Away {
    memory: Memory,
    outage: Mutex<Outage>,
}

impl Away {
    fn set(&self, outage: Outage) {
        *self.outage.lock().unwrap() = outage;
    }
}

impl Store for Away {
    fn read(&self, name: &Name) -> Answer<'_, Option<Record>> {
        self.memory.read(name)
    }

    fn create(&self, name: &Name, definition: Definition) -> Answer<'_, Record> {
        self.memory.create(name, definition)
    }

    fn list(&self, after: Option<&Name>, limit: usize) -> Answer<'_, Vec<(Name, Record)>> {
        self.memory.list(after, limit)
    }

    fn reserve(&self, name: &Name, asked: Reserve) -> Answer<'_, Block> {
        self.memory.reserve(name, asked)
    }

    fn raise(&self, name: &Name, floor: u64) -> Answer<'_, u64> {
        self.memory.raise(name, floor)
    }

    fn hand_back(&self, name: &Name, unissued: HandBack) -> Answer<'_, bool> {
        self.memory.hand_back(name, unissued)
    }

    fn lease(&self, name: &Name, ask: LeaseAsk) -> Answer<'_, Result<Leased, NoLease>> {
        let outage = *self.outage.lock().unwrap();
        let failed = |kind| Box::pin(std::future::ready(Err(StoreError::new(kind, "away"))));
        match outage {
            Outage::None => self.memory.lease(name, ask),
            Outage::Fails => failed(FailureKind::Unavailable),
            Outage::AppliesAndFails => {
                drop(self.memory.lease(name, ask));
                failed(FailureKind::Indeterminate)
            }
            // As long as a store that has lost its network, and then it says so.
            Outage::Hangs => Box::pin(async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Err(StoreError::new(FailureKind::Indeterminate, "away"))
            }),
        }
    }

    fn release(&self, name: &Name, unspent: Release) -> Answer<'_, bool> {
        self.memory.release(name, unspent)
    }

    fn leases(&self, name: &Name, tick: u64) -> Answer<'_, Leases> {
        self.memory.leases(name, tick)
    }

    fn resize(&self, name: &Name, step: Step) -> Answer<'_, Result<Record, NotTaken>> {
        self.memory.resize(name, step)
    }

    fn sizes(&self) -> Sizes {
        self.memory.sizes()
    }

    fn health(&self) -> Result<(), StoreError> {
        self.memory.health()
    }
}

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

fn name() -> Name {
    Name::new("e").unwrap()
}

fn of_kind(kind: Kind) -> Definition {
    Definition::of(kind)
}

fn snowflake(layout: &str) -> Definition {
    let layout = layout.parse().unwrap();
    of_kind(Kind::Snowflake(Snowflake { layout, counter_start: CounterStart::Zero }))
}

fn count(n: u64) -> Count {
    Count::new(n).unwrap()
}

/// A clock that is wrong by as much as the returned number says.
fn skewed() -> (Clock, &'static AtomicI64) {
    let skew = Box::leak(Box::new(AtomicI64::new(0)));
    (Clock::start_skewed(skew), skew)
}

fn service(store: &Arc<Memory>, settings: ServiceSettings, clock: Clock) -> Arc<Service> {
    Service::new(Arc::clone(store) as Arc<dyn Store>, settings, clock)
}

async fn integers(service: &Arc<Service>, n: u64) -> Vec<u64> {
    let issued = service.next(&name(), count(n)).await.unwrap();
    assert_eq!(issued.ids.count(), n);
    issued.ids.integers().collect()
}

async fn stop(service: &Service) {
    assert!(service.stop(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn members_of_a_stride_issue_what_no_other_does_and_go_on_after_a_restart() {
    let mut all = HashSet::new();
    for offset in 1..=3 {
        let store = Arc::new(Memory::new());
        let definition = Definition {
            kind: Kind::Stride(Seat::new(3, offset).unwrap()),
            block_len: Some(BlockLen::Fixed(10)),
            order: Order::Strict,
        };
        let mut last = 0;
        for life in 0..3 {
            let service = service(&store, ServiceSettings::default(), Clock::start());
            let created = service.create(&name(), definition, false).await.unwrap();
            assert_eq!(created.is_new, life == 0);
            for n in [1, 7, 25] {
                for id in integers(&service, n).await {
                    assert!(id > last && id % 3 == u64::from(offset % 3) && all.insert(id));
                    last = id;
                }
            }
            let info = service.show(&name()).await.unwrap();
            assert_eq!(info.last, Some(Id::Integer(last)));
            // A clean stop leaves no gap.
            stop(&service).await;
        }
        assert_eq!(last, u64::from(offset) + 98 * 3);
    }
    assert_eq!((all.len(), all.iter().max()), (3 * 99, Some(&(3 * 99))));
}

#[tokio::test]
async fn a_stride_is_raised_to_its_next_id_and_never_back() {
    let store = Arc::new(Memory::new());
    let service = service(&store, ServiceSettings::default(), Clock::start());
    let seat = Seat::new(5, 2).unwrap();
    service.create(&name(), of_kind(Kind::Stride(seat)), false).await.unwrap();
    service.raise(&name(), 1000).await.unwrap();
    assert_eq!(integers(&service, 2).await, [1002, 1007]);
    let refused = service.raise(&name(), 1000).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert!(refused.message.contains("1012"), "{}", refused.message);
}

#[tokio::test]
async fn a_stride_ends_with_the_last_id_of_its_member() {
    let store = Arc::new(Memory::new());
    let service = service(&store, ServiceSettings::default(), Clock::start());
    let seat = Seat::new(3, 2).unwrap();
    service.create(&name(), of_kind(Kind::Stride(seat)), false).await.unwrap();
    let next = service.raise(&name(), ID_MAX - 7).await.unwrap();
    assert_eq!(next, Raised { kind: KindName::Stride, next: Some(ID_MAX - 5) });
    let refused = service.next(&name(), count(3)).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Exhausted);
    assert!(refused.message.ends_with("IDs left: 2"), "{}", refused.message);
    assert_eq!(integers(&service, 2).await, [ID_MAX - 5, ID_MAX - 2]);
    for _ in 0..2 {
        let refused = service.next(&name(), Count::ONE).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Exhausted);
        let info = service.show(&name()).await.unwrap();
        assert_eq!((info.last, info.left()), (Some(Id::Integer(ID_MAX - 2)), Some(0)));
    }
    assert_eq!(service.raise(&name(), ID_MAX).await.unwrap().next, None);
}

#[tokio::test]
async fn a_second_definition_is_refused_with_the_difference() {
    let store = Arc::new(Memory::new());
    let service = service(&store, ServiceSettings::default(), Clock::start());
    let stride = |offset| of_kind(Kind::Stride(Seat::new(3, offset).unwrap()));
    service.create(&name(), stride(1), false).await.unwrap();
    let refused = service.create(&name(), stride(2), false).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert_eq!(refused.message, "e exists with offset 1, not 2");
}

#[tokio::test]
async fn wide_ids_of_a_request_differ_and_rise_as_their_kind_says() {
    for kind in [Kind::Uuid4, Kind::Uuid7, Kind::Ulid] {
        let store = Arc::new(Memory::new());
        let service = service(&store, ServiceSettings::default(), Clock::start());
        service.create(&name(), of_kind(kind), false).await.unwrap();
        let mut all = Vec::new();
        for n in [1, 5000, 20_000] {
            let issued = service.next(&name(), count(n)).await.unwrap();
            assert_eq!(issued.kind, kind.name());
            let Ids::Wide(ids) = issued.ids else { panic!("{kind:?} is wide") };
            all.extend(ids);
        }
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 25_001);
        assert!(all.is_sorted() || kind == Kind::Uuid4, "{kind:?}");
        assert_eq!(service.show(&name()).await.unwrap().issued, 25_001);
        let refused = service.raise(&name(), 7).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn snowflakes_carry_the_time_and_their_worker_and_rise() {
    let store = Arc::new(Memory::new());
    let clock = Clock::start();
    let service = service(&store, ServiceSettings::default(), clock);
    service.create(&name(), snowflake("twitter"), false).await.unwrap();
    let layout = preset::find("twitter").unwrap();
    let mut last = 0;
    // More than a tick holds, and more than the clock lets it run ahead at once.
    for n in [1, 3, 5000, 300_000] {
        let before = clock.wall();
        for id in integers(&service, n).await {
            assert!(id > last);
            last = id;
            let time = layout.time_of(layout.decompose(id).unwrap().tick);
            assert!(time.plus(1) > before && time.since(clock.wall()) <= 1000);
        }
    }
    let info = service.show(&name()).await.unwrap();
    let seen = info.snowflake.unwrap();
    assert_eq!((info.issued, seen.workers, seen.workers_left), (305_004, vec![0], 1023));
}

#[tokio::test]
async fn several_workers_on_one_server_and_several_servers_never_meet() {
    let store = Arc::new(Memory::new());
    let snowflake_settings = SnowflakeSettings { workers: 2, ..SnowflakeSettings::default() };
    let settings = ServiceSettings { snowflake: snowflake_settings, ..Default::default() };
    let mut all = HashSet::new();
    let mut workers = HashSet::new();
    let layout: Layout = "time:40,worker:3,counter:2@1704067200000/1ms".parse().unwrap();
    for _ in 0..3 {
        // Not stopped: as after a crash, their windows stay leased.
        let service = service(&store, settings, Clock::start());
        service.create(&name(), snowflake(&layout.to_string()), false).await.unwrap();
        for id in integers(&service, 6000).await {
            assert!(all.insert(id));
            workers.insert(layout.decompose(id).unwrap().worker);
        }
    }
    assert_eq!(workers, HashSet::from([0, 1, 2, 3, 4, 5]));
}

#[tokio::test]
async fn a_preferred_worker_id_is_had_if_it_is_free() {
    let store = Arc::new(Memory::new());
    let preferring = |worker_id| {
        let snowflake = SnowflakeSettings { worker_id: Some(worker_id), ..Default::default() };
        let settings = ServiceSettings { snowflake, ..Default::default() };
        service(&store, settings, Clock::start())
    };
    let layout = preset::find("default").unwrap();
    let mut had = Vec::new();
    // The last one is beyond those that there are.
    for (at, service) in [700, 700, 1024].map(preferring).iter().enumerate() {
        if at == 0 {
            service.create(&name(), snowflake("default"), false).await.unwrap();
        }
        had.push(layout.decompose(integers(service, 1).await[0]).unwrap().worker);
    }
    assert_eq!(had[0], 700);
    assert!(had[1] < 1024 && had[1] != 700 && had[2] != had[1] && had[2] != 700, "{had:?}");
}

#[tokio::test]
async fn how_far_ids_may_be_ahead_of_the_clock_is_chosen() {
    for (ahead_ms, may_have) in [(0, 1), (50, 51)] {
        let store = Arc::new(Memory::new());
        let ahead_max = Duration::from_millis(ahead_ms);
        let snowflake_settings = SnowflakeSettings { ahead_max, ..Default::default() };
        let settings = ServiceSettings { snowflake: snowflake_settings, ..Default::default() };
        let clock = Clock::start();
        let service = service(&store, settings, clock);
        service
            .create(&name(), snowflake("time:41,counter:4@1704067200000/1ms"), false)
            .await
            .unwrap();
        let layout: Layout = "time:41,counter:4@1704067200000/1ms".parse().unwrap();
        // As many as two hundred ticks hold, sixteen each.
        for _ in 0..200 {
            for id in integers(&service, 16).await {
                let time = layout.time_of(layout.decompose(id).unwrap().tick);
                assert!(time.since(clock.wall()) < may_have, "{ahead_ms}: {time:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_clock_that_goes_back_costs_time_and_no_duplicate() {
    let store = Arc::new(Memory::new());
    let (clock, skew) = skewed();
    let settings =
        ServiceSettings { request_timeout: Duration::from_millis(300), ..Default::default() };
    let layout = "time:41,counter:12@1704067200000/1ms";
    let mut all = HashSet::new();
    let first = service(&store, settings, clock);
    first.create(&name(), snowflake(layout), false).await.unwrap();
    all.extend(integers(&first, 100).await);
    // A little back: it goes on from where it was.
    skew.store(-500, Ordering::Relaxed);
    all.extend(integers(&first, 100).await);
    // Far back: an error that says when to come again.
    skew.store(-HOUR_MS, Ordering::Relaxed);
    let refused = first.next(&name(), Count::ONE).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unavailable);
    assert!(refused.message.contains("try again in 35"), "{}", refused.message);
    stop(&first).await;
    // The same across a restart.
    let second = service(&store, settings, clock);
    let refused = second.next(&name(), Count::ONE).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unavailable);
    skew.store(0, Ordering::Relaxed);
    all.extend(integers(&second, 100).await);
    assert_eq!(all.len(), 300);
}

#[tokio::test]
async fn a_clock_set_to_1970_or_far_ahead_is_refused_until_an_operator_says_so() {
    let store = Arc::new(Memory::new());
    let (clock, skew) = skewed();
    let month = Duration::from_secs(30 * 24 * 3600);
    let chosen = SnowflakeSettings { clock_jump_max: month, ..SnowflakeSettings::default() };
    let settings = ServiceSettings { snowflake: chosen, ..Default::default() };
    let service = service(&store, settings, clock);
    service.create(&name(), snowflake("default"), false).await.unwrap();
    let before = integers(&service, 1).await[0];
    let now = clock.wall().0 as i64;
    skew.store(-now, Ordering::Relaxed);
    let refused = service.next(&name(), Count::ONE).await.unwrap_err();
    assert!(refused.message.contains("before the epoch"), "{}", refused.message);
    skew.store(40 * DAY_MS, Ordering::Relaxed);
    let refused = service.next(&name(), Count::ONE).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unavailable);
    let (_, to) = refused.message.split_once("--to ").expect("it names the way out");
    // What would stop the sequence for years is refused.
    let far = service.raise(&name(), (1 << 62) + before).await.unwrap_err();
    assert_eq!(far.kind, ErrorKind::Conflict);
    service.raise(&name(), to.parse().unwrap()).await.unwrap();
    let after = integers(&service, 1).await[0];
    assert!(after > to.parse().unwrap());
    // The clock is set right: nothing for 40 days, and nothing twice.
    skew.store(0, Ordering::Relaxed);
    let refused = service.next(&name(), Count::ONE).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_clock_set_to_2100_is_not_believed_by_a_sequence_that_was_only_just_made() {
    let store = Arc::new(Memory::new());
    let (clock, skew) = skewed();
    let service = service(&store, ServiceSettings::default(), clock);
    service.create(&name(), snowflake("default"), false).await.unwrap();
    let now = clock.wall().0 as i64;
    // 2090 has an ID of its own in this layout; 2100 has none.
    for (then, told) in [(3_786_912_000_000, "--to "), (4_102_444_800_000, "beyond the time")] {
        skew.store(then - now, Ordering::Relaxed);
        let refused = service.next(&name(), Count::ONE).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Unavailable);
        assert!(refused.message.contains(told), "{}", refused.message);
    }
    skew.store(0, Ordering::Relaxed);
    let id = integers(&service, 1).await[0];
    let layout = preset::find("default").unwrap();
    assert!(layout.time_of(layout.decompose(id).unwrap().tick).since(clock.wall()) <= 1000);
}

#[tokio::test]
async fn a_window_that_runs_out_while_the_store_is_away_is_the_last_until_it_is_back() {
    let store = Arc::new(Away::default());
    let settings =
        ServiceSettings { request_timeout: Duration::from_millis(200), ..Default::default() };
    let service = Service::new(Arc::clone(&store) as Arc<dyn Store>, settings, Clock::start());
    service.create(&name(), snowflake("time:41,counter:4@1704067200000/1ms"), false).await.unwrap();
    let mut all: HashSet<u64> = integers(&service, 10).await.into_iter().collect();
    for how in [Outage::Fails, Outage::AppliesAndFails, Outage::Hangs] {
        store.set(how);
        let failed = loop {
            match service.next(&name(), count(100)).await {
                Ok(issued) => issued.ids.integers().for_each(|id| assert!(all.insert(id))),
                Err(error) => break error,
            }
        };
        assert_eq!(failed.kind, ErrorKind::Unavailable, "{how:?}");
        store.set(Outage::None);
        let back = async {
            loop {
                match service.next(&name(), count(100)).await {
                    Ok(issued) => break issued,
                    Err(error) => assert_eq!(error.kind, ErrorKind::Unavailable),
                }
            }
        };
        let issued = tokio::time::timeout(Duration::from_secs(20), back).await.unwrap();
        issued.ids.integers().for_each(|id| assert!(all.insert(id), "{how:?}: {id} comes twice"));
    }
}

#[tokio::test]
async fn a_sequence_is_not_made_by_a_clock_that_is_decades_ahead_unless_the_user_insists() {
    let store = Arc::new(Memory::new());
    let (clock, skew) = skewed();
    let service = service(&store, ServiceSettings::default(), clock);
    // 2070-01-01; the layout has time until 2093.
    skew.store(3_155_760_000_000 - clock.wall().0 as i64, Ordering::Relaxed);
    let refused = service.create(&name(), snowflake("default"), false).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid);
    assert!(refused.message.contains("the clock says 2070-01-01T00:00:0"), "{}", refused.message);
    assert!(service.show(&name()).await.is_err());
    service.create(&name(), snowflake("default"), true).await.unwrap();
    // To a sequence that is there nothing is said about it.
    service.create(&name(), snowflake("default"), false).await.unwrap();
    integers(&service, 1).await;
}

#[tokio::test]
async fn what_a_snowflake_has_left_is_forecast() {
    let store = Arc::new(Memory::new());
    let clock = Clock::start();
    let services: Vec<_> =
        (0..3).map(|_| service(&store, ServiceSettings::default(), clock)).collect();
    // 38 bits of milliseconds are 8.7 years.
    let epoch = clock.wall().0 - (1 << 37);
    let layout = format!("time:38,worker:2,counter:3@{epoch}/1ms");
    services[0].create(&name(), snowflake(&layout), true).await.unwrap();
    for opened in [false, true] {
        if opened {
            integers(&services[0], 1).await;
        }
        let info = services[0].show(&name()).await.unwrap();
        let time = info.time.unwrap();
        let (half, lasts) = (1 << 37, info.lasts.unwrap().as_millis() as u64);
        assert!((half - 60_000..=half).contains(&time.ticks), "{time:?}");
        assert_eq!((info.left(), lasts), (Some(time.ticks << 5), time.ticks));
        assert_eq!(time.runs_out.0, epoch + (1 << 38));
    }
    let seen = services[0].show(&name()).await.unwrap().snowflake.unwrap();
    assert_eq!((seen.workers_left, seen.workers_last), (3, None), "none is taken just now");
    // Others take worker IDs, which this one notices when it leases next.
    for other in &services[1..] {
        integers(other, 1).await;
    }
    let forecast = async {
        loop {
            integers(&services[0], 1).await;
            integers(&services[1], 1).await;
            integers(&services[2], 1).await;
            let seen = services[0].show(&name()).await.unwrap().snowflake.unwrap();
            if let Some(lasts) = seen.workers_last {
                break (seen.workers_left, lasts);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (left, lasts) = tokio::time::timeout(Duration::from_secs(30), forecast).await.unwrap();
    // Two in a few seconds: the one that is left lasts as long at least, and not for ever.
    assert!(left == 1 && lasts < Duration::from_secs(3600), "{left} {lasts:?}");
}

#[tokio::test]
async fn the_last_id_of_every_kind_is_shown() {
    let stride = Kind::Stride(Seat::new(3, 2).unwrap());
    let Kind::Snowflake(chosen) = snowflake("default").kind else { panic!("it is one") };
    let kinds =
        [Kind::Ticket, stride, Kind::Snowflake(chosen), Kind::Uuid4, Kind::Uuid7, Kind::Ulid];
    for kind in kinds {
        let store = Arc::new(Memory::new());
        let service = service(&store, ServiceSettings::default(), Clock::start());
        service.create(&name(), of_kind(kind), false).await.unwrap();
        assert_eq!(service.show(&name()).await.unwrap().last, None);
        for n in [1, 5, 5000] {
            let issued = service.next(&name(), count(n)).await.unwrap();
            let last = issued.ids.iter(kind.name()).last();
            assert_eq!(service.show(&name()).await.unwrap().last, last, "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_snowflake_is_raised_and_never_lowered() {
    let store = Arc::new(Memory::new());
    let service = service(&store, ServiceSettings::default(), Clock::start());
    service.create(&name(), snowflake("default"), false).await.unwrap();
    let last = integers(&service, 3).await[2];
    let raised = service.raise(&name(), last).await.unwrap();
    assert_eq!(raised.kind, KindName::Snowflake);
    assert!(integers(&service, 1).await[0] >= raised.next.unwrap());
    let refused = service.raise(&name(), last).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert!(refused.message.contains("only moves forward"), "{}", refused.message);
}

#[tokio::test]
async fn layouts_that_do_not_last_are_refused() {
    let store = Arc::new(Memory::new());
    let service = service(&store, ServiceSettings::default(), Clock::start());
    let epoch = service.clock().wall().0 - 1000;
    let create = async |layout: String, insists| {
        let created = service.create(&name(), snowflake(&layout), insists).await;
        created.map(|_| ()).map_err(|error| (error.kind, error.message))
    };
    for (layout, insists, told) in [
        ("baidu".to_owned(), true, "has run out"),
        (format!("time:41@{}/1ms", epoch + 1_000_000), true, "in the future"),
        (format!("time:36,worker:5@{epoch}/1ms"), false, "runs out in 2.2 years"),
    ] {
        let (kind, message) = create(layout, insists).await.unwrap_err();
        assert!(kind == ErrorKind::Invalid && message.contains(told), "{message}");
    }
    create(format!("time:36,worker:5@{epoch}/1ms"), true).await.unwrap();
}

#[tokio::test]
async fn when_all_worker_ids_are_taken_the_next_asker_is_told_when_one_comes_free() {
    let store = Arc::new(Memory::new());
    let settings =
        ServiceSettings { request_timeout: Duration::from_millis(100), ..Default::default() };
    let layout = "time:41,worker:1,counter:4@1704067200000/1ms";
    let services: Vec<_> = (0..3).map(|_| service(&store, settings, Clock::start())).collect();
    services[0].create(&name(), snowflake(layout), false).await.unwrap();
    let one = integers(&services[0], 1).await[0];
    let two = integers(&services[1], 1).await[0];
    let refused = services[2].next(&name(), Count::ONE).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unavailable);
    assert!(refused.message.contains("all 2 worker IDs are taken"), "{}", refused.message);
    // A clean stop makes one free at once.
    stop(&services[0]).await;
    let three = integers(&services[2], 1).await[0];
    assert_eq!(HashSet::from([one, two, three]).len(), 3);
}

#[tokio::test]
async fn a_kind_is_remembered_by_name() {
    assert_eq!(KindName::parse("snowflake"), Some(KindName::Snowflake));
    let store = Arc::new(Memory::new());
    let first = service(&store, ServiceSettings::default(), Clock::start());
    first.create(&name(), snowflake("js53"), false).await.unwrap();
    stop(&first).await;
    let second = service(&store, ServiceSettings::default(), Clock::start());
    assert!(integers(&second, 100).await.iter().all(|id| *id < 1 << 53));
}
