//! What goes over the wire in JSON, both ways: pure data.
//!
//! Numbers that can be above 2^53 are strings, because JavaScript loses digits there.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::de::{self, Deserializer, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use ticketd_core::allocator::{Burn, Tally};
use ticketd_core::definition::{Kind, KindName};
use ticketd_core::forecast::TimeLeft;
use ticketd_core::ids::{Id, Ids};
use ticketd_core::limits::ID_MAX;
use ticketd_core::name::Name;
use ticketd_core::snowflake::{Snowflake, preset};
use ticketd_core::text::Format;
use utoipa::ToSchema;

use super::document::to_schema;
use super::problem::Problem;
use crate::info::{BlocksInfo, Info, bits_left};
use crate::service;
use crate::snowflake::SnowflakeSeen;
use crate::source::Issued;

/// What a sequence is a source of.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Kind)]
pub(super) enum KindWord {
    /// 64-bit integers counted up from 1, in strict order.
    Ticket,
    /// Every n-th integer, by one of n members that do not talk to each other.
    Stride,
    /// A time, a worker ID and a counter in one integer.
    Snowflake,
    /// UUID version 4: random.
    Uuid4,
    /// UUID version 7: a time, then random.
    Uuid7,
    /// ULID: a time, then random.
    Ulid,
}

impl From<KindWord> for KindName {
    fn from(word: KindWord) -> Self {
        match word {
            KindWord::Ticket => Self::Ticket,
            KindWord::Stride => Self::Stride,
            KindWord::Snowflake => Self::Snowflake,
            KindWord::Uuid4 => Self::Uuid4,
            KindWord::Uuid7 => Self::Uuid7,
            KindWord::Ulid => Self::Ulid,
        }
    }
}

impl From<KindName> for KindWord {
    fn from(kind: KindName) -> Self {
        match kind {
            KindName::Ticket => Self::Ticket,
            KindName::Stride => Self::Stride,
            KindName::Snowflake => Self::Snowflake,
            KindName::Uuid4 => Self::Uuid4,
            KindName::Uuid7 => Self::Uuid7,
            KindName::Ulid => Self::Ulid,
        }
    }
}

/// IDs, each of them given to this client alone. Kinds `ticket` and `stride` come as a range, with
/// `first`, `last` and `step`; the others as `ids`, in the order of issue.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NextIds {
    /// The sequence that they are of.
    #[schema(example = "notes")]
    sequence: String,
    kind: KindWord,
    /// How many.
    #[schema(minimum = 1, maximum = 1_000_000, example = 10)]
    count: u64,
    /// The first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[0-9]{1,19}$", example = "101")]
    first: Option<String>,
    /// The last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[0-9]{1,19}$", example = "110")]
    last: Option<String>,
    /// How far each is from the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[0-9]{1,19}$", example = "1")]
    step: Option<String>,
    /// All of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    ids: Option<IdTexts>,
}

impl NextIds {
    /// In any format but the native one each ID is written: a client cannot count in it.
    pub(super) fn new(name: &Name, issued: Issued, format: Format) -> Self {
        let (sequence, kind) = (name.to_string(), issued.kind.into());
        let count = issued.ids.count();
        let none = Self { sequence, kind, count, first: None, last: None, step: None, ids: None };
        match issued.ids {
            Ids::Range(range) if issued.kind.has_blocks() && format.is_native() => Self {
                first: Some(range.first.to_string()),
                last: Some(range.last().to_string()),
                step: Some(range.step.to_string()),
                ..none
            },
            _ => Self { ids: Some(IdTexts(issued, format)), ..none },
        }
    }
}

/// IDs that are written as texts, one after the other: a million would not fit well otherwise.
#[derive(Debug)]
struct IdTexts(Issued, Format);

impl Serialize for IdTexts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ids = self.0.ids.iter(self.0.kind);
        if self.1.is_native() {
            return serializer.collect_seq(ids.map(IdText));
        }
        serializer.collect_seq(ids.map(|id| self.1.write(id)))
    }
}

struct IdText(Id);

impl Serialize for IdText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Id::Integer(id) => serializer.serialize_str(itoa::Buffer::new().format(id)),
            Id::Uuid(id) => serializer.collect_str(&uuid::Uuid::from_u128(id).hyphenated()),
            Id::Ulid(id) => serializer.collect_str(&ulid::Ulid(id)),
        }
    }
}

