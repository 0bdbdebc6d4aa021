//! Gauges that are read from the database, and duties that fail.

use super::eventually;
use crate::support::{
    TestDb,
    system::{Worker, metric},
    wait::SOON,
};

#[tokio::test]
async fn gauges_that_cannot_be_read_grow_old_alone_and_a_duty_that_fails_is_counted() {
    let db = TestDb::new().await;
    db.execute("alter table queue_samples rename to hidden")
        .await;
    let worker = Worker::spawn(&db).await;
    let age = async |group| {
        let labels = [("group", group)];
        metric(worker.ops, "postroom_gauges_age_seconds", &labels).await
    };
    eventually(SOON, async || {
        let (queues, lanes) = (age("queues").await, age("llm_lanes").await);
        let sample = [("duty", "sample")];
        let failures = metric(worker.ops, "postroom_duty_failures_total", &sample).await;
        if queues > 2.0 * lanes + 0.5 && failures > 0.0 {
            Ok(())
        } else {
            Err(format!("{queues} s, {lanes} s, {failures} failures"))
        }
    })
    .await;
    let others = [("duty", "seal_audit")];
    assert!(metric(worker.ops, "postroom_duty_failures_total", &others).await < 1.0);
    db.execute("alter table hidden rename to queue_samples")
        .await;
    eventually(SOON, async || {
        let queues = age("queues").await;
        (queues < 0.5).then_some(()).ok_or(format!("{queues} s"))
    })
    .await;
}
