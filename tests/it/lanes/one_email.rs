//! One email that the model rejects, or answers in vain, costs the others nothing.

use super::*;
use base::JobId;
use jobs::{domain::llm::ModelName, store::llm_calls};

/// Stands in email 0 only.
const REJECTED: &str = "about 0?";

#[tokio::test]
async fn email_that_a_firewall_forbids_goes_to_a_person_after_stopping_the_lane_twice() {
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::RefusesWord(403, REJECTED)]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    submit_emails(&client, 0..31).await;
    let _worker = model.worker(&db, &[OFTEN, ("WORKER_SLOTS", "1")]).await;
    let judged = "select count(*) from triage_results where source = 'llm' and not degraded";
    until_count(&db, AFTERWARDS, judged, 30).await;
    // The lane has stopped twice, and closes again when others are answered.
    let twice =
        "select count(distinct outcome) from llm_calls where outcome in ('auth', 'auth_again')";
    until_count(&db, AFTERWARDS, twice, 2).await;
    submit_emails(&client, 31..34).await;
    until_count(&db, AFTERWARDS, judged, 33).await;
    let left = "select count(*) from triage_results where source = 'fallback'";
    until_count(&db, AFTERWARDS, left, 1).await;
    let open = "select count(*) from llm_lanes where reason is not null";
    assert_eq!(db.one::<i64>(open).await, 0);

    // What one lane rejected says nothing about the job on another, such as that of a fallback.
    let rejected = "select job_id from llm_calls where outcome = 'auth_again'";
    let of = (client.tenant, JobId(db.one(rejected).await));
    let provider: String = db.one("select provider from llm_lanes").await;
    let model: String = db.one("select model from llm_lanes").await;
    let mut conn = db.pool().acquire().await.unwrap();
    for (model, alone) in [(&*model, true), ("fallback", false)] {
        let lane = ModelName {
            provider: &provider,
            model,
        };
        let found = llm_calls::rejected_alone(&mut conn, of, lane, "auth_again").await;
        assert_eq!(found.unwrap(), alone, "{model}");
    }
}

#[tokio::test]
async fn probe_that_is_answered_in_vain_closes_the_lane() {
    let db = TestDb::new().await;
    let model =
        FakeModel::start([Reply::Refuses(429, Some(250)), Reply::CutsOff, Reply::Fits]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    submit_emails(&client, 0..6).await;
    let _worker = model.worker(&db, &[OFTEN, ("WORKER_SLOTS", "1")]).await;
    until_all_wait(&db, 6).await;
    assert_eq!(model.calls(), 1);
    db.execute("update llm_lanes set until = now()").await;
    // Sooner than the time for which the answer to a probe is awaited.
    let done =
        "select count(*) from finished_jobs where kind = 'triage.email' and state = 'succeeded'";
    until_count(&db, Duration::from_secs(40), done, 6).await;
    assert_eq!(model.calls(), 7, "each email is asked about once more");
}
