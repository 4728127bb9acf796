//! What world a seed makes: the configuration is drawn as well, and with it which faults there are.
//!
//! A world in which everything goes wrong at once explores little: the first crash hides the rest.
//! So each fault is on in about half of the worlds, at a rate of its own (swarm testing).

use ticketd_core::definition::{BlockLen, Definition};
use ticketd_core::limits::MARK_MAX;

use super::fault::Scope;
use super::random::Draw;

/// One sequence at the beginning of the world.
#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) definition: Definition,
    pub(super) mark: u64,
}

/// What clients ask for; each per mille of the requests.
#[derive(Debug)]
pub(super) struct Mix {
    pub(super) range: u64,
    pub(super) long_range: u64,
    pub(super) batch: u64,
    pub(super) raise: u64,
    /// Of the raises, those that go down.
    pub(super) lower: u64,
    /// Clients that leave before they are answered.
    pub(super) leave: u64,
}

/// Rates of the faults: per mille of the store's answers, or a mean distance (0: never).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    /// Happenings from one crash to the next.
    pub(super) crash_every: u64,
    /// Happenings from one clean stop to the next.
    pub(super) stop_every: u64,
    pub(super) slow: u64,
    pub(super) unavailable: u64,
    pub(super) indeterminate: u64,
    pub(super) conflict: u64,
    pub(super) reply_lost: u64,
    pub(super) short: u64,
    pub(super) sync_error: u64,
    /// Microseconds from one time of a full store to the next.
    pub(super) full_every_us: u64,
    /// Microseconds from one write of somebody else to the next.
    pub(super) foreign_every_us: u64,
}

/// Everything that is fixed for one world.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) sequences: Vec<Sequence>,
    pub(super) clients: u64,
    pub(super) block_len: BlockLen,
    pub(super) auto_min: u64,
    pub(super) auto_max: u64,
    pub(super) mix: Mix,
    pub(super) faults: Faults,
    /// The longest pause of a client between an answer and its next request.
    pub(super) think_us: u64,
    /// The longest way of a message between a client and the server.
    pub(super) net_us: u64,
    /// The longest wait of a message to the owner of a sequence.
    pub(super) mailbox_us: u64,
    pub(super) deadline_us: u64,
    pub(super) store_us: (u64, u64),
    /// When the shell stops waiting for the store.
    pub(super) store_timeout_us: u64,
    pub(super) group_commit: bool,
}

impl Config {
    pub(super) fn draw(draw: &mut Draw) -> Self {
        let auto_min = draw.magnitude(2, 64);
        let fastest = draw.magnitude(20, 2_000);
        let sequences = draw.between(1, 4);
        Self {
            sequences: (0..sequences).map(|_| sequence(draw)).collect(),
            clients: draw.between(1, 10),
            block_len: block_len(draw),
            auto_min,
            auto_max: draw.magnitude(auto_min, 20_000),
            mix: mix(draw),
            faults: faults(draw),
            think_us: draw.magnitude(10, 5_000),
            net_us: draw.magnitude(1, 500),
            mailbox_us: draw.magnitude(1, 200),
            deadline_us: draw.magnitude(2_000, 1_000_000),
            store_us: (fastest, fastest * draw.between(1, 8)),
            store_timeout_us: draw.magnitude(20_000, 500_000),
            group_commit: draw.chance(500),
        }
    }

    /// Leaves no more than `scope` wants.
    pub(super) fn narrow(&mut self, scope: &Scope) {
        self.clients = Scope::most(scope.clients, 1, self.clients as usize) as u64;
        self.sequences.truncate(Scope::most(scope.sequences, 1, self.sequences.len()));
    }
}

fn sequence(draw: &mut Draw) -> Sequence {
    let own = draw.chance(500).then(|| block_len(draw));
    let mark = match draw.below(10) {
        0..=4 => 1,
        5..=7 => draw.magnitude(2, 1 << 50),
        // Near the end of the ID space, so that a world can see it.
        _ => MARK_MAX - draw.magnitude(1, 3_000),
    };
    Sequence { definition: Definition { block_len: own, ..Definition::default() }, mark }
}

fn block_len(draw: &mut Draw) -> BlockLen {
    match draw.below(5) {
        0 => BlockLen::Fixed(1),
        1 => BlockLen::Fixed(draw.between(2, 10)),
        2 => BlockLen::Fixed(draw.magnitude(10, 2_000)),
        _ => BlockLen::Auto,
    }
}

/// Zero in half of the worlds, otherwise a magnitude up to `most`.
fn sometimes(draw: &mut Draw, least: u64, most: u64) -> u64 {
    if draw.chance(500) { draw.magnitude(least, most) } else { 0 }
}

fn mix(draw: &mut Draw) -> Mix {
    Mix {
        range: draw.below(600),
        long_range: sometimes(draw, 2, 60),
        batch: sometimes(draw, 10, 400),
        raise: sometimes(draw, 5, 250),
        lower: draw.below(500),
        leave: sometimes(draw, 5, 200),
    }
}

fn faults(draw: &mut Draw) -> Faults {
    // One world in sixteen is calm: what must hold without faults is then exact.
    if draw.below(16) == 0 {
        return Faults::default();
    }
    Faults {
        crash_every: sometimes(draw, 100, 2_000),
        stop_every: sometimes(draw, 200, 2_000),
        slow: sometimes(draw, 5, 200),
        unavailable: sometimes(draw, 10, 400),
        indeterminate: sometimes(draw, 10, 300),
        conflict: sometimes(draw, 10, 500),
        reply_lost: sometimes(draw, 5, 150),
        short: sometimes(draw, 20, 800),
        sync_error: sometimes(draw, 2, 30),
        full_every_us: sometimes(draw, 20_000, 500_000),
        foreign_every_us: sometimes(draw, 5_000, 200_000),
    }
}
