//! `cargo dev eval`: labelled emails are judged once each, compared with their labels, priced, and asked of the configured
//! model only.

use crate::support::{
    binaries::root,
    process::{Ended, Process},
};
use serde_json::{Value, json};
use std::{fs, path::Path};
use tempfile::TempDir;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

const KEY: &str = "a-real-looking-key-0123456789";

/// Runs the command; returns its exit code with all that it wrote.
async fn eval(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> (i32, Ended) {
    let folder = folder.to_str().expect("a path in UTF-8");
    let args: Vec<_> = ["eval", folder]
        .into_iter()
        .chain(args.iter().copied())
        .collect();
    let ended = Process::spawn("postroom-dev", &args, variables)
        .ended()
        .await;
    let code = ended.status.code().expect("it ends by itself");
    (code, ended)
}

/// The one JSON object that `--json` prints.
fn report(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout)
        .unwrap_or_else(|error| panic!("{error}\n{}\n{}", ended.stdout, ended.stderr))
}

/// A folder with these emails, by file name and category; all are to be notified of with low priority.
fn labelled(emails: &[(&str, &str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut labels = Vec::new();
    for (file, subject, category) in emails {
        let text = format!(
            "From: Ann <ann@client.example>\nTo: me@own.example\nSubject: {subject}\n\
             Date: Mon, 23 Nov 2026 10:00:00 +0000\n\nHello\n"
        );
        fs::write(folder.path().join(file), text).unwrap();
        labels.push(json!({
            "file": file, "language": "en", "category": category, "disposition": "notify", "priority": "low"
        }));
    }
    let labels =
        json!({ "owner": { "address": "me@own.example", "timezone": "UTC" }, "emails": labels });
    fs::write(folder.path().join("labels.json"), labels.to_string()).unwrap();
    folder
}

/// What a model says of an email.
fn judgement(category: &str) -> Value {
    json!({
        "reasoning": "It says so.", "disposition": "notify", "category": category, "priority": "low", "sla": "none",
        "matched_rule": null, "confidence": 0.9, "actions": [],
        "entities": { "people": [], "amounts": [], "dates": [] }, "injection_suspected": false
    })
}

/// A server that answers like this, with 400 tokens in and 40 out.
fn answer(content: &str) -> ResponseTemplate {
    let message = json!({ "role": "assistant", "content": content });
    ResponseTemplate::new(200).set_body_json(json!({
        "model": "gpt-4.1-mini-2025-04-14",
        "choices": [{ "index": 0, "finish_reason": "stop", "message": message }],
        "usage": { "prompt_tokens": 400, "completion_tokens": 40, "total_tokens": 440 },
    }))
}

/// The variables of a model behind this server.
fn live(address: &str) -> Vec<(&'static str, &str)> {
    vec![
        ("LLM_BASE_URL", address),
        ("LLM_MODEL", "gpt-4.1-mini"),
        ("LLM_API_KEY", KEY),
    ]
}

#[tokio::test]
async fn shipped_emails_are_judged_once_each_in_many_languages() {
    let folder = root().join("dev/evals");
    let (code, ended) = eval(&folder, &["--json"], &[("LLM_TESTING_MODE", "true")]).await;
    assert_eq!(code, 0, "{}", ended.stderr);
    let report = report(&ended);
    assert_eq!(
        (&report["emails"], &report["unanswered"]),
        (&json!(60), &json!(0))
    );
    for language in [
        "en", "de", "fr", "es", "it", "pt", "nl", "pl", "tr", "ru", "ja", "zh", "ar",
    ] {
        let emails = &report["languages"][language]["emails"];
        assert!(emails.as_u64() >= Some(2), "{language}: {emails}");
    }
    for decision in ["category", "disposition", "priority", "injection"] {
        let rows = report["decisions"][decision]["matrix"].as_object().unwrap();
        let counts = rows
            .values()
            .filter_map(Value::as_object)
            .flat_map(|row| row.values());
        assert_eq!(
            counts.filter_map(Value::as_u64).sum::<u64>(),
            60,
            "{decision}"
        );
    }
    // The out-of-office note asks no model, and a repair is one more request.
    assert!(report["cost"]["requests"].as_u64() >= Some(59));
}

#[tokio::test]
async fn accuracy_below_the_wanted_one_is_the_exit_code() {
    let fixtures = tempfile::tempdir().unwrap();
    let fixture = json!({ "label": "triage", "catch_all": true, "answer": judgement("task") });
    fs::write(fixtures.path().join("task.json"), fixture.to_string()).unwrap();
    let variables = [
        ("LLM_TESTING_MODE", "true"),
        ("LLM_FIXTURES_DIR", fixtures.path().to_str().unwrap()),
    ];
    let emails = labelled(&[
        ("right.eml", "Pay", "task"),
        ("wrong.eml", "News", "newsletter"),
    ]);
    let (code, ended) = eval(emails.path(), &["--min-accuracy", "0.5"], &variables).await;
    assert_eq!(code, 0, "{}", ended.stderr);
    let shown = &ended.stdout;
    assert!(shown.contains("category: 50.0 % as labelled"), "{shown}");
    assert!(
        shown.contains("wrong.eml (en): category task, labelled newsletter\n    It says so."),
        "{shown}"
    );
    assert!(!shown.contains("right.eml"), "{shown}");
    for wanted in ["0.9", "category=0.9"] {
        let (code, ended) = eval(emails.path(), &["--min-accuracy", wanted], &variables).await;
        assert_eq!(code, 1, "{}", ended.stdout);
        let said = "The accuracy of category is 0.500, below 0.9.";
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    let wanted = ["--min-accuracy", "disposition=1"];
    assert_eq!(eval(emails.path(), &wanted, &variables).await.0, 0);
}

#[tokio::test]
async fn requests_are_priced_with_the_repair_of_an_invalid_answer() {
    let server = MockServer::start().await;
    let first = Mock::given(any())
        .respond_with(answer("I cannot say."))
        .up_to_n_times(1);
    first.mount(&server).await;
    let task = answer(&judgement("task").to_string());
    Mock::given(any()).respond_with(task).mount(&server).await;
    let address = format!("{}/v1", server.uri());
    let variables = live(&address);
    let emails = labelled(&[("a.eml", "Pay", "task"), ("b.eml", "Pay this", "task")]);
    let (code, ended) = eval(emails.path(), &["--json", "--parallel", "1"], &variables).await;
    assert_eq!(code, 0, "{}", ended.stderr);
    let cost = &report(&ended)["cost"];
    // Each request costs 400 * 0.4 + 40 * 1.6 = 224 millionths of a dollar.
    assert_eq!(
        (&cost["requests"], &cost["micros"]),
        (&json!(3), &json!(672))
    );
    assert_eq!(cost["input_tokens"], json!(1200));
    assert!(!ended.stderr.contains(KEY));
}

#[tokio::test]
async fn rejected_key_stops_the_evaluation_at_once() {
    let server = MockServer::start().await;
    let refused = ResponseTemplate::new(401).set_body_json(json!({ "error": { "message": KEY } }));
    Mock::given(any())
        .respond_with(refused)
        .mount(&server)
        .await;
    let address = format!("{}/v1", server.uri());
    let variables = live(&address);
    let folder = root().join("dev/evals");
    let (code, ended) = eval(&folder, &["--parallel", "2"], &variables).await;
    assert_eq!(code, 1);
    let said = "the model will reject the other emails too: the provider rejects the credential";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    assert!(!ended.stderr.contains(KEY) && ended.stdout.is_empty());
    let requests = server
        .received_requests()
        .await
        .expect("requests are recorded")
        .len();
    assert!(requests <= 4, "{requests} requests were sent");
}

#[tokio::test]
async fn missing_key_is_named_before_anything_is_sent() {
    let (code, ended) = eval(&root().join("dev/evals"), &[], &[]).await;
    assert_eq!(code, 1);
    assert!(ended.stderr.contains("LLM_API_KEY"), "{}", ended.stderr);
}
