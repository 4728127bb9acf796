//! What is asked of sequences of other kinds, in the same groups as the allocators' questions.
//!
//! They have no allocator here: what they ask is drawn, sensible or not, and the store must answer
//! and remember it as the core's arithmetic says.

use ticketd_core::definition::{Definition, Kind};
use ticketd_core::name::Name;
use ticketd_core::record::Reserve;
use ticketd_core::snowflake::lease::{LeaseAsk, Leased, Release};
use ticketd_core::snowflake::{CounterStart, Snowflake};
use ticketd_core::stride::resize::Step;
use ticketd_core::stride::{Accepted, PlanId, Seat};

use super::image::{Answer, Asked, Call};
use crate::explore::random::Draw;

/// The most calls of other kinds in one group.
const CALLS_MAX: u64 = 4;

/// How many worker IDs the snowflake sequence has, and how many ask for them.
const WORKERS: u64 = 2;
const HOLDERS: u64 = 3;

/// What those who ask remember.
#[derive(Debug, Default)]
pub(super) struct Others {
    made: u32,
    tick: u64,
    leased: Option<(u64, Leased)>,
}

impl Others {
    /// What is asked next.
    pub(super) fn ask(&mut self, draw: &mut Draw) -> Vec<Call> {
        (0..draw.between(1, CALLS_MAX)).map(|_| self.one(draw)).collect()
    }

    fn one(&mut self, draw: &mut Draw) -> Call {
        match draw.below(8) {
            0 => {
                self.made += u32::from(draw.chance(700));
                call(&format!("made-{}", self.made), Asked::Create(Definition::default()))
            }
            1 => call("flake", Asked::Create(snowflake())),
            2 | 3 => call("flake", Asked::Lease(self.lease(draw))),
            4 => call("flake", self.release(draw)),
            5 => call("ring", Asked::Create(Definition::of(Kind::Stride(seat(3, 2))))),
            6 => call("ring", Asked::Resize(step(draw))),
            _ => call("ring", Asked::Reserve(positions(draw))),
        }
    }

    fn lease(&mut self, draw: &mut Draw) -> LeaseAsk {
        self.tick += draw.magnitude(1, 50);
        LeaseAsk {
            holder: draw.below(HOLDERS),
            preferred: None,
            floor: self.tick,
            len: draw.between(1, 20),
            workers: WORKERS,
            ticks: 1 << 40,
        }
    }

    /// Gives back what was leased last, once, or what nobody has leased.
    fn release(&mut self, draw: &mut Draw) -> Asked {
        let unspent = self.leased.take().map(|(holder, Leased { worker, window })| Release {
            worker,
            holder,
            from: draw.between(window.start(), window.end()),
            end: window.end(),
        });
        let nobodys = Release { worker: 0, holder: HOLDERS, from: 1, end: 2 };
        Asked::Release(unspent.unwrap_or(nobodys))
    }

    /// Remembers what was leased.
    pub(super) fn hear(&mut self, call: &Call, answer: Option<Answer>) {
        if let (Asked::Lease(ask), Some(Answer::Leased(Ok(leased)))) = (call.asked, answer) {
            self.leased = Some((ask.holder, leased));
        }
    }
}

fn call(name: &str, asked: Asked) -> Call {
    Call { name: Name::new(name).expect("letters, digits and a hyphen"), asked }
}

fn snowflake() -> Definition {
    let layout = "time:40,worker:1,counter:3@0/1ms".parse().expect("a layout of 44 bits");
    Definition::of(Kind::Snowflake(Snowflake { layout, counter_start: CounterStart::Zero }))
}

fn seat(members: u32, offset: u32) -> Seat {
    Seat::new(members, offset).expect("an offset up to the number of members")
}

fn positions(draw: &mut Draw) -> Reserve {
    let generation = u32::try_from(draw.between(1, 2)).expect("1 or 2");
    Reserve { floor: 1, len: draw.between(1, 50), spent: 1, generation, turn: 0 }
}

/// A step of one of two plans.
fn step(draw: &mut Draw) -> Step {
    let attempt = u32::try_from(draw.between(1, 2)).expect("1 or 2");
    let plan = PlanId { attempt, digest: 5 };
    let generation = u32::try_from(draw.between(1, 2)).expect("1 or 2");
    match draw.below(5) {
        0 | 1 => {
            let cap = draw.magnitude(100, 1_000);
            let accepted = Accepted { plan, generation, seat: Some(seat(5, 4)), cap };
            Step::Accept { accepted, joins: false }
        }
        2 | 3 => Step::Open { plan, floor: draw.magnitude(100, 2_000) },
        _ if draw.chance(500) => Step::Refuse { plan, generation },
        _ => Step::Release { plan },
    }
}
