//! The ledger of effects: one row for one effect, begun by one attempt, and never tried again while nobody knows.

pub(crate) mod bounces;
mod replies;
mod sending;

use crate::{
    approvals::seed::propose_action,
    blocks::block,
    support::{
        Client, TestDb,
        claim::claim_job,
        client::{TestResponse, send},
        system::TestApi,
    },
};
use base::{JobId, TenantId};
use futures::future::join_all;
use jobs::{
    commands::effects::{LedgerError, Reserved, begin, end, mark_lost, reserve},
    domain::{
        EffectId, MessageId,
        action::{ActionType, canonical_sha256},
        effect::{EffectEnd, EffectStatus, Identity, NewEffect, effect_key},
        llm::urgency::Urgency,
        session::Role,
    },
    kinds::triage::{Args, Mode, Triage},
    store::effects,
};
use queue::{Job, JobKind, NewJob, enqueue::enqueue};
use reqwest::Method;
use serde_json::{Value, json};

/// A running job of this tenant; which kind does not matter to the ledger.
async fn running(db: &TestDb, tenant: TenantId) -> Job {
    let args = Args {
        message_id: MessageId::new(),
        mode: Mode::RulesOnly,
        dry_run: false,
        force: false,
        ruleset_version: 0,
        api_key: None,
        urgency: Urgency::Now,
    };
    let job = NewJob {
        request_id: Some("req-effect".into()),
        ..NewJob::of::<Triage>(tenant, &args).unwrap()
    };
    let mut conn = db.pool().acquire().await.unwrap();
    enqueue(&mut conn, &job).await.unwrap();
    claim_job(db, (Triage::QUEUE, Triage::NAME)).await
}

/// The same job in the hands of its next attempt.
async fn next_attempt(db: &TestDb) -> Job {
    db.execute("update jobs set state = 'available', lease_until = null, worker_id = null")
        .await;
    claim_job(db, (Triage::QUEUE, Triage::NAME)).await
}

fn task(tenant: TenantId, title: &str) -> NewEffect {
    let payload = json!({ "title": title });
    NewEffect {
        key: effect_key(
            tenant,
            ActionType::CreateTask,
            "m1",
            Identity::Payload(&payload),
        ),
        kind: ActionType::CreateTask,
        message: None,
        payload_hash: canonical_sha256(&payload),
        connection: None,
        rendered: Some(b"secret bytes".to_vec()),
        message_id: None,
        approval: None,
    }
}

async fn intended(db: &TestDb, job: &Job, effect: &NewEffect) -> EffectId {
    match reserve(db.pool(), job, effect).await.unwrap() {
        Reserved::Intended(id) => id,
        duplicate @ Reserved::Duplicate(_) => panic!("{duplicate:?}"),
    }
}

async fn duplicate(db: &TestDb, job: &Job, effect: &NewEffect) -> (EffectId, EffectStatus) {
    match reserve(db.pool(), job, effect).await.unwrap() {
        Reserved::Duplicate(found) => (found.id, found.status),
        Reserved::Intended(id) => panic!("{id} may be tried again"),
    }
}

fn done() -> EffectEnd {
    EffectEnd::Succeeded {
        receipt: json!({"task_id": 7}),
        before_image: None,
    }
}

async fn seen(client: &Client, id: EffectId) -> Value {
    client.get(&format!("/v1/effects/{id}")).await.body
}

#[tokio::test]
async fn effect_is_recorded_from_its_intent_to_its_receipt_without_its_bytes() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (client, stranger) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let job = running(&db, client.tenant).await;
    let id = intended(&db, &job, &task(client.tenant, "Pay")).await;
    assert_eq!(seen(&client, id).await["status"], "intent");
    begin(db.pool(), &job, id).await.unwrap();
    assert_eq!(seen(&client, id).await["status"], "in_flight");
    assert_eq!(
        end(db.pool(), &job, id, &done()).await.unwrap(),
        EffectStatus::Succeeded
    );
    let shown = seen(&client, id).await;
    assert_eq!(
        (&shown["status"], &shown["receipt"]),
        (&json!("succeeded"), &json!({"task_id": 7}))
    );
    assert!(!shown.to_string().contains("bytes"));
    let path = format!("/v1/effects/{id}");
    stranger
        .get(&path)
        .await
        .assert_problem(404, "NOT_FOUND", "another tenant");
    client
        .get("/v1/effects/x")
        .await
        .assert_problem(404, "NOT_FOUND", "no id");
    let audited: String = db
        .one("select string_agg(action, ' ' order by id) from audit_entries where request_id = 'req-effect' and resource_kind = 'effect'")
        .await;
    assert_eq!(audited, "effect.intended effect.begun effect.ended");
}