/// What there is to see of a sequence; what does not belong to its kind is absent. What it says of
/// issued, burnt and held IDs is of this server since it opened the sequence.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SequenceInfo {
    /// Its name.
    #[schema(example = "notes")]
    sequence: String,
    kind: KindWord,
    /// The order that its IDs keep. `strict`: if one was answered before another was asked for,
    /// it is smaller.
    #[schema(example = "strict")]
    order: &'static str,
    #[serde(flatten)]
    blocks: Option<BlocksShown>,
    #[serde(flatten)]
    stride: Option<StrideShown>,
    #[serde(flatten)]
    snowflake: Option<SnowflakeShown>,
    /// The last ID issued by this server or given up by a raise; `null` if it cannot know.
    #[schema(required = true, example = "110")]
    last: Option<String>,
    /// IDs that can still be issued, of all servers together; absent where they are not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[0-9]{1,20}$", example = "9223372036854775697")]
    left: Option<String>,
    /// IDs given to clients.
    #[schema(pattern = "^[0-9]{1,20}$", example = "110")]
    issued: String,
    /// IDs issued per second, a mean that favours the last minute.
    #[schema(minimum = 0, example = 1000.5)]
    rate_per_second: f64,
    /// How many seconds it lasts: the IDs left at that rate, or the time that the layout has left;
    /// `null` if for ever.
    #[schema(required = true, minimum = 0, example = 9.218e15)]
    lasts_seconds: Option<f64>,
    /// The same, for people.
    #[schema(required = true, example = "292 million years")]
    lasts: Option<String>,
}

/// Of kinds whose IDs are reserved in blocks.
#[derive(Debug, Serialize, ToSchema)]
struct BlocksShown {
    /// The block length in force: `auto` follows demand; otherwise a number of IDs.
    #[schema(pattern = "^(auto|[0-9]{1,8})$", example = "auto")]
    block_len: String,
    /// The first ID never yet reserved, as far as this server knows.
    #[schema(pattern = "^[0-9]{1,19}$", example = "165")]
    high_water_mark: String,
    /// IDs reserved and never to be issued, by reason.
    #[schema(example = json!({
        "abandoned": "0", "broken": "0", "crash": "54", "indeterminate": "0", "raise": "0",
        "skipped": "0", "stop": "0"
    }))]
    burnt: BTreeMap<&'static str, String>,
    /// IDs reserved and not yet issued.
    #[schema(pattern = "^[0-9]{1,20}$", example = "54")]
    held: String,
    /// Requests that wait now.
    #[schema(minimum = 0, example = 0)]
    waiting: u64,
}

/// Of kind `stride`.
#[derive(Debug, Serialize, ToSchema)]
struct StrideShown {
    /// How many members there are.
    #[schema(minimum = 1, example = 3)]
    members: u32,
    /// Which of them this server is.
    #[schema(minimum = 1, example = 1)]
    offset: u32,
}

/// Of kind `snowflake`.
#[derive(Debug, Serialize, ToSchema)]
struct SnowflakeShown {
    /// The layout: fields, epoch in milliseconds since 1970, length of a tick.
    #[schema(example = "time:41,worker:10,counter:12@1704067200000/1ms")]
    layout: String,
    /// What the layout is called; `null` if it has no name.
    #[schema(required = true, example = "default")]
    layout_name: Option<&'static str>,
    /// Where the counter starts in each tick.
    #[schema(example = "zero")]
    counter_start: &'static str,
    /// The bits of the time.
    #[schema(example = 41)]
    time_bits: u32,
    /// The bits that the ticks left would need: one less than `time_bits` when half of them have
    /// passed.
    #[schema(minimum = 0, example = 40.9)]
    time_bits_left: f64,
    /// When the time of the layout runs out, in RFC 3339.
    #[schema(example = "2093-09-06T15:47:35Z")]
    runs_out: String,
    /// The worker IDs that this server holds.
    #[schema(example = json!([0]))]
    workers: Vec<u32>,
    /// Worker IDs that nobody held when this server last leased one; `null` if it has not.
    #[schema(required = true, example = 1023)]
    workers_left: Option<u64>,
    /// How many seconds those last if they go on being taken as they lately were; `null` if for
    /// ever.
    #[schema(required = true, minimum = 0, example = 86_400)]
    workers_last_seconds: Option<f64>,
    /// The same, for people.
    #[schema(required = true, example = "1 day")]
    workers_last: Option<String>,
    /// How many seconds the newest ID is ahead of the wall clock.
    #[schema(minimum = 0, example = 0)]
    ahead_seconds: f64,
}

