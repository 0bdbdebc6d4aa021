//! An email that was sent while the database does not take that it was.

use super::{TestApp, approval_in};
use crate::support::refusal::Refusal;

#[tokio::test]
async fn email_that_was_sent_is_recorded_when_the_database_takes_it() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let approval = app.written("Hello").await;
    let is_end = "new.status in ('succeeded', 'unknown')";
    let refusal = Refusal::of(&app.db, ("update", "effects"), is_end, "55000").await;
    app.agree(&approval).await;
    refusal.met(3).await;
    assert_eq!(app.sink.received().len(), 1);
    assert_eq!(app.effect().await["status"], "in_flight");
    refusal.end().await;
    approval_in(&app.client, &approval, "executed").await;
    assert_eq!(app.effect().await["status"], "succeeded");
    assert_eq!(app.sink.received().len(), 1);
    let attempts = "select max(attempt)::int8 from finished_jobs";
    assert_eq!(app.db.one::<i64>(attempts).await, 1);
}
