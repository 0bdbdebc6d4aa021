//! The event log over HTTP: server-sent events over real sockets.

use super::{log::eventful, *};
use crate::support::{
    Client,
    client::send,
    eventually,
    system::{Setup, TestApi, metric},
    wait::SOON,
};
use api::server::Limits;
use reqwest::Method;
use serde_json::Value;
use tokio::time::timeout;

/// A received event.
#[derive(Clone, Debug, PartialEq)]
struct StreamEvent {
    id: String,
    name: String,
    data: Value,
}

/// An open stream.
struct Following {
    response: reqwest::Response,
    read: String,
}

impl Following {
    async fn of(client: &Client, id: JobId, after: Option<&str>) -> Self {
        let mut request = client.request(Method::GET, &path(id));
        if let Some(after) = after {
            request = request.header("Last-Event-ID", after);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let read = String::new();
        Self { response, read }
    }

    /// Returns the next event; `None` when the stream has ended, in order or not.
    async fn next(&mut self) -> Option<StreamEvent> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| {
                let mut lines = block.lines();
                lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            };
            if let Some(id) = field("id") {
                return Some(StreamEvent {
                    id: id.to_owned(),
                    name: field("event").unwrap().to_owned(),
                    data: serde_json::from_str(field("data").unwrap()).unwrap(),
                });
            }
        }
    }

    /// Returns the next block: an event, a comment, or the reconnection time.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.read.split_once("\n\n") {
                let block = block.to_owned();
                self.read = rest.to_owned();
                return Some(block);
            }
            let chunk = timeout(SOON, self.response.chunk()).await;
            let chunk = chunk.expect("the stream goes on or ends").ok()??;
            self.read += std::str::from_utf8(&chunk).unwrap();
        }
    }

    async fn rest(&mut self) -> Vec<StreamEvent> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}

fn path(id: JobId) -> String {
    format!("/v1/jobs/{id}/events")
}

