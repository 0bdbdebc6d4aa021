//! What a program submits with its API key counts against the key's budgets, and is summed by key.

use super::{KIND, amount, budget};
use crate::{
    lanes::put_budgets,
    support::{
        Client, TestDb,
        api_keys::{all_scopes, issue},
        client::send,
        eventually,
        model::{FakeModel, Reply},
        people::TestTenant,
        system::TestApi,
        wait::SOON,
    },
};
use base::clock::Clock;
use jobs::{
    commands::llm::warn_of_budgets,
    domain::llm::BudgetPeriod,
    store::{
        llm_budgets::{self, NewBudget, Reservation},
        llm_calls::Spender,
    },
};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn budget_of_a_key_is_not_overrun_by_requests_at_the_same_time_and_holds_nobody_else() {
    let acme = TestTenant::open().await;
    let tenant = acme.owner.tenant;
    let key = issue(&acme.db, tenant, all_scopes()).await.key.id;
    let other = issue(&acme.db, tenant, all_scopes()).await.key.id;
    let of_key = NewBudget {
        api_key: Some(key),
        ..budget(KIND, BudgetPeriod::Day, None, Some(200))
    };
    let of_all = budget("*", BudgetPeriod::Month, Some(100_000), None);
    let mut conn = acme.db.pool().acquire().await.unwrap();
    for budget in [&of_key, &of_all] {
        llm_budgets::set(&mut conn, tenant, budget).await.unwrap();
    }
    let spender = |api_key| Spender {
        tenant,
        kind: KIND,
        api_key,
    };
    // 20 millionths each: ten of the key's fit. The others have no budget of their own.
    let requests = (0..96).map(|n| {
        let pool = acme.db.pool().clone();
        let spender = spender([Some(key), Some(other), None][n % 3]);
        tokio::spawn(async move {
            let mut conn = pool.acquire().await.unwrap();
            let reserved = llm_budgets::reserve(&mut conn, spender, amount(10)).await;
            let is_covered = reserved.unwrap() == Reservation::Covered;
            if is_covered {
                llm_budgets::settle(&mut conn, spender, amount(10), amount(10))
                    .await
                    .unwrap();
            }
            (n % 3, is_covered)
        })
    });
    let mut covered = [0; 3];
    for request in requests.collect::<Vec<_>>() {
        let (caller, is_covered) = request.await.unwrap();
        covered[caller] += usize::from(is_covered);
    }
    assert_eq!(covered, [10, 32, 32]);
    let stored = llm_budgets::list(&mut conn, tenant).await.unwrap();
    let spent: Vec<_> = stored.iter().map(|budget| budget.spent).collect();
    assert_eq!(spent, [amount(740), amount(100)]);

    assert_eq!(warn_of_budgets(acme.db.pool(), 10).await.unwrap(), 1);
    assert_eq!(warn_of_budgets(acme.db.pool(), 10).await.unwrap(), 0);
    let why: String = acme.db.one("select rationale from inbox_items").await;
    assert!(why.contains("that the API key for a test submits"), "{why}");
}

fn email(n: usize) -> Vec<u8> {
    format!(
        "Message-ID: <{n}@x.example>\nFrom: a@x.example\nTo: b@acme.example\nSubject: S{n}\n\nWhen {n}?"
    )
    .into_bytes()
}

async fn waits(client: &Client, job: &str, code: &str) {
    eventually(SOON, async || {
        let why = client.get(&format!("/v1/jobs/{job}/explain")).await.body;
        if why["reasons"][0]["error_code"] == code {
            Ok(())
        } else {
            Err(why.to_string())
        }
    })
    .await;
}

/// What a model says of an email that wants an answer.
const RESPOND: &str = r#"{
    "reasoning": "A person asks.", "disposition": "respond", "category": "scheduling", "priority": "medium",
    "sla": "<72h", "matched_rule": null, "confidence": 0.9, "actions": [],
    "entities": {"people": [], "amounts": [], "dates": []}, "injection_suspected": false
}"#;

