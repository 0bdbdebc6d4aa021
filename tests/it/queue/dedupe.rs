//! At most one waiting job per dedupe key, whoever comes first, last or at the same time.

use super::*;
use jobs::queue::{
    Dedupe,
    DedupePolicy::{self, KeepWaiting},
    cancel::requested,
    dedupe::Replaced,
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

fn replacing(job: &NewJob, superseded: Option<&NewJob>, asked_to_stop: &[&NewJob]) -> Enqueued {
    Enqueued::Replacing {
        job: job.id,
        replaced: Replaced {
            superseded: superseded.map(|job| job.id),
            asked_to_stop: asked_to_stop.iter().map(|job| job.id).collect(),
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
async fn new_job_gives_way_to_the_one_that_waits() {
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
async fn running_job_does_not_keep_a_new_one_from_the_line() {
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
async fn newer_job_takes_the_place_of_the_one_that_waits() {
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
async fn running_job_is_asked_to_stop_only_if_wanted_and_only_once() {
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
}

#[tokio::test]
async fn of_many_at_the_same_time_exactly_one_waits() {
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
async fn job_that_was_found_does_not_start_before_the_finder_has_committed() {
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
async fn jobs_of_one_batch_meet_in_their_order() {
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
async fn job_that_gave_way_leaves_its_external_id_free() {
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
    // The second finds the external id of the first, which was claimed and is given back.
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
