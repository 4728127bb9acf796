//! UUIDs of RFC 9562, and ULIDs.

use alloc::borrow::ToOwned;

use super::Meaning;
use crate::text::Malformed;

/// From 1582-10-15, when the times of versions 1 and 6 begin, to 1970, in units of 100 ns.
const GREGORIAN: i128 = 0x01b2_1dd2_1381_4000;

/// What the versions of the RFC's variant are called, and their fields by its names.
const VERSIONS: [(&str, &[(&str, u32)]); 8] = [
    (
        "time and node",
        &[("time_low", 32), ("time_mid", 16), VERSION, ("time_high", 12), VARIANT, CLOCK, NODE],
    ),
    (
        "DCE security",
        &[("local_id", 32), ("time_mid", 16), VERSION, ("time_high", 12), VARIANT, CLOCK, NODE],
    ),
    ("MD5 of a name", &[("md5_high", 48), VERSION, ("md5_mid", 12), VARIANT, ("md5_low", 62)]),
    ("random", &[("rand_a", 48), VERSION, ("rand_b", 12), VARIANT, ("rand_c", 62)]),
    ("SHA-1 of a name", &[("sha1_high", 48), VERSION, ("sha1_mid", 12), VARIANT, ("sha1_low", 62)]),
    (
        "time and node, sortable",
        &[("time_high", 32), ("time_mid", 16), VERSION, ("time_low", 12), VARIANT, CLOCK, NODE],
    ),
    (
        "time and random, sortable",
        &[("unix_ts_ms", 48), VERSION, ("rand_a", 12), VARIANT, ("rand_b", 62)],
    ),
    ("custom", &[("custom_a", 48), VERSION, ("custom_b", 12), VARIANT, ("custom_c", 62)]),
];

const VERSION: (&str, u32) = ("ver", 4);
const VARIANT: (&str, u32) = ("var", 2);
const CLOCK: (&str, u32) = ("clock_seq", 14);
const NODE: (&str, u32) = ("node", 48);

/// What the UUID of these bits says.
pub(super) fn uuid(value: u128) -> Meaning {
    let whole = |kind: &str| Meaning::new(kind).split(value, 128, &[("opaque", 128)]);
    match value {
        0 => return whole("UUID, the nil one"),
        u128::MAX => return whole("UUID, the max one"),
        _ => {}
    }
    let version = (value >> 76 & 0xf) as usize;
    match value >> 61 & 0b111 {
        0..=3 => return whole("UUID of another variant").noting("variant", "NCS, of the 1980s"),
        6 => return whole("UUID of another variant").noting("variant", "Microsoft, of COM"),
        7 => return whole("UUID of another variant").noting("variant", "reserved for the future"),
        _ => {}
    }
    let Some((called, fields)) = version.checked_sub(1).and_then(|at| VERSIONS.get(at)) else {
        return whole("UUID of an unknown version").noting("variant", "RFC 9562");
    };
    let mut meaning = Meaning::new(alloc::format!("UUID version {version}"))
        .noting("version", alloc::format!("{version}, {called}"))
        .noting("variant", "RFC 9562")
        .split(value, 128, fields);
    let (low, mid) = (value >> 96, value >> 80 & 0xffff);
    let high = value >> 64 & 0xfff;
    meaning.time_ms = match version {
        1 => gregorian(high << 48 | mid << 32 | low),
        6 => gregorian(low << 28 | mid << 12 | high),
        7 => i64::try_from(value >> 80).ok(),
        _ => None,
    };
    meaning
}

fn gregorian(ticks: u128) -> Option<i64> {
    let since_1970 = i128::try_from(ticks).ok()? - GREGORIAN;
    i64::try_from(since_1970.div_euclid(10_000)).ok()
}

/// What the ULID of these bits says.
pub(super) fn ulid(value: u128) -> Meaning {
    let mut meaning = Meaning::new("ULID").split(value, 128, &[("time", 48), ("random", 80)]);
    meaning.time_ms = i64::try_from(value >> 80).ok();
    meaning
}

/// Reads a UUID with hyphens, perhaps in braces or after `urn:uuid:`.
pub(super) fn read(text: &str) -> Result<u128, Malformed> {
    let (before, rest) = if let Some(rest) = text.strip_prefix("urn:uuid:") {
        (9, rest)
    } else if let Some(rest) = text.strip_prefix('{') {
        let inner = rest.strip_suffix('}').ok_or_else(|| Malformed {
            at: text.chars().count() + 1,
            what: "the brace is not closed".to_owned(),
        })?;
        (1, inner)
    } else {
        (0, text)
    };
    let mut value = 0;
    let mut len = 0;
    for (index, character) in rest.chars().enumerate() {
        let wrong = |what: &str| Malformed { at: before + index + 1, what: what.to_owned() };
        if index >= 36 {
            return Err(wrong("a UUID ends before here: it has 36 characters"));
        }
        if matches!(index, 8 | 13 | 18 | 23) {
            if character != '-' {
                return Err(wrong("a UUID has a hyphen here: 8-4-4-4-12 digits"));
            }
        } else {
            let digit = character.to_digit(16);
            let digit = digit.ok_or_else(|| wrong("a UUID has a hexadecimal digit here"))?;
            value = value << 4 | u128::from(digit);
        }
        len = index + 1;
    }
    if len < 36 {
        let what = "a UUID goes on here: it has 36 characters".to_owned();
        return Err(Malformed { at: before + len + 1, what });
    }
    Ok(value)
}