#[tokio::test]
async fn spent_budget_of_a_key_makes_its_jobs_and_their_drafts_wait_and_no_others() {
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Says(RESPOND.into()), Reply::Fits]).await;
    let api = TestApi::start(&db).await;
    let person = api.sign_in(&db).await;
    let issued = issue(&db, person.tenant, all_scopes()).await;
    let (program, key) = (person.with_token(issued.token.expose()), issued.key.id);
    let budgets = json!({"budgets": [
        {"api_key": key, "kind": "draft.generate", "period": "day", "max_tokens": 10},
        {"kind": "*", "period": "month", "max_tokens": 10_000_000},
    ]});
    let stored = put_budgets(&person, &budgets).await;
    assert_eq!(stored["items"][0]["api_key"], Value::Null, "{stored}");
    assert_eq!(stored["items"][1]["api_key"], json!(key), "{stored}");
    let _worker = model.worker(&db, &[]).await;

    let of_program = program.submitted(&email(1), "of-program").await;
    let judged = person.finished(&of_program).await;
    assert_eq!(judged["output"]["disposition"], "respond", "{judged}");
    let draft = "select id::text from jobs where kind = 'draft.generate'";
    let draft: String = eventually(SOON, async || {
        match db
            .one::<i64>("select count(*) from jobs where kind = 'draft.generate'")
            .await
        {
            1 => Ok(db.one(draft).await),
            count => Err(format!("{count} drafts")),
        }
    })
    .await;
    waits(&person, &draft, "llm_over_budget").await;
    let of_person = person.submitted(&email(2), "of-person").await;
    let judged = person.finished(&of_person).await;
    assert_eq!(judged["output"]["source"], "llm", "{judged}");

    let usage = person.get(&format!("/v1/usage?api_key={key}")).await.body;
    assert_eq!(usage["total"]["requests"], 1, "{usage}");
    assert_eq!(usage["days"][0]["api_key"], json!(key), "{usage}");
    let usage = person.get("/v1/usage").await.body;
    assert_eq!(usage["total"]["requests"], 2, "{usage}");
    assert_eq!(usage["days"][0]["api_key"], Value::Null, "{usage}");
}

#[tokio::test]
async fn budget_names_a_key_of_its_own_tenant() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (acme, other) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let theirs = issue(&db, other.tenant, all_scopes()).await.key.id;
    let own = issue(&db, acme.tenant, all_scopes()).await.key.id;
    let budget = |key| json!({"api_key": key, "kind": "*", "period": "day", "max_tokens": 1});
    for (budgets, pointer) in [
        (json!([budget(own), budget(theirs)]), "/budgets/1/api_key"),
        (json!([budget(own), budget(own)]), "/budgets/1"),
    ] {
        let request = acme.request(Method::PUT, "/v1/budgets");
        let answer = send(request.json(&json!({ "budgets": budgets }))).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert_eq!(
            answer.body["errors"][0]["pointer"], pointer,
            "{}",
            answer.text
        );
    }
    assert_eq!(db.one::<i64>("select count(*) from llm_budgets").await, 0);
}

#[tokio::test]
async fn operators_see_the_usage_of_every_tenant_and_nobody_else_does() {
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Fits]).await;
    let api = TestApi::start_with(&db, &[("OPERATOR_TENANT", "operators")]).await;
    let (acme, operator) = (api.sign_in(&db).await, api.sign_in(&db).await);
    db.execute(&format!(
        "update tenants set slug = 'operators' where id = '{}'",
        operator.tenant
    ))
    .await;
    let _worker = model.worker(&db, &[]).await;
    let job = acme.submitted(&email(1), "one").await;
    acme.finished(&job).await;

    let usage = operator.get("/v1/admin/usage").await.body;
    let tenants = usage["tenants"].as_array().unwrap();
    assert_eq!(tenants.len(), 1, "{usage}");
    assert_eq!(tenants[0]["tenant_id"], json!(acme.tenant), "{usage}");
    assert_eq!(tenants[0]["input_tokens"], 400, "{usage}");
    assert_eq!(tenants[0]["unpriced_requests"], 1, "{usage}");
    let yesterday = Clock::System.now().date_naive().pred_opt().unwrap();
    let before = format!("/v1/admin/usage?to={yesterday}");
    let usage = operator.get(&before).await.body;
    assert_eq!(usage["tenants"], json!([]), "{usage}");
    assert_eq!(acme.get("/v1/admin/usage").await.status, 403);
}