impl SequenceInfo {
    pub(super) fn new(info: &Info) -> Self {
        let kind = info.kind.name();
        Self {
            sequence: info.name.to_string(),
            kind: kind.into(),
            order: info.order,
            blocks: info.blocks.as_ref().map(BlocksShown::new),
            stride: match info.kind {
                Kind::Stride(seat) => {
                    Some(StrideShown { members: seat.members(), offset: seat.offset() })
                }
                _ => None,
            },
            snowflake: match &info.kind {
                Kind::Snowflake(chosen) => {
                    Some(SnowflakeShown::new(chosen, info.time, info.snowflake.as_ref()))
                }
                _ => None,
            },
            last: info.last.map(|id| Format::default().write(id)),
            left: info.left().map(|left| left.to_string()),
            issued: info.issued.to_string(),
            rate_per_second: info.per_second,
            lasts_seconds: info.lasts.map(|lasts| lasts.as_secs_f64()),
            lasts: info.lasts.map(for_people),
        }
    }
}

impl BlocksShown {
    fn new(blocks: &BlocksInfo) -> Self {
        // A sequence that is not open has issued and burnt nothing here.
        let tally = blocks.open.map_or_else(Tally::default, |seen| seen.tally);
        let burnt = |reason: Burn| (reason.as_str(), tally.burnt.get(reason).to_string());
        Self {
            block_len: blocks.block_len.to_string(),
            high_water_mark: blocks.mark.to_string(),
            burnt: Burn::ALL.map(burnt).into_iter().collect(),
            held: blocks.open.map_or(0, |seen| seen.held).to_string(),
            waiting: blocks.open.map_or(0, |seen| seen.waiting as u64),
        }
    }
}

impl SnowflakeShown {
    fn new(chosen: &Snowflake, time: Option<TimeLeft>, seen: Option<&SnowflakeSeen>) -> Self {
        let layout = &chosen.layout;
        let workers_last = seen.and_then(|seen| seen.workers_last);
        // The last moment that there is a way to write is the year 9999.
        let runs_out = layout.runs_out().0.min(253_402_300_799_000);
        let runs_out = SystemTime::UNIX_EPOCH + Duration::from_millis(runs_out);
        Self {
            layout: layout.to_string(),
            layout_name: preset::name_of(layout),
            counter_start: chosen.counter_start.as_str(),
            time_bits: layout.time_bits(),
            time_bits_left: time.map_or(0.0, bits_left),
            runs_out: humantime::format_rfc3339_seconds(runs_out).to_string(),
            workers: seen.map_or_else(Vec::new, |seen| seen.workers.clone()),
            workers_left: seen.map(|seen| seen.workers_left),
            workers_last_seconds: workers_last.map(|lasts| lasts.as_secs_f64()),
            workers_last: workers_last.map(for_people),
            ahead_seconds: seen.map_or(0.0, |seen| seen.ahead.as_secs_f64()),
        }
    }
}

/// One page of sequences.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SequencePage {
    /// The sequences, by name in byte order.
    pub(super) sequences: Vec<SequenceInfo>,
    /// What to give as `after` for the next page; `null` if this is the last.
    #[schema(required = true, example = "notes")]
    pub(super) next_after: Option<String>,
}

/// How far to raise.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RaiseSequence {
    /// Nothing at or below it is issued from then on.
    // Required; an `Option` so that a missing body and a missing field are the same mistake.
    #[schema(required = true, schema_with = to_schema)]
    to: Option<Numeral>,
}

impl RaiseSequence {
    /// The last ID to skip: at most [`ID_MAX`].
    pub(super) fn to(&self) -> Result<u64, Problem> {
        let text = self.to.as_ref().map_or("", |numeral| numeral.0.as_str());
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse::<u64>() {
            Ok(to) if digits && to <= ID_MAX => Ok(to),
            _ => Err(Problem::invalid(format!(
                "the body says how far: {{\"to\": \"N\"}} with a whole number from 0 to {ID_MAX}"
            ))),
        }
    }
}

/// How far a sequence was raised.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Raised {
    /// The sequence.
    #[schema(example = "notes")]
    sequence: String,
    kind: KindWord,
    /// The smallest ID that can come next; `null` if there is none left. Of kind `snowflake` a
    /// later one comes, unless it is asked for at once.
    #[schema(required = true, pattern = "^[0-9]{1,19}$", example = "5001")]
    next: Option<String>,
}

