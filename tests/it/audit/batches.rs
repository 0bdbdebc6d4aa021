//! Successes that were settled together are one row for each tenant, and readers of the log get one entry for each job.

use super::{entry, proof, refusal, write};
use crate::support::{TestDb, caller::admin, eventually, wait::SOON};
use base::{JobId, TenantId, WorkerId};
use chrono::DateTime;
use jobs::{
    commands::{
        audit::verify::{VerifyError, verify},
        jobs::AuditRecorder,
    },
    store::audit::{self, AuditEntry, Position},
};
use queue::{Job, Lease, TupleId};
use serde_json::json;
use sqlx::PgConnection;
use std::collections::HashSet;
use uuid::Uuid;

/// Jobs that the worker has claimed, with these numbers as their attempts.
async fn claimed(
    conn: &mut PgConnection,
    tenant: TenantId,
    worker: WorkerId,
    attempts: std::ops::Range<i32>,
) -> Vec<Job> {
    let mut jobs: Vec<Job> = attempts
        .map(|attempt| Job {
            lease: Lease {
                tenant,
                job: JobId::new(),
                attempt,
                worker,
            },
            place: TupleId::default(),
            kind: "audit.kind".to_owned(),
            queue: "audit".to_owned(),
            priority: 3,
            args: json!(1),
            parent: None,
            children: 0,
            errors: 0,
            crashes: 0,
            max_attempts: 5,
            run_at: DateTime::UNIX_EPOCH,
            created_at: DateTime::UNIX_EPOCH,
            started_at: DateTime::UNIX_EPOCH,
            request_id: (attempt % 2 == 0).then(|| format!("req-of-attempt-{attempt}")),
            traceparent: None,
        })
        .collect();
    let column = |get: fn(&Job) -> Uuid| jobs.iter().map(get).collect::<Vec<_>>();
    let inserted: Vec<Uuid> = sqlx::query_scalar(
        "insert into jobs (id, tenant_id, kind, queue, state, priority, run_at, max_attempts, args, attempt, worker_id,
             lease_until, started_at)
         select id, $2, 'audit.kind', 'audit', 'running', 3, now(), 5, '1', attempt, $3, now() + interval '1 hour', now()
         from unnest($1::uuid[], $4::int[]) as claimed (id, attempt)
         returning id",
    )
    .bind(column(|job| job.lease.job.0))
    .bind(tenant.0)
    .bind(worker.0)
    .bind(jobs.iter().map(|job| job.lease.attempt).collect::<Vec<_>>())
    .fetch_all(conn)
    .await
    .expect("insert the claimed jobs");
    assert_eq!(inserted.len(), jobs.len());
    jobs.sort_by_key(|job| job.lease.attempt);
    jobs
}

/// Settles the jobs as succeeded, together, and returns those that were not settled.
async fn settle(conn: &mut PgConnection, jobs: &[Job]) -> HashSet<JobId> {
    let recorder = AuditRecorder::shared().expect("the log has a recorder");
    let output = json!("done");
    let succeeded: Vec<_> = jobs.iter().map(|job| (job, &output)).collect();
    let unsettled = recorder.settle_succeeded(conn, &succeeded).await;
    unsettled.expect("settle the jobs")
}

/// A tenant whose log has 2 entries, a batch of 5, 1 entry, a batch of 3 and one of 2 in the same transaction, and another
/// tenant's in between: 13 entries in the order of their attempts.
async fn written() -> (TestDb, TenantId) {
    let db = TestDb::new().await;
    let (tenant, other, worker) = (TenantId::new(), TenantId::new(), WorkerId::new());
    for (id, slug) in [(tenant, "acme"), (other, "other")] {
        db.execute(&format!(
            "insert into tenants (id, slug) values ('{id}', '{slug}')"
        ))
        .await;
    }
    let plain = |attempt| entry(tenant, "req-plain").with_attempt(JobId::new(), attempt);
    write(&db, &[plain(0), plain(1)]).await;
    let mut conn = db.pool().acquire().await.unwrap();
    let mixed = [
        claimed(&mut conn, tenant, worker, 2..7).await,
        claimed(&mut conn, other, worker, 0..4).await,
    ]
    .concat();
    settle(&mut conn, &mixed).await;
    write(&db, &[plain(7)]).await;
    let first = claimed(&mut conn, tenant, worker, 8..11).await;
    let second = claimed(&mut conn, tenant, worker, 11..13).await;
    let mut tx = db.pool().begin().await.unwrap();
    settle(&mut tx, &first).await;
    settle(&mut tx, &second).await;
    tx.commit().await.unwrap();
    (db, tenant)
}

