//! What operators do for all tenants: list workers, pause queues, set limits, retry jobs; and who may do it.

mod access;
mod command_line;
mod dead_letters;
mod limits;
mod queues;
mod workers;

use crate::support::{
    Client, TestDb,
    client::{TestResponse, send},
    system::TestApi,
};
use reqwest::Method;
use serde_json::Value;

/// An API whose operators are a tenant, and the owner of that tenant.
pub(crate) async fn with_operators(db: &TestDb) -> (TestApi, Client) {
    let operator = Client::owner_of_new_tenant(db).await;
    let slug = format!("t-{}", operator.tenant.0.simple());
    let api = TestApi::start_with(db, &[("OPERATOR_TENANT", &slug)]).await;
    let operator = operator.at(api.addr);
    (api, operator)
}

async fn post(client: &Client, path: &str, body: &Value) -> TestResponse {
    send(client.request(Method::POST, path).json(body)).await
}

/// How the operators' own log names what was done, in order.
async fn audited(db: &TestDb) -> String {
    let entries = "select coalesce(string_agg(action || ' ' || resource_id, ', ' order by id), '') from audit_entries
                   where actor_kind = 'user' and action <> 'session_created'";
    db.one(entries).await
}
