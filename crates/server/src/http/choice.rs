//! From what a request says about a new sequence to its definition.

use serde::Deserialize;
use ticketd_core::definition::{BlockLen, Definition, Kind, KindName, Order};
use ticketd_core::snowflake::layout::Layout;
use ticketd_core::snowflake::{CounterStart, Snowflake, preset};
use ticketd_core::stride::Seat;
use ticketd_core::time::UnixMillis;
use utoipa::ToSchema;

use super::document::block_len_schema;
use super::problem::Problem;
use super::wire::{KindWord, Numeral};

/// What is chosen about a new sequence. Without a body all is as the server's settings say.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSequence {
    /// What an ID is; `ticket` if not given.
    kind: Option<KindWord>,
    /// Of kind `ticket`: `strict` (if not given), or `loose`, where each of several servers spends
    /// its own blocks.
    #[schema(example = "strict")]
    order: Option<String>,
    /// How many IDs are reserved at a time: `auto` follows demand. If not given, the server's
    /// setting holds. Of kinds `ticket` and `stride`.
    #[schema(schema_with = block_len_schema)]
    block_len: Option<Numeral>,
    /// Of kind `stride`: how many members there are.
    #[schema(minimum = 1, maximum = 65_536, example = 3)]
    members: Option<u32>,
    /// Of kind `stride`: which of them this server is, from 1 on.
    #[schema(minimum = 1, maximum = 65_536, example = 1)]
    offset: Option<u32>,
    /// Of kind `snowflake`: the name of a preset (`default` if not given), or fields from the most
    /// significant bit down.
    #[schema(example = "time:41,worker:10,counter:12")]
    layout: Option<String>,
    /// Of a layout of its own: the moment that ticks are counted from, in RFC 3339.
    #[schema(example = "2024-01-01T00:00:00Z")]
    epoch: Option<String>,
    /// Of a layout of its own: the length of a tick; `1ms` if not given.
    #[schema(example = "1ms")]
    tick: Option<String>,
    /// Of a layout of its own: whether IDs may have 64 bits.
    unsigned: Option<bool>,
    /// Of kind `snowflake`: where the counter starts in each tick, `zero` (if not given) or
    /// `random`.
    #[schema(example = "zero")]
    counter_start: Option<String>,
    /// Take a layout although its time runs out within ten years, or a clock that is decades ahead.
    insist: Option<bool>,
}

impl CreateSequence {
    /// The definition that it asks for, and whether it insists on it.
    ///
    /// # Errors
    /// What does not belong together, for people.
    pub fn choose(&self) -> Result<(Definition, bool), String> {
        let definition = self.definition().map_err(|problem| problem.detail().to_owned())?;
        Ok((definition, self.insists()))
    }

    /// Whether a layout or a clock is to be taken that had better not be.
    pub(super) fn insists(&self) -> bool {
        self.insist.unwrap_or_default()
    }

    /// What it asks for.
    pub(super) fn definition(&self) -> Result<Definition, Problem> {
        let kind = self.kind.map_or_else(KindName::default, KindName::from);
        self.refuse_strangers(kind)?;
        let block_len = self.block_len.as_ref().map(|n| n.0.parse::<BlockLen>()).transpose();
        let block_len = block_len.map_err(Problem::invalid)?;
        let kind = match kind {
            KindName::Ticket => Kind::Ticket,
            KindName::Uuid4 => Kind::Uuid4,
            KindName::Uuid7 => Kind::Uuid7,
            KindName::Ulid => Kind::Ulid,
            KindName::Stride => Kind::Stride(self.seat()?),
            KindName::Snowflake => Kind::Snowflake(self.snowflake()?),
        };
        Ok(Definition { kind, block_len, order: self.order()? })
    }

