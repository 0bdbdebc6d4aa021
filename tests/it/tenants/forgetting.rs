//! Retention of emails: what is due is forgotten, wherever its words went, and nothing that is still needed.

use crate::{
    drafts::seed,
    support::{
        Client, TestDb,
        client::send,
        eventually,
        system::{TestApi, Worker},
        wait::SOON,
    },
};
use base::TenantId;
use jobs::{
    commands::tenants::forget::{forget_old_emails, forget_old_writings},
    domain::DraftId,
    store::tenants,
};
use reqwest::Method;
use serde_json::json;

const MARK: &str = "mossyferns";

/// A tenant that keeps emails for a week.
async fn forgetful(db: &TestDb) -> Client {
    let client = Client::owner_of_new_tenant(db).await;
    keep_for_a_week(db, client.tenant).await;
    client
}

async fn keep_for_a_week(db: &TestDb, tenant: TenantId) {
    db.execute(&format!(
        "update tenants set email_retention_days = 7 where id = '{tenant}'"
    ))
    .await;
}

/// Stores an email that is older than that.
async fn old_email(db: &TestDb, tenant: TenantId) {
    db.execute(&format!(
        "insert into messages (tenant_id, id, format, source, content_hash, received_at)
         values ('{tenant}', gen_random_uuid(), 'rfc822', '{MARK}', sha256('{MARK}'), now() - interval '8 days')"
    ))
    .await;
}

async fn forget(db: &TestDb, tenant: TenantId) -> u64 {
    forget_old_emails(db.pool(), tenant, 100).await.unwrap()
}

