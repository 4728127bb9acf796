//! What a client is told when it gets no ID: few kinds, each with one place in each protocol.

use ticketd_core::allocator::Refusal;
use ticketd_core::failure::{Failure, FailureKind};
use ticketd_store::StoreError;

/// What a refused raise begins with if there is nothing left to raise.
pub const ONLY_FORWARD: &str = "a sequence only moves forward";

/// What an error means for whoever asked. A kind exists because the caller acts differently on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, utoipa::ToSchema)]
#[schema(as = KindOfError, rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The request makes no sense: mend it.
    Invalid,
    /// There is no such sequence: create it.
    NotFound,
    /// The sequence is otherwise than the request assumes.
    Conflict,
    /// ticketd never does that.
    Forbidden,
    /// More than one request may carry: ask for less at a time.
    TooLarge,
    /// The sequence has no such number of IDs left: use another sequence.
    Exhausted,
    /// Not now: try again.
    Unavailable,
    /// Another server owns the sequence now: ask there.
    Fenced,
    /// The store is damaged: a person must look.
    Corrupt,
}

impl ErrorKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 9] = [
        Self::Invalid,
        Self::NotFound,
        Self::Conflict,
        Self::Forbidden,
        Self::TooLarge,
        Self::Exhausted,
        Self::Unavailable,
        Self::Fenced,
        Self::Corrupt,
    ];

    /// The word for it in metrics and in the `type` of a problem document.
    pub const fn as_str(self) -> &'static str {
        self.table().0
    }

    /// The first word of a RESP error.
    pub const fn resp_prefix(self) -> &'static str {
        self.table().1
    }

    /// The status of an HTTP answer.
    pub const fn http_status(self) -> u16 {
        self.table().2
    }

    /// The exit code of a command that ends with it: 1, the work failed.
    pub const fn exit_code(self) -> u8 {
        self.table().3
    }

    /// The one table: word, RESP prefix, HTTP status, exit code.
    const fn table(self) -> (&'static str, &'static str, u16, u8) {
        match self {
            Self::Invalid => ("invalid", "ERR", 400, 1),
            Self::NotFound => ("not-found", "NOTFOUND", 404, 1),
            Self::Conflict => ("conflict", "CONFLICT", 409, 1),
            Self::Forbidden => ("forbidden", "FORBIDDEN", 403, 1),
            Self::TooLarge => ("too-large", "TOOLARGE", 413, 1),
            Self::Exhausted => ("exhausted", "EXHAUSTED", 410, 1),
            Self::Unavailable => ("unavailable", "UNAVAILABLE", 503, 1),
            Self::Fenced => ("fenced", "FENCED", 503, 1),
            Self::Corrupt => ("corrupt", "CORRUPT", 500, 1),
        }
    }
}

/// An error of the service: a kind to act on and a line for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ServiceError {
    /// What it means for whoever asked.
    pub kind: ErrorKind,
    /// What happened and the way out, in one line: lower case, no full stop.
    pub message: String,
}

impl ServiceError {
    /// An error of `kind`, described by `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// An error of kind [`ErrorKind::Invalid`].
    pub fn invalid(message: impl ToString) -> Self {
        Self::new(ErrorKind::Invalid, message.to_string())
    }

    /// The server is stopping.
    pub fn stopping() -> Self {
        Self::new(ErrorKind::Unavailable, "the server is stopping; ask another, or try again")
    }
}

impl From<Refusal> for ServiceError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Late(Some(failure)) => Self::new(
                ErrorKind::Unavailable,
                format!("no ID could be made durable in time: {failure}"),
            ),
            Refusal::Late(None) => Self::new(
                ErrorKind::Unavailable,
                "no ID could be made durable in time: the store has not answered",
            ),
            Refusal::Store(failure) => failure.into(),
            Refusal::Exhausted { left } => Self::new(
                ErrorKind::Exhausted,
                format!("the sequence is exhausted: use another one; IDs left: {left}"),
            ),
            Refusal::Overloaded => Self::new(
                ErrorKind::Unavailable,
                "too many requests wait for this sequence; try again",
            ),
            Refusal::Stopping => Self::stopping(),
            Refusal::OtherKind(record) => Self::invalid(format!(
                "its kind is {}, whose IDs do not come in blocks",
                record.definition.kind.name().as_str()
            )),
            Refusal::OwnedBy(..) | Refusal::Moved => {
                Self::new(ErrorKind::Fenced, "another server owns the sequence now; try again")
            }
            Refusal::Lowering { next } => Self::new(
                ErrorKind::Conflict,
                format!("{ONLY_FORWARD}: its next ID is {next} already"),
            ),
        }
    }
}

impl From<Failure> for ServiceError {
    fn from(failure: Failure) -> Self {
        let kind = match failure.kind {
            FailureKind::Unavailable | FailureKind::Indeterminate | FailureKind::Conflict => {
                ErrorKind::Unavailable
            }
            FailureKind::Fenced => ErrorKind::Fenced,
            FailureKind::Exhausted => ErrorKind::Exhausted,
            FailureKind::NotFound => ErrorKind::NotFound,
            FailureKind::Invalid => ErrorKind::Invalid,
            FailureKind::Corrupt => ErrorKind::Corrupt,
        };
        Self::new(kind, failure.message.to_string())
    }
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        error.to_failure().into()
    }
}
