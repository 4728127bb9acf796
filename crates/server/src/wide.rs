//! Sequences of 128-bit IDs: UUIDs and ULIDs. They need no store but for their definition.
//!
//! Versions 7 and ULID are strictly increasing within this server: one generator makes all of a
//! sequence, under a lock, and goes on counting from the last one when the clock stands still or
//! goes back. When the random part overflows, a UUID takes the next millisecond (RFC 9562, section
//! 6.2) and a ULID is refused until the next one (as its specification demands).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use ticketd_core::definition::{Kind, KindName};
use ticketd_core::forecast::RateMeter;
use ticketd_core::ids::Id;
use ticketd_core::name::Name;
use ticketd_core::time::{Instant, UnixMillis};
use uuid::{ContextV7, Timestamp, Uuid};

use crate::error::{ErrorKind, ServiceError};
use crate::info::Info;

/// A source of UUIDs or ULIDs.
#[derive(Debug)]
pub struct Wide {
    name: Name,
    kind: Kind,
    made: Mutex<Made>,
    issued: AtomicU64,
    rate: Mutex<RateMeter>,
}

#[derive(Debug)]
struct Made {
    generator: Generator,
    /// The last ID; 0 before the first.
    last: u128,
}

#[derive(Debug)]
enum Generator {
    Uuid4,
    Uuid7(ContextV7),
    Ulid(ulid::Generator),
}

impl Wide {
    /// A source of 128-bit IDs of `kind`; `None` if that is no such kind.
    pub(crate) fn new(name: Name, kind: Kind, now: Instant) -> Option<Self> {
        let generator = match kind {
            Kind::Uuid4 => Generator::Uuid4,
            Kind::Uuid7 => Generator::Uuid7(ContextV7::new()),
            Kind::Ulid => Generator::Ulid(ulid::Generator::new()),
            Kind::Ticket | Kind::Stride(_) | Kind::Snowflake(_) => return None,
        };
        Some(Self {
            name,
            kind,
            made: Mutex::new(Made { generator, last: 0 }),
            issued: AtomicU64::new(0),
            rate: Mutex::new(RateMeter::new(now, 0)),
        })
    }

    /// Its name.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Its kind.
    pub const fn kind(&self) -> KindName {
        self.kind.name()
    }

    /// IDs made since this server opened it.
    pub fn issued(&self) -> u64 {
        self.issued.load(Ordering::Relaxed)
    }

    /// What there is to see of it at `now`.
    pub(crate) fn info(&self, now: Instant) -> Info {
        let issued = self.issued();
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        let per_second = rate.observe(now, issued);
        let last = self.made().last;
        let last = if self.kind == Kind::Ulid { Id::Ulid(last) } else { Id::Uuid(last) };
        let last = (issued > 0).then_some(last);
        Info { issued, per_second, last, ..Info::of_kind(self.name.clone(), self.kind) }
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().expect("no generator has gone back")
    }

    /// Makes `n` IDs when the wall clock says `now`.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if a ULID's random part has overflowed in this millisecond.
    ///
    /// # Panics
    /// If a generator goes back: that would break what its kind promises.
    pub(crate) fn take(&self, now: UnixMillis, n: u64) -> Result<Vec<u128>, ServiceError> {
        let mut made = self.made();
        let ids: Result<Vec<u128>, ServiceError> = (0..n).map(|_| made.next(now)).collect();
        self.issued.fetch_add(ids.as_ref().map_or(0, |ids| ids.len() as u64), Ordering::Relaxed);
        ids
    }
}

impl Made {
    fn next(&mut self, now: UnixMillis) -> Result<u128, ServiceError> {
        let id = self.generator.next(now)?;
        let rises = !matches!(self.generator, Generator::Uuid4);
        assert!(!rises || id > self.last, "128-bit IDs rise: {id:032x} after {:032x}", self.last);
        self.last = id;
        Ok(id)
    }
}

impl Generator {
    fn next(&mut self, now: UnixMillis) -> Result<u128, ServiceError> {
        match self {
            Self::Uuid4 => Ok(Uuid::new_v4().as_u128()),
            Self::Uuid7(context) => {
                let nanos = (now.0 % 1000) as u32 * 1_000_000;
                let time = Timestamp::from_unix(&*context, now.0 / 1000, nanos);
                Ok(Uuid::new_v7(time).as_u128())
            }
            Self::Ulid(generator) => {
                let time = SystemTime::UNIX_EPOCH + Duration::from_millis(now.0);
                Ok(generator.generate_from_datetime(time).map_err(|_| overflow())?.0)
            }
        }
    }
}

fn overflow() -> ServiceError {
    let message = "the random part of the ULID has overflowed; try again in a millisecond";
    ServiceError::new(ErrorKind::Unavailable, message)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const NOW: u64 = 1_790_000_000_123;

    fn source(kind: Kind) -> Wide {
        Wide::new(Name::new("e").unwrap(), kind, Instant::default()).unwrap()
    }

    #[test]
    fn what_sorts_by_time_rises_within_a_millisecond_and_while_the_clock_goes_back() {
        for kind in [Kind::Uuid7, Kind::Ulid] {
            let source = source(kind);
            let mut last = 0;
            for now in [NOW, NOW, NOW + 7, NOW - 3_600_000, 0, NOW + 6, NOW + 8] {
                for id in source.take(UnixMillis(now), 1000).unwrap() {
                    assert!(id > last, "{kind:?} at {now}");
                    last = id;
                }
            }
            assert_eq!(last >> 80, u128::from(NOW + 8), "{kind:?} carries the time");
            assert_eq!(source.issued(), 7000);
        }
    }

    #[test]
    fn uuids_say_their_version_and_variant() {
        for (kind, version) in [(Kind::Uuid4, 4), (Kind::Uuid7, 7)] {
            for id in source(kind).take(UnixMillis(NOW), 100).unwrap() {
                let uuid = Uuid::from_u128(id);
                assert_eq!(uuid.get_version_num(), version);
                assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
            }
        }
    }

    #[test]
    fn random_uuids_differ() {
        let ids = source(Kind::Uuid4).take(UnixMillis(NOW), 10_000).unwrap();
        assert_eq!(ids.into_iter().collect::<HashSet<_>>().len(), 10_000);
    }

    #[test]
    fn a_ulid_whose_random_part_is_used_up_is_refused_until_the_next_millisecond() {
        let source = source(Kind::Ulid);
        let mut generator = ulid::Generator::new();
        // The largest random part: whatever comes next in this millisecond overflows.
        struct Ones;
        impl rand::TryRng for Ones {
            type Error = std::convert::Infallible;
            fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
                Ok(u32::MAX)
            }
            fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
                Ok(u64::MAX)
            }
            fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
                bytes.fill(0xff);
                Ok(())
            }
        }
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(NOW);
        let full = generator.generate_from_datetime_with_source(time, &mut Ones).unwrap();
        assert_eq!(full.random(), (1 << 80) - 1);
        *source.made() = Made { generator: Generator::Ulid(generator), last: full.0 };
        let refused = source.take(UnixMillis(NOW), 1).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Unavailable);
        assert!(source.take(UnixMillis(NOW + 1), 1).unwrap()[0] > full.0);
    }
}
