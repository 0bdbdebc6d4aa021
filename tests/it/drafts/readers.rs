//! Who reads a draft and what was made of it, as their relation to its person changes.

use super::{
    generated::{message, post},
    seed,
};
use crate::{
    support::{
        Client, TestDb,
        api_keys::key,
        client::send,
        system::{TestApi, Worker},
    },
    users::user_of,
};
use jobs::{
    domain::{
        api_key::KeyScope,
        session::{Reader, Role},
    },
    store::{
        approvals::{self, read::ApprovalFilter},
        drafts::{self, read::DraftFilter},
    },
};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{PgPool, Row, postgres::PgPoolOptions};

/// What the lists of drafts and of approvals show to the client.
async fn listed(client: &Client) -> (usize, usize) {
    let count = async |path: &str| {
        let page = client.get(path).await;
        page.body["items"].as_array().expect(&page.text).len()
    };
    (count("/v1/drafts").await, count("/v1/approvals").await)
}

#[tokio::test]
async fn draft_is_read_while_its_reader_is_a_delegate_or_its_person_is_away() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let person = owner.colleague(&db, Role::Member).await;
    let colleague = owner.colleague(&db, Role::Member).await;
    let user = user_of(&db, &person).await;
    let draft = seed::draft(&db, owner.tenant, Some(user), "Hello.").await;
    let path = format!("/v1/drafts/{draft}");
    assert_eq!(listed(&person).await, (1, 1));
    assert_eq!(listed(&colleague).await, (0, 0));
    assert_eq!(colleague.get(&path).await.status, 404);
    let delegate = format!("/v1/users/me/delegates/{}", user_of(&db, &colleague).await);
    for (method, seen, status) in [(Method::PUT, (1, 1), 200), (Method::DELETE, (0, 0), 404)] {
        let changed = send(person.request(method, &delegate)).await;
        assert_eq!(changed.status, 204, "{}", changed.text);
        assert_eq!(listed(&colleague).await, seen);
        assert_eq!(colleague.get(&path).await.status, status);
    }
    db.execute(&format!(
        "update users set status = 'suspended' where id = '{user}'"
    ))
    .await;
    assert_eq!(listed(&colleague).await, (1, 1), "nobody else could decide");
    assert_eq!(colleague.get(&path).await.status, 200);
}

#[tokio::test]
async fn approval_of_a_former_version_is_read_by_the_draft_s_person_alone() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let _worker = Worker::spawn(&db).await;
    let owner = api.sign_in(&db).await;
    let person = owner.colleague(&db, Role::Member).await;
    let colleague = owner.colleague(&db, Role::Member).await;
    let user = user_of(&db, &person).await;
    let draft = seed::draft(&db, owner.tenant, Some(user), "Hello.").await;
    let former: String = db.one("select approval_id::text from drafts").await;
    let rejected = crate::approvals::decide(&person, &former, "reject", 1).await;
    assert_eq!(rejected.status, 200, "{}", rejected.text);
    db.execute("update drafts set status = 'ready'").await;
    let body = json!({"base_version": 1, "instructions": "Shorter."});
    let path = format!("/v1/drafts/{draft}/revise");
    super::generated::done(&person, &path, &body).await;
    let newest: String = db.one("select approval_id::text from drafts").await;
    assert_ne!(
        former, newest,
        "the next version has an approval of its own"
    );
    for approval in [former, newest] {
        let path = format!("/v1/approvals/{approval}");
        assert_eq!(person.get(&path).await.status, 200);
        assert_eq!(colleague.get(&path).await.status, 404);
    }
}

#[tokio::test]
async fn output_of_a_draft_s_job_is_read_by_who_asked_and_whose_mailbox_it_is() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let _worker = Worker::spawn(&db).await;
    let owner = api.sign_in(&db).await;
    let (asker, person, colleague) = (
        owner.colleague(&db, Role::Member).await,
        owner.colleague(&db, Role::Member).await,
        owner.colleague(&db, Role::Member).await,
    );
    let scopes = [KeyScope::JobsRead, KeyScope::JobsWrite];
    let program = owner.with_token(&key(&db, owner.tenant, scopes).await);
    let other = owner.with_token(&key(&db, owner.tenant, scopes).await);
    let message = message(&owner, "Plan").await;
    let mailbox = user_of(&db, &person).await;
    let dry_run = json!({"mode": "reply", "message_id": message, "dry_run": true});
    let readers = [&asker, &person, &colleague, &program, &other];
    for (by, expected) in [
        (&asker, [true, false, false, false, false]),
        (&program, [false, true, false, true, false]),
    ] {
        // Nobody's when it is asked for: of a colleague's email nobody else may ask.
        db.execute("update triage_results set owner_id = null")
            .await;
        let asked = post(by, "/v1/jobs/draft", &dry_run).await;
        let job = asked.body["id"].as_str().expect(&asked.text).to_owned();
        by.finished(&job).await;
        db.execute(&format!("update triage_results set owner_id = '{mailbox}'"))
            .await;
        for (reader, reads) in readers.into_iter().zip(expected) {
            let shown = reader.job(&job).await;
            assert_eq!(shown["state"], "succeeded");
            assert_eq!(shown["output"]["preview"].is_object(), reads, "{shown}");
            assert_eq!(shown["output"] == Value::Null, !reads, "{shown}");
        }
        assert!(owner.job(&job).await["output"].is_object());
    }
}

