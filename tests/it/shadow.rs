//! Shadow mode: a second model or prompt judges a share of the emails, and nothing but the comparison follows from it.

use crate::{
    lanes::{email, put_budgets, until_count},
    support::{
        Client, TestDb,
        model::{FakeModel, Reply, VERDICT},
        system::{TestApi, Worker, metric},
        wait::SOON,
    },
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A judgement that differs in priority and actions.
const OTHER_VERDICT: &str = r#"{
    "reasoning": "A person named Alice asks for an appointment.", "disposition": "notify", "category": "scheduling",
    "priority": "high", "sla": "<72h", "matched_rule": null, "confidence": 0.7,
    "actions": [{"type": "archive", "params": {}, "rationale": "Not needed.", "confidence": 0.8}],
    "entities": {"people": [], "amounts": [], "dates": []}, "injection_suspected": false
}"#;

/// A user, two models of which the second judges in shadow, and a worker.
struct Setup {
    db: TestDb,
    _api: TestApi,
    client: Client,
    first: FakeModel,
    second: FakeModel,
    worker: Worker,
    _folder: TempDir,
}

impl Setup {
    async fn open(second: Reply, share: &str, prompt: Option<&str>) -> Self {
        let db = TestDb::new().await;
        let first = FakeModel::start([Reply::Fits]).await;
        let second = FakeModel::start([second]).await;
        let api = TestApi::start(&db).await;
        let client = api.sign_in(&db).await;
        let folder = tempfile::tempdir().unwrap();
        let models = json!({
            "default": "one",
            "tasks": {"shadow": "two"},
            "models": {
                "one": first.entry("gpt-4.1-mini", &[]),
                // It is not asked for comparisons: a fallback would compare the first model with itself.
                "two": second.entry("gpt-4.1", &["one"]),
            },
        });
        let path = folder.path().join("models.json");
        std::fs::write(&path, models.to_string()).unwrap();
        let prompt_path = folder.path().join("next.txt");
        let mut variables = vec![
            ("LLM_MODELS_FILE", path.to_str().unwrap()),
            ("KEY_OF_THE_TESTS", "key-of-the-tests"),
            ("LLM_SHADOW_SHARE", share),
        ];
        if let Some(prompt) = prompt {
            std::fs::write(&prompt_path, prompt).unwrap();
            variables.push(("LLM_SHADOW_PROMPT_FILE", prompt_path.to_str().unwrap()));
        }
        let worker = Worker::spawn_with(&db, &variables).await;
        Self {
            db,
            _api: api,
            client,
            first,
            second,
            worker,
            _folder: folder,
        }
    }

    /// Triages an email and returns the job.
    async fn triaged(&self) -> Value {
        let id = self.client.submitted(&email(1), "email-1").await;
        let job = self.client.finished(&id).await;
        assert_eq!(job["state"], "succeeded", "{job}");
        assert_eq!(job["output"]["source"], "llm", "{job}");
        assert_eq!(job["output"]["llm"]["model"], "gpt-4.1-mini", "{job}");
        job
    }

    /// The finished comparison, as the API shows it.
    async fn compared(&self) -> Value {
        let ended = "select count(*) from finished_jobs where kind = 'triage.shadow'";
        until_count(&self.db, SOON, ended, 1).await;
        let id = "select id::text from finished_jobs where kind = 'triage.shadow'";
        let id: String = self.db.one(id).await;
        self.client.job(&id).await
    }

    async fn count(&self, sql: &'static str) -> i64 {
        self.db.one(sql).await
    }

    async fn counted(&self, name: &str, labels: &[(&str, &str)], wanted: f64) {
        let value = metric(self.worker.ops, name, labels).await;
        assert!((value - wanted).abs() < 0.5, "{name} {labels:?}: {value}");
    }
}

