//! Who issues in the live simulation, and how IDs of kinds other than tickets are checked.
//!
//! Stride has a server with a store of its own for each agent, as each member has; snowflake a
//! generator for each agent, over one store that leases worker IDs; the others have one
//! server. An *issuer* is such a server.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ticketd_core::definition::{Definition, Kind, KindName};
use ticketd_core::ids::{Id, Ids};
use ticketd_core::name::Name;
use ticketd_core::snowflake::{CounterStart, Snowflake, preset};
use ticketd_core::stride::Seat;
use ticketd_store::{Memory, Store};

use super::{Findings, Local, Plan};

/// How many IDs of a table are kept to compare others with: some 50 MB.
const KEPT_MAX: usize = 1 << 20;

/// The servers of a run, and which agent asks which.
#[derive(Debug)]
pub struct Issuers {
    kind: KindName,
    servers: Vec<Local>,
}

impl Issuers {
    /// Starts the servers that `plan` needs, and makes its sequences.
    ///
    /// # Errors
    /// If the system has no thread left for them, or a sequence cannot be made.
    pub fn start(plan: &Plan) -> io::Result<Self> {
        let shared: Arc<dyn Store> = Arc::new(Memory::new());
        let start = |_| match plan.kind {
            KindName::Snowflake => Local::over(Arc::clone(&shared)),
            _ => Local::start(),
        };
        let count = if has_issuer_per_agent(plan.kind) { plan.agents } else { 1 };
        let servers: Vec<Local> = (0..count).map(start).collect::<Result<_, _>>()?;
        let issuers = Self { kind: plan.kind, servers };
        for agent in 1..=plan.agents {
            let table = plan.table_of(agent);
            let definition = Definition::of(kind_of(plan, agent));
            issuers.of(agent).create(&plan.tables[table], definition)?;
        }
        Ok(issuers)
    }

    /// Who issues to `agent`, counted from 1.
    pub(super) fn of(&self, agent: usize) -> &Local {
        &self.servers[self.index_of(agent)]
    }

    /// The number of the one who issues to `agent`, counted from 0.
    pub(super) const fn index_of(&self, agent: usize) -> usize {
        if has_issuer_per_agent(self.kind) { agent - 1 } else { 0 }
    }

    /// How many tickets of `table` the server knows to be lost; `None` of other kinds, whose IDs
    /// leave gaps anyway.
    pub(super) fn burnt(&self, table: &Name) -> Option<u64> {
        (self.kind == KindName::Ticket).then(|| self.servers[0].burnt(table))
    }

    /// Ends all servers. Returns whether they ended in time.
    pub(super) fn stop(&self) -> bool {
        self.servers.iter().all(Local::stop)
    }
}

const fn has_issuer_per_agent(kind: KindName) -> bool {
    matches!(kind, KindName::Stride | KindName::Snowflake)
}

/// The kind of the sequence of `agent`'s table on its server.
fn kind_of(plan: &Plan, agent: usize) -> Kind {
    let table = plan.table_of(agent);
    let of_table = |other: &usize| plan.table_of(*other) == table;
    let members = (1..=plan.agents).filter(of_table).count();
    let offset = (1..=agent).filter(of_table).count();
    kind_in_seat(plan.kind, members, offset)
}

/// A sequence of `kind` on the server number `offset`, from 1 on, of so many `members`.
pub(crate) fn kind_in_seat(kind: KindName, members: usize, offset: usize) -> Kind {
    let number = |n: usize| u32::try_from(n).expect("there are not so many servers");
    match kind {
        KindName::Ticket => Kind::Ticket,
        KindName::Stride => {
            Kind::Stride(Seat::new(number(members), number(offset)).expect("it is one of them"))
        }
        KindName::Snowflake => Kind::Snowflake(Snowflake {
            layout: preset::find(preset::DEFAULT).expect("there is a default"),
            counter_start: CounterStart::Zero,
        }),
        KindName::Uuid4 => Kind::Uuid4,
        KindName::Uuid7 => Kind::Uuid7,
        KindName::Ulid => Kind::Ulid,
    }
}

/// What was found of IDs that are no tickets, beside the counts.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The smallest.
    pub first: Option<Id>,
    /// The largest.
    pub last: Option<Id>,
    /// One of the duplicates, to look for.
    pub a_duplicate: Option<Id>,
    /// One of the inversions, to look for: the ID, and the one answered before.
    pub an_inversion: Option<(Id, Id)>,
    /// What was checked, in words.
    pub checked: String,
}

/// What had been answered by an issuer when somebody asked it.
#[derive(Debug, Clone, Copy)]
#[must_use = "an answer is judged by what was known when it was asked for"]
pub struct AskedIssuer {
    issuer: usize,
    before: Option<Id>,
}

/// Checks every ID of one table: that it is unique, and larger than what its issuer had answered
/// before it was asked for, if the kind promises that.
#[derive(Debug)]
pub struct KindAuditor {
    /// Whether an issuer's IDs rise.
    rises: bool,
    kept_max: usize,
    book: Mutex<KindBook>,
}

#[derive(Debug, Default)]
struct KindBook {
    /// The largest ID that each issuer has answered.
    highest: Vec<Option<Id>>,
    /// Of kinds that rise: the largest so far. The smallest give way.
    newest: BTreeSet<Id>,
    /// Below it nothing is kept any more.
    floor: Option<Id>,
    /// Of random kinds: the first so many.
    oldest: HashSet<Id>,
    found: Findings,
    seen: Seen,
}

impl KindAuditor {
    /// An auditor of IDs of `kind` from so many issuers.
    pub fn new(kind: KindName, issuers: usize) -> Self {
        Self::keeping(kind != KindName::Uuid4, issuers, KEPT_MAX)
    }

