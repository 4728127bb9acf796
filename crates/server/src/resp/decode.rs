//! `DECODE`: what an ID says of itself.

use ticketd_core::decode::Meaning;
use ticketd_core::time::Rfc3339;

use crate::error::ServiceError;
use crate::resp::reply::Reply;
use crate::service::{Hints, Service, text_of};

/// All plausible meanings of an ID, each a map of names and texts.
pub(crate) async fn decode(
    service: &Service,
    id: &[u8],
    layout: Option<&[u8]>,
    sequence: Option<&[u8]>,
) -> Result<Vec<Meaning>, ServiceError> {
    let hints = Hints {
        layout: layout.map(text_of).transpose()?,
        sequence: sequence.map(text_of).transpose()?,
        format: None,
    };
    service.decode(text_of(id)?, &hints).await
}

/// Writes `meanings` as an array of maps.
pub(crate) fn write(reply: &mut Reply, meanings: &[Meaning]) {
    reply.array(meanings.len());
    for meaning in meanings {
        let time = meaning.time_ms.map(|ms| ("time", Rfc3339(ms).to_string()));
        let mut rows = vec![("kind", meaning.kind.clone())];
        rows.extend(time);
        rows.extend(meaning.notes.iter().cloned());
        reply.map(rows.len() + meaning.parts.len() + 1);
        for (name, value) in &rows {
            reply.bulk(name);
            reply.bulk(value);
        }
        for part in &meaning.parts {
            reply.bulk(format!("bits of {}", part.name));
            reply.bulk(format!("{} of {} bits", part.value, part.bits));
        }
        reply.bulk("drawing");
        reply.bulk(meaning.drawing().join("\n"));
    }
}
