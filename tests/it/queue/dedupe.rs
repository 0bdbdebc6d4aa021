//! At most one job per dedupe key waits, in every order of enqueues and returns, and when they are concurrent.

use super::*;
use queue::{
    Dedupe,
    DedupePolicy::{self, KeepWaiting},
    Replaced,
    run::cancel::requested,
};

const REPLACE: DedupePolicy = DedupePolicy::Replace {
    cancel_running: false,
};
const REPLACE_AND_CANCEL: DedupePolicy = DedupePolicy::Replace {
    cancel_running: true,
};

fn keyed(tenant: TenantId, policy: DedupePolicy) -> NewJob {
    named(tenant, "inbox", policy)
}

fn named(tenant: TenantId, key: &str, policy: DedupePolicy) -> NewJob {
    NewJob {
        dedupe: Some(Dedupe {
            key: key.into(),
            policy,
        }),
        ..new_job(tenant)
    }
}

fn replacing(job: &NewJob, superseded: Option<&NewJob>, cancel_requested: &[&NewJob]) -> Enqueued {
    Enqueued::Replacing {
        job: job.id,
        replaced: Replaced {
            superseded: superseded.map(|job| job.id),
            cancel_requested: cancel_requested.iter().map(|job| job.id).collect(),
        },
    }
}

async fn assert_superseded(db: &TestDb, job: &NewJob) {
    let seen = view(db, job).await;
    assert_eq!(seen.state, JobState::Cancelled);
    assert_eq!(seen.error.unwrap().code, "superseded");
}

async fn waiting(db: &TestDb) -> i64 {
    db.one("select count(*) from jobs where state <> 'running'")
        .await
}

#[tokio::test]
async fn new_job_is_not_inserted_while_another_waits() {
    let db = TestDb::new().await;
    let tenant = TenantId::new();
    let (first, second) = (keyed(tenant, KeepWaiting), keyed(tenant, KeepWaiting));
    assert_eq!(
        put(&db, &first).await.unwrap(),
        Enqueued::Inserted(first.id)
    );
    assert_eq!(
        put(&db, &second).await.unwrap(),
        Enqueued::Existing(first.id)
    );
    let others = [
        named(tenant, "outbox", KeepWaiting),
        keyed(TenantId::new(), KeepWaiting),
        NewJob {
            kind: "test.other",
            ..keyed(tenant, KeepWaiting)
        },
    ];
    for other in &others {
        assert_eq!(put(&db, other).await.unwrap(), Enqueued::Inserted(other.id));
    }
}

#[tokio::test]
async fn running_job_does_not_count_as_waiting() {
    let db = TestDb::new().await;
    let tenant = TenantId::new();
    let (first, second) = (keyed(tenant, KeepWaiting), keyed(tenant, KeepWaiting));
    put(&db, &first).await.unwrap();
    let lease = take(&db, 1).await[0].lease;
    assert_eq!(
        put(&db, &second).await.unwrap(),
        Enqueued::Inserted(second.id)
    );
    end(&db, lease, &succeeded()).await.unwrap();
    assert_eq!(take(&db, 10).await[0].lease.job, second.id);
}

#[tokio::test]
async fn newer_job_replaces_the_waiting_one() {
    let db = TestDb::new().await;
    let tenant = TenantId::new();
    let (older, newer) = (keyed(tenant, KeepWaiting), keyed(tenant, REPLACE));
    put(&db, &older).await.unwrap();
    assert_eq!(
        put(&db, &newer).await.unwrap(),
        replacing(&newer, Some(&older), &[])
    );
    assert_superseded(&db, &older).await;
    assert_eq!(view(&db, &newer).await.state, JobState::Available);
    assert_eq!(take(&db, 10).await.len(), 1);
}

#[tokio::test]
async fn cancellation_of_a_running_job_is_requested_only_by_policy_and_only_once() {
    let db = TestDb::new().await;
    let tenant = TenantId::new();
    let running = keyed(tenant, KeepWaiting);
    put(&db, &running).await.unwrap();
    let lease = take(&db, 1).await[0].lease;
    let second = keyed(tenant, REPLACE);
    put(&db, &second).await.unwrap();
    assert!(
        requested(db.pool(), lease.worker).await.unwrap().is_empty(),
        "nobody asked for it"
    );
    let third = keyed(tenant, REPLACE_AND_CANCEL);
    assert_eq!(
        put(&db, &third).await.unwrap(),
        replacing(&third, Some(&second), &[&running])
    );
    assert_eq!(
        requested(db.pool(), lease.worker).await.unwrap(),
        [running.id]
    );
    let fourth = keyed(tenant, REPLACE_AND_CANCEL);
    assert_eq!(
        put(&db, &fourth).await.unwrap(),
        replacing(&fourth, Some(&third), &[])
    );
    let recorded: i64 = db
        .one("select count(*) from job_events where kind = 'cancel_requested'")
        .await;
    assert_eq!(recorded, 1, "the request is in the job's log once");
}

