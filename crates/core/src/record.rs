//! The durable record of a sequence: its arithmetic, and its form on disk.
//!
//! Every store that keeps records itself (embedded, memory, the models of the deterministic world)
//! moves them with the three functions here and nothing else. Each only ever raises the mark, but
//! for [`Record::hand_back`], which lowers it over IDs that their only holder gives up.

use alloc::format;
use alloc::vec::Vec;

use crate::block::Block;
use crate::definition::{BlockLen, Definition, Kind, KindName, Order};
use crate::limits::{ID_MIN, MARK_MAX};
use crate::name::Name;
use crate::snowflake::{CounterStart, Snowflake};
use crate::stride::{Member, Standing};

/// What a store remembers of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Record {
    /// What its creator chose.
    pub definition: Definition,
    /// The high-water mark: the first ID never yet reserved. 1 to [`MARK_MAX`].
    pub mark: u64,
    /// Everything below it had been issued or given up when the record was last written; at most
    /// `mark`. It equals `mark` after a clean stop, so that `mark - spent` bounds what a crash
    /// burnt.
    pub spent: u64,
    /// Of a stride sequence: where this member stands among the others.
    pub member: Option<Member>,
}

/// What a reservation asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserve {
    /// The block starts here or above.
    pub floor: u64,
    /// How many IDs; at least 1. A store may give fewer, never none.
    pub len: u64,
    /// Everything below it is issued or given up: see [`Record::spent`].
    pub spent: u64,
    /// The number of the generation that whoever asks believes in, as [`Record::generation`].
    pub generation: u32,
    /// The turn in which whoever asks owns the sequence: see
    /// [`Shared::turn`](crate::cluster::Shared::turn). 0 where nobody shares it.
    pub turn: u64,
}

/// Unissued IDs that their only holder gives back at a clean stop: `[start, end)`, perhaps empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HandBack {
    /// The first ID that was not issued.
    pub start: u64,
    /// The mark as the holder knows it. If the store's is another, somebody else has reserved
    /// since, and nothing is given back.
    pub end: u64,
    /// As [`Reserve::turn`].
    pub turn: u64,
}

/// Why there is no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoBlock {
    /// The ID space is used up.
    Exhausted,
    /// The rest waits for a new generation of the stride sequence to open.
    Capped,
    /// The stride sequence is in another generation than whoever asks believes.
    Fenced,
    /// This member has left the stride sequence.
    Left,
    /// Another server owns the sequence, or another turn of this one.
    NotOwner,
}

/// Bytes that are no record of the sequence they were stored under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// Not the length of a record.
    Length,
    /// The checksum does not match: damaged, or another sequence's record.
    Checksum,
    /// A format or a value that this version does not know.
    Unknown,
    /// The checksum matches and the values contradict each other.
    Contradiction,
}

impl Record {
    /// The record of a new sequence.
    pub const fn new(definition: Definition) -> Self {
        let member = match definition.kind {
            Kind::Stride(seat) => Some(Member::first_of(seat)),
            _ => None,
        };
        Self { definition, mark: ID_MIN, spent: ID_MIN, member }
    }

    /// The number of the generation that a stride sequence is in; 0 for other kinds.
    pub fn generation(&self) -> u32 {
        self.member.map_or(0, |member| member.number)
    }

    /// The ID at `position`; [`MARK_MAX`] if there is none.
    pub fn id_of(&self, position: u64) -> u64 {
        self.member.map_or(position, |member| member.generation.id_of(position))
    }

    /// The ID at `position`, if it is one of the generation that the sequence is in.
    pub fn issued_id_of(&self, position: u64) -> Option<u64> {
        let base = self.member.map_or(ID_MIN, |member| member.generation.base());
        (position >= base).then(|| self.id_of(position))
    }

    /// The mark of this sequence when all of its IDs are reserved: for a stride sequence, which
    /// is reserved by position, one above the position of its last ID.
    pub fn mark_max(&self) -> u64 {
        self.member.map_or(MARK_MAX, |member| member.generation.mark_max())
    }

    /// The mark beyond which nothing can be reserved now.
    fn bound(&self) -> u64 {
        self.member.map_or(MARK_MAX, |member| member.bound(self.mark))
    }

    /// Reserves a block of `asked.len` IDs at or above both the mark and `asked.floor`; shorter
    /// where the ID space, or what is agreed with other members, ends.
    ///
    /// # Errors
    /// [`NoBlock`] says why there is not a single ID; the record is unchanged.
    pub fn reserve(&mut self, asked: Reserve) -> Result<Block, NoBlock> {
        if asked.generation != self.generation() {
            return Err(NoBlock::Fenced);
        }
        let start = self.mark.max(asked.floor);
        let end = start.saturating_add(asked.len.max(1)).min(self.bound());
        let block = Block::new(start, end).ok_or_else(|| self.why_not(start))?;
        self.mark = block.end();
        self.spent = self.spent.max(asked.spent).min(self.mark);
        Ok(block)
    }

