//! How sessions begin, are noted as used, and end.

use crate::support::{people::TestTenant, wait::SOON};
use base::db::PoolConfig;
use jobs::commands::sessions::signals::revoked;
use jobs::{
    commands::sessions::{
        authenticate::{AuthenticateError, Refusal},
        end,
    },
    domain::{
        Session, SessionToken,
        session::{MAX_SESSIONS, RevokeScope, Role},
    },
    store::{login_failures, sessions},
};
use queue::signals::listener::Listener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

fn refusal(result: Result<Session, AuthenticateError>) -> Option<Refusal> {
    match result {
        Err(AuthenticateError::Refused(refusal)) => Some(refusal),
        Ok(_) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Everything that a look-up could change.
async fn footprint(acme: &TestTenant) -> String {
    let all = "select concat(
        (select json_agg(s order by id) from sessions s), (select json_agg(t order by token_hash) from session_tokens t),
        (select count(*) from audit_entries))";
    acme.db.one(all).await
}

#[tokio::test]
async fn unknown_token_changes_nothing() {
    let acme = TestTenant::open().await;
    let before = footprint(&acme).await;
    let guess = SessionToken::generate();
    assert_eq!(refusal(acme.present(&guess).await), Some(Refusal::Unknown));
    assert_eq!(footprint(&acme).await, before);
}

#[tokio::test]
async fn every_ended_state_refuses_and_changes_nothing() {
    let ends = [
        (
            "update sessions set expires_at = now() - interval '1 ms'",
            Refusal::Expired,
        ),
        ("update sessions set expires_at = now()", Refusal::Expired),
        (
            "update sessions set idle_expires_at = now() - interval '1 ms'",
            Refusal::Idle,
        ),
        (
            "update sessions set revoked_at = now(), revoke_reason = 'admin'",
            Refusal::Revoked,
        ),
        ("update users set status = 'suspended'", Refusal::Closed),
        ("update users set status = 'deleted'", Refusal::Closed),
        ("update tenants set status = 'closed'", Refusal::Closed),
    ];
    for (end, expected) in ends {
        let acme = TestTenant::open().await;
        acme.present(&acme.owner_token).await.unwrap();
        acme.db.execute(end).await;
        let before = footprint(&acme).await;
        assert_eq!(
            refusal(acme.present(&acme.owner_token).await),
            Some(expected),
            "{end}"
        );
        assert_eq!(footprint(&acme).await, before, "{end}");
    }
}

#[tokio::test]
async fn paused_tenant_still_signs_in() {
    let acme = TestTenant::open().await;
    acme.db
        .execute("update tenants set status = 'paused'")
        .await;
    assert!(acme.present(&acme.owner_token).await.is_ok());
}

#[tokio::test]
async fn use_is_noted_at_most_once_a_minute_and_postpones_only_the_idle_end() {
    let acme = TestTenant::open().await;
    acme.present(&acme.owner_token).await.unwrap();
    let noted = "select last_used_at::text from sessions";
    let at_first: String = acme.db.one(noted).await;
    acme.present(&acme.owner_token).await.unwrap();
    assert_eq!(acme.db.one::<String>(noted).await, at_first);

    acme
        .db
        .execute("update sessions set last_used_at = now() - interval '61 s', idle_expires_at = now() + interval '5 s'")
        .await;
    let found = acme.present(&acme.owner_token).await.unwrap();
    let fresh: bool = acme
        .db
        .one("select last_used_at > now() - interval '5 s' and idle_expires_at > now() + interval '29 minutes' from sessions")
        .await;
    assert!(fresh);
    assert!(found.idle_expires_at > acme.owner.created_at + chrono::TimeDelta::minutes(29));
    assert_eq!(found.expires_at, acme.owner.expires_at);

    acme
        .db
        .execute("update sessions set last_used_at = now() - interval '61 s', expires_at = now() + interval '9 s'")
        .await;
    let found = acme.present(&acme.owner_token).await.unwrap();
    assert_eq!(
        found.idle_expires_at, found.expires_at,
        "idleness never outlasts the absolute end"
    );
}

#[tokio::test]
async fn role_is_that_of_today() {
    let acme = TestTenant::open().await;
    assert_eq!(
        acme.present(&acme.owner_token).await.unwrap().role(),
        Some(Role::Owner)
    );
    acme.db.execute("update users set role = 'member'").await;
    assert_eq!(
        acme.present(&acme.owner_token).await.unwrap().role(),
        Some(Role::Member)
    );
}

#[tokio::test]
async fn eleventh_session_ends_the_oldest() {
    let acme = TestTenant::open().await;
    let (first, oldest) = (acme.owner.id, &acme.owner_token);
    for _ in 1..MAX_SESSIONS {
        acme.sign_in().await;
    }
    assert!(acme.present(oldest).await.is_ok());
    let (_, newest) = acme.sign_in().await;
    assert_eq!(refusal(acme.present(oldest).await), Some(Refusal::Revoked));
    assert!(acme.present(&newest).await.is_ok());
    let audited: String = acme
        .db
        .one("select resource_id from audit_entries where action = 'excess_sessions_exceeded'")
        .await;
    assert_eq!(audited, first.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_log_ins_at_once_leave_no_more_sessions_than_allowed() {
    let acme = TestTenant::open().await;
    futures::future::join_all((0..25).map(|_| acme.sign_in())).await;
    let living: i64 = acme
        .db
        .one("select count(*) from sessions where revoked_at is null")
        .await;
    assert_eq!(living, MAX_SESSIONS);
}

#[tokio::test]
async fn logging_out_ends_one_session_and_may_be_repeated() {
    let acme = TestTenant::open().await;
    let (session, token) = acme.sign_in().await;
    let (pool, notifier) = (acme.db.pool(), &acme.notifier);
    for _ in 0..2 {
        end::log_out(pool, notifier, &session, &acme.origin)
            .await
            .unwrap();
    }
    assert_eq!(refusal(acme.present(&token).await), Some(Refusal::Revoked));
    assert!(acme.present(&acme.owner_token).await.is_ok());
    let entries: i64 = acme
        .db
        .one("select count(*) from audit_entries where action = 'session_logout'")
        .await;
    assert_eq!(entries, 1);
}

#[tokio::test]
async fn scopes_end_what_they_say() {
    for (scope, living) in [
        (RevokeScope::Local, [false, true, true]),
        (RevokeScope::Others, [true, false, true]),
        (RevokeScope::Global, [false, false, true]),
    ] {
        let acme = TestTenant::open().await;
        let (session, token) = acme.sign_in().await;
        let (_, colleague) = acme.join("ada@acme.example", Role::Member).await;
        let (pool, notifier) = (acme.db.pool(), &acme.notifier);
        end::end_sessions(pool, notifier, &session, scope, &acme.origin)
            .await
            .unwrap();
        for (token, lives) in [&token, &acme.owner_token, &colleague]
            .into_iter()
            .zip(living)
        {
            assert_eq!(acme.present(token).await.is_ok(), lives, "{scope:?}");
        }
    }
}

#[tokio::test]
async fn nobody_ends_the_session_of_somebody_else() {
    let acme = TestTenant::open().await;
    let (ada, _) = acme.join("ada@acme.example", Role::Admin).await;
    let (pool, notifier) = (acme.db.pool(), &acme.notifier);
    let refused = end::end_session(pool, notifier, &ada, acme.owner.id, &acme.origin).await;
    assert!(matches!(refused, Err(end::EndSessionError::NotFound)));
    assert!(acme.present(&acme.owner_token).await.is_ok());
}

#[tokio::test]
async fn end_of_a_session_is_signalled_to_other_processes() {
    let acme = TestTenant::open().await;
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let config = PoolConfig {
        max_connections: 1,
        acquire_timeout: SOON,
        statement_timeout: SOON,
        ..PoolConfig::new(acme.db.url(), "test")
    };
    let listener = Listener::spawn(&config, &tracker, stop.clone()).unwrap();
    let mut signals = listener.subscribe();
    crate::support::eventually(SOON, async || {
        listener
            .is_alive()
            .then_some(())
            .ok_or("listener is down".into())
    })
    .await;
    end::log_out(acme.db.pool(), &acme.notifier, &acme.owner, &acme.origin)
        .await
        .unwrap();
    let heard = tokio::time::timeout(SOON, async {
        loop {
            if let Some(session) = signals.recv().await.ok().as_ref().and_then(revoked) {
                return session;
            }
        }
    });
    assert_eq!(heard.await.unwrap(), acme.owner.id);
    stop.cancel();
}

#[tokio::test]
async fn list_shows_what_is_alive_and_whence_it_came() {
    let acme = TestTenant::open().await;
    acme.sign_in().await;
    let (over, _) = acme.sign_in().await;
    acme.db
        .execute(&format!(
            "update sessions set idle_expires_at = now() where id = '{}'",
            over.id
        ))
        .await;
    let mut conn = acme.db.pool().acquire().await.unwrap();
    let listed = sessions::list(&mut conn, acme.owner.tenant, acme.owner.user)
        .await
        .unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[1].id, acme.owner.id, "the youngest comes first");
    assert_eq!(listed[0].ip.as_deref(), Some("192.0.2.7"));
    assert_eq!(listed[0].user_agent.as_deref(), Some("test/1"));
}

#[tokio::test]
async fn only_what_ended_a_month_ago_is_purged() {
    let acme = TestTenant::open().await;
    acme.sign_in().await;
    let (old, token) = acme.sign_in().await;
    acme
        .db
        .execute(&format!(
            "update sessions set revoked_at = now() - interval '31 days', revoke_reason = 'logout' where id = '{}'",
            old.id
        ))
        .await;
    let mut conn = acme.db.pool().acquire().await.unwrap();
    assert_eq!(sessions::purge(&mut conn, 10).await.unwrap(), 1);
    assert_eq!(refusal(acme.present(&token).await), Some(Refusal::Unknown));
    assert_eq!(acme.db.one::<i64>("select count(*) from sessions").await, 2);
    assert_eq!(login_failures::purge(&mut conn, 10).await.unwrap(), 0);
}