#[tokio::test]
async fn sampled_email_is_judged_by_a_second_model_and_nothing_but_the_comparison_follows() {
    let setup = Setup::open(Reply::Says(OTHER_VERDICT.into()), "1", None).await;
    let budgets =
        json!({"budgets": [{"kind": "*", "period": "day", "max_cost_micros": 1_000_000}]});
    put_budgets(&setup.client, &budgets).await;
    let triage = setup.triaged().await;
    let shadow = setup.compared().await;
    let output = &shadow["output"];
    assert_eq!(shadow["state"], "succeeded", "{shadow}");
    assert_eq!(output["job"], triage["id"], "{output}");
    assert_eq!(output["outcome"], "differed", "{output}");
    assert_eq!(
        output["differs"],
        json!(["priority", "actions"]),
        "{output}"
    );
    assert_eq!(output["first"]["priority"], "medium", "{output}");
    assert_eq!(output["second"]["priority"], "high", "{output}");
    assert_eq!(output["second"]["actions"], json!(["archive"]), "{output}");
    assert_eq!(output["llm"]["model"], "gpt-4.1", "{output}");
    assert_eq!((setup.first.calls(), setup.second.calls()), (1, 1));
    assert_eq!(setup.first.prompt(0).len(), setup.second.prompt(0).len());

    // Nothing of the email is stored with it.
    let stored: String = setup
        .db
        .one("select args::text || output::text from finished_jobs where kind = 'triage.shadow'")
        .await;
    for content in ["Alice", "client.example", "ppointment", "meet"] {
        assert!(!stored.contains(content), "{content} is in {stored}");
    }
    // The judgement, its approval and its follow-ups are those of the first model alone.
    for (sql, wanted) in [
        ("select count(*) from triage_results", 1),
        (
            "select count(*) from triage_results where priority = 'medium'",
            1,
        ),
        (
            "select count(*) from proposed_actions where type <> 'create_task'",
            0,
        ),
        ("select count(*) from approvals", 1),
        (
            "select count(*) from jobs where kind <> 'webhook.delivery'",
            0,
        ),
        ("select count(*) from finished_jobs", 2),
    ] {
        assert_eq!(setup.count(sql).await, wanted, "{sql}");
    }
    // Its cost is its own kind's, within the budget of all.
    let cost = "select count(*) from llm_calls where kind = 'triage.shadow' and step = 'shadow'
        and model = 'gpt-4.1' and cost_micros > 0 and billing = 'settled'";
    assert_eq!(setup.count(cost).await, 1);
    let spent = "select (select spent_micros from llm_budgets) - (select sum(cost_micros) from llm_calls)::bigint";
    assert_eq!(setup.count(spent).await, 0);
    let outcome = [("outcome", "differed")];
    setup
        .counted("postroom_shadow_judgements_total", &outcome, 1.0)
        .await;
    for (field, agreed, wanted) in [
        ("category", "true", 1.0),
        ("category", "false", 0.0),
        ("priority", "false", 1.0),
        ("actions", "false", 1.0),
    ] {
        let labels = [("field", field), ("agreed", agreed)];
        setup
            .counted("postroom_shadow_fields_total", &labels, wanted)
            .await;
    }
}

#[tokio::test]
async fn second_model_that_is_away_leaves_the_comparison_out_and_the_triage_as_it_is() {
    let setup = Setup::open(Reply::Refuses(401, None), "1", None).await;
    let triage = setup.triaged().await;
    assert_eq!(triage["output"]["degraded"], false);
    let shadow = setup.compared().await;
    assert_eq!(shadow["state"], "succeeded", "{shadow}");
    assert_eq!(shadow["output"]["outcome"], "unanswered", "{shadow}");
    assert_eq!(shadow["output"]["reason"], "auth", "{shadow}");
    assert_eq!(shadow["output"]["second"], Value::Null, "{shadow}");
    // It is not asked in its place.
    assert_eq!((setup.first.calls(), setup.second.calls()), (1, 1));
    let attempts = "select max(attempt)::bigint from finished_jobs";
    assert_eq!(setup.count(attempts).await, 1);
    let lanes =
        "select count(*) from llm_lanes where reason is not null and model = 'gpt-4.1-mini'";
    assert_eq!(setup.count(lanes).await, 0);
}

#[tokio::test]
async fn budget_of_comparisons_stops_them_and_not_the_triage() {
    let setup = Setup::open(Reply::Fits, "1", None).await;
    let budgets =
        json!({"budgets": [{"kind": "triage.shadow", "period": "day", "max_cost_micros": 0}]});
    put_budgets(&setup.client, &budgets).await;
    setup.triaged().await;
    let shadow = setup.compared().await;
    assert_eq!(shadow["output"]["reason"], "over_budget", "{shadow}");
    assert_eq!((setup.first.calls(), setup.second.calls()), (1, 0));
}

#[tokio::test]
async fn second_prompt_replaces_the_instructions_and_has_its_own_version() {
    let instructions = "Judge the email as a careful secretary would.";
    let setup = Setup::open(Reply::Says(VERDICT.into()), "1", Some(instructions)).await;
    setup.triaged().await;
    let shadow = setup.compared().await;
    assert_eq!(shadow["output"]["outcome"], "agreed", "{shadow}");
    let version = shadow["output"]["prompt_version"].as_str().unwrap();
    assert!(version.starts_with("triage.v3-shadow-"), "{version}");
    assert!(setup.second.prompt(0).starts_with(instructions));
    assert!(!setup.first.prompt(0).contains(instructions));
    let recorded = "select count(distinct prompt_version) from llm_calls";
    assert_eq!(setup.count(recorded).await, 2);
}

#[tokio::test]
async fn nothing_is_compared_unless_a_share_is_configured() {
    let setup = Setup::open(Reply::Fits, "0", None).await;
    setup.triaged().await;
    let enqueued = "select (select count(*) from jobs) + (select count(*) from finished_jobs)";
    assert_eq!(setup.count(enqueued).await, 1);
    assert_eq!((setup.first.calls(), setup.second.calls()), (1, 0));
}
