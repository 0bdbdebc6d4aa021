//! Email that is sent to a server with a fault plan: the ledger matches what the server received, and the server never
//! receives an email twice.

mod drafts;
mod kills;
mod refused;
mod server;
mod unknown;

use super::{approved::approval_in, ask};
use crate::{
    approvals::decision,
    support::{
        Client, TestDb,
        client::{TestResponse, send},
        eventually,
        system::{TestApi, Variables, Worker, metric},
        wait::SOON,
    },
};
use dev::smtp_sink::{SinkFault, SmtpSink};
use reqwest::Method;
use serde_json::{Value, json};

/// 32 bytes as base64, twice.
pub(crate) const KEYS: &str = "k1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=,k0:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

/// A user with an email account, and everything behind it.
pub(crate) struct TestApp {
    pub(crate) db: TestDb,
    pub(crate) api: TestApi,
    pub(crate) client: Client,
    pub(crate) sink: SmtpSink,
    pub(crate) connection: String,
}

impl TestApp {
    pub(crate) async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    /// With an account that the test changes before it is connected.
    pub(crate) async fn open_with(change: impl FnOnce(&mut Value)) -> Self {
        Self::open_on(TestDb::new().await, change).await
    }

    /// The same on a database that the test made.
    pub(crate) async fn open_on(db: TestDb, change: impl FnOnce(&mut Value)) -> Self {
        let api = TestApi::start_with(&db, &[("CREDENTIAL_KEYS", KEYS)]).await;
        let client = api.sign_in(&db).await;
        let sink = SmtpSink::start().await.expect("a free port");
        let mut account = account(&sink);
        change(&mut account);
        let connected = connect(&client, &account).await;
        assert_eq!(connected.status, 201, "{}", connected.text);
        let connection = connected.body["id"].as_str().unwrap().to_owned();
        Self {
            db,
            api,
            client,
            sink,
            connection,
        }
    }

    /// May reach the sink, which is on this machine.
    pub(crate) async fn worker(&self) -> Worker {
        self.worker_with(&[]).await
    }

    /// The same with further variables.
    pub(crate) async fn worker_with(&self, more: Variables<'_>) -> Worker {
        let mut variables = vec![
            ("LLM_TESTING_MODE", "true"),
            ("CREDENTIAL_KEYS", KEYS),
            ("OUTBOUND_ALLOW_PRIVATE", "true"),
        ];
        variables.extend(more);
        Worker::spawn_with(&self.db, &variables).await
    }

    /// An email that waits for a person; the id of its approval.
    pub(crate) async fn written(&self, subject: &str) -> String {
        self.proposed(&send_action(subject)).await
    }

    /// An action that waits for a person; the id of its approval.
    pub(crate) async fn proposed(&self, action: &Value) -> String {
        let asked = ask(&self.client, &json!({"actions": [action]})).await;
        assert_eq!(asked.status, 202, "{}", asked.text);
        let job = self
            .client
            .finished(asked.body["id"].as_str().unwrap())
            .await;
        let action = &job["output"]["actions"][0];
        assert_eq!(action["result"], "pending_approval", "{job}");
        action["approval_id"].as_str().unwrap().to_owned()
    }

    /// Agrees to it without a hold.
    pub(crate) async fn agree(&self, approval: &str) {
        let request = decision(&self.client, approval, "approve", 1);
        let agreed = send(request.json(&json!({"hold_seconds": 0}))).await;
        assert_eq!(agreed.status, 200, "{}", agreed.text);
    }

    /// The only effect there is.
    pub(crate) async fn effect(&self) -> Value {
        let id: String = self.db.one("select id::text from effects").await;
        self.client.get(&format!("/v1/effects/{id}")).await.body
    }
}

pub(crate) fn send_action(subject: &str) -> Value {
    json!({"type": "send", "payload": {"to": "bob@example.org", "subject": subject, "body": "Dear Bob,\n.\nyours"}})
}

fn account(sink: &SmtpSink) -> Value {
    json!({
        "provider": "imap_smtp", "address": "owner@acme.example", "display_name": "Ada",
        "smtp": {"host": "127.0.0.1", "port": sink.addr.port(), "security": "none"},
        "username": "ada", "password": "hunter2-marked"
    })
}

async fn connect(client: &Client, account: &Value) -> TestResponse {
    send(
        client
            .request(Method::POST, "/v1/connections")
            .json(account),
    )
    .await
}

