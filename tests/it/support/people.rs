//! People to sign in: [`TestTenant`] is a tenant on a database, with its users and their sessions.
//!
//! Uses the same commands as the API and the command line; nothing is written past them but time.

use super::TestDb;
use jobs::{
    commands::{
        onboarding::{accept_invite, bootstrap, invite},
        sessions::{
            authenticate, authenticate::AuthenticateError, hashing::PasswordHasher,
            open::NewSession, open_session,
        },
    },
    domain::{
        Session, SessionToken,
        password::NewPassword,
        session::{AuthMethod, Origin, Role, SessionLifetime},
    },
};
use queue::signals::notifier::Notifier;
use sqlx::PgConnection;
use std::time::Duration;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Good enough, and in no list.
pub(crate) const PASSWORD: &str = "a quiet owl at noon";

pub(crate) const LIFETIME: SessionLifetime = SessionLifetime {
    idle: Duration::from_secs(1800),
    absolute: Duration::from_secs(43_200),
};

/// A tenant with its owner, and what commands need.
pub(crate) struct TestTenant {
    pub(crate) db: TestDb,
    pub(crate) owner: Session,
    pub(crate) owner_token: SessionToken,
    pub(crate) hasher: PasswordHasher,
    pub(crate) notifier: Notifier,
    pub(crate) origin: Origin,
}

impl TestTenant {
    /// Tenant `acme` on a database of its own; its owner is `owner@acme.example`.
    pub(crate) async fn open() -> Self {
        let db = TestDb::new().await;
        let hasher = PasswordHasher::new();
        let origin = Origin::new(
            Some("192.0.2.7".parse().unwrap()),
            Some("test/1"),
            Some("req-people".into()),
        );
        let notifier = Notifier::spawn(
            db.pool().clone(),
            &TaskTracker::new(),
            CancellationToken::new(),
        );
        let slug = "acme".parse().unwrap();
        let email = "owner@acme.example".parse().unwrap();
        let invited = bootstrap(db.pool(), &slug, &email).await.unwrap();
        let accepted = accept_invite(
            db.pool(),
            &hasher,
            LIFETIME,
            &invited.token,
            NewPassword::parse(PASSWORD.into()).unwrap(),
            &origin,
        )
        .await
        .unwrap();
        Self {
            db,
            owner: accepted.opened.session,
            owner_token: accepted.opened.token,
            hasher,
            notifier,
            origin,
        }
    }

    /// A user of this role with [`PASSWORD`], signed in.
    pub(crate) async fn join(&self, email: &str, role: Role) -> (Session, SessionToken) {
        let email = email.parse().unwrap();
        let invited = invite(self.db.pool(), &self.owner, &email, role, None)
            .await
            .unwrap();
        let accepted = accept_invite(
            self.db.pool(),
            &self.hasher,
            LIFETIME,
            &invited.token,
            NewPassword::parse(PASSWORD.into()).unwrap(),
            &self.origin,
        )
        .await
        .unwrap();
        (accepted.opened.session, accepted.opened.token)
    }

    /// One more session of the owner.
    pub(crate) async fn sign_in(&self) -> (Session, SessionToken) {
        let mut tx = self.db.pool().begin().await.unwrap();
        let signed_in = self.sign_in_within(&mut tx).await;
        tx.commit().await.unwrap();
        signed_in
    }

    /// The same within a transaction of the test.
    pub(crate) async fn sign_in_within(&self, conn: &mut PgConnection) -> (Session, SessionToken) {
        let new = NewSession {
            tenant: self.owner.tenant,
            user: self.owner.user,
            role: self.owner.role().unwrap(),
            auth_method: AuthMethod::Dev,
            lifetime: LIFETIME,
            origin: self.origin.clone(),
        };
        let opened = open_session(conn, &new).await.unwrap();
        (opened.session, opened.token)
    }

    /// What a request with this token would find.
    pub(crate) async fn present(&self, token: &SessionToken) -> Result<Session, AuthenticateError> {
        authenticate(self.db.pool(), &self.notifier, token, &self.origin).await
    }
}
