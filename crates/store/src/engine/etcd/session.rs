//! Who ticketd is to etcd: the token that user and password are exchanged for.

use std::sync::atomic::{AtomicBool, Ordering};

use ticketd_core::failure::FailureKind;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;

use super::fault::{Fault, Next};
use super::member::Member;
use super::url::Credentials;
use super::wire::AuthenticateRequest;

/// User and password, if there are, and the token.
#[derive(Debug)]
pub struct Session {
    credentials: Option<Credentials>,
    /// Known by all members, since etcd agrees on it; never shown.
    token: Mutex<Option<AsciiMetadataValue>>,
    is_needless: AtomicBool,
}

impl Session {
    /// With nobody signed in yet.
    pub fn new(credentials: Option<Credentials>) -> Self {
        Self { credentials, token: Mutex::new(None), is_needless: AtomicBool::new(false) }
    }

    /// Whether a password was given and etcd asked for none.
    pub fn is_needless(&self) -> bool {
        self.is_needless.load(Ordering::Relaxed)
    }

    /// Whether there is a password.
    pub fn has_password(&self) -> bool {
        self.credentials.is_some()
    }

    /// The token to show, if there are credentials: the one there is, or a new one from `member`.
    ///
    /// # Errors
    /// If `member` gives none before `deadline`.
    pub async fn token(
        &self,
        member: &Member,
        channel: &Channel,
        deadline: Instant,
    ) -> Result<Option<AsciiMetadataValue>, Fault> {
        let Some(credentials) = &self.credentials else {
            return Ok(None);
        };
        if self.is_needless() {
            return Ok(None);
        }
        // One call signs in, the others wait for it.
        let mut kept = self.token.lock().await;
        if kept.is_none() {
            *kept = self.sign_in(credentials, member, channel, deadline).await?;
        }
        Ok(kept.clone())
    }

    /// `token` is not valid any more.
    pub async fn forget(&self, token: Option<AsciiMetadataValue>) {
        let mut kept = self.token.lock().await;
        // Another call may have got a new one already.
        if *kept == token {
            *kept = None;
        }
        self.is_needless.store(false, Ordering::Relaxed);
    }

    async fn sign_in(
        &self,
        credentials: &Credentials,
        member: &Member,
        channel: &Channel,
        deadline: Instant,
    ) -> Result<Option<AsciiMetadataValue>, Fault> {
        let request = AuthenticateRequest {
            name: credentials.user.clone(),
            password: credentials.password.clone(),
        };
        match member.send(channel, &request, None, deadline).await {
            Ok(answer) => {
                let token = AsciiMetadataValue::try_from(answer.token);
                let mut token = token.map_err(|_| Fault::lasting(FailureKind::Invalid, STRANGE))?;
                token.set_sensitive(true);
                Ok(Some(token))
            }
            Err(fault) if fault.next == Next::NoToken => {
                self.is_needless.store(true, Ordering::Relaxed);
                Ok(None)
            }
            Err(fault) => Err(fault.before_sending()),
        }
    }
}

const STRANGE: &str = "etcd gave a token that is no text: is something else between?";
