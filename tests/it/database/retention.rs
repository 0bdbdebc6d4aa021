//! Retention keeps up with any backlog, and a metric says when it does not.

use crate::support::{
    TestDb, eventually,
    system::{Worker, metric},
    wait::SOON,
};
use queue::operate::{
    duties,
    retention::{Backlog, FinishedJobs, walk},
};
use std::time::{Duration, Instant};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Finished jobs that ended 40 days ago, and one that ended now.
async fn backlog(db: &TestDb, jobs: u32) {
    db.execute(&format!(
        "insert into finished_jobs (id, tenant_id, kind, queue, state, priority, attempt, errors, crashes, max_attempts,
             args, run_at, created_at, finished_at, output)
         select gen_random_uuid(), '00000000-0000-0000-0000-000000000001', 'k', 'q', 'succeeded', 3, 1, 0, 0, 3,
             '{{}}', now(), now(), now() - interval '40 days' + n * interval '1 ms', '{{}}'
         from generate_series(1, {jobs}) n;
         insert into finished_jobs select (f).* from (
             select f from finished_jobs f limit 1) one
         on conflict do nothing;
         update finished_jobs set finished_at = now() where id = (select id from finished_jobs limit 1);
         analyze finished_jobs"
    ))
    .await;
}

#[tokio::test]
async fn backlog_is_deleted_at_thousands_a_second_and_nothing_else() {
    let db = TestDb::new().await;
    backlog(&db, 50_000).await;
    let started = Instant::now();
    let deleted = db.prune_finished(30 * DAY).await;
    let took = started.elapsed();
    assert_eq!(deleted, 49_999);
    assert_eq!(db.one::<i64>("select count(*) from finished_jobs").await, 1);
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert_eq!(db.prune_finished(30 * DAY).await, 0);
}

#[tokio::test]
async fn run_that_leaves_a_backlog_is_due_again_soon_and_tells_since_when_it_is_behind() {
    let db = TestDb::new().await;
    backlog(&db, 20_000).await;
    let table = FinishedJobs {
        pool: db.pool(),
        keep: 30 * DAY,
    };
    let pruned = walk::prune(&table, Duration::ZERO, &walk::WalkPosition::default())
        .await
        .unwrap();
    assert_eq!(pruned.backlog, Backlog::Some);

    db.execute("insert into maintenance_duties (name, due_at) values ('prune_jobs', now() + interval '5 minutes')")
        .await;
    duties::hurry(db.pool(), "prune_jobs", Duration::from_secs(1))
        .await
        .unwrap();
    let soon = "select due_at < now() + interval '5 seconds' from maintenance_duties";
    assert!(db.one::<bool>(soon).await);
    db.execute("update maintenance_duties set caught_up_at = now() - interval '1 hour'")
        .await;
    let lag = duties::retention_lag(db.pool()).await.unwrap();
    assert!((2990.0..3010.0).contains(&lag[0].seconds), "{lag:?}");
    duties::caught_up(db.pool(), "prune_jobs").await.unwrap();
    let lag = duties::retention_lag(db.pool()).await.unwrap();
    assert!(lag[0].seconds < 0.1, "{lag:?}");
}

#[tokio::test]
async fn worker_deletes_what_is_old_in_every_table_and_exports_how_far_behind_it_is() {
    let db = TestDb::new().await;
    backlog(&db, 5000).await;
    db.execute(
        "insert into llm_calls (tenant_id, id, job_id, attempt, step, provider, model, prompt_version, prompt_sha256,
             prompt_bytes, response_bytes, input_tokens, output_tokens, cached_tokens, tries, duration_ms, outcome, kind, billing,
             reserved_tokens, created_at)
         select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, 's', 'p', 'm', 'v', sha256('x'), 1, 1, 1, 1, 0, 1,
             1, 'ok', 'k', 'settled', 0, now() - n * interval '100 days' from generate_series(0, 1) n;
         insert into login_failures (subject, at) values (sha256('a'), now() - interval '2 days'), (sha256('a'), now());
         insert into llm_checkpoints (tenant_id, job_id, step, request_hash, completion, created_at)
         select gen_random_uuid(), gen_random_uuid(), 's', sha256('x'), '{}', now() - n * interval '4 days'
         from generate_series(0, 1) n;
         insert into tenants (id, slug) values ('00000000-0000-0000-0000-000000000001'::uuid, 'mailbox');
         insert into users (tenant_id, id, email, role, password_hash)
         values ('00000000-0000-0000-0000-000000000001'::uuid, md5('u')::uuid, 'u@acme.example', 'owner', 'no password opens this');
         insert into connections (tenant_id, id, user_id, provider, address, settings, secret, key_id, status)
         values ('00000000-0000-0000-0000-000000000001'::uuid, md5('c')::uuid, md5('u')::uuid, 'imap_smtp', 'u@acme.example', '{}', '', 'k1', 'revoked');
         insert into fetched_emails (tenant_id, connection_id, content_hash, message_id, fetched_at)
         select '00000000-0000-0000-0000-000000000001'::uuid, md5('c')::uuid, sha256(n::text::bytea), gen_random_uuid(), now() - n * interval '89 days'
         from generate_series(1, 2) n;
         insert into backfills (tenant_id, job_id, uid_validity, last_uid, emails, enqueued, skipped)
         select '00000000-0000-0000-0000-000000000001'::uuid, gen_random_uuid(), 1, 1, 1, 1, 0 from generate_series(1, 3);
         insert into backfills (tenant_id, job_id, uid_validity, last_uid, emails, enqueued, skipped)
         select '00000000-0000-0000-0000-000000000001'::uuid, id, 1, 1, 1, 1, 0 from finished_jobs order by finished_at desc limit 1;
         insert into queue_samples (queue, state, jobs, sampled_at) values ('gone', 'running', 1, now() - interval '2 days')",
    )
    .await;
    let worker = Worker::spawn_with(
        &db,
        &[
            ("LLM_TESTING_MODE", "true"),
            ("LLM_CALL_RETENTION_DAYS", "90"),
            ("FETCHED_EMAIL_RETENTION_DAYS", "90"),
        ],
    )
    .await;
    for table in [
        "finished_jobs",
        "llm_calls",
        "login_failures",
        "llm_checkpoints",
        "fetched_emails",
        "backfills",
    ] {
        eventually(SOON, async || {
            let rows: i64 =
                sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {table}")))
                    .fetch_one(db.pool())
                    .await
                    .unwrap();
            if rows == 1 {
                Ok(())
            } else {
                Err(format!("{table} has {rows} rows"))
            }
        })
        .await;
    }
    assert_eq!(
        db.one::<i64>("select count(*) from queue_samples where queue = 'gone'")
            .await,
        0
    );
    let text = crate::support::system::metrics(worker.ops).await;
    assert!(
        text.contains(r#"postroom_retention_behind_seconds{duty="prune_jobs"} 0"#),
        "{text}"
    );
    assert!(
        metric(
            worker.ops,
            "postroom_queue_sample_age_seconds",
            &[("queue", "triage")]
        )
        .await
            >= 0.0
    );
}
