//! Every date that a request can hold, out of the years that can be written and stored: always a refusal, never a 500.
//!
//! The fields come from the OpenAPI document, so that a new one cannot be forgotten.

use crate::support::{
    Client, TestDb,
    client::{TestResponse, send},
    contract::resolve,
    corpus,
    system::TestApi,
};
use api::{openapi, route_table::RouteTable, routes};
use base::TenantId;
use jobs::domain::time::Moment;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::LazyLock;
use uuid::Uuid;

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| openapi::document(&RouteTable::build(routes::all()).0));

/// Before what Postgres stores, before and after what RFC 3339 writes, also by a leap second, and the last that chrono reads.
const MOMENTS: [&str; 6] = [
    "-4714-01-01T00:00:00Z",
    "0000-12-31T23:59:59Z",
    "9999-12-31T23:59:59-01:00",
    "9999-12-31T23:59:60Z",
    "+10000-01-01T00:00:00Z",
    "+262142-12-31T23:59:59Z",
];
const DAYS: [&str; 4] = ["-4714-01-01", "0000-12-31", "+10000-01-01", "+262142-12-31"];

/// A place for a date in a request.
#[derive(Clone, Debug)]
struct DateField {
    method: String,
    path: String,
    /// `?name` of a query parameter, or a pointer into the body.
    place: String,
    is_day: bool,
}

/// All of the document, and those that are text because they also take words.
fn fields() -> Vec<DateField> {
    let mut fields = Vec::new();
    for (path, methods) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let mut add = |place: String, schema: &'static Value| {
                dates(schema, place, 0, &mut |place, is_day| {
                    fields.push(DateField {
                        method: method.to_uppercase(),
                        path: path.clone(),
                        place,
                        is_day,
                    });
                });
            };
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let parameter = resolve(parameter);
                if parameter["in"] == "query" {
                    let name = parameter["name"].as_str().unwrap();
                    add(format!("?{name}"), &parameter["schema"]);
                }
            }
            let json = &operation["requestBody"]["content"]["application/json"]["schema"];
            add(String::new(), json);
        }
    }
    for (method, path, place) in [
        ("POST", "/v1/jobs/draft", "/send_at"),
        ("POST", "/v1/inbox/{id}/defer", "/until"),
    ] {
        assert!(DOCUMENT["paths"][path].is_object(), "{path} has moved");
        fields.push(DateField {
            method: method.into(),
            path: path.into(),
            place: place.into(),
            is_day: false,
        });
    }
    fields
}

fn dates(schema: &'static Value, place: String, depth: usize, found: &mut dyn FnMut(String, bool)) {
    // Schemas refer to themselves; no body is as deep as this.
    if depth > 12 {
        return;
    }
    let schema = resolve(schema);
    match schema["format"].as_str() {
        Some("date-time") => found(place.clone(), false),
        Some("date") => found(place.clone(), true),
        _ => {}
    }
    for kind in ["anyOf", "oneOf", "allOf"] {
        for schema in schema[kind].as_array().into_iter().flatten() {
            dates(schema, place.clone(), depth + 1, found);
        }
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        dates(schema, format!("{place}/{name}"), depth + 1, found);
    }
    if schema["items"].is_object() {
        dates(&schema["items"], format!("{place}/0"), depth + 1, found);
    }
}

/// A body that holds nothing but the value at this pointer.
fn body(pointer: &str, value: &str) -> Value {
    let steps: Vec<&str> = pointer.split('/').skip(1).collect();
    steps.iter().rev().fold(json!(value), |inner, step| {
        if *step == "0" {
            json!([inner])
        } else {
            json!({ *step: inner })
        }
    })
}

async fn refusal(client: &Client, field: &DateField, value: &str) -> TestResponse {
    let path = field.path.replace("{id}", &Uuid::now_v7().to_string());
    let method: Method = field.method.parse().unwrap();
    let request = client
        .request(method, &path)
        .header("Idempotency-Key", Uuid::now_v7().to_string())
        .header("If-Match", "\"1\"");
    let request = match field.place.strip_prefix('?') {
        // Parameters of a submission are those of a raw email.
        Some(name) if field.method == "POST" => request
            .query(&[(name, value)])
            .header("Content-Type", "message/rfc822")
            .body(corpus::generated(1).bytes),
        Some(name) => request.query(&[(name, value)]),
        // A text whose meaning is looked at once the rest is right.
        None if field.place == "/send_at" => request.json(&json!({
            "mode": "compose", "to": ["jo@client.example"], "intent": "Say thanks.", "send_at": value,
        })),
        None => request.json(&body(&field.place, value)),
    };
    send(request).await
}

#[tokio::test]
async fn date_out_of_range_is_refused_in_every_field_that_takes_one() {
    let db = TestDb::new().await;
    let api = TestApi::start_with(&db, &[("OPERATOR_TENANT", "operators")]).await;
    let client = api.sign_in(&db).await;
    let TenantId(tenant) = client.tenant;
    let rename = format!("update tenants set slug = 'operators' where id = '{tenant}'");
    db.execute(&rename).await;
    let fields = fields();
    assert!(fields.len() >= 30, "{fields:?}");
    for field in &fields {
        let values: &[&str] = if field.is_day { &DAYS } else { &MOMENTS };
        for value in values {
            let answer = refusal(&client, field, value).await;
            let about = format!("{value} at {field:?}");
            let (status, problem) = match &answer.body["items"][0]["problem"] {
                Value::Null => (u64::from(answer.status.as_u16()), &answer.body),
                problem => (problem["status"].as_u64().unwrap(), problem),
            };
            assert!([400, 422].contains(&status), "{about}: {}", answer.text);
            if field.place.starts_with('/') {
                let pointer = problem["errors"][0]["pointer"].as_str().unwrap();
                assert!(field.place.ends_with(pointer), "{about}: {}", answer.text);
            }
        }
    }
}

#[tokio::test]
async fn date_in_range_is_taken() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    for moment in ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
        assert!(moment.parse::<Moment>().is_ok());
        for path in [
            "/v1/jobs?created_from=",
            "/v1/history?since=",
            "/v1/blocks?until=",
        ] {
            let answer = client.get(&format!("{path}{moment}")).await;
            assert_eq!(answer.status, 200, "{path}{moment}: {}", answer.text);
        }
    }
}
