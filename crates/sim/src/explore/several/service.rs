//! What a server does with a request: `server/src/service.rs` and `service/cluster.rs` on virtual
//! time.

use std::rc::Rc;

use ticketd_core::allocator::{Config, Refusal};
use ticketd_core::cluster::{Claim, ServerId};
use ticketd_core::count::Count;
use ticketd_core::definition::Kind;
use ticketd_core::failure::FailureKind;
use ticketd_core::ids::Range;
use ticketd_core::limits::MARK_MAX;
use ticketd_core::record::Record;
use ticketd_core::time::Instant;

use super::elsewhere::{Elsewhere, NotThere};
use super::flake::FlakeSource;
use super::hub::pass_on;
use super::lease::within;
use super::node::Node;
use super::owner::Owner;
use super::peer::{Told, Wish};
use super::sequence::{NoAnswer, Sequence};
use crate::explore::stats::Mark;

/// As the real one.
const SEND_ON_PAUSE_US: u64 = 20_000;

/// What is open under a name.
#[derive(Clone)]
pub(super) enum Source {
    Blocks(Rc<Sequence>),
    Flake(Rc<FlakeSource>),
    Elsewhere(Rc<Elsewhere>),
}

/// On whose behalf a sequence is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    Client,
    Server,
}

/// Why a client gets no ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// In time, or at once by a server whose queues are full.
    Unavailable,
    Stopping,
    /// A raise that would lower.
    Lowering,
    /// No ID can carry this time, or no tick is left.
    Exhausted,
    /// The wall clock is too far ahead, or before the epoch, or the IDs are ahead of it.
    NotBelieved,
    BeforeEpoch,
    NotYet,
    /// Every worker ID is somebody's.
    AllTaken,
    /// What no client should ever see in this world.
    Wrong(FailureKind),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Late(_) | Refusal::Overloaded => Self::Unavailable,
            Refusal::Stopping => Self::Stopping,
            Refusal::Lowering { .. } => Self::Lowering,
            Refusal::Store(failure) => Self::Wrong(failure.kind),
            Refusal::Exhausted { .. } => Self::Wrong(FailureKind::Exhausted),
            Refusal::OtherKind(_) => Self::Wrong(FailureKind::Invalid),
            Refusal::OwnedBy(..) | Refusal::Moved => Self::Wrong(FailureKind::Fenced),
        }
    }
}

impl Node {
    const fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    fn opened(&self, index: usize) -> Option<Source> {
        self.sequences.borrow()[index].clone()
    }

    fn open(self: &Rc<Self>, index: usize, asker: Asker) -> Result<Source, Refused> {
        if let Some(source) = self.opened(index) {
            return Ok(source);
        }
        if self.is_stopping() {
            return Err(Refused::Stopping);
        }
        let source = Source::Blocks(self.start_owner(index, asker));
        self.sequences.borrow_mut()[index] = Some(source.clone());
        Ok(source)
    }

    fn start_owner(self: &Rc<Self>, index: usize, asker: Asker) -> Rc<Sequence> {
        let lease = self.lease();
        let defer_to = match asker {
            Asker::Client => self.preferred(index),
            Asker::Server => None,
        };
        let create = Some(self.hub.world().config.sequences[index]);
        let claim = Claim { server: lease.id(), create, defer_to };
        let (sequence, requests) = Sequence::new(index, self.allocator_config(), lease);
        let sequence = Rc::new(sequence);
        let owner =
            Owner { node: Rc::clone(self), sequence: Rc::clone(&sequence), requests, claim };
        let (node, ending) = (Rc::clone(self), Rc::clone(&sequence));
        self.owners.set(self.owners.get() + 1);
        self.hub.world().seated(self.life, Rc::clone(&sequence));
        self.hub.spawn(self.life, async move {
            owner.run().await;
            node.close(&ending);
            node.owners.set(node.owners.get() - 1);
            node.less.notify_one();
        });
        sequence
    }

    fn allocator_config(&self) -> Config {
        let world = self.hub.world();
        let config = &world.config;
        Config {
            block_len: config.block_len,
            auto_min: config.auto_min,
            auto_max: config.auto_max,
            #[cfg(feature = "mutants")]
            mutant: self.bug.core(),
        }
    }

