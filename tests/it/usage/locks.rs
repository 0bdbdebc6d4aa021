//! Requests to models and those who change or free budgets lock them in one order, so that none of them fails by a deadlock.

use super::{KIND, amount, budget};
use crate::support::{
    api_keys::{all_scopes, issue},
    people::TestTenant,
    wait::statement_waits,
};
use base::{JobId, TenantId, WorkerId};
use jobs::{
    commands::llm::{lose_llm_calls, put_budgets},
    domain::{ApiKeyId, llm::BudgetPeriod},
    store::{
        llm_budgets::{self, NewBudget, Reservation},
        llm_calls::{self, NewLlmCall, Spender, Unsent},
    },
};
use queue::Lease;
use sqlx::{PgConnection, Postgres, Transaction};

/// A budget for everybody, and one for a key.
fn budgets(key: ApiKeyId) -> [NewBudget; 2] {
    let of_key = NewBudget {
        api_key: Some(key),
        ..budget(KIND, BudgetPeriod::Day, Some(1000), None)
    };
    [budget("*", BudgetPeriod::Month, Some(1000), None), of_key]
}

async fn tenant_with_key() -> (TestTenant, ApiKeyId) {
    let acme = TestTenant::open().await;
    let tenant = acme.owner.tenant;
    let key = issue(&acme.db, tenant, all_scopes()).await.key.id;
    let mut conn = acme.db.pool().acquire().await.unwrap();
    for budget in budgets(key) {
        llm_budgets::set(&mut conn, tenant, &budget).await.unwrap();
    }
    (acme, key)
}

/// A request of the key that has locked the key's budget and not yet that of everybody.
async fn half_reserved(acme: &TestTenant) -> Transaction<'static, Postgres> {
    let mut request = acme.db.pool().begin().await.unwrap();
    let locked = "select kind from llm_budgets where api_key_id is not null for update";
    let kind: String = sqlx::query_scalar(locked)
        .fetch_one(&mut *request)
        .await
        .unwrap();
    assert_eq!(kind, KIND);
    request
}

async fn reserve(conn: &mut PgConnection, tenant: TenantId, key: ApiKeyId) -> Reservation {
    let spender = Spender {
        tenant,
        kind: KIND,
        api_key: Some(key),
    };
    llm_budgets::reserve(conn, spender, amount(10))
        .await
        .expect("no deadlock")
}

/// Records a request that waits for a batch.
pub(super) async fn batched(conn: &mut PgConnection, tenant: TenantId, api_key: Option<ApiKeyId>) {
    let call = NewLlmCall {
        id: JobId::new().0,
        lease: Lease {
            tenant,
            job: JobId::new(),
            attempt: 1,
            worker: WorkerId::new(),
        },
        kind: KIND,
        api_key,
        step: "triage",
        provider: "openai",
        model: "fake-1",
        prompt_version: "test.v1",
        prompt_sha256: [0; 32],
        prompt_bytes: 1,
        tries: 1,
        reserved: amount(10),
        timeout_seconds: 0.0,
    };
    llm_calls::insert_unsent(conn, &call, Unsent::Batched)
        .await
        .unwrap();
}

#[tokio::test]
async fn budgets_are_replaced_while_requests_reserve_in_them() {
    let (acme, key) = tenant_with_key().await;
    let mut request = half_reserved(&acme).await;
    let replaced = {
        let (pool, session) = (acme.db.pool().clone(), acme.owner.clone());
        tokio::spawn(async move {
            let put = put_budgets(&pool, &session, &budgets(key), "req-budgets").await;
            put.map(|stored| stored.len())
        })
    };
    statement_waits(&acme.db).await;
    let reserved = reserve(&mut request, acme.owner.tenant, key).await;
    assert_eq!(reserved, Reservation::Covered);
    request.commit().await.unwrap();
    assert_eq!(replaced.await.unwrap().expect("no deadlock"), 2);
}

#[tokio::test]
async fn budgets_are_freed_of_lost_requests_while_others_reserve_in_them() {
    let (acme, key) = tenant_with_key().await;
    let mut conn = acme.db.pool().acquire().await.unwrap();
    for api_key in [None, Some(key)] {
        batched(&mut conn, acme.owner.tenant, api_key).await;
    }
    acme.db
        .execute("update llm_calls set created_at = now() - interval '1 minute'")
        .await;
    let mut request = half_reserved(&acme).await;
    let lost = {
        let pool = acme.db.pool().clone();
        tokio::spawn(async move { lose_llm_calls(&pool, 10).await.map(|lost| lost.requests) })
    };
    statement_waits(&acme.db).await;
    let reserved = reserve(&mut request, acme.owner.tenant, key).await;
    assert_eq!(reserved, Reservation::Covered);
    request.commit().await.unwrap();
    assert_eq!(lost.await.unwrap().expect("no deadlock"), 2);
}
