//! Whatever a person changes names the version they saw: of those who saw one version, one is taken, and the others learn
//! of it.

use crate::{
    actions::sending::TestApp,
    blocks::block,
    drafts::seed,
    support::{
        Client,
        client::{TestResponse, send},
    },
};
use futures::future::join_all;
use jobs::domain::rules::SAMPLE_RULES as RULES;
use reqwest::Method;
use serde_json::{Value, json};

/// One change, made by many who have all seen this version; each with a body of its own.
struct Race {
    method: Method,
    path: String,
    version: i32,
    body: fn(usize) -> Value,
}

impl Race {
    fn on(method: Method, path: impl Into<String>, version: i32, body: fn(usize) -> Value) -> Self {
        let path = path.into();
        Self {
            method,
            path,
            version,
            body,
        }
    }

    async fn run(&self, client: &Client) -> Vec<TestResponse> {
        join_all((0..12).map(|n| {
            let request = client.request(self.method.clone(), &self.path);
            let request = request.header("If-Match", format!("\"{}\"", self.version));
            send(match (self.body)(n) {
                Value::Null => request,
                Value::String(yaml) => request
                    .header("Content-Type", "application/yaml")
                    .body(yaml),
                body => request.json(&body),
            })
        }))
        .await
    }
}

/// The path of what is made by this.
async fn made(client: &Client, method: Method, path: &str, body: &Value) -> String {
    let request = client
        .request(method, path)
        .header("Idempotency-Key", uuid::Uuid::now_v7().to_string())
        .json(body);
    let answer = send(request).await;
    assert!(answer.status.is_success(), "{path}: {}", answer.text);
    format!("{path}/{}", answer.body["id"].as_str().unwrap())
}

#[tokio::test]
async fn of_many_who_change_what_they_saw_in_one_version_one_is_taken() {
    let app = TestApp::open().await;
    let client = &app.client;
    let named = |name: &str| json!({ "name": name });
    let project = made(client, Method::POST, "/v1/projects", &named("Bills")).await;
    let gone = made(client, Method::POST, "/v1/projects", &named("Taxes")).await;
    let contact = made(client, Method::POST, "/v1/contacts", &named("Ada")).await;
    let task = made(client, Method::POST, "/v1/tasks", &json!({"title": "Pay"})).await;
    let note = json!({"level": "semantic", "key": "sign-off", "value": "Best"});
    made(client, Method::PUT, "/v1/memory", &note).await;
    let draft = seed::draft(&app.db, client.tenant, None, "I will come.").await;
    let block = block(client, "Write", "09:00", "10:00").await;
    let races = [
        Race::on(Method::PUT, "/v1/rules", 0, |n| {
            json!(format!("{RULES}\n# {n}\n"))
        }),
        Race::on(
            Method::PATCH,
            project,
            1,
            |n| json!({"name": format!("Bills {n}")}),
        ),
        Race::on(Method::DELETE, gone, 1, |_| Value::Null),
        Race::on(
            Method::PATCH,
            contact,
            1,
            |n| json!({"name": format!("Ada {n}")}),
        ),
        Race::on(
            Method::PATCH,
            task,
            1,
            |n| json!({"title": format!("Pay {n}")}),
        ),
        Race::on(
            Method::PUT,
            "/v1/memory",
            1,
            |n| json!({"level": "semantic", "key": "sign-off", "value": n}),
        ),
        Race::on(
            Method::POST,
            format!("/v1/drafts/{draft}/discard"),
            1,
            |_| Value::Null,
        ),
        Race::on(
            Method::PATCH,
            format!("/v1/blocks/{block}"),
            1,
            |n| json!({"title": format!("Write {n}")}),
        ),
        Race::on(
            Method::POST,
            format!("/v1/connections/{}/reauth", app.connection),
            1,
            |n| json!({"username": "ada", "password": format!("secret {n}")}),
        ),
    ];
    for race in races {
        let answers = race.run(client).await;
        let taken = answers.iter().filter(|answer| answer.status.is_success());
        let (taken, path) = (taken.count(), &race.path);
        assert_eq!(taken, 1, "{path}: {}", answers[0].text);
        for refused in answers.iter().filter(|answer| !answer.status.is_success()) {
            let status = refused.status.as_u16();
            assert!([409, 412].contains(&status), "{path}: {}", refused.text);
        }
    }
}
