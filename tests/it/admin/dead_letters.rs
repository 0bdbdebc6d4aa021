//! What jobs of all tenants died of, seen and put back by operators who never read what the jobs carry.

use super::{audited, post, with_operators};
use crate::{listing::discarded, support::TestDb};
use serde_json::{Value, json};

const LIST: &str = "/v1/admin/dead-letters";
const RETRY: &str = "/v1/admin/dead-letters/retry";

fn ids(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn dead_letters_of_all_tenants_are_listed_page_by_page_without_what_they_carry() {
    let db = TestDb::new().await;
    let (api, operator) = with_operators(&db).await;
    let (one, other) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let first = discarded(&db, &one, "test.noop", "bad").await;
    let second = discarded(&db, &other, "test.other", "bad").await;
    let third = discarded(&db, &one, "test.noop", "worse").await;
    db.execute("update finished_jobs set args = '{\"mail\": \"a secret\"}'")
        .await;

    let page = operator.get(&format!("{LIST}?limit=2")).await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert_eq!(ids(&page.body), [&third, &second]);
    assert!(!page.text.contains("secret") && !page.text.contains("What to do"));
    let cursor = page.body["next_cursor"].as_str().unwrap();
    let rest = operator
        .get(&format!("{LIST}?limit=2&cursor={cursor}"))
        .await;
    assert_eq!(
        (ids(&rest.body), &rest.body["next_cursor"]),
        (vec![first.as_str()], &Value::Null)
    );
    let mixed = operator
        .get(&format!("{LIST}?kind=test.noop&cursor={cursor}"))
        .await;
    mixed.assert_problem(400, "INVALID_PARAMETER", "a cursor of another list");

    let tenant = format!("tenant={}", one.tenant);
    for (filter, expected) in [
        (tenant.as_str(), vec![third.as_str(), &first]),
        ("kind=test.other", vec![&second]),
        ("error_code=bad", vec![&second, &first]),
        ("queue=test", vec![&third, &second, &first]),
        ("queue=none", vec![]),
        ("created_before=2020-01-01T00:00:00Z", vec![]),
        (
            "created_from=2020-01-01T00:00:00Z",
            vec![&third, &second, &first],
        ),
    ] {
        let found = operator.get(&format!("{LIST}?{filter}")).await;
        assert_eq!(ids(&found.body), expected, "{filter}: {}", found.text);
    }
    for bad in ["tenant=acme", "limit=0", "state=discarded", "kind=a%00b"] {
        let refused = operator.get(&format!("{LIST}?{bad}")).await;
        refused.assert_problem(400, "INVALID_PARAMETER", bad);
    }
}

#[tokio::test]
async fn retry_by_operators_takes_what_fits_up_to_its_bound_and_is_audited_in_both_logs() {
    let db = TestDb::new().await;
    let (api, operator) = with_operators(&db).await;
    let (one, other) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let fits = discarded(&db, &one, "test.noop", "bad").await;
    let not_theirs = discarded(&db, &other, "test.noop", "bad").await;
    let not_that = discarded(&db, &one, "test.noop", "worse").await;
    let which = json!({"tenant": one.tenant, "error_code": "bad"});
    let done = post(&operator, RETRY, &which).await;
    assert_eq!(done.status, 202, "{}", done.text);
    assert_eq!(done.body, json!({"jobs": [fits], "left": 0}));
    assert_eq!(one.job(&fits).await["state"], "available");
    assert_eq!(one.job(&not_that).await["state"], "discarded");
    assert_eq!(other.job(&not_theirs).await["state"], "discarded");
    let whose = format!("dead_letters.retried {}", one.tenant);
    assert_eq!(audited(&db).await, whose, "in the operators' log");
    let theirs: String = db
        .one("select tenant_id::text || ' ' || actor_kind from audit_entries where action = 'job.retry_requested'")
        .await;
    assert_eq!(theirs, format!("{} system", one.tenant));

    db.execute(&format!(
        "insert into finished_jobs (id, tenant_id, kind, queue, state, priority, attempt, errors, crashes, max_attempts,
             args, run_at, created_at, error_code)
         select gen_random_uuid(), '{}', 'test.many', 'test', 'discarded', 3, 5, 5, 0, 5, '{{}}', now(), now(), 'many'
         from generate_series(1, 510)",
        other.tenant
    ))
    .await;
    for (put_back, left) in [(500, 10), (10, 0), (0, 0)] {
        let done = post(&operator, RETRY, &json!({"kind": "test.many"})).await;
        let jobs = done.body["jobs"].as_array().unwrap().len();
        assert_eq!((jobs, &done.body["left"]), (put_back, &json!(left)));
    }
    let unknown = post(&operator, RETRY, &json!({"state": "discarded"})).await;
    unknown.assert_problem(422, "INVALID_BODY", "a filter that does not exist");
}
