//! Published IDs and their published parts; garbage.

use std::string::ToString;

use proptest::prelude::*;

use super::*;
use crate::snowflake::preset;
use crate::stride::Seat;
use crate::time::Rfc3339;

/// 2026-01-01.
const NOW: UnixMillis = UnixMillis(1_767_225_600_000);

fn all(text: &str) -> Vec<Meaning> {
    decode(text, &Known::Nothing, None, NOW).unwrap()
}

fn one(text: &str) -> Meaning {
    let [one] = <[Meaning; 1]>::try_from(all(text)).unwrap();
    one
}

fn time(meaning: &Meaning) -> String {
    Rfc3339(meaning.time_ms.unwrap()).to_string()
}

fn part(meaning: &Meaning, name: &str) -> u128 {
    meaning.parts.iter().find(|part| part.name == name).unwrap().value
}

#[test]
fn the_examples_of_rfc_9562_are_what_they_are_said_to_be() {
    // Appendices A and B.1. The times of 1, 6 and 7 are all 2022-02-22 14:22:22 -05:00.
    let cases = [
        ("C232AB00-9414-11EC-B3C8-9F6BDECED846", "UUID version 1", true),
        // The RFC leaves version 2 to DCE 1.1 and shows none.
        ("000003e8-9414-21ec-b300-9f6bdeced846", "UUID version 2", false),
        ("5df41881-3aed-3515-88a7-2f4a814cf09e", "UUID version 3", false),
        ("919108f7-52d1-4320-9bac-f847db4148a8", "UUID version 4", false),
        ("2ed6657d-e927-568b-95e1-2665a8aea6a2", "UUID version 5", false),
        ("1EC9414C-232A-6B00-B3C8-9F6BDECED846", "UUID version 6", true),
        ("017F22E2-79B0-7CC3-98C4-DC0C0C07398F", "UUID version 7", true),
        ("2489E9AD-2EE2-8E00-8EC9-32D5F69181C0", "UUID version 8", false),
    ];
    for (text, kind, has_time) in cases {
        for text in [text.to_string(), alloc::format!("urn:uuid:{text}"), text.replace('-', "")] {
            let meaning = one(&text);
            assert_eq!(meaning.kind, kind);
            assert_eq!(meaning.parts.iter().map(|part| part.bits).sum::<u32>(), 128);
            let told = meaning.time_ms.is_some().then(|| time(&meaning));
            assert_eq!(told.as_deref(), has_time.then_some("2022-02-22T19:22:22.000Z"), "{text}");
        }
    }
    let meaning = one("C232AB00-9414-11EC-B3C8-9F6BDECED846");
    assert_eq!(part(&meaning, "clock_seq"), 0x33c8);
    assert_eq!(part(&meaning, "node"), 0x9f6b_dece_d846);
    assert_eq!(one("00000000-0000-0000-0000-000000000000").kind, "UUID, the nil one");
    assert_eq!(one("ffffffff-ffff-ffff-ffff-ffffffffffff").kind, "UUID, the max one");
    // The IUnknown interface of COM.
    let com = one("{00000000-0000-0000-c000-000000000046}");
    assert!(com.notes.contains(&("variant", "Microsoft, of COM".to_string())));
}

#[test]
fn neighbours_are_told_apart() {
    // The readme of the ULID library in JavaScript: ulid(1469918176385).
    let ulid = one("01ARYZ6S41TSV4RRFFQ69G5FAV");
    assert_eq!((&*ulid.kind, ulid.time_ms), ("ULID", Some(1_469_918_176_385)));
    // The readme of segmentio/ksuid.
    let ksuid = one("0ujtsYcgvSTl8PAuAdqWYSMnLOv");
    assert_eq!((&*ksuid.kind, &*time(&ksuid)), ("KSUID", "2017-10-10T04:00:47.000Z"));
    assert_eq!(part(&ksuid, "payload"), 0xb5a1_cd34_b5f9_9d11_54fb_6853_345c_9735);
    // MongoDB's manual, and the tests of rs/xid.
    let object = one("507f1f77bcf86cd799439011");
    assert_eq!(time(&object), "2012-10-17T21:13:27.000Z");
    let xid = one("9m4e2mr0ui3e8a215n4g");
    assert_eq!((&*xid.kind, xid.time_ms), ("XID", Some(1_300_816_219_000)));
    let parts = ["machine", "process", "counter"].map(|name| part(&xid, name));
    assert_eq!(parts, [0x60_f486, 0xe428, 4_271_561]);
    // The specification of TypeID: of 01890a5d-ac96-774b-bcce-b302099a8057.
    let typeid = decode("prefix_01h455vb4pex5vsknk084sn02q", &Known::Nothing, None, NOW);
    let typeid = &typeid.unwrap()[0];
    assert_eq!(typeid.kind, "UUID version 7");
    assert_eq!(typeid.time_ms, Some(0x0189_0a5d_ac96));
    assert!(typeid.notes.contains(&("type", "prefix".to_string())));
}

