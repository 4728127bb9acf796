//! What moves from one store to another: what becomes of a record there, and why a store is closed
//! meanwhile and afterwards.
//!
//! Whatever was reserved in the old store is never reserved in the new one: its marks there are at
//! or above those of old, and none is lowered. A copy that is done twice does nothing the second
//! time.

use alloc::format;
use alloc::string::{String, ToString};
use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;

use crate::record::Record;
use crate::snowflake::lease::{Worker, Workers};
use crate::stride::Member;

/// All that a store remembers of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// Its record.
    pub record: Record,
    /// Of a snowflake sequence, the worker IDs that were ever leased.
    pub workers: Workers,
}

/// What a store has instead of what was to be copied: the difference, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differs(pub String);

/// What `theirs`, copied to where `here` is, makes of it.
///
/// # Errors
/// [`Differs`] if these are two sequences.
pub fn adopt(here: Option<&Record>, theirs: &Record) -> Result<Record, Differs> {
    let Some(here) = here else { return Ok(*theirs) };
    if here.definition != theirs.definition {
        return Err(Differs(here.definition.difference_to(&theirs.definition)));
    }
    let member = match (here.member, theirs.member) {
        (Some(here), Some(theirs)) => Some(later(here, theirs).ok_or_else(|| {
            Differs(format!(
                "another generation of its members: number {}, not {}",
                here.number, theirs.number
            ))
        })?),
        _ => None,
    };
    let higher = if theirs.mark > here.mark { theirs } else { here };
    Ok(Record { member, ..*higher })
}

/// What is left of one member of which two stores tell: what it has promised last. `None` if it
/// went from one generation to another in between, so that positions mean different IDs.
fn later(here: Member, theirs: Member) -> Option<Member> {
    let place = |m: &Member| (m.standing, m.number, m.generation, m.opened);
    if place(&here) != place(&theirs) {
        return None;
    }
    match here.attempt.cmp(&theirs.attempt) {
        Ordering::Less => Some(theirs),
        Ordering::Greater => Some(here),
        Ordering::Equal if here.accepted == theirs.accepted => Some(here),
        // A plan that was given up is never accepted again.
        Ordering::Equal if here.accepted.is_none() => Some(here),
        Ordering::Equal if theirs.accepted.is_none() => Some(theirs),
        Ordering::Equal => None,
    }
}

/// What a worker ID that is at `theirs` elsewhere becomes where it is at `here`.
pub fn adopt_worker(here: Option<Worker>, theirs: Worker) -> Worker {
    here.filter(|here| here.mark >= theirs.mark).unwrap_or(theirs)
}

/// Why no server may issue from a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// Sequences are copied into it, and some may be missing.
    Filling {
        /// What store they come from.
        from: String,
    },
    /// Its sequences are copied, and that has perhaps not ended.
    Moving {
        /// What store they go to.
        to: String,
    },
    /// Its sequences are elsewhere.
    Moved {
        /// In what store.
        to: String,
    },
    /// Its sequences are raised, since it has lost its latest state, and some may be too low.
    Repairing,
}

impl Closed {
    /// Why, and the way out.
    pub fn told(&self) -> String {
        match self {
            Self::Filling { from } => {
                format!("the store holds half a copy: end it with ticketd store copy, from {from}")
            }
            Self::Moving { to } => format!(
                "a copy of the store has not ended: end it with ticketd store copy, or give it up \
                 with ticketd store reopen; it goes to {to}"
            ),
            Self::Moved { to } => format!(
                "the store was moved: serve the new one, or copy that back with ticketd store \
                 copy; it is at {to}"
            ),
            Self::Repairing => "a repair of the store has not ended: end it with ticketd sequence \
                                raise --all --store"
                .to_string(),
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filling { from } => write!(f, "filling from {from}"),
            Self::Moving { to } => write!(f, "moving to {to}"),
            Self::Moved { to } => write!(f, "moved to {to}"),
            Self::Repairing => f.write_str("repairing"),
        }
    }
}

/// A text that [`Closed`] does not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotUnderstood;

impl FromStr for Closed {
    type Err = NotUnderstood;

