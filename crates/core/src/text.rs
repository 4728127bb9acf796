//! The forms that an ID may be written in: lossless both ways, and but for decimal as wide for the
//! smallest ID as for the largest, so that texts sort as IDs do.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::str::FromStr;

use crate::ids::Id;

/// How the digits of an ID are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Form {
    /// Integers in decimal, UUIDs with hyphens, ULIDs in upper-case Crockford base32.
    #[default]
    Native,
    /// As short as the number, so texts do not sort as numbers do.
    Decimal,
    /// 16 or 32 digits.
    Hex,
    /// 11 or 22 digits, without `0OIl`: the alphabet of Bitcoin.
    Base58,
    /// 11 or 22 digits, in ASCII order: `0-9A-Za-z`.
    Base62,
    /// 13 or 26 digits, lower case, without `ilou`: Crockford's base32. Either case is read, and
    /// `i` and `l` as 1, `o` as 0.
    Crockford,
}

const HEX: &[u8] = b"0123456789abcdef";
const BASE58: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BASE62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CROCKFORD: &[u8] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The longest prefix in bytes, as of TypeID 0.3.
const PREFIX_LEN_MAX: usize = 63;

/// A form, with a prefix that says what the ID is of, such as `order_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Format {
    /// Lower-case letters and `_`, without the `_` that ends it; empty for none.
    prefix: String,
    form: Form,
}

/// A text that is no ID in the form that it should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The character that is wrong, from 1 on; one beyond the last if something is missing.
    pub at: usize,
    /// What is wrong with it.
    pub what: String,
}

/// A text that is no [`Format`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormatError;

impl Form {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Native, Self::Decimal, Self::Hex, Self::Base58, Self::Base62, Self::Crockford];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Decimal => "decimal",
            Self::Hex => "hex",
            Self::Base58 => "base58",
            Self::Base62 => "base62",
            Self::Crockford => "crockford",
        }
    }

    /// The digits in order, and how many are written of 64 and of 128 bits.
    const fn digits(self) -> Option<(&'static [u8], usize, usize)> {
        match self {
            Self::Native | Self::Decimal => None,
            Self::Hex => Some((HEX, 16, 32)),
            Self::Base58 => Some((BASE58, 11, 22)),
            Self::Base62 => Some((BASE62, 11, 22)),
            Self::Crockford => Some((CROCKFORD, 13, 26)),
        }
    }

    fn write(self, id: Id, out: &mut String) -> fmt::Result {
        let (value, is_wide) = match id {
            Id::Integer(value) => (u128::from(value), false),
            Id::Uuid(value) | Id::Ulid(value) => (value, true),
        };
        let Some((alphabet, narrow, wide)) = self.digits() else {
            return match self {
                Self::Decimal => write!(out, "{value}"),
                _ => write_native(id, out),
            };
        };
        let (mut digits, mut rest) = ([0; 32], value);
        let digits = &mut digits[..if is_wide { wide } else { narrow }];
        let base = alphabet.len() as u128;
        for digit in digits.iter_mut().rev() {
            *digit = alphabet[(rest % base) as usize];
            rest /= base;
        }
        digits.iter().try_for_each(|digit| out.write_char(char::from(*digit)))
    }

    /// Reads an ID of 64 or 128 bits, by the length of its text; not of the native form.
    ///
    /// # Errors
    /// [`Malformed`] for anything that [`Format::write`] does not write.
    pub fn read(self, text: &str) -> Result<Id, Malformed> {
        let Some((alphabet, narrow, wide)) = self.digits() else {
            return read_decimal(text);
        };
        let value_of = |character: char| {
            let folded = match (self, character.to_ascii_lowercase()) {
                (Self::Crockford, 'i' | 'l') => '1',
                (Self::Crockford, 'o') => '0',
                (Self::Crockford | Self::Hex, lower) => lower,
                _ => character,
            };
            alphabet.iter().position(|&digit| char::from(digit) == folded)
        };
        let mut value = 0_u128;
        let mut len = 0;
        for (index, character) in text.chars().enumerate() {
            let digit = value_of(character).ok_or_else(|| no_digit(index, character, self))?;
            let next = value.checked_mul(alphabet.len() as u128);
            let next = next.and_then(|value| value.checked_add(digit as u128));
            value = next.ok_or_else(|| Malformed {
                at: index + 1,
                what: "the number goes beyond 128 bits here".to_owned(),
            })?;
            len = index + 1;
        }
        match len {
            _ if len == narrow => u64::try_from(value).map(Id::Integer).map_err(|_| Malformed {
                at: len,
                what: "the number goes beyond 64 bits".to_owned(),
            }),
            _ if len == wide => Ok(Id::Uuid(value)),
            _ => Err(Malformed {
                at: len + 1,
                what: alloc::format!(
                    "{} has {narrow} or {wide} characters, not {len}",
                    self.as_str()
                ),
            }),
        }
    }
}

