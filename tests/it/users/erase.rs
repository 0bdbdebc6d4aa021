//! A person who wants to be forgotten: nothing with their words stays, their colleague keeps everything, and the audit log
//! still proves what was done.

use crate::{
    connections::connect,
    drafts::seed,
    support::{
        Client, TestDb,
        caller::admin,
        client::send,
        eventually,
        system::{TestApi, Worker},
        wait::SOON,
    },
};
use jobs::{commands::audit::seal::seal_entries, domain::UserId, domain::session::Role};
use reqwest::Method;
use serde_json::{Value, json};

const KEYS: &str = "k1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const GONE: &str = "mossyferns";
const STAYS: &str = "quietowls";

/// Fills every place where a person's words go, each with this mark.
async fn fill(db: &TestDb, client: &Client, mark: &str) -> UserId {
    let user = super::user_of(db, client).await;
    let address = format!("{mark}@postroom.example");
    db.execute(&format!(
        "update users set email = '{address}', timezone = 'Europe/Berlin' where id = '{user}'"
    ))
    .await;
    let email = format!(
        "From: Bob <bob@client.example>\r\nTo: {address}\r\nSubject: {mark} could we meet?\r\n\
         Date: Mon, 12 Oct 2026 10:13:58 +0200\r\nMessage-ID: <{mark}@client.example>\r\n\r\n{mark} asks\r\n"
    );
    let job = client.submitted(email.as_bytes(), mark).await;
    client.finished(&job).await;
    let items = format!("inbox_items where owner_id = '{user}' and title like '%{mark}%'");
    assert_eq!(count(db, &items).await, 1, "the email is of their mailbox");
    // A note of absence leads to no inbox item: nothing but its result says whose it is.
    let absent = format!(
        "From: Bob <bob@client.example>\r\nTo: {address}\r\nSubject: {mark} absent\r\nAuto-Submitted: auto-replied\r\n\
         Date: Mon, 12 Oct 2026 10:14:58 +0200\r\nMessage-ID: <{mark}-absent@client.example>\r\n\r\n{mark} is away\r\n"
    );
    let absent = client
        .submitted(absent.as_bytes(), &format!("{mark}-absent"))
        .await;
    client.finished(&absent).await;
    let hook = json!({"provider": "webhook", "url": format!("https://{mark}.example.org/x")});
    assert_eq!(connect(client, &hook).await.status, 201);
    let draft = json!({
        "mode": "compose", "to": ["bob@client.example"], "intent": format!("Thank Bob for {mark}."),
    });
    let request = client
        .request(Method::POST, "/v1/jobs/draft")
        .header("X-Request-Id", format!("{mark} writes to Bob"))
        .header("Idempotency-Key", format!("{mark}-draft"));
    let drafted = send(request.json(&draft)).await;
    assert_eq!(drafted.status, 202, "{}", drafted.text);
    client.finished(drafted.body["id"].as_str().unwrap()).await;
    // The judged email may have asked for a draft of its own.
    let waiting = format!("jobs where tenant_id = '{}'", client.tenant);
    eventually(SOON, async || match count(db, &waiting).await {
        0 => Ok(()),
        left => Err(format!("{left} job(s) wait or run")),
    })
    .await;
    seed::draft(db, client.tenant, Some(user), &format!("Dear {mark}")).await;
    // The approval of a former version, which no draft names any more.
    db.execute(&format!(
        "insert into approvals (tenant_id, id, kind, title, summary, actions, source, payload, payload_hash, risk, status,
             confidence, job_id, expires_at, owner_id)
         select tenant_id, gen_random_uuid(), kind, title, '{mark} before', actions, source, payload, payload_hash, risk,
             'rejected', confidence, job_id, expires_at, owner_id
         from approvals where owner_id = '{user}' limit 1"
    ))
    .await;
    let memory = json!({"level": "semantic", "key": mark, "value": {"note": mark}});
    let request = client.request(Method::PUT, "/v1/memory");
    let stored = send(request.json(&memory)).await;
    assert!(stored.status.is_success(), "{}", stored.text);
    db.execute(&format!(
        "insert into history_entries (tenant_id, id, verb, object_kind, object_id, rationale, user_id)
         values ('{tenant}', gen_random_uuid(), 'created', 'task', gen_random_uuid(), '{mark} history', '{user}');
         insert into blocks (tenant_id, id, user_id, title, kind, source, start_at, end_at, outside_hours)
         values ('{tenant}', gen_random_uuid(), '{user}', '{mark} block', 'focus', 'user', now(), now() + interval '1 hour', false);
         with sent as (
             insert into messages (tenant_id, id, format, source, content_hash)
             values ('{tenant}', gen_random_uuid(), 'rfc822', '{mark} asks on', sha256('{mark} asks on')) returning id)
         insert into follow_ups (tenant_id, id, user_id, message_id, rfc_message_id, title, reminder, sent_at, due_at)
         select '{tenant}', gen_random_uuid(), '{user}', id, '{mark} waits', '{mark} waits', 'item', now(), now() + interval '9 days'
         from sent;
         insert into digests (tenant_id, id, user_id, day)
         values ('{tenant}', gen_random_uuid(), '{user}', '2026-10-12');
         with news as (
             insert into messages (tenant_id, id, format, source, content_hash)
             values ('{tenant}', gen_random_uuid(), 'rfc822', '{mark} news', sha256('{mark} news')) returning id)
         insert into digest_entries (tenant_id, id, user_id, message_id, title, digest_id)
         select '{tenant}', gen_random_uuid(), '{user}', news.id, '{mark} put off', digests.id
         from news join digests on digests.user_id = '{user}'",
        tenant = client.tenant
    ))
    .await;
    user
}