/// Rows that still have the mark, also in the hex digits of bytes.
async fn words(db: &TestDb) -> Vec<String> {
    let hex = base::hex(MARK.as_bytes());
    let dump = db.dump().await;
    let lines = dump.lines();
    lines
        .filter(|line| line.contains(MARK) || line.contains(&hex))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn tenant_whose_emails_cannot_be_forgotten_holds_up_no_other() {
    let db = TestDb::new().await;
    let mut all = [
        forgetful(&db).await.tenant,
        forgetful(&db).await.tenant,
        forgetful(&db).await.tenant,
    ];
    all.sort_unstable();
    let [first, stuck, last] = all;
    for tenant in all {
        old_email(&db, tenant).await;
    }
    db.execute(&format!(
        "create function refuse_stuck() returns trigger language plpgsql as $$ begin
             if old.tenant_id = '{stuck}' then
                 raise exception 'too slow' using errcode = 'query_canceled';
             end if;
             return old;
         end $$;
         create trigger stuck before delete on messages for each row execute function refuse_stuck()"
    ))
    .await;
    let _worker = Worker::spawn(&db).await;
    eventually(SOON, async || {
        let left: Vec<TenantId> = sqlx::query_scalar("select tenant_id from messages order by 1")
            .fetch_all(db.pool())
            .await
            .unwrap();
        (left == [stuck])
            .then_some(())
            .ok_or_else(|| format!("of {first}, {stuck} and {last}: {left:?}"))
    })
    .await;
}

#[tokio::test]
async fn each_reference_to_a_deleted_email_is_found_by_an_index() {
    let db = TestDb::new().await;
    let without: Vec<String> = sqlx::query_scalar(
        "select k.conrelid::regclass || '.' || k.conname from pg_constraint k
         where k.contype = 'f' and k.confrelid in ('messages'::regclass, 'drafts'::regclass, 'inbox_items'::regclass)
             and not exists (
                 select from pg_index i
                 where i.indrelid = k.conrelid and (i.indkey::int2[])[0:cardinality(k.conkey) - 1] = k.conkey
                     and (i.indpred is null or pg_get_expr(i.indpred, i.indrelid) like '(% IS NOT NULL)'))
         order by 1",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    assert_eq!(without, [""; 0], "deleting an email reads the whole table");
}

/// The conditions of a draft of the tenant's own, with the email that was sent.
async fn sent(
    db: &TestDb,
    tenant: TenantId,
    age: &str,
    (approval, effect): (&str, &str),
) -> DraftId {
    let draft = seed::draft(db, tenant, None, &format!("Dear {MARK}")).await;
    db.execute(&format!(
        "update drafts set updated_at = now() - interval '{age}' where id = '{draft}';
         update approvals set status = '{approval}', title = '{MARK}', summary = '{MARK}',
             created_at = now() - interval '{age}', executed_at = now() - interval '{age}'
         where id = (select approval_id from drafts where id = '{draft}');
         insert into effects (tenant_id, id, effect_key, type, approval_id, status, job_id, attempt, rendered, receipt,
             created_at, updated_at)
         select '{tenant}', gen_random_uuid(), sha256('{draft}'), 'send_draft', approval_id, '{effect}', gen_random_uuid(),
             1, '{MARK}', '{{\"to\": \"{MARK}\"}}', now() - interval '{age}', now() - interval '{age}'
         from drafts where id = '{draft}';
         insert into history_entries (tenant_id, id, verb, object_kind, object_id, rationale)
         values ('{tenant}', gen_random_uuid(), 'created', 'draft', '{draft}', '{MARK} history')"
    ))
    .await;
    draft
}

#[tokio::test]
async fn email_that_the_tenant_wrote_first_is_forgotten_after_its_time() {
    let db = TestDb::new().await;
    let tenant = forgetful(&db).await.tenant;
    sent(&db, tenant, "8 days", ("executed", "succeeded")).await;
    // Without an approval, because its tenant is trusted.
    db.execute(&format!(
        "insert into effects (tenant_id, id, effect_key, type, status, job_id, attempt, rendered, created_at, updated_at)
         values ('{tenant}', gen_random_uuid(), sha256('send'), 'send', 'succeeded', gen_random_uuid(), 1, '{MARK}',
             now() - interval '8 days', now() - interval '8 days')"
    ))
    .await;
    assert_eq!(forget(&db, tenant).await, 0, "it answers none");
    assert!(!words(&db).await.is_empty());
    let forgotten = forget_old_writings(db.pool(), tenant, 100).await.unwrap();
    assert_eq!(forgotten, 2, "an approval with its effect, and an effect");
    assert_eq!(words(&db).await, [""; 0]);
    let again = forget_old_writings(db.pool(), tenant, 100).await.unwrap();
    assert_eq!(again, 0);
}

#[tokio::test]
async fn email_that_the_tenant_wrote_is_kept_in_its_time_and_while_it_is_under_way() {
    let db = TestDb::new().await;
    let tenant = forgetful(&db).await.tenant;
    for (age, status) in [
        ("6 days", ("executed", "succeeded")),
        ("8 days", ("approved", "intent")),
        ("8 days", ("failed", "needs_human")),
    ] {
        sent(&db, tenant, age, status).await;
    }
    let before = words(&db).await.len();
    let forgotten = forget_old_writings(db.pool(), tenant, 100).await.unwrap();
    assert_eq!(forgotten, 0);
    assert_eq!(words(&db).await.len(), before);
}

#[tokio::test]
async fn email_that_a_job_still_names_is_kept_until_the_job_ends() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    keep_for_a_week(&db, client.tenant).await;
    let email = b"From: Bob <bob@client.example>\r\nTo: owner@acme.example\r\nSubject: Hi\r\n\
        Message-ID: <1@client.example>\r\n\r\nCould we meet?\r\n";
    let mut job = client.submitted(email, "waiting").await;
    db.execute("update messages set received_at = now() - interval '8 days'")
        .await;
    let id: uuid::Uuid = db.one("select id from messages").await;
    let action = json!({"type": "archive", "message_id": id, "payload": {}});
    for (path, body) in [
        ("draft", json!({"mode": "reply", "message_id": id})),
        ("action", json!({"actions": [action]})),
    ] {
        assert_eq!(forget(&db, client.tenant).await, 0, "before {path}");
        cancel(&client, &job).await;
        let request = client
            .request(Method::POST, &format!("/v1/jobs/{path}"))
            .header("Idempotency-Key", path);
        let submitted = send(request.json(&body)).await;
        assert_eq!(submitted.status, 202, "{}", submitted.text);
        job = submitted.body["id"].as_str().unwrap().to_owned();
    }
    assert_eq!(forget(&db, client.tenant).await, 0);
    cancel(&client, &job).await;
    assert_eq!(forget(&db, client.tenant).await, 1);
}

async fn cancel(client: &Client, job: &str) {
    let cancelled = send(client.request(Method::POST, &format!("/v1/jobs/{job}/cancel"))).await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text);
}

#[tokio::test]
async fn paused_tenant_keeps_what_its_jobs_go_on_with() {
    let db = TestDb::new().await;
    let tenant = forgetful(&db).await.tenant;
    assert_eq!(
        tenants::with_email_retention(db.pool()).await.unwrap(),
        [tenant]
    );
    db.execute("update tenants set status = 'paused'").await;
    let left = tenants::with_email_retention(db.pool()).await.unwrap();
    assert!(left.is_empty());
}