#[tokio::test]
async fn email_is_sent_when_a_person_has_agreed_and_not_before() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let approval = app.written("Hello").await;
    assert_eq!(app.sink.received(), []);
    app.agree(&approval).await;
    let executed = approval_in(&app.client, &approval, "executed").await;
    let received = app.sink.received();
    assert_eq!(received.len(), 1);
    let mail = &received[0];
    assert_eq!(mail.from, "owner@acme.example");
    assert_eq!(mail.to, ["bob@example.org"]);
    assert_eq!(mail.header("subject").as_deref(), Some("Hello"));
    assert_eq!(
        mail.header("from").as_deref(),
        Some("Ada <owner@acme.example>")
    );
    assert!(mail.text.ends_with("Dear Bob,\r\n.\r\nyours\r\n") || mail.text.contains("Dear Bob,"));
    let effect = app.effect().await;
    assert_eq!(effect["status"], "succeeded");
    assert_eq!(effect["message_id"], mail.header("message-id").unwrap());
    assert_eq!(effect["receipt"]["accepted"], json!(["bob@example.org"]));
    assert_eq!(executed["error"], Value::Null);
    let leaked: i64 = app
        .db
        .one("select count(*) from audit_entries a where a::text ~ 'bob@|hunter2|Dear Bob|owner@'")
        .await;
    assert_eq!(leaked, 0);
}

#[tokio::test]
async fn what_the_server_says_is_what_the_ledger_says() {
    for (fault, status, approval_status, code, copies) in [
        (
            vec![SinkFault::RefuseRecipients],
            "failed_permanent",
            "failed",
            "recipients_refused",
            0,
        ),
        (
            vec![SinkFault::Defer, SinkFault::Defer],
            "succeeded",
            "executed",
            "",
            1,
        ),
        (
            vec![SinkFault::DropReply],
            "needs_human",
            "failed",
            "outcome_unknown",
            1,
        ),
    ] {
        let app = TestApp::open().await;
        let _worker = app.worker().await;
        let approval = app.written("Hello").await;
        app.sink.misbehave(fault.clone());
        app.agree(&approval).await;
        let ended = approval_in(&app.client, &approval, approval_status).await;
        assert_eq!(ended["error"]["code"].as_str().unwrap_or_default(), code);
        assert_eq!(app.effect().await["status"], status, "{fault:?}");
        assert_eq!(app.sink.received().len(), copies, "{fault:?}");
    }
}

#[tokio::test]
async fn what_may_have_been_sent_is_not_sent_again_and_a_person_has_the_last_word() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let approval = app.written("Hello").await;
    app.sink.misbehave([SinkFault::DropReply]);
    app.agree(&approval).await;
    approval_in(&app.client, &approval, "failed").await;
    let effect = app.effect().await;
    let path = format!("/v1/effects/{}/resolve", effect["id"].as_str().unwrap());
    let resolve = async |client: &Client, done: bool| {
        send(
            client
                .request(Method::POST, &path)
                .json(&json!({"done": done})),
        )
        .await
    };
    // The same email again is the same effect.
    let again = app.written("Hello").await;
    app.agree(&again).await;
    let ended = approval_in(&app.client, &again, "failed").await;
    assert_eq!(ended["error"]["code"], "unknown", "{ended}");
    assert_eq!(app.sink.received().len(), 1);
    let stranger = app.api.sign_in(&app.db).await;
    resolve(&stranger, true)
        .await
        .assert_problem(404, "NOT_FOUND", "not theirs");
    let resolved = resolve(&app.client, false).await;
    assert_eq!(resolved.body["status"], "retryable", "{}", resolved.text);
    resolve(&app.client, true)
        .await
        .assert_problem(409, "CONFLICT", "said before");
    let third = app.written("Hello").await;
    app.agree(&third).await;
    approval_in(&app.client, &third, "executed").await;
    let of_effect = "select count(*) from history_entries where object_kind = 'effect' and verb = 'found_not_done'";
    assert_eq!(app.db.one::<i64>(of_effect).await, 1);
    let received = app.sink.received();
    assert_eq!(received.len(), 2);
    assert_eq!(
        received[0].header("message-id"),
        received[1].header("message-id"),
        "one email has one name"
    );
}

#[tokio::test]
async fn email_can_be_called_back_while_it_is_held() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let approval = app.written("Hello").await;
    for seconds in [-1, 61] {
        let request = decision(&app.client, &approval, "approve", 1);
        send(request.json(&json!({"hold_seconds": seconds})))
            .await
            .assert_problem(422, "INVALID_BODY", "out of bounds");
    }
    let agreed = send(decision(&app.client, &approval, "approve", 1)).await;
    let job = agreed.body["execution_job_id"].as_str().unwrap().to_owned();
    assert_eq!(app.client.job(&job).await["state"], "scheduled");
    let revoked = send(decision(&app.client, &approval, "revoke", 1)).await;
    assert_eq!(revoked.body["status"], "proposed", "{}", revoked.text);
    assert_eq!(app.client.job(&job).await["state"], "cancelled");
    assert_eq!(app.sink.received(), []);
}

