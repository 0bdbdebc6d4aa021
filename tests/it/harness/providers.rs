//! What is struck while it changes something at a provider: agreed to by a person, done once, and undone once.

use super::{Case, cases::WORKER, strike};
use crate::{
    actions::{approved::approval_in, sending::TestApp},
    approvals::{decision, seed::propose_about},
    calendar::connected,
    mailbox::{app_with, changes::handed_in},
    support::{
        Client, TestDb,
        client::send,
        dovecot::Dovecot,
        radicale::{PASSWORD, Radicale},
        system::Worker,
    },
    webhooks::{answering, hooked},
};
use jobs::domain::action::ActionType;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use wiremock::{MockServer, ResponseTemplate};

/// More than any handler has steps, three times.
const PIECES: usize = 40;

/// Where the effect can be seen.
trait Peer: Sync {
    /// How often the n-th is there.
    async fn copies(&self, n: usize) -> usize;
}

/// Actions that wait for a person's word, one approval each.
struct Approved<P> {
    app: TestApp,
    approvals: Vec<String>,
    peer: P,
}

impl<P> Approved<P> {
    /// Each is about an email of its own.
    async fn of(app: TestApp, peer: P, kind: ActionType, params: impl Fn(usize) -> Value) -> Self {
        let mut approvals = Vec::with_capacity(PIECES);
        for n in 0..PIECES {
            let tenant = app.client.tenant;
            let message = handed_in(&app.db, tenant, &mail(n)).await;
            approvals.push(propose_about(&app.db, tenant, kind, &params(n), message).await);
        }
        Self {
            app,
            approvals,
            peer,
        }
    }
}

fn mail(n: usize) -> String {
    format!(
        "From: Bob <bob@example.org>\r\nTo: owner@acme.example\r\nSubject: Mail {n}.\r\n\
         Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{n}.x@example.org>\r\n\r\nHello\r\n"
    )
}

/// The decision's job.
async fn decided(client: &Client, approval: &str, what: &str) -> String {
    let request = decision(client, approval, what, 1);
    let agreed = send(request.json(&json!({}))).await;
    assert_eq!(agreed.status, 200, "{}", agreed.text);
    let job = &agreed.body["execution_job_id"];
    job.as_str().expect("an id").to_owned()
}

impl<P: Peer> Case for Approved<P> {
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
        decided(self.client(), &self.approvals[n], "approve").await
    }

    async fn assert_once(&self, n: usize, job: &Value) {
        assert_eq!(job["output"]["actions"][0]["result"], "succeeded", "{job}");
        assert_eq!(self.peer.copies(n).await, 1, "{job}");
    }
}

impl Peer for Dovecot {
    /// In the folder that it was to be moved to, and nowhere else.
    async fn copies(&self, n: usize) -> usize {
        let name = format!("<{n}.x@example.org>");
        let kept = self.kept();
        let emails = kept.iter().filter(|kept| kept.text.contains(&name));
        emails
            .map(|kept| if kept.folder == "Offers" { 1 } else { 100 })
            .sum()
    }
}

#[tokio::test]
async fn email_is_moved_once_wherever_its_worker_is_struck() {
    let dovecot = Dovecot::start().await;
    for n in 0..PIECES {
        dovecot.deliver("INBOX", &mail(n));
    }
    let app = app_with(&dovecot).await;
    let params = |_| json!({"folder": "Offers"});
    strike(&Approved::of(app, dovecot, ActionType::Move, params).await).await;
}

impl Peer for Radicale {
    async fn copies(&self, n: usize) -> usize {
        let title = format!("SUMMARY:Meeting {n}.");
        self.all().await.matches(&title).count()
    }
}

fn meeting(n: usize) -> Value {
    json!({"title": format!("Meeting {n}."), "start": "2035-06-04T09:00:00Z"})
}

async fn meetings() -> Approved<Radicale> {
    let (app, radicale) = (TestApp::open().await, Radicale::start().await);
    connected(&app, &radicale.calendar, PASSWORD).await;
    Approved::of(app, radicale, ActionType::CreateEvent, meeting).await
}

#[tokio::test]
async fn event_is_made_once_wherever_its_worker_is_struck() {
    strike(&meetings().await).await;
}

impl Peer for MockServer {
    /// It may be called more than once; by the ids it is one call.
    async fn copies(&self, n: usize) -> usize {
        let requests = self.received_requests().await.expect("they are kept");
        let subject = format!("Mail {n}.");
        let ids: BTreeSet<String> = requests
            .iter()
            .filter_map(|request| serde_json::from_slice::<Value>(&request.body).ok())
            .filter(|body| body["data"]["message"]["subject"] == subject.as_str())
            .map(|body| body["id"].to_string())
            .collect();
        ids.len()
    }
}

#[tokio::test]
async fn webhook_is_called_under_one_id_wherever_its_worker_is_struck() {
    let app = TestApp::open().await;
    let receiver = answering(ResponseTemplate::new(204)).await;
    let (connection, _) = hooked(&app, &receiver.uri()).await;
    let params = |_| json!({"connection": connection});
    strike(&Approved::of(app, receiver, ActionType::CallWebhook, params).await).await;
}

/// Events that were made and are to be taken out again.
struct Undone(Approved<Radicale>);

impl Case for Undone {
    fn db(&self) -> &TestDb {
        self.0.db()
    }

    fn client(&self) -> &Client {
        self.0.client()
    }

    async fn worker(&self) -> Worker {
        self.0.worker().await
    }

    async fn submit(&self, n: usize) -> String {
        decided(self.client(), &self.0.approvals[n], "undo").await
    }

    async fn assert_once(&self, n: usize, job: &Value) {
        assert_eq!(job["output"]["actions"][0]["result"], "undone", "{job}");
        assert_eq!(self.0.peer.copies(n).await, 0, "{job}");
        approval_in(self.client(), &self.0.approvals[n], "undone").await;
    }
}

#[tokio::test]
async fn event_is_undone_wherever_its_worker_is_struck() {
    let meetings = meetings().await;
    {
        let _worker = meetings.worker().await;
        for approval in &meetings.approvals {
            decided(meetings.client(), approval, "approve").await;
        }
        for approval in &meetings.approvals {
            approval_in(meetings.client(), approval, "executed").await;
        }
    }
    strike(&Undone(meetings)).await;
}