#[tokio::test]
async fn same_effect_is_one_row_for_every_caller_and_another_is_another() {
    let db = TestDb::new().await;
    let tenant = Client::owner_of_new_tenant(&db).await.tenant;
    let other = Client::owner_of_new_tenant(&db).await.tenant;
    let mut jobs = Vec::new();
    for _ in 0..6 {
        jobs.push(running(&db, tenant).await);
    }
    let effect = task(tenant, "Pay");
    let answers = join_all(jobs.iter().map(|job| reserve(db.pool(), job, &effect))).await;
    let won = answers
        .iter()
        .filter(|answer| matches!(answer, Ok(Reserved::Intended(_))));
    assert_eq!(won.count(), 1, "{answers:?}");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    intended(&db, &jobs[0], &task(tenant, "Call")).await;
    let theirs = running(&db, other).await;
    let mut same_key = task(tenant, "Pay");
    same_key.key = effect.key;
    intended(&db, &theirs, &same_key).await;
    assert_eq!(db.one::<i64>("select count(*) from effects").await, 3);
}

#[tokio::test]
async fn repetition_finds_the_first_outcome() {
    let db = TestDb::new().await;
    let tenant = Client::owner_of_new_tenant(&db).await.tenant;
    let (first, second) = (running(&db, tenant).await, running(&db, tenant).await);
    let effect = task(tenant, "Pay");
    let id = intended(&db, &first, &effect).await;
    assert_eq!(
        duplicate(&db, &second, &effect).await,
        (id, EffectStatus::Intent)
    );
    begin(db.pool(), &first, id).await.unwrap();
    assert_eq!(
        duplicate(&db, &second, &effect).await,
        (id, EffectStatus::InFlight)
    );
    end(db.pool(), &first, id, &done()).await.unwrap();
    assert_eq!(
        duplicate(&db, &second, &effect).await,
        (id, EffectStatus::Succeeded)
    );
}

#[tokio::test]
async fn what_was_certainly_not_done_may_be_tried_again_and_what_is_unknown_may_not() {
    let db = TestDb::new().await;
    let tenant = Client::owner_of_new_tenant(&db).await.tenant;
    let job = running(&db, tenant).await;
    for (title, end_of_try, again) in [
        ("a", EffectEnd::Retryable { code: "smtp_4xx" }, true),
        ("b", EffectEnd::FailedPermanent { code: "smtp_5xx" }, true),
        ("c", EffectEnd::Unknown { code: "reply_lost" }, false),
    ] {
        let effect = task(tenant, title);
        let id = intended(&db, &job, &effect).await;
        begin(db.pool(), &job, id).await.unwrap();
        end(db.pool(), &job, id, &end_of_try).await.unwrap();
        if again {
            assert_eq!(intended(&db, &job, &effect).await, id);
        } else {
            assert_eq!(
                duplicate(&db, &job, &effect).await,
                (id, EffectStatus::Unknown)
            );
            let refused = begin(db.pool(), &job, id).await;
            assert!(matches!(refused, Err(LedgerError::NotHeld)), "{refused:?}");
        }
    }
}

#[tokio::test]
async fn attempt_that_lost_its_job_begins_nothing() {
    let db = TestDb::new().await;
    let tenant = Client::owner_of_new_tenant(&db).await.tenant;
    let old = running(&db, tenant).await;
    let effect = task(tenant, "Pay");
    let id = intended(&db, &old, &effect).await;
    let new = next_attempt(&db).await;
    for refused in [
        begin(db.pool(), &old, id).await,
        reserve(db.pool(), &old, &task(tenant, "Call"))
            .await
            .map(drop),
    ] {
        assert!(matches!(refused, Err(LedgerError::NotHeld)), "{refused:?}");
    }
    assert_eq!(
        intended(&db, &new, &effect).await,
        id,
        "nothing was tried yet"
    );
    begin(db.pool(), &new, id).await.unwrap();
    let refused = end(db.pool(), &old, id, &done()).await;
    assert!(matches!(refused, Err(LedgerError::NotHeld)), "{refused:?}");
    assert_eq!(
        end(db.pool(), &new, id, &done()).await.unwrap(),
        EffectStatus::Succeeded
    );
}