#[tokio::test]
async fn refused_password_burns_no_attempt_and_the_email_goes_with_the_new_one() {
    let app = TestApp::open().await;
    let worker = app.worker().await;
    let approval = app.written("Hello").await;
    app.sink.demand("other");
    app.agree(&approval).await;
    let path = format!("/v1/connections/{}", app.connection);
    let refused = eventually(SOON, async || {
        let found = app.client.get(&path).await.body;
        if found["status"] == "reauth_required" {
            Ok(found)
        } else {
            Err(found.to_string())
        }
    })
    .await;
    assert_eq!(refused["last_error"], "smtp_auth_refused");
    let waiting = [("provider", "imap_smtp"), ("status", "reauth_required")];
    assert!((metric(worker.ops, "postroom_accounts", &waiting).await - 1.0).abs() < 0.5);
    assert!(!refused.to_string().contains("hunter2"));
    let reauth = async |version: &Value| {
        send(
            app.client
                .request(Method::POST, &format!("{path}/reauth"))
                .header("If-Match", format!("\"{version}\""))
                .json(&json!({"username": "ada", "password": "other"})),
        )
        .await
    };
    reauth(&json!(1))
        .await
        .assert_problem(412, "PRECONDITION_FAILED", "an old version");
    let active = reauth(&refused["version"]).await;
    assert_eq!(active.body["status"], "active", "{}", active.text);
    app.db
        .execute("update jobs set run_at = now() where state = 'scheduled'")
        .await;
    approval_in(&app.client, &approval, "executed").await;
    assert_eq!(app.sink.received().len(), 1);
    let errors: i32 = app
        .db
        .one("select max(errors) from finished_jobs where kind = 'action.execute'")
        .await;
    assert_eq!(errors, 0);
    let log = worker.process.log();
    assert!(!log.contains("hunter2") && !log.contains("bob@example.org"));
}

#[tokio::test]
async fn nothing_leaves_while_sending_is_disabled_or_the_hour_is_full() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let switch = async |off: bool| {
        let settings = json!({"trust_mode": "training_wheels", "sending_disabled": off});
        let put = app.client.request(Method::PUT, "/v1/settings");
        assert_eq!(send(put.json(&settings)).await.status, 200);
    };
    let held_back = async |code: &str| {
        eventually(SOON, async || {
            let seen: Option<String> = app
                .db
                .one("select max(error_code) from job_attempts where outcome = 'snoozed'")
                .await;
            (seen.as_deref() == Some(code))
                .then_some(())
                .ok_or(format!("{seen:?}"))
        })
        .await;
    };
    switch(true).await;
    let approval = app.written("Hello").await;
    app.agree(&approval).await;
    held_back("sending_disabled").await;
    assert_eq!(app.sink.received(), []);
    switch(false).await;
    let due = "update jobs set run_at = now() where state = 'scheduled'";
    app.db.execute(due).await;
    approval_in(&app.client, &approval, "executed").await;
    app.db
        .execute("update connections set sends_per_hour = 1")
        .await;
    let second = app.written("Second").await;
    app.agree(&second).await;
    held_back("sending_rate").await;
    assert_eq!(app.sink.received().len(), 1);
    app.db
        .execute("update effects set last_tried_at = last_tried_at - interval '61 minutes'")
        .await;
    app.db.execute(due).await;
    approval_in(&app.client, &second, "executed").await;
    assert_eq!(app.sink.received().len(), 2);
}

#[tokio::test]
async fn email_that_no_attempt_could_send_is_recorded_as_not_sent() {
    let app = TestApp::open().await;
    let worker = app.worker().await;
    let approval = app.written("Hello").await;
    drop(worker);
    app.agree(&approval).await;
    app.db
        .execute("update jobs set errors = max_attempts - 1")
        .await;
    app.sink.misbehave([SinkFault::Defer]);
    let _worker = app.worker().await;
    let ended = approval_in(&app.client, &approval, "failed").await;
    assert_eq!(ended["error"]["code"], "smtp_deferred", "{ended}");
    assert!(ended.to_string().contains("Nothing was done"), "{ended}");
    assert_eq!(app.effect().await["status"], "retryable");
    assert_eq!(app.sink.received(), []);
}