    fn from_str(text: &str) -> Result<Self, NotUnderstood> {
        let after = |words| text.strip_prefix(words).map(ToString::to_string);
        let filling = after("filling from ").map(|from| Self::Filling { from });
        let moving = || after("moving to ").map(|to| Self::Moving { to });
        let moved = || after("moved to ").map(|to| Self::Moved { to });
        let repairing = || (text == "repairing").then_some(Self::Repairing);
        filling.or_else(moving).or_else(moved).or_else(repairing).ok_or(NotUnderstood)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{BlockLen, Definition, Kind};
    use crate::stride::Seat;
    use crate::stride::resize::{self, Step};
    use crate::stride::{Accepted, PlanId};

    fn ticket(mark: u64, spent: u64) -> Record {
        Record { mark, spent, ..Record::new(Definition::default()) }
    }

    #[test]
    fn the_higher_mark_stays_whichever_store_has_it() {
        assert_eq!(adopt(None, &ticket(9, 7)), Ok(ticket(9, 7)));
        for (here, theirs, is) in [
            (ticket(5, 5), ticket(9, 7), ticket(9, 7)),
            (ticket(9, 7), ticket(5, 5), ticket(9, 7)),
            (ticket(9, 9), ticket(9, 7), ticket(9, 9)),
        ] {
            let once = adopt(Some(&here), &theirs).unwrap();
            assert_eq!((once, adopt(Some(&once), &theirs)), (is, Ok(is)));
        }
        let worker = |mark, holder| Worker { mark, holder };
        assert_eq!(adopt_worker(None, worker(3, 1)), worker(3, 1));
        assert_eq!(adopt_worker(Some(worker(2, 9)), worker(3, 1)), worker(3, 1));
        assert_eq!(adopt_worker(Some(worker(4, 9)), worker(3, 1)), worker(4, 9));
        assert_eq!(adopt_worker(Some(worker(3, 9)), worker(3, 1)), worker(3, 9));
    }

    #[test]
    fn another_definition_is_told_by_its_difference() {
        let other = Definition { block_len: Some(BlockLen::Fixed(7)), ..Definition::default() };
        let told = adopt(Some(&Record::new(other)), &ticket(9, 7)).unwrap_err();
        assert_eq!(told, Differs("block_len 7, not as the server's".to_string()));
    }

    fn plan(attempt: u32) -> PlanId {
        PlanId { attempt, digest: 77 }
    }

    fn take(record: &Record, step: Step) -> Record {
        let mut known = Some(*record);
        resize::take(&mut known, step).unwrap();
        known.unwrap()
    }

    #[test]
    fn of_a_member_the_later_promise_counts_and_another_generation_is_refused() {
        let seat = Seat::new(3, 2).unwrap();
        let first = Record { mark: 40, ..Record::new(Definition::of(Kind::Stride(seat))) };
        let accepted = Accepted { plan: plan(1), generation: 1, seat: Some(seat), cap: 1000 };
        let promised = take(&first, Step::Accept { accepted, joins: false });
        let given_up = take(&promised, Step::Release { plan: plan(1) });
        for (here, theirs, is) in [
            (&first, &promised, &promised),
            (&promised, &first, &promised),
            (&promised, &given_up, &given_up),
            (&given_up, &promised, &given_up),
            (&given_up, &given_up, &given_up),
        ] {
            assert_eq!(adopt(Some(here), theirs), Ok(*is));
        }
        let opened = take(&promised, Step::Open { plan: plan(1), floor: 2000 });
        for (here, theirs) in [(&first, &opened), (&opened, &promised)] {
            let Differs(told) = adopt(Some(here), theirs).unwrap_err();
            assert!(told.contains("another generation of its members"), "{told}");
        }
        assert_eq!(adopt(Some(&opened), &opened), Ok(opened));
        let other = Record::new(Definition::of(Kind::Stride(Seat::new(3, 1).unwrap())));
        assert_eq!(adopt(Some(&other), &first), Err(Differs("offset 1, not 2".to_string())));
    }

    #[test]
    fn why_a_store_is_closed_reads_as_it_is_written() {
        let url = || "etcd://a,b/x y".to_string();
        for closed in [
            Closed::Filling { from: url() },
            Closed::Moving { to: url() },
            Closed::Moved { to: url() },
        ] {
            assert_eq!(closed.to_string().parse(), Ok(closed.clone()));
            assert!(closed.told().ends_with("etcd://a,b/x y"));
        }
        assert_eq!(Closed::Repairing.to_string().parse(), Ok(Closed::Repairing));
        assert_eq!("open".parse::<Closed>(), Err(NotUnderstood));
    }
}