/// A webhook is shared: a colleague's job has called the one that this user connected.
async fn call_of_a_colleague(db: &TestDb, connected_by: UserId) {
    db.execute(&format!(
        "with job as (
             insert into finished_jobs (tenant_id, id, kind, queue, state, priority, attempt, errors, crashes, max_attempts,
                 args, run_at, created_at)
             select tenant_id, gen_random_uuid(), 'action.execute', 'action', 'succeeded', 3, 1, 0, 0, 5,
                 '{{\"note\": \"{STAYS} calls\"}}', now(), now()
             from users where id = '{connected_by}' returning tenant_id, id)
         insert into effects (tenant_id, id, effect_key, type, connection_id, status, job_id, attempt, receipt)
         select c.tenant_id, gen_random_uuid(), sha256('called'), 'call_webhook', c.id, 'succeeded', job.id, 1,
             '{{\"note\": \"{STAYS} called\"}}'
         from connections c join job using (tenant_id) where c.user_id = '{connected_by}' and c.provider = 'webhook'"
    ))
    .await;
    let called = format!("effects where receipt::text like '%{STAYS} called%'");
    assert_eq!(count(db, &called).await, 1);
}

/// The number of rows of a table that meet a condition.
async fn count(db: &TestDb, rows: &str) -> i64 {
    let sql = format!("select count(*) from {rows}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .fetch_one(db.pool())
        .await
        .unwrap()
}

/// Whether a text has the mark, also in the hex digits of bytes.
fn holds(text: &str, mark: &str) -> bool {
    text.contains(mark) || text.contains(&base::hex(mark.as_bytes()))
}

#[tokio::test]
async fn erased_person_leaves_none_of_their_words_and_a_colleague_keeps_all_of_theirs() {
    let db = TestDb::new().await;
    let api = TestApi::start_with(&db, &[("CREDENTIAL_KEYS", KEYS)]).await;
    let owner = api.sign_in(&db).await;
    let leaver = owner.colleague(&db, Role::Member).await;
    let colleague = owner.colleague(&db, Role::Member).await;
    let variables = [("LLM_TESTING_MODE", "true"), ("CREDENTIAL_KEYS", KEYS)];
    let mut worker = Worker::spawn_with(&db, &variables).await;
    let gone = fill(&db, &leaver, GONE).await;
    fill(&db, &colleague, STAYS).await;
    worker.process.kill();
    call_of_a_colleague(&db, gone).await;
    db.execute(&format!(
        "insert into llm_answers (tenant_id, question_hash, completion)
         values ('{}', sha256('question'), '{{\"text\": \"{GONE} asks\"}}')",
        owner.tenant
    ))
    .await;
    seal_entries(db.pool()).await.unwrap();
    let before = db.dump().await;
    assert!(holds(&before, GONE) && holds(&before, STAYS));

    let url = db.url();
    let slug = format!("t-{}", owner.tenant.0.simple());
    let address = format!("{GONE}@postroom.example");
    let named = ["--tenant", &slug, "--email", &address];
    let export = admin(&url, &[&["user", "export"], &named[..]].concat()).await;
    assert!(export.status.success(), "{}", export.stderr);
    assert!(holds(&export.stdout, GONE) && !holds(&export.stdout, STAYS));
    let mut tables = std::collections::BTreeSet::new();
    for line in export.stdout.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        for secret in ["secret", "password_hash", "key_id"] {
            assert!(line["row"].get(secret).is_none(), "{line}");
        }
        tables.insert(line["table"].as_str().unwrap().to_owned());
    }
    for table in [
        "users",
        "messages",
        "drafts",
        "draft_versions",
        "connections",
        "client_request_ids",
        "memory_items",
        "blocks",
        "follow_ups",
        "digests",
        "digest_entries",
    ] {
        assert!(tables.contains(table), "{table}: {tables:?}");
    }

    let erased = admin(&url, &[&["user", "erase"], &named[..]].concat()).await;
    assert!(erased.status.success(), "{}", erased.stderr);
    let after = db.dump().await;
    let left: Vec<&str> = after.lines().filter(|line| holds(line, GONE)).collect();
    assert_eq!(left, [""; 0]);
    let kept = |text: &str| text.matches(STAYS).count();
    assert_eq!(kept(&after), kept(&before), "a colleague's are all there");
    assert_eq!(leaver.get("/v1/sessions").await.status, 401);
    let secrets: i64 = db
        .one("select count(*) from connections where secret <> ''")
        .await;
    assert_eq!(secrets, 1, "the colleague's");
    let verified = admin(&url, &["audit", "verify"]).await;
    assert!(verified.status.success(), "{}", verified.stderr);

    let id = gone.to_string();
    let again = admin(&url, &["user", "erase", "--tenant", &slug, "--id", &id]).await;
    assert!(again.status.success(), "by its id: {}", again.stderr);
    let unknown = admin(&url, &[&["user", "erase"], &named[..]].concat()).await;
    assert!(!unknown.status.success(), "the address is forgotten");
}