    /// Forgets a sequence whose owner has ended.
    fn close(&self, ended: &Rc<Sequence>) {
        let mut sequences = self.sequences.borrow_mut();
        if matches!(&sequences[ended.index], Some(Source::Blocks(open)) if Rc::ptr_eq(open, ended))
        {
            sequences[ended.index] = None;
        }
    }

    /// The next `count` IDs, for a client.
    pub(super) async fn next(
        self: &Rc<Self>,
        index: usize,
        count: Count,
        timeout_us: u64,
    ) -> Result<Vec<Range>, Refused> {
        let deadline = self.now().plus_micros(timeout_us);
        let mut asker = Asker::Client;
        loop {
            match self.open(index, asker)? {
                Source::Blocks(sequence) => match sequence.next(self, count, deadline).await {
                    Ok(block) => return Ok(vec![block.into()]),
                    Err(no_answer) => self.try_otherwise(index, no_answer, deadline).await?,
                },
                Source::Flake(source) => return source.next(self, count, deadline).await,
                Source::Elsewhere(elsewhere) => match elsewhere.next(count, deadline).await {
                    Ok(block) => return Ok(vec![block.into()]),
                    Err(not_there) => asker = self.follow(&elsewhere, not_there, deadline).await?,
                },
            }
        }
    }

    /// Answers `run` pipelined requests for one ID each: what they get, and why not the rest.
    pub(super) async fn increment(
        self: &Rc<Self>,
        index: usize,
        run: u64,
        timeout_us: u64,
    ) -> (Vec<Range>, Option<Refused>) {
        let mut ranges = Vec::new();
        let mut left = run;
        while left > 0 {
            if let Some(range) = self.take_up_to(index, left).await {
                left -= range.count;
                ranges.push(range);
                continue;
            }
            let mut count = Count::new(left).expect("a run is no longer than a request may be");
            let mut next = self.next(index, count, timeout_us).await;
            if next == Err(Refused::Exhausted) && left > 1 {
                // Fewer than the run are left; each request stands for itself.
                count = Count::ONE;
                next = self.next(index, count, timeout_us).await;
            }
            match next {
                Ok(more) => ranges.extend(more),
                Err(refused) => return (ranges, Some(refused)),
            }
            left -= count.get();
        }
        (ranges, None)
    }

    /// The hot path for a batch.
    async fn take_up_to(self: &Rc<Self>, index: usize, n: u64) -> Option<Range> {
        match self.opened(index)? {
            Source::Blocks(sequence) => sequence.take_up_to(self, n).await.map(Range::from),
            Source::Flake(source) => source.take_up_to(self, n),
            Source::Elsewhere(_) => None,
        }
    }

    /// Raises to the position `floor`, for a client; a snowflake sequence to that ID.
    pub(super) async fn raise(
        self: &Rc<Self>,
        index: usize,
        floor: u64,
        timeout_us: u64,
    ) -> Result<(), Refused> {
        let deadline = self.now().plus_micros(timeout_us);
        self.read(index, deadline).await?;
        let mut asker = Asker::Client;
        loop {
            match self.open(index, asker)? {
                Source::Blocks(sequence) => match sequence.raise(self, floor, deadline).await {
                    Ok(()) => return Ok(()),
                    Err(no_answer) => self.try_otherwise(index, no_answer, deadline).await?,
                },
                Source::Flake(source) => return source.raise(self, floor, deadline).await,
                Source::Elsewhere(elsewhere) => match elsewhere.raise(floor, deadline).await {
                    Ok(()) => return Ok(()),
                    Err(not_there) => asker = self.follow(&elsewhere, not_there, deadline).await?,
                },
            }
        }
    }

    /// A raise looks at the record before.
    async fn read(&self, index: usize, deadline: Instant) -> Result<(), Refused> {
        use ticketd_store::Store;
        let read = within(self.sleep_until(deadline), self.store.read(self.name(index))).await;
        match read {
            Some(Ok(record)) => {
                let marks = record.map(|record| record.mark);
                assert!(marks.is_none_or(|mark| mark < MARK_MAX), "no world comes to its end");
                Ok(())
            }
            Some(Err(error)) => Err(Refused::of_store(error.kind)),
            None => Err(Refused::Unavailable),
        }
    }

