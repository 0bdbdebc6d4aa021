//! Bulk enqueues: each job has its own result, and batches that overlap do not deadlock.

use super::*;

#[tokio::test]
async fn bulk_enqueue_returns_one_result_per_job() {
    let db = TestDb::new().await;
    let tenant = TenantId::new();
    let named = |id: &str, fingerprint| NewJob {
        external: Some(ExternalId {
            id: id.into(),
            fingerprint: [fingerprint; 32],
        }),
        ..new_job(tenant)
    };
    let before = named("before", 1);
    put(&db, &before).await.unwrap();
    let jobs = [
        new_job(tenant),
        named("before", 1),
        named("before", 2),
        named("new", 1),
        named("new", 1),
        named("new", 3),
    ];
    let mut transaction = db.pool().begin().await.unwrap();
    let answers = enqueue_many(&mut transaction, &jobs).await.unwrap();
    transaction.commit().await.unwrap();
    let results: Vec<String> = answers
        .iter()
        .map(|answer| match answer {
            Ok(Enqueued::Inserted(_)) => "inserted".to_owned(),
            Ok(Enqueued::Existing(id)) if *id == before.id => "existing before".to_owned(),
            Ok(Enqueued::Existing(id)) if *id == jobs[3].id => "existing new".to_owned(),
            other => format!("{other:?}")
                .split_whitespace()
                .next()
                .unwrap()
                .to_owned(),
        })
        .collect();
    let conflict = "Err(KeyReused";
    assert_eq!(
        results,
        [
            "inserted",
            "existing before",
            conflict,
            "inserted",
            "existing new",
            conflict
        ]
    );
    assert_eq!(
        take(&db, 10).await.len(),
        3,
        "the first, the new one and the one from before"
    );
}

#[tokio::test]
async fn batches_that_share_external_ids_in_opposite_order_do_not_deadlock() {
    let db = TestDb::new().await;
    let tenant = TenantId::new();
    let batch = |order: Vec<usize>| -> Vec<NewJob> {
        let external = |n| {
            Some(ExternalId {
                id: format!("mail-{n}"),
                fingerprint: [0; 32],
            })
        };
        order
            .into_iter()
            .map(|n| NewJob {
                external: external(n),
                ..new_job(tenant)
            })
            .collect()
    };
    let submit = async |jobs: Vec<NewJob>| {
        let mut transaction = db.pool().begin().await.unwrap();
        let answers = enqueue_many(&mut transaction, &jobs).await.unwrap();
        transaction.commit().await.unwrap();
        answers
            .into_iter()
            .filter(|answer| matches!(answer, Ok(Enqueued::Inserted(_))))
            .count()
    };
    let (up, down) = tokio::join!(
        submit(batch((0..500).collect())),
        submit(batch((0..500).rev().collect()))
    );
    assert_eq!(up + down, 500);
}