/// Tables of which an export has nothing: what opens something, or is of no use elsewhere.
const NOT_EXPORTED: [&str; 10] = [
    "job_keys",
    "llm_answers",
    "llm_batch_items",
    "llm_captures",
    "llm_checkpoints",
    "password_resets",
    "recovery_codes",
    "request_keys",
    "second_factors",
    "session_tokens",
];

/// All rows of all tables that an export may have, without secrets.
async fn exportable(db: &TestDb) -> Vec<(String, Value)> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select table_name::text from information_schema.tables
         where table_schema = 'public' and table_type = 'BASE TABLE'",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    let mut all = Vec::new();
    for table in tables {
        if NOT_EXPORTED.contains(&table.as_str()) {
            continue;
        }
        let sql = format!(
            "select to_jsonb(t) - array['secret', 'key_id', 'password_hash'] from \"{table}\" t"
        );
        let rows: Vec<Value> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_all(db.pool())
            .await
            .unwrap();
        all.extend(rows.into_iter().map(|row| (table.clone(), row)));
    }
    all
}

#[tokio::test]
async fn export_of_a_removed_person_has_each_row_that_erasing_them_deletes_or_changes() {
    let db = TestDb::new().await;
    let api = TestApi::start_with(&db, &[("CREDENTIAL_KEYS", KEYS)]).await;
    let owner = api.sign_in(&db).await;
    let leaver = owner.colleague(&db, Role::Member).await;
    let colleague = owner.colleague(&db, Role::Member).await;
    let variables = [("LLM_TESTING_MODE", "true"), ("CREDENTIAL_KEYS", KEYS)];
    let mut worker = Worker::spawn_with(&db, &variables).await;
    let gone = fill(&db, &leaver, GONE).await;
    let stays = fill(&db, &colleague, STAYS).await;
    worker.process.kill();
    // A colleague corrected a judgement of theirs, and something was noted about their draft without their name.
    db.execute(&format!(
        "insert into judgement_corrections (tenant_id, approval_id, user_id, kind, action_type, proposed)
         select tenant_id, approval_id, '{stays}', 'rejected', 'send', '{GONE}' from drafts where user_id = '{gone}'
         on conflict do nothing;
         insert into history_entries (tenant_id, id, verb, object_kind, object_id, rationale)
         select tenant_id, gen_random_uuid(), 'created', 'draft', id, '{GONE}' from drafts where user_id = '{gone}'"
    ))
    .await;
    let url = db.url();
    let slug = format!("t-{}", owner.tenant.0.simple());
    let address = format!("{GONE}@postroom.example");
    let removed = admin(
        &url,
        &["user", "remove", "--tenant", &slug, "--email", &address],
    )
    .await;
    assert!(removed.status.success(), "{}", removed.stderr);
    let id = gone.to_string();
    let named = ["--tenant", &slug, "--id", &id];

    let export = admin(&url, &[&["user", "export"], &named[..]].concat()).await;
    assert!(export.status.success(), "{}", export.stderr);
    let exported: Vec<(String, Value)> = export
        .stdout
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let table = line["table"].as_str().unwrap().to_owned();
            (table, line["row"].clone())
        })
        .collect();
    let before = exportable(&db).await;
    let erased = admin(&url, &[&["user", "erase"], &named[..]].concat()).await;
    assert!(erased.status.success(), "{}", erased.stderr);
    let after = exportable(&db).await;
    let missing: Vec<_> = before
        .iter()
        .filter(|row| !after.contains(row) && !exported.contains(row))
        .collect();
    assert!(
        missing.is_empty(),
        "add them to store::user_rows: {missing:#?}"
    );
    let nobody = owner.tenant.to_string();
    let unknown = ["user", "export", "--tenant", &slug, "--id", &nobody];
    let unknown = admin(&url, &unknown).await;
    assert!(
        unknown.stderr.contains("no such user"),
        "{}",
        unknown.stderr
    );
}

