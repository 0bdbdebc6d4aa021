//! The audit log: everything that matters is in it, and nothing that is in it changes.

mod batches;
mod http;
mod proof;

use crate::support::{TestDb, eventually, people::TestTenant, wait::SOON};
use base::{JobId, TenantId, WorkerId};
use chrono::{DateTime, Utc};
use jobs::{
    commands::operators::{grant, grant::GrantError},
    domain::{Actor, AuditAction, Detail, NewAuditEntry, ResourceKind},
    store::{
        audit::{self, AuditEntry, Position},
        grants::DbRole,
    },
};
use sqlx::{Connection, PgConnection, types::Json};
use uuid::Uuid;

const TABLES: [&str; 3] = ["audit_entries", "audit_batches", "history_entries"];

fn entry(tenant: TenantId, request_id: &str) -> NewAuditEntry {
    NewAuditEntry::new(
        tenant,
        Actor::System,
        AuditAction::JobInterrupted,
        ResourceKind::Job,
        "j1",
    )
    .with_request(Some(request_id))
}

async fn write(db: &TestDb, entries: &[NewAuditEntry]) {
    let mut conn = db.pool().acquire().await.unwrap();
    audit::insert(&mut conn, entries).await.unwrap();
}

async fn batch_and_history(db: &TestDb) {
    db.execute(
        "insert into audit_batches (tenant_id, id, worker_id, entries, job_ids, attempts)
         values (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, array[gen_random_uuid()], array[1])",
    )
    .await;
    db.execute(
        "insert into history_entries (tenant_id, id, verb, object_kind, object_id, rationale)
         values (gen_random_uuid(), gen_random_uuid(), 'triaged', 'message', gen_random_uuid(), 'because')",
    )
    .await;
}

/// The SQLSTATE with which one connection's last statement is refused; the transaction is rolled back.
async fn refusal(conn: &mut PgConnection, statements: &[&str]) -> Option<String> {
    let mut tx = conn.begin().await.unwrap();
    let (last, before) = statements.split_last().unwrap();
    for statement in before {
        run(&mut tx, statement).await.unwrap();
    }
    let refused = run(&mut tx, last).await.err();
    tx.rollback().await.unwrap();
    refused.map(|error| {
        error
            .as_database_error()
            .unwrap()
            .code()
            .unwrap()
            .into_owned()
    })
}

async fn run(conn: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(conn)
        .await
        .map(drop)
}

fn changes(table: &str) -> [String; 4] {
    [
        format!("update {table} set at = now()"),
        format!("delete from {table}"),
        format!("truncate {table}"),
        format!("truncate {table} cascade"),
    ]
}

#[tokio::test]
async fn entries_cannot_be_changed_even_by_a_superuser() {
    const RESTRICT_VIOLATION: &str = "23001";
    let db = TestDb::new().await;
    write(&db, &[entry(TenantId::new(), "req-1")]).await;
    batch_and_history(&db).await;
    let mut conn = db.pool().acquire().await.unwrap();
    for table in TABLES {
        for change in changes(table) {
            let refused = refusal(&mut conn, &[&change]).await;
            assert_eq!(refused.as_deref(), Some(RESTRICT_VIOLATION), "{change}");
            // The role of a replica skips ordinary triggers.
            let refused = refusal(
                &mut conn,
                &["set local session_replication_role = replica", &change],
            )
            .await;
            assert_eq!(
                refused.as_deref(),
                Some(RESTRICT_VIOLATION),
                "{change} as a replica"
            );
        }
    }
    let upsert = "insert into audit_entries overriding system value select * from audit_entries
                  on conflict (tenant_id, xid, seq) do update set outcome = 'denied'";
    assert_eq!(
        refusal(&mut conn, &[upsert]).await.as_deref(),
        Some(RESTRICT_VIOLATION)
    );
}

/// A role of the application's, granted as the command line does it, and gone with the value's database.
async fn application_role(db: &TestDb) -> DbRole {
    let name: String = db.one("select 'app_' || current_database()").await;
    db.execute(&format!("create role {name} login")).await;
    let role: DbRole = name.parse().unwrap();
    grant(db.pool(), &role).await.unwrap();
    role
}

async fn drop_role(db: &TestDb, role: &DbRole) {
    db.execute(&format!("drop owned by {role}; drop role {role}"))
        .await;
}

