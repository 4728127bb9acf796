//! What world of members a seed makes: how many, lengths, delays, and which faults there are (swarm
//! testing).

use ticketd_core::definition::BlockLen;
use ticketd_core::limits::MARK_MAX;

use crate::explore::fault::Scope;
use crate::explore::random::Draw;

/// The longest that a message is on its way, or set aside, beyond what is usual.
pub(super) const DELAY_MAX_US: u64 = 200_000;

/// Rates of the faults: a mean distance in microseconds (0: never), or per mille.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) crash_every: u64,
    pub(super) stop_every: u64,
    pub(super) pause_every: u64,
    pub(super) cut_every: u64,
    pub(super) full_every: u64,
    /// Coordinators that are killed.
    pub(super) kill_every: u64,
    /// Of the answers of a store.
    pub(super) slow: u64,
    pub(super) unavailable: u64,
    pub(super) indeterminate: u64,
    pub(super) conflict: u64,
    pub(super) reply_lost: u64,
    pub(super) late: u64,
    pub(super) short: u64,
    pub(super) sync_error: u64,
    /// Of the messages between coordinators and members.
    pub(super) lost: u64,
    pub(super) delayed: u64,
    pub(super) twice: u64,
    /// Of the moments at which a coordinator goes on.
    pub(super) stands_still: u64,
    /// Of the answers to clients, and of clients.
    pub(super) answer_lost: u64,
    pub(super) leave: u64,
}

/// Everything that is fixed for one world.
#[derive(Debug)]
pub(super) struct Config {
    /// How many servers there are, and how many of them are members at first.
    pub(super) servers: usize,
    pub(super) members: u32,
    /// The mark of each member at first.
    pub(super) mark: u64,
    pub(super) operators: usize,
    /// The longest pause between two resizes of one operator.
    pub(super) resize_every_us: u64,
    /// When a coordinator stops waiting for a member.
    pub(super) call_timeout_us: u64,
    /// The largest headroom of a resize.
    pub(super) headroom: u64,
    pub(super) clients: usize,
    pub(super) block_len: BlockLen,
    pub(super) auto_min: u64,
    pub(super) auto_max: u64,
    /// Per mille of the requests: for more than one ID, to raise, and of whomever.
    pub(super) range: u64,
    pub(super) raise: u64,
    pub(super) stray: u64,
    pub(super) think_us: u64,
    pub(super) net_us: u64,
    pub(super) mailbox_us: u64,
    pub(super) deadline_us: u64,
    pub(super) store_us: (u64, u64),
    pub(super) store_timeout_us: u64,
    pub(super) group_commit: bool,
    pub(super) faults: Faults,
}

impl Config {
    pub(super) fn draw(draw: &mut Draw) -> Self {
        let auto_min = draw.magnitude(2, 64);
        let fastest = draw.magnitude(20, 500);
        let servers = draw.between(2, 6);
        Self {
            servers: servers as usize,
            members: draw.between(1, servers) as u32,
            mark: match draw.below(10) {
                0..=5 => 1,
                6..=8 => draw.magnitude(2, 1 << 40),
                // Near the end of the ID space, so that a world can see it.
                _ => MARK_MAX - draw.magnitude(1, 30_000),
            },
            operators: draw.between(1, 3) as usize,
            resize_every_us: draw.magnitude(5_000, 200_000),
            call_timeout_us: draw.magnitude(10_000, 200_000),
            headroom: match draw.below(3) {
                0 => 0,
                1 => draw.magnitude(1, 200),
                _ => draw.magnitude(200, 1_000_000),
            },
            clients: draw.between(2, 10) as usize,
            block_len: block_len(draw),
            auto_min,
            auto_max: draw.magnitude(auto_min, 2_000),
            range: draw.below(400),
            raise: sometimes(draw, 5, 100),
            stray: sometimes(draw, 10, 200),
            think_us: draw.magnitude(100, 20_000),
            net_us: draw.magnitude(10, 500),
            mailbox_us: draw.magnitude(1, 100),
            deadline_us: draw.magnitude(5_000, 200_000),
            store_us: (fastest, fastest * draw.between(1, 8)),
            store_timeout_us: draw.magnitude(10_000, 100_000),
            group_commit: draw.chance(500),
            faults: faults(draw),
        }
    }

    /// Leaves no more than `scope` wants.
    pub(super) fn narrow(&mut self, scope: &Scope) {
        self.servers = Scope::most(scope.servers, 2, self.servers);
        self.members = self.members.min(self.servers as u32);
        self.clients = Scope::most(scope.clients, 1, self.clients);
    }
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

fn faults(draw: &mut Draw) -> Faults {
    // One world in sixteen is calm.
    if draw.below(16) == 0 {
        return Faults::default();
    }
    Faults {
        crash_every: sometimes(draw, 10_000, 300_000),
        stop_every: sometimes(draw, 20_000, 300_000),
        pause_every: sometimes(draw, 10_000, 300_000),
        cut_every: sometimes(draw, 10_000, 300_000),
        full_every: sometimes(draw, 20_000, 300_000),
        kill_every: sometimes(draw, 5_000, 100_000),
        slow: sometimes(draw, 5, 200),
        unavailable: sometimes(draw, 10, 300),
        indeterminate: sometimes(draw, 10, 200),
        conflict: sometimes(draw, 10, 300),
        reply_lost: sometimes(draw, 5, 100),
        late: sometimes(draw, 5, 200),
        short: sometimes(draw, 20, 800),
        sync_error: sometimes(draw, 2, 30),
        lost: sometimes(draw, 5, 200),
        delayed: sometimes(draw, 5, 300),
        twice: sometimes(draw, 5, 300),
        stands_still: sometimes(draw, 5, 200),
        answer_lost: sometimes(draw, 5, 100),
        leave: sometimes(draw, 5, 150),
    }
}