    /// A field of another kind is a mistake that must not go unnoticed.
    fn refuse_strangers(&self, kind: KindName) -> Result<(), Problem> {
        let blocks = [KindName::Ticket, KindName::Stride].as_slice();
        let (stride, snowflake) = ([KindName::Stride].as_slice(), [KindName::Snowflake].as_slice());
        let given = [
            ("order", self.order.is_some(), [KindName::Ticket].as_slice()),
            ("block_len", self.block_len.is_some(), blocks),
            ("members", self.members.is_some(), stride),
            ("offset", self.offset.is_some(), stride),
            ("layout", self.layout.is_some(), snowflake),
            ("epoch", self.epoch.is_some(), snowflake),
            ("tick", self.tick.is_some(), snowflake),
            ("unsigned", self.unsigned.is_some(), snowflake),
            ("counter_start", self.counter_start.is_some(), snowflake),
            ("insist", self.insist.is_some(), snowflake),
        ];
        let stranger =
            given.iter().find(|(_, is_given, kinds)| *is_given && !kinds.contains(&kind));
        stranger.map_or(Ok(()), |(field, _, kinds)| {
            let kinds: Vec<_> = kinds.iter().map(|kind| kind.as_str()).collect();
            let (kinds, kind) = (kinds.join(" and "), kind.as_str());
            Err(Problem::invalid(format!("{field} belongs to kind {kinds}, not to {kind}")))
        })
    }

    fn order(&self) -> Result<Order, Problem> {
        let word = self.order.as_deref().unwrap_or(Order::Strict.as_str());
        Order::parse(word).ok_or_else(|| Problem::invalid("an order is strict or loose"))
    }

    fn seat(&self) -> Result<Seat, Problem> {
        let (Some(members), Some(offset)) = (self.members, self.offset) else {
            let message = "a stride sequence needs members, how many there are, and offset, which \
                           of them this server is, from 1 on";
            return Err(Problem::invalid(message));
        };
        let wrong = |e| Problem::invalid(format!("{e}; members {members}, offset {offset}"));
        Seat::new(members, offset).map_err(wrong)
    }

    fn snowflake(&self) -> Result<Snowflake, Problem> {
        let counter_start = match &self.counter_start {
            None => CounterStart::Zero,
            Some(word) => CounterStart::parse(word)
                .ok_or_else(|| Problem::invalid("a counter_start is zero or random"))?,
        };
        Ok(Snowflake { layout: self.layout()?, counter_start })
    }

    fn layout(&self) -> Result<Layout, Problem> {
        let text = self.layout.as_deref().unwrap_or(preset::DEFAULT);
        let is_whole = preset::find(text).is_some() || text.contains('@');
        if is_whole {
            if self.epoch.is_some() || self.tick.is_some() || self.unsigned.is_some() {
                let message = format!("epoch, tick and unsigned are fixed by the layout {text}");
                return Err(Problem::invalid(message));
            }
            return text.parse().map_err(Problem::invalid);
        }
        if !text.contains(':') {
            let names: Vec<_> = preset::PRESETS.iter().map(|preset| preset.name).collect();
            let message = format!(
                "there is no such layout; take fields such as time:41,worker:10,counter:12, or one \
                 of {}",
                names.join(", ")
            );
            return Err(Problem::invalid(message));
        }
        let epoch = self.epoch.as_deref().ok_or_else(|| {
            Problem::invalid("fields need an epoch to count ticks from: 2024-01-01T00:00:00Z")
        })?;
        let unsigned = self.unsigned.unwrap_or_default();
        Layout::with_fields(text, tick_ms(self.tick.as_deref())?, moment(epoch)?, unsigned)
            .map_err(Problem::invalid)
    }
}

fn moment(text: &str) -> Result<UnixMillis, Problem> {
    let wrong = || Problem::invalid("an epoch is a moment in RFC 3339: 2024-01-01T00:00:00Z");
    let since = humantime::parse_rfc3339(text).map_err(|_| wrong())?;
    let since = since.duration_since(std::time::SystemTime::UNIX_EPOCH).map_err(|_| wrong())?;
    Ok(UnixMillis(u64::try_from(since.as_millis()).map_err(|_| wrong())?))
}