    fn why_not(&self, start: u64) -> NoBlock {
        match self.member {
            Some(member) if member.standing == Standing::Left => NoBlock::Left,
            Some(member) if member.standing == Standing::Joining => NoBlock::Capped,
            Some(member) if member.accepted.is_some() && start < self.mark_max() => NoBlock::Capped,
            _ => NoBlock::Exhausted,
        }
    }

    /// Raises the mark to at least `floor` (at most to where nothing can be reserved now) and
    /// returns it. Never lowers it. What was held below a raised mark counts as given up.
    pub fn raise(&mut self, floor: u64) -> u64 {
        let floor = floor.min(self.bound());
        if floor > self.mark {
            self.mark = floor;
            self.spent = floor;
        }
        self.mark
    }

    /// Takes back the unissued end of what is reserved, if the mark is still where the holder left
    /// it; returns whether it was.
    pub fn hand_back(&mut self, unissued: HandBack) -> bool {
        // What was reserved in an earlier generation would be other IDs in this one.
        let lowest = self.member.map_or(ID_MIN, |member| member.generation.base());
        if self.mark != unissued.end || !(lowest..=unissued.end).contains(&unissued.start) {
            return false;
        }
        self.mark = unissued.start;
        self.spent = unissued.start;
        true
    }

    /// How many IDs were reserved and not known to be spent: what a crash may have burnt.
    pub const fn unaccounted(&self) -> u64 {
        self.mark - self.spent
    }
}

/// The length of an encoded record in bytes.
pub const ENCODED_LEN: usize = 32;

/// The first byte of an encoded record.
const FORMAT: u8 = 1;

/// Block length codes: the server's setting, and "auto"; anything else is a fixed length.
const BLOCK_LEN_OF_SERVER: u64 = 0;
const BLOCK_LEN_AUTO: u64 = u64::MAX;

impl Record {
    /// The record as it is stored under `name`, but for what [`Record::encode_chosen`] holds:
    /// format, kind, order, a byte of zero, then block length, mark and spent as little-endian 64-bit
    /// numbers, then the CRC-32 of the name and all that before it.
    ///
    /// A version that does not know a kind refuses the record, so that it cannot issue from it.
    pub fn encode(&self, name: &Name) -> [u8; ENCODED_LEN] {
        let block_len = match self.definition.block_len {
            None => BLOCK_LEN_OF_SERVER,
            Some(BlockLen::Auto) => BLOCK_LEN_AUTO,
            Some(BlockLen::Fixed(len)) => len,
        };
        let mut bytes = [0; ENCODED_LEN];
        bytes[0] = FORMAT;
        bytes[1] = self.definition.kind.name() as u8;
        bytes[2] = u8::from(self.definition.order == Order::Loose);
        bytes[4..12].copy_from_slice(&block_len.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.mark.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.spent.to_le_bytes());
        let sum = checksum(name, &bytes[..28]);
        bytes[28..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// What its creator chose about its kind, as it is stored under `name` beside
    /// [`Record::encode`]: as text, then the CRC-32 of the name and that. `None` if the kind
    /// leaves nothing to choose. It never changes, but for stride, where a resize changes it.
    pub fn encode_chosen(&self, name: &Name) -> Option<Vec<u8>> {
        let text = match &self.definition.kind {
            Kind::Ticket | Kind::Uuid4 | Kind::Uuid7 | Kind::Ulid => return None,
            Kind::Stride(seat) => self.member.unwrap_or(Member::first_of(*seat)).encode(),
            Kind::Snowflake(chosen) => {
                format!("{} {}", chosen.layout, chosen.counter_start.as_str())
            }
        };
        let mut bytes = text.into_bytes();
        let sum = checksum(name, &bytes);
        bytes.extend(sum.to_le_bytes());
        Some(bytes)
    }

    /// Reads what [`Record::encode`] and [`Record::encode_chosen`] wrote under `name`.
    ///
    /// # Errors
    /// [`DecodeError`] for anything else: damaged, of another sequence, of another version.
    pub fn decode(name: &Name, bytes: &[u8], chosen: Option<&[u8]>) -> Result<Self, DecodeError> {
        let bytes: &[u8; ENCODED_LEN] = bytes.try_into().map_err(|_| DecodeError::Length)?;
        let number = |at: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(eight)
        };
        if checksum(name, &bytes[..28]).to_le_bytes() != bytes[28..] {
            return Err(DecodeError::Checksum);
        }
        let &[FORMAT, kind, order @ (0 | 1), 0, ..] = bytes else {
            return Err(DecodeError::Unknown);
        };
        let order = if order == 0 { Order::Strict } else { Order::Loose };
        let (kind, member) = decode_kind(name, kind, chosen)?;
        let block_len = match number(4) {
            BLOCK_LEN_OF_SERVER => None,
            BLOCK_LEN_AUTO => Some(BlockLen::Auto),
            len => Some(BlockLen::fixed(len).map_err(|_| DecodeError::Unknown)?),
        };
        let (mark, spent) = (number(12), number(20));
        if !(ID_MIN..=MARK_MAX).contains(&mark) || !(ID_MIN..=mark).contains(&spent) {
            return Err(DecodeError::Contradiction);
        }
        if member.is_some_and(|member| mark < member.generation.base()) {
            return Err(DecodeError::Contradiction);
        }
        Ok(Self { definition: Definition { kind, block_len, order }, mark, spent, member })
    }
}

fn decode_kind(
    name: &Name,
    code: u8,
    chosen: Option<&[u8]>,
) -> Result<(Kind, Option<Member>), DecodeError> {
    let kind = KindName::ALL.into_iter().find(|kind| *kind as u8 == code);
    let text = chosen.map(|bytes| decode_chosen(name, bytes)).transpose()?;
    let kind = match (kind.ok_or(DecodeError::Unknown)?, text) {
        (KindName::Ticket, None) => Kind::Ticket,
        (KindName::Uuid4, None) => Kind::Uuid4,
        (KindName::Uuid7, None) => Kind::Uuid7,
        (KindName::Ulid, None) => Kind::Ulid,
        (KindName::Stride, Some(text)) => {
            let member = Member::decode(text).ok_or(DecodeError::Unknown)?;
            return Ok((Kind::Stride(member.generation.seat()), Some(member)));
        }
        (KindName::Snowflake, Some(text)) => {
            let (layout, counter_start) = text.split_once(' ').ok_or(DecodeError::Unknown)?;
            Kind::Snowflake(Snowflake {
                layout: layout.parse().map_err(|_| DecodeError::Unknown)?,
                counter_start: CounterStart::parse(counter_start).ok_or(DecodeError::Unknown)?,
            })
        }
        _ => return Err(DecodeError::Contradiction),
    };
    Ok((kind, None))
}

fn decode_chosen<'a>(name: &Name, bytes: &'a [u8]) -> Result<&'a str, DecodeError> {
    let (text, sum) = bytes.split_last_chunk().ok_or(DecodeError::Length)?;
    if checksum(name, text).to_le_bytes() != *sum {
        return Err(DecodeError::Checksum);
    }
    core::str::from_utf8(text).map_err(|_| DecodeError::Unknown)
}

