//! Requests that create, change, delete and restore tasks, projects and contacts.

use super::{
    Client,
    client::{TestResponse, send},
};
use base::JobId;
use reqwest::Method;
use serde_json::Value;

/// Makes something under a key of its own.
pub(crate) async fn make(client: &Client, things: &str, body: &Value) -> TestResponse {
    make_with_key(client, things, &JobId::new().to_string(), body).await
}

pub(crate) async fn make_with_key(
    client: &Client,
    things: &str,
    key: &str,
    body: &Value,
) -> TestResponse {
    send(
        client
            .request(Method::POST, &format!("/v1/{things}"))
            .header("Idempotency-Key", key)
            .json(body),
    )
    .await
}

/// The id of what must have been made.
pub(crate) async fn made(client: &Client, things: &str, body: &Value) -> String {
    let answer = make(client, things, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.body["id"].as_str().unwrap().to_owned()
}

/// What a change of version `seen` gives, by `PATCH` with a body, `DELETE`, or `POST` to restore.
pub(crate) async fn change(client: &Client, path: &str, seen: i32, patch: &Value) -> TestResponse {
    send(seeing(client, Method::PATCH, path, seen).json(patch)).await
}

pub(crate) async fn delete(client: &Client, path: &str, seen: i32) -> TestResponse {
    send(seeing(client, Method::DELETE, path, seen)).await
}

pub(crate) async fn restore(client: &Client, path: &str, seen: i32) -> TestResponse {
    let path = format!("{path}/restore");
    send(seeing(client, Method::POST, &path, seen)).await
}

pub(crate) fn seeing(
    client: &Client,
    method: Method,
    path: &str,
    seen: i32,
) -> reqwest::RequestBuilder {
    client
        .request(method, path)
        .header("If-Match", format!("\"{seen}\""))
}

/// The values of a field of a list, in its order.
pub(crate) async fn listed(client: &Client, path: &str, field: &str) -> Vec<String> {
    let page = client.get(path).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let items = page.body["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item[field].as_str().unwrap().to_owned())
        .collect()
}