    /// Whether asking again may help, because the sequence has to be opened otherwise or afresh.
    async fn try_otherwise(
        self: &Rc<Self>,
        index: usize,
        no_answer: NoAnswer,
        deadline: Instant,
    ) -> Result<(), Refused> {
        match no_answer {
            NoAnswer::Refused(Refusal::OtherKind(record)) => self.open_other_kind(index, &record),
            NoAnswer::Refused(Refusal::OwnedBy(server, _)) => self.open_elsewhere(index, server),
            NoAnswer::Refused(Refusal::Moved | Refusal::Stopping) | NoAnswer::Closed => {
                self.check_reopening(deadline).await
            }
            NoAnswer::LeaseEnded => {
                self.mark(Mark::NoLease);
                self.pause_before_sending_on(deadline).await
            }
            NoAnswer::Refused(refusal) => Err(refusal.into()),
        }
    }

    async fn check_reopening(&self, deadline: Instant) -> Result<(), Refused> {
        if self.is_stopping() {
            return Err(Refused::Stopping);
        }
        if self.now() >= deadline {
            return Err(Refused::Unavailable);
        }
        pass_on().await;
        Ok(())
    }

    /// Opens a sequence whose IDs do not come in blocks. Whoever comes first does it.
    fn open_other_kind(&self, index: usize, record: &Record) -> Result<(), Refused> {
        if self.is_stopping() {
            return Err(Refused::Stopping);
        }
        let over = matches!(self.opened(index), None | Some(Source::Blocks(_)));
        if let (true, Kind::Snowflake(chosen)) = (over, record.definition.kind) {
            let source = FlakeSource::new(self, index, chosen);
            self.sequences.borrow_mut()[index] = Some(Source::Flake(Rc::new(source)));
        }
        Ok(())
    }

    /// The snowflake sequences that are open.
    pub(super) fn flakes(&self) -> Vec<Rc<FlakeSource>> {
        let of_kind = |source: &Option<Source>| match source {
            Some(Source::Flake(source)) => Some(Rc::clone(source)),
            _ => None,
        };
        self.sequences.borrow().iter().filter_map(of_kind).collect()
    }

    /// Takes note that `server` owns the sequence.
    fn open_elsewhere(self: &Rc<Self>, index: usize, server: ServerId) -> Result<(), Refused> {
        if self.is_stopping() {
            return Err(Refused::Stopping);
        }
        let over = match self.opened(index) {
            None => true,
            Some(Source::Blocks(sequence)) => sequence.has_ended(),
            Some(Source::Elsewhere(elsewhere)) => elsewhere.server != server,
            Some(Source::Flake(_)) => false,
        };
        if over {
            let elsewhere = Elsewhere::start(self, index, server);
            self.sequences.borrow_mut()[index] = Some(Source::Elsewhere(elsewhere));
        }
        Ok(())
    }

    /// What to do when the owner did not answer: perhaps ask again, on whose behalf.
    async fn follow(
        self: &Rc<Self>,
        elsewhere: &Rc<Elsewhere>,
        not_there: NotThere,
        deadline: Instant,
    ) -> Result<Asker, Refused> {
        let moved_to = match not_there {
            NotThere::Refused(refused) => return Err(refused),
            NotThere::Moved(server) => server,
        };
        self.forget(elsewhere);
        if moved_to == Some(self.me()) {
            self.mark(Mark::SentHere);
            return Ok(Asker::Server);
        }
        self.pause_before_sending_on(deadline).await?;
        if let Some(server) = moved_to {
            self.mark(Mark::SentOn);
            self.open_elsewhere(elsewhere.index, server)?;
        }
        Ok(Asker::Client)
    }

    async fn pause_before_sending_on(&self, deadline: Instant) -> Result<(), Refused> {
        self.sleep_until(self.now().plus_micros(SEND_ON_PAUSE_US).min(deadline)).await;
        self.check_reopening(deadline).await
    }

