//! What each class of failure means for an email and for a draft: whether it waits and for what, how many requests it costs,
//! and that it burns no attempt and holds no slot.
//!
//! Each job has a model of its own, so that the lane of one failure stops no other. `llm::matrix` has all failures.

use super::fallbacks::worker;
use crate::support::{
    Client, TestDb, eventually,
    faults::{FaultServer, ServerFault, mark},
    system::TestApi,
    wait::SOON,
};
use serde_json::{Value, json};

/// No probe of a stopped lane comes before the test is over.
const RARELY: (&str, &str) = ("LLM_PROBE_SECONDS", "600");

/// What becomes of the two jobs.
#[derive(Clone, Copy)]
enum Jobs {
    /// Both wait with this code for at least so many seconds.
    Wait(&'static str, f64),
    /// The email is left to a person, and the draft is given up with this code.
    GivenUp(&'static str),
}

/// A failure, what it means, and the requests of the first attempt.
type Row = (&'static str, ServerFault, Jobs, i64);

fn refuses(status: u16, headers: &str) -> ServerFault {
    let body = json!({ "error": { "message": "no", "type": "test", "code": null } });
    ServerFault::Says(status, headers.to_owned(), body.to_string())
}

fn refuses_with(code: &str, message: &str) -> ServerFault {
    let body =
        json!({ "error": { "message": message, "type": "invalid_request_error", "code": code } });
    ServerFault::Says(400, String::new(), body.to_string())
}

fn says(body: &str) -> ServerFault {
    ServerFault::Says(200, String::new(), body.to_owned())
}

fn choice(message: &Value, finish: &str) -> ServerFault {
    let usage = json!({ "prompt_tokens": 400, "completion_tokens": 40 });
    says(
        &json!({ "choices": [{ "message": message, "finish_reason": finish }], "usage": usage })
            .to_string(),
    )
}

fn rows() -> Vec<Row> {
    use Jobs::{GivenUp, Wait};
    let half = json!({ "role": "assistant", "content": "{" });
    let null = json!({ "role": "assistant", "content": null });
    let declined = json!({ "role": "assistant", "content": null, "refusal": "No." });
    let quota = json!({ "error": { "code": "insufficient_quota", "message": "no" } }).to_string();
    let away = "llm_unavailable";
    vec![
        ("500", refuses(500, ""), Wait(away, 0.1), 3),
        (
            "503 with a wait",
            refuses(503, "retry-after: 40"),
            Wait(away, 40.0),
            1,
        ),
        ("529", refuses(529, ""), Wait(away, 0.1), 3),
        ("408", refuses(408, ""), Wait(away, 0.1), 3),
        ("429", refuses(429, ""), Wait("llm_rate_limited", 0.1), 3),
        (
            "429 with a wait",
            refuses(429, "retry-after: 40"),
            Wait("llm_rate_limited", 40.0),
            1,
        ),
        (
            "quota",
            ServerFault::Says(429, "retry-after: 1".into(), quota),
            Wait("llm_quota_exhausted", 3600.0),
            1,
        ),
        (
            "402",
            refuses(402, ""),
            Wait("llm_quota_exhausted", 3600.0),
            1,
        ),
        ("400", refuses(400, ""), Wait("llm_stopped", 60.0), 1),
        ("401", refuses(401, ""), Wait("llm_stopped", 60.0), 1),
        ("403", refuses(403, ""), Wait("llm_stopped", 60.0), 1),
        ("404", refuses(404, ""), Wait("llm_stopped", 60.0), 1),
        ("422", refuses(422, ""), Wait("llm_stopped", 60.0), 1),
        ("reset", ServerFault::Resets, Wait(away, 0.1), 3),
        ("stall", ServerFault::Stalls, Wait(away, 0.1), 3),
        ("HTML", says("<html>Log in</html>"), Wait(away, 0.1), 1),
        ("no choices", says("{}"), Wait(away, 0.1), 1),
        // Paid for, so that it is asked for once more.
        (
            "null content",
            choice(&null, "stop"),
            GivenUp("draft_unusable"),
            2,
        ),
        (
            "half an answer",
            choice(&half, "length"),
            GivenUp("draft_unusable"),
            1,
        ),
        (
            "a refusal",
            choice(&declined, "stop"),
            GivenUp("llm_refused"),
            1,
        ),
        (
            "400 of a filter",
            refuses_with(
                "invalid_prompt",
                "Flagged as potentially violating our usage policy. See docs/guides/reasoning#advice-on-prompting",
            ),
            GivenUp("llm_refused"),
            1,
        ),
        // An answer of which the server could make nothing.
        (
            "400 about the answer",
            refuses_with("json_validate_failed", "Failed to generate JSON."),
            GivenUp("draft_unusable"),
            2,
        ),
        ("413", refuses(413, ""), GivenUp("draft_unusable"), 1),
        (
            "huge",
            says(&"x".repeat(3 << 20)),
            GivenUp("draft_unusable"),
            1,
        ),
    ]
}

/// The models file: two models for the tenant of each row.
fn models(server: &FaultServer, clients: &[Client]) -> Value {
    let mut models = json!({ "unused": { "provider": "ollama", "model": "unused" } });
    let mut tenants = json!({});
    for (number, client) in clients.iter().enumerate() {
        for task in ["triage", "draft"] {
            let name = format!("{task}-{number}");
            models[&name] = json!({
                "model": format!("{}{task}", mark(number)),
                "base_url": format!("http://{}/v1", server.addr),
                "key_variable": "KEY_OF_THE_TESTS",
                "timeout_seconds": 2,
            });
            tenants[client.tenant.to_string()][task] = json!(name);
        }
    }
    json!({ "default": "unused", "models": models, "tenants": tenants })
}

#[tokio::test]
async fn failure_means_the_same_for_emails_and_drafts() {
    let db = TestDb::new().await;
    let rows = rows();
    let server = FaultServer::start(rows.iter().map(|row| row.1.clone()).collect()).await;
    let api = TestApi::start(&db).await;
    let mut clients = Vec::new();
    for _ in &rows {
        clients.push(api.sign_in(&db).await);
    }
    for client in &clients {
        super::submit_emails(client, 0..1).await;
        super::submit_drafts(client, 1).await;
    }
    let models = models(&server, &clients);
    let (_worker, _folder) = worker(&db, &models, RARELY).await;
    for ((name, _, jobs, requests), client) in rows.iter().zip(&clients) {
        for kind in ["triage.email", "draft.generate"] {
            let found = first_attempt(&db, client, kind).await;
            let ended = (&found["outcome"], &found["code"]);
            assert_eq!(found["requests"], *requests, "{name}, {kind}: {found}");
            assert_eq!(found["burnt"], false, "{name}, {kind}: {found}");
            let wanted = match (*jobs, kind) {
                (Jobs::Wait(code, _), _) => ("snoozed", code),
                (Jobs::GivenUp(_), "triage.email") => ("succeeded", "fallback"),
                (Jobs::GivenUp(code), _) => ("discarded", code),
            };
            let wanted = (&json!(wanted.0), &json!(wanted.1));
            assert_eq!(ended, wanted, "{name}, {kind}: {found}");
            if let Jobs::Wait(_, at_least) = *jobs {
                let wait = found["wait"].as_f64().unwrap();
                assert!(wait >= at_least, "{name}, {kind}: {found}");
            }
        }
    }
    let held = "select count(*) from job_attempts a
        where a.attempt = 1 and a.ended_at - a.started_at > interval '10 seconds' and not exists (
            select from llm_calls c where c.job_id = a.job_id and c.outcome = 'timeout')";
    assert_eq!(
        db.one::<i64>(held).await,
        0,
        "a job held its slot while it waited"
    );
}

/// How a job's first attempt ended: its `outcome`, its `code` (or the source of the judgement), the seconds from its start
/// to the end of the `wait` after it, whether it is `burnt` (counts against the attempts that a job has), and its `requests`.
async fn first_attempt(db: &TestDb, client: &Client, kind: &str) -> Value {
    let sql = format!(
        "with ended as (
             select j.id, a.outcome, coalesce(a.error_code, '') as code,
                 extract(epoch from j.run_at - a.started_at)::float8 as wait, j.errors > 0 as burnt
             from jobs j join job_attempts a on a.job_id = j.id and a.attempt = 1
             where j.tenant_id = '{tenant}' and j.kind = '{kind}'
             union all
             select id, state, coalesce(output->>'source', error_code, ''), 0, errors > 0 and state = 'succeeded'
             from finished_jobs where tenant_id = '{tenant}' and kind = '{kind}'
         )
         select json_build_object('outcome', outcome, 'code', code, 'wait', wait, 'burnt', burnt, 'requests',
             (select count(*) from llm_calls call where call.job_id = ended.id and attempt = 1))::text
         from ended",
        tenant = client.tenant,
    );
    eventually(SOON * 2, async || {
        let found: Option<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql.clone()))
            .fetch_optional(db.pool())
            .await
            .map_err(|error| error.to_string())?;
        let found = found.ok_or_else(|| format!("{kind} of {} has not ended", client.tenant))?;
        serde_json::from_str(&found).map_err(|error| error.to_string())
    })
    .await
}