impl Raised {
    pub(super) fn new(name: &Name, raised: service::Raised) -> Self {
        Self {
            sequence: name.to_string(),
            kind: raised.kind.into(),
            next: raised.next.map(|id| id.to_string()),
        }
    }
}

/// A body without fields, for what takes none.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// That the process lives.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`.
    #[schema(example = "ok")]
    pub(super) status: &'static str,
    /// The version of this server.
    #[schema(example = "0.1.0")]
    pub(super) version: &'static str,
    /// Where it listens for RESP.
    #[schema(example = "127.0.0.1:7117")]
    pub(super) resp: String,
    /// Where it listens for HTTP.
    #[schema(example = "127.0.0.1:7118")]
    pub(super) http: String,
    /// Seconds since it started.
    #[schema(minimum = 0, example = 86_400)]
    pub(super) uptime_seconds: u64,
}

/// That this server can issue IDs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    /// `ready`.
    #[schema(example = "ready")]
    pub(super) status: &'static str,
}

/// A number as text, from a JSON string or a whole JSON number. What it may be is up to its
/// reader.
#[derive(Debug)]
pub(super) struct Numeral(pub(super) String);

impl<'de> Deserialize<'de> for Numeral {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = Numeral;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a whole number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Numeral, E> {
                Ok(Numeral(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Numeral, E> {
                Ok(Numeral(number.to_string()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Numeral, E> {
                Ok(Numeral(number.to_string()))
            }

            // To JSON, 5.0 and 5e3 are whole numbers too. The parser may be off by a little in the
            // last of a float's sixteen digits, so a number is taken only if that cannot matter.
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Numeral, E> {
                if number.fract() == 0.0 && number.abs() <= 1e12 {
                    return Ok(Numeral((number as i64).to_string()));
                }
                Err(E::invalid_type(Unexpected::Float(number), &self))
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

/// A time in the largest unit that it has at least one of, rounded: "3 days", "292 thousand
/// years".
fn for_people(time: Duration) -> String {
    // In seconds; a year is the mean one of 365.25 days.
    const UNITS: [(f64, &str, &str); 8] = [
        (31_557_600e9, "billion years", "billion years"),
        (31_557_600e6, "million years", "million years"),
        (31_557_600e3, "thousand years", "thousand years"),
        (31_557_600.0, "year", "years"),
        (86_400.0, "day", "days"),
        (3600.0, "hour", "hours"),
        (60.0, "minute", "minutes"),
        (1.0, "second", "seconds"),
    ];
    let seconds = time.as_secs_f64();
    match UNITS.into_iter().find(|(length, ..)| seconds >= *length) {
        Some((length, one, many)) => {
            let amount = (seconds / length).round();
            format!("{amount} {}", if amount == 1.0 { one } else { many })
        }
        None => "less than a second".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_their_largest_unit() {
        let cases = [
            (0.0, "less than a second"),
            (0.99, "less than a second"),
            (1.2, "1 second"),
            (59.0, "59 seconds"),
            (60.0, "1 minute"),
            (7200.0, "2 hours"),
            (3.0 * 86_400.0, "3 days"),
            (400.0 * 86_400.0, "1 year"),
            (9_223_372_036_854_775_807.0 / 1e6, "292 thousand years"),
            (9_223_372_036_854_775_807.0 / 1e3, "292 million years"),
            (9_223_372_036_854_775_807.0, "292 billion years"),
        ];
        for (seconds, told) in cases {
            assert_eq!(for_people(Duration::from_secs_f64(seconds)), told, "{seconds}");
        }
        assert_eq!(for_people(Duration::MAX), "585 billion years");
    }

    #[test]
    fn a_numeral_is_a_string_or_a_whole_number() {
        let read = |text: &str| serde_json::from_str::<Numeral>(text).map(|numeral| numeral.0);
        assert_eq!(read("\"7\"").unwrap(), "7");
        assert_eq!(read("18446744073709551615").unwrap(), "18446744073709551615");
        assert_eq!(read("-1").unwrap(), "-1");
        assert_eq!(read("5e3").unwrap(), "5000");
        assert_eq!(read("1000000000000.0").unwrap(), "1000000000000");
        for bad in ["1.5", "1e30", "true", "null", "[1]", "{}", "1000000000000000000000000000000"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
