//! Drafts know when their writer is busy by the connected calendar: when, not with what; and they do without one that is unavailable.

use super::connected;
use crate::{
    actions::sending::{KEYS, TestApp},
    drafts::generated::post,
    support::{
        model::{FakeModel, Reply},
        radicale::{PASSWORD, Radicale},
    },
};
use base::clock::Clock;
use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpListener;

/// Has a draft written and returns the prompt.
async fn prompt(app: &TestApp) -> String {
    let model = FakeModel::start([Reply::Fits]).await;
    let variables = [
        ("CREDENTIAL_KEYS", KEYS),
        ("OUTBOUND_ALLOW_PRIVATE", "true"),
    ];
    let worker = model.worker(&app.db, &variables).await;
    let compose = json!({ "mode": "compose", "intent": "Say hello", "to": ["ada@x.example"] });
    let asked = post(&app.client, "/v1/jobs/draft", &compose).await;
    assert_eq!(asked.status, 202, "{}", asked.text);
    let job = app
        .client
        .finished(asked.body["id"].as_str().unwrap())
        .await;
    assert_eq!(job["output"]["outcome"], "drafted", "{job}");
    assert!(!worker.process.log().contains(PASSWORD));
    model.prompt(0)
}

#[tokio::test]
async fn calendar_says_when_its_owner_is_busy_and_not_with_what() {
    let (app, radicale) = (TestApp::open().await, Radicale::start().await);
    connected(&app, &radicale.calendar, PASSWORD).await;
    let day = Clock::System.now() + TimeDelta::days(3);
    let put = radicale
        .request(Method::PUT, "theirs.ics")
        .header("content-type", "text/calendar")
        .body(format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Other//EN\r\nBEGIN:VEVENT\r\nUID:theirs\r\n\
             DTSTAMP:20261101T000000Z\r\nDTSTART:{0}T130000Z\r\nDTEND:{0}T143000Z\r\nSUMMARY:HUNTER-dentist\r\n\
             END:VEVENT\r\nEND:VCALENDAR\r\n",
            day.format("%Y%m%d")
        ));
    assert!(put.send().await.unwrap().status().is_success());
    let prompt = prompt(&app).await;
    let busy = format!("{} 13:00 to 14:30", day.format("%a %Y-%m-%d"));
    assert!(prompt.contains(&busy), "{busy} is not in {prompt}");
    assert!(!prompt.contains("HUNTER"));
}

#[tokio::test]
async fn draft_is_written_without_a_calendar_that_is_away_or_silent() {
    let app = TestApp::open().await;
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/work/", silent.local_addr().unwrap());
    connected(&app, &url, PASSWORD).await;
    assert!(!prompt(&app).await.contains("The owner is busy, among"));
    // Nobody listens there any more.
    drop(silent);
    assert!(!prompt(&app).await.contains("The owner is busy, among"));
}
