//! Limits on running jobs, set and lifted over HTTP. That they hold is shown in `queue::limits`.

use super::{audited, with_operators};
use crate::support::{
    Client, TestDb,
    client::{TestResponse, send},
};
use reqwest::Method;
use serde_json::json;

async fn put(operator: &Client, name: &str, max_running: i64) -> TestResponse {
    let path = format!("/v1/admin/limits/{name}");
    let body = json!({ "max_running": max_running });
    send(operator.request(Method::PUT, &path).json(&body)).await
}

async fn delete(operator: &Client, name: &str) -> TestResponse {
    let path = format!("/v1/admin/limits/{name}");
    send(operator.request(Method::DELETE, &path)).await
}

#[tokio::test]
async fn limit_is_set_changed_seen_and_lifted() {
    let db = TestDb::new().await;
    let (_api, operator) = with_operators(&db).await;
    let own = format!("tenant/{}", operator.tenant);
    for (name, max) in [
        ("queue/triage", 7),
        ("queue/triage", 8),
        ("kind/triage.email", 9),
        ("tenant/*", 3),
        (&own, 5),
    ] {
        let set = put(&operator, name, max).await;
        assert_eq!(set.status, 200, "{name}: {}", set.text);
        assert_eq!(set.body["max_running"], max);
        let seen = operator.get(&format!("/v1/admin/limits/{name}")).await;
        assert_eq!(seen.body, set.body, "{name}");
    }
    let all = operator.get("/v1/admin/limits").await.body;
    assert_eq!(all["items"].as_array().unwrap().len(), 4, "{all}");
    let queues = operator.get("/v1/admin/queues").await.body;
    assert_eq!(queues["items"][0]["max_running"], 8, "{queues}");

    assert_eq!(delete(&operator, "queue/triage").await.status, 204);
    let gone = delete(&operator, "queue/triage").await;
    gone.assert_problem(404, "NOT_FOUND", "lifted before");
    let none = delete(&operator, "queue/%00").await;
    none.assert_problem(404, "NOT_FOUND", "a name that no limit has");
    let gone = operator.get("/v1/admin/limits/queue/triage").await;
    gone.assert_problem(404, "NOT_FOUND", "lifted before");
    let log = audited(&db).await;
    assert!(
        log.starts_with(
            "limit.set queue:triage, limit.set queue:triage, limit.set kind:triage.email"
        ),
        "{log}"
    );
    assert!(log.ends_with("limit.removed queue:triage"), "{log}");
}

#[tokio::test]
async fn limit_of_nothing_or_of_no_number_is_refused() {
    let db = TestDb::new().await;
    let (_api, operator) = with_operators(&db).await;
    for name in [
        "queue/traige",
        "kind/triage",
        "tenant/acme",
        "tenant/0198c1d2-0000-7000-8000-000000000000",
        "host/here",
    ] {
        let refused = put(&operator, name, 1).await;
        refused.assert_problem(404, "NOT_FOUND", name);
    }
    for max in [0, -1, 100_001, i64::MAX] {
        let refused = put(&operator, "queue/triage", max).await;
        refused.assert_problem(422, "INVALID_BODY", &max.to_string());
        assert_eq!(refused.body["errors"][0]["pointer"], "/max_running");
    }
    let limits: i64 = db.one("select count(*) from queue_limits").await;
    assert_eq!((limits, audited(&db).await.as_str()), (0, ""));
}
