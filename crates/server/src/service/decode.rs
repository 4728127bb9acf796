//! What an ID says, with what this server knows of its sequence.

use ticketd_core::decode::{Known, Meaning, decode};
use ticketd_core::name::Name;
use ticketd_core::snowflake::layout::Layout;
use ticketd_core::text::Format;

use super::Service;
use crate::error::ServiceError;

/// What whoever asks knows of an ID.
#[derive(Debug, Default)]
pub struct Hints<'a> {
    /// The layout of the integer that it is.
    pub layout: Option<&'a str>,
    /// The sequence that it is of.
    pub sequence: Option<&'a str>,
    /// How it is written.
    pub format: Option<&'a str>,
}

/// Bytes as the text of an ID.
///
/// # Errors
/// `Invalid` if they are no text, with the character that is wrong.
pub fn text_of(bytes: &[u8]) -> Result<&str, ServiceError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let (good, _) = bytes.split_at(error.valid_up_to());
        let at = String::from_utf8_lossy(good).chars().count() + 1;
        ServiceError::invalid(format!("no ID: at character {at}: it is not UTF-8"))
    })
}

impl Service {
    /// All plausible meanings of the ID `text`.
    ///
    /// # Errors
    /// `Invalid` if it is no ID, with the character that is wrong, or if the hints make no sense;
    /// `NotFound` if there is no such sequence.
    pub async fn decode(
        &self,
        text: &str,
        hints: &Hints<'_>,
    ) -> Result<Vec<Meaning>, ServiceError> {
        let known = match (hints.layout, hints.sequence) {
            (Some(_), Some(_)) => {
                return Err(ServiceError::invalid("give a layout or a sequence, not both"));
            }
            (Some(layout), None) => {
                Known::Layout(layout.parse::<Layout>().map_err(ServiceError::invalid)?)
            }
            (None, Some(name)) => {
                let name = Name::new(name).map_err(ServiceError::invalid)?;
                Known::Kind(self.show(&name).await?.kind)
            }
            (None, None) => Known::Nothing,
        };
        let format = hints.format.map(str::parse::<Format>).transpose();
        let format = format.map_err(ServiceError::invalid)?;
        decode(text, &known, format.as_ref(), self.clock.wall())
            .map_err(|malformed| ServiceError::invalid(format!("no ID: {malformed}")))
    }
}