fn checksum(name: &Name, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(name.as_str().as_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

impl core::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Length => "its length is not that of a record",
            Self::Checksum => "its checksum does not match",
            Self::Unknown => "it was written by a version that this one does not know",
            Self::Contradiction => "its values contradict each other",
        })
    }
}

impl core::error::Error for DecodeError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::ID_MAX;
    use crate::stride::Seat;

    fn record(mark: u64) -> Record {
        Record { mark, spent: ID_MIN, ..Record::new(Definition::default()) }
    }

    fn reserve(floor: u64, len: u64) -> Reserve {
        Reserve { floor, len, spent: 1, generation: 0, turn: 0 }
    }

    #[test]
    fn reserves_from_the_mark_or_the_floor_whichever_is_higher() {
        let mut r = record(1);
        assert_eq!(r.reserve(reserve(1, 7)), Ok(Block::new(1, 8).unwrap()));
        assert_eq!(r.reserve(reserve(1, 7)), Ok(Block::new(8, 15).unwrap()));
        assert_eq!(r.reserve(reserve(100, 3)), Ok(Block::new(100, 103).unwrap()));
        assert_eq!(r.mark, 103);
    }

    #[test]
    fn gives_the_last_id_and_then_is_exhausted() {
        let mut r = record(ID_MAX - 1);
        assert_eq!(r.reserve(reserve(1, 10)), Ok(Block::new(ID_MAX - 1, MARK_MAX).unwrap()));
        let full = r;
        assert_eq!(r.reserve(reserve(1, 1)), Err(NoBlock::Exhausted));
        assert_eq!(r.reserve(reserve(u64::MAX, u64::MAX)), Err(NoBlock::Exhausted));
        assert_eq!(r, full);
    }

    #[test]
    fn a_member_of_a_stride_reserves_up_to_its_last_id_and_no_further() {
        for (members, offset) in [(1, 1), (2, 1), (2, 2), (3, 1), (7, 5), (65_536, 65_536)] {
            let seat = Seat::new(members, offset).unwrap();
            let mut r = Record::new(Definition::of(Kind::Stride(seat)));
            r.raise(u64::MAX);
            let last = u128::from(offset) + u128::from(r.mark - 2) * u128::from(members);
            assert!(last <= u128::from(ID_MAX) && last + u128::from(members) > u128::from(ID_MAX));
            assert_eq!(
                r.reserve(Reserve { generation: 1, ..reserve(1, 1) }),
                Err(NoBlock::Exhausted)
            );
            assert_eq!(r.reserve(reserve(1, 1)), Err(NoBlock::Fenced));
        }
    }

    #[test]
    fn a_raise_is_a_maximum() {
        let mut r = record(50);
        assert_eq!(r.raise(10), 50);
        assert_eq!(r.raise(60), 60);
        assert_eq!(r.raise(u64::MAX), MARK_MAX);
    }

    #[test]
    fn takes_back_only_from_the_one_who_reserved_last() {
        let mut r = record(50);
        assert!(!r.hand_back(HandBack { start: 40, end: 49, turn: 0 }));
        assert!(!r.hand_back(HandBack { start: 51, end: 50, turn: 0 }));
        assert!(!r.hand_back(HandBack { start: 0, end: 50, turn: 0 }));
        assert_eq!(r, record(50));
        assert!(r.hand_back(HandBack { start: 45, end: 50, turn: 0 }));
        assert_eq!((r.mark, r.spent, r.unaccounted()), (45, 45, 0));
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let name = Name::new("notes").unwrap();
        let bytes = record(12_345).encode(&name);
        for bit in 0..ENCODED_LEN * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            let read = Record::decode(&name, &damaged, None);
            assert_eq!(read, Err(DecodeError::Checksum), "bit {bit}");
        }
        let tasks = Name::new("tasks").unwrap();
        assert_eq!(Record::decode(&tasks, &bytes, None), Err(DecodeError::Checksum));
        assert_eq!(Record::decode(&name, &bytes[1..], None), Err(DecodeError::Length));
    }

    fn kinds() -> [Kind; 6] {
        let layout = "time:40,a:3,counter:12,b:8@1234567890123/7ms".parse().unwrap();
        let counter_start = CounterStart::Random;
        [
            Kind::Ticket,
            Kind::Stride(Seat::new(65_536, 12_345).unwrap()),
            Kind::Snowflake(Snowflake { layout, counter_start }),
            Kind::Uuid4,
            Kind::Uuid7,
            Kind::Ulid,
        ]
    }

    #[test]
    fn what_was_chosen_about_a_kind_is_read_back_and_damage_to_it_is_noticed() {
        let name = Name::new("eu/notes").unwrap();
        for kind in kinds() {
            let record = Record::new(Definition::of(kind));
            let (bytes, chosen) = (record.encode(&name), record.encode_chosen(&name));
            assert_eq!(Record::decode(&name, &bytes, chosen.as_deref()), Ok(record));
            let Some(chosen) = chosen else { continue };
            let lost = Record::decode(&name, &bytes, None);
            assert_eq!(lost, Err(DecodeError::Contradiction));
            for bit in 0..chosen.len() * 8 {
                let mut damaged = chosen.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                let read = Record::decode(&name, &bytes, Some(&damaged));
                assert_eq!(read, Err(DecodeError::Checksum), "bit {bit}");
            }
            let read = Record::decode(&name, &bytes, Some(&chosen[..3]));
            assert_eq!(read, Err(DecodeError::Length));
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_wrote(
            mark in ID_MIN..=MARK_MAX,
            below in 0..1000_u64,
            block_len in prop_oneof![
                Just(None), Just(Some(BlockLen::Auto)),
                (1..=crate::limits::BLOCK_LEN_MAX).prop_map(|n| Some(BlockLen::Fixed(n)))
            ],
            loose in any::<bool>(),
        ) {
            let name = Name::new("a/b").unwrap();
            let order = if loose { Order::Loose } else { Order::Strict };
            let definition = Definition { kind: Kind::Ticket, block_len, order };
            let spent = mark.saturating_sub(below).max(ID_MIN);
            let record = Record { mark, spent, ..Record::new(definition) };
            prop_assert_eq!(Record::decode(&name, &record.encode(&name), None), Ok(record));
        }

        #[test]
        fn blocks_of_any_history_are_disjoint_and_rising(
            asked in proptest::collection::vec((1..2000_u64, 0..50_u64, any::<bool>()), 1..50),
        ) {
            let mut r = record(1);
            let mut reserved_below = ID_MIN;
            for (floor, len, is_raise) in asked {
                if is_raise {
                    r.raise(floor);
                } else {
                    let block = r.reserve(reserve(floor, len)).unwrap();
                    prop_assert!(block.start() >= reserved_below && block.start() >= floor);
                    prop_assert_eq!(block.len(), len.max(1));
                    reserved_below = block.end();
                }
                prop_assert!(r.mark >= reserved_below);
            }
        }
    }
}
