//! What world of several servers a seed makes: lengths, delays, speeds of clocks, and which faults
//! there are (swarm testing).

use ticketd_core::definition::{BlockLen, Definition, Order};

use super::flakes::{FlakesConfig, definition};
use super::loss::Loss;
use crate::explore::fault::Scope;
use crate::explore::random::Draw;

/// Microseconds in a millisecond.
pub(super) const MS: u64 = 1_000;

/// By how much the clock of a server may be fast or slow, in millionths: half of what
/// [`drift_us`](ticketd_core::cluster::drift_us) allows two of them to differ by.
const CLOCK_PPM_MAX: u64 = 10_000;

/// Rates of the faults: a mean distance in microseconds (0: never), or per mille.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) crash_every: u64,
    pub(super) stop_every: u64,
    pub(super) pause_every: u64,
    pub(super) engine_cut_every: u64,
    pub(super) peer_cut_every: u64,
    pub(super) away_every: u64,
    pub(super) clock_every: u64,
    /// A thread stands still between two instructions that matter, alone or with its process.
    pub(super) stall: u64,
    pub(super) call_lost: u64,
    pub(super) call_refused: u64,
    pub(super) conflict: u64,
    pub(super) reply_lost: u64,
    pub(super) slow: u64,
    pub(super) torn_list: u64,
    pub(super) peer_lost: u64,
    pub(super) peer_slow: u64,
    pub(super) peer_twice: u64,
    pub(super) answer_lost: u64,
    pub(super) leave: u64,
}

/// How fast the clocks of the servers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speeds {
    Exact,
    /// As fast or as slow as is allowed.
    Edges,
    Any,
}

/// Everything that is fixed for one world.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) sequences: Vec<Definition>,
    pub(super) servers: usize,
    pub(super) clients: usize,
    pub(super) block_len: BlockLen,
    pub(super) auto_min: u64,
    pub(super) auto_max: u64,
    /// The length of a lease, and the pause between two looks at who is there.
    pub(super) ttl_us: u64,
    pub(super) look_us: u64,
    pub(super) speeds: Speeds,
    pub(super) request_timeout_us: u64,
    /// How long a server that stops waits for its requests, and then for its owners.
    pub(super) stop_timeout_us: u64,
    /// When a call of the engine ends at the latest.
    pub(super) call_timeout_us: u64,
    /// The shortest and the longest way to the engine, or back.
    pub(super) engine_us: (u64, u64),
    /// The longest way between a client and a server, or between two servers.
    pub(super) net_us: u64,
    /// The longest pause of a client between an answer and its next request.
    pub(super) think_us: u64,
    /// Per mille of the requests.
    pub(super) range: u64,
    pub(super) batch: u64,
    pub(super) raise: u64,
    pub(super) flakes: FlakesConfig,
    pub(super) loss: Loss,
    pub(super) faults: Faults,
}

impl Config {
    pub(super) fn draw(draw: &mut Draw) -> Self {
        // A multiple of 50, of which the drift is a whole part.
        let ttl_us = draw.magnitude(6, 80) * 50 * MS;
        let fastest = draw.magnitude(50, 2 * MS);
        let auto_min = draw.magnitude(2, 64);
        let sequences = draw.between(1, 4);
        Self {
            sequences: (0..sequences).map(|_| sequence(draw)).collect(),
            servers: draw.between(2, 4) as usize,
            clients: draw.between(3, 12) as usize,
            block_len: block_len(draw),
            auto_min,
            auto_max: draw.magnitude(auto_min, 5_000),
            ttl_us,
            // As the real one works it out, or oftener, so that ends are noticed at once.
            look_us: if draw.chance(750) { (ttl_us / 10).min(500 * MS) } else { ttl_us / 50 },
            speeds: match draw.below(4) {
                0 => Speeds::Exact,
                1 => Speeds::Any,
                _ => Speeds::Edges,
            },
            request_timeout_us: draw.magnitude(300, 8_000) * MS,
            stop_timeout_us: draw.magnitude(100, 10_000) * MS,
            call_timeout_us: draw.magnitude(40 * MS, ttl_us.min(2_000 * MS)),
            engine_us: (fastest, fastest * draw.between(1, 6)),
            net_us: draw.magnitude(10, 3 * MS),
            think_us: draw.magnitude(ttl_us / 64, ttl_us * 2),
            range: draw.below(500),
            batch: if draw.chance(500) { draw.magnitude(20, 400) } else { 0 },
            raise: match draw.below(8) {
                0..4 => 0,
                4..7 => draw.magnitude(5, 150),
                // A sequence that is owned and seldom asked for IDs.
                _ => draw.between(600, 950),
            },
            flakes: FlakesConfig::draw(draw, ttl_us),
            loss: Loss::draw(draw, ttl_us),
            faults: faults(draw, ttl_us),
        }
    }