/// A block for the old email's item, booked until then.
async fn booked(db: &TestDb, client: &Client, end: &str) {
    let tenant = client.tenant;
    db.execute(&format!(
        "with of_user as (select id from users where tenant_id = '{tenant}'),
         item as (
             insert into inbox_items (tenant_id, id, owner_id, source, dedupe_key, title, rationale, priority, message_id)
             select '{tenant}', gen_random_uuid(), of_user.id, 'email', 'x', '{MARK}', '{MARK}', 'low', messages.id
             from of_user, messages returning id),
         approval as (
             insert into approvals (tenant_id, id, kind, title, summary, actions, source, payload, payload_hash, risk, status,
                 confidence, job_id, expires_at)
             values ('{tenant}', gen_random_uuid(), 'action', '{MARK}', '{MARK}', '{{create_event}}', 'user',
                 '{{\"type\": \"create_event\", \"title\": \"{MARK}\"}}', sha256('x'), 'low', 'executed', 1,
                 gen_random_uuid(), now())
             returning id),
         block as (
             insert into blocks (tenant_id, id, user_id, title, kind, source, inbox_item_id, start_at, end_at, outside_hours,
                 status, event_ref, approval_id)
             select '{tenant}', gen_random_uuid(), of_user.id, '{MARK}', 'focus', 'user', item.id,
                 {end} - interval '1 hour', {end}, false, 'booked', 'event', approval.id
             from of_user, item, approval returning id, approval_id),
         effect as (
             insert into effects (tenant_id, id, effect_key, type, approval_id, status, job_id, attempt, rendered)
             select '{tenant}', gen_random_uuid(), sha256('x'), 'create_event', approval_id, 'succeeded', gen_random_uuid(), 1,
                 '{MARK}'
             from block)
         insert into history_entries (tenant_id, id, verb, object_kind, object_id, rationale)
         select '{tenant}', gen_random_uuid(), 'proposed', 'block', block.id, '{MARK}' from block"
    ))
    .await;
}

#[tokio::test]
async fn block_for_a_forgotten_email_loses_its_words_with_it() {
    let db = TestDb::new().await;
    let client = forgetful(&db).await;
    old_email(&db, client.tenant).await;
    booked(&db, &client, "now() + interval '1 day'").await;
    assert_eq!(forget(&db, client.tenant).await, 0, "the event is to come");
    db.execute("update blocks set start_at = start_at - interval '2 days', end_at = end_at - interval '2 days'")
        .await;
    assert_eq!(forget(&db, client.tenant).await, 1);
    assert_eq!(words(&db).await, [""; 0]);
}

#[tokio::test]
async fn digest_that_names_a_forgotten_email_loses_its_words_with_it() {
    let db = TestDb::new().await;
    let client = forgetful(&db).await;
    old_email(&db, client.tenant).await;
    db.execute(&format!(
        "with of_user as (select tenant_id, id from users),
         item as (
             insert into inbox_items (tenant_id, id, owner_id, source, dedupe_key, title, rationale, priority, message_id)
             select tenant_id, gen_random_uuid(), of_user.id, 'email', 'x', '{MARK} item', '', 'low', messages.id
             from of_user join messages using (tenant_id)),
         shown as (
             insert into inbox_items (tenant_id, id, owner_id, source, dedupe_key, title, rationale, priority)
             select tenant_id, gen_random_uuid(), id, 'digest', day::text, 'Your digest', words, 'low'
             from of_user cross join (values
                 (1, E'In your inbox: 2\\n- Lunch\\n- {MARK} item'), (2, E'In your inbox: 1\\n- Lunch with {MARK} item'))
                 as of_day (day, words)
             returning id, tenant_id, owner_id, dedupe_key)
         insert into digests (tenant_id, id, user_id, day, item_id)
         select tenant_id, gen_random_uuid(), owner_id, '2026-10-01'::date + dedupe_key::int, id from shown"
    ))
    .await;
    assert_eq!(forget(&db, client.tenant).await, 1);
    let left: Vec<String> = sqlx::query_scalar(
        "select rationale from inbox_items where source = 'digest' and rationale <> ''",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    let of_another = format!("In your inbox: 1\n- Lunch with {MARK} item");
    assert_eq!(left, [of_another]);
}
