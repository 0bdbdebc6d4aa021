//! How people come in: the first owner from the command line, the others by invite, each invite once.

mod http;

use crate::support::{
    TestDb,
    people::{LIFETIME, PASSWORD, TestTenant},
};
use jobs::{
    commands::{
        onboarding::{
            accept::AcceptError,
            accept_invite, bootstrap,
            bootstrap::BootstrapError,
            invite,
            invite::{InviteError, Invited, revoke_invite},
        },
        sessions::{hashing::PasswordHasher, open::Opened},
    },
    domain::{
        InviteId, InviteToken,
        invite::{EmailAddress, TenantSlug},
        password::NewPassword,
        session::{Origin, Role},
    },
    store::invites,
};
use sqlx::PgPool;

fn email(text: &str) -> EmailAddress {
    text.parse().unwrap()
}

fn acme() -> TenantSlug {
    "acme".parse().unwrap()
}

async fn accept(pool: &PgPool, token: &InviteToken) -> Result<Opened, AcceptError> {
    let password = NewPassword::parse(PASSWORD.into()).unwrap();
    accept_invite(
        pool,
        &PasswordHasher::new(),
        LIFETIME,
        token,
        password,
        &Origin::default(),
    )
    .await
    .map(|accepted| accepted.opened)
}

async fn invite_as(acme: &TestTenant, whom: &str, role: Role) -> Result<Invited, InviteError> {
    let request = Some("req-invite");
    invite(acme.db.pool(), &acme.owner, &email(whom), role, request).await
}