#[test]
fn integers_are_told_in_all_plausible_layouts() {
    let kinds = |text: &str| all(text).into_iter().map(|meaning| meaning.kind).collect::<Vec<_>>();
    assert_eq!(kinds("42"), ["ticket or another number that was counted"]);
    // Wikipedia, "Snowflake ID", and Discord's documentation.
    let tweet = all("1541815603606036480");
    let tweet = tweet.iter().find(|meaning| meaning.kind.ends_with("twitter")).unwrap();
    assert_eq!(time(tweet), "2022-06-28T16:07:40.105Z");
    assert_eq!((part(tweet, "datacenter"), part(tweet, "worker")), (11, 26));
    let message = all("175928847299117063");
    let message = message.iter().find(|meaning| meaning.kind.ends_with("discord")).unwrap();
    assert_eq!(time(message), "2016-04-30T11:18:25.796Z");
    let parts = ["worker", "process", "counter"].map(|name| part(message, name));
    assert_eq!(parts, [1, 0, 7]);
    assert_eq!(kinds("18446744073709551615"), ["integer; not an ID of ticketd"]);
    assert_eq!(kinds("0"), ["integer; not an ID of ticketd"]);
}

#[test]
fn what_is_known_decides() {
    let of = |text: &str, known: &Known| decode(text, known, None, NOW);
    // As Decompose of sony/sonyflake takes it apart: 39 bits of 10 ms, 8 of sequence, 16 of
    // machine.
    let layout = preset::find("sonyflake").unwrap();
    let id = (123_456_u64 << 24 | 7 << 16 | 4321).to_string();
    let meaning = &of(&id, &Known::Layout(layout)).unwrap()[0];
    assert_eq!(meaning.time_ms, Some(1_409_529_600_000 + 1_234_560));
    assert_eq!((part(meaning, "counter"), part(meaning, "machine")), (7, 4321));
    // As Compose of its version 2 puts them together: the parts at their ends.
    let layout = preset::find("sonyflake2").unwrap();
    for (sequence, machine) in [(0, 0), (255, 0), (0, 65_535)] {
        let id = (360_000_u64 << 24 | sequence << 16 | machine).to_string();
        let meaning = &of(&id, &Known::Layout(layout)).unwrap()[0];
        assert_eq!(time(meaning), "2025-01-01T01:00:00.000Z");
        let parts = ["counter", "machine"].map(|name| part(meaning, name));
        assert_eq!(parts, [sequence, machine].map(u128::from));
    }
    let stride = Known::Kind(Kind::Stride(Seat::new(3, 1).unwrap()));
    let meaning = &of("8", &stride).unwrap()[0];
    assert!(meaning.notes[0].1.starts_with("2 of 3"), "{meaning:?}");
    let uuid = "017F22E2-79B0-7CC3-98C4-DC0C0C07398F";
    assert!(of(uuid, &stride).is_err() && of("5", &Known::Kind(Kind::Ulid)).is_err());
    let js53 = Known::Layout(preset::find("js53").unwrap());
    assert!(of("18446744073709551615", &js53).is_err());
}

#[test]
fn a_format_is_undone() {
    let id = Id::Integer(1_541_815_603_606_036_480);
    for format in ["hex", "base58", "base62", "crockford", "order_", "a_b_base62", "decimal"] {
        let format: Format = format.parse().unwrap();
        let layout = Known::Layout(preset::find("twitter").unwrap());
        let told = decode(&format.write(id), &layout, Some(&format), NOW).unwrap();
        assert_eq!(part(&told[0], "datacenter"), 11);
    }
    let hex: Format = "order_hex".parse().unwrap();
    let wrong = decode("order_000000000000000x", &Known::Nothing, Some(&hex), NOW).unwrap_err();
    assert_eq!(wrong.at, 22);
}

