//! One member of etcd and the connection to it.

use std::path::Path;
use std::time::Duration;

use http::uri::PathAndQuery;
use ticketd_core::failure::FailureKind;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use tonic::Request;
use tonic::client::Grpc;
use tonic::metadata::{AsciiMetadataValue, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic_prost::ProstCodec;

use super::fault::Fault;
use super::url::Tls;
use super::wire::Call;
use crate::engine::{KEY_LEN_MAX, LIST_MAX, VALUE_LEN_MAX};
use crate::error::StoreError;

/// A list of the longest entries: to each some bytes of framing and the prefix.
const ANSWER_LEN_MAX: usize = LIST_MAX * (KEY_LEN_MAX + VALUE_LEN_MAX + 128);

/// For what stands between and forgets idle connections. Pings of HTTP/2 would not do: etcd breaks
/// connections that ping without a call or more often than every five seconds. A member that is
/// frozen is noticed by the time-out of a call.
const TCP_KEEPALIVE: Duration = Duration::from_secs(15);

/// A member of etcd.
#[derive(Debug)]
pub struct Member {
    /// Its `host:port`.
    pub place: String,
    endpoint: Endpoint,
    /// The connection, if there was one and nothing spoke against it.
    channel: Mutex<Option<Channel>>,
}

impl Member {
    /// The member at `place`, to which one connects within `patience`.
    ///
    /// # Errors
    /// `Invalid` if a certificate or key is none.
    pub fn new(
        place: &str,
        tls: Option<&ClientTlsConfig>,
        patience: Duration,
    ) -> Result<Self, StoreError> {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let unusable =
            |e| StoreError::because(FailureKind::Invalid, "see ca, cert, key of the etcd URL", e);
        let mut endpoint =
            Endpoint::from_shared(format!("{scheme}://{place}")).map_err(unusable)?;
        if let Some(tls) = tls {
            let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
            let tls = tls.clone().domain_name(host.trim_matches(['[', ']']));
            endpoint = endpoint.tls_config(tls).map_err(unusable)?;
        }
        // A connection that broke is made anew within a call, which then has sent nothing either.
        let endpoint = endpoint.connect_timeout(patience).tcp_nodelay(true);
        let endpoint = endpoint.tcp_keepalive(Some(TCP_KEEPALIVE));
        Ok(Self { place: place.to_owned(), endpoint, channel: Mutex::new(None) })
    }

    /// A connection to it.
    ///
    /// # Errors
    /// If there is none before `deadline`.
    pub async fn channel(&self, deadline: Instant) -> Result<Channel, Fault> {
        let connected = timeout_at(deadline, self.connected()).await;
        connected.unwrap_or_else(|_late| Err(Fault::slow_to_connect(&self.place)))
    }

    /// One call connects, the others wait for it.
    async fn connected(&self) -> Result<Channel, Fault> {
        let mut kept = self.channel.lock().await;
        if let Some(channel) = &*kept {
            return Ok(channel.clone());
        }
        let channel = self.endpoint.connect().await;
        let channel = channel.map_err(|error| Fault::unreached(&self.place, &error))?;
        Ok(kept.insert(channel).clone())
    }

    /// Sends `request` on `channel` and waits for the answer until `deadline`.
    ///
    /// # Errors
    /// What happened, and whether `request` was perhaps carried out.
    pub async fn send<C: Call>(
        &self,
        channel: &Channel,
        request: &C,
        token: Option<AsciiMetadataValue>,
        deadline: Instant,
    ) -> Result<C::Answer, Fault> {
        let exchange = self.exchange(channel.clone(), request.clone(), token);
        let sent = timeout_at(deadline, exchange).await;
        let sent = sent.unwrap_or_else(|_late| Err(Fault::silent(&self.place)));
        if sent.as_ref().is_err_and(Fault::is_of_connection) {
            self.disconnect();
        }
        sent
    }

    /// The next call connects anew.
    fn disconnect(&self) {
        // If it is locked somebody is connecting already.
        if let Ok(mut kept) = self.channel.try_lock() {
            *kept = None;
        }
    }

    async fn exchange<C: Call>(
        &self,
        channel: Channel,
        message: C,
        token: Option<AsciiMetadataValue>,
    ) -> Result<C::Answer, Fault> {
        let mut grpc = Grpc::new(channel).max_decoding_message_size(ANSWER_LEN_MAX);
        // Nothing is sent before it is ready.
        grpc.ready().await.map_err(|error| Fault::unreached(&self.place, &error))?;
        let codec: ProstCodec<C, C::Answer> = ProstCodec::default();
        let path = PathAndQuery::from_static(C::PATH);
        let answer = grpc.unary(request(message, token), path, codec).await;
        let answer = answer.map_err(|status| Fault::from_status(&self.place, &status))?;
        Ok(answer.into_inner())
    }
}

fn request<C>(message: C, token: Option<AsciiMetadataValue>) -> Request<C> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    // A member without a leader says so at once, and has then surely not applied anything.
    metadata.insert("hasleader", MetadataValue::from_static("true"));
    if let Some(token) = token {
        metadata.insert("authorization", token);
    }
    request
}

/// What `tls` says, with its files read.
///
/// # Errors
/// `Invalid` if a file cannot be read.
pub fn tls_config(tls: &Tls) -> Result<ClientTlsConfig, StoreError> {
    let config = match &tls.ca {
        Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(path)?)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    match &tls.identity {
        Some((cert, key)) => Ok(config.identity(Identity::from_pem(read(cert)?, read(key)?))),
        None => Ok(config),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    std::fs::read(path).map_err(|e| {
        let message = format!("cannot read a file that the etcd URL names: {}", path.display());
        StoreError::because(FailureKind::Invalid, message, e)
    })
}
