//! The record of a sequence that several servers share: with its owner, and as text.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Write;

use crate::block::Block;
use crate::cluster::ServerId;
use crate::definition::{BlockLen, Definition, Kind, KindName, Order};
use crate::limits::{ID_MIN, MARK_MAX};
use crate::name::Name;
use crate::record::{DecodeError, HandBack, NoBlock, Record, Reserve};
use crate::snowflake::{CounterStart, Snowflake};
use crate::stride::Member;

/// Where the age begins in a turn. Four thousand million turns are one a second for 136 years.
const AGE_SHIFT: u32 = 32;

/// What an engine remembers of a sequence.
///
/// The pair of turn and mark never goes back: within a turn the mark only rises, and whatever
/// lowers it begins another turn. Who sees an older pair than before knows that the engine has lost
/// its memory. Once that is repaired, turns are counted anew from far above, in another age: what
/// was seen in an earlier one is of a history that is partly lost, and of it the marks count alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shared {
    /// As one server alone would keep it.
    pub record: Record,
    /// The fencing token: it rises with each new owner, and when IDs are handed back. Its upper half
    /// is the age: how often the engine's loss of its memory was repaired.
    pub turn: u64,
    /// Who may reserve, if it is a sequence that is owned; otherwise who has reserved last.
    pub owner: Option<ServerId>,
}

/// Who wants to issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The server that asks.
    pub server: ServerId,
    /// What to make if there is no such sequence.
    pub create: Option<Definition>,
    /// Who should own it rather than whoever asks, if nobody does and that one is there.
    pub defer_to: Option<ServerId>,
}

impl Claim {
    /// A claim of `server` on a sequence that exists.
    pub const fn of(server: ServerId) -> Self {
        Self { server, create: None, defer_to: None }
    }
}

/// Who may issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it is handed on at once, never kept")]
pub enum Claimed {
    /// Whoever asked, from what the record says, in this turn.
    Mine(Record, u64),
    /// Another server, whose lease stands; the kind of the sequence.
    Theirs(ServerId, KindName),
}

impl Shared {
    /// A new sequence, which nobody owns.
    pub const fn new(definition: Definition) -> Self {
        Self { record: Record::new(definition), turn: 0, owner: None }
    }

    /// Makes `server` the owner, unless another is whose lease has not ended. A sequence that is
    /// not owned is anybody's, in turn 0.
    ///
    /// Claiming again begins another turn as well: what the server asked before, and has not heard
    /// of, then reserves nothing.
    pub fn claim(&mut self, server: ServerId, has_ended: impl FnOnce(ServerId) -> bool) -> Claimed {
        if !self.record.definition.has_owner() {
            return Claimed::Mine(self.record, 0);
        }
        if let Some(owner) = self.owner.filter(|owner| *owner != server)
            && !has_ended(owner)
        {
            return Claimed::Theirs(owner, self.record.definition.kind.name());
        }
        self.owner = Some(server);
        self.turn += 1;
        Claimed::Mine(self.record, self.turn)
    }

    /// As [`Record::reserve`], in the turn that whoever asks believes in.
    ///
    /// # Errors
    /// [`NoBlock::NotOwner`] in another one; otherwise as [`Record::reserve`].
    pub fn reserve(&mut self, asked: Reserve) -> Result<Block, NoBlock> {
        if !self.is_turn(asked.turn) {
            return Err(NoBlock::NotOwner);
        }
        self.record.reserve(asked)
    }

    /// Of a sequence that is not owned, remembers who reserved last: only that one can hand back.
    /// The mark alone does not tell, if an engine fell back and has given the same block again.
    pub const fn note_last(&mut self, server: Option<ServerId>) {
        if !self.record.definition.has_owner() {
            self.owner = server;
        }
    }

    /// Whether `server` may hand back, as far as the owner tells; the turn tells the rest.
    pub fn is_last(&self, server: Option<ServerId>) -> bool {
        self.record.definition.has_owner() || self.owner == server
    }

    /// As [`Record::hand_back`]. Whoever hands back has stopped, so the sequence is free.
    pub fn hand_back(&mut self, unissued: HandBack) -> bool {
        let done = self.is_turn(unissued.turn) && self.record.hand_back(unissued);
        if done {
            self.turn += 1;
            self.owner = None;
        }
        done
    }

