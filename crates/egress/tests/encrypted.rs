//! TLS: certificates are judged, names must match, nothing hangs.
//!
//! `tls/` holds an authority and a certificate of `localhost`, `agent.test` and
//! `127.0.0.1`, made for these tests and trusted by nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agent;

use std::sync::Arc;
use std::time::Duration;

use agent::*;
use candor_egress::{AddressPolicy, Collected, DialError, Egress, Limits, Progress};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

fn egress(names: Names, trusted: bool) -> Egress {
    within(Limits::default().handshake, names, trusted)
}

fn within(handshake: Duration, names: Names, trusted: bool) -> Egress {
    let mut roots = RootCertStore::empty();
    if trusted {
        let authority = CertificateDer::from(include_bytes!("tls/authority.der").as_slice());
        roots.add(authority).unwrap();
    }
    let limits = Limits {
        handshake,
        ..Limits::default()
    };
    Egress::with(AddressPolicy::Loopback, limits, Arc::new(names), roots).unwrap()
}

/// Takes one connection, answers over TLS; what it read, or None without a handshake.
async fn serve(listener: TcpListener, answers: bool) -> Option<String> {
    let chain = vec![CertificateDer::from(
        include_bytes!("tls/agent.der").as_slice(),
    )];
    let key = PrivateKeyDer::try_from(include_bytes!("tls/agent.key.der").as_slice()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let (stream, _) = listener.accept().await.unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let mut stream = acceptor.accept(stream).await.ok()?;
    let request = read_request(&mut stream).await;
    if answers {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(answer).await.unwrap();
        stream.shutdown().await.unwrap();
    }
    Some(request)
}

#[tokio::test]
async fn a_certificate_of_a_trusted_authority_is_accepted_by_name_and_by_address() {
    for host in ["localhost", "127.0.0.1", "agent.test"] {
        let (listener, address) = listen().await;
        let agent = tokio::spawn(serve(listener, true));
        let egress = egress(Names::telling(&[&["127.0.0.1"]]), true);
        let url = format!("https://{host}:{}/a2a", address.port());
        let answer = send(&egress, post(&url, r#"{"id":1}"#)).await.unwrap();
        let body = patiently(answer.body.collect(100)).await.unwrap();
        assert_eq!(body, Collected::Whole("{}".into()));
        let request = patiently(agent).await.unwrap().unwrap();
        assert!(request.starts_with("POST /a2a HTTP/1.1\r\n"), "{request}");
        assert!(request.ends_with(r#"{"id":1}"#));
    }
}

#[tokio::test]
async fn an_unknown_authority_or_another_name_is_refused_before_the_request() {
    for (host, trusted) in [("localhost", false), ("other.test", true)] {
        let (listener, address) = listen().await;
        let agent = tokio::spawn(serve(listener, true));
        let egress = egress(Names::telling(&[&["127.0.0.1"]]), trusted);
        let url = format!("https://{host}:{}/", address.port());
        let progress = Progress::new();
        let error = patiently(egress.send(post(&url, "{}"), &progress))
            .await
            .unwrap_err();
        assert!(matches!(error, DialError::Tls { .. }), "{host}: {error:?}");
        assert!(!error.was_written() && !progress.flushed(), "{host}");
        drop(patiently(agent).await);
    }
}

#[tokio::test]
async fn an_agent_that_speaks_no_tls_is_told_apart() {
    let (listener, address) = listen().await;
    let agent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        stream
    });
    let url = format!("https://{address}/");
    let egress = egress(Names::telling(&[]), true);
    let error = send(&egress, post(&url, "{}")).await.unwrap_err();
    assert!(matches!(error, DialError::Tls { .. }), "{error:?}");
    drop(patiently(agent).await);
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_ended() {
    let (listener, address) = listen().await;
    let url = format!("https://{address}/");
    let egress = within(Duration::from_millis(100), Names::telling(&[]), true);
    let error = send(&egress, post(&url, "{}")).await.unwrap_err();
    assert!(matches!(error, DialError::Tls { .. }), "{error:?}");
    drop(listener);
}

#[tokio::test]
async fn an_end_after_the_request_is_one_over_tls_too() {
    let (listener, address) = listen().await;
    let agent = tokio::spawn(serve(listener, false));
    let url = format!("https://{address}/");
    let egress = egress(Names::telling(&[]), true);
    let progress = Progress::new();
    let error = patiently(egress.send(post(&url, "{}"), &progress))
        .await
        .unwrap_err();
    assert!(
        matches!(error, DialError::ClosedAfterWrite { .. }),
        "{error:?}"
    );
    assert!(progress.flushed() && !progress.response_begun());
    assert!(patiently(agent).await.unwrap().is_some());
}
