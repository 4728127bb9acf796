//! What an ID says of itself: its kind, its fields, its time. For IDs of ticketd and for those that
//! are taken for them.

mod integer;
mod neighbour;
mod uuid;

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::definition::Kind;
use crate::ids::Id;
use crate::limits::ID_TEXT_LEN_MAX;
use crate::snowflake::layout::Layout;
use crate::text::{Form, Format, Malformed, is_prefix};
use crate::time::UnixMillis;

/// What is known of an ID beside its text.
#[derive(Debug, Clone, Default)]
pub enum Known {
    /// Nothing: all that is plausible is told.
    #[default]
    Nothing,
    /// It is an integer of this layout.
    Layout(Layout),
    /// It is of a sequence of this kind.
    Kind(Kind),
}

/// One way to read an ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// What it is: `UUID version 7`, `snowflake of layout twitter`.
    pub kind: String,
    /// The moment that it carries, in milliseconds since 1970, UTC. Perhaps before.
    pub time_ms: Option<i64>,
    /// More about it: names and values.
    pub notes: Vec<(&'static str, String)>,
    /// Its bits, from the most significant down.
    pub parts: Vec<Part>,
}

/// Adjacent bits that mean something together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What they mean.
    pub name: String,
    /// How many they are: 1 to 128.
    pub bits: u32,
    /// Their value.
    pub value: u128,
}

impl Meaning {
    fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), time_ms: None, notes: Vec::new(), parts: Vec::new() }
    }

    fn noting(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.notes.push((name, value.into()));
        self
    }

    /// Splits `value`, of which the `bits` lowest count, into parts of these names and widths.
    fn split(mut self, value: u128, bits: u32, widths: &[(&str, u32)]) -> Self {
        let mut left = bits;
        for (name, width) in widths {
            left -= width;
            self.parts.push(Part {
                name: (*name).to_owned(),
                bits: *width,
                value: value >> left & (u128::MAX >> (128 - width)),
            });
        }
        self
    }

    /// The bits in rows of 64, and below each bit the letter of its part.
    pub fn drawing(&self) -> Vec<String> {
        let letters = letters(&self.parts);
        let (mut bits, mut names) = (String::new(), String::new());
        for (part, letter) in self.parts.iter().zip(&letters) {
            for bit in (0..part.bits).rev() {
                bits.push(if part.value >> bit & 1 == 1 { '1' } else { '0' });
                names.push(*letter);
            }
        }
        let mut rows = Vec::new();
        for from in (0..bits.len()).step_by(64) {
            let to = (from + 64).min(bits.len());
            rows.push(bits[from..to].to_owned());
            rows.push(names[from..to].to_owned());
        }
        for (part, letter) in self.parts.iter().zip(letters) {
            let Part { name, bits, value } = part;
            let noun = if *bits == 1 { "bit" } else { "bits" };
            rows.push(alloc::format!("{letter} = {name}: {bits} {noun}, {value}"));
        }
        rows
    }
}

/// A letter for each part: one of its name if that is free.
fn letters(parts: &[Part]) -> Vec<char> {
    let mut taken: Vec<char> = Vec::new();
    for part in parts {
        let mut wanted = part.name.chars().filter(char::is_ascii_alphabetic).chain('a'..='z');
        taken.push(wanted.find(|letter| !taken.contains(letter)).unwrap_or('?'));
    }
    taken
}

/// All plausible meanings of `text`, the most telling first. `now` decides which times are
/// plausible. `format`, if given, is how it is written.
///
/// # Errors
/// [`Malformed`] if it is no ID in any form that is known, with the character that is wrong.
pub fn decode(
    text: &str,
    known: &Known,
    format: Option<&Format>,
    now: UnixMillis,
) -> Result<Vec<Meaning>, Malformed> {
    if text.is_empty() {
        return Err(Malformed { at: 1, what: "there is nothing".to_owned() });
    }
    if text.len() > ID_TEXT_LEN_MAX {
        let what = alloc::format!("an ID has at most {ID_TEXT_LEN_MAX} bytes");
        let within = text.char_indices().filter(|(from, _)| *from < ID_TEXT_LEN_MAX).count();
        return Err(Malformed { at: within + 1, what });
    }
    match format {
        Some(format) if format.form() != Form::Native => {
            let digits = format.strip(text)?;
            let id = format.form().read(digits).map_err(|mut malformed| {
                malformed.at += text.chars().count() - digits.chars().count();
                malformed
            })?;
            meanings(id, known, now)
        }
        Some(format) => guess(format.strip(text)?, known, now),
        None => guess(text, known, now),
    }
}

