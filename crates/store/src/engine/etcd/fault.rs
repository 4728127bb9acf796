//! What is said when a call fails, and what may be done about it. Here it is decided whether a
//! change was surely not applied.

use std::error::Error;
use std::io;

use ticketd_core::failure::FailureKind;
use tonic::{Code, ConnectError, Status};

use crate::error::StoreError;

/// Why one attempt at one member failed. Its kind is the truth about a change: `Indeterminate` if
/// it was perhaps applied.
#[derive(Debug)]
pub struct Fault {
    /// What to tell.
    pub error: StoreError,
    /// What may be tried, if the change was surely not applied.
    pub next: Next,
}

/// What may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another member.
    AnotherMember,
    /// A new token.
    AnotherToken,
    /// To do without a token: there are no users.
    NoToken,
    /// To read whether it was applied, which is decided.
    ToLook,
    /// Nothing that can be done here.
    Nothing,
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        fault.error
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self { error, next: Next::Nothing }
    }
}

impl Fault {
    /// How much is learnt from it: more from what a member said than from its silence.
    pub fn weight(&self) -> u8 {
        match (self.error.kind, self.next) {
            (FailureKind::Invalid | FailureKind::Corrupt, _) => 3,
            (FailureKind::Indeterminate, _) => 1,
            _ if self.error.source.is_some() => 0,
            _ => 2,
        }
    }

    /// Whether it may be the connection that is at fault.
    pub fn is_of_connection(&self) -> bool {
        self.error.kind == FailureKind::Indeterminate || self.error.source.is_some()
    }

    /// A fault that another member does not mend.
    pub fn lasting(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { error: StoreError::new(kind, message), next: Next::Nothing }
    }

    /// The fault of a call that had to go before: what was asked has not been sent.
    pub fn before_sending(mut self) -> Self {
        if self.error.kind == FailureKind::Indeterminate {
            self.error.kind = FailureKind::Unavailable;
        }
        self
    }

    /// Nothing came back from `member` in time, from what had been sent to it.
    pub fn silent(member: &str) -> Self {
        let message = format!("no answer in time from etcd at {member}");
        let error = StoreError::new(FailureKind::Indeterminate, message);
        Self { error, next: Next::AnotherMember }
    }

    /// There is no connection to `member`, in time: nothing was sent.
    pub fn slow_to_connect(member: &str) -> Self {
        let late = io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
        Self::unreached(member, &late)
    }

