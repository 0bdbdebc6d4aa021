//! Who may call the operations for all tenants: users of the operators' tenant, in the right role, and nobody else.

use super::with_operators;
use crate::support::{
    Client, TestDb,
    client::{TestResponse, http, send},
    system::TestApi,
};
use api::route_table::{Access, Operation, RouteTable};
use jobs::domain::session::Role;

fn operations() -> Vec<Operation> {
    let (table, _) = RouteTable::build(api::routes::all());
    let operations: Vec<Operation> = table
        .operations()
        .filter(|operation| matches!(operation.access, Access::Operators(_)))
        .cloned()
        .collect();
    assert!(operations.len() >= 11, "{}", operations.len());
    operations
}

async fn call(api: &TestApi, operation: &Operation, client: Option<&Client>) -> TestResponse {
    let path = operation
        .path
        .replace("{queue}", "none")
        .replace("{scope}/{name}", "queue/none");
    let url = format!("http://{}{path}", api.addr);
    let mut request = http().request(operation.method.clone(), url);
    if let Some(client) = client {
        request = request.header("Authorization", client.authorization());
    }
    if !operation.bodies.is_empty() {
        // Nothing that would change anything.
        request = request
            .header("Content-Type", "application/json")
            .body(r#"{"no such field":1}"#);
    }
    send(request).await
}

#[tokio::test]
async fn operators_of_the_right_role_alone_call_operations_for_all_tenants() {
    let db = TestDb::new().await;
    let (api, operator) = with_operators(&db).await;
    let stranger = api.sign_in(&db).await;
    for operation in operations() {
        let name = operation.name;
        let refused = call(&api, &operation, None).await;
        refused.assert_problem(401, "UNAUTHENTICATED", name);
        let refused = call(&api, &operation, Some(&stranger)).await;
        refused.assert_problem(403, "NOT_OPERATOR", name);
    }
    for &role in Role::ALL {
        let theirs = operator.colleague(&db, role).await;
        let others = stranger.colleague(&db, role).await;
        for operation in operations() {
            let about = format!("{} as {}", operation.name, role.as_str());
            let refused = call(&api, &operation, Some(&others)).await;
            refused.assert_problem(403, "NOT_OPERATOR", &about);
            let answer = call(&api, &operation, Some(&theirs)).await;
            if matches!(role, Role::Member | Role::Auditor) {
                answer.assert_problem(403, "FORBIDDEN", &about);
            } else {
                let status = answer.status.as_u16();
                assert!(
                    [200, 404, 422].contains(&status),
                    "{about}: {}",
                    answer.text
                );
            }
        }
    }
    let denied: i64 = db
        .one("select count(distinct tenant_id) from audit_entries where action = 'authz_fail' and error_code = 'NOT_OPERATOR'")
        .await;
    assert_eq!(denied, 1, "in the log of the refused tenant");
}

#[tokio::test]
async fn without_an_operator_tenant_nobody_is_an_operator() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    for operation in operations() {
        let refused = call(&api, &operation, Some(&owner)).await;
        refused.assert_problem(403, "NOT_OPERATOR", operation.name);
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains("OPERATOR_TENANT"), "{detail}");
    }
}

#[tokio::test]
async fn operators_tenant_may_be_made_after_the_api_has_started() {
    let db = TestDb::new().await;
    let api = TestApi::start_with(&db, &[("OPERATOR_TENANT", "later")]).await;
    let owner = api.sign_in(&db).await;
    let refused = owner.get("/v1/admin/workers").await;
    refused.assert_problem(403, "NOT_OPERATOR", "no such tenant yet");
    db.execute("update tenants set slug = 'later'").await;
    assert_eq!(owner.get("/v1/admin/workers").await.status, 200);
}