fn write_native(id: Id, out: &mut String) -> fmt::Result {
    match id {
        Id::Integer(value) => write!(out, "{value}"),
        Id::Uuid(value) => {
            let part = |from: u32, bits: u32| value >> from & ((1 << bits) - 1);
            write!(out, "{:08x}-{:04x}-", part(96, 32), part(80, 16))?;
            write!(out, "{:04x}-{:04x}-{:012x}", part(64, 16), part(48, 16), part(0, 48))
        }
        Id::Ulid(value) => {
            let start = out.len();
            Form::Crockford.write(Id::Ulid(value), out)?;
            out[start..].make_ascii_uppercase();
            Ok(())
        }
    }
}

fn no_digit(index: usize, character: char, form: Form) -> Malformed {
    let what = alloc::format!("{:?} is no digit of {}", character, form.as_str());
    Malformed { at: index + 1, what }
}

/// Reads a number in decimal: an integer if it fits 64 bits.
fn read_decimal(text: &str) -> Result<Id, Malformed> {
    let wrong = |at, what: &str| Err(Malformed { at, what: what.to_owned() });
    if text.is_empty() {
        return wrong(1, "there is nothing");
    }
    if text.len() > 1 && text.starts_with('0') {
        return wrong(1, "a decimal number does not start with 0");
    }
    let mut value = 0_u128;
    for (index, character) in text.chars().enumerate() {
        let digit = character.to_digit(10);
        let digit = digit.ok_or_else(|| no_digit(index, character, Form::Decimal))?;
        let next = value.checked_mul(10).and_then(|value| value.checked_add(digit.into()));
        let Some(next) = next else {
            return wrong(index + 1, "the number goes beyond 128 bits here");
        };
        value = next;
    }
    Ok(u64::try_from(value).map_or(Id::Uuid(value), Id::Integer))
}

impl Format {
    /// Whether IDs are written as without any format.
    pub fn is_native(&self) -> bool {
        *self == Self::default()
    }

    /// How the digits are written.
    pub const fn form(&self) -> Form {
        self.form
    }

    /// `id` in this format.
    pub fn write(&self, id: Id) -> String {
        let mut text = self.prefix.clone();
        if !text.is_empty() {
            text.push('_');
        }
        self.form.write(id, &mut text).expect("a string takes every write");
        text
    }

    /// `text` without the prefix.
    ///
    /// # Errors
    /// [`Malformed`] if it has another one.
    pub fn strip<'a>(&self, text: &'a str) -> Result<&'a str, Malformed> {
        if self.prefix.is_empty() {
            return Ok(text);
        }
        let rest = text.strip_prefix(self.prefix.as_str()).and_then(|rest| rest.strip_prefix('_'));
        rest.ok_or_else(|| Malformed {
            at: 1,
            what: alloc::format!("it does not start with {}_", self.prefix),
        })
    }
}

/// Whether `text` may stand before the last `_`.
pub(crate) fn is_prefix(text: &str) -> bool {
    text.len() <= PREFIX_LEN_MAX
        && text.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase())
        && text.starts_with(|first: char| first != '_')
        && !text.ends_with('_')
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let form = |word: &str| Form::ALL.into_iter().find(|form| form.as_str() == word);
        let Some((prefix, word)) = text.rsplit_once('_') else {
            return Ok(Self { prefix: String::new(), form: form(text).ok_or(FormatError)? });
        };
        let form = if word.is_empty() { Some(Form::Crockford) } else { form(word) };
        let form = form.ok_or(FormatError)?;
        if !is_prefix(prefix) {
            return Err(FormatError);
        }
        Ok(Self { prefix: prefix.to_string(), form })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefix, form) = (&self.prefix, self.form.as_str());
        if prefix.is_empty() { f.write_str(form) } else { write!(f, "{prefix}_{form}") }
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = Form::ALL.into_iter().map(Form::as_str).collect();
        write!(
            f,
            "a format is {}, or a prefix of a-z and _ before one, such as order_base58; order_ \
             alone is order_crockford",
            words.join(", ")
        )
    }
}

impl core::error::Error for FormatError {}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {}", self.at, self.what)
    }
}