/// Reads the whole log of the tenant in pages.
async fn pages(db: &TestDb, tenant: TenantId, limit: i64) -> Vec<AuditEntry> {
    let mut conn = db.pool().acquire().await.unwrap();
    let (mut read, mut after) = (Vec::new(), Position::START);
    eventually(SOON, async || {
        let page = audit::list(&mut conn, tenant, after, limit).await.unwrap();
        after = page.last().map_or(after, AuditEntry::position);
        read.extend(page);
        if read.len() >= 13 {
            Ok(())
        } else {
            Err(format!("{} entries", read.len()))
        }
    })
    .await;
    assert!(
        audit::list(&mut conn, tenant, after, limit)
            .await
            .unwrap()
            .is_empty()
    );
    read
}

#[tokio::test]
async fn batch_is_one_row_for_each_tenant() {
    let (db, _) = written().await;
    let rows: i64 = db.one("select count(*) from audit_batches").await;
    assert_eq!(rows, 4);
    let finished: i64 = db
        .one("select count(*) from finished_jobs where state = 'succeeded' and output = '\"done\"'")
        .await;
    assert_eq!(finished, 14);
}

#[tokio::test]
async fn attempt_whose_lease_was_lost_is_neither_settled_nor_recorded() {
    let db = TestDb::new().await;
    let (tenant, worker) = (TenantId::new(), WorkerId::new());
    let mut conn = db.pool().acquire().await.unwrap();
    let mut jobs = claimed(&mut conn, tenant, worker, 1..5).await;
    jobs[1].lease.attempt -= 1;
    jobs[3].lease.worker = WorkerId::new();
    let lost = HashSet::from([jobs[1].lease.job, jobs[3].lease.job]);
    assert_eq!(settle(&mut conn, &jobs).await, lost);
    let recorded: Vec<Uuid> = db.one("select job_ids from audit_batches").await;
    assert_eq!(recorded, [jobs[0].lease.job.0, jobs[2].lease.job.0]);
    // A reply that was lost: the same batch again.
    assert_eq!(settle(&mut conn, &jobs).await.len(), 4);
    let rows: i64 = db.one("select count(*) from audit_batches").await;
    assert_eq!(rows, 1);
}

#[tokio::test]
async fn log_is_read_in_the_order_of_commits_whatever_page_ends_inside_a_batch() {
    let (db, tenant) = written().await;
    let all = pages(&db, tenant, 100).await;
    let attempts: Vec<i32> = all.iter().map(|entry| entry.attempt.unwrap()).collect();
    assert_eq!(attempts, (0..13).collect::<Vec<_>>());
    for limit in 1..8 {
        let read = pages(&db, tenant, limit).await;
        let ids = |entries: &[AuditEntry]| entries.iter().map(|entry| entry.id).collect::<Vec<_>>();
        assert_eq!(ids(&read), ids(&all), "in pages of {limit}");
    }
    let one = &all[4];
    assert_eq!(
        (
            one.action.as_str(),
            one.outcome.as_str(),
            one.actor_kind.as_str()
        ),
        ("job.succeeded", "ok", "worker")
    );
    assert_eq!(
        one.job_id.map(|id| id.to_string()),
        Some(one.resource_id.clone())
    );
    assert_eq!(one.request_id.as_deref(), Some("req-of-attempt-4"));
    assert_eq!(all[5].request_id, None);
}

#[tokio::test]
async fn view_shows_every_entry_once_and_as_it_is_listed() {
    let (db, tenant) = written().await;
    let shown: Vec<String> = sqlx::query_scalar(
        "select concat_ws(' ', id, coalesce(resource_id, job_id::text), attempt, xid, seq) from audit_log
         where tenant_id = $1 order by xid, seq",
    )
    .bind(tenant.0)
    .fetch_all(db.pool())
    .await
    .unwrap();
    let listed: Vec<String> = pages(&db, tenant, 100)
        .await
        .iter()
        .map(|entry| {
            let attempt = entry.attempt.unwrap();
            format!(
                "{} {} {attempt} {} {}",
                entry.id, entry.resource_id, entry.xid, entry.seq
            )
        })
        .collect();
    assert_eq!(shown, listed);
}

#[tokio::test]
async fn success_in_a_batch_is_found_by_its_request_and_no_other_is() {
    let (db, tenant) = written().await;
    let mut conn = db.pool().acquire().await.unwrap();
    let found = audit::by_request_id(&mut conn, tenant, "req-of-attempt-4", None, 10)
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].attempt, Some(4));
    let behind = audit::by_request_id(&mut conn, tenant, "req-of-attempt-4", Some(found[0].id), 10)
        .await
        .unwrap();
    assert!(behind.is_empty());
    let of_other = audit::by_request_id(&mut conn, TenantId::new(), "req-of-attempt-4", None, 10)
        .await
        .unwrap();
    assert!(of_other.is_empty());
}

