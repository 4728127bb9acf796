//! Every limit of the server, with the relations between them asserted at compile time. Those of
//! names, counts and blocks are in `ticketd_core::limits`.

use ticketd_core::limits::NAME_LEN_MAX;

/// The most sequences that a server creates by itself or on request.
pub const SEQUENCES_MAX: u64 = 1_000_000;

/// The most 128-bit IDs that are made before other requests have their turn.
pub const WIDE_IDS_PER_TURN: u64 = 4096;

/// Requests on their way to one owner. Beyond it they wait in their connections.
pub const OWNER_QUEUE_LEN: usize = 1024;

/// The most arguments of one RESP command, its name included.
pub const RESP_ARGS_MAX: usize = 1024;

/// The longest argument of a RESP command in bytes.
pub const RESP_ARG_LEN_MAX: usize = 64 * 1024;

/// The longest RESP command in bytes, all its arguments together.
pub const RESP_COMMAND_LEN_MAX: usize = 256 * 1024;

/// The longest inline command of RESP in bytes, as in redis-server.
pub const RESP_INLINE_LEN_MAX: usize = 64 * 1024;

/// How much a RESP connection reads at a time, in bytes.
pub const RESP_READ_LEN: usize = 16 * 1024;

/// Answers gathered for a RESP connection before they are written, in bytes. Nothing more is read
/// from a client that does not take its answers, so this bounds what it costs.
pub const RESP_WRITE_LEN: usize = 64 * 1024;

/// The most bytes of one IDs-as-array answer that is gathered before it is written: `NEXT` with
/// the highest count is answered in pieces of this many IDs.
pub const RESP_IDS_PER_WRITE: u64 = 2048;

/// A client that has not taken its answers for this long is disconnected.
pub const WRITE_TIMEOUT_SECONDS: u64 = 60;

/// The most names that one `KEYS` or one page of `SCAN` looks at.
pub const LIST_PAGE_MAX: usize = 10_000;

/// The longest body of an HTTP request in bytes.
pub const HTTP_BODY_LEN_MAX: usize = 64 * 1024;

/// How long an HTTP client may take over the head of a request, in seconds.
pub const HTTP_HEAD_TIMEOUT_SECONDS: u64 = 30;

/// Sequences that have their own lines in the metrics; the others are summed up in one.
pub const METRICS_SEQUENCES_MAX: usize = 1000;

/// How often the rates of all sequences are brought up to date, in seconds.
pub const RATE_INTERVAL_SECONDS: u64 = 5;

/// How long a stopping server waits for requests in flight, and then again for the store, in
/// seconds each.
pub const STOP_TIMEOUT_SECONDS: u64 = 3;

const _: () = assert!(NAME_LEN_MAX < RESP_ARG_LEN_MAX, "a name fits an argument");
const _: () = assert!(RESP_ARG_LEN_MAX <= RESP_COMMAND_LEN_MAX, "an argument fits a command");