#[tokio::test]
async fn one_job_of_many_concurrent_ones_waits() {
    for policy in [KeepWaiting, REPLACE, REPLACE_AND_CANCEL] {
        let db = TestDb::new().await;
        let tenant = TenantId::new();
        let jobs: Vec<NewJob> = (0..16).map(|_| keyed(tenant, policy)).collect();
        let put_all = jobs.iter().map(|job| put(&db, job));
        let answers = futures::future::join_all(put_all).await;
        let existing = answers
            .iter()
            .filter(|answer| matches!(answer, Ok(Enqueued::Existing(_))))
            .count();
        let superseded: i64 = db
            .one("select count(*) from finished_jobs where error_code = 'superseded'")
            .await;
        assert!(answers.iter().all(Result::is_ok), "{policy:?}: {answers:?}");
        assert_eq!(waiting(&db).await, 1, "{policy:?}");
        assert_eq!(
            (existing, superseded),
            if policy == KeepWaiting {
                (15, 0)
            } else {
                (0, 15)
            },
            "{policy:?}"
        );
    }
}

#[tokio::test]
async fn existing_job_does_not_start_before_the_enqueue_that_found_it_commits() {
    let db = TestDb::new().await;
    let tenant = TenantId::new();
    let first = keyed(tenant, KeepWaiting);
    put(&db, &first).await.unwrap();
    let mut transaction = db.pool().begin().await.unwrap();
    let found = enqueue(&mut transaction, &keyed(tenant, KeepWaiting)).await;
    assert_eq!(found.unwrap(), Enqueued::Existing(first.id));
    assert!(
        take(&db, 10).await.is_empty(),
        "it would not see what the finder wrote"
    );
    transaction.commit().await.unwrap();
    assert_eq!(take(&db, 10).await.len(), 1);
}

#[tokio::test]
async fn jobs_of_one_batch_are_deduplicated_in_order() {
    let db = TestDb::new().await;
    let tenant = TenantId::new();
    let before = named(tenant, "a", KeepWaiting);
    put(&db, &before).await.unwrap();
    let jobs = [
        named(tenant, "a", REPLACE),
        named(tenant, "b", KeepWaiting),
        named(tenant, "a", REPLACE),
        named(tenant, "b", KeepWaiting),
        new_job(tenant),
        named(tenant, "a", KeepWaiting),
    ];
    let mut conn = db.pool().acquire().await.unwrap();
    let answers: Vec<Enqueued> = enqueue_many(&mut conn, &jobs)
        .await
        .unwrap()
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(
        answers,
        [
            replacing(&jobs[0], Some(&before), &[]),
            Enqueued::Inserted(jobs[1].id),
            replacing(&jobs[2], Some(&jobs[0]), &[]),
            Enqueued::Existing(jobs[1].id),
            Enqueued::Inserted(jobs[4].id),
            Enqueued::Existing(jobs[2].id),
        ]
    );
    assert_superseded(&db, &before).await;
    assert_superseded(&db, &jobs[0]).await;
    let left: HashSet<JobId> = take(&db, 10)
        .await
        .iter()
        .map(|job| job.lease.job)
        .collect();
    assert_eq!(left, HashSet::from([jobs[1].id, jobs[2].id, jobs[4].id]));
}

#[tokio::test]
async fn job_that_was_not_inserted_releases_its_external_id() {
    let db = TestDb::new().await;
    let tenant = TenantId::new();
    let first = keyed(tenant, KeepWaiting);
    put(&db, &first).await.unwrap();
    let external = Some(ExternalId {
        id: "mail-1".into(),
        fingerprint: [1; 32],
    });
    let gave_way = NewJob {
        external: external.clone(),
        ..keyed(tenant, KeepWaiting)
    };
    // The second finds the external id of the first, which was claimed and is released.
    let twice = [
        gave_way.clone(),
        NewJob {
            id: JobId::new(),
            ..gave_way
        },
    ];
    let mut conn = db.pool().acquire().await.unwrap();
    for answer in enqueue_many(&mut conn, &twice).await.unwrap() {
        assert_eq!(answer.unwrap(), Enqueued::Existing(first.id));
    }
    let without_key = NewJob {
        external,
        ..new_job(tenant)
    };
    assert_eq!(
        put(&db, &without_key).await.unwrap(),
        Enqueued::Inserted(without_key.id)
    );
    let again = NewJob {
        id: JobId::new(),
        dedupe: keyed(tenant, REPLACE).dedupe,
        ..without_key.clone()
    };
    assert_eq!(
        put(&db, &again).await.unwrap(),
        Enqueued::Existing(without_key.id),
        "an external id that was used wins over the key"
    );
    assert_eq!(view(&db, &first).await.state, JobState::Available);
}

/// The ways in which a running job returns to the queue.
const WAYS: [&str; 4] = ["retry", "snooze", "interrupt", "rescue"];

