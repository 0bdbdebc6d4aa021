//! Callers of the enqueuer share a commit: each gets its own result after it, and an invalid job fails alone.

use super::*;
use crate::support::{eventually, wait::SOON};
use base::db::PoolConfig;
use queue::{enqueue::enqueuer::Enqueuer, signals::notifier::Notifier};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// An enqueuer, and how to stop it.
struct Started {
    enqueuer: Enqueuer,
    tracker: TaskTracker,
    stop: CancellationToken,
}

async fn start(db: &TestDb) -> Started {
    let config = PoolConfig {
        max_connections: 4,
        acquire_timeout: Duration::from_secs(5),
        statement_timeout: Duration::from_secs(5),
        ..PoolConfig::new(db.url(), "postroom-test")
    };
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let pool = base::db::connect(&config).await.unwrap();
    let notifier = Notifier::spawn(pool.clone(), &tracker, stop.clone());
    let enqueuer = Enqueuer::spawn(&config, pool, notifier, &tracker, &stop)
        .await
        .unwrap();
    Started {
        enqueuer,
        tracker,
        stop,
    }
}

async fn enqueue_all(enqueuer: &Enqueuer, jobs: &[NewJob]) -> Vec<Result<Enqueued, EnqueueError>> {
    futures::future::join_all(jobs.iter().map(|job| enqueuer.enqueue(job.clone()))).await
}

fn named(tenant: TenantId, id: &str, fingerprint: u8) -> NewJob {
    NewJob {
        external: Some(ExternalId {
            id: id.into(),
            fingerprint: [fingerprint; 32],
        }),
        ..new_job(tenant)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_callers_share_commits_and_each_gets_its_own_result() {
    let db = TestDb::new().await;
    let Started { enqueuer, .. } = start(&db).await;
    let tenant = TenantId::new();
    let jobs: Vec<NewJob> = (0..500).map(|_| new_job(tenant)).collect();
    let answers = enqueue_all(&enqueuer, &jobs).await;
    for (job, answer) in jobs.iter().zip(answers) {
        assert_eq!(answer.unwrap(), Enqueued::Inserted(job.id));
    }
    let commits = db
        .one::<i64>("select count(distinct xmin::text) from jobs")
        .await;
    assert!((1..100).contains(&commits), "{commits} transactions");
    assert_eq!(db.one::<i64>("select count(*) from jobs").await, 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn result_is_not_returned_before_the_commit() {
    let db = TestDb::new().await;
    let Started { enqueuer, .. } = start(&db).await;
    // A deferred constraint fails the commit: a result from before it would be a success.
    db.execute(
        "create function refuse_commit() returns trigger language plpgsql as
             $$ begin raise exception 'no commit' using errcode = 'check_violation'; end $$;
         create constraint trigger refuse_commit after insert on jobs deferrable initially deferred
             for each row execute function refuse_commit()",
    )
    .await;
    let tenant = TenantId::new();
    let jobs = [
        new_job(tenant),
        named(tenant, "a", 1),
        named(tenant, "b", 1),
    ];
    for answer in enqueue_all(&enqueuer, &jobs).await {
        assert!(
            matches!(
                answer,
                Err(EnqueueError::Database(_) | EnqueueError::Batch(_))
            ),
            "{answer:?}"
        );
    }
    assert_eq!(db.one::<i64>("select count(*) from jobs").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn job_that_the_database_refuses_fails_alone() {
    let db = TestDb::new().await;
    let Started { enqueuer, .. } = start(&db).await;
    let tenant = TenantId::new();
    for keyed in [false, true] {
        let jobs: Vec<NewJob> = (0..100)
            .map(|n| {
                let mut job = if keyed {
                    named(tenant, &format!("{n}"), 1)
                } else {
                    new_job(tenant)
                };
                match n {
                    // jsonb cannot hold it.
                    17 => job.args = json!({ "text": "\u{0}" }),
                    // A check of the table refuses it.
                    60 => job.max_attempts = 0,
                    _ => {}
                }
                job
            })
            .collect();
        for (n, answer) in enqueue_all(&enqueuer, &jobs).await.into_iter().enumerate() {
            match n {
                17 | 60 => assert!(
                    matches!(answer, Err(EnqueueError::Database(_))),
                    "{n}: {answer:?}"
                ),
                _ => assert_eq!(answer.unwrap(), Enqueued::Inserted(jobs[n].id), "{n}"),
            }
        }
    }
    assert_eq!(db.one::<i64>("select count(*) from jobs").await, 2 * 98);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_enqueues_of_one_external_id_make_one_job_and_a_conflict_fails_alone() {
    let db = TestDb::new().await;
    let Started { enqueuer, .. } = start(&db).await;
    let tenant = TenantId::new();
    let mut jobs: Vec<NewJob> = (0..60).map(|n| named(tenant, "one", n % 2)).collect();
    jobs.extend((0..60).map(|_| new_job(tenant)));
    let answers = enqueue_all(&enqueuer, &jobs).await;
    let inserted = |answer: &&Result<Enqueued, _>| matches!(answer, Ok(Enqueued::Inserted(_)));
    let (shared, own) = answers.split_at(60);
    assert_eq!(shared.iter().filter(inserted).count(), 1);
    let conflicts = shared
        .iter()
        .filter(|answer| matches!(answer, Err(EnqueueError::KeyReused { .. })));
    assert_eq!(conflicts.count(), 30);
    assert_eq!(own.iter().filter(inserted).count(), 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dropped_callers_do_not_affect_the_jobs_of_others() {
    let db = TestDb::new().await;
    let Started {
        enqueuer,
        tracker,
        stop,
    } = start(&db).await;
    let tenant = TenantId::new();
    let mut staying = Vec::new();
    for n in 0..400 {
        let (enqueuer, job) = (enqueuer.clone(), new_job(tenant));
        let caller = tokio::spawn(async move { enqueuer.enqueue(job).await });
        if n % 4 == 0 {
            staying.push(caller);
        } else {
            tokio::task::yield_now().await;
            caller.abort();
        }
    }
    let mut acknowledged = Vec::new();
    for caller in staying {
        let Enqueued::Inserted(id) = caller.await.unwrap().unwrap() else {
            panic!("a job without external id is always new")
        };
        acknowledged.push(id.0.to_string());
    }
    // Stopping waits for the jobs that were submitted.
    drop(enqueuer);
    stop.cancel();
    tracker.close();
    eventually(SOON, async || {
        let left = tracker.len();
        (left == 0)
            .then_some(())
            .ok_or_else(|| format!("{left} tasks go on"))
    })
    .await;
    let kept = take_all_ids(&db).await;
    assert!(acknowledged.iter().all(|id| kept.contains(id)));
}

async fn take_all_ids(db: &TestDb) -> HashSet<String> {
    let ids: String = db
        .one("select coalesce(string_agg(id::text, ','), '') from jobs")
        .await;
    ids.split(',').map(str::to_owned).collect()
}