    /// There is no connection to `member`: nothing was sent.
    pub fn unreached(member: &str, error: &(dyn Error + 'static)) -> Self {
        let cause = root(error);
        let (kind, message) = if is_of_tls(error) {
            (
                FailureKind::Invalid,
                format!("TLS failed: see tls, ca, cert and key of the URL, with etcd at {member}"),
            )
        } else {
            (FailureKind::Unavailable, format!("cannot reach etcd at {member}"))
        };
        Self { error: StoreError::because(kind, message, cause), next: Next::AnotherMember }
    }

    /// What `status` says, of a call to `member`.
    pub fn from_status(member: &str, status: &Status) -> Self {
        if chain(status).any(|cause| cause.is::<ConnectError>()) {
            return Self::unreached(member, status);
        }
        let text = status.message();
        if let Some(known) = KNOWN.iter().find(|known| text.starts_with(known.text)) {
            let message = format!("{}; etcd at {member}", known.message);
            return Self { error: StoreError::new(known.kind, message), next: known.next };
        }
        match status.code() {
            // The answer of another server that speaks HTTP/2.
            Code::Unimplemented => Self {
                error: StoreError::new(
                    FailureKind::Invalid,
                    format!("this is not etcd: see host and port of the URL, {member}"),
                ),
                next: Next::AnotherMember,
            },
            code => Self::unknown(member, code, status),
        }
    }

    /// Something happened after the request was sent.
    fn unknown(member: &str, code: Code, status: &Status) -> Self {
        let text = status.message();
        // Only what etcd itself says is passed on: texts without secrets.
        let said = match status.source() {
            Some(source) => root(source),
            None if text.starts_with("etcdserver: ") => text.to_owned(),
            None => format!("{code:?}"),
        };
        let message = format!("etcd at {member} failed, or is none, or wants TLS or a certificate");
        let error = StoreError::because(FailureKind::Indeterminate, message, said);
        Self { error, next: Next::AnotherMember }
    }
}

/// A text of etcd and what it means. But for one, they are said before anything is applied.
struct Known {
    text: &'static str,
    kind: FailureKind,
    next: Next,
    message: &'static str,
}

/// Where they come from: `api/v3rpc/rpctypes/error.go` of etcd.
const KNOWN: [Known; 16] = [
    // By the check of the request's `hasleader`, before it is proposed.
    Known {
        text: "etcdserver: no leader",
        kind: FailureKind::Unavailable,
        next: Next::AnotherMember,
        message: "etcd has no leader: most of its members must run and reach each other",
    },
    Known {
        text: "etcdserver: rpc not supported for learner",
        kind: FailureKind::Unavailable,
        next: Next::AnotherMember,
        message: "this member of etcd is a learner: promote it, or name voting members",
    },
    Known {
        text: "etcdserver: mvcc: required revision has been compacted",
        kind: FailureKind::Unavailable,
        next: Next::AnotherMember,
        message: "etcd was compacted meanwhile",
    },
    Known {
        text: "etcdserver: too many requests",
        kind: FailureKind::Unavailable,
        next: Next::Nothing,
        message: "etcd has too many requests: give it a faster disk or less work",
    },
    // Said also of the change that made the quota full, although that is applied
    // (`quotaApplierV3` in etcd's `apply.go`).
    Known {
        text: "etcdserver: mvcc: database space exceeded",
        kind: FailureKind::Indeterminate,
        next: Next::ToLook,
        message: "etcd is out of its quota: compact, defragment and disarm the alarm",
    },
    Known {
        text: "etcdserver: request is too large",
        kind: FailureKind::Invalid,
        next: Next::Nothing,
        message: "etcd takes only smaller requests: raise its --max-request-bytes",
    },
    Known {
        text: "etcdserver: too many operations in txn request",
        kind: FailureKind::Invalid,
        next: Next::Nothing,
        message: "etcd takes only smaller transactions: raise its --max-txn-ops",
    },
    Known {
        text: "etcdserver: permission denied",
        kind: FailureKind::Invalid,
        next: Next::Nothing,
        message: "etcd denies it: grant the user's role readwrite on the prefix",
    },
    Known {
        text: "etcdserver: user name is empty",
        kind: FailureKind::Invalid,
        next: Next::AnotherToken,
        message: "etcd asks for a user: put USER:PASSWORD@ into the URL",
    },
    Known {
        text: "etcdserver: authentication failed, invalid user ID or password",
        kind: FailureKind::Invalid,
        next: Next::Nothing,
        message: "etcd does not accept user and password: see the URL",
    },
    Known {
        text: "etcdserver: user name not found",
        kind: FailureKind::Invalid,
        next: Next::Nothing,
        message: "etcd does not know the user: see the URL",
    },
    Known {
        text: "etcdserver: no password was given for the user",
        kind: FailureKind::Invalid,
        next: Next::Nothing,
        message: "this user of etcd has no password: it must show a certificate",
    },
    Known {
        text: "etcdserver: authentication is not enabled",
        kind: FailureKind::Invalid,
        next: Next::NoToken,
        message: "etcd does not ask for users: turn its authentication on, or name none",
    },
    Known {
        text: "etcdserver: invalid auth token",
        kind: FailureKind::Unavailable,
        next: Next::AnotherToken,
        message: "etcd does not accept its own token any more",
    },
    Known {
        text: "etcdserver: revision of auth store is old",
        kind: FailureKind::Unavailable,
        next: Next::AnotherToken,
        message: "users or roles of etcd have just changed",
    },
    Known {
        text: "etcdserver: corrupt cluster",
        kind: FailureKind::Corrupt,
        next: Next::Nothing,
        message: "members of etcd contradict each other: a person must look",
    },
];

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// The innermost cause, which says it without preamble.
fn root(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map_or_else(String::new, ToString::to_string)
}

/// Rustls reports what it finds wrong as invalid data.
fn is_of_tls(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|io| io.kind() == io::ErrorKind::InvalidData)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_applied_is_indeterminate() {
        let perhaps = [
            Status::unavailable("etcdserver: request timed out"),
            Status::unavailable(
                "etcdserver: request timed out, possibly due to previous leader \
                                 failure",
            ),
            Status::unavailable("etcdserver: server stopped"),
            Status::unavailable("etcdserver: leader changed"),
            Status::unavailable("transport is closing"),
            Status::unknown("anything"),
            Status::cancelled("Timeout expired"),
            Status::deadline_exceeded("context deadline exceeded"),
            Status::internal("h2 protocol error"),
        ];
        for status in perhaps {
            let fault = Fault::from_status("m", &status);
            assert_eq!(fault.error.kind, FailureKind::Indeterminate, "{status:?}");
            assert_eq!(fault.next, Next::AnotherMember, "{status:?}");
        }
    }

    #[test]
    fn what_was_refused_is_known_not_to_be_applied() {
        for known in KNOWN {
            let fault = Fault::from_status("m", &Status::unknown(known.text));
            assert_eq!((fault.error.kind, fault.next), (known.kind, known.next));
            let is_unknown = fault.error.kind == FailureKind::Indeterminate;
            assert_eq!(is_unknown, fault.next == Next::ToLook, "{}", known.text);
        }
        let other = Fault::from_status("m", &Status::unimplemented("x"));
        assert_eq!(other.error.kind, FailureKind::Invalid);
    }

    #[test]
    fn only_texts_of_etcd_are_passed_on() {
        let line = |text| Fault::from_status("m", &Status::unknown(text)).error.to_failure();
        assert!(!line("the password is secret").message.contains("secret"));
        assert!(line("etcdserver: leader changed").message.contains("leader changed"));
    }
}
