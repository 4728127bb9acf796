//! Every limit of the core, with the relations between them asserted at compile time.

/// The longest name of a sequence, in bytes (names are ASCII).
pub const NAME_LEN_MAX: usize = 128;

/// The longest lease of a server, in microseconds.
pub const SERVER_LEASE_MAX_US: u64 = 60_000_000;

/// The smallest ID that is ever issued.
pub const ID_MIN: u64 = 1;

/// The largest ID that is ever issued: the largest positive 64-bit signed integer, which every
/// database and every Redis client can hold.
pub const ID_MAX: u64 = i64::MAX as u64;

/// The high-water mark of a sequence that has reserved every ID: one above [`ID_MAX`].
pub const MARK_MAX: u64 = ID_MAX + 1;

/// The most IDs that one request may ask for.
pub const COUNT_MAX: u64 = 1_000_000;

/// The most IDs that one reservation may ask the store for. Waiting requests beyond it are served
/// by the reservation after.
pub const RESERVE_LEN_MAX: u64 = 16 * 1024 * 1024;

/// The longest block that a user may set.
pub const BLOCK_LEN_MAX: u64 = 10_000_000;

/// The shortest block of `block_len = "auto"`, unless set: what an idle sequence loses in a crash
/// stays small.
pub const AUTO_BLOCK_LEN_MIN: u64 = 64;

/// The longest block of `block_len = "auto"`, unless set.
pub const AUTO_BLOCK_LEN_MAX: u64 = 1_000_000;

/// How long a block of `block_len = "auto"` should last at the present rate. A refill starts when
/// half of the block is spent, so this is twice the time that the store has for it; a thousand
/// times the median commit of the embedded store.
pub const AUTO_BLOCK_LASTS_US: u64 = 1_000_000;

/// How many times longer the next block may be than the one before, so that a sudden load is met
/// within a few reservations and a single odd interval does not reserve millions.
pub const AUTO_BLOCK_GROWTH_MAX: u64 = 8;

/// The most requests that may wait for one sequence. The next one is refused as overloaded.
pub const WAITING_MAX: usize = 65_536;

/// The first pause after a failed attempt at the store; it doubles up to [`BACKOFF_MAX_US`].
pub const BACKOFF_MIN_US: u64 = 10_000;

/// The longest pause between two attempts at the store, so that a store that recovers is noticed
/// within a second.
pub const BACKOFF_MAX_US: u64 = 1_000_000;

/// The longest that a reservation waits for more requests to join it, in microseconds. With a disk
/// that is slower than twice this, waiting longer would only add to what it takes.
pub const GATHER_MAX_US: u64 = 2_000;

/// Lost compare-and-swaps in a row that are tried again at once; after that they pause as well.
pub const CONFLICT_RETRIES_MAX: u32 = 3;

/// The bits of an ID that every database can hold as a signed number.
pub const ID_BITS: u32 = 63;

/// The most fields of a snowflake layout.
pub const LAYOUT_FIELDS_MAX: usize = 8;

/// The longest name of a field of a snowflake layout, in bytes (names are ASCII).
pub const LABEL_LEN_MAX: usize = 16;

/// The most bits of a worker ID, all its parts together.
pub const WORKER_BITS_MAX: u32 = 24;

/// How much time a window of ticks covers, in milliseconds. A refill starts when half of it is
/// left, so a sequence in use costs the store two leases a second; after a crash its worker ID
/// comes free when the window has passed.
pub const LEASE_LASTS_MS: u64 = 1000;

/// The most members of a stride sequence.
pub const MEMBERS_MAX: u32 = 65_536;

/// The longest text that is looked at as an ID, in bytes.
pub const ID_TEXT_LEN_MAX: usize = 256;

const _: () = assert!(COUNT_MAX <= RESERVE_LEN_MAX, "one request must fit one reservation");
const _: () = assert!(BLOCK_LEN_MAX <= RESERVE_LEN_MAX, "one block must fit one reservation");
const _: () = assert!(AUTO_BLOCK_LEN_MIN >= 2 && AUTO_BLOCK_LEN_MIN <= AUTO_BLOCK_LEN_MAX);
const _: () = assert!(AUTO_BLOCK_LEN_MAX <= BLOCK_LEN_MAX);
const _: () = assert!(BACKOFF_MIN_US > 0 && BACKOFF_MIN_US <= BACKOFF_MAX_US);
const _: () = assert!(MARK_MAX < u64::MAX, "the cursor needs a value above every mark");