    /// Leaves no more than `scope` wants.
    pub(super) fn narrow(&mut self, scope: &Scope) {
        self.servers = Scope::most(scope.servers, 2, self.servers);
        self.clients = Scope::most(scope.clients, 1, self.clients);
        self.sequences.truncate(Scope::most(scope.sequences, 1, self.sequences.len()));
    }

    /// What a server is told: the length of its lease, the pause between two looks, and how long it
    /// waits when it stops.
    pub(super) const fn times(&self) -> (u64, u64, u64) {
        (self.ttl_us, self.look_us, self.stop_timeout_us)
    }

    /// The speed of a clock, in millionths above the true one.
    pub(super) fn speed(&self, draw: &mut Draw) -> i64 {
        let most = CLOCK_PPM_MAX as i64;
        match self.speeds {
            Speeds::Exact => 0,
            Speeds::Edges if draw.chance(500) => most,
            Speeds::Edges => -most,
            Speeds::Any => draw.below(2 * CLOCK_PPM_MAX + 1) as i64 - most,
        }
    }
}

fn sequence(draw: &mut Draw) -> Definition {
    if draw.chance(300) {
        return definition(draw);
    }
    let order = if draw.chance(750) { Order::Strict } else { Order::Loose };
    let block_len = draw.chance(400).then(|| block_len(draw));
    Definition { block_len, order, ..Definition::default() }
}

fn block_len(draw: &mut Draw) -> BlockLen {
    match draw.below(5) {
        0 => BlockLen::Fixed(1),
        1 => BlockLen::Fixed(draw.between(2, 10)),
        2 => BlockLen::Fixed(draw.magnitude(10, 1_000)),
        _ => BlockLen::Auto,
    }
}

/// Zero in half of the worlds, otherwise a magnitude up to `most`.
fn sometimes(draw: &mut Draw, least: u64, most: u64) -> u64 {
    if draw.chance(500) { draw.magnitude(least, most) } else { 0 }
}

fn faults(draw: &mut Draw, ttl_us: u64) -> Faults {
    // One world in sixteen is calm.
    if draw.below(16) == 0 {
        return Faults::default();
    }
    let mut every = |least: u64, most: u64| sometimes(draw, least * ttl_us, most * ttl_us);
    let (crash_every, stop_every) = (every(2, 16), every(2, 16));
    let (pause_every, engine_cut_every) = (every(1, 8), every(2, 8));
    let (peer_cut_every, away_every) = (every(2, 8), every(4, 16));
    let clock_every = every(1, 8);
    Faults {
        crash_every,
        stop_every,
        pause_every,
        engine_cut_every,
        peer_cut_every,
        away_every,
        clock_every,
        stall: sometimes(draw, 5, 100),
        call_lost: sometimes(draw, 5, 100),
        call_refused: sometimes(draw, 5, 200),
        conflict: sometimes(draw, 5, 200),
        reply_lost: sometimes(draw, 5, 100),
        slow: sometimes(draw, 5, 100),
        torn_list: sometimes(draw, 10, 500),
        peer_lost: sometimes(draw, 5, 200),
        peer_slow: sometimes(draw, 5, 200),
        peer_twice: sometimes(draw, 5, 100),
        answer_lost: sometimes(draw, 5, 100),
        leave: sometimes(draw, 5, 100),
    }
}