    /// An auditor of IDs in no order, from one issuer.
    pub fn unordered() -> Self {
        Self::keeping(false, 1, KEPT_MAX)
    }

    fn keeping(rises: bool, issuers: usize, kept_max: usize) -> Self {
        let book = KindBook { highest: vec![None; issuers], ..KindBook::default() };
        Self { rises, kept_max, book: Mutex::new(book) }
    }

    /// To be called before `issuer` is asked.
    pub fn asking(&self, issuer: usize) -> AskedIssuer {
        AskedIssuer { issuer, before: self.book().highest[issuer] }
    }

    /// To be called as soon as `id` was answered.
    pub fn answered(&self, asked: AskedIssuer, id: Id) {
        let mut book = self.book();
        let book = &mut *book;
        book.found.issued += 1;
        book.seen.first = Some(book.seen.first.map_or(id, |first| first.min(id)));
        book.seen.last = book.seen.last.max(Some(id));
        let highest = &mut book.highest[asked.issuer];
        *highest = (*highest).max(Some(id));
        if self.rises
            && let Some(before) = asked.before.filter(|before| *before >= id)
        {
            book.found.inversions += 1;
            book.seen.an_inversion.get_or_insert((id, before));
        }
        let is_new = if self.rises {
            book.note_newest(id, self.kept_max)
        } else {
            book.note_oldest(id, self.kept_max)
        };
        if !is_new {
            book.found.duplicates += 1;
            book.seen.a_duplicate.get_or_insert(id);
        }
    }

    /// As [`answered`](Self::answered), for IDs of `kind` in one answer: each is to be larger than
    /// the one before it as well.
    pub fn answered_all(&self, mut asked: AskedIssuer, kind: KindName, ids: &Ids) {
        for id in ids.iter(kind) {
            self.answered(asked, id);
            asked.before = asked.before.max(Some(id));
        }
    }

    /// How many IDs there were until now.
    pub fn issued(&self) -> u64 {
        self.book().found.issued
    }

    /// All that was found until now.
    pub fn findings(&self) -> (Findings, Seen) {
        let book = self.book();
        let mut seen = book.seen.clone();
        let kept = self.kept_max;
        let compared = match (self.rises, book.found.unchecked) {
            (_, 0) => "each compared with all others".to_owned(),
            (true, n) => format!("each compared with the {kept} largest, but for {n} smaller ones"),
            (false, n) => format!("each compared with the first {kept}, {n} with no others"),
        };
        let order = if self.rises {
            "and larger than what its server had answered before it was asked for"
        } else {
            "in no order"
        };
        seen.checked = format!("{compared}, {order}");
        (book.found, seen)
    }

    fn book(&self) -> MutexGuard<'_, KindBook> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KindBook {
    /// Returns whether `id` is new, as far as can be told.
    fn note_newest(&mut self, id: Id, kept_max: usize) -> bool {
        if self.floor.is_some_and(|floor| id <= floor) {
            self.found.unchecked += 1;
            return true;
        }
        let is_new = self.newest.insert(id);
        if self.newest.len() > kept_max {
            self.floor = self.newest.pop_first();
        }
        is_new
    }

    fn note_oldest(&mut self, id: Id, kept_max: usize) -> bool {
        if self.oldest.len() < kept_max {
            return self.oldest.insert(id);
        }
        self.found.unchecked += 1;
        !self.oldest.contains(&id)
    }
}

/// The name of a table, for a message.
pub(super) fn not_made(table: &Name, why: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{table} could not be made: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(auditor: &KindAuditor, issuer: usize, ids: &[u64]) {
        for id in ids {
            let asked = auditor.asking(issuer);
            auditor.answered(asked, Id::Integer(*id));
        }
    }

    #[test]
    fn a_planted_duplicate_is_found_for_every_kind_and_across_issuers() {
        for kind in KindName::ALL {
            let auditor = KindAuditor::new(kind, 2);
            answer(&auditor, 0, &[1, 3, 5]);
            answer(&auditor, 1, &[2, 3, 8]);
            let (found, seen) = auditor.findings();
            assert_eq!((found.issued, found.duplicates, found.inversions), (6, 1, 0));
            assert_eq!(seen.a_duplicate, Some(Id::Integer(3)));
        }
    }

    #[test]
    fn a_step_back_of_an_issuer_is_found_if_its_kind_rises() {
        for kind in KindName::ALL {
            let auditor = KindAuditor::new(kind, 2);
            answer(&auditor, 0, &[10, 20]);
            answer(&auditor, 1, &[5, 15, 14]);
            let (found, _) = auditor.findings();
            assert_eq!(found.inversions, u64::from(kind != KindName::Uuid4), "{kind:?}");
        }
    }

    #[test]
    fn a_step_back_within_one_answer_is_found() {
        let auditor = KindAuditor::new(KindName::Uuid7, 1);
        let ids = Ids::Wide(vec![10, 30, 20]);
        auditor.answered_all(auditor.asking(0), KindName::Uuid7, &ids);
        let (found, seen) = auditor.findings();
        assert_eq!((found.issued, found.inversions), (3, 1));
        assert_eq!(seen.an_inversion, Some((Id::Uuid(20), Id::Uuid(30))));
    }

    #[test]
    fn what_could_not_be_compared_is_counted() {
        for rises in [true, false] {
            let auditor = KindAuditor::keeping(rises, 2, 2);
            answer(&auditor, 0, &[10, 20, 30, 40]);
            answer(&auditor, 1, &[5]);
            let (found, seen) = auditor.findings();
            assert!(found.unchecked > 0 && seen.checked.contains("compared with the"), "{seen:?}");
        }
    }
}