    fn is_turn(&self, turn: u64) -> bool {
        turn == if self.record.definition.has_owner() { self.turn } else { 0 }
    }

    /// Whether this can be what became of `before`: see [`Shared`].
    pub fn can_follow(&self, before: &Self) -> bool {
        if self.age() > before.age() {
            return self.record.mark >= before.record.mark;
        }
        (self.turn, self.record.mark) >= (before.turn, before.record.mark)
    }

    const fn age(&self) -> u64 {
        self.turn >> AGE_SHIFT
    }

    /// What the engine is to hold after it has lost its memory: nothing below `floor` is reserved
    /// any more, nobody owns it, and no turn of before comes again. `seen` are the states that others
    /// remember beside this one. No server may use the sequence meanwhile.
    #[must_use]
    pub fn repaired<'a>(mut self, seen: impl Iterator<Item = &'a Self>, floor: u64) -> Self {
        let age = seen.map(Self::age).max().unwrap_or(0).max(self.age());
        self.record.raise(floor);
        // Nobody lives to see that many repairs.
        self.turn = (age + 1).min(u64::MAX >> AGE_SHIFT) << AGE_SHIFT;
        self.owner = None;
        self
    }

    /// As it is stored under `name`: fields for people to read, then the CRC-32 of the name and
    /// those, so that a change by hand is noticed.
    pub fn to_text(&self, name: &Name) -> String {
        let Record { definition, mark, spent, member } = self.record;
        let owner = self.owner.map_or_else(|| "-".to_string(), |owner| owner.to_string());
        let block_len =
            definition.block_len.map_or_else(|| "server".to_string(), |l| l.to_string());
        let (kind, order) = (definition.kind.name().as_str(), definition.order.as_str());
        let mut text = format!(
            "mark={mark} spent={spent} turn={} owner={owner} order={order} block_len={block_len} \
             kind={kind}",
            self.turn
        );
        match &definition.kind {
            Kind::Stride(seat) => {
                let member = member.unwrap_or(Member::first_of(*seat));
                push(&mut text, &member.encode());
            }
            Kind::Snowflake(chosen) => {
                push(&mut text, &format!("{} {}", chosen.layout, chosen.counter_start.as_str()));
            }
            Kind::Ticket | Kind::Uuid4 | Kind::Uuid7 | Kind::Ulid => {}
        }
        let sum = checksum(name, &text);
        push(&mut text, &format!("crc={sum:08x}"));
        text
    }

    /// Reads what [`Shared::to_text`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] for anything else.
    pub fn from_text(name: &Name, text: &str) -> Result<Self, DecodeError> {
        let (fields, sum) = text.rsplit_once(" crc=").ok_or(DecodeError::Unknown)?;
        if format!("{:08x}", checksum(name, fields)) != sum {
            return Err(DecodeError::Checksum);
        }
        let mut rest = fields;
        let mut field = |key: &str| {
            let (first, after) = rest.split_once(' ').unwrap_or((rest, ""));
            rest = after;
            first.strip_prefix(key)?.strip_prefix('=')
        };
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
        let numbers = (number(field("mark")), number(field("spent")), number(field("turn")));
        let (Some(mark), Some(spent), Some(turn)) = numbers else {
            return Err(DecodeError::Unknown);
        };
        let owner = match field("owner").ok_or(DecodeError::Unknown)? {
            "-" => None,
            id => Some(id.parse().map_err(|()| DecodeError::Unknown)?),
        };
        let order = field("order").and_then(Order::parse).ok_or(DecodeError::Unknown)?;
        let block_len = match field("block_len").ok_or(DecodeError::Unknown)? {
            "server" => None,
            len => Some(len.parse::<BlockLen>().map_err(|_| DecodeError::Unknown)?),
        };
        let kind = field("kind").and_then(KindName::parse).ok_or(DecodeError::Unknown)?;
        let (kind, member) = chosen(kind, rest).ok_or(DecodeError::Unknown)?;
        if !(ID_MIN..=MARK_MAX).contains(&mark) || !(ID_MIN..=mark).contains(&spent) {
            return Err(DecodeError::Contradiction);
        }
        let definition = Definition { kind, block_len, order };
        Ok(Self { record: Record { definition, mark, spent, member }, turn, owner })
    }
}

