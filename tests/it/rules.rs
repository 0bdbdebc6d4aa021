//! A tenant's rules over HTTP: versioned, replaced as a whole, never by what is faulty or stale.

use crate::support::{
    Client, TestDb,
    client::{TestResponse, send},
    system::TestApi,
};
use jobs::domain::{rules::SAMPLE_RULES as RULES, session::Role};
use reqwest::Method;
use serde_json::json;

pub(crate) async fn put(
    client: &Client,
    if_match: Option<&str>,
    media_type: &str,
    body: &str,
) -> TestResponse {
    let mut request = client
        .request(Method::PUT, "/v1/rules")
        .header("Content-Type", media_type)
        .body(body.to_owned());
    if let Some(version) = if_match {
        request = request.header("If-Match", version);
    }
    send(request).await
}

#[tokio::test]
async fn rules_are_replaced_only_with_the_current_version() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let none = client.get("/v1/rules").await;
    assert_eq!(none.header("etag"), Some("\"0\""));
    assert_eq!(
        none.body,
        json!({"version": 0, "yaml": "", "changed_at": null})
    );

    let blind = put(&client, None, "application/yaml", RULES).await;
    blind.assert_problem(428, "PRECONDITION_REQUIRED", "without If-Match");
    let first = put(&client, Some("\"0\""), "application/yaml", RULES).await;
    assert_eq!(
        (first.status.as_u16(), first.header("etag")),
        (200, Some("\"1\"")),
        "{}",
        first.text
    );
    for stale in ["\"0\"", "\"7\"", "1", "W/\"1\"", "nonsense"] {
        let refused = put(&client, Some(stale), "application/yaml", RULES).await;
        refused.assert_problem(412, "PRECONDITION_FAILED", stale);
    }
    let body = json!({ "yaml": RULES }).to_string();
    let second = put(&client, Some("\"1\""), "application/json", &body).await;
    assert_eq!(second.body["version"], 2, "{}", second.text);
    let third = put(&client, Some("*"), "application/yaml", RULES).await;
    assert_eq!(third.body["version"], 3, "{}", third.text);
    let now = client.get("/v1/rules").await;
    assert_eq!(
        (&now.body["yaml"], now.header("etag")),
        (&json!(RULES), Some("\"3\""))
    );
}

#[tokio::test]
async fn faulty_rules_are_refused_with_pointers_and_the_active_ones_stay() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    assert_eq!(
        put(&client, Some("*"), "application/yaml", RULES)
            .await
            .status,
        200
    );
    let faulty = "rules:\n  - name: invoices\n    match: { colour: red }\n    actions: [{ type: explode }]\n";
    let refused = put(&client, Some("*"), "application/yaml", faulty).await;
    refused.assert_problem(422, "INVALID_RULES", "faulty rules");
    let errors = refused.body["errors"].as_array().unwrap();
    assert!(errors.len() > 1, "{errors:?}");
    assert!(
        errors
            .iter()
            .all(|e| e["pointer"].as_str().unwrap().starts_with("/rules/0")),
        "{errors:?}"
    );
    for (media_type, body, status, code) in [
        ("text/plain", RULES, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("application/json", "{}", 422, "INVALID_BODY"),
        (
            "application/json",
            "{\"yaml\":\"a\\u0000b\"}",
            400,
            "MALFORMED_JSON",
        ),
        ("application/yaml", "a\0b", 400, "MALFORMED_REQUEST"),
        ("application/yaml", "- [", 422, "INVALID_RULES"),
    ] {
        let refused = put(&client, Some("*"), media_type, body).await;
        refused.assert_problem(status, code, body);
    }
    assert_eq!(client.get("/v1/rules").await.body["version"], 1);
}

#[tokio::test]
async fn member_reads_the_rules_and_does_not_change_them() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let member = owner.colleague(&db, Role::Member).await;
    let stranger = api.sign_in(&db).await;
    assert_eq!(
        put(&owner, Some("*"), "application/yaml", RULES)
            .await
            .status,
        200
    );
    assert_eq!(member.get("/v1/rules").await.body["version"], 1);
    let refused = put(&member, Some("*"), "application/yaml", RULES).await;
    refused.assert_problem(403, "FORBIDDEN", "a member");
    assert_eq!(stranger.get("/v1/rules").await.body["version"], 0);
}

#[tokio::test]
async fn rules_that_would_take_all_memory_or_time_are_refused() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let mut bomb = String::from("a0: &a0 [x, x, x, x]\n");
    for n in 1..40 {
        let former = n - 1;
        let line = format!("a{n}: &a{n} [*a{former}, *a{former}, *a{former}]\n");
        bomb.push_str(&line);
    }
    let one = r"{regex: '\w\w'}";
    let rules: String = (0..200)
        .map(|n| format!("\n- {{name: r{n}, match: {{subject: {one}, body: {one}}}}}"))
        .collect();
    for (yaml, code) in [
        (bomb, "ALIAS"),
        ("[".repeat(60_000), "TOO_DEEP"),
        ("{a: ".repeat(50_000), "TOO_DEEP"),
        (" ".repeat(300_000), "TOO_LARGE"),
        (format!("rules:{rules}"), "TOO_MANY_REGEXES"),
    ] {
        let refused = put(&client, Some("*"), "application/yaml", &yaml).await;
        refused.assert_problem(422, "INVALID_RULES", code);
        assert_eq!(refused.body["errors"][0]["code"], code, "{}", refused.text);
    }
}