impl core::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WIDE: [Form; 4] = [Form::Hex, Form::Base58, Form::Base62, Form::Crockford];

    fn written(form: Form, id: Id) -> String {
        Format { prefix: String::new(), form }.write(id)
    }

    #[test]
    fn the_ends_of_the_range_are_written_and_read_and_what_lies_beyond_is_refused() {
        for form in WIDE {
            for id in [Id::Integer(0), Id::Integer(u64::MAX), Id::Uuid(0), Id::Uuid(u128::MAX)] {
                assert_eq!(form.read(&written(form, id)), Ok(id), "{form:?}");
            }
            let (alphabet, narrow, wide) = form.digits().unwrap();
            let last = char::from(*alphabet.last().unwrap());
            for len in [narrow, wide] {
                let text: String = core::iter::repeat_n(last, len).collect();
                assert!(form == Form::Hex || form.read(&text).is_err(), "{text}");
            }
        }
        assert_eq!(written(Form::Base58, Id::Integer(0)), "11111111111");
        assert_eq!(written(Form::Hex, Id::Integer(255)), "00000000000000ff");
        assert_eq!(Form::Decimal.read("18446744073709551615"), Ok(Id::Integer(u64::MAX)));
        assert_eq!(Form::Decimal.read("18446744073709551616"), Ok(Id::Uuid(1 << 64)));
    }

    #[test]
    fn native_forms_are_those_of_the_specifications() {
        // RFC 9562, appendix A.6, and the example of the ULID specification.
        let uuid = 0x017f_22e2_79b0_7cc3_98c4_dc0c_0c07_398f;
        assert_eq!(written(Form::Native, Id::Uuid(uuid)), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
        let Ok(Id::Uuid(ulid)) = Form::Crockford.read("01ARZ3NDEKTSV4RRFFQ69G5FAV") else {
            panic!("it is a ULID");
        };
        assert_eq!(written(Form::Native, Id::Ulid(ulid)), "01ARZ3NDEKTSV4RRFFQ69G5FAV");
    }

    #[test]
    fn what_is_wrong_is_told_by_its_character() {
        let at = |form: Form, text: &str| form.read(text).unwrap_err().at;
        assert_eq!(at(Form::Hex, "00000000000000fg"), 16);
        assert_eq!(at(Form::Hex, "0"), 2);
        assert_eq!(at(Form::Base58, "1111111111l"), 11);
        assert_eq!(at(Form::Base62, "é0000000000"), 1);
        assert_eq!(at(Form::Crockford, "000000000000u"), 13);
        assert_eq!(at(Form::Decimal, ""), 1);
        assert_eq!(at(Form::Decimal, "01"), 1);
        assert_eq!(at(Form::Decimal, "1x"), 2);
        assert_eq!(Form::Crockford.read("OOOOOOOOOOOIL"), Ok(Id::Integer(33)));
    }

    #[test]
    fn a_format_is_a_form_and_perhaps_a_prefix() {
        let write = |text: &str| text.parse::<Format>().unwrap().write(Id::Integer(33));
        assert_eq!(write("native"), "33");
        assert_eq!(write("order_"), "order_0000000000011");
        assert_eq!(write("big_order_hex"), "big_order_0000000000000021");
        for bad in ["", "_", "_hex", "Hex", "order", "order_x", "9_hex", "Order_", "a__"] {
            assert_eq!(bad.parse::<Format>(), Err(FormatError), "{bad}");
        }
        let format: Format = "order_".parse().unwrap();
        assert_eq!(format.strip("order_1"), Ok("1"));
        assert!(format.strip("item_1").is_err());
    }

    proptest! {
        #[test]
        fn texts_are_read_back_and_sort_as_ids(a: u64, b: u64, c: u128, d: u128) {
            for form in WIDE {
                let (x, y) = (written(form, Id::Integer(a)), written(form, Id::Integer(b)));
                prop_assert_eq!(form.read(&x), Ok(Id::Integer(a)));
                prop_assert_eq!(x.cmp(&y), a.cmp(&b));
                let (x, y) = (written(form, Id::Uuid(c)), written(form, Id::Uuid(d)));
                prop_assert_eq!(form.read(&x), Ok(Id::Uuid(c)));
                prop_assert_eq!(x.cmp(&y), c.cmp(&d));
            }
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in ".{0,40}") {
            for form in Form::ALL {
                if let Ok(id) = form.read(&text) {
                    prop_assert!(written(form, id).eq_ignore_ascii_case(&text)
                        || form == Form::Crockford || form == Form::Native);
                }
            }
        }
    }
}
