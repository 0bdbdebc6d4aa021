//! Budgets are not overrun, and usage is summed from what was recorded.

mod cache;
mod captures;
mod keys;
mod locks;
mod many_workers;
mod urgency;

use crate::{
    lanes::put_budgets,
    support::{
        TestDb,
        client::send,
        eventually,
        model::{FakeModel, Reply},
        people::TestTenant,
        system::TestApi,
        wait::SOON,
    },
};
use base::TenantId;
use jobs::{
    commands::llm::warn_of_budgets,
    domain::llm::BudgetPeriod,
    store::{
        llm_budgets::{self, NewBudget, Reservation},
        llm_calls::{Amount, Spender},
    },
};
use reqwest::Method;
use serde_json::json;

const KIND: &str = "triage.email";

fn spender(tenant: TenantId, kind: &str) -> Spender<'_> {
    Spender {
        tenant,
        kind,
        api_key: None,
    }
}

fn amount(tokens: i64) -> Amount {
    Amount {
        tokens,
        micros: Some(tokens * 2),
    }
}

async fn tenant_with(budgets: &[NewBudget]) -> TestTenant {
    let acme = TestTenant::open().await;
    let mut conn = acme.db.pool().acquire().await.unwrap();
    for budget in budgets {
        llm_budgets::set(&mut conn, acme.owner.tenant, budget)
            .await
            .unwrap();
    }
    acme
}

fn budget(
    kind: &str,
    period: BudgetPeriod,
    max_tokens: Option<i64>,
    max_micros: Option<i64>,
) -> NewBudget {
    NewBudget {
        api_key: None,
        kind: kind.into(),
        period,
        max_tokens,
        max_micros,
    }
}

#[tokio::test]
async fn budget_is_not_overrun_by_requests_at_the_same_time() {
    let acme = tenant_with(&[
        budget("*", BudgetPeriod::Month, Some(1000), None),
        budget(KIND, BudgetPeriod::Day, None, Some(200)),
    ])
    .await;
    let tenant = acme.owner.tenant;
    // 20 millionths each: ten of them fit.
    let requests = (0..64).map(|_| {
        let pool = acme.db.pool().clone();
        tokio::spawn(async move {
            let mut conn = pool.acquire().await.unwrap();
            let reserved = llm_budgets::reserve(&mut conn, spender(tenant, KIND), amount(10)).await;
            let covered = reserved.unwrap() == Reservation::Covered;
            if covered {
                // It used a little less than it reserved, which another may use.
                llm_budgets::settle(&mut conn, spender(tenant, KIND), amount(10), amount(9))
                    .await
                    .unwrap();
            }
            covered
        })
    });
    let mut covered = 0;
    for request in requests.collect::<Vec<_>>() {
        covered += i64::from(request.await.unwrap());
    }
    let mut conn = acme.db.pool().acquire().await.unwrap();
    let stored = llm_budgets::list(&mut conn, tenant).await.unwrap();
    for budget in &stored {
        assert_eq!(budget.spent, amount(covered * 9));
        assert_eq!(budget.reserved, amount(0));
    }
    // The eleventh fits only if all others have settled by then.
    assert!((10..=11).contains(&covered), "{covered}: {stored:?}");
}

#[tokio::test]
async fn budget_in_money_covers_no_request_without_a_price_and_other_kinds_are_free() {
    let acme = tenant_with(&[budget(KIND, BudgetPeriod::Day, None, Some(200))]).await;
    let mut conn = acme.db.pool().acquire().await.unwrap();
    let tenant = acme.owner.tenant;
    let unpriced = Amount {
        tokens: 1,
        micros: None,
    };
    let reserved = llm_budgets::reserve(&mut conn, spender(tenant, KIND), unpriced).await;
    assert!(matches!(
        reserved.unwrap(),
        Reservation::PriceUnknown { .. }
    ));
    let other = llm_budgets::reserve(&mut conn, spender(tenant, "draft.generate"), unpriced).await;
    assert_eq!(other.unwrap(), Reservation::Covered);
}

#[tokio::test]
async fn budget_that_is_nearly_spent_is_in_the_inbox_once() {
    let acme = tenant_with(&[budget("*", BudgetPeriod::Day, Some(100), None)]).await;
    let (pool, tenant) = (acme.db.pool(), acme.owner.tenant);
    let spend = async |tokens| {
        let mut conn = pool.acquire().await.unwrap();
        llm_budgets::settle(&mut conn, spender(tenant, KIND), amount(0), amount(tokens))
            .await
            .unwrap();
        warn_of_budgets(pool, 10).await.unwrap()
    };
    assert_eq!(spend(79).await, 0);
    assert_eq!(spend(1).await, 1);
    assert_eq!(spend(1).await, 0, "it was said before");
    let title: String = acme.db.one("select title from inbox_items").await;
    assert_eq!(
        title,
        "Four fifths of the day's budget for language models are spent"
    );
}

