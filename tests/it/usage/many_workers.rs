//! A budget is not overrun by many workers that die, and nothing stays reserved after them.

use super::*;
use crate::lanes::{submit_emails, until_count};
use std::time::Duration;

const EMAILS: usize = 256;
/// A dollar, in millionths.
const BUDGET: i64 = 1_000_000;
/// The leases of the dead, and the duties that follow them.
const AFTERWARDS: Duration = Duration::from_secs(120);

/// A request reserves about a tenth of the budget and uses less than half a hundredth of it.
const PRICES: &str = r#"{"as_of": "2026-11-29", "models": [
    {"provider": "openai", "model": "fake-1", "input": 10, "output": 10}]}"#;

#[tokio::test]
async fn budget_of_a_dollar_is_not_overrun_by_256_jobs_of_four_workers_that_die() {
    let db = TestDb::new().await;
    let held = (0..6).map(|_| Reply::Holds(crate::support::model::VERDICT.to_owned()));
    let model = FakeModel::start(held.chain([Reply::Fits])).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    put_budgets(
        &client,
        &json!({"budgets": [{"kind": "*", "period": "day", "max_cost_micros": BUDGET}]}),
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    let prices = folder.path().join("prices.json");
    std::fs::write(&prices, PRICES).unwrap();
    let variables = [
        ("LLM_PRICES_FILE", prices.to_str().unwrap()),
        ("WORKER_LEASE_SECONDS", "5"),
    ];
    let mut dying = [
        model.worker(&db, &variables).await,
        model.worker(&db, &variables).await,
    ];
    let _living = [
        model.worker(&db, &variables).await,
        model.worker(&db, &variables).await,
    ];
    submit_emails(&client, 0..EMAILS).await;
    model.asked(6).await;
    for worker in &mut dying {
        worker.process.kill();
    }
    model.release();

    let sql = "select count(*) from llm_calls where billing = 'reserved'";
    let unsettled = "select (select count(*) from jobs where state in ('available', 'running', 'retryable'))
        + (select count(*) from jobs join job_attempts last on last.job_id = jobs.id and last.attempt = jobs.attempt
           where state = 'scheduled' and error_code <> 'llm_over_budget')";
    until_count(&db, AFTERWARDS, unsettled, 0).await;
    until_count(&db, AFTERWARDS, sql, 0).await;
    let spent: i64 = db.one("select spent_micros from llm_budgets").await;
    let recorded: i64 = db
        .one("select sum(cost_micros)::bigint from llm_calls")
        .await;
    assert!(spent <= BUDGET && spent > 0, "{spent}");
    assert_eq!(spent, recorded, "the budget knows what was recorded");
    assert_eq!(
        db.one::<i64>("select reserved_micros from llm_budgets")
            .await,
        0
    );
    let calls: i64 = db.one("select count(*) from llm_calls").await;
    assert!(
        calls >= i64::try_from(model.calls()).unwrap(),
        "each request is recorded"
    );
    let failed =
        "select count(*) from finished_jobs where kind = 'triage.email' and state <> 'succeeded'";
    assert_eq!(db.one::<i64>(failed).await, 0);
}
