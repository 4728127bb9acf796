//! TLS, with certificates made for the test.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use ticketd_core::failure::FailureKind;
use ticketd_engines::etcd::{Cluster, installed};
use ticketd_engines::{Place, skipped_without};
use ticketd_store::engine::{Engine, Version};

use crate::{applied, assert_failed, open, put, try_open};

/// An authority; its certificate is at `NAME.pem` in the folder.
fn authority(folder: &Path, name: &str) -> Issuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
    Issuer::new(params, key)
}

/// A certificate for 127.0.0.1 that `issuer` vouches for, at `NAME.pem`, and its key at `NAME.key`.
fn certificate(folder: &Path, name: &str, issuer: &Issuer<'_, KeyPair>) {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

#[tokio::test]
async fn certificates_are_checked_by_both_sides() {
    if skipped_without("etcd", installed().is_some()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let ours = authority(folder.path(), "ca");
    authority(folder.path(), "other-ca");
    certificate(folder.path(), "server", &ours);
    certificate(folder.path(), "client", &ours);
    let (ca, cert, key) = (at("ca.pem"), at("server.pem"), at("server.key"));
    let options = ["--cert-file", &cert, "--key-file", &key, "--trusted-ca-file", &ca];
    let options = [&options[..], &["--client-cert-auth"]].concat();
    let cluster = Cluster::start_with_tls(Place::temporary().unwrap(), &options).unwrap();
    let url = |query: &str| format!("{}?{query}", cluster.url());
    let identity = format!("cert={}&key={}", at("client.pem"), at("client.key"));

    let engine = open(&url(&format!("ca={ca}&{identity}"))).await;
    applied(&engine, put("a", Version::ABSENT, "x")).await;
    assert_eq!(engine.list("", None, 10).await.unwrap().len(), 1);

    let other = try_open(&url(&format!("ca={}&{identity}", at("other-ca.pem")))).await;
    assert_failed(other, FailureKind::Invalid, &["TLS failed", "ca", "certificate"]);
    let system = try_open(&url("tls=on")).await;
    assert_failed(system, FailureKind::Invalid, &["ca"]);
    let unknown = try_open(&url(&format!("ca={ca}"))).await;
    assert_failed(unknown, FailureKind::Unavailable, &["wants", "a certificate"]);
    let plain = try_open(&cluster.url()).await;
    assert_failed(plain, FailureKind::Unavailable, &["wants TLS"]);
    let missing = try_open(&url(&format!("ca={}", at("missing.pem")))).await;
    assert_failed(missing, FailureKind::Invalid, &["cannot read", "missing.pem"]);
    let none = try_open(&url(&format!("ca={ca}&cert={ca}&key={ca}"))).await;
    assert_failed(none, FailureKind::Invalid, &["ca, cert, key"]);
}
