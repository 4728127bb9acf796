//! Moving all sequences of one store to another, while no server uses either.
//!
//! The old store is closed before anything is written, and the new one until all is there: a server
//! that starts on either meanwhile refuses, and says what to do. Everything may be cut off at any
//! moment and done again.
//!
//! | step | old store | new store |
//! | --- | --- | --- |
//! | 1. both are read and compared | | |
//! | 2. closed | moving | filling |
//! | 3. whoever may have started is looked for | | |
//! | 4. each sequence is adopted, and read back | | |
//! | 5. done | moved | open |

use std::collections::BTreeMap;
use std::sync::Arc;

use ticketd_core::definition::Kind;
use ticketd_core::failure::FailureKind;
use ticketd_core::name::Name;
use ticketd_core::record::Record;
use ticketd_core::snowflake::lease::Workers;
use ticketd_core::transfer::{Closed, Differs, Whole, adopt, adopt_worker};
use tokio::task::JoinSet;

use crate::contract::{Answer, Store};
use crate::error::StoreError;

/// How many sequences are adopted at the same time: an embedded store commits them together.
const AT_ONCE: usize = 64;

/// How many sequences are read at once.
const PAGE: usize = 1000;

/// A store that can be one end of a copy.
pub trait Transfer: Store {
    /// The worker IDs of the sequence `name` that were ever leased.
    fn workers(&self, name: &Name) -> Answer<'_, Workers>;

    /// Makes the sequence `name` as `theirs`, or lifts what is there to it, as
    /// [`adopt`](ticketd_core::transfer::adopt) works it out: durable before `Ok`. May be cut off
    /// within, but then without a record that lacks its worker IDs.
    fn adopt(&self, name: &Name, theirs: Whole) -> Answer<'_, Result<(), Differs>>;

    /// Why no server may issue, if that is so.
    fn closed(&self) -> Answer<'_, Option<Closed>>;

    /// Closes it, or opens it again: durable before `Ok`.
    fn close(&self, why: Option<Closed>) -> Answer<'_, ()>;

    /// Where it is, without credentials: printable ASCII in one line.
    fn place(&self) -> String;
}

/// What a copy does to a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Which.
    pub name: Name,
    /// What the old store has of it.
    pub theirs: Whole,
    /// What the new store has of it now; `None` if it is not there.
    pub here: Option<Whole>,
    /// Its record in the new store afterwards.
    pub after: Record,
    /// Whether there is anything to do.
    pub is_due: bool,
}

/// Works out what is to be done, and changes nothing. `to` is `None` if there is no store yet.
///
/// # Errors
/// `Invalid` if they have different sequences of the same name, or are in the middle of something
/// else; or whatever they say.
pub async fn plan(
    from: &dyn Transfer,
    to: Option<&dyn Transfer>,
) -> Result<Vec<Planned>, StoreError> {
    let mut there = BTreeMap::new();
    match to {
        Some(to) => {
            check_closed(from, to).await?;
            there = all(to).await?;
        }
        None => {
            if let Some(closed) = from.closed().await? {
                return Err(refused(&closed, &from.place()));
            }
        }
    }
    let (mut planned, mut differing) = (Vec::new(), Vec::new());
    for (name, record) in all(from).await? {
        let theirs = Whole { workers: workers(from, &name, &record).await?, record };
        // Worker IDs may be there before their record, from a copy that was cut off.
        let workers = match to {
            Some(to) => workers(to, &name, &record).await?,
            None => Workers::new(),
        };
        let here = there.remove(&name);
        match adopt(here.as_ref(), &record) {
            Ok(after) => {
                let is_due = here != Some(after) || are_below(&workers, &theirs.workers);
                let here = here.map(|record| Whole { record, workers });
                planned.push(Planned { name, theirs, here, after, is_due });
            }
            Err(Differs(how)) => differing.push(format!("{name} is there with {how}")),
        }
    }
    if differing.is_empty() { Ok(planned) } else { Err(not_the_same(&differing)) }
}