#[tokio::test]
async fn what_an_earlier_attempt_left_in_flight_is_unknown_to_the_next() {
    let db = TestDb::new().await;
    let tenant = Client::owner_of_new_tenant(&db).await.tenant;
    let old = running(&db, tenant).await;
    let effect = task(tenant, "Pay");
    let id = intended(&db, &old, &effect).await;
    begin(db.pool(), &old, id).await.unwrap();
    let new = next_attempt(&db).await;
    assert_eq!(
        duplicate(&db, &new, &effect).await,
        (id, EffectStatus::Unknown)
    );
    let refused = end(db.pool(), &old, id, &done()).await;
    assert!(matches!(refused, Err(LedgerError::NotHeld)), "{refused:?}");
}

#[tokio::test]
async fn effects_of_dead_attempts_are_found_and_those_of_living_ones_left_alone() {
    let db = TestDb::new().await;
    let tenant = Client::owner_of_new_tenant(&db).await.tenant;
    let living = running(&db, tenant).await;
    let alive = intended(&db, &living, &task(tenant, "alive")).await;
    begin(db.pool(), &living, alive).await.unwrap();
    let dead = running(&db, tenant).await;
    let in_flight = intended(&db, &dead, &task(tenant, "in flight")).await;
    begin(db.pool(), &dead, in_flight).await.unwrap();
    let never_begun = intended(&db, &dead, &task(tenant, "never begun")).await;
    let gone: JobId = dead.lease.job;
    db.execute(&format!("delete from jobs where id = '{gone}'"))
        .await;
    let lost = join_all((0..4).map(|_| mark_lost(db.pool(), 1))).await;
    let rest = mark_lost(db.pool(), 500).await.unwrap();
    assert_eq!(lost.into_iter().map(Result::unwrap).sum::<u64>() + rest, 2);
    let mut conn = db.pool().acquire().await.unwrap();
    for (id, status) in [
        (alive, EffectStatus::InFlight),
        (in_flight, EffectStatus::Unknown),
        (never_begun, EffectStatus::Retryable),
    ] {
        let now = effects::find(&mut conn, tenant, id).await.unwrap();
        assert_eq!(now.unwrap().status, status);
    }
    let audited: i64 = db
        .one("select count(*) from audit_entries where action = 'effect.lost' and error_code = 'holder_lost'")
        .await;
    assert_eq!(audited, 2);
    let entries: String = db
        .one("select string_agg(verb || ' ' || object_id || ' ' || rationale, ',') from history_entries")
        .await;
    assert_eq!(entries, format!("unknown {in_flight} Create a task"));
    assert_eq!(
        intended(&db, &living, &task(tenant, "never begun")).await,
        never_begun,
        "nobody had tried it"
    );
}

async fn resolve(client: &Client, id: EffectId) -> TestResponse {
    let path = format!("/v1/effects/{id}/resolve");
    send(
        client
            .request(Method::POST, &path)
            .json(&json!({"done": true})),
    )
    .await
}

#[tokio::test]
async fn event_of_a_block_is_resolved_by_its_user_alone() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let colleague = owner.colleague(&db, Role::Member).await.at(api.addr);
    let params = json!({"title": "Therapy", "start": "2035-06-04T09:00", "minutes": "60"});
    let approval = propose_action(&db, owner.tenant, ActionType::CreateEvent, &params).await;
    let block = block(&owner, "Therapy", "09:00", "10:00").await;
    db.execute(&format!(
        "update blocks set approval_id = '{approval}' where id = '{block}'"
    ))
    .await;
    let job = running(&db, owner.tenant).await;
    let event = NewEffect {
        approval: Some(approval.parse().unwrap()),
        ..task(owner.tenant, "Therapy")
    };
    let id = intended(&db, &job, &event).await;
    begin(db.pool(), &job, id).await.unwrap();
    let unknown = EffectEnd::Unknown { code: "reply_lost" };
    end(db.pool(), &job, id, &unknown).await.unwrap();
    let path = format!("/v1/effects/{id}");
    assert_eq!(colleague.get(&path).await.status, 404);
    assert_eq!(resolve(&colleague, id).await.status, 404);
    assert_eq!(seen(&owner, id).await["status"], "unknown");
    assert_eq!(resolve(&owner, id).await.status, 200);
}
