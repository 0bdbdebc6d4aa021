//! A week that is asked too much of: everything is proposed, one after another, and nothing is agreed to or booked.

use crate::{
    actions::sending::TestApp,
    calendar::connected,
    support::{
        client::send,
        radicale::{PASSWORD, Radicale},
    },
};
use chrono::{DateTime, Utc};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn ten_times_two_hours_of_focus_are_proposed_and_none_is_taken_for_granted() {
    let (app, radicale) = (TestApp::open().await, Radicale::start().await);
    connected(&app, &radicale.calendar, PASSWORD).await;
    let _worker = app.worker().await;
    let mut spans = Vec::new();
    for n in 0..10 {
        let body = json!({"title": format!("Focus {n}"), "minutes": 120});
        let request = app.client.request(Method::POST, "/v1/blocks");
        let proposed = send(request.json(&body)).await;
        assert_eq!(proposed.status, 201, "{}", proposed.text);
        assert_eq!(proposed.body["status"], "proposed");
        assert_eq!(proposed.body["outside_hours"], false);
        let moment = |field: &str| -> DateTime<Utc> {
            proposed.body[field].as_str().unwrap().parse().unwrap()
        };
        spans.push((moment("start_at"), moment("end_at")));
    }
    spans.sort();
    for pair in spans.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "{pair:?}");
    }
    assert_eq!(radicale.all().await.matches("BEGIN:VEVENT").count(), 0);
    let begun: i64 = app
        .db
        .one("select (select count(*) from effects) + (select count(*) from approvals)")
        .await;
    assert_eq!(begun, 0);
}
