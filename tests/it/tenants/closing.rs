//! A tenant that was closed: nothing of it waits any more, and an erasure leaves nothing that came late.

use crate::{
    drafts::seed,
    support::{Client, TestDb, caller::admin, system::TestApi, wait::statement_waits},
};
use base::TenantId;
use jobs::commands::{
    approvals::expire_approvals,
    blocks::expire_blocks,
    tenants::{cancel::cancel_jobs_of_closed, close_tenant, erase::erase_tenant},
};

const EMAIL: &[u8] = b"From: Bob <bob@client.example>\r\nTo: owner@acme.example\r\nSubject: Hi\r\n\
    Message-ID: <1@client.example>\r\n\r\nCould we meet?\r\n";

async fn rows(db: &TestDb, table: &str, tenant: TenantId) -> i64 {
    let sql = format!("select count(*) from {table} where tenant_id = '{tenant}'");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .fetch_one(db.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn waiting_jobs_of_a_closed_tenant_are_cancelled() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (leaver, other) = (api.sign_in(&db).await, api.sign_in(&db).await);
    for client in [&leaver, &other] {
        client.submitted(EMAIL, "waiting").await;
    }
    let cancel = async || {
        cancel_jobs_of_closed(db.pool(), &api.app.notifier, 100)
            .await
            .unwrap()
    };
    assert_eq!(cancel().await, 0, "nobody is closed");
    close_tenant(db.pool(), leaver.tenant).await.unwrap();
    assert_eq!(cancel().await, 1);
    assert_eq!(rows(&db, "jobs", leaver.tenant).await, 0);
    assert_eq!(rows(&db, "jobs", other.tenant).await, 1);
    let audited: String = db
        .one(
            "select e.detail->>'why' from audit_entries e
             join finished_jobs j on j.tenant_id = e.tenant_id and j.id::text = e.resource_id
             where e.action = 'job.cancelled' and j.state = 'cancelled'",
        )
        .await;
    assert_eq!(audited, "tenant_closed");
}

#[tokio::test]
async fn nothing_of_a_closed_tenant_expires() {
    let db = TestDb::new().await;
    let client = Client::owner_of_new_tenant(&db).await;
    seed::draft(&db, client.tenant, None, "Dear Bob").await;
    db.execute(
        "update approvals set expires_at = now();
         insert into blocks (tenant_id, id, user_id, title, kind, source, start_at, end_at, outside_hours)
         select tenant_id, gen_random_uuid(), id, 'Lunch', 'break', 'user', now() - interval '2 hours',
             now() - interval '1 hour', false from users",
    )
    .await;
    let expire = async || {
        let approvals = expire_approvals(db.pool(), 10).await.unwrap();
        approvals + expire_blocks(db.pool(), 10).await.unwrap()
    };
    db.execute("update tenants set status = 'closed'").await;
    assert_eq!(expire().await, 0);
    db.execute("update tenants set status = 'active'").await;
    assert_eq!(expire().await, 2);
}

#[tokio::test]
async fn erasure_deletes_what_came_into_a_table_that_was_empty_already() {
    let db = TestDb::new().await;
    let client = Client::owner_of_new_tenant(&db).await;
    seed::draft(&db, client.tenant, None, "Dear Bob").await;
    close_tenant(db.pool(), client.tenant).await.unwrap();
    // As a duty or a settlement does that began before: it changes a row and writes the history of it.
    let mut late = db.pool().begin().await.unwrap();
    let write = format!(
        "update approvals set status = 'expired';
         insert into history_entries (tenant_id, id, verb, object_kind, object_id, rationale)
         values ('{}', gen_random_uuid(), 'expired', 'approval', gen_random_uuid(), 'Dear Bob')",
        client.tenant
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(write))
        .execute(&mut *late)
        .await
        .unwrap();
    let (pool, tenant) = (db.pool().clone(), client.tenant);
    let erasure = tokio::spawn(async move { erase_tenant(&pool, tenant).await });
    statement_waits(&db).await;
    late.commit().await.unwrap();
    erasure.await.unwrap().unwrap();
    assert_eq!(rows(&db, "history_entries", tenant).await, 0);
}

#[tokio::test]
async fn erased_tenant_is_erased_again_by_its_id() {
    let db = TestDb::new().await;
    let client = Client::owner_of_new_tenant(&db).await;
    let (url, id) = (db.url(), client.tenant.to_string());
    close_tenant(db.pool(), client.tenant).await.unwrap();
    erase_tenant(db.pool(), client.tenant).await.unwrap();
    db.execute(&format!(
        "insert into history_entries (tenant_id, id, verb, object_kind, object_id, rationale)
         values ('{id}', gen_random_uuid(), 'expired', 'approval', gen_random_uuid(), 'Dear Bob')"
    ))
    .await;
    let erased = admin(&url, &["tenant", "erase", "--id", &id]).await;
    assert!(erased.status.success(), "{}", erased.stderr);
    assert_eq!(rows(&db, "history_entries", client.tenant).await, 0);
    let nobody = TenantId::new().to_string();
    let unknown = admin(&url, &["tenant", "erase", "--id", &nobody]).await;
    assert!(
        unknown.stderr.contains("no such tenant"),
        "{}",
        unknown.stderr
    );
}