#[tokio::test]
async fn seal_covers_every_entry_of_a_batch_and_every_change_of_one_is_found() {
    let first = "(select seq from audit_batches where entries = 5)";
    let changes = [
        format!("update audit_batches set attempts[2] = 99 where seq = {first}"),
        format!(
            "update audit_batches set attempts[1:2] = array[attempts[2], attempts[1]],
                 job_ids[1:2] = array[job_ids[2], job_ids[1]] where seq = {first}"
        ),
        format!(
            "update audit_batches set entries = 4, job_ids = job_ids[:4], attempts = attempts[:4],
                 request_ids = request_ids[:4], request_hashes = request_hashes[:4] where seq = {first}"
        ),
        format!("update audit_batches set at = at - interval '1 day' where seq = {first}"),
        // They are in no entry, but a look-up by request id goes by them.
        format!("update audit_batches set request_hashes[3] = 0 where seq = {first}"),
        format!("delete from audit_batches where seq = {first}"),
    ];
    for change in changes {
        let (db, _) = written().await;
        // The other tenant's entries are sealed too.
        let head = proof::seal_all(&db, 17).await;
        let verified = verify(db.pool(), Some(head)).await.unwrap();
        assert_eq!(verified.entries, 17);
        proof::forge(&db, &change).await;
        let fault = verify(db.pool(), None).await.unwrap_err();
        assert!(matches!(fault, VerifyError::Fault(_)), "{change}: {fault}");
    }
}

#[tokio::test]
async fn seal_may_end_inside_a_batch() {
    let db = TestDb::new().await;
    let (tenant, worker) = (TenantId::new(), WorkerId::new());
    db.execute(&format!(
        "insert into tenants (id, slug) values ('{tenant}', 'acme')"
    ))
    .await;
    let mut conn = db.pool().acquire().await.unwrap();
    for _ in 0..3 {
        let jobs = claimed(&mut conn, tenant, worker, 0..700).await;
        settle(&mut conn, &jobs).await;
    }
    // No transaction of another test holds them back any more.
    eventually(SOON, async || {
        let found = audit::list(&mut conn, tenant, Position::START, 3000)
            .await
            .unwrap();
        if found.len() == 2100 {
            Ok(())
        } else {
            Err(format!("{} entries", found.len()))
        }
    })
    .await;
    let head = proof::seal_all(&db, 2100).await;
    let seals: Vec<i32> = sqlx::query_scalar("select entries from audit_seals order by position")
        .fetch_all(db.pool())
        .await
        .unwrap();
    assert_eq!(seals, [1000, 1000, 100]);
    assert_eq!(verify(db.pool(), Some(head)).await.unwrap().entries, 2100);
    let export = admin(&db.url(), &["audit", "export", "--tenant", "acme"]).await;
    let lines: Vec<String> = export.stdout.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2100 + 3);
    let printed = proof::verify_offline(&lines, Some(head)).unwrap();
    assert!(printed.starts_with("2100 "), "{printed}");
}

#[tokio::test]
async fn place_of_a_batch_is_set_by_the_database() {
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    let (db, _) = written().await;
    let role = super::application_role(&db).await;
    let become_app = format!("set local role {role}");
    let mut conn = db.pool().acquire().await.unwrap();
    for (column, value) in [
        ("id", "gen_random_uuid()"),
        ("xid", "'1'"),
        ("seq", "1"),
        ("at", "now() - interval '1 day'"),
    ] {
        let forbidden = format!(
            "insert into audit_batches (tenant_id, worker_id, entries, job_ids, attempts, {column})
             overriding system value
             values (gen_random_uuid(), gen_random_uuid(), 1, array[gen_random_uuid()], array[1], {value})"
        );
        let refused = refusal(&mut conn, &[&become_app, &forbidden]).await;
        assert_eq!(refused.as_deref(), Some(INSUFFICIENT_PRIVILEGE), "{column}");
    }
    for allowed in [
        "insert into audit_batches (tenant_id, worker_id, entries, job_ids, attempts)
         values (gen_random_uuid(), gen_random_uuid(), 1, array[gen_random_uuid()], array[1])",
        "select count(*) from audit_log",
    ] {
        assert_eq!(
            refusal(&mut conn, &[&become_app, allowed]).await,
            None,
            "{allowed}"
        );
    }
    drop(conn);
    super::drop_role(&db, &role).await;
}