/// The email that two mailboxes have: one copy is stored, which the colleague's mailbox names by another id.
async fn shared_email(db: &TestDb, (first, second): (UserId, UserId)) {
    for (user, id) in [(first, "stored"), (second, "dropped")] {
        db.execute(&format!(
            "with account as (
                 insert into connections (tenant_id, id, user_id, provider, address, settings, secret, key_id)
                 select tenant_id, gen_random_uuid(), id, 'imap_smtp', email, '{{}}', 'x', 'k1' from users where id = '{user}'
                 returning tenant_id, id)
             insert into fetched_emails (tenant_id, connection_id, content_hash, message_id)
             select tenant_id, id, sha256('{STAYS} both'), md5('{id}')::uuid from account"
        ))
        .await;
    }
    db.execute(&format!(
        "insert into messages (tenant_id, id, format, source, content_hash)
         select tenant_id, md5('stored')::uuid, 'rfc822', '{STAYS} both', sha256('{STAYS} both') from users where id = '{first}'"
    ))
    .await;
}

#[tokio::test]
async fn email_that_a_colleague_s_mailbox_has_too_is_not_erased() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let leaver = owner.colleague(&db, Role::Member).await;
    let colleague = owner.colleague(&db, Role::Member).await;
    let users = (
        super::user_of(&db, &leaver).await,
        super::user_of(&db, &colleague).await,
    );
    shared_email(&db, users).await;
    let slug = format!("t-{}", owner.tenant.0.simple());
    for (user, left) in [(users.0, 1), (users.1, 0)] {
        let id = user.to_string();
        let erased = admin(
            &db.url(),
            &["user", "erase", "--tenant", &slug, "--id", &id],
        )
        .await;
        assert!(erased.status.success(), "{}", erased.stderr);
        assert_eq!(count(&db, "messages").await, left, "of the last one it is");
    }
}