#[tokio::test]
async fn budget_of_yesterday_is_renewed() {
    let acme = tenant_with(&[budget("*", BudgetPeriod::Day, Some(10), None)]).await;
    let mut conn = acme.db.pool().acquire().await.unwrap();
    let tenant = acme.owner.tenant;
    llm_budgets::reserve(&mut conn, spender(tenant, KIND), amount(10))
        .await
        .unwrap();
    llm_budgets::settle(&mut conn, spender(tenant, KIND), amount(10), amount(10))
        .await
        .unwrap();
    let refused = llm_budgets::reserve(&mut conn, spender(tenant, KIND), amount(1)).await;
    let Reservation::Exceeded { until } = refused.unwrap() else {
        panic!("the budget is spent");
    };
    assert!(until > base::clock::Clock::System.now());
    acme.db
        .execute("update llm_budgets set period_start = period_start - 1")
        .await;
    let renewed = llm_budgets::reserve(&mut conn, spender(tenant, KIND), amount(10)).await;
    assert_eq!(renewed.unwrap(), Reservation::Covered);
}

#[tokio::test]
async fn spent_budget_makes_an_email_wait_and_a_larger_one_lets_it_go_on() {
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Fits]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let tiny = json!({"budgets": [{"kind": KIND, "period": "day", "max_tokens": 10}]});
    put_budgets(&client, &tiny).await;
    let _worker = model.worker(&db, &[]).await;
    let email =
        b"Message-ID: <1@x.example>\nFrom: a@x.example\nTo: b@acme.example\nSubject: S\n\nWhen?";
    let id = client.submitted(email, "budget").await;
    eventually(SOON, async || {
        let why = client.get(&format!("/v1/jobs/{id}/explain")).await.body;
        match why["reasons"][0]["error_code"].as_str() {
            Some("llm_over_budget") => Ok(()),
            _ => Err(why.to_string()),
        }
    })
    .await;
    assert_eq!(model.calls(), 0);

    let large = json!({"budgets": [{"kind": KIND, "period": "day", "max_tokens": 100_000}]});
    put_budgets(&client, &large).await;
    db.execute("update jobs set run_at = now()").await;
    let job = client.finished(&id).await;
    assert_eq!(job["output"]["source"], "llm", "{job}");
    let usage = client.get("/v1/usage").await.body;
    assert_eq!(usage["total"]["input_tokens"], 400, "{usage}");
    assert_eq!(usage["days"][0]["kind"], KIND, "{usage}");
}

#[tokio::test]
async fn budget_and_usage_requests_are_checked() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    for (budget, pointer) in [
        (
            json!({"kind": "nothing", "period": "day", "max_tokens": 1}),
            "/budgets/0/kind",
        ),
        (
            json!({"kind": "*", "period": "day", "max_tokens": -1}),
            "/budgets/0/max_tokens",
        ),
        (json!({"kind": "*", "period": "day"}), "/budgets/0"),
        (
            json!({"kind": "*", "period": "week", "max_tokens": 1}),
            "/budgets/0/period",
        ),
    ] {
        let request = client.request(Method::PUT, "/v1/budgets");
        let answer = send(request.json(&json!({ "budgets": [budget] }))).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert_eq!(
            answer.body["errors"][0]["pointer"], pointer,
            "{}",
            answer.text
        );
    }
    for query in ["from=2026-11-02&to=2026-11-01", "from=2020-01-01", "day=1"] {
        let answer = client.get(&format!("/v1/usage?{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text);
    }
}

#[tokio::test]
async fn new_budget_holds_what_batches_of_yesterday_have_reserved() {
    let acme = TestTenant::open().await;
    let tenant = acme.owner.tenant;
    let mut conn = acme.db.pool().acquire().await.unwrap();
    locks::batched(&mut conn, tenant, None).await;
    acme.db
        .execute("update llm_calls set created_at = now() - interval '25 hours'")
        .await;
    let of_day = budget(KIND, BudgetPeriod::Day, Some(15), None);
    llm_budgets::set(&mut conn, tenant, &of_day).await.unwrap();
    let stored = llm_budgets::list(&mut conn, tenant).await.unwrap();
    assert_eq!(stored[0].reserved, amount(10));
    let more = llm_budgets::reserve(&mut conn, spender(tenant, KIND), amount(10)).await;
    assert!(matches!(more.unwrap(), Reservation::Exceeded { .. }));
}
