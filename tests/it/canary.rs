//! Marked secrets go through the whole system and must not come out of its logs, metrics or audit, nor lie in a dump.
//!
//! What an email says may be kept where mail is kept; a token may be kept nowhere.

use crate::support::{
    TestDb,
    client::send,
    model::{FakeModel, Reply, VERDICT},
    system::{Api, metrics},
};
use reqwest::Method;

/// In the email's text, in its subject, as its sender, in the model's answer, as the model's key.
const MAIL: &str = "From: Canary <canary-address@client.example>\r\nTo: mira@postroom.example\r\n\
    Subject: canary-subject\r\nDate: Mon, 12 Oct 2026 10:13:58 +0200\r\nMessage-ID: <canary-id@client.example>\r\n\r\n\
    canary-body: could we move the call?\r\n";
const KEY: &str = "canary-key-0123456789abcdef";

#[tokio::test]
async fn marked_secrets_come_out_nowhere() {
    let db = TestDb::new().await;
    let verdict = VERDICT.replace("A person asks", "canary-completion");
    assert_ne!(verdict, VERDICT);
    // A failing first try: errors are where secrets like to hide.
    let model = FakeModel::start([Reply::Refuses(500, None), Reply::Says(verdict)]).await;
    let variables = [("LLM_API_KEY", KEY), ("RUST_LOG", "debug")];
    let (api, worker) = tokio::join!(Api::spawn(&db), model.worker(&db, &variables));
    let client = api.sign_in(&db).await;
    let id = client.submitted(MAIL.as_bytes(), "canary-request").await;
    assert_eq!(client.finished(&id).await["state"], "succeeded");

    // Requests that fail with something secret in them.
    let forged = "pr_s_canaryTokenThatWasNeverIssuedByAnybodyAtAll00000000";
    send(client.request(Method::GET, "/v1/audit").bearer_auth(forged)).await;
    send(client.request(Method::GET, &format!("/v1/jobs/{id}?token={forged}"))).await;
    let login = serde_json::json!({
        "tenant": "nobody", "email": "canary-login@client.example", "password": "canary-password",
    });
    send(client.request(Method::POST, "/v1/sessions").json(&login)).await;
    client
        .submit(b"canary-body without a header", "canary-refused")
        .await;

    let token = client.token();
    let marks = [
        "canary-address",
        "canary-subject",
        "canary-body",
        "canary-completion",
        KEY,
        forged,
        token,
    ];
    let of_people = ["canary-login", "canary-password"];
    let written = [
        ("the API's log", api.process.log()),
        ("the worker's log", worker.process.log()),
        ("the API's metrics", metrics(api.ops).await),
        ("the worker's metrics", metrics(worker.ops).await),
        (
            "the audit log",
            db.one("select string_agg(audit_log::text, ' ') from audit_log")
                .await,
        ),
    ];
    for (place, text) in &written {
        let found: Vec<_> = marks
            .iter()
            .chain(&of_people)
            .filter(|mark| text.contains(**mark))
            .collect();
        assert!(found.is_empty(), "{place} holds {found:?}:\n{text}");
    }

    let dump = db.dump().await;
    assert!(dump.contains(&id), "the dump holds the tables");
    let found: Vec<_> = [KEY, forged, token, "canary-password"]
        .into_iter()
        .filter(|mark| dump.contains(*mark))
        .collect();
    assert!(found.is_empty(), "a dump of the database holds {found:?}");
}
