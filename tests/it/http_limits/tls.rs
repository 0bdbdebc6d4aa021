//! TLS without a proxy: by two variables, with certificates that are replaced while the process serves.

use crate::support::{
    TestDb, certificates::Certificates, eventually, process::Process, system::metric, wait::SOON,
};
use base::clock::Clock;
use chrono::{DateTime, Utc};
use nix::sys::signal::Signal;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, Stream,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

/// Asks over TLS and returns the answer and the certificate that was shown; blocks.
fn ask(
    addr: SocketAddr,
    authority: &str,
    request: &str,
) -> Result<(String, Vec<u8>), Box<dyn std::error::Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost")?)?;
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut tls = Stream::new(&mut client, &mut stream);
    tls.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    // The end of the connection may come without TLS's own.
    let _ = tls.read_to_end(&mut answer);
    let shown = client.peer_certificates().ok_or("no certificate")?[0].to_vec();
    Ok((String::from_utf8_lossy(&answer).into_owned(), shown))
}

async fn asked(addr: SocketAddr, authority: &str, request: &'static str) -> (String, Vec<u8>) {
    let authority = authority.to_owned();
    let asking = tokio::task::spawn_blocking(move || {
        ask(addr, &authority, request).map_err(|e| e.to_string())
    });
    asking.await.unwrap().unwrap()
}

const GET: &str = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn certificate_is_replaced_at_sighup_and_kept_if_the_new_one_is_unusable() {
    let db = TestDb::new().await;
    let (first, second) = (Certificates::new(), Certificates::new());
    let url = db.url();
    let (certificate, key) = (first.certificate(), first.key());
    let mut process = Process::spawn(
        "postroom-api",
        &["serve"],
        &[
            ("DATABASE_URL", url.as_str()),
            ("API_ADDR", "127.0.0.1:0"),
            ("API_OPS_ADDR", "127.0.0.1:0"),
            ("API_TLS_CERTIFICATE", certificate.to_str().unwrap()),
            ("API_TLS_KEY", key.to_str().unwrap()),
        ],
    );
    let addr = process.addr("api").await;
    let ops = process.addr("ops").await;
    let left = metric(ops, "postroom_tls_expires_seconds", &[("listener", "api")]).await;
    // The tests' certificates end with the year 4095.
    let end: DateTime<Utc> = "4096-01-01T00:00:00Z".parse().unwrap();
    let expected = (end - Clock::System.now()).as_seconds_f64();
    assert!((left - expected).abs() < 60.0, "{left} {expected}");
    let (answer, shown) = asked(addr, &first.authority(), GET).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (fault, _) = asked(addr, &first.authority(), "no http\r\n\r\n").await;
    assert!(fault.starts_with("HTTP/1.1 400"), "{fault}");
    assert!(fault.contains("MALFORMED_REQUEST"), "{fault}");

    fs::write(&certificate, "no certificate").unwrap();
    process.signal(Signal::SIGHUP);
    eventually(SOON, async || {
        let log = process.log();
        let kept = log.contains("the former certificate stays in use");
        kept.then_some(()).ok_or(log)
    })
    .await;
    let (_, still) = asked(addr, &first.authority(), GET).await;
    assert_eq!(still, shown);

    fs::copy(second.certificate(), &certificate).unwrap();
    fs::copy(second.key(), &key).unwrap();
    process.signal(Signal::SIGHUP);
    eventually(SOON, async || {
        let log = process.log();
        let read = log.contains("the certificate was read again");
        read.then_some(()).ok_or(log)
    })
    .await;
    let (answer, replaced) = asked(addr, &second.authority(), GET).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_ne!(replaced, shown);
}

#[tokio::test]
async fn certificate_without_its_key_keeps_the_api_from_starting() {
    let db = TestDb::new().await;
    let (first, second) = (Certificates::new(), Certificates::new());
    let url = db.url();
    let (certificate, key) = (first.certificate(), second.key());
    let ended = Process::spawn(
        "postroom-api",
        &["serve"],
        &[
            ("DATABASE_URL", url.as_str()),
            ("API_ADDR", "127.0.0.1:0"),
            ("API_OPS_ADDR", "127.0.0.1:0"),
            ("API_TLS_CERTIFICATE", certificate.to_str().unwrap()),
            ("API_TLS_KEY", key.to_str().unwrap()),
        ],
    );
    let ended = ended.ended().await;
    assert!(!ended.status.success());
    assert!(ended.stderr.contains("API_TLS_KEY"), "{}", ended.stderr);
}
