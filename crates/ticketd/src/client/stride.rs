//! What a client asks of a member of a stride sequence.

use serde::Deserialize;
use serde_json::{Value, json};
use ticketd_core::name::Name;
use ticketd_core::stride::resize::{Step, View};
use ticketd_core::stride::{Accepted, Opened, PlanId, Seat, Standing};

use super::{Client, checked, escaped, not_understood, understand};
use crate::failure::Failure;

impl Client {
    /// What the server says of itself as a member of the stride sequence `name`; `None` if it has
    /// no such sequence.
    ///
    /// # Errors
    /// What the server says.
    pub fn member(&mut self, name: &Name) -> Result<Option<View>, Failure> {
        let reply = self.connection.send("GET", &path_of(name), None)?;
        if reply.status == hyper::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        understand::<Member>(&checked(reply)?)?.view().map(Some)
    }

    /// Has the server take a step of a resize of the stride sequence `name`.
    ///
    /// # Errors
    /// What the server says.
    pub fn take_step(&mut self, name: &Name, step: &Step) -> Result<View, Failure> {
        let body = to_json(step).to_string();
        let reply = self.connection.send("POST", &path_of(name), Some(body))?;
        understand::<Member>(&checked(reply)?)?.view()
    }
}

fn path_of(name: &Name) -> String {
    format!("/v1/stride/{}", escaped(name.as_str()))
}

fn plan_json(plan: PlanId) -> Value {
    json!({ "attempt": plan.attempt, "digest": format!("{:016x}", plan.digest) })
}

fn to_json(step: &Step) -> Value {
    match step {
        Step::Accept { accepted, joins } => json!({
            "step": "accept",
            "plan": plan_json(accepted.plan),
            "generation": accepted.generation,
            "seat": accepted.seat.map(|seat| json!({
                "members": seat.members(), "offset": seat.offset()
            })),
            "cap": accepted.cap.to_string(),
            "joins": joins,
        }),
        Step::Open { plan, floor } => {
            json!({ "step": "open", "plan": plan_json(*plan), "floor": floor.to_string() })
        }
        Step::Refuse { plan, generation } => {
            json!({ "step": "refuse", "plan": plan_json(*plan), "generation": generation })
        }
        Step::Release { plan } => json!({ "step": "release", "plan": plan_json(*plan) }),
    }
}

/// A member as the server shows it.
#[derive(Debug, Deserialize)]
struct Member {
    standing: String,
    generation: u32,
    seat: SeatShown,
    reached: String,
    attempt: u32,
    opened: PlanShown,
    floor: String,
    accepted: Option<AcceptedShown>,
}

#[derive(Debug, Deserialize)]
struct SeatShown {
    members: u32,
    offset: u32,
}

#[derive(Debug, Deserialize)]
struct PlanShown {
    attempt: u32,
    digest: String,
}

#[derive(Debug, Deserialize)]
struct AcceptedShown {
    plan: PlanShown,
    generation: u32,
    seat: Option<SeatShown>,
    cap: String,
}

impl Member {
    fn view(&self) -> Result<View, Failure> {
        let standing = match &*self.standing {
            "joining" => Standing::Joining,
            "issuing" => Standing::Issuing,
            "left" => Standing::Left,
            other => return Err(not_understood(format!("a standing of {other}"))),
        };
        let accepted = self.accepted.as_ref().map(AcceptedShown::accepted).transpose()?;
        Ok(View {
            standing,
            number: self.generation,
            seat: self.seat.seat()?,
            attempt: self.attempt,
            opened: Opened { plan: self.opened.plan()?, floor: number(&self.floor)? },
            accepted,
            reached: number(&self.reached)?,
        })
    }
}

impl AcceptedShown {
    fn accepted(&self) -> Result<Accepted, Failure> {
        Ok(Accepted {
            plan: self.plan.plan()?,
            generation: self.generation,
            seat: self.seat.as_ref().map(SeatShown::seat).transpose()?,
            cap: number(&self.cap)?,
        })
    }
}

impl SeatShown {
    fn seat(&self) -> Result<Seat, Failure> {
        Seat::new(self.members, self.offset).map_err(not_understood)
    }
}

impl PlanShown {
    fn plan(&self) -> Result<PlanId, Failure> {
        let digest = u64::from_str_radix(&self.digest, 16).map_err(not_understood)?;
        Ok(PlanId { attempt: self.attempt, digest })
    }
}

fn number(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(not_understood)
}
