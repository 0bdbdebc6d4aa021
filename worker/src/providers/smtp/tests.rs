//! Servers that answer oddly, each a script: what is sent to them, and how the outcome is classified.

use super::*;
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

/// Starts a server that answers commands by their first word or in whole, `.` being the end of the data; others get `250 ok`.
/// Returns its port and what it heard.
async fn answering(script: &'static [(&str, &[u8])]) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        write.write_all(b"220 ready\r\n").await.unwrap();
        let mut in_data = false;
        while let Ok(Some(line)) = lines.next_line().await {
            if in_data && line != "." {
                continue;
            }
            hears.lock().unwrap().push(line.clone());
            in_data = line == "DATA";
            let word = line.split([' ', ':']).next().unwrap_or_default();
            let scripted = script.iter().find(|(of, _)| *of == line || *of == word);
            let default: &[u8] = if in_data {
                b"354 go on\r\n"
            } else {
                b"250 ok\r\n"
            };
            let reply = scripted.map_or(default, |(_, reply)| reply);
            write.write_all(reply).await.unwrap();
        }
    });
    (port, heard)
}

fn smtp(port: u16, security: Security, username: &str) -> Smtp {
    Smtp {
        server: Server {
            host: "127.0.0.1".into(),
            port,
            security,
        },
        login: Some((username.into(), "hunter2-marked".to_owned().into())),
        helo_name: "mail.example.org".into(),
        guard: Guard::Anywhere,
    }
}

fn mail_to(recipient: &str) -> RenderedEmail {
    RenderedEmail {
        from: "me@example.org".into(),
        recipients: vec![recipient.into()],
        bytes: b"Subject: x\r\n\r\n".to_vec(),
    }
}

async fn send(script: &'static [(&str, &[u8])]) -> Result<Value, ProviderError> {
    let (port, _) = answering(script).await;
    let smtp = smtp(port, Security::None, "");
    smtp.send(&mail_to("alice@example.org"), OnDeferral::SendNothing)
        .await
}

#[tokio::test]
async fn unreadable_reply_leaves_the_result_unknown_and_is_not_quoted() {
    let error = send(&[(".", b"kept for alice@example.org\r\n")])
        .await
        .unwrap_err();
    assert!(matches!(error, ProviderError::Unknown { .. }), "{error:?}");
    assert!(!format!("{error:?}").contains("alice"), "{error:?}");
}

