//! What a client can rely on in the document: names, tags, bounds, headers and codes; and how it is served.

mod bodies;

use crate::support::{
    TestDb,
    client::{http, send},
    system::TestApi,
};
use api::{
    error::Code,
    openapi,
    route_table::{RouteTable, Tag},
    routes,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| openapi::document(&RouteTable::build(routes::all()).0));

/// Every operation with its name.
fn operations() -> Vec<(&'static str, &'static Value)> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    paths
        .values()
        .flat_map(|methods| methods.as_object().unwrap().values())
        .map(|operation| (operation["operationId"].as_str().unwrap(), operation))
        .collect()
}

fn schemas() -> impl Iterator<Item = (&'static String, &'static Value)> {
    DOCUMENT["components"]["schemas"]
        .as_object()
        .unwrap()
        .iter()
}

fn resolve(value: &'static Value) -> &'static Value {
    let reference = value.get("$ref").and_then(Value::as_str);
    reference.map_or(value, |reference| {
        DOCUMENT
            .pointer(&reference[1..])
            .expect("a reference leads somewhere")
    })
}

fn parameters(operation: &'static Value) -> Vec<&'static Value> {
    let given = operation["parameters"].as_array().into_iter().flatten();
    given.map(resolve).collect()
}

fn parameter(operation: &'static Value, name: &str) -> Option<&'static Value> {
    parameters(operation)
        .into_iter()
        .find(|parameter| parameter["name"] == name)
}

/// Calls `look` on every schema of the document, with where it is.
fn walk(at: &str, schema: &'static Value, look: &mut dyn FnMut(&str, &'static Value)) {
    look(at, schema);
    match schema {
        Value::Object(members) => {
            for (name, member) in members {
                if name != "example" && name != "default" {
                    walk(&format!("{at}/{name}"), member, look);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(at, item, look)),
        _ => {}
    }
}

#[test]
fn operation_has_a_tag_a_name_and_a_summary_of_one_line() {
    let tags: Vec<&str> = Tag::ALL.iter().map(|tag| tag.as_str()).collect();
    for (name, operation) in operations() {
        assert!(
            name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{name}"
        );
        let tag = operation["tags"][0].as_str().unwrap();
        assert!(tags.contains(&tag), "{name} has no tag");
        let summary = operation["summary"].as_str().unwrap();
        assert!((5..=100).contains(&summary.len()), "{name}: {summary}");
        assert!(
            summary.starts_with(|c: char| c.is_ascii_uppercase()),
            "{name}: {summary}"
        );
        assert!(!summary.ends_with('.'), "{name}: {summary}");
    }
}

#[test]
fn description_names_nothing_of_rust() {
    let mut wrong = Vec::new();
    walk("", &DOCUMENT, &mut |at, value| {
        for text in ["summary", "description"] {
            let text = value.get(text).and_then(Value::as_str).unwrap_or_default();
            // Types are in camel case; `Bearer` and the like are words.
            let code = text.split('`').skip(1).step_by(2);
            let types = code.filter(|code| {
                code.chars().all(|c| c.is_ascii_alphanumeric())
                    && code.starts_with(|c: char| c.is_ascii_uppercase())
                    && code.bytes().filter(u8::is_ascii_uppercase).count() > 1
                    && code.bytes().any(|b| b.is_ascii_lowercase())
            });
            if text.contains("[`") || text.contains("::") || types.count() > 0 {
                wrong.push(format!("{at}: {text}"));
            }
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn schema_has_a_proper_name_of_its_own() {
    for (name, schema) in schemas() {
        let letters = name.chars().all(|c| c.is_ascii_alphabetic());
        assert!(
            letters && name.starts_with(|c: char| c.is_ascii_uppercase()),
            "{name}"
        );
        for rust in ["Body", "View"] {
            assert!(!name.ends_with(rust), "{name} is named after a Rust type");
        }
        assert!(
            schema["description"].is_string() || schema["type"] == "string",
            "{name} is not described"
        );
    }
}

#[test]
fn id_is_a_uuid() {
    // The ids of others: of email, of requests, of traces, of what callers name.
    let others = [
        "request_id",
        "client_request_id",
        "trace_id",
        "external_id",
        "list_id",
        "resource_id",
        "message_id",
    ];
    let is_uuid = |schema: &'static Value| {
        let mut found = false;
        walk("", resolve(schema), &mut |_, part| {
            found |= resolve(part)["format"] == "uuid";
        });
        found
    };
    for (name, operation) in operations() {
        if let Some(id) = parameter(operation, "id") {
            assert_eq!(id["schema"]["format"], "uuid", "{name}");
        }
    }
    for (name, schema) in schemas() {
        for (field, described) in schema["properties"].as_object().into_iter().flatten() {
            let is_id = field == "id" || field.ends_with("_id");
            if is_id && !others.contains(&field.as_str()) {
                assert!(is_uuid(described), "{name}.{field}");
            }
        }
    }
}

#[test]
fn limit_is_an_integer_from_1_to_200_with_its_default() {
    let mut paged = 0;
    for (name, operation) in operations() {
        let Some(limit) = parameter(operation, "limit") else {
            continue;
        };
        paged += 1;
        let expected =
            serde_json::json!({ "type": "integer", "minimum": 1, "maximum": 200, "default": 50 });
        assert_eq!(limit["schema"], expected, "{name}");
        assert!(parameter(operation, "cursor").is_some(), "{name}");
    }
    assert!(paged >= 12, "{paged} lists are paged");
}

#[test]
fn number_has_its_bounds() {
    walk("", &DOCUMENT, &mut |at, schema| {
        let is_number = ["integer", "number"].iter().any(|name| {
            let types = &schema["type"];
            types == name
                || types
                    .as_array()
                    .is_some_and(|all| all.iter().any(|one| one == name))
        });
        // A map's values are counts, and what a map holds is not a field.
        assert!(
            !is_number || schema["minimum"].is_number() || at.ends_with("additionalProperties"),
            "{at}: {schema}"
        );
    });
}

#[test]
fn body_takes_no_unknown_fields_and_strings_of_keys_have_their_pattern() {
    for (name, operation) in operations() {
        let content = &operation["requestBody"]["content"]["application/json"];
        if !content.is_null() {
            let schema = resolve(&content["schema"]);
            assert_eq!(schema["additionalProperties"], false, "{name}");
        }
        if let Some(key) = parameter(operation, "Idempotency-Key") {
            assert!(key["schema"]["pattern"].is_string(), "{name}");
            assert_eq!(key["schema"]["minLength"], 1, "{name}");
        }
    }
}

#[test]
fn body_with_several_forms_says_which_fields_go_together() {
    for name in [
        "ApprovalEdit",
        "Deferral",
        "NewConnection",
        "NewConnectionSecret",
        "NewBlock",
        "SubmitAction",
        "SubmitDraft",
        "TriageBatchItem",
    ] {
        let forms = DOCUMENT["components"]["schemas"][name]["oneOf"].as_array();
        let forms = forms.unwrap_or_else(|| panic!("{name} has no forms"));
        assert!(
            forms.iter().any(|form| form["required"].is_array()),
            "{name}"
        );
    }
}

/// Generators of clients read schemas that are objects, a word as part of an `enum`, and no `const` of a boolean.
#[test]
fn schema_is_of_a_kind_that_generated_clients_can_read() {
    walk("", &DOCUMENT, &mut |at, schema| {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            assert!(field.is_object(), "{at}/{name}: {field}");
        }
        if at.ends_with("/content/application/json") {
            assert!(schema["schema"].is_object(), "{at}: {schema}");
        }
        let of_form = at.split('/').rev().nth(1) == Some("properties");
        for variant in schema["oneOf"].as_array().into_iter().flatten() {
            let word = variant.get("const").or_else(|| variant.get("enum"));
            assert!(word.is_none(), "{at}: {variant} is a type of its own");
        }
        assert!(!(of_form && schema["const"].is_boolean()), "{at}: {schema}");
    });
    assert_eq!(DOCUMENT["servers"][0]["url"], "/");
    // A client sends a parameter that has a default, and a JSON body has these options as fields.
    let (_, submit) = operations()
        .into_iter()
        .find(|(name, _)| *name == "submit_triage")
        .unwrap();
    for option in ["dry_run", "force", "mode", "urgency"] {
        let schema = &parameter(submit, option).unwrap()["schema"];
        assert!(schema.get("default").is_none(), "{option}: {schema}");
    }
}

#[test]
fn response_describes_the_headers_that_it_carries() {
    for (name, operation) in operations() {
        let changes_a_version = parameter(operation, "If-Match").is_some();
        let keyed = parameter(operation, "Idempotency-Key").is_some();
        for (status, response) in operation["responses"].as_object().unwrap() {
            let response = resolve(response);
            let has = |header: &str| {
                let described = response["headers"].get(header);
                described.is_some_and(|_| {
                    resolve(&response["headers"][header])["description"].is_string()
                })
            };
            assert!(has("X-Request-Id"), "{name} {status}");
            match status.as_str() {
                "200" | "201" | "202" => {
                    assert!(!changes_a_version || has("ETag"), "{name} {status}");
                    assert!(!keyed || has("Idempotent-Replayed"), "{name} {status}");
                    assert!(!keyed || has("Location"), "{name} {status}");
                }
                "401" => assert!(has("WWW-Authenticate"), "{name}"),
                "429" | "503" => assert!(has("Retry-After"), "{name} {status}"),
                _ => {}
            }
        }
    }
}

#[test]
fn failure_is_described_with_its_codes() {
    for (name, operation) in operations() {
        for (status, response) in operation["responses"].as_object().unwrap() {
            if !status.starts_with(['4', '5']) {
                continue;
            }
            let response = resolve(response);
            let schema = &response["content"]["application/problem+json"]["schema"];
            let codes = schema["properties"]["code"]["enum"].as_array();
            let codes = codes.unwrap_or_else(|| panic!("{name} {status} names no codes"));
            assert!(!codes.is_empty(), "{name} {status}");
            for code in codes {
                let known = Code::ALL.iter().find(|known| code == known.as_str());
                let known = known.unwrap_or_else(|| panic!("{name} {status}: {code}"));
                assert_eq!(known.status().as_str(), status, "{name} {code}");
                let text = response["description"].as_str().unwrap();
                assert!(text.contains(known.title()), "{name} {status}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn document_and_page_are_not_sent_to_a_client_that_has_them() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    for path in ["/openapi.json", "/docs"] {
        let url = format!("http://{}{path}", api.addr);
        let first = send(http().get(&url)).await;
        assert_eq!(first.status, 200, "{path}");
        let etag = first.header("etag").expect("an ETag").to_owned();
        let again = send(http().get(&url).header("If-None-Match", &etag)).await;
        assert_eq!(
            (again.status.as_u16(), again.text.as_str()),
            (304, ""),
            "{path}"
        );
        assert_eq!(again.header("etag"), Some(etag.as_str()), "{path}");
        let other = send(http().get(&url).header("If-None-Match", "\"other\"")).await;
        assert_eq!(
            (other.status.as_u16(), &other.text),
            (200, &first.text),
            "{path}"
        );
    }
}

#[tokio::test]
async fn page_shows_every_operation_and_schema_and_loads_nothing() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let page = send(http().get(format!("http://{}/docs", api.addr))).await;
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    for (name, _) in operations() {
        let anchored = page.text.matches(&format!("id=\"{name}\"")).count();
        assert_eq!(anchored, 1, "{name}");
        assert!(
            page.text.contains(&format!("href=\"#{name}\"")),
            "{name} cannot be reached"
        );
    }
    for (name, _) in schemas() {
        assert!(
            page.text.contains(&format!("id=\"schema-{name}\"")),
            "{name}"
        );
    }
    for link in page.text.split("href=\"#").skip(1) {
        let target = link.split('"').next().unwrap();
        assert!(
            page.text.contains(&format!("id=\"{target}\"")),
            "#{target} leads nowhere"
        );
    }
    for foreign in [
        "<script", "<link", "<img", "src=", "@import", "url(", "style=\"", " onload",
    ] {
        assert!(!page.text.contains(foreign), "{foreign}");
    }
    // The policy allows the page's own style, by its digest, and nothing else.
    let style = page
        .text
        .split("<style>")
        .nth(1)
        .unwrap()
        .split("</style>")
        .next()
        .unwrap();
    let digest = STANDARD.encode(Sha256::digest(style));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(
        policy.contains(&format!("style-src 'sha256-{digest}';")),
        "{policy}"
    );
    assert!(
        !policy.contains("http") && !policy.contains("unsafe"),
        "{policy}"
    );
}

/// The parameter's schema, of the kinds that may be null the first.
fn schema_of(operation: &str, name: &str) -> &'static Value {
    let (_, operation) = operations()
        .into_iter()
        .find(|(found, _)| *found == operation)
        .unwrap();
    resolve(&parameter(operation, name).unwrap()["schema"])
}

#[tokio::test]
async fn service_refuses_what_the_document_forbids_and_takes_what_it_allows() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    for (operation, name) in [
        ("list_jobs", "kind"),
        ("list_jobs", "queue"),
        ("list_dead_letters", "kind"),
        ("list_approvals", "kind"),
    ] {
        let schema = schema_of(operation, name);
        assert!(schema.get("enum").is_none(), "{operation} {name}: {schema}");
    }
    assert!(schema_of("get_job", "wait").get("maximum").is_none());
    for allowed in [
        "/v1/jobs?kind=of.a.former.release&queue=former",
        "/v1/dead-letters?kind=of.a.former.release",
        "/v1/approvals?kind=former",
    ] {
        let answer = owner.get(allowed).await;
        assert_eq!(answer.status, 200, "{allowed}: {}", answer.text);
    }
    let long = format!("/v1/audit?request_id={}", "x".repeat(129));
    let versions = format!("/v1/drafts/{}/versions?before=0", uuid::Uuid::now_v7());
    let diff = format!("/v1/drafts/{}/diff", uuid::Uuid::now_v7());
    for (forbidden, pointer) in [
        (long.as_str(), "?request_id"),
        ("/v1/audit?request_id=", "?request_id"),
        (&versions, "?before"),
        ("/v1/tasks?unknown=1", "?unknown"),
        ("/v1/tasks?limit=many", "?limit"),
        ("/v1/tasks?limit=1&limit=2", "?limit"),
        ("/v1/tasks?status=unknown", "?status"),
        ("/v1/jobs?created_from=2026-11-30", "?created_from"),
        (&diff, "?from"),
    ] {
        let answer = owner.get(forbidden).await;
        assert_eq!(answer.status, 400, "{forbidden}: {}", answer.text);
        assert_eq!(answer.body["errors"][0]["pointer"], pointer);
    }
}