#[tokio::test]
async fn application_may_add_entries_and_nothing_else() {
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    let db = TestDb::new().await;
    write(&db, &[entry(TenantId::new(), "req-1")]).await;
    batch_and_history(&db).await;
    let role = application_role(&db).await;
    let mut conn = db.pool().acquire().await.unwrap();
    let become_app = format!("set local role {role}");
    for table in TABLES {
        for change in changes(table) {
            let refused = refusal(&mut conn, &[&become_app, &change]).await;
            assert_eq!(refused.as_deref(), Some(INSUFFICIENT_PRIVILEGE), "{change}");
        }
    }
    for forbidden in [
        "alter table audit_entries disable trigger all",
        "drop table audit_entries",
        "insert into audit_entries (tenant_id, id, actor_kind, action, resource_kind, resource_id, outcome)
         values (gen_random_uuid(), gen_random_uuid(), 'system', 'a', 'b', 'c', 'ok')",
        "insert into audit_batches (tenant_id, id, worker_id, entries, job_ids, attempts)
         values (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, array[gen_random_uuid()], array[1])",
        "insert into audit_entries (tenant_id, at, actor_kind, action, resource_kind, resource_id, outcome)
         values (gen_random_uuid(), now() - interval '1 day', 'system', 'a', 'b', 'c', 'ok')",
        "insert into audit_entries (tenant_id, xid, actor_kind, action, resource_kind, resource_id, outcome)
         values (gen_random_uuid(), '1', 'system', 'a', 'b', 'c', 'ok')",
        "insert into audit_entries (tenant_id, seq, actor_kind, action, resource_kind, resource_id, outcome)
         overriding system value
         values (gen_random_uuid(), 1, 'system', 'a', 'b', 'c', 'ok')",
        "update audit_seals set root = hash",
        "delete from audit_seals",
        "truncate audit_seals",
        "set local session_replication_role = replica",
        "create table public.mine ()",
        "update _sqlx_migrations set success = false",
        "create or replace function refuse_change() returns trigger language plpgsql as 'begin return old; end'",
    ] {
        let refused = refusal(&mut conn, &[&become_app, forbidden]).await;
        assert_eq!(
            refused.as_deref(),
            Some(INSUFFICIENT_PRIVILEGE),
            "{forbidden}"
        );
    }
    for allowed in [
        "insert into audit_entries (tenant_id, actor_kind, action, resource_kind, resource_id, outcome)
         values (gen_random_uuid(), 'system', 'a', 'b', 'c', 'ok')",
        "select count(*) from audit_entries",
        "select count(*) from _sqlx_migrations",
        "delete from login_failures",
        "update sessions set last_used_at = now()",
        "insert into tenants (id, slug) values (gen_random_uuid(), 'x')",
    ] {
        assert_eq!(refusal(&mut conn, &[&become_app, allowed]).await, None, "{allowed}");
    }
    drop(conn);
    drop_role(&db, &role).await;
}

#[tokio::test]
async fn id_of_an_entry_is_made_of_its_time_and_place_whatever_its_writer_gives() {
    let db = TestDb::new().await;
    let mut conn = db.pool().acquire().await.unwrap();
    // The application has no right to give one; the owner of the tables has.
    let forged = "insert into audit_entries (tenant_id, id, actor_kind, action, resource_kind, resource_id, outcome)
        select gen_random_uuid(), '00000000-0000-7000-8000-000000000001', 'system', 'a', 'b', 'c', 'ok'
        from generate_series(1, 3);
        insert into audit_batches (tenant_id, id, worker_id, entries, job_ids, attempts)
        values (gen_random_uuid(), '00000000-0000-7000-8000-000000000001', gen_random_uuid(), 2,
            array[gen_random_uuid(), gen_random_uuid()], array[1, 1])";
    run(&mut conn, forged).await.unwrap();
    let log: Vec<(Uuid, DateTime<Utc>, i64)> = sqlx::query_scalar(
        "select jsonb_build_array(id, at, seq) from audit_log where action in ('a', 'job.succeeded') order by id",
    )
    .fetch_all(&mut *conn)
    .await
    .unwrap()
    .into_iter()
    .map(|Json(row)| row)
    .collect();
    assert_eq!(log.len(), 5);
    assert!(log.is_sorted_by_key(|(.., seq)| *seq), "{log:?}");
    for (id, at, seq) in &log {
        assert_eq!(id.get_version_num(), 7);
        let millis = id.as_u64_pair().0 >> 16;
        assert_eq!(i64::try_from(millis).unwrap(), at.timestamp_millis());
        let place = id.as_u64_pair().1 & 0x3fff_ffff_ffff_ffff;
        let entries = (*seq < 1 << 62).then_some(seq.cast_unsigned());
        assert!(entries.is_none_or(|seq| place == seq), "{id} {seq}");
    }
    // A row of another transaction, as a dump that is restored has it.
    let restored = "insert into audit_entries overriding system value
        select gen_random_uuid(), xid, seq, '00000000-0000-7000-8000-000000000001', at, actor_kind, actor_id, session_id, action,
            resource_kind, resource_id, request_id, trace_id, job_id, attempt, outcome, dry_run, error_code, detail
        from audit_entries limit 1";
    run(&mut conn, restored).await.unwrap();
    drop(conn);
    let kept =
        "select count(*) from audit_entries where id = '00000000-0000-7000-8000-000000000001'";
    assert_eq!(db.one::<i64>(kept).await, 1, "its id is sealed");
}

