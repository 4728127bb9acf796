//! The checkers: what clients see, what the durable images show, and what operators wished. What a
//! position stands for and who sits where is worked out here once more.
//!
//! | checker | holds that |
//! | --- | --- |
//! | unique | no ID is issued twice, by any member in any generation |
//! | seat | an ID is that of its position, in the seat that the operator wished for its member |
//! | generation | a member issues in the generation that is durable, and never in an earlier one; no ID lies below the floor of its generation, nor at or above that of the next |
//! | cap | nothing is reserved at or above an accepted cap |
//! | plan | a member accepts one plan at a time, and of rising attempts; a plan opens only when all have accepted it, with a floor at or above all caps and not above what the headroom allows; one that was released never opens |
//! | step | a step that is answered as taken is durable |
//! | durable, order, raise, range | as in the world of one server, of each member |
//! | ledger, gaps, successor | the same, over all owners of a member |
//! | refusal | a refusal is of a kind that the moment allows |
//! | membership | once all is well, each seat of one generation has its member |
//! | liveness | everybody is answered, whatever was begun is finished or given up, and all goes on |
//! | codec | what a process reads when it starts is what was written |
//! | assertion | nothing in the core panics |

mod ids;
mod plans;
mod refusal;

use ticketd_core::allocator::{Observation, Refusal};
use ticketd_core::block::Block;
use ticketd_core::failure::FailureKind;
use ticketd_core::ids::Range;
use ticketd_core::limits::MARK_MAX;
use ticketd_core::name::Name;
use ticketd_core::record::{HandBack, Record, Reserve};
use ticketd_core::stride::Standing;
use ticketd_core::stride::resize::{NotTaken, Step, View, Wish};

use crate::explore::check::{Durable, Found, Gaps, Known, Ledger};
use crate::explore::store::Effect;
use ids::{Counted, Ids};
use plans::Plans;
pub(super) use refusal::Refused;

/// What is kept of one server.
#[derive(Debug)]
struct Books {
    image: Option<Record>,
    /// How it counts in the generation that is durable.
    counted: Counted,
    durable: Durable,
    /// Of the owner that there is.
    ledger: Option<Ledger>,
    gaps: Gaps,
    /// What clients know of its IDs.
    known: Known,
    /// The latest generation that it has issued in.
    latest: u32,
    /// The position that must be issued next, after an owner that nothing disturbed.
    successor: Option<u64>,
}

/// All checkers. The first thing that one finds is kept.
#[derive(Debug)]
pub(super) struct Checks {
    books: Vec<Books>,
    ids: Ids,
    plans: Plans,
    found: Option<Found>,
    /// Checkers that are not listened to.
    ignored: &'static [&'static str],
}

/// The checkers that look behind what users see.
#[cfg(feature = "mutants")]
const BOOKS: &[&str] = &[
    "seat",
    "generation",
    "cap",
    "plan",
    "step",
    "durable",
    "ledger",
    "gaps",
    "successor",
    "refusal",
    "membership",
    "codec",
];

impl Checks {
    pub(super) fn new(records: &[Option<Record>]) -> Self {
        let books = records.iter().map(|record| Books {
            image: *record,
            counted: record.map_or(Counted::default(), |record| Counted::first(&record)),
            durable: Durable::new(&record.unwrap_or(Record::new(Default::default()))),
            ledger: None,
            gaps: Gaps::new(record.map_or(1, |record| record.mark)),
            known: Known::default(),
            latest: 0,
            successor: None,
        });
        Self {
            books: books.collect(),
            ids: Ids::default(),
            plans: Plans::new(),
            found: None,
            ignored: &[],
        }
    }

    #[cfg(feature = "mutants")]
    pub(super) const fn ignore_books(&mut self) {
        self.ignored = BOOKS;
    }

    pub(super) fn find(&mut self, checker: &'static str, message: String) {
        if !self.ignored.contains(&checker) {
            self.found.get_or_insert((checker, message));
        }
    }

    pub(super) const fn has_found(&self) -> bool {
        self.found.is_some()
    }

    pub(super) fn take_found(&mut self) -> Option<Found> {
        self.found.take()
    }

    fn note<T>(&mut self, checker: &'static str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.find(checker, message)).ok()
    }

    /// Notes a wish; returns its index. The same wish again is the same.
    pub(super) fn wished(
        &mut self,
        name: &Name,
        addresses: Vec<usize>,
        members: u32,
        headroom: u64,
    ) -> usize {
        self.plans.wished(name, addresses, members, headroom)
    }

    pub(super) fn wish(&self, index: usize) -> (Wish, &[usize]) {
        self.plans.wish(index)
    }

    /// The index of the wish with this digest.
    pub(super) fn wish_of(&self, digest: u64) -> usize {
        self.plans.wish_of(digest).expect("plans come from wishes")
    }

    pub(super) fn known(&self, at: usize) -> Known {
        self.books[at].known
    }

