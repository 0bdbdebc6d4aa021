//! A tenant that leaves: it takes its data with it, and nothing of it stays but the proof of what was done.

mod closing;
mod forgetting;

use crate::{
    connections::connect,
    drafts::seed,
    support::{
        Client, TestDb,
        caller::admin,
        client::send,
        eventually, records,
        system::{TestApi, Worker},
        wait::SOON,
    },
};
use jobs::commands::{audit::seal::seal_entries, tenants::forget::forget_old_emails};
use reqwest::Method;
use serde_json::{Value, json};

const KEYS: &str = "k1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// Fills every place where a tenant's words go, each with this mark.
async fn fill(db: &TestDb, client: &Client, mark: &str) {
    let rules = format!(
        "rules:\n- name: {mark}-rule\n  match: {{from: '{mark}-sender@client.example'}}\n  set: {{priority: high}}\n"
    );
    let put = crate::rules::put(client, Some("*"), "application/yaml", &rules).await;
    assert_eq!(put.status, 200, "{}", put.text);
    let provider = json!({
        "issuer": format!("https://{mark}.example"), "audience": mark,
        "jwks": {"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "e", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]},
    });
    let put = client.request(Method::PUT, "/v1/identity-provider");
    let put = send(put.json(&provider)).await;
    assert_eq!(put.status, 200, "{}", put.text);
    let email = format!(
        "From: {mark} <{mark}-sender@client.example>\r\nTo: owner@acme.example\r\nSubject: {mark} could we meet?\r\n\
         Date: Mon, 12 Oct 2026 10:13:58 +0200\r\nMessage-ID: <{mark}@client.example>\r\n\r\n{mark} asks\r\n"
    );
    let submitted = client.submission(email.as_bytes(), mark);
    let submitted = send(submitted.header("X-Request-Id", format!("{mark} asks again"))).await;
    client
        .finished(submitted.body["id"].as_str().expect("a job"))
        .await;
    let matched = "select count(*) from audit_entries where action = 'triage.rule_matched'";
    assert!(
        db.one::<i64>(matched).await > 0,
        "the log has heard of the rule"
    );
    for (path, body) in [
        (
            "tasks",
            json!({"title": format!("{mark} task"), "notes": mark}),
        ),
        ("projects", json!({"name": format!("{mark} project")})),
        (
            "contacts",
            json!({"name": format!("{mark} contact"), "email": format!("{mark}@x.example")}),
        ),
    ] {
        records::made(client, path, &body).await;
    }
    let hook = json!({"provider": "webhook", "url": format!("https://{mark}.example.org/x")});
    assert_eq!(connect(client, &hook).await.status, 201);
    let user: uuid::Uuid = uuid::Uuid::parse_str(&owner(db, client).await).unwrap();
    let user = Some(jobs::domain::UserId(user));
    seed::draft(db, client.tenant, user, &format!("Dear {mark}")).await;
    db.execute(&format!(
        "insert into history_entries (tenant_id, id, verb, object_kind, object_id, rationale)
         values ('{}', gen_random_uuid(), 'created', 'task', gen_random_uuid(), '{mark} history')",
        client.tenant
    ))
    .await;
}

async fn owner(db: &TestDb, client: &Client) -> String {
    let sql = format!(
        "select id::text from users where tenant_id = '{}'",
        client.tenant
    );
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
async fn erased_tenant_leaves_none_of_its_words_and_another_keeps_all_of_its_own() {
    const GONE: &str = "mossyferns";
    const STAYS: &str = "quietowls";
    let db = TestDb::new().await;
    let api = TestApi::start_with(&db, &[("CREDENTIAL_KEYS", KEYS)]).await;
    let (leaver, other) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let variables = [("LLM_TESTING_MODE", "true"), ("CREDENTIAL_KEYS", KEYS)];
    let mut worker = Worker::spawn_with(&db, &variables).await;
    fill(&db, &leaver, GONE).await;
    fill(&db, &other, STAYS).await;
    worker.process.kill();
    let before = db.dump().await;
    assert!(holds(&before, GONE) && holds(&before, STAYS));
    seal_entries(db.pool()).await.unwrap();

    let url = db.url();
    let slug = format!("t-{}", leaver.tenant.0.simple());
    let open = admin(&url, &["tenant", "erase", &slug]).await;
    assert!(!open.status.success());
    assert!(open.stderr.contains("close it first"), "{}", open.stderr);

    let export = admin(&url, &["tenant", "export", &slug]).await;
    assert!(export.status.success(), "{}", export.stderr);
    assert!(holds(&export.stdout, GONE) && !holds(&export.stdout, STAYS));
    let mut tables = Vec::new();
    for line in export.stdout.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        for secret in ["secret", "password_hash", "token_hash"] {
            assert!(line["row"].get(secret).is_none(), "{line}");
        }
        tables.push(line["table"].as_str().unwrap().to_owned());
    }
    for table in [
        "tenants",
        "users",
        "messages",
        "drafts",
        "draft_versions",
        "connections",
        "tasks",
    ] {
        assert!(
            tables.iter().any(|found| found == table),
            "{table}: {tables:?}"
        );
    }

    assert!(
        admin(&url, &["tenant", "close", &slug])
            .await
            .status
            .success()
    );
    let erased = admin(&url, &["tenant", "erase", &slug]).await;
    let limits: i64 = db.one("select count(*) from queue_limits").await;
    assert_eq!(limits, 0, "nothing is left that the limit would stop");
    assert!(erased.status.success(), "{}", erased.stderr);
    let after = db.dump().await;
    let left: Vec<&str> = after.lines().filter(|line| holds(line, GONE)).collect();
    assert_eq!(left, [""; 0]);
    assert!(!after.contains(&slug), "its name is forgotten");
    let kept = |text: &str| text.matches(STAYS).count();
    assert_eq!(
        kept(&after),
        kept(&before),
        "another tenant's are all there"
    );
    let verified = admin(&url, &["audit", "verify"]).await;
    assert!(verified.status.success(), "{}", verified.stderr);
    let gone = admin(&url, &["tenant", "erase", &slug]).await;
    assert!(
        gone.stderr.contains("there is no tenant"),
        "{}",
        gone.stderr
    );
}

#[tokio::test]
async fn append_only_rows_are_deleted_by_an_erasure_of_their_tenant_alone() {
    let db = TestDb::new().await;
    let client = Client::owner_of_new_tenant(&db).await;
    seed::draft(&db, client.tenant, None, "Dear Bob").await;
    for other in [String::new(), uuid::Uuid::now_v7().to_string()] {
        let mut tx = db.pool().begin().await.unwrap();
        let sql = format!(
            "select set_config('postroom.erased_tenant', '{other}', true); delete from draft_versions"
        );
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(&mut *tx)
            .await;
        assert!(refused.unwrap_err().to_string().contains("append-only"));
    }
    let mut tx = db.pool().begin().await.unwrap();
    let sql = format!(
        "select set_config('postroom.erased_tenant', '{}', true);
         update draft_versions set body_text = ''",
        client.tenant
    );
    let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(&mut *tx)
        .await;
    assert!(refused.unwrap_err().to_string().contains("append-only"));
}

#[tokio::test]
async fn email_is_forgotten_with_what_was_made_of_it_when_its_tenant_no_longer_keeps_it() {
    const OLD: &str = "mossyferns";
    const YOUNG: &str = "quietowls";
    let db = TestDb::new().await;
    let api = TestApi::start_with(&db, &[("CREDENTIAL_KEYS", KEYS)]).await;
    let client = api.sign_in(&db).await;
    let variables = [("LLM_TESTING_MODE", "true"), ("CREDENTIAL_KEYS", KEYS)];
    let mut worker = Worker::spawn_with(&db, &variables).await;
    for mark in [OLD, YOUNG] {
        let email = format!(
            "From: {mark} <{mark}@client.example>\r\nTo: owner@acme.example\r\nSubject: {mark} could we meet?\r\n\
             Date: Mon, 12 Oct 2026 10:13:58 +0200\r\nMessage-ID: <{mark}@client.example>\r\n\r\n{mark} asks\r\n"
        );
        let job = client.submitted(email.as_bytes(), mark).await;
        client.finished(&job).await;
        let draft = seed::draft(&db, client.tenant, None, &format!("Dear {mark}")).await;
        db.execute(&format!(
            "update drafts set message_id = (select id from messages order by id desc limit 1) where id = '{draft}';
             update approvals set summary = '{mark}' where id = (select approval_id from drafts where id = '{draft}');
             insert into history_entries (tenant_id, id, verb, object_kind, object_id, rationale)
             values ('{}', gen_random_uuid(), 'created', 'draft', '{draft}', '{mark} history')",
            client.tenant
        ))
        .await;
    }
    // The judged emails may have asked for drafts, whose jobs name them.
    eventually(SOON, async || {
        match db.one::<i64>("select count(*) from jobs").await {
            0 => Ok(()),
            left => Err(format!("{left} job(s) wait or run")),
        }
    })
    .await;
    worker.process.kill();
    // Jobs, and the answers to requests, have a retention of their own.
    db.execute(
        "delete from finished_jobs; delete from request_keys; delete from llm_checkpoints;
         update messages set received_at = now() - interval '8 days'
         where id = (select id from messages order by id limit 1)",
    )
    .await;
    let forget = async || {
        forget_old_emails(db.pool(), client.tenant, 100)
            .await
            .unwrap()
    };
    assert_eq!(forget().await, 0, "they are kept by default");
    let settings = |days: i32| json!({"trust_mode": "training_wheels", "sending_disabled": false, "email_retention_days": days});
    let put = async |days: i32| {
        send(
            client
                .request(Method::PUT, "/v1/settings")
                .json(&settings(days)),
        )
        .await
    };
    put(6)
        .await
        .assert_problem(422, "INVALID_BODY", "it is too short");
    assert_eq!(put(7).await.body["email_retention_days"], 7);
    let before = db.dump().await;
    assert!(holds(&before, OLD) && holds(&before, YOUNG));
    assert_eq!(forget().await, 1);
    let after = db.dump().await;
    assert!(!holds(&after, OLD), "{after}");
    let kept = |text: &str| text.matches(YOUNG).count();
    assert_eq!(kept(&after), kept(&before));
    assert_eq!(forget().await, 0);
    let audited: i64 = db
        .one("select (detail->>'emails')::bigint from audit_entries where action = 'message.forgotten'")
        .await;
    assert_eq!(audited, 1);
}
