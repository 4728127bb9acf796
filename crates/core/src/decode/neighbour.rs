//! IDs of others that look like ours: KSUID, MongoDB's ObjectId, XID.

use alloc::vec::Vec;

use super::Meaning;

/// The epoch of KSUID, in seconds since 1970.
const KSUID_EPOCH: i64 = 1_400_000_000;

/// What `text` is if it is one of them.
pub(super) fn read(text: &str) -> Vec<Meaning> {
    [ksuid(text), object_id(text), xid(text)].into_iter().flatten().collect()
}

/// 27 digits of base62: 32 bits of seconds since May 2014, then 128 random bits.
fn ksuid(text: &str) -> Option<Meaning> {
    if text.len() != 27 {
        return None;
    }
    let mut bytes = [0_u8; 20];
    for byte in text.bytes() {
        let mut carry = u32::from(match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'Z' => byte - b'A' + 10,
            b'a'..=b'z' => byte - b'a' + 36,
            _ => return None,
        });
        for place in bytes.iter_mut().rev() {
            carry += u32::from(*place) * 62;
            *place = carry.to_le_bytes()[0];
            carry >>= 8;
        }
        // Beyond 160 bits.
        (carry == 0).then_some(())?;
    }
    let (seconds, payload) = bytes.split_first_chunk::<4>()?;
    let seconds = u32::from_be_bytes(*seconds);
    let payload = u128::from_be_bytes(payload.try_into().ok()?);
    let mut meaning = Meaning::new("KSUID").split(u128::from(seconds), 32, &[("time", 32)]).split(
        payload,
        128,
        &[("payload", 128)],
    );
    meaning.time_ms = Some((i64::from(seconds) + KSUID_EPOCH) * 1000);
    Some(meaning)
}

/// 24 hexadecimal digits: seconds, a random value of the process, a counter.
fn object_id(text: &str) -> Option<Meaning> {
    let is_hex = text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten()?;
    let widths = [("time", 32), ("random", 40), ("counter", 24)];
    let mut meaning = Meaning::new("ObjectId of MongoDB").split(value, 96, &widths);
    meaning.time_ms = i64::try_from(value >> 64).ok().map(|seconds| seconds * 1000);
    Some(meaning)
}

/// 20 digits of base32hex: seconds, machine, process, a counter.
fn xid(text: &str) -> Option<Meaning> {
    if text.len() != 20 || text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut value = 0_u128;
    for byte in text.bytes() {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'v' => byte - b'a' + 10,
            _ => return None,
        };
        value = value << 5 | u128::from(digit);
    }
    // 100 bits carry 96; the last four are not used.
    let value = value >> 4;
    let widths = [("time", 32), ("machine", 24), ("process", 16), ("counter", 24)];
    let mut meaning = Meaning::new("XID").split(value, 96, &widths);
    meaning.time_ms = i64::try_from(value >> 64).ok().map(|seconds| seconds * 1000);
    Some(meaning)
}