#[tokio::test]
async fn row_that_still_names_an_erased_person_is_of_the_audit_log_or_says_who_did_something() {
    let db = TestDb::new().await;
    let api = TestApi::start_with(&db, &[("CREDENTIAL_KEYS", KEYS)]).await;
    let owner = api.sign_in(&db).await;
    let leaver = owner.colleague(&db, Role::Admin).await;
    let variables = [("LLM_TESTING_MODE", "true"), ("CREDENTIAL_KEYS", KEYS)];
    let mut worker = Worker::spawn_with(&db, &variables).await;
    let gone = fill(&db, &leaver, GONE).await;
    worker.process.kill();
    let slug = format!("t-{}", owner.tenant.0.simple());
    let erase = [
        "user",
        "erase",
        "--tenant",
        &slug,
        "--id",
        &gone.to_string(),
    ];
    let erased = admin(&db.url(), &erase).await;
    assert!(erased.status.success(), "{}", erased.stderr);
    let columns: Vec<String> = sqlx::query_scalar(
        "select table_name || '.' || column_name from information_schema.columns
         where table_schema = 'public' and data_type = 'uuid' order by table_name, column_name",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    let mut named = Vec::new();
    for place in columns {
        let (table, column) = place.split_once('.').unwrap();
        if count(&db, &format!("{table} where {column} = '{gone}'")).await > 0 {
            named.push(place);
        }
    }
    assert_eq!(
        named,
        [
            "approvals.requested_by",
            "audit_entries.actor_id",
            "audit_log.actor_id",
            "users.id"
        ],
        "add what is theirs to erase_user, in a new migration"
    );
}

#[tokio::test]
async fn person_whose_jobs_still_wait_is_removed_and_not_yet_erased() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let leaver = owner.colleague(&db, Role::Member).await;
    let user = super::user_of(&db, &leaver).await;
    let draft = json!({"mode": "compose", "to": ["bob@client.example"], "intent": GONE});
    let request = leaver
        .request(Method::POST, "/v1/jobs/draft")
        .header("Idempotency-Key", "waiting");
    let waiting = send(request.json(&draft)).await;
    assert_eq!(waiting.status, 202, "{}", waiting.text);
    let slug = format!("t-{}", owner.tenant.0.simple());
    let address: String = db
        .one("select email from users where role = 'member'")
        .await;
    let by_address = ["user", "erase", "--tenant", &slug, "--email", &address];
    let refused = admin(&db.url(), &by_address).await;
    let id = user.to_string();
    assert!(refused.stderr.contains("1 job(s)"), "{}", refused.stderr);
    // Their address is forgotten by now.
    let named = format!("--id {id}");
    assert!(refused.stderr.contains(&named), "{}", refused.stderr);
    let erase = ["user", "erase", "--tenant", &slug, "--id", &id];
    assert_eq!(leaver.get("/v1/sessions").await.status, 401, "removed");
    let job = waiting.body["id"].as_str().unwrap();
    let path = format!("/v1/jobs/{job}/cancel");
    assert_eq!(send(owner.request(Method::POST, &path)).await.status, 200);
    let erased = admin(&db.url(), &erase).await;
    assert!(erased.status.success(), "{}", erased.stderr);
    assert!(!holds(&db.dump().await, GONE));
}
