//! A server, as far as it has to do with owning one sequence: what it knows, and what it has asked.

use ticketd_core::block::Block;
use ticketd_core::cluster::{Roster, ServerId, ServerLease, Shared};
use ticketd_core::record::HandBack;
use ticketd_core::time::Instant;

/// What every clock says at first. A lease of which nothing is left ends at 0.
const START_US: u64 = 1000;

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// How often it has begun anew, under a new ID.
    pub life: u64,
    /// The seat that its IDs are made of.
    pub seat: u64,
    /// In microseconds of its clock that pass in one step of time.
    pub speed: u64,
    /// Its wall clock has been set back, by so many microseconds.
    pub set_back_us: u64,
    pub lease: ServerLease,
    /// The engine has its entry, or had it.
    pub is_announced: bool,
    /// It has had a lease in this life, and may claim.
    pub may_claim: bool,
    pub renewal: Renewal,
    pub roster: Roster,
    /// Leases that it has decided to end.
    pub ending: Vec<(ServerId, u64)>,
    /// The record as it was read for a claim that is on its way.
    pub claim: Option<Shared>,
    /// The turn in which it believes to own the sequence.
    pub turn: Option<u64>,
    pub reserve: Reservation,
    /// What it holds.
    pub block: Option<Block>,
    pub hand_back: Option<HandBack>,
    pub client: Client,
}

/// What was asked about the own lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Renewal {
    Nothing,
    /// On its way to the engine.
    Asked,
    /// On its way back: whether it was renewed.
    Told(bool),
}

/// A reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::large_enum_variant, reason = "a state is copied as a whole")]
pub enum Reservation {
    Nothing,
    /// On its way to the engine, worked out from this record, in this turn.
    Asked(Shared, u64),
    /// On its way back; nothing if it was fenced.
    Told(Option<Block>),
}

/// A client that asks this server, one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Client {
    Nobody,
    /// The lease was looked at for it before an ID was taken, which is a bug; what it must be above.
    Looked(u64),
    /// An ID was taken for it.
    Taken(Taken),
    /// And then the lease held when it was looked at.
    MayHave(Taken),
}

/// An ID that was taken for a client and is not answered yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Taken {
    pub id: u64,
    /// The largest ID that anybody had been answered when the client asked. It asks at the very
    /// moment at which the first is done for it: had it asked before, less would be wrong.
    pub above: u64,
    /// The life whose lease it depends on.
    pub life: u64,
    /// Whether the server was whom the engine named as the owner when it was taken.
    pub by_owner: bool,
}

impl Server {
    /// A server that has just had its first lease, at the first moment.
    pub fn new(seat: u64, speed: u64, mut lease: ServerLease) -> Self {
        lease.asking(Instant::from_micros(START_US));
        lease.renewed();
        Self {
            life: 0,
            seat,
            speed,
            set_back_us: 0,
            lease,
            is_announced: true,
            may_claim: true,
            renewal: Renewal::Nothing,
            roster: Roster::new(),
            ending: Vec::new(),
            claim: None,
            turn: None,
            reserve: Reservation::Nothing,
            block: None,
            hand_back: None,
            client: Client::Nobody,
        }
    }

    /// Who it is in its present life. No other server and no other life has this ID.
    pub const fn id(&self) -> ServerId {
        ServerId(self.seat * 100 + self.life + 1)
    }

    /// What its clock says when so many steps of time have passed.
    pub const fn clock(&self, time: u64) -> Instant {
        Instant::from_micros(START_US + time * self.speed - self.set_back_us)
    }

    /// Whether its lease holds.
    pub fn holds(&self, time: u64) -> bool {
        self.clock(time) < self.lease.valid_until()
    }

    /// Takes the next ID of what it holds.
    pub fn take(&mut self) -> Option<u64> {
        let block = self.block?;
        self.block = Block::new(block.start() + 1, block.end());
        Some(block.start())
    }

    /// Forgets all that it had of the sequence. What is on its way is nobody's any more.
    pub fn close(&mut self) {
        self.claim = None;
        self.turn = None;
        self.reserve = Reservation::Nothing;
        self.block = None;
    }

    /// Begins anew, under a new ID and with no lease yet.
    pub fn begin_again(&mut self, lease: ServerLease) {
        self.life += 1;
        (self.lease, self.is_announced, self.may_claim) = (lease, false, false);
        self.renewal = Renewal::Nothing;
    }
}
