//! What is struck: each kind of work with the peers it needs, and what must be there once.

use super::{Case, strike};
use crate::{
    actions::{
        ask,
        sending::{KEYS, TestApp, send_action},
    },
    approvals::decision,
    support::{
        Client, TestDb,
        client::send,
        corpus::fixture,
        system::{TestApi, Worker},
    },
};
use base::JobId;
use reqwest::Method;
use serde_json::{Value, json};

pub(super) const WORKER: [(&str, &str); 4] = [
    ("LLM_TESTING_MODE", "true"),
    ("CREDENTIAL_KEYS", KEYS),
    ("OUTBOUND_ALLOW_PRIVATE", "true"),
    ("WORKER_LEASE_SECONDS", "1"),
];

/// A user and the API, with nothing outside.
struct TestUser {
    db: TestDb,
    _api: TestApi,
    client: Client,
}

impl TestUser {
    async fn open() -> Self {
        let db = TestDb::new().await;
        let api = TestApi::start(&db).await;
        let client = api.sign_in(&db).await;
        Self {
            db,
            _api: api,
            client,
        }
    }
}

async fn count(db: &TestDb, sql: &'static str) -> usize {
    usize::try_from(db.one::<i64>(sql).await).expect("a count")
}

struct Triage(TestUser);

impl Case for Triage {
    fn db(&self) -> &TestDb {
        &self.0.db
    }

    fn client(&self) -> &Client {
        &self.0.client
    }

    async fn worker(&self) -> Worker {
        Worker::spawn_with(self.db(), &WORKER).await
    }

    async fn submit(&self, n: usize) -> String {
        let mail = String::from_utf8(fixture("plain-question")).expect("the fixture is ASCII");
        let mail = mail
            .replace("Thursday", &format!("day {n}"))
            .replace("7f3a1b60", &format!("7f3a1b60-{n}"));
        let key = format!("mail-{n}");
        self.client().submitted(mail.as_bytes(), &key).await
    }

    async fn assert_once(&self, n: usize, _job: &Value) {
        let db = self.db();
        assert_eq!(count(db, "select count(*) from triage_results").await, n);
        let twice = "select count(*) from (
                         select from drafts group by message_id having count(*) > 1) as twice";
        assert_eq!(count(db, twice).await, 0);
    }
}

#[tokio::test]
async fn triage_and_what_follows_it_is_done_once_wherever_a_worker_is_struck() {
    strike(&Triage(TestUser::open().await)).await;
}

/// Two emails as one job that waits for theirs.
struct Batch(TestUser);

impl Case for Batch {
    fn db(&self) -> &TestDb {
        &self.0.db
    }

    fn client(&self) -> &Client {
        &self.0.client
    }

    async fn worker(&self) -> Worker {
        Worker::spawn_with(self.db(), &WORKER).await
    }

    async fn submit(&self, n: usize) -> String {
        let item = |which: &str| {
            json!({"mode": "rules_only", "message": {
                "from": {"addr": "nora@client.example"},
                "subject": format!("The {n}th {which}"), "body_text": "Have a look.",
            }})
        };
        let request = self
            .client()
            .request(Method::POST, "/v1/jobs/triage:batch")
            .header("Idempotency-Key", JobId::new().to_string());
        let items = json!({"items": [item("one"), item("other")]});
        let asked = send(request.json(&items)).await;
        assert_eq!(asked.status, 202, "{}", asked.text);
        asked.body["id"].as_str().expect("an id").to_owned()
    }

    async fn assert_once(&self, n: usize, job: &Value) {
        assert_eq!(job["output"]["outcomes"], json!({"succeeded": 2}), "{job}");
        let judged = "select count(*) from triage_results";
        assert_eq!(count(self.db(), judged).await, 2 * n);
    }
}

#[tokio::test]
async fn batch_is_summed_up_once_wherever_a_worker_is_struck() {
    strike(&Batch(TestUser::open().await)).await;
}

struct Draft(TestUser);

impl Case for Draft {
    fn db(&self) -> &TestDb {
        &self.0.db
    }

    fn client(&self) -> &Client {
        &self.0.client
    }

    async fn worker(&self) -> Worker {
        Worker::spawn_with(self.db(), &WORKER).await
    }