#[tokio::test]
async fn granting_again_takes_away_what_was_too_much() {
    let db = TestDb::new().await;
    let role = application_role(&db).await;
    db.execute(&format!(
        "grant all on all tables in schema public to {role}"
    ))
    .await;
    grant(db.pool(), &role).await.unwrap();
    let may: bool = sqlx::query_scalar(
        "select has_table_privilege($1, 'audit_entries', 'update, delete, truncate')",
    )
    .bind(role.to_string())
    .fetch_one(db.pool())
    .await
    .unwrap();
    assert!(!may);
    drop_role(&db, &role).await;
}

#[tokio::test]
async fn nothing_is_granted_to_who_is_above_grants_or_not_there() {
    let db = TestDb::new().await;
    let owner: String = db.one("select current_user::text").await;
    let refused = grant(db.pool(), &owner.parse().unwrap()).await;
    assert!(matches!(refused, Err(GrantError::AboveGrants(_))));
    let refused = grant(db.pool(), &"nobody_has_this_name".parse().unwrap()).await;
    assert!(matches!(refused, Err(GrantError::NoSuchRole(_))));
}

#[tokio::test]
async fn entries_are_read_in_the_order_they_were_written_page_by_page() {
    let db = TestDb::new().await;
    let (tenant, other) = (TenantId::new(), TenantId::new());
    let job = JobId::new();
    let batch: Vec<NewAuditEntry> = (0..7)
        .map(|attempt| {
            NewAuditEntry::new(
                tenant,
                Actor::Worker(WorkerId::new()),
                AuditAction::JobInterrupted,
                ResourceKind::Job,
                job,
            )
            .with_request(Some("req-1"))
            .with_attempt(job, attempt)
            .with_detail(Detail::new().count("n", attempt))
        })
        .collect();
    write(&db, &batch).await;
    write(&db, &[entry(other, "req-1"), entry(tenant, "req-2")]).await;
    let mut conn = db.pool().acquire().await.unwrap();
    let (mut read, mut after): (Vec<AuditEntry>, _) = (Vec::new(), None);
    loop {
        let page = audit::by_request_id(&mut conn, tenant, "req-1", after, 3)
            .await
            .unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        read.extend(page);
    }
    let attempts: Vec<_> = read.iter().map(|e| e.attempt.unwrap()).collect();
    assert_eq!(attempts, [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(read[3].job_id, Some(job.0));
    assert_eq!(read[3].detail, serde_json::json!({ "n": 3 }));
    for (tenant, count) in [(tenant, 8), (other, 1)] {
        eventually(SOON, async || {
            let found = audit::list(&mut conn, tenant, Position::START, 100)
                .await
                .unwrap();
            if found.len() == count {
                Ok(())
            } else {
                Err(format!("{} of {count}", found.len()))
            }
        })
        .await;
    }
}

#[tokio::test]
async fn entry_falls_with_the_change_it_describes() {
    let acme = TestTenant::open().await;
    let before: i64 = acme.db.one("select count(*) from audit_entries").await;
    // As when the audit log cannot be written: then nothing happens unrecorded.
    acme.db
        .execute("alter table audit_entries add constraint is_full check (id is null) not valid")
        .await;
    let mut tx = acme.db.pool().begin().await.unwrap();
    let new = jobs::commands::sessions::open::NewSession {
        tenant: acme.owner.tenant,
        user: acme.owner.user,
        role: acme.owner.role().unwrap(),
        auth_method: jobs::domain::session::AuthMethod::Password,
        lifetime: crate::support::people::LIFETIME,
        origin: acme.origin.clone(),
    };
    assert!(
        jobs::commands::sessions::open_session(&mut tx, &new)
            .await
            .is_err()
    );
    drop(tx);
    assert_eq!(acme.db.one::<i64>("select count(*) from sessions").await, 1);
    assert_eq!(
        acme.db
            .one::<i64>("select count(*) from audit_entries")
            .await,
        before
    );
}
