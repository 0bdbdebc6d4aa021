//! Whose address a request has behind a proxy: in sessions and in the throttle of log-ins.

use crate::support::{
    TestDb,
    client::{TestResponse, http, send},
    people::{PASSWORD, TestTenant},
    system::TestApi,
};
use serde_json::json;

const OWNER: &str = "owner@acme.example";

async fn log_in(api: &TestApi, forwarded: &str, email: &str, password: &str) -> TestResponse {
    let body = json!({"tenant": "acme", "email": email, "password": password});
    let request = http()
        .post(format!("http://{}/v1/sessions", api.addr))
        .header("X-Forwarded-For", forwarded)
        .json(&body);
    send(request).await
}

async fn opened_from(db: &TestDb) -> String {
    db.one("select host(ip) from sessions where ip is not null order by created_at desc limit 1")
        .await
}

#[tokio::test]
async fn address_of_a_request_is_the_right_most_that_no_trusted_proxy_has() {
    let acme = TestTenant::open().await;
    let direct = TestApi::start(&acme.db).await;
    let proxied =
        TestApi::start_with(&acme.db, &[("TRUSTED_PROXIES", "127.0.0.1,10.0.0.0/8")]).await;
    for (api, forwarded, address) in [
        (&direct, "198.51.100.1", "127.0.0.1"),
        (&proxied, "198.51.100.1", "198.51.100.1"),
        (&proxied, "203.0.113.9, 198.51.100.2", "198.51.100.2"),
        (&proxied, "198.51.100.3, 10.1.1.1", "198.51.100.3"),
    ] {
        let answer = log_in(api, forwarded, OWNER, PASSWORD).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        assert_eq!(opened_from(&acme.db).await, address, "{forwarded}");
    }
}

#[tokio::test]
async fn log_ins_by_one_address_behind_a_proxy_shut_nobody_else_out() {
    let acme = TestTenant::open().await;
    let api = TestApi::start_with(&acme.db, &[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let wrong = log_in(&api, "192.0.2.1", "a@acme.example", "not the password").await;
    assert_eq!(wrong.status, 401, "{}", wrong.text);
    acme
        .db
        .execute(
            "insert into login_failures (subject, at)
             select subject, now() - n * interval '1 ms' from login_failures, generate_series(1, 1000) n",
        )
        .await;
    let guess = log_in(&api, "192.0.2.1", OWNER, PASSWORD).await;
    guess.assert_problem(429, "TOO_MANY_REQUESTS", "the address that guesses");
    let owner = log_in(&api, "198.51.100.1", OWNER, PASSWORD).await;
    assert_eq!(owner.status, 201, "{}", owner.text);
}
