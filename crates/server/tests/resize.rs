//! A step of a resize that takes long: who is kept out by it is told in time.

use std::sync::Arc;
use std::time::Duration;

use ticketd_core::block::Block;
use ticketd_core::count::Count;
use ticketd_core::definition::{Definition, Kind};
use ticketd_core::name::Name;
use ticketd_core::record::{HandBack, Record, Reserve};
use ticketd_core::snowflake::lease::{LeaseAsk, Leased, Leases, NoLease, Release};
use ticketd_core::stride::resize::{NotTaken, Step};
use ticketd_core::stride::{Accepted, PlanId, Seat};
use ticketd_server::clock::Clock;
use ticketd_server::error::ErrorKind;
use ticketd_server::service::{Service, ServiceSettings};
use ticketd_store::{Answer, Memory, Sizes, Store, StoreError};

/// A store that never answers whether it has taken a step.
#[derive(Debug, Default)]
struct Hanging(Memory);

impl Store for Hanging {
    fn read(&self, name: &Name) -> Answer<'_, Option<Record>> {
        self.0.read(name)
    }

    fn create(&self, name: &Name, definition: Definition) -> Answer<'_, Record> {
        self.0.create(name, definition)
    }

    fn list(&self, after: Option<&Name>, limit: usize) -> Answer<'_, Vec<(Name, Record)>> {
        self.0.list(after, limit)
    }

    fn reserve(&self, name: &Name, asked: Reserve) -> Answer<'_, Block> {
        self.0.reserve(name, asked)
    }

    fn raise(&self, name: &Name, floor: u64) -> Answer<'_, u64> {
        self.0.raise(name, floor)
    }

    fn hand_back(&self, name: &Name, unissued: HandBack) -> Answer<'_, bool> {
        self.0.hand_back(name, unissued)
    }

    fn lease(&self, name: &Name, ask: LeaseAsk) -> Answer<'_, Result<Leased, NoLease>> {
        self.0.lease(name, ask)
    }

    fn release(&self, name: &Name, unspent: Release) -> Answer<'_, bool> {
        self.0.release(name, unspent)
    }

    fn leases(&self, name: &Name, tick: u64) -> Answer<'_, Leases> {
        self.0.leases(name, tick)
    }

    fn resize(&self, _: &Name, _: Step) -> Answer<'_, Result<Record, NotTaken>> {
        Box::pin(std::future::pending())
    }

    fn sizes(&self) -> Sizes {
        self.0.sizes()
    }

    fn health(&self) -> Result<(), StoreError> {
        self.0.health()
    }
}

#[tokio::test(start_paused = true)]
async fn neither_a_request_nor_a_raise_waits_for_a_step_beyond_its_deadline() {
    let clock = Clock::start();
    let service = Service::new(Arc::new(Hanging::default()), ServiceSettings::default(), clock);
    let (name, seat) = (Name::new("notes").unwrap(), Seat::new(1, 1).unwrap());
    service.create(&name, Definition::of(Kind::Stride(seat)), false).await.unwrap();
    let plan = PlanId { attempt: 1, digest: 1 };
    let accepted = Accepted { plan, generation: 1, seat: Some(seat), cap: 100 };
    let step = Step::Accept { accepted, joins: false };
    let (resized, stepping) = (name.clone(), Arc::clone(&service));
    let stepping = tokio::spawn(async move { stepping.resize(&resized, step).await });
    tokio::time::sleep(Duration::from_millis(1)).await;
    let timeout = ServiceSettings::default().request_timeout;
    let asked_at = clock.now();
    let patience = 2 * timeout;
    let next = tokio::time::timeout(patience, service.next(&name, Count::ONE)).await;
    let next = next.expect("it is answered").unwrap_err();
    let waited = clock.now().micros_since(asked_at);
    let raise = tokio::time::timeout(patience, service.raise(&name, 10)).await;
    let raise = raise.expect("it is answered").unwrap_err();
    let waited_again = clock.now().micros_since(asked_at) - waited;
    assert_eq!((next.kind, raise.kind), (ErrorKind::Unavailable, ErrorKind::Unavailable));
    assert!(!stepping.is_finished(), "the step still waits for its store");
    for waited in [waited, waited_again] {
        // The clock of the test stands still but for such waits; a timer is exact to 1 ms.
        assert!(waited.abs_diff(timeout.as_micros() as u64) <= 1_000, "{waited} us");
    }
    stepping.abort();
}
