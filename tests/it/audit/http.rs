//! Reading the audit log over HTTP: who may, and what they see.

use super::entry;
use crate::support::{
    api_keys::key, caller::Caller, eventually, people::TestTenant, system::Api, wait::SOON,
};
use base::TenantId;
use jobs::{
    domain::{api_key::KeyScope, session::Role},
    store::audit,
};
use reqwest::{Method, StatusCode};

const AUDIT: &str = "/v1/audit";

#[tokio::test]
async fn owners_admins_and_auditors_read_the_log_and_nobody_else() {
    let acme = TestTenant::open().await;
    let api = Api::spawn(&acme.db).await;
    let caller = Caller::at(api.addr);
    for (role, status) in [
        (Role::Owner, StatusCode::OK),
        (Role::Admin, StatusCode::OK),
        (Role::Auditor, StatusCode::OK),
        (Role::Operator, StatusCode::FORBIDDEN),
        (Role::Member, StatusCode::FORBIDDEN),
    ] {
        let address = format!("{}@acme.example", role.as_str().repeat(2));
        let (_, token) = acme.join(&address, role).await;
        let answer = caller.get(AUDIT, token.expose()).await;
        assert_eq!(answer.status, status, "{role:?} {}", answer.body);
    }
}

#[tokio::test]
async fn reading_is_written_once_an_hour_for_each_session_and_key_wherever_it_begins() {
    let acme = TestTenant::open().await;
    let api = Api::spawn(&acme.db).await;
    let caller = Caller::at(api.addr);
    let owner = acme.owner_token.expose();
    let readings = async || {
        let read = "select count(*) from audit_entries where action = 'audit.read'";
        acme.db.one::<i64>(read).await
    };
    let page = caller.get(AUDIT, owner).await;
    assert_eq!(readings().await, 1);
    let cursor = eventually(SOON, async || {
        let page = caller.get(AUDIT, owner).await.body;
        let cursor = page["follow_cursor"].as_str().map(str::to_owned);
        cursor.ok_or_else(|| page.to_string())
    })
    .await;
    let follow = format!("{AUDIT}?cursor={cursor}");
    assert_eq!(caller.get(&follow, owner).await.status, StatusCode::OK);
    assert_eq!(readings().await, 1, "{}", page.body);
    acme.db
        .execute("update sessions set audit_read_at = now() - interval '61 minutes'")
        .await;
    assert_eq!(caller.get(&follow, owner).await.status, StatusCode::OK);
    assert_eq!(readings().await, 2, "a cursor that was kept");
    let program = key(&acme.db, acme.owner.tenant, [KeyScope::AuditRead]).await;
    for _ in 0..2 {
        assert_eq!(caller.get(AUDIT, &program).await.status, StatusCode::OK);
    }
    assert_eq!(readings().await, 3, "a key");
    let refused = caller.get(&format!("{AUDIT}?cursor=garbage"), owner).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn denials_are_written_but_do_not_fill_the_log() {
    let acme = TestTenant::open().await;
    let (_, member) = acme.join("ada@acme.example", Role::Member).await;
    let api = Api::spawn(&acme.db).await;
    let caller = Caller::at(api.addr);
    for _ in 0..30 {
        let refused = caller.get(AUDIT, member.expose()).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
    }
    let written: i64 = acme
        .db
        .one(
            "select count(*) from audit_entries where action = 'authz_fail' and outcome = 'denied'",
        )
        .await;
    assert_eq!(written, 20);
    let entries: i64 = acme
        .db
        .one("select count(*) from audit_entries where action = 'authz_fail' and (detail ->> 'more_are_left_out')::bool")
        .await;
    assert_eq!(entries, 1);
}

#[tokio::test]
async fn request_is_followed_by_its_id_page_by_page() {
    let acme = TestTenant::open().await;
    let tenant = acme.owner.tenant;
    let mut conn = acme.db.pool().acquire().await.unwrap();
    let five: Vec<_> = (0..5).map(|_| entry(tenant, "req-followed")).collect();
    audit::insert(&mut conn, &five).await.unwrap();
    let foreign = entry(TenantId::new(), "req-followed");
    audit::insert(&mut conn, &[foreign, entry(tenant, "req-other")])
        .await
        .unwrap();
    let api = Api::spawn(&acme.db).await;
    let caller = Caller::at(api.addr);
    let owner = acme.owner_token.expose();

    let first = format!("{AUDIT}?request_id=req-followed&limit=2");
    let (mut path, mut seen) = (first.clone(), Vec::new());
    let mut pages = 0;
    loop {
        let page = caller.get(&path, owner).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        let items = page.body["items"].as_array().unwrap();
        assert!(
            items
                .iter()
                .all(|item| item["request_id"] == "req-followed")
        );
        seen.extend(
            items
                .iter()
                .map(|item| item["id"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        match page.body["next_cursor"].as_str() {
            Some(cursor) => path = format!("{first}&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(
        (pages, seen.len()),
        (3, 5),
        "five entries of this tenant, two to a page"
    );
    assert!(seen.is_sorted(), "{seen:?}");
}

#[tokio::test]
async fn request_over_http_is_found_in_the_log_by_either_id() {
    let acme = TestTenant::open().await;
    let api = Api::spawn(&acme.db).await;
    let caller = Caller::at(api.addr);
    let owner = acme.owner_token.expose();
    let rotate = caller
        .anonymous(Method::POST, "/v1/sessions/current/rotate")
        .bearer_auth(owner)
        .header("X-Request-Id", "trace-me-12345");
    let rotated = crate::support::client::send(rotate).await;
    let ours = rotated.header("x-request-id").unwrap();
    assert_eq!(
        rotated.header("x-client-request-id"),
        Some("trace-me-12345")
    );
    let token = rotated.body["token"].as_str().unwrap();
    for id in [ours, "trace-me-12345"] {
        let page = caller.get(&format!("{AUDIT}?request_id={id}"), token).await;
        let entry = &page.body["items"][0];
        assert_eq!(entry["action"], "session_renewed", "{}", page.body);
        assert_eq!(entry["request_id"], ours);
        assert_eq!(entry["client_request_id"], "trace-me-12345");
        assert_eq!(entry["actor_id"], acme.owner.user.to_string());
        assert_eq!(entry["session_id"], acme.owner.id.to_string());
    }
}

#[tokio::test]
async fn cursor_of_another_list_and_limits_out_of_range_are_refused() {
    let acme = TestTenant::open().await;
    let api = Api::spawn(&acme.db).await;
    let caller = Caller::at(api.addr);
    let owner = acme.owner_token.expose();
    // Entries are shown once no older transaction of the whole cluster, other tests' included, is open.
    let page = eventually(SOON, async || {
        let page = caller.get(&format!("{AUDIT}?limit=1"), owner).await.body;
        match page["next_cursor"].is_string() {
            true => Ok(page),
            false => Err(page.to_string()),
        }
    })
    .await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = caller
        .get(&format!("{AUDIT}?limit=1&cursor={cursor}"), owner)
        .await;
    assert_eq!(next.status, StatusCode::OK);
    assert_ne!(next.body["items"][0]["id"], page["items"][0]["id"]);
    for query in [
        format!("cursor={cursor}&request_id=other-request"),
        "cursor=garbage".to_owned(),
        "limit=0".to_owned(),
        "limit=201".to_owned(),
        "limit=x".to_owned(),
        "unknown=1".to_owned(),
    ] {
        let refused = caller.get(&format!("{AUDIT}?{query}"), owner).await;
        assert_eq!(
            refused.status,
            StatusCode::BAD_REQUEST,
            "{query} {}",
            refused.body
        );
        assert_eq!(refused.body["code"], "INVALID_PARAMETER");
    }
}
