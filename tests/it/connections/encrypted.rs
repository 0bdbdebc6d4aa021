//! Lines to mail servers are encrypted as the account says, and to nobody else: seen from a real Dovecot and aiosmtpd with
//! certificates of their own.

use super::tested::{found, tested};
use crate::{
    actions::{approved::approval_in, sending::TestApp},
    support::{
        aiosmtpd::Aiosmtpd,
        certificates::Certificates,
        dovecot::{Dovecot, PASSWORD, USER},
    },
};
use serde_json::{Value, json};
use std::net::TcpListener;

/// Servers that speak encrypted only, and an account there.
struct Servers {
    certificates: Certificates,
    dovecot: Dovecot,
    aiosmtpd: Aiosmtpd,
    app: TestApp,
}

impl Servers {
    async fn start(security: &str) -> Self {
        let certificates = Certificates::new();
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .expect("a free port")
            .port();
        let dovecot = Dovecot::start_encrypted(&certificates, port).await;
        let aiosmtpd = Aiosmtpd::start_encrypted(security, &certificates);
        let at = |port: u16| json!({"host": "localhost", "port": port, "security": security});
        let imap = if security == "tls" {
            port
        } else {
            dovecot.port
        };
        let app = TestApp::open_with(|account| {
            account["smtp"] = at(aiosmtpd.port);
            account["imap"] = at(imap);
            account["username"] = Value::from(USER);
            account["password"] = Value::from(PASSWORD);
        })
        .await;
        Self {
            certificates,
            dovecot,
            aiosmtpd,
            app,
        }
    }
}

#[tokio::test]
async fn mail_is_sent_and_filed_over_encrypted_lines_from_the_first_byte_or_by_starttls() {
    for security in ["tls", "starttls"] {
        let servers = Servers::start(security).await;
        let authority = servers.certificates.authority();
        let _worker = servers
            .app
            .worker_with(&[("SSL_CERT_FILE", &authority)])
            .await;
        let approval = servers.app.written("Hello").await;
        servers.app.agree(&approval).await;
        approval_in(&servers.app.client, &approval, "executed").await;
        let received = servers.aiosmtpd.received();
        assert_eq!(received.len(), 1, "{security}");
        let kept = servers.dovecot.kept();
        let folders: Vec<&str> = kept.iter().map(|mail| mail.folder.as_str()).collect();
        assert_eq!(folders, ["Sent"], "{security}: {}", servers.dovecot.log());
        let logins = servers.dovecot.logins();
        assert!(!logins.is_empty(), "{}", servers.dovecot.log());
        assert!(logins.iter().all(|line| line.contains("TLS")), "{logins:?}");
    }
}

#[tokio::test]
async fn server_that_nobody_vouches_for_learns_no_password() {
    for security in ["tls", "starttls"] {
        let servers = Servers::start(security).await;
        let somebody = Certificates::new();
        let _worker = servers
            .app
            .worker_with(&[("SSL_CERT_FILE", &somebody.authority())])
            .await;
        let output = tested(&servers.app, &servers.app.connection).await;
        let both = json!([
            found("smtp", Some("smtp_tls")),
            found("imap", Some("imap_tls")),
        ]);
        assert_eq!(output["tried"], both, "{security}");
        assert_eq!(servers.dovecot.logins(), [""; 0]);
    }
}

#[tokio::test]
async fn server_that_offers_no_starttls_gets_nothing_in_the_clear() {
    let dovecot = Dovecot::start().await;
    let app = TestApp::open_with(|account| {
        account["smtp"]["security"] = Value::from("starttls");
        account["imap"] =
            json!({"host": "127.0.0.1", "port": dovecot.port, "security": "starttls"});
        account["username"] = Value::from(USER);
        account["password"] = Value::from(PASSWORD);
    })
    .await;
    let _worker = app.worker().await;
    let output = tested(&app, &app.connection).await;
    let neither = Some("encryption_not_offered");
    let both = json!([found("smtp", neither), found("imap", neither)]);
    assert_eq!(output["tried"], both);
    assert_eq!(dovecot.logins(), [""; 0]);
}
