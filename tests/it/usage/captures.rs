//! What models are asked and answer is kept for the owners of a tenant that wants so: sealed, for days, and read by nobody else.

use super::*;
use crate::{
    lanes::email,
    support::{Client, process::Process, system::Worker},
};
use jobs::{domain::session::Role, store::llm_captures};
use serde_json::Value;

const KEYS: &str = "k1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const NEW: &str = "k2:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
/// What only the prompt has, and what only the answer has.
const ASKED: &str = "When can we meet about 1?";
const ANSWERED: &str = "A person asks for an appointment.";
const KEPT: &str = "select count(*) from llm_captures";

struct Setup {
    db: TestDb,
    api: TestApi,
    owner: Client,
    model: FakeModel,
    _worker: Worker,
}

impl Setup {
    async fn new() -> Self {
        let db = TestDb::new().await;
        let model = FakeModel::start([Reply::Fits]).await;
        let api = TestApi::start_with(&db, &[("CREDENTIAL_KEYS", KEYS)]).await;
        let owner = api.sign_in(&db).await;
        let worker = model.worker(&db, &[("CREDENTIAL_KEYS", KEYS)]).await;
        Self {
            db,
            api,
            owner,
            model,
            _worker: worker,
        }
    }

    /// Judges an email; its job.
    async fn judge(&self, key: &str) -> String {
        let request = self.owner.submission(&email(1), key);
        let answer = send(request.query(&[("force", "true")])).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        let id = answer.body["id"].as_str().expect("an id").to_owned();
        self.owner.finished(&id).await;
        id
    }

    async fn kept(&self) -> i64 {
        self.db.one(KEPT).await
    }

    async fn purged(&self) -> u64 {
        let mut conn = self.db.pool().acquire().await.unwrap();
        llm_captures::purge(&mut conn, 100).await.unwrap()
    }
}

async fn put_settings(client: &Client, days: Value) -> u16 {
    let mut settings = json!({"trust_mode": "training_wheels", "sending_disabled": false});
    if !days.is_null() {
        settings["prompt_capture_days"] = days;
    }
    let request = client.request(Method::PUT, "/v1/settings").json(&settings);
    send(request).await.status.as_u16()
}

fn captures(job: &str) -> String {
    format!("/v1/jobs/{job}/captures")
}

#[tokio::test]
async fn exchange_is_kept_sealed_for_the_owners_of_a_tenant_that_wants_it() {
    let setup = Setup::new().await;
    let (db, owner) = (&setup.db, &setup.owner);
    let before = setup.judge("before").await;
    assert_eq!(setup.kept().await, 0, "it is off by default");

    let admin = owner.colleague(db, Role::Admin).await;
    assert_eq!(put_settings(&admin, json!(7)).await, 403);
    for days in [-1, 15] {
        assert_eq!(put_settings(owner, json!(days)).await, 422);
    }
    assert_eq!(put_settings(owner, json!(7)).await, 200);
    assert_eq!(put_settings(&admin, Value::Null).await, 200, "unchanged");
    assert_eq!(put_settings(&admin, json!(0)).await, 403);
    let job = setup.judge("after").await;
    assert_eq!(setup.kept().await, 1);
    let sealed: String = db
        .one("select encode(exchange, 'escape') from llm_captures")
        .await;
    assert!(!sealed.contains("meet") && !sealed.contains("appointment"));

    let read = owner.get(&captures(&job)).await;
    assert_eq!(read.status, 200, "{}", read.text);
    let one = &read.body["items"][0];
    assert!(one["messages"].to_string().contains(ASKED), "{one}");
    assert!(one["answer"].to_string().contains(ANSWERED), "{one}");
    assert_eq!(
        (&one["model"], &one["step"], &one["failure"]),
        (&json!("fake-1"), &json!("triage"), &Value::Null)
    );
    let nothing = owner.get(&captures(&before)).await;
    assert_eq!(nothing.body["items"], json!([]), "{}", nothing.text);
    let audited = "select count(*) from audit_log where action = 'captures.read'";
    assert_eq!(db.one::<i64>(audited).await, 2);

    assert_eq!(admin.get(&captures(&job)).await.status, 403);
    let other = setup.api.sign_in(db).await;
    assert_eq!(other.get(&captures(&job)).await.status, 404);
    assert_eq!(db.one::<i64>(audited).await, 2);
    db.execute("update sessions set authenticated_at = authenticated_at - interval '1 day'")
        .await;
    let stale = owner.get(&captures(&job)).await;
    assert_ne!(stale.status, 200, "it asks for a recent password");
}

#[tokio::test]
async fn kept_exchange_is_deleted_after_its_days_with_its_job_and_when_it_is_switched_off() {
    let setup = Setup::new().await;
    let db = &setup.db;
    assert_eq!(put_settings(&setup.owner, json!(7)).await, 200);
    setup.judge("first").await;
    assert_eq!(setup.purged().await, 0);
    db.execute("update llm_captures set created_at = now() - interval '8 days'")
        .await;
    assert_eq!(setup.purged().await, 1);

    setup.judge("second").await;
    db.execute("delete from finished_jobs").await;
    assert_eq!(setup.purged().await, 1, "its job is deleted");

    setup.judge("third").await;
    assert_eq!(setup.kept().await, 1);
    assert_eq!(put_settings(&setup.owner, json!(0)).await, 200);
    assert_eq!(setup.kept().await, 0, "switched off");
    setup.judge("fourth").await;
    assert_eq!((setup.kept().await, setup.model.calls()), (0, 4));
}

#[tokio::test]
async fn kept_exchange_is_sealed_anew_and_given_up_with_a_lost_key() {
    let setup = Setup::new().await;
    assert_eq!(put_settings(&setup.owner, json!(7)).await, 200);
    let job = setup.judge("first").await;
    let url = setup.db.url();
    let admin = async |keys: &str, args: &[&str]| {
        let variables = [("DATABASE_URL", url.as_str()), ("CREDENTIAL_KEYS", keys)];
        let args = [&["admin"], args].concat();
        let ended = Process::spawn("postroom-api", &args, &variables)
            .ended()
            .await;
        assert!(ended.status.success(), "{}", ended.stderr);
        ended.stdout
    };
    let resealed = admin(&format!("{NEW},{KEYS}"), &["reseal"]).await;
    assert!(resealed.starts_with("1 secret(s)"), "{resealed}");
    assert!(resealed.contains("1 exchange(s) with models"), "{resealed}");
    let api = TestApi::start_with(&setup.db, &[("CREDENTIAL_KEYS", NEW)]).await;
    let read = setup.owner.clone().at(api.addr).get(&captures(&job)).await;
    let one = &read.body["items"][0];
    assert!(one["messages"].to_string().contains(ASKED), "{}", read.text);

    let forgotten = admin(KEYS, &["connections", "forget-key", "k2"]).await;
    assert!(
        forgotten.contains("1 exchange(s) with models deleted"),
        "{forgotten}"
    );
    assert_eq!(setup.kept().await, 0);
}

#[tokio::test]
async fn nothing_is_kept_where_nothing_can_be_sealed() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    assert_eq!(put_settings(&owner, json!(7)).await, 501);
    let model = FakeModel::start([Reply::Fits]).await;
    let _worker = model.worker(&db, &[]).await;
    db.execute("update tenants set prompt_capture_days = 7")
        .await;
    let id = owner.submitted(&email(1), "unsealed").await;
    owner.finished(&id).await;
    assert_eq!(db.one::<i64>(KEPT).await, 0);
}