    /// A process starts, and reads what is durable.
    pub(super) fn boot(&mut self, at: usize, read: Result<(), String>) {
        self.books[at].durable.boot();
        self.note("codec", read);
    }

    pub(super) fn owner_begins(&mut self, at: usize) {
        self.books[at].ledger = Some(Ledger::new());
    }

    /// An owner has ended by itself: if nothing has disturbed it, there is no gap.
    pub(super) fn owner_ended(&mut self, at: usize) {
        let books = &mut self.books[at];
        let Some(ledger) = books.ledger.take() else { return };
        books.gaps.close(ledger.closed());
        let (last, mark) = (ledger.last(), books.durable.mark);
        if !ledger.is_calm() || last == 0 {
            return;
        }
        books.successor = Some(last + 1);
        if mark != last + 1 {
            let message =
                format!("{last} was the last position, nothing failed, and the mark is {mark}");
            self.find("successor", message);
        }
    }

    /// A process is over, and nothing of it is on its way.
    pub(super) fn down(&mut self, at: usize) {
        let books = &mut self.books[at];
        if let Some(ledger) = books.ledger.take() {
            books.gaps.close(ledger.closed());
            books.successor = None;
        }
        let gaps = books.gaps.check(books.durable.mark);
        self.note("gaps", gaps);
    }

    /// A change that no owner waits for disturbs whoever there is.
    pub(super) fn disturb(&mut self, at: usize) {
        self.books[at].successor = None;
        if let Some(ledger) = &mut self.books[at].ledger {
            ledger.disturb();
        }
    }

    /// A commit has made `record` durable.
    pub(super) fn commit(
        &mut self,
        at: usize,
        effect: Effect,
        step: Option<Step>,
        record: &Record,
    ) {
        let books = &mut self.books[at];
        books.gaps.commit(effect);
        if matches!(effect, Effect::Raised { .. } | Effect::HandedBack(_)) {
            books.successor = None;
        }
        let durable = books.durable.commit(effect, record);
        let before = books.image.replace(*record);
        let counted = books.counted;
        self.note("durable", durable);
        if let Effect::Reserved(block) = effect {
            // What is reserved late may begin above what was handed back meanwhile.
            let from = before.map_or(1, |record| record.mark);
            let to = block.start();
            self.books[at].gaps.commit(Effect::Raised { from, to });
            let cap = before.and_then(|record| record.member).and_then(|member| member.accepted);
            let last = counted.id_at(block.last());
            if let Some(cap) = cap.map(|accepted| accepted.cap)
                && last >= cap
            {
                self.find("cap", format!("ID {last} is reserved, but the cap is {cap}"));
            }
        }
        if step.is_some() {
            self.stepped_durably(at, before, record);
        }
        let reached = self.books[at].counted.id_at(record.mark);
        self.plans.reached(record.generation(), reached);
    }

    fn stepped_durably(&mut self, at: usize, before: Option<Record>, record: &Record) {
        let counted = self.books[at].counted;
        let others: Vec<Option<Record>> = self.books.iter().map(|books| books.image).collect();
        match self.plans.changed(at, before, record, counted, &others) {
            Ok(Some(counted)) => self.books[at].counted = counted,
            Ok(None) => {}
            Err(message) => self.find("plan", message),
        }
    }