#[test]
fn garbage_is_told_by_its_character() {
    let cases = [
        ("", 1),
        (" 42", 1),
        ("4 2", 2),
        ("42x", 3),
        ("-1", 1),
        ("1.5", 2),
        ("0042", 1),
        ("99999999999999999999999", 21),
        ("017F22E2-79B0-7CC3-98C4-DC0C0C07398", 36),
        ("017F22E2-79B0-7CC3-98C4-DC0C0C07398FF", 37),
        ("017F22E2-79B0-7CC3-98C4-DC0C0C07398G", 36),
        ("017F22E27-9B0-7CC3-98C4-DC0C0C07398F", 9),
        ("{017F22E2-79B0-7CC3-98C4-DC0C0C07398F", 38),
        ("81ARYZ6S41TSV4RRFFQ69G5FAV", 26),
        ("01ARYZ6S41TSV4RRFFQ69G5FAU", 26),
        ("0xfg", 4),
        ("Order_1", 1),
        ("order_", 7),
        ("grüße", 3),
        (&"é".repeat(200), 129),
        ("1\u{0}", 2),
        ("\n", 1),
    ];
    for (text, at) in cases {
        let told = decode(text, &Known::Nothing, None, NOW).unwrap_err();
        assert_eq!(told.at, at, "{text}: {told}");
    }
    let long: String = core::iter::repeat_n('1', 1_000_000).collect();
    assert!(decode(&long, &Known::Nothing, None, NOW).is_err());
}

#[test]
fn times_are_written_as_rfc_3339_has_them() {
    let cases = [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        (-12_219_292_800_000, "1582-10-15T00:00:00.000Z"),
    ];
    for (ms, text) in cases {
        assert_eq!(Rfc3339(ms).to_string(), text);
    }
}

#[test]
fn a_drawing_fits_a_terminal_and_names_each_part() {
    for text in ["1541815603606036480", "C232AB00-9414-11EC-B3C8-9F6BDECED846"] {
        for meaning in all(text) {
            let rows = meaning.drawing();
            assert!(rows.iter().all(|row| row.len() <= 80), "{rows:?}");
            let named = |part: &Part| rows.iter().any(|row| row.contains(&*part.name));
            assert!(meaning.parts.iter().all(named));
            let letters = letters(&meaning.parts);
            let distinct: std::collections::HashSet<_> = letters.iter().collect();
            assert_eq!(distinct.len(), letters.len());
        }
    }
}

proptest! {
    #[test]
    fn garbage_makes_nothing_panic_and_is_told_by_a_character_that_is_there(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        text in proptest::collection::vec(any::<char>(), 0..60),
        digits in "[0-9A-Za-z_-]{0,40}",
        head in "(|urn:uuid:|\\{|0x|a_|order_|-|0)",
        id: u128,
    ) {
        let [bytes, text] = [String::from_utf8_lossy(&bytes).into_owned(), text.iter().collect()];
        let texts = [bytes, text, digits, id.to_string(), (id as u64).to_string()];
        let layout = preset::find("twitter").unwrap();
        let stride = Kind::Stride(Seat::new(3, 1).unwrap());
        let knowns = [Known::Nothing, Known::Layout(layout), Known::Kind(stride), Known::Kind(Kind::Ulid)];
        for text in texts.iter().flat_map(|text| [text.clone(), alloc::format!("{head}{text}")]) {
            for known in &knowns {
                for format in [None, Some("hex"), Some("order_base58"), Some("decimal"), Some("native")] {
                    let format = format.map(|format| format.parse::<Format>().unwrap());
                    match decode(&text, known, format.as_ref(), NOW) {
                        Ok(meanings) => meanings.iter().for_each(|meaning| drop(meaning.drawing())),
                        Err(told) => {
                            let chars = text.chars().count();
                            prop_assert!((1..=chars + 1).contains(&told.at), "{text:?}: {told}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_uuid_is_split_without_loss(value: u128) {
        let meaning = uuid::uuid(value);
        let joined = meaning.parts.iter().fold(0_u128, |all, part| {
            all.checked_shl(part.bits).unwrap_or(0) | part.value
        });
        prop_assert_eq!(joined, value);
    }
}