fn names(events: &[StreamEvent]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

/// A waiting job of a signed-in user, and an API with these limits.
async fn followed(limits: Limits) -> (Case, TestApi, Client) {
    let case = Case::new().await;
    let (api, client) = served(&case, limits).await;
    let id = put(&case.db, client.tenant).await;
    case.db
        .execute(&format!("delete from jobs where id <> '{id}'"))
        .await;
    let tenant = client.tenant;
    (Case { tenant, id, ..case }, api, client)
}

async fn served(case: &Case, limits: Limits) -> (TestApi, Client) {
    let setup = Setup {
        limits,
        ..Setup::default()
    };
    let api = TestApi::start_as(&case.db, setup).await;
    let client = api.sign_in(&case.db).await;
    (api, client)
}

#[tokio::test]
async fn client_that_reconnects_with_any_id_gets_exactly_the_rest() {
    let case = eventful().await;
    let (_api, client) = served(&case, Limits::default()).await;
    for table in ["finished_jobs", "job_attempts", "job_events"] {
        let adopt = format!("update {table} set tenant_id = '{}'", client.tenant);
        case.db.execute(&adopt).await;
    }
    let all = Following::of(&client, case.id, None).await.rest().await;
    assert_eq!(all.len(), 17, "{:?}", names(&all));
    assert_eq!(all.last().unwrap().data["state"], "succeeded");
    for (place, event) in all.iter().enumerate().take(all.len() - 1) {
        let mut again = Following::of(&client, case.id, Some(&event.id)).await;
        assert_eq!(again.rest().await, all[place + 1..], "after {}", event.id);
    }
    let known = &all.last().unwrap().id;
    let request = client.request(Method::GET, &path(case.id));
    let nothing = send(request.header("Last-Event-ID", known)).await;
    assert_eq!((nothing.status.as_u16(), nothing.text.as_str()), (204, ""));
}

#[tokio::test]
async fn stream_shows_the_progress_and_the_end_of_a_running_job() {
    let (case, _api, client) = followed(Limits::default()).await;
    let mut following = Following::of(&client, case.id, None).await;
    assert_eq!(following.next().await.unwrap().name, "created");
    let lease = case.claim().await;
    let started = following.next().await.unwrap();
    assert_eq!(started.name, "attempt_started");
    assert_eq!(started.data["worker_id"], lease.worker.to_string());
    assert!(case.report(lease, 0.5, "half of it").await);
    let expected = json!({"value": 0.5, "note": "half of it"});
    let progress = following.next().await.unwrap();
    assert_eq!(
        (progress.id.as_str(), &progress.data["progress"]),
        ("1.2.1", &expected)
    );
    let job = client.job(&case.id.to_string()).await;
    assert_eq!(job["progress"], expected);
    let cancel = format!("/v1/jobs/{}/cancel", case.id);
    assert_eq!(
        send(client.request(Method::POST, &cancel)).await.status,
        202
    );
    assert_eq!(following.next().await.unwrap().name, "cancel_requested");
    case.end(lease, Outcome::Discarded).await;
    let rest = following.rest().await;
    assert_eq!(names(&rest), ["attempt_ended", "finished"]);
    let error = json!({"code": "test_failure", "message": "It failed."});
    assert_eq!(rest[1].data["error"], error);
}

#[tokio::test]
async fn stream_resumes_at_another_api_where_the_first_one_stopped() {
    let (case, api, client) = followed(Limits::default()).await;
    let mut first = Following::of(&client, case.id, None).await;
    let lease = case.claim().await;
    let mut seen = vec![first.next().await.unwrap(), first.next().await.unwrap()];
    api.stop().await;
    assert_eq!(first.next().await, None, "a stopping API ends its streams");
    assert!(case.report(lease, 0.5, "while nobody looked").await);
    let api = TestApi::start(&case.db).await;
    let client = client.at(api.addr);
    let last = &seen.last().unwrap().id;
    let mut second = Following::of(&client, case.id, Some(last)).await;
    seen.push(second.next().await.unwrap());
    case.end(lease, Outcome::Succeeded { output: json!(1) })
        .await;
    seen.extend(second.rest().await);
    let complete = Following::of(&client, case.id, None).await.rest().await;
    assert_eq!(seen, complete);
    assert_eq!(names(&seen)[2..], ["progress", "attempt_ended", "finished"]);
}

#[tokio::test]
async fn stream_ends_at_once_when_its_session_is_revoked() {
    let limits = Limits {
        heartbeat: SOON * 10,
        ..Limits::default()
    };
    let (case, api, client) = followed(limits).await;
    eventually(SOON, async || {
        let up = api.app.listener.is_alive();
        up.then_some(())
            .ok_or_else(|| "the listener is down".to_owned())
    })
    .await;
    let mut following = Following::of(&client, case.id, None).await;
    following.next().await.unwrap();
    let log_out = send(client.request(Method::DELETE, "/v1/sessions/current")).await;
    assert!(log_out.status.is_success(), "{}", log_out.text);
    assert_eq!(following.next().await, None);
    let again = client.get(&path(case.id)).await;
    again.assert_problem(401, "UNAUTHENTICATED", "after the log-out");
}

#[tokio::test]
async fn stream_ends_with_its_session_without_a_notification() {
    for end in [
        "update sessions set revoked_at = now(), revoke_reason = 'logout'",
        "update sessions set idle_expires_at = now()",
        "update users set status = 'suspended'",
    ] {
        let limits = Limits {
            heartbeat: Duration::from_millis(100),
            ..Limits::default()
        };
        let (case, _api, client) = followed(limits).await;
        let mut following = Following::of(&client, case.id, None).await;
        following.next().await.unwrap();
        case.db.execute(end).await;
        assert_eq!(following.next().await, None, "{end}");
    }
}

#[tokio::test]
async fn idle_stream_sends_keep_alives_and_ends_after_its_time_limit() {
    let limits = Limits {
        heartbeat: Duration::from_millis(50),
        longest_stream: Duration::from_millis(500),
        ..Limits::default()
    };
    let (case, api, client) = followed(limits).await;
    let mut following = Following::of(&client, case.id, None).await;
    assert_eq!(following.block().await.unwrap(), "retry: 1000");
    assert_eq!(following.next().await.unwrap().name, "created");
    assert_eq!(following.block().await.unwrap(), ":");
    assert_eq!(following.next().await, None);
    eventually(SOON, async || {
        let open = metric(api.ops, "postroom_event_streams_open", &[]).await;
        (open < 1.0)
            .then_some(())
            .ok_or_else(|| format!("{open} are open"))
    })
    .await;
}

#[tokio::test]
async fn streams_per_user_are_limited() {
    let limits = Limits {
        streams_per_user: 2,
        // A third stream would have to end for the test to notice it.
        longest_stream: SOON,
        ..Limits::default()
    };
    let (case, api, client) = followed(limits).await;
    let first = Following::of(&client, case.id, None).await;
    let _second = Following::of(&client, case.id, None).await;
    let third = client.get(&path(case.id)).await;
    third.assert_problem(429, "TOO_MANY_REQUESTS", "a third stream");
    let colleague = client
        .colleague(&case.db, jobs::domain::session::Role::Member)
        .await;
    let _others_are_not_counted = Following::of(&colleague, case.id, None).await;
    drop(first);
    eventually(SOON, async || {
        let open = metric(api.ops, "postroom_event_streams_open", &[]).await;
        (open < 3.0)
            .then_some(())
            .ok_or_else(|| format!("{open} are open"))
    })
    .await;
    Following::of(&client, case.id, None).await;
}

#[tokio::test]
async fn stream_of_a_missing_or_foreign_job_is_refused() {
    let (case, api, client) = followed(Limits::default()).await;
    for bad in ["", "1", "1.2", "1.2.3.4", "a.b.c", "-1.0.0", "1.0.00"] {
        let request = client.request(Method::GET, &path(case.id));
        let refused = send(request.header("Last-Event-ID", bad)).await;
        refused.assert_problem(400, "INVALID_PARAMETER", bad);
        assert_eq!(refused.body["errors"][0]["pointer"], "Last-Event-ID");
    }
    let query = format!("{}?last_event_id=0.0.0", path(case.id));
    let refused = client.get(&query).await;
    refused.assert_problem(400, "INVALID_PARAMETER", "in the query");
    let stranger = api.sign_in(&case.db).await;
    let foreign = stranger.get(&path(case.id)).await;
    foreign.assert_problem(404, "NOT_FOUND", "another tenant's job");
    let never = client.get(&path(JobId::new())).await;
    never.assert_problem(404, "NOT_FOUND", "no job");
}