    /// A member answers a step.
    pub(super) fn stepped(&mut self, at: usize, step: Step, answer: Result<&View, &NotTaken>) {
        let durable = self.books[at].image.as_ref().and_then(View::of);
        // A late write may have moved the mark since.
        let same = |view: &View| {
            durable.is_some_and(|known| View { reached: known.reached, ..*view } == known)
        };
        match answer {
            Ok(view) if !same(view) => {
                let message =
                    format!("{step:?} is answered with {view:?}, but durable is {durable:?}");
                self.find("step", message);
            }
            Err(why @ (NotTaken::FloorTooLow | NotTaken::OtherKind)) => {
                self.find("step", format!("{step:?} is not taken: {why:?}"));
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// A member issues the positions of `block` as `range`, in the generation `number`, to a
    /// request for `count` that was made when `known` was known.
    pub(super) fn issue(
        &mut self,
        at: usize,
        known: Known,
        count: u64,
        block: Block,
        range: Range,
        number: u32,
    ) {
        let unique = self.ids.add(range);
        self.note("unique", unique);
        let books = &mut self.books[at];
        books.gaps.issue(block);
        let durable = books.durable.issue(block);
        let ledger = books.ledger.as_mut().map_or(Ok(None), |ledger| ledger.issue(block));
        let seat = books.counted.check(block, range);
        let standing = books.image.and_then(|record| record.member).map(|member| member.standing);
        let image = books.image.map_or(0, |record| record.generation());
        let latest = books.latest;
        books.latest = number.max(latest);
        let successor = books.successor.take();
        self.note("durable", durable);
        self.note("seat", seat);
        if number != image || number < latest || standing != Some(Standing::Issuing) {
            let message = format!(
                "IDs of generation {number} are issued: durable is {image}, {standing:?}, and it \
                 has issued in {latest}"
            );
            self.find("generation", message);
        }
        let within = self.plans.issued(number, range);
        self.note("generation", within);
        if let Some(span) = Block::new(range.first, range.last() + 1) {
            self.note("order", known.order(span));
            self.note("raise", known.floor(span));
        }
        if range.count != count || block.len() != count {
            self.find("range", format!("{range:?} is issued to a request for {count}"));
        }
        if let Some(next) = successor.filter(|&next| next != block.start()) {
            self.find("successor", format!("{block} is issued, but {next} is the next position"));
        }
        self.note("ledger", ledger);
    }

    /// IDs reach a client.
    pub(super) fn answered(&mut self, at: usize, range: Range) {
        let known = &mut self.books[at].known;
        known.answered = known.answered.max(range.last());
    }

    /// A member tells a client that it is raised to a position. Returns whether that gave any up.
    pub(super) fn acknowledge(&mut self, at: usize, floor: u64) -> bool {
        let books = &mut self.books[at];
        books.successor = None;
        let durable = books.durable.acknowledge(floor.min(MARK_MAX));
        let mark = books.ledger.as_mut().and_then(|ledger| ledger.acknowledge(floor));
        self.note("raise", durable);
        mark.is_some()
    }

    /// A client knows that nothing at or below `to` is issued by this member any more.
    pub(super) fn acknowledged(&mut self, at: usize, to: u64) {
        self.books[at].known.done(to + 1);
    }

    pub(super) fn refuse(&mut self, at: usize, refusal: &Refusal, refused: Refused) {
        let books = &self.books[at];
        let Some(ledger) = &books.ledger else { return };
        let right = refusal::check(refusal, refused, books.image.as_ref(), &books.counted, ledger);
        self.note("refusal", right);
    }

    fn ledger(&mut self, at: usize, tell: impl FnOnce(&mut Ledger)) {
        if let Some(ledger) = &mut self.books[at].ledger {
            tell(ledger);
        }
    }

    pub(super) fn wait(&mut self, at: usize, count: u64) {
        self.ledger(at, |ledger| ledger.wait(count));
    }

    pub(super) fn wait_no_more(&mut self, at: usize, count: u64) {
        self.ledger(at, |ledger| ledger.wait_no_more(count));
    }

    pub(super) fn undelivered(&mut self, at: usize, block: Block) {
        self.ledger(at, |ledger| ledger.undelivered(block));
    }

    pub(super) fn opened(&mut self, at: usize, record: &Record) {
        self.ledger(at, |ledger| ledger.opened(record));
    }

    pub(super) fn reserved(&mut self, at: usize, block: Block) {
        self.ledger(at, |ledger| {
            ledger.reserved(block);
        });
    }

    pub(super) fn raised(&mut self, at: usize, mark: u64) {
        self.ledger(at, |ledger| ledger.raised(mark));
    }

    pub(super) fn handed_back(&mut self, at: usize, done: bool) {
        self.ledger(at, |ledger| ledger.handed_back(done));
    }

    /// An owner hears of a failure.
    pub(super) fn failed(&mut self, at: usize, kind: FailureKind, is_hand_back: bool) {
        let mark_max = self.books[at].counted.mark_max();
        self.books[at].successor = None;
        self.ledger(at, |ledger| match kind {
            FailureKind::Exhausted => ledger.exhausted(mark_max),
            _ => ledger.disturb(),
        });
        if is_hand_back {
            self.handed_back(at, false);
        }
        if matches!(kind, FailureKind::Fenced | FailureKind::Corrupt) {
            self.find("refusal", format!("the store fails as {kind:?}"));
        }
    }

    pub(super) fn asks(&mut self, at: usize, asked: Reserve) {
        let result = self.books[at].ledger.as_ref().map_or(Ok(()), |ledger| ledger.asks(asked));
        self.note("ledger", result);
    }

    pub(super) fn hand_back(&mut self, at: usize, unissued: HandBack) {
        let ledger = self.books[at].ledger.as_mut();
        let result = ledger.map_or(Ok(()), |ledger| ledger.hand_back(unissued));
        self.note("ledger", result);
    }

    /// Compares the books after a step; `block_len` is the longest block without those who wait.
    pub(super) fn compare(&mut self, at: usize, seen: &Observation, block_len: u64) {
        let Some(ledger) = &self.books[at].ledger else { return };
        let (held, bound) = (ledger.held(), ledger.bound(block_len));
        let result = ledger.compare(seen);
        self.note("ledger", result);
        if held > bound {
            self.find("ledger", format!("{held} IDs are held, more than {bound}"));
        }
    }

    /// All is well: each seat of one generation has its member.
    pub(super) fn membership(&mut self) {
        let images: Vec<Option<Record>> = self.books.iter().map(|books| books.image).collect();
        let whole = plans::membership(&images);
        self.note("membership", whole);
    }
}