/// Enqueues and claims a job, under an expired lease if it is to be rescued.
async fn started(db: &TestDb, job: &NewJob, way: &str) -> Lease {
    put(db, job).await.unwrap();
    let lease = if way == "rescue" {
        Duration::ZERO
    } else {
        LEASE
    };
    let taken = take_for(db, 1, lease).await;
    assert_eq!(taken[0].lease.job, job.id);
    taken[0].lease
}

async fn return_to_queue(db: &TestDb, lease: Lease, way: &str) -> Option<Settled> {
    let outcome = match way {
        "retry" => Outcome::Retried {
            delay: Duration::ZERO,
        },
        "snooze" => Outcome::Snoozed {
            until: db.one("select now() + interval '1 hour'").await,
        },
        "interrupt" => Outcome::Interrupted,
        _ => {
            assert_eq!(
                rescue_recorded(db.pool(), &AuditRecorder::shared(), None, 10)
                    .await
                    .unwrap()
                    .len(),
                1
            );
            return None;
        }
    };
    Some(end(db, lease, &outcome).await.unwrap())
}

#[tokio::test]
async fn returning_job_is_cancelled_if_a_newer_one_waits() {
    for way in WAYS {
        let db = TestDb::new().await;
        let tenant = TenantId::new();
        let (older, newer) = (keyed(tenant, KeepWaiting), keyed(tenant, KeepWaiting));
        let lease = started(&db, &older, way).await;
        put(&db, &newer).await.unwrap();
        let settled = return_to_queue(&db, lease, way).await;
        assert!(
            settled.is_none_or(|settled| settled == Settled::Superseded),
            "{way}: {settled:?}"
        );
        assert_superseded(&db, &older).await;
        assert_eq!(view(&db, &newer).await.state, JobState::Available, "{way}");
        let attempts: i64 = db.one("select count(*) from job_attempts").await;
        assert_eq!(attempts, 1, "{way}");
        let lost_reply = (way != "rescue").then_some(Settled::AlreadySettled);
        if lost_reply.is_some() {
            assert_eq!(return_to_queue(&db, lease, way).await, lost_reply, "{way}");
        }
    }
}

#[tokio::test]
async fn returning_job_replaces_an_older_one() {
    for way in WAYS {
        let db = TestDb::new().await;
        let tenant = TenantId::new();
        let (older, newer) = (keyed(tenant, KeepWaiting), keyed(tenant, KeepWaiting));
        let first = started(&db, &older, "retry").await;
        let second = started(&db, &newer, way).await;
        return_to_queue(&db, first, "interrupt").await;
        let settled = return_to_queue(&db, second, way).await;
        assert!(
            settled.is_none_or(|settled| settled == Settled::WrittenReplacing(older.id)),
            "{way}: {settled:?}"
        );
        assert_superseded(&db, &older).await;
        assert!(!view(&db, &newer).await.state.is_terminal(), "{way}");
    }
}

#[tokio::test]
async fn newest_of_several_rescued_jobs_with_one_key_stays() {
    let db = TestDb::new().await;
    let tenant = TenantId::new();
    let jobs: Vec<NewJob> = (0..3).map(|_| keyed(tenant, KeepWaiting)).collect();
    for job in &jobs {
        started(&db, job, "rescue").await;
    }
    let other = named(tenant, "outbox", KeepWaiting);
    started(&db, &other, "rescue").await;
    let plain = new_job(tenant);
    started(&db, &plain, "rescue").await;
    assert_eq!(
        rescue_recorded(db.pool(), &AuditRecorder::shared(), None, 10)
            .await
            .unwrap()
            .len(),
        5
    );
    assert_superseded(&db, &jobs[0]).await;
    assert_superseded(&db, &jobs[1]).await;
    for job in [&jobs[2], &other, &plain] {
        assert_eq!(view(&db, job).await.state, JobState::Available);
    }
    let audited: Vec<String> = db
        .one("select array_agg(action order by action) from audit_entries")
        .await;
    assert_eq!(
        audited,
        [
            "job.cancelled",
            "job.cancelled",
            "job.rescued",
            "job.rescued",
            "job.rescued"
        ]
    );
}

#[tokio::test]
async fn concurrent_returns_and_enqueues_leave_one_waiting_job() {
    let db = TestDb::new().await;
    let tenant = TenantId::new();
    for round in 0..8 {
        let running = keyed(tenant, REPLACE);
        let lease = started(&db, &running, "retry").await;
        let arriving: Vec<NewJob> = (0..4)
            .map(|n| keyed(tenant, if n % 2 == 0 { KeepWaiting } else { REPLACE }))
            .collect();
        let put_all = futures::future::join_all(arriving.iter().map(|job| put(&db, job)));
        let (answers, settled) = tokio::join!(put_all, end(&db, lease, &Outcome::Interrupted));
        assert!(answers.iter().all(Result::is_ok), "{round}: {answers:?}");
        assert!(settled.is_ok(), "{round}: {settled:?}");
        assert_eq!(waiting(&db).await, 1, "{round}");
        for job in take(&db, 10).await {
            end(&db, job.lease, &succeeded()).await.unwrap();
        }
    }
}
