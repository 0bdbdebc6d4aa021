//! The model is unavailable: the email waits, the fallback comes when the tenant wants it, and it is replaced.

use super::{
    INVOICE, answer, down,
    test_worker::{ModelTurn, TestWorker},
};
use llm::LlmError;
use queue::FailureClass;

#[tokio::test]
async fn outage_snoozes_the_email_and_burns_no_attempt_whatever_their_number() {
    let worker = TestWorker::open(None, [ModelTurn::Fails(down), ModelTurn::Fails(down)]).await;
    worker.submit(INVOICE, |_| ()).await;
    let mut job = worker.claim().await;
    for errors in [0, job.max_attempts - 1] {
        job.errors = errors;
        let failure = worker.attempt(&job).await.err().unwrap();
        assert!(
            matches!(failure.class, FailureClass::RateLimited { .. }),
            "{failure}"
        );
        assert_eq!(failure.code, "llm_unavailable");
    }
    let recorded =
        "select count(*) from llm_calls where outcome = 'transient' and billing = 'settled'";
    assert_eq!(worker.count(recorded).await, 2);
    assert_eq!(worker.count("select count(*) from triage_results").await, 0);
}

/// The first attempt of the waiting job was so long ago.
const WAITED: &str = "insert into job_attempts (job_id, attempt, tenant_id, started_at, outcome)
    select id, 0, tenant_id, now() - interval '25 hours', 'snoozed' from jobs";

#[tokio::test]
async fn fallback_after_an_outage_is_replaced_when_the_model_is_back() {
    let worker = TestWorker::open(None, [ModelTurn::Fails(down), answer(|_| ())]).await;
    worker.submit(INVOICE, |_| ()).await;
    let job = worker.claim().await;
    worker.acme.db.execute(WAITED).await;
    let settlement = worker
        .attempt(&job)
        .await
        .unwrap_or_else(|failure| panic!("{failure}"));
    let again: Vec<&str> = settlement.follow_ups.iter().map(|job| job.kind).collect();
    assert_eq!(again, ["triage.email"], "it is judged again by itself");
    let output = worker.settle(&job, &settlement).await.unwrap();
    assert_eq!(
        (output.source.as_str(), output.degraded),
        ("fallback", true)
    );
    let undecided = "select count(*) from approvals where status = 'proposed'";
    assert_eq!(worker.count(undecided).await, 1);

    let output = worker.triage(INVOICE, |_| ()).await;
    assert_eq!((output.source.as_str(), output.degraded), ("llm", false));
    assert_eq!(
        worker.count(undecided).await,
        1,
        "the fallback's was withdrawn"
    );
    let withdrawn = "select count(*) from approvals where status = 'rejected' and version = 2";
    assert_eq!(worker.count(withdrawn).await, 1);
    // From now on the email counts as judged.
    let output = worker.triage(INVOICE, |_| ()).await;
    assert_eq!((output.source.as_str(), output.llm.calls), ("llm", 0));
}

#[tokio::test]
async fn tenant_may_have_the_fallback_before_the_longest_wait() {
    let worker = TestWorker::open(None, [ModelTurn::Fails(down), ModelTurn::Fails(down)]).await;
    worker.submit(INVOICE, |_| ()).await;
    let job = worker.claim().await;
    worker
        .acme
        .db
        .execute(&WAITED.replace("25 hours", "2 hours"))
        .await;
    let failure = worker.attempt(&job).await.err().unwrap();
    assert_eq!(failure.code, "llm_unavailable", "it waits for a day");
    let policy = "update tenants set on_outage = 'fallback_after', fallback_after_seconds = 60";
    worker.acme.db.execute(policy).await;
    let settlement = worker
        .attempt(&job)
        .await
        .unwrap_or_else(|failure| panic!("{failure}"));
    let output = worker.settle(&job, &settlement).await.unwrap();
    assert_eq!(output.source, "fallback");
}

#[tokio::test]
async fn email_that_alone_is_rejected_does_not_stop_the_lane_twice() {
    let rejected = || LlmError::BadRequest {
        status: 400,
        code: "invalid_request_error",
    };
    let turns = [
        ModelTurn::Fails(rejected),
        ModelTurn::Fails(rejected),
        ModelTurn::Fails(rejected),
    ];
    let worker = TestWorker::open(None, turns).await;
    worker.submit(INVOICE, |_| ()).await;
    let job = worker.claim().await;
    let failure = worker.attempt(&job).await.err().unwrap();
    assert_eq!(failure.code, "llm_stopped");
    let failure = worker.attempt(&job).await.err().unwrap();
    assert_eq!(
        (failure.code, worker.calls()),
        ("llm_stopped", 1),
        "nobody asks"
    );
    // Another email was answered since.
    let closed = "update llm_lanes set reason = null, until = null, failures = 0, closed_at = clock_timestamp()";
    worker.acme.db.execute(closed).await;
    let settlement = worker
        .attempt(&job)
        .await
        .unwrap_or_else(|failure| panic!("{failure}"));
    let output = worker.settle(&job, &settlement).await.unwrap();
    assert_eq!(
        (output.source.as_str(), output.degraded),
        ("fallback", true)
    );
    let open = "select count(*) from llm_lanes where reason is not null";
    assert_eq!(worker.count(open).await, 0);
}
