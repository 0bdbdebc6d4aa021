//! The desk over HTTP: tasks, projects and contacts keep their names to themselves, go and come back whole, and are
//! changed only by whoever has seen them.

mod contacts;
mod inbox;
mod inside;
mod projects;
mod tasks;

use crate::support::{
    Client,
    client::{Answer, send},
};
use base::JobId;
use reqwest::Method;
use serde_json::Value;

/// Makes something under a key of its own.
pub(crate) async fn make(client: &Client, things: &str, body: &Value) -> Answer {
    make_with_key(client, things, &JobId::new().to_string(), body).await
}

async fn make_with_key(client: &Client, things: &str, key: &str, body: &Value) -> Answer {
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
async fn change(client: &Client, path: &str, seen: i32, patch: &Value) -> Answer {
    send(seeing(client, Method::PATCH, path, seen).json(patch)).await
}

async fn delete(client: &Client, path: &str, seen: i32) -> Answer {
    send(seeing(client, Method::DELETE, path, seen)).await
}

async fn restore(client: &Client, path: &str, seen: i32) -> Answer {
    let path = format!("{path}/restore");
    send(seeing(client, Method::POST, &path, seen)).await
}

fn seeing(client: &Client, method: Method, path: &str, seen: i32) -> reqwest::RequestBuilder {
    client
        .request(method, path)
        .header("If-Match", format!("\"{seen}\""))
}

/// The values of a field of a list, in its order.
async fn listed(client: &Client, path: &str, field: &str) -> Vec<String> {
    let page = client.get(path).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let items = page.body["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item[field].as_str().unwrap().to_owned())
        .collect()
}