#[tokio::test]
async fn reply_in_latin_1_is_read_by_its_code() {
    let sent = send(&[(".", b"250 angenommen f\xfcr ada\r\n")]).await;
    assert_eq!(sent.unwrap()["code"], "250");
    let error = send(&[(".", b"550 abgelehnt f\xfcr ada\r\n")])
        .await
        .unwrap_err();
    assert!(
        matches!(error, ProviderError::Permanent { .. }),
        "{error:?}"
    );
    let error = send(&[("MAIL", b"550 f\xfcr immer\r\n")])
        .await
        .unwrap_err();
    assert!(
        matches!(error, ProviderError::Permanent { .. }),
        "{error:?}"
    );
    let error = send(&[("MAIL", b"451 sp\xe4ter\r\n")]).await.unwrap_err();
    assert!(
        matches!(error, ProviderError::Retryable { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn server_that_knows_only_helo_is_greeted_with_it() {
    let (port, heard) = answering(&[("EHLO", b"502 what?\r\n")]).await;
    let smtp = smtp(port, Security::None, "ada");
    smtp.send(&mail_to("alice@example.org"), OnDeferral::SendNothing)
        .await
        .unwrap();
    let heard = heard.lock().unwrap();
    assert_eq!(
        heard[..2],
        ["EHLO mail.example.org", "HELO mail.example.org"]
    );
    assert!(
        !heard.iter().any(|line| line.starts_with("AUTH")),
        "it knows no logins"
    );
}

#[tokio::test]
async fn server_without_smtputf8_gets_a_labels_and_no_other_local_part() {
    let (port, heard) = answering(&[]).await;
    let smtp = smtp(port, Security::None, "");
    smtp.send(&mail_to("ada@b\u{fc}cher.example"), OnDeferral::SendNothing)
        .await
        .unwrap();
    let lines = heard.lock().unwrap().clone();
    assert!(
        lines.contains(&"MAIL FROM:<me@example.org>".to_owned()),
        "{lines:?}"
    );
    assert!(
        lines.contains(&"RCPT TO:<ada@xn--bcher-kva.example>".to_owned()),
        "{lines:?}"
    );
    let error = send_to_user().await.unwrap_err();
    assert_eq!(error.code(), "smtputf8_not_offered");
}

async fn send_to_user() -> Result<Value, ProviderError> {
    let (port, _) = answering(&[]).await;
    smtp(port, Security::None, "")
        .send(
            &mail_to("\u{7528}\u{6237}@example.org"),
            OnDeferral::SendNothing,
        )
        .await
}

#[tokio::test]
async fn local_part_beyond_ascii_is_sent_with_smtputf8_if_offered() {
    let (port, heard) = answering(&[("EHLO", b"250-x\r\n250 SMTPUTF8\r\n")]).await;
    let smtp = smtp(port, Security::None, "");
    smtp.send(
        &mail_to("\u{7528}\u{6237}@example.org"),
        OnDeferral::SendNothing,
    )
    .await
    .unwrap();
    let heard = heard.lock().unwrap();
    assert!(
        heard.contains(&"MAIL FROM:<me@example.org> SMTPUTF8".to_owned()),
        "{heard:?}"
    );
}

#[tokio::test]
async fn bytes_in_the_clear_after_starttls_are_refused() {
    let (port, _) = answering(&[
        ("EHLO", b"250-x\r\n250 STARTTLS\r\n"),
        (
            "STARTTLS",
            b"220 go\r\n250-x\r\n250 AUTH PLAIN\r\n235 ok\r\n",
        ),
    ])
    .await;
    let smtp = smtp(port, Security::Starttls, "ada");
    let error = smtp
        .send(&mail_to("alice@example.org"), OnDeferral::SendNothing)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "starttls_injected");
}

#[tokio::test]
async fn login_by_two_steps_and_a_wrong_password_are_told() {
    let (port, heard) = answering(&[
        ("EHLO", b"250-x\r\n250 AUTH=LOGIN\r\n"),
        ("AUTH", b"334 VXNlcm5hbWU6\r\n"),
        ("YWRh", b"334 UGFzc3dvcmQ6\r\n"),
        ("aHVudGVyMi1tYXJrZWQ=", b"535 falsches Pa\xdfwort\r\n"),
    ])
    .await;
    let error = smtp(port, Security::None, "ada").check().await.unwrap_err();
    assert!(matches!(error, ProviderError::Reauth { .. }), "{error:?}");
    assert!(heard.lock().unwrap().contains(&"YWRh".to_owned()));
}

/// Sends an email to Ada, Bob and Eve.
async fn send_to_three(
    script: &'static [(&str, &[u8])],
    on_deferral: OnDeferral,
) -> Result<Value, ProviderError> {
    let (port, _) = answering(script).await;
    let mail = RenderedEmail {
        recipients: ["ada", "bob", "eve"]
            .map(|name| format!("{name}@example.org"))
            .to_vec(),
        ..mail_to("")
    };
    smtp(port, Security::None, "")
        .send(&mail, on_deferral)
        .await
}

const BOB_IS_LATER: (&str, &[u8]) = (
    "RCPT TO:<bob@example.org>",
    b"452 4.2.2 bob@example.org has no room\r\n",
);
const EVE_IS_UNKNOWN: (&str, &[u8]) = ("RCPT TO:<eve@example.org>", b"550 no such user\r\n");

#[tokio::test]
async fn deferred_recipient_delays_the_email_until_the_last_try_sends_it_to_the_others() {
    const SCRIPT: &[(&str, &[u8])] = &[BOB_IS_LATER, EVE_IS_UNKNOWN];
    let error = send_to_three(SCRIPT, OnDeferral::SendNothing).await;
    assert_eq!(error.unwrap_err().code(), "smtp_deferred");
    let sent = send_to_three(SCRIPT, OnDeferral::SendToOthers).await;
    let receipt = sent.unwrap();
    assert_eq!(receipt["accepted"], json!(["ada@example.org"]));
    assert_eq!(
        receipt["refused"],
        json!([
            {"address": "bob@example.org", "status": "4.2.2"},
            {"address": "eve@example.org", "status": null},
        ])
    );
}

#[tokio::test]
async fn last_try_sends_nothing_if_the_server_is_closing_or_accepts_nobody() {
    const CLOSING: &[(&str, &[u8])] = &[("RCPT TO:<bob@example.org>", b"421 closing\r\n")];
    const NOBODY: &[(&str, &[u8])] = &[BOB_IS_LATER, ("RCPT", b"550 no such user\r\n")];
    for script in [CLOSING, NOBODY] {
        let error = send_to_three(script, OnDeferral::SendToOthers).await;
        let error = error.unwrap_err();
        assert_eq!(error.code(), "smtp_deferred");
        assert!(matches!(error, ProviderError::Retryable { .. }));
    }
}