/// What an ID can mean whose bits are known.
fn meanings(id: Id, known: &Known, now: UnixMillis) -> Result<Vec<Meaning>, Malformed> {
    match (id, known) {
        (Id::Integer(value), Known::Nothing) => Ok(integer::plausible(value, now)),
        (Id::Integer(value), Known::Layout(layout)) => integer::of_layout(value, layout),
        (Id::Integer(value), Known::Kind(kind)) => integer::of_kind(value, kind),
        (Id::Ulid(value), _) => Ok([uuid::ulid(value)].into()),
        (Id::Uuid(value), Known::Nothing) => Ok([uuid::uuid(value)].into()),
        (Id::Uuid(value), Known::Kind(Kind::Ulid)) => Ok([uuid::ulid(value)].into()),
        (Id::Uuid(value), Known::Kind(Kind::Uuid4 | Kind::Uuid7)) => Ok([uuid::uuid(value)].into()),
        (Id::Uuid(_), Known::Layout(_) | Known::Kind(_)) => Err(Malformed {
            at: 1,
            what: "it has 128 bits, and an integer has 64 at most".to_owned(),
        }),
    }
}

/// Reads a text whose form is not known.
fn guess(text: &str, known: &Known, now: UnixMillis) -> Result<Vec<Meaning>, Malformed> {
    if text.contains('-') || text.starts_with('{') || text.starts_with("urn:") {
        return meanings(Id::Uuid(uuid::read(text)?), known, now);
    }
    if let Some(hex) = text.strip_prefix("0x") {
        let id = Form::Hex
            .read(hex)
            .map_err(|malformed| Malformed { at: malformed.at + 2, ..malformed })?;
        return meanings(id, known, now);
    }
    if let Some((prefix, rest)) = text.rsplit_once('_') {
        return prefixed(prefix, rest, known, now);
    }
    if text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return meanings(Form::Decimal.read(text)?, known, now);
    }
    let mut all = neighbour::read(text);
    let mut first_wrong = None;
    for form in forms_of(text.chars().count()) {
        let read = form.read(text).map(|id| match id {
            // 26 digits of Crockford's base32 are how ULIDs are written.
            Id::Uuid(value) if *form == Form::Crockford => Id::Ulid(value),
            id => id,
        });
        match read.and_then(|id| meanings(id, known, now)) {
            Ok(meanings) => all.extend(meanings.into_iter().map(|meaning| match form {
                Form::Crockford if meaning.kind == "ULID" => meaning,
                _ => meaning.noting("written in", form.as_str()),
            })),
            Err(malformed) => first_wrong = first_wrong.or(Some(malformed)),
        }
    }
    if all.is_empty() {
        return Err(first_wrong.unwrap_or_else(|| unknown(text)));
    }
    Ok(all)
}

/// The forms of IDs with so many characters.
const fn forms_of(len: usize) -> &'static [Form] {
    match len {
        11 | 22 => &[Form::Base58, Form::Base62],
        13 | 26 => &[Form::Crockford],
        16 | 32 => &[Form::Hex],
        _ => &[],
    }
}

fn prefixed(
    prefix: &str,
    rest: &str,
    known: &Known,
    now: UnixMillis,
) -> Result<Vec<Meaning>, Malformed> {
    if !is_prefix(prefix) {
        let what = "before the last _ stands a type of a-z and _".to_owned();
        return Err(Malformed { at: 1, what });
    }
    let shift = prefix.chars().count() + 1;
    let shifted = |malformed: Malformed| Malformed { at: malformed.at + shift, ..malformed };
    // As TypeID has it: a UUID in Crockford's base32.
    let meanings = match Form::Crockford.read(rest) {
        Ok(id) => meanings(id, known, now),
        Err(_) if !forms_of(rest.chars().count()).is_empty() => guess(rest, known, now),
        Err(malformed) => Err(malformed),
    };
    let meanings = meanings.map_err(shifted)?;
    Ok(meanings.into_iter().map(|meaning| meaning.noting("type", prefix)).collect())
}

/// Nothing that is known has such a length, or such a character.
fn unknown(text: &str) -> Malformed {
    let strange = text.chars().position(|character| !character.is_ascii_alphanumeric());
    if let Some(index) = strange {
        let character = text.chars().nth(index).unwrap_or('?');
        let what = alloc::format!("{character:?} stands in no ID that is known");
        return Malformed { at: index + 1, what };
    }
    if let Some(index) = text.chars().position(|character| !character.is_ascii_digit()) {
        let len = text.chars().count();
        let what = alloc::format!(
            "an integer ends here, and no ID that is known has {len} letters and digits"
        );
        return Malformed { at: index + 1, what };
    }
    Malformed { at: 21, what: "an integer has at most 20 digits".to_owned() }
}

#[cfg(test)]
mod tests;