fn chosen(kind: KindName, text: &str) -> Option<(Kind, Option<Member>)> {
    let kind = match kind {
        KindName::Stride => {
            let member = Member::decode(text)?;
            return Some((Kind::Stride(member.generation.seat()), Some(member)));
        }
        KindName::Snowflake => {
            let (layout, counter_start) = text.split_once(' ')?;
            let (layout, start) = (layout.parse().ok()?, CounterStart::parse(counter_start)?);
            return Some((Kind::Snowflake(Snowflake { layout, counter_start: start }), None));
        }
        KindName::Ticket => Kind::Ticket,
        KindName::Uuid4 => Kind::Uuid4,
        KindName::Uuid7 => Kind::Uuid7,
        KindName::Ulid => Kind::Ulid,
    };
    text.is_empty().then_some((kind, None))
}

fn push(text: &mut String, words: &str) {
    write!(text, " {words}").expect("writing to a string does not fail");
}

fn checksum(name: &Name, text: &str) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(name.as_str().as_bytes());
    hasher.update(text.as_bytes());
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stride::Seat;

    const A: ServerId = ServerId(0xa);
    const B: ServerId = ServerId(0xb);

    fn standing(_: ServerId) -> bool {
        false
    }

    fn shared() -> Shared {
        Shared::new(Definition::default())
    }

    fn turn(claimed: Claimed) -> u64 {
        match claimed {
            Claimed::Mine(_, turn) => turn,
            Claimed::Theirs(other, _) => panic!("{other} owns it"),
        }
    }

    fn reserve(turn: u64) -> Reserve {
        Reserve { floor: 1, len: 10, spent: 1, generation: 0, turn }
    }

    #[test]
    fn one_owner_at_a_time_and_what_it_asked_before_its_end_comes_to_nothing() {
        let mut s = shared();
        let of_a = turn(s.claim(A, standing));
        assert_eq!(s.reserve(reserve(of_a)), Ok(Block::new(1, 11).unwrap()));
        assert_eq!(s.claim(B, standing), Claimed::Theirs(A, KindName::Ticket));
        let of_b = turn(s.claim(B, |ended| ended == A));
        assert!(of_b > of_a);
        let before = s;
        assert_eq!(s.reserve(reserve(of_a)), Err(NoBlock::NotOwner));
        assert!(!s.hand_back(HandBack { start: 5, end: 11, turn: of_a }));
        assert_eq!(s, before);
        assert_eq!(s.reserve(reserve(of_b)), Ok(Block::new(11, 21).unwrap()));
    }

    #[test]
    fn who_claims_again_fences_its_own_past() {
        let mut s = shared();
        let first = turn(s.claim(A, standing));
        let second = turn(s.claim(A, standing));
        assert_eq!(s.reserve(reserve(first)), Err(NoBlock::NotOwner));
        assert!(s.reserve(reserve(second)).is_ok());
    }

    #[test]
    fn who_hands_back_leaves_and_the_pair_of_turn_and_mark_never_goes_back() {
        let mut s = shared();
        let mut seen = s;
        let mut follows = |s: &Shared| {
            let kept = s.can_follow(&seen) && (*s == seen || !seen.can_follow(s));
            seen = *s;
            kept
        };
        let of_a = turn(s.claim(A, standing));
        assert!(follows(&s));
        s.reserve(reserve(of_a)).unwrap();
        assert!(follows(&s));
        assert!(s.hand_back(HandBack { start: 4, end: 11, turn: of_a }));
        assert!(follows(&s));
        assert_eq!((s.owner, s.record.mark), (None, 4));
        assert_eq!(s.reserve(reserve(of_a)), Err(NoBlock::NotOwner));
        turn(s.claim(B, standing));
        assert!(follows(&s));
    }

    #[test]
    fn a_loose_sequence_is_anybodys() {
        let mut s = Shared::new(Definition { order: Order::Loose, ..Definition::default() });
        for server in [A, B, A] {
            assert_eq!(turn(s.claim(server, standing)), 0);
            s.reserve(reserve(0)).unwrap();
        }
        assert_eq!((s.record.mark, s.owner), (31, None));
        assert!(s.hand_back(HandBack { start: 25, end: 31, turn: 0 }));
        assert!(s.reserve(reserve(0)).is_ok(), "the others go on");
    }

    #[test]
    fn after_a_repair_no_turn_of_before_comes_again_and_marks_that_were_seen_are_asked_for() {
        let mut lost = shared();
        let of_a = turn(lost.claim(A, standing));
        let backup = lost;
        lost.reserve(reserve(of_a)).unwrap();
        lost.reserve(reserve(of_a)).unwrap();
        assert!(!backup.can_follow(&lost));
        for floor in [20, 21, 30] {
            let repaired = backup.repaired([].iter(), floor);
            assert_eq!((repaired.record.mark, repaired.owner), (floor, None));
            assert_eq!(
                repaired.can_follow(&lost),
                floor >= 21,
                "what was seen is known to be used"
            );
            assert!(!lost.can_follow(&repaired), "the old state is not taken for a newer one");
        }
        let mut repaired = backup.repaired([lost].iter(), 30);
        assert_eq!(repaired.reserve(reserve(of_a)), Err(NoBlock::NotOwner));
        assert!(turn(repaired.claim(B, standing)) > lost.turn);
        // Whoever remembers a repair that was lost itself is followed by the next one, too.
        let again = backup.repaired([repaired].iter(), 40);
        assert!(again.turn > repaired.turn && again.can_follow(&repaired));
        assert!(backup.repaired([].iter(), 5).record.mark == 5 && backup.record.mark == 1);
    }

    fn all_kinds() -> [Kind; 6] {
        let layout = "time:40,a:3,counter:12,b:8@1234567890123/7ms".parse().unwrap();
        [
            Kind::Ticket,
            Kind::Stride(Seat::new(65_536, 12_345).unwrap()),
            Kind::Snowflake(Snowflake { layout, counter_start: CounterStart::Random }),
            Kind::Uuid4,
            Kind::Uuid7,
            Kind::Ulid,
        ]
    }

    #[test]
    fn reads_what_it_wrote_and_notices_every_change() {
        let name = Name::new("eu/notes").unwrap();
        for kind in all_kinds() {
            let block_len = Some(BlockLen::Fixed(7));
            let mut s = Shared::new(Definition { block_len, ..Definition::of(kind) });
            s.claim(A, standing);
            s.record.raise(12_345);
            let text = s.to_text(&name);
            assert_eq!(Shared::from_text(&name, &text), Ok(s), "{text}");
            assert!(Shared::from_text(&Name::new("notes").unwrap(), &text).is_err());
            for at in 0..text.len() {
                for other in ["0", "9", " ", "-", "="] {
                    let mut changed = text.clone();
                    changed.replace_range(at..=at, other);
                    let read = Shared::from_text(&name, &changed);
                    assert!(changed == text || read.is_err(), "{changed}");
                }
            }
        }
    }

    #[test]
    fn a_right_checksum_does_not_make_nonsense_right() {
        let name = Name::new("n").unwrap();
        for fields in [
            "",
            "mark=0 spent=0 turn=0 owner=- order=strict block_len=server kind=ticket",
            "mark=5 spent=6 turn=0 owner=- order=strict block_len=server kind=ticket",
            "mark=-5 spent=1 turn=0 owner=- order=strict block_len=server kind=ticket",
            "mark=5 spent=1 turn=0 owner=me order=strict block_len=server kind=ticket",
            "mark=5 spent=1 turn=0 owner=- order=strict block_len=0 kind=ticket",
            "mark=5 spent=1 turn=0 owner=- order=strict block_len=server kind=ticket more",
            "mark=5 spent=1 turn=0 owner=- order=strict block_len=server kind=stride 3 4",
            "spent=1 mark=5 turn=0 owner=- order=strict block_len=server kind=ticket",
        ] {
            let text = format!("{fields} crc={:08x}", checksum(&name, fields));
            assert!(Shared::from_text(&name, &text).is_err(), "{text}");
        }
    }
}