    async fn submit(&self, n: usize) -> String {
        let body = json!({
            "mode": "compose", "to": ["bob@example.org"],
            "intent": format!("Tell him that I come, for the {n}th time."),
        });
        let request = self.client().request(Method::POST, "/v1/jobs/draft");
        let key = JobId::new().to_string();
        let asked = send(request.header("Idempotency-Key", key).json(&body)).await;
        assert_eq!(asked.status, 202, "{}", asked.text);
        asked.body["id"].as_str().expect("an id").to_owned()
    }

    async fn assert_once(&self, n: usize, job: &Value) {
        assert_eq!(job["output"]["outcome"], "drafted", "{job}");
        for sql in [
            "select count(*) from drafts",
            "select count(*) from draft_versions",
            "select count(*) from approvals",
        ] {
            assert_eq!(count(self.db(), sql).await, n, "{sql}");
        }
    }
}

#[tokio::test]
async fn draft_is_written_once_wherever_its_worker_is_struck() {
    strike(&Draft(TestUser::open().await)).await;
}

struct Notified(TestUser);

impl Case for Notified {
    fn db(&self) -> &TestDb {
        &self.0.db
    }

    fn client(&self) -> &Client {
        &self.0.client
    }

    async fn worker(&self) -> Worker {
        Worker::spawn_with(self.db(), &WORKER).await
    }

    async fn submit(&self, n: usize) -> String {
        let action = json!({"type": "notify", "payload": {"text": format!("The {n}th")}});
        let asked = ask(self.client(), &json!({"actions": [action]})).await;
        asked.body["id"].as_str().expect("an id").to_owned()
    }

    async fn assert_once(&self, n: usize, job: &Value) {
        assert_eq!(job["output"]["actions"][0]["result"], "succeeded", "{job}");
        for sql in [
            "select count(*) from effects where status = 'succeeded'",
            "select count(*) from effects",
            "select count(*) from history_entries where verb = 'notified'",
        ] {
            assert_eq!(count(self.db(), sql).await, n, "{sql}");
        }
    }
}

#[tokio::test]
async fn what_is_done_on_our_own_tables_is_done_once_wherever_its_worker_is_struck() {
    strike(&Notified(TestUser::open().await)).await;
}

/// Emails that somebody has written, one approval each.
struct ApprovedEmails {
    app: TestApp,
    written: Vec<String>,
}

impl ApprovedEmails {
    async fn open() -> Self {
        let app = TestApp::open().await;
        app.db
            .execute("update connections set sends_per_hour = 1000")
            .await;
        let _worker = app.worker().await;
        let emails: Vec<Value> = (0..50).map(|n| send_action(&format!("Mail {n}"))).collect();
        let asked = ask(&app.client, &json!({ "actions": emails })).await;
        let id = asked.body["id"].as_str().expect("an id");
        let job = app.client.finished(id).await;
        let actions = job["output"]["actions"].as_array().expect("all of them");
        let approval = |action: &Value| action["approval_id"].as_str().map(str::to_owned);
        let written = actions.iter().filter_map(approval).collect();
        Self { app, written }
    }
}

impl Case for ApprovedEmails {
    fn db(&self) -> &TestDb {
        &self.app.db
    }

    fn client(&self) -> &Client {
        &self.app.client
    }

    async fn worker(&self) -> Worker {
        Worker::spawn_with(self.db(), &WORKER).await
    }

    async fn submit(&self, n: usize) -> String {
        let request = decision(self.client(), &self.written[n], "approve", 1);
        let agreed = send(request.json(&json!({"hold_seconds": 0}))).await;
        let job = &agreed.body["execution_job_id"];
        job.as_str().expect("an id").to_owned()
    }

    async fn assert_once(&self, n: usize, job: &Value) {
        let subject = format!("Mail {n}");
        let received = self.app.sink.received();
        let copies = received
            .iter()
            .filter(|mail| mail.header("subject").as_deref() == Some(&subject))
            .count();
        let result = job["output"]["actions"][0]["result"].as_str();
        match result {
            Some("succeeded") => assert_eq!(copies, 1, "{job}"),
            // SMTP cannot be asked: a person is.
            Some("unknown") => assert!(copies <= 1, "{job}"),
            _ => panic!("{copies} copies, {job}"),
        }
    }
}

#[tokio::test]
async fn email_is_sent_once_or_a_person_asked_wherever_its_worker_is_struck() {
    strike(&ApprovedEmails::open().await).await;
}
