//! What clients write down: each request with its start, its end and its answer.

/// What kind of sequence it is, as far as the checker must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// If one call ended before another began, its IDs are smaller, whichever servers answered.
    Strict,
    /// The same of calls to one server.
    Loose,
    /// Unique, and no more.
    Unique,
}

/// A sequence that the clients ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its name.
    pub name: String,
    /// What is promised of it.
    pub promise: Promise,
}

/// Where a call was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The server that was asked.
    pub server: usize,
    /// Who asked.
    pub client: usize,
    /// Which of the connections that the client has made one after the other.
    pub connection: u32,
}

/// A request and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Where it was made.
    pub place: Place,
    /// Which of the sequences.
    pub sequence: usize,
    /// When it was sent, or before, in microseconds.
    pub start_us: u64,
    /// When the answer had come, or was waited for no longer.
    pub end_us: u64,
    /// What came of it.
    pub answer: Answer,
    /// It belongs to the same request as the call before it: IDs of one answer that do not follow
    /// each other are noted as several calls.
    pub is_more: bool,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The IDs from `first` to `last`, both included.
    Ids {
        /// The smallest.
        first: u64,
        /// The largest.
        last: u64,
    },
    /// Surely nothing was issued.
    Refused,
    /// Something may have been issued.
    Unknown,
}

impl Call {
    /// The IDs, smallest and largest, if it was answered.
    pub const fn ids(&self) -> Option<(u64, u64)> {
        match self.answer {
            Answer::Ids { first, last } => Some((first, last)),
            Answer::Refused | Answer::Unknown => None,
        }
    }

    /// A line of JSON.
    pub fn to_json(&self, sequences: &[Asked]) -> String {
        let answer = match self.answer {
            Answer::Ids { first, last } => serde_json::json!({ "first": first, "last": last }),
            Answer::Refused => "refused".into(),
            Answer::Unknown => "unknown".into(),
        };
        let Place { server, client, connection } = self.place;
        serde_json::json!({
            "start_us": self.start_us, "end_us": self.end_us, "server": server, "client": client,
            "connection": connection, "sequence": sequences[self.sequence].name, "answer": answer,
        })
        .to_string()
    }
}
