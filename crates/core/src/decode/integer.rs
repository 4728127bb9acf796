//! Integers: tickets, stride and snowflake IDs.

use alloc::borrow::ToOwned;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::{Meaning, Part};
use crate::definition::Kind;
use crate::limits::ID_MAX;
use crate::snowflake::layout::Layout;
use crate::snowflake::preset::{self, PRESETS};
use crate::text::Malformed;
use crate::time::UnixMillis;

/// How far ahead a time may lie and be plausible: a year, in milliseconds.
const AHEAD_MS: u64 = 31_557_600_000;

/// How long after its epoch a layout is in use: a day, in milliseconds. Small numbers count
/// something; they are not from the first day of every layout.
const IN_USE_AFTER_MS: u64 = 86_400_000;

/// The layouts in which `id` would be of a plausible time, and that it may be a mere number.
pub(super) fn plausible(id: u64, now: UnixMillis) -> Vec<Meaning> {
    let of_preset = |preset: &preset::Preset| {
        let layout = preset.layout();
        let parts = layout.decompose(id)?;
        let time = layout.time_of(parts.tick);
        let is_plausible =
            time.since(layout.epoch()) >= IN_USE_AFTER_MS && time <= now.plus(AHEAD_MS);
        is_plausible.then(|| snowflake(id, &layout)).flatten()
    };
    let mut all: Vec<Meaning> = PRESETS.iter().filter_map(of_preset).collect();
    if (1..=ID_MAX).contains(&id) {
        all.push(number(id, "ticket or another number that was counted"));
    }
    if all.is_empty() {
        all.push(number(id, "integer; not an ID of ticketd"));
    }
    all
}

/// `id` as one of `layout`.
pub(super) fn of_layout(id: u64, layout: &Layout) -> Result<Vec<Meaning>, Malformed> {
    let meaning = snowflake(id, layout).ok_or_else(|| Malformed {
        at: 1,
        what: alloc::format!("the number has more than the {} bits of the layout", layout.bits()),
    })?;
    Ok([meaning].into())
}

/// `id` as one of a sequence of `kind`.
pub(super) fn of_kind(id: u64, kind: &Kind) -> Result<Vec<Meaning>, Malformed> {
    match kind {
        Kind::Snowflake(chosen) => of_layout(id, &chosen.layout),
        Kind::Ticket => Ok([number(id, "ticket")].into()),
        Kind::Stride(seat) => {
            let members = u64::from(seat.members());
            let offset = id.saturating_sub(1) % members + 1;
            let member = alloc::format!("{offset} of {members}, unless it is from before a resize");
            Ok([number(id, "stride").noting("member", member)].into())
        }
        Kind::Uuid4 | Kind::Uuid7 | Kind::Ulid => Err(Malformed {
            at: 1,
            what: alloc::format!("IDs of kind {} have 128 bits", kind.name().as_str()),
        }),
    }
}

fn number(id: u64, what: &str) -> Meaning {
    Meaning::new(what).split(u128::from(id), 64, &[("number", 64)])
}

fn snowflake(id: u64, layout: &Layout) -> Option<Meaning> {
    let parts = layout.decompose(id)?;
    let name = preset::name_of(layout).map_or_else(|| layout.to_string(), ToOwned::to_owned);
    let mut meaning = Meaning::new(alloc::format!("snowflake of layout {name}"))
        .noting("worker", parts.worker.to_string())
        .noting("counter", parts.counter.to_string());
    meaning.time_ms = i64::try_from(layout.time_of(parts.tick).0).ok();
    let unused = 64 - layout.bits();
    if unused > 0 {
        meaning.parts.push(Part { name: "unused".to_owned(), bits: unused, value: 0 });
    }
    meaning.parts.extend(layout.values(id).map(|(field, value)| Part {
        name: field.label.as_str().to_owned(),
        bits: u32::from(field.width),
        value: u128::from(value),
    }));
    Some(meaning)
}