async fn all(store: &dyn Transfer) -> Result<BTreeMap<Name, Record>, StoreError> {
    let mut all = BTreeMap::<Name, Record>::new();
    loop {
        let after = all.last_key_value().map(|(name, _)| name);
        let page = store.list(after, PAGE).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Only snowflake sequences have any.
async fn workers(
    store: &dyn Transfer,
    name: &Name,
    record: &Record,
) -> Result<Workers, StoreError> {
    match record.definition.kind {
        Kind::Snowflake(_) => store.workers(name).await,
        _ => Ok(Workers::new()),
    }
}

/// Whether the worker IDs that are `here` are to be lifted to `theirs`.
fn are_below(here: &Workers, theirs: &Workers) -> bool {
    theirs.iter().any(|(id, theirs)| {
        let here = here.get(id).copied();
        here != Some(adopt_worker(here, *theirs))
    })
}

fn not_the_same(differing: &[String]) -> StoreError {
    let more = match differing.len() - 1 {
        0 => String::new(),
        n => format!("; and {n} more"),
    };
    let message = format!(
        "the new store has other sequences of the same names, and nothing is copied: copy to a \
         place of its own; {}{more}",
        differing[0]
    );
    StoreError::new(FailureKind::Invalid, message)
}

/// Makes sure that neither is in the middle of something else.
async fn check_closed(from: &dyn Transfer, to: &dyn Transfer) -> Result<(), StoreError> {
    let (old, new) = (from.closed().await?, to.closed().await?);
    let (old_place, new_place) = (from.place(), to.place());
    match &old {
        Some(Closed::Moving { to } | Closed::Moved { to }) if *to == new_place => {}
        Some(closed) => return Err(refused(closed, &old_place)),
        None => {}
    }
    match &new {
        // Begun before, or coming back: whatever was issued since is in the other one.
        Some(
            Closed::Filling { from: place }
            | Closed::Moving { to: place }
            | Closed::Moved { to: place },
        ) if *place == old_place => Ok(()),
        Some(closed) => Err(refused(closed, &new_place)),
        None => Ok(()),
    }
}

fn refused(closed: &Closed, place: &str) -> StoreError {
    let message = format!("{}, and this is {place}", closed.told());
    StoreError::new(FailureKind::Invalid, message)
}

/// A copy that has begun: both stores are closed.
pub struct Begun {
    from: Arc<dyn Transfer>,
    to: Arc<dyn Transfer>,
    /// What they were before.
    before: [Option<Closed>; 2],
}

impl Begun {
    /// Closes both.
    ///
    /// # Errors
    /// Whatever they say. One may then be closed already: begin again.
    pub async fn new(from: Arc<dyn Transfer>, to: Arc<dyn Transfer>) -> Result<Self, StoreError> {
        let before = [from.closed().await?, to.closed().await?];
        to.close(Some(Closed::Filling { from: from.place() })).await?;
        // What was moved before is not: the new store may have issued since, so that nobody may
        // take it for a copy that can be given up.
        if !matches!(before[0], Some(Closed::Moved { .. })) {
            from.close(Some(Closed::Moving { to: to.place() })).await?;
        }
        Ok(Self { from, to, before })
    }

    /// Nothing was copied: makes them what they were before.
    ///
    /// # Errors
    /// Whatever they say.
    pub async fn give_up(self) -> Result<(), StoreError> {
        let [from, to] = self.before;
        self.from.close(from).await?;
        self.to.close(to).await
    }

    /// Copies all that is due, reads it back, and opens the new store. Tells of each sequence as
    /// soon as it is durable.
    ///
    /// # Errors
    /// Whatever they say. Both are then closed as before: do it again.
    pub async fn end(self, mut tell: impl FnMut(&Planned)) -> Result<(), StoreError> {
        let planned = plan(&*self.from, Some(&*self.to)).await?;
        let mut due = planned.into_iter().filter(|planned| planned.is_due);
        let mut adopting = JoinSet::new();
        loop {
            while adopting.len() < AT_ONCE
                && let Some(planned) = due.next()
            {
                adopting.spawn(adopt_one(Arc::clone(&self.to), planned));
            }
            let Some(adopted) = adopting.join_next().await else { break };
            let adopted = adopted.unwrap_or_else(|_| {
                Err(StoreError::new(
                    FailureKind::Indeterminate,
                    "the copy was cut short: do it again",
                ))
            });
            tell(&adopted?);
        }
        let left = plan(&*self.from, Some(&*self.to)).await?;
        if let Some(left) = left.iter().find(|planned| planned.is_due) {
            let message = format!(
                "something changes the stores at the same time: stop all servers, and copy again; \
                 sequence {}",
                left.name
            );
            return Err(StoreError::new(FailureKind::Conflict, message));
        }
        self.from.close(Some(Closed::Moved { to: self.to.place() })).await?;
        self.to.close(None).await
    }
}

async fn adopt_one(to: Arc<dyn Transfer>, planned: Planned) -> Result<Planned, StoreError> {
    let adopted = to.adopt(&planned.name, planned.theirs.clone()).await?;
    match adopted {
        Ok(()) => Ok(planned),
        Err(Differs(how)) => Err(not_the_same(&[format!("{} is there with {how}", planned.name)])),
    }
}
