//! Names of sequences.

use alloc::sync::Arc;
use core::fmt;

use crate::limits::NAME_LEN_MAX;

/// The name of a sequence: 1 to 128 characters of `A-Z a-z 0-9 . _ : - /`, starting with a
/// letter, a digit or `_`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// Why a text is not a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameError {
    /// The text is empty.
    Empty,
    /// The text is longer than [`NAME_LEN_MAX`] bytes.
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The byte at `position` (counted from 1) is not allowed there.
    Forbidden {
        /// The byte.
        byte: u8,
        /// Where it is, counted from 1.
        position: usize,
    },
}

impl Name {
    /// Checks `text` and makes it a name.
    ///
    /// # Errors
    /// [`NameError`] says which rule the text breaks, and where.
    pub fn new(text: &str) -> Result<Self, NameError> {
        Self::check(text.as_bytes())?;
        Ok(Self(Arc::from(text)))
    }

    /// As [`Name::new`], from bytes off the wire.
    ///
    /// # Errors
    /// [`NameError`] says which rule the bytes break, and where.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NameError> {
        Self::check(bytes)?;
        let text = core::str::from_utf8(bytes).expect("checked names are ASCII");
        Ok(Self(Arc::from(text)))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn check(bytes: &[u8]) -> Result<(), NameError> {
        if bytes.is_empty() {
            return Err(NameError::Empty);
        }
        if bytes.len() > NAME_LEN_MAX {
            return Err(NameError::TooLong { len: bytes.len() });
        }
        for (index, &byte) in bytes.iter().enumerate() {
            let leads = byte.is_ascii_alphanumeric() || byte == b'_';
            let follows = leads || matches!(byte, b'.' | b':' | b'-' | b'/');
            if !(if index == 0 { leads } else { follows }) {
                return Err(NameError::Forbidden { byte, position: index + 1 });
            }
        }
        Ok(())
    }
}

/// So that a map keyed by names is searched by text; both hash and compare as their characters.
impl core::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "a sequence name needs at least one character"),
            Self::TooLong { len } => {
                write!(f, "a sequence name has at most {NAME_LEN_MAX} characters, this one {len}")
            }
            Self::Forbidden { byte, position } => write!(
                f,
                "a sequence name has letters, digits and . _ : - / and starts with a letter, a \
                 digit or _; character {position} is '{}'",
                byte.escape_ascii()
            ),
        }
    }
}

impl core::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_alphabet_and_both_ends_of_the_length() {
        for good in ["a", "9", "_x", "Notes.v2:eu-west/1", &"n".repeat(NAME_LEN_MAX)] {
            assert_eq!(Name::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert_eq!(Name::new(&"n".repeat(129)), Err(NameError::TooLong { len: 129 }));
        assert_eq!(Name::new(".a"), Err(NameError::Forbidden { byte: b'.', position: 1 }));
        assert_eq!(Name::new("no tes"), Err(NameError::Forbidden { byte: b' ', position: 3 }));
        assert_eq!(Name::new("n\u{e9}"), Err(NameError::Forbidden { byte: 0xc3, position: 2 }));
        assert_eq!(
            Name::from_bytes(b"a\r"),
            Err(NameError::Forbidden { byte: b'\r', position: 2 })
        );
    }
}