    fn forget(&self, elsewhere: &Rc<Elsewhere>) {
        let mut sequences = self.sequences.borrow_mut();
        let open = &mut sequences[elsewhere.index];
        if matches!(open, Some(Source::Elsewhere(open)) if Rc::ptr_eq(open, elsewhere)) {
            *open = None;
        }
    }

    /// Answers another server, which takes this one for the owner. `None`: it is not to be
    /// answered, and asks again.
    pub(super) async fn answer_server(
        self: &Rc<Self>,
        index: usize,
        wish: Wish,
        within_us: u64,
    ) -> Option<Told> {
        let deadline = self.now().plus_micros(within_us);
        loop {
            let no_answer = match self.open(index, Asker::Server) {
                Ok(Source::Blocks(sequence)) => match self.grant(&sequence, wish, deadline).await {
                    Ok(told) => return Some(told),
                    Err(no_answer) => no_answer,
                },
                Ok(Source::Flake(_)) => {
                    return Some(Told::Refused(Refused::Wrong(FailureKind::Invalid)));
                }
                Ok(Source::Elsewhere(elsewhere)) => {
                    if self.address_of(elsewhere.server).is_some() {
                        return Some(Told::OwnedBy(elsewhere.server));
                    }
                    self.forget(&elsewhere);
                    match self.pause_before_sending_on(deadline).await {
                        Ok(()) => continue,
                        Err(_) if self.is_stopping() => return None,
                        Err(refused) => return Some(Told::Refused(refused)),
                    }
                }
                Err(_) if self.is_stopping() => return None,
                Err(refused) => return Some(Told::Refused(refused)),
            };
            if let Err(refused) = self.try_otherwise(index, no_answer, deadline).await {
                return (!self.is_stopping()).then_some(Told::Refused(refused));
            }
        }
    }

    async fn grant(
        self: &Rc<Self>,
        sequence: &Rc<Sequence>,
        wish: Wish,
        deadline: Instant,
    ) -> Result<Told, NoAnswer> {
        match wish {
            Wish::Next(count) => Ok(Told::Ids(sequence.next(self, count, deadline).await?)),
            Wish::Raise(floor) => {
                if let Err(refused) = self.read(sequence.index, deadline).await {
                    return Ok(Told::Refused(refused));
                }
                match sequence.raise(self, floor, deadline).await {
                    Ok(()) => Ok(Told::Raised),
                    Err(NoAnswer::Refused(lowering @ Refusal::Lowering { .. })) => {
                        Ok(Told::Refused(lowering.into()))
                    }
                    Err(no_answer) => Err(no_answer),
                }
            }
        }
    }

    /// Gives up all that was opened under a lease that has ended.
    pub(super) fn tell_lease_ended(self: &Rc<Self>) {
        if self.bug.keeps_held() {
            return;
        }
        let node = Rc::clone(self);
        self.hub.spawn(self.life, async move {
            let open = node.sequences.borrow().clone();
            for source in open.into_iter().flatten() {
                if let Source::Blocks(sequence) = source {
                    sequence.lease_ended().await;
                }
            }
        });
    }
}

impl Refused {
    /// For the trace.
    pub(super) const fn number(self) -> u64 {
        match self {
            Self::Unavailable => 0,
            Self::Stopping => 1,
            Self::Lowering => 2,
            Self::Exhausted => 3,
            Self::NotBelieved => 4,
            Self::BeforeEpoch => 5,
            Self::NotYet => 6,
            Self::AllTaken => 7,
            Self::Wrong(_) => 8,
        }
    }

    /// Whether waiting does not help.
    pub(super) const fn is_final(self) -> bool {
        matches!(self, Self::Exhausted | Self::Wrong(_) | Self::Stopping | Self::Lowering)
    }

    pub(super) const fn of_store(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Unavailable | FailureKind::Indeterminate | FailureKind::Conflict => {
                Self::Unavailable
            }
            FailureKind::Fenced
            | FailureKind::Exhausted
            | FailureKind::NotFound
            | FailureKind::Invalid
            | FailureKind::Corrupt => Self::Wrong(kind),
        }
    }
}