fn tick_ms(text: Option<&str>) -> Result<u32, Problem> {
    let wrong = || Problem::invalid("a tick is a whole number of milliseconds: 1ms, 10ms, 1s");
    let tick = humantime::parse_duration(text.unwrap_or("1ms")).map_err(|_| wrong())?;
    let whole = tick.subsec_nanos().is_multiple_of(1_000_000);
    u32::try_from(tick.as_millis()).ok().filter(|_| whole).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<String, String> {
        let chosen: CreateSequence = serde_json::from_str(body).map_err(|e| e.to_string())?;
        chosen.definition().map(|d| d.to_string()).map_err(|problem| problem.detail().to_owned())
    }

    #[test]
    fn each_kind_takes_its_own_fields() {
        for (body, told) in [
            ("{}", "kind ticket, order strict, block_len as the server's"),
            (r#"{"order":"loose","block_len":7}"#, "kind ticket, order loose, block_len 7"),
            (r#"{"kind":"uuid7"}"#, "kind uuid7"),
            (
                r#"{"kind":"stride","members":3,"offset":3,"block_len":7}"#,
                "kind stride, members 3, offset 3, block_len 7",
            ),
            (
                r#"{"kind":"snowflake"}"#,
                "kind snowflake, layout time:41,worker:10,counter:12@1704067200000/1ms, \
                 counter_start zero",
            ),
            (
                r#"{"kind":"snowflake","layout":"time:33,a:3,counter:9,b:4","tick":"10ms",
                    "epoch":"2025-06-01T00:00:00Z","counter_start":"random"}"#,
                "kind snowflake, layout time:33,a:3,counter:9,b:4@1748736000000/10ms, \
                 counter_start random",
            ),
        ] {
            assert_eq!(read(body), Ok(told.to_owned()), "{body}");
        }
    }

    #[test]
    fn bad_choices_are_refused_by_name() {
        for (body, told) in [
            (r#"{"kind":"guid"}"#, "unknown variant `guid`"),
            (r#"{"order":"lose"}"#, "an order is strict or loose"),
            (r#"{"kind":"uuid7","order":"loose"}"#, "order belongs to kind ticket"),
            (r#"{"members":3}"#, "members belongs to kind stride, not to ticket"),
            (r#"{"kind":"uuid4","block_len":"1"}"#, "block_len belongs to kind ticket and stride"),
            (r#"{"kind":"stride","members":3}"#, "needs members"),
            (r#"{"kind":"stride","members":0,"offset":1}"#, "members are 1 to 65536"),
            (r#"{"kind":"stride","members":3,"offset":0}"#, "an offset is 1 to the number"),
            (r#"{"kind":"stride","members":3,"offset":4}"#, "members 3, offset 4"),
            (r#"{"kind":"snowflake","layout":"twiter"}"#, "there is no such layout"),
            (r#"{"kind":"snowflake","layout":"twitter","tick":"1s"}"#, "fixed by the layout"),
            (r#"{"kind":"snowflake","layout":"time:41,worker:10,counter:12"}"#, "need an epoch"),
            (
                r#"{"kind":"snowflake","layout":"time:42,w:10,counter:12",
                    "epoch":"2024-01-01T00:00:00Z"}"#,
                "the widths add up to 64 bits",
            ),
            (
                r#"{"kind":"snowflake","layout":"worker:10,time:41",
                    "epoch":"2024-01-01T00:00:00Z"}"#,
                "the first field is time",
            ),
            (
                r#"{"kind":"snowflake","layout":"time:41","epoch":"yesterday"}"#,
                "an epoch is a moment",
            ),
            (
                r#"{"kind":"snowflake","layout":"time:41","epoch":"2024-01-01T00:00:00Z",
                    "tick":"1us"}"#,
                "a tick is a whole number",
            ),
            (r#"{"kind":"snowflake","counter_start":"one"}"#, "zero or random"),
        ] {
            let refused = read(body).unwrap_err();
            assert!(refused.contains(told), "{body}: {refused}");
        }
    }
}
