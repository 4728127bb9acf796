//! Calls of etcd: to the member that answered last, and to the next one if it does not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ticketd_core::failure::FailureKind;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;

use super::fault::{Fault, Next};
use super::member::Member;
use super::session::Session;
use super::url::EtcdUrl;
use super::wire::Call;
use crate::error::StoreError;

/// What happens if a call is carried out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it may be sent to one member after the other.
    None,
    /// It may change something: once it was perhaps applied, it is not sent again.
    Change,
}

impl Effect {
    /// What has no effect was surely not applied.
    fn told(self, fault: Fault) -> Fault {
        if self == Self::None { fault.before_sending() } else { fault }
    }
}

/// The members of a cluster and who one is to them.
#[derive(Debug)]
pub struct Client {
    members: Vec<Member>,
    session: Session,
    /// Which member is asked first.
    first: AtomicUsize,
    timeout: Duration,
}

impl Client {
    /// Speaks to the members that `url` names; connects when asked.
    ///
    /// # Errors
    /// `Invalid` if a file of TLS cannot be used.
    pub fn new(url: &EtcdUrl) -> Result<Self, StoreError> {
        let tls = url.tls.as_ref().map(super::member::tls_config).transpose()?;
        let patience = share(url.timeout, url.members.len());
        let members = url.members.iter().map(|place| Member::new(place, tls.as_ref(), patience));
        Ok(Self {
            members: members.collect::<Result<_, _>>()?,
            session: Session::new(url.credentials.clone()),
            first: AtomicUsize::new(0),
            timeout: url.timeout,
        })
    }

    /// The members that it knows.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Who it is.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Sends `request`, in turn to each member until one answers.
    ///
    /// # Errors
    /// `Indeterminate` if `request` has an effect and was perhaps carried out; then it is not sent
    /// again. Otherwise it surely has not been, and the error is that of the member with the most
    /// to say.
    pub async fn call<C: Call>(&self, request: &C, effect: Effect) -> Result<C::Answer, Fault> {
        let deadline = sleep(self.timeout).deadline();
        let first = self.first.load(Ordering::Relaxed);
        let mut told: Option<Fault> = None;
        for n in 0..self.attempts(effect) {
            let at = (first + n) % self.members.len();
            let asked = Asked { client: self, at, is_over: false };
            let answer = self.attempt(&self.members[at], request, effect, deadline).await;
            asked.over();
            let fault = match answer {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            if fault.next == Next::AnotherMember {
                self.pass_over(at);
            }
            let is_sent =
                effect == Effect::Change && fault.error.kind == FailureKind::Indeterminate;
            if is_sent || fault.next != Next::AnotherMember {
                return Err(effect.told(fault));
            }
            if told.as_ref().is_none_or(|told| told.weight() <= fault.weight()) {
                told = Some(fault);
            }
        }
        Err(effect.told(told.expect("there is a member")))
    }

    /// Sends `request`, which has no effect, to `member` alone.
    ///
    /// # Errors
    /// If that does not answer.
    pub async fn ask<C: Call>(
        &self,
        member: &Member,
        request: &C,
    ) -> Result<C::Answer, StoreError> {
        let deadline = sleep(self.timeout).deadline();
        let answer = self.attempt(member, request, Effect::None, deadline).await;
        answer.map_err(|fault| Effect::None.told(fault).into())
    }

    async fn attempt<C: Call>(
        &self,
        member: &Member,
        request: &C,
        effect: Effect,
        deadline: Instant,
    ) -> Result<C::Answer, Fault> {
        let early = sleep(share(self.timeout, self.members.len())).deadline().min(deadline);
        let bound = if effect == Effect::Change { deadline } else { early };
        let channel = member.channel(early).await?;
        let token = self.token(member, &channel, early).await?;
        let first = member.send(&channel, request, token.clone(), bound).await;
        match first {
            Err(fault) if fault.next == Next::AnotherToken => {
                self.session.forget(token).await;
                let token = self.token(member, &channel, deadline).await?;
                member.send(&channel, request, token, bound).await
            }
            other => other,
        }
    }

    async fn token(
        &self,
        member: &Member,
        channel: &Channel,
        deadline: Instant,
    ) -> Result<Option<AsciiMetadataValue>, Fault> {
        // Also for as long as another call signs in.
        let token = timeout_at(deadline, self.session.token(member, channel, deadline)).await;
        token.unwrap_or_else(|_late| Err(Fault::silent(&member.place).before_sending()))
    }

    /// How many members are asked. A single one is asked twice what has no effect: a connection may
    /// have broken long before.
    fn attempts(&self, effect: Effect) -> usize {
        let members = self.members.len();
        if effect == Effect::None { members.max(2) } else { members }
    }

    /// The next call begins with another member than `at`.
    fn pass_over(&self, at: usize) {
        let next = (at + 1) % self.members.len();
        // If another call has chosen another one already, that is as good.
        let _chosen = self.first.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// How long one of `members` may be waited for, while there are others and nothing has been sent that
/// must not be sent again: two get their turn.
fn share(timeout: Duration, members: usize) -> Duration {
    if members > 1 { timeout / 2 } else { timeout }
}

/// A member that is being asked. If the caller gives up before the answer, the member is passed
/// over as if it had been silent: a caller less patient than `timeout` is not left with it.
struct Asked<'a> {
    client: &'a Client,
    at: usize,
    is_over: bool,
}

impl Asked<'_> {
    fn over(mut self) {
        self.is_over = true;
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.client.pass_over(self.at);
        }
    }
}