#[tokio::test]
async fn job_that_another_key_asked_for_is_answered_without_the_words_of_its_draft() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let _worker = Worker::spawn(&db).await;
    let owner = api.sign_in(&db).await;
    let first = owner.with_token(&key(&db, owner.tenant, [KeyScope::JobsWrite]).await);
    let second = owner.with_token(&key(&db, owner.tenant, [KeyScope::JobsWrite]).await);
    let body = json!({
        "mode": "reply", "message_id": message(&owner, "Plan").await, "external_id": "our reply",
    });
    let asked = post(&first, "/v1/jobs/draft", &body).await;
    let job = owner.finished(asked.body["id"].as_str().unwrap()).await;
    assert_eq!(job["output"]["outcome"], "drafted", "{job}");
    let person = user_of(&db, &owner).await;
    db.execute(&format!("update drafts set user_id = '{person}'"))
        .await;
    for (by, reads) in [(&first, true), (&second, false)] {
        let again = post(by, "/v1/jobs/draft", &body).await;
        assert_eq!(again.status, 200, "{}", again.text);
        assert_eq!(again.body["id"], job["id"]);
        assert_eq!(again.body["output"].is_object(), reads, "{}", again.text);
    }
}

/// 20,000 drafts of a colleague, each with its approval, and none of the reader's.
const OF_A_COLLEAGUE: &str = "
    insert into approvals (tenant_id, id, kind, title, summary, actions, source, payload, payload_hash, risk, confidence, job_id,
        expires_at)
    select id, ('01980000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'send_draft', 'Send', 'Plan', '{}', 'draft', '{}',
        sha256(''), 'high', 1, gen_random_uuid(), now() + interval '1 day'
    from tenants, generate_series(1, 20000) n;
    insert into drafts (tenant_id, id, mode, user_id, version, approval_id)
    select a.tenant_id, a.id, 'compose', u.id, 1, a.id from approvals a join users u on u.role = 'admin'";

/// The scans of both tables, and the rows that scans of their indexes fetched, up to now.
async fn scans(pool: &PgPool) -> (i64, i64) {
    sqlx::raw_sql("select pg_stat_force_next_flush()")
        .execute(pool)
        .await
        .unwrap();
    let row = sqlx::raw_sql(
        "select sum(seq_scan)::bigint, sum(idx_tup_fetch)::bigint from pg_stat_user_tables
         where relname in ('drafts', 'approvals')",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn lists_of_a_member_do_not_pass_the_drafts_of_their_colleagues() {
    let db = TestDb::new().await;
    let owner = Client::owner_of_new_tenant(&db).await;
    let member = owner.colleague(&db, Role::Member).await;
    owner.colleague(&db, Role::Admin).await;
    db.execute(OF_A_COLLEAGUE).await;
    let user = user_of(&db, &member).await;
    for _ in 0..3 {
        seed::draft(&db, owner.tenant, Some(user), "Hello.").await;
    }
    db.execute("vacuum analyze drafts, approvals").await;
    let pool = PgPoolOptions::new().max_connections(1);
    let pool = pool.connect(&db.url()).await.unwrap();
    let reader = Reader {
        person: Some(user),
        reads_all: false,
    };
    let (whole, fetched) = scans(&pool).await;
    // Often enough for Postgres to prefer a plan that it keeps, if it may.
    for _ in 0..8 {
        let mut conn = pool.acquire().await.unwrap();
        let whose = (owner.tenant, reader);
        let drafts = drafts::read::list(&mut conn, whose, DraftFilter::default(), None, 51);
        assert_eq!(drafts.await.unwrap().len(), 3);
        let filter = ApprovalFilter::default();
        let approvals = approvals::read::list(&mut conn, whose, &filter, None, 51);
        assert_eq!(approvals.await.unwrap().len(), 3);
    }
    let (whole_after, fetched_after) = scans(&pool).await;
    assert_eq!(whole_after - whole, 0, "scans of a whole table");
    let rows = fetched_after - fetched;
    assert!(rows < 200, "{rows} rows were read for 48");
}
