//! kill -9 at each step around a request to a model: every request is recorded, and none is paid for again once its answer is kept.
//!
//! A lock on a table stops the worker at the statement that would write there.

use super::*;
use crate::{
    lanes::{put_budgets, until_count},
    support::system::Api,
};
use serde_json::json;

/// Where the worker is when it dies.
#[derive(Clone, Copy, Debug)]
enum Point {
    /// A statement before the request waits for this table.
    BeforeRequest(&'static str),
    /// The request is at the provider.
    InFlight,
    /// The answer is there, and a statement that records it waits for this table.
    BeforeCheckpoint(&'static str),
    /// The answer is kept, and a statement that uses it waits for this table.
    AfterCheckpoint(&'static str),
    /// The first answer is kept and unusable, and its repair is at the provider.
    InRepair,
    /// The repair is kept, and a statement that uses it waits for this table.
    AfterRepair(&'static str),
}

impl Point {
    fn table(self) -> Option<&'static str> {
        match self {
            Self::BeforeRequest(table)
            | Self::BeforeCheckpoint(table)
            | Self::AfterCheckpoint(table)
            | Self::AfterRepair(table) => Some(table),
            Self::InFlight | Self::InRepair => None,
        }
    }

    /// What the provider answers, the last answer to all later requests.
    fn script(self) -> Vec<Reply> {
        let unusable = || Reply::Says("I cannot judge this.".to_owned());
        match self {
            Self::BeforeRequest(_) | Self::AfterCheckpoint(_) => vec![says()],
            Self::InFlight | Self::BeforeCheckpoint(_) => vec![holds(), says()],
            Self::InRepair => vec![unusable(), holds(), says()],
            Self::AfterRepair(_) => vec![unusable(), says()],
        }
    }

    /// The requests that the provider gets in all.
    const fn requests(self) -> usize {
        match self {
            Self::BeforeRequest(_) | Self::AfterCheckpoint(_) => 1,
            // The one that nobody heard the answer of is made again.
            Self::InFlight | Self::BeforeCheckpoint(_) | Self::AfterRepair(_) => 2,
            Self::InRepair => 3,
        }
    }

    /// The requests whose answer was lost.
    const fn lost(self) -> i64 {
        match self {
            Self::BeforeRequest(_) | Self::AfterCheckpoint(_) | Self::AfterRepair(_) => 0,
            Self::InFlight | Self::BeforeCheckpoint(_) | Self::InRepair => 1,
        }
    }
}

async fn dies_at(point: Point) {
    let db = TestDb::new().await;
    let model = FakeModel::start(point.script()).await;
    let api = Api::spawn(&db).await;
    let client = api.sign_in(&db).await;
    let budget = json!({"budgets": [{"kind": "*", "period": "day", "max_tokens": 10_000_000}]});
    put_budgets(&client, &budget).await;
    let variables = [("LLM_REQUESTS_PER_MINUTE", "600")];
    let mut first = model.worker(&db, &variables).await;
    let lock = async |table: &str| {
        let mut blocker = db.pool().begin().await.unwrap();
        let sql = format!("lock table {table} in exclusive mode");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(&mut *blocker)
            .await
            .unwrap();
        blocker
    };
    let is_held = matches!(point, Point::BeforeCheckpoint(_));
    let mut blocker = None;
    if let (Some(table), false) = (point.table(), is_held) {
        blocker = Some(lock(table).await);
    }
    let id = client.submitted(&mail(), "killed-call").await;
    match point {
        Point::InFlight => model.asked(1).await,
        Point::InRepair => model.asked(2).await,
        Point::BeforeCheckpoint(table) => {
            model.asked(1).await;
            blocker = Some(lock(table).await);
            model.release();
        }
        Point::BeforeRequest(_) | Point::AfterCheckpoint(_) | Point::AfterRepair(_) => {}
    }
    if blocker.is_some() {
        somebody_waits_for_a_lock(&db).await;
    }
    first.process.kill();
    if let Some(blocker) = blocker {
        blocker.rollback().await.unwrap();
    }
    model.release();
    let _second = model.worker(&db, &variables).await;
    assert_ended_once(&db, &client, &id).await;
    assert_eq!(model.calls(), point.requests(), "{point:?}");
    let open = "select count(*) from llm_calls where billing = 'reserved'";
    until_count(&db, SOON, open, 0).await;
    for (sql, wanted) in [
        (
            "select count(*) from llm_calls",
            i64::try_from(point.requests()).unwrap(),
        ),
        (
            "select count(*) from llm_calls where outcome = 'lost' and billing = 'possibly_billed'",
            point.lost(),
        ),
        ("select reserved_tokens from llm_budgets", 0),
    ] {
        assert_eq!(db.one::<i64>(sql).await, wanted, "{point:?}: {sql}");
    }
}

/// Tries the points side by side.
async fn die_at(points: &[Point]) {
    let deaths = points.iter().map(|point| dies_at(*point));
    futures::future::join_all(deaths).await;
}

#[tokio::test]
async fn worker_killed_before_its_request_to_a_model_has_paid_nothing() {
    let tables = ["llm_calls", "llm_budgets", "llm_rates"];
    die_at(&tables.map(Point::BeforeRequest)).await;
}

#[tokio::test]
async fn worker_killed_during_a_request_leaves_it_recorded_as_possibly_billed() {
    die_at(&[
        Point::InFlight,
        Point::BeforeCheckpoint("llm_calls"),
        Point::BeforeCheckpoint("llm_budgets"),
        Point::BeforeCheckpoint("llm_checkpoints"),
        Point::InRepair,
    ])
    .await;
}

#[tokio::test]
async fn worker_killed_after_its_answer_was_kept_pays_no_second_time() {
    die_at(&[
        Point::AfterCheckpoint("triage_results"),
        Point::AfterCheckpoint("approvals"),
        Point::AfterCheckpoint("finished_jobs"),
        Point::AfterRepair("triage_results"),
    ])
    .await;
}