#[tokio::test]
async fn new_database_lets_nobody_in() {
    let db = TestDb::new().await;
    let rows: i64 = db
        .one("select (select count(*) from users) + (select count(*) from tenants) + (select count(*) from invites)")
        .await;
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn first_owner_comes_by_one_invite_and_then_there_is_no_second() {
    let db = TestDb::new().await;
    let lost = bootstrap(db.pool(), &acme(), &email("ada@acme.example"))
        .await
        .unwrap();
    let invited = bootstrap(db.pool(), &acme(), &email("eve@acme.example"))
        .await
        .unwrap();
    assert!(
        matches!(accept(db.pool(), &lost.token).await, Err(AcceptError::Gone)),
        "it was replaced"
    );
    let opened = accept(db.pool(), &invited.token).await.unwrap();
    assert_eq!(opened.session.role(), Some(Role::Owner));
    let refused = bootstrap(db.pool(), &acme(), &email("ada@acme.example"))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, BootstrapError::OwnerExists(_)),
        "{refused}"
    );
    let trail: String = db
        .one("select string_agg(actor_kind || ':' || action, ' ' order by id) from audit_entries")
        .await;
    assert_eq!(
        trail,
        "cli:tenant_created cli:invite_created cli:invite_revoked cli:invite_created \
         user:session_created user:invite_accepted user:user_created"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_bootstraps_at_once_one_invite_is_left() {
    let db = TestDb::new().await;
    let (slug, pool) = (acme(), db.pool());
    let addresses: Vec<_> = (0..8)
        .map(|n| email(&format!("owner{n}@acme.example")))
        .collect();
    let invited = futures::future::join_all(
        addresses
            .iter()
            .map(|address| bootstrap(pool, &slug, address)),
    )
    .await;
    let mut owners = 0;
    for invited in invited {
        owners += usize::from(accept(pool, &invited.unwrap().token).await.is_ok());
    }
    assert_eq!(owners, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invite_is_accepted_once_however_many_try() {
    let acme = TestTenant::open().await;
    let invited = invite_as(&acme, "ada@acme.example", Role::Member)
        .await
        .unwrap();
    let racers = (0..10).map(|_| accept(acme.db.pool(), &invited.token));
    let results = futures::future::join_all(racers).await;
    let gone = results
        .iter()
        .filter(|r| matches!(r, Err(AcceptError::Gone)))
        .count();
    assert_eq!((results.len() - gone, gone), (1, 9), "{results:?}");
    let users: i64 = acme
        .db
        .one("select count(*) from users where email = 'ada@acme.example'")
        .await;
    assert_eq!(users, 1);
}

#[tokio::test]
async fn invite_is_taken_once_whatever_becomes_of_its_user() {
    let acme = TestTenant::open().await;
    let invited = invite_as(&acme, "ada@acme.example", Role::Member)
        .await
        .unwrap();
    let hash = invited.token.hash();
    // The statement alone, without the unique address that would stop a second user too.
    let mut conn = acme.db.pool().acquire().await.unwrap();
    assert!(invites::accept(&mut conn, &hash).await.unwrap().is_some());
    assert!(invites::accept(&mut conn, &hash).await.unwrap().is_none());
}

#[tokio::test]
async fn every_dead_invite_is_gone_alike() {
    let acme = TestTenant::open().await;
    let unknown = InviteToken::generate();
    let expired = invite_as(&acme, "expired@acme.example", Role::Member)
        .await
        .unwrap();
    acme.db
        .execute("update invites set expires_at = now() where email = 'expired@acme.example'")
        .await;
    let revoked = invite_as(&acme, "revoked@acme.example", Role::Member)
        .await
        .unwrap();
    revoke_invite(acme.db.pool(), &acme.owner, revoked.invite.id, None)
        .await
        .unwrap();
    let resent = invite_as(&acme, "resent@acme.example", Role::Member)
        .await
        .unwrap();
    invite_as(&acme, "Resent@ACME.example", Role::Member)
        .await
        .unwrap();
    let existing = invite_as(&acme, "OWNER@acme.example", Role::Member)
        .await
        .unwrap();
    for token in [
        &unknown,
        &expired.token,
        &revoked.token,
        &resent.token,
        &existing.token,
    ] {
        let refused = accept(acme.db.pool(), token).await.unwrap_err();
        assert!(matches!(refused, AcceptError::Gone), "{refused}");
    }
    let users: i64 = acme.db.one("select count(*) from users").await;
    assert_eq!(users, 1);
    let closed = invite_as(&acme, "closed@acme.example", Role::Member)
        .await
        .unwrap();
    acme.db
        .execute("update tenants set status = 'closed'")
        .await;
    assert!(matches!(
        accept(acme.db.pool(), &closed.token).await,
        Err(AcceptError::Gone)
    ));
}

#[tokio::test]
async fn invite_stands_for_three_days() {
    let acme = TestTenant::open().await;
    let invited = invite_as(&acme, "ada@acme.example", Role::Member)
        .await
        .unwrap();
    let stands = invited.invite.expires_at - invited.invite.created_at;
    assert_eq!(stands, chrono::TimeDelta::hours(72));
    acme.db
        .execute("update invites set expires_at = now() + interval '1 s' where accepted_at is null")
        .await;
    assert!(accept(acme.db.pool(), &invited.token).await.is_ok());
}

#[tokio::test]
async fn nobody_hands_out_more_than_they_have() {
    let acme = TestTenant::open().await;
    let (admin, _) = acme.join("admin@acme.example", Role::Admin).await;
    let (member, _) = acme.join("member@acme.example", Role::Member).await;
    for (session, role, allowed) in [
        (&acme.owner, Role::Owner, true),
        (&admin, Role::Admin, true),
        (&admin, Role::Owner, false),
        (&member, Role::Auditor, false),
    ] {
        let invited = invite(
            acme.db.pool(),
            session,
            &email("new@acme.example"),
            role,
            None,
        )
        .await;
        match invited {
            Ok(_) => assert!(allowed, "{role:?}"),
            Err(InviteError::RoleTooHigh { .. }) => assert!(!allowed, "{role:?}"),
            Err(error) => panic!("{error}"),
        }
    }
    let denials: i64 = acme
        .db
        .one(
            "select count(*) from audit_entries where action = 'authz_fail' and outcome = 'denied'",
        )
        .await;
    assert_eq!(denials, 2);
}

#[tokio::test]
async fn invites_of_another_tenant_are_not_there() {
    let acme = TestTenant::open().await;
    let invited = invite_as(&acme, "ada@acme.example", Role::Member)
        .await
        .unwrap();
    let other = bootstrap(
        acme.db.pool(),
        &"other".parse().unwrap(),
        &email("o@other.example"),
    )
    .await
    .unwrap();
    let stranger = accept(acme.db.pool(), &other.token).await.unwrap().session;
    for id in [invited.invite.id, InviteId::new()] {
        let refused = revoke_invite(acme.db.pool(), &stranger, id, None).await;
        assert!(matches!(refused, Err(InviteError::NotFound)));
    }
    let mut conn = acme.db.pool().acquire().await.unwrap();
    assert!(
        invites::list(&mut conn, stranger.tenant, 50)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        invites::list(&mut conn, acme.owner.tenant, 50)
            .await
            .unwrap()
            .len(),
        1
    );
    assert!(
        accept(acme.db.pool(), &invited.token).await.is_ok(),
        "it still stands"
    );
}

#[tokio::test]
async fn taking_an_invite_back_twice_is_as_good_as_once() {
    let acme = TestTenant::open().await;
    let invited = invite_as(&acme, "ada@acme.example", Role::Member)
        .await
        .unwrap();
    for _ in 0..2 {
        revoke_invite(acme.db.pool(), &acme.owner, invited.invite.id, None)
            .await
            .unwrap();
    }
    let entries: i64 = acme
        .db
        .one("select count(*) from audit_entries where action = 'invite_revoked'")
        .await;
    assert_eq!(entries, 1);
}
