//! Development sessions: `DEV_MODE` of other systems is this module and nothing else. See [`mint`].
//!
//! Whoever can reach the database's superuser may open a session without a password, and only through this crate:
//! `postroom-api` and `postroom-worker` do not link it, and refuse to start with `DEV_MODE` set.

use base::db::{self, DbError, PoolConfig};
use jobs::commands::onboarding::accept::AcceptError;
use jobs::commands::onboarding::bootstrap::BootstrapError;
use jobs::commands::sessions::hashing::PasswordHasher;
use jobs::commands::sessions::open::NewSession;
use jobs::commands::{
    onboarding::{accept_invite, bootstrap},
    sessions::open_session,
};
use jobs::domain::SessionToken;
use jobs::domain::invite::{EmailAddress, TenantSlug};
use jobs::domain::password::NewPassword;
use jobs::domain::session::{AuthMethod, Origin, SessionLifetime};
use jobs::schema::MigrateError;
use jobs::store::users;
use queue::view;
use sqlx::PgPool;
use std::time::Duration;

/// The tenant that `cargo dev` works in, and its owner. The domain is reserved: nobody gets mail there.
pub const TENANT: &str = "dev";
pub const OWNER: &str = "owner@dev.example";

const LIFETIME: SessionLifetime = SessionLifetime {
    idle: Duration::from_hours(7 * 24),
    absolute: Duration::from_hours(30 * 24),
};

/// No session was opened.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    #[error(transparent)]
    Connect(#[from] DbError),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    #[error("could not make the development tenant")]
    Bootstrap(#[source] BootstrapError),
    #[error("could not make its owner")]
    Accept(#[from] AcceptError),
    #[error("tenant {TENANT} has an owner who is not {OWNER}: it is not ours to open a session in")]
    NotOurs,
    #[error("could not open a session")]
    Database(#[from] sqlx::Error),
}

/// A session of the development tenant's owner.
pub struct Minted {
    pub token: SessionToken,
    /// How many jobs the tenant had before.
    pub jobs: i64,
}

/// Opens a session of the development tenant's owner; makes both at the first call.
///
/// # Errors
/// When the database refuses, or the tenant belongs to somebody else.
pub async fn mint(database_url: &str) -> Result<Minted, MintError> {
    let pool = db::connect(&pool_config(database_url)).await?;
    make_owner(&pool).await?;
    let mut transaction = pool.begin().await?;
    let owner = users::credentials(&mut transaction, TENANT, OWNER).await?;
    let owner = owner.ok_or(MintError::NotOurs)?;
    let new = NewSession {
        tenant: owner.tenant,
        user: owner.user,
        role: owner.role,
        auth_method: AuthMethod::Dev,
        lifetime: LIFETIME,
        origin: Origin::new(None, Some("cargo dev"), None),
    };
    let opened = open_session(&mut transaction, &new).await?;
    let jobs = view::count(&mut transaction, owner.tenant).await?;
    transaction.commit().await?;
    pool.close().await;
    Ok(Minted {
        token: opened.token,
        jobs,
    })
}

/// Brings the schema of a database of our own to what this checkout expects.
///
/// # Errors
/// When a migration fails.
pub async fn migrate(database_url: &str) -> Result<(), MintError> {
    let config = pool_config(database_url);
    jobs::schema::migrate(&db::connect_options(&config)?).await?;
    Ok(())
}

fn pool_config(database_url: &str) -> PoolConfig {
    PoolConfig {
        url: database_url.into(),
        max_connections: 2,
        acquire_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(10),
        application_name: "postroom-dev",
    }
}

async fn make_owner(pool: &PgPool) -> Result<(), MintError> {
    let slug = TenantSlug::parse(TENANT).expect("a slug in our own code is well formed");
    let email = EmailAddress::parse(OWNER).expect("an address in our own code is well formed");
    let invited = match bootstrap(pool, &slug, &email).await {
        Ok(invited) => invited,
        Err(BootstrapError::OwnerExists(_)) => return Ok(()),
        Err(error) => return Err(MintError::Bootstrap(error)),
    };
    // Nobody learns it: the owner comes in by sessions from here only.
    let password = NewPassword::parse(SessionToken::generate().expose().into())
        .expect("a random token is a good password");
    let hasher = PasswordHasher::new();
    let origin = Origin::new(None, Some("cargo dev"), None);
    accept_invite(pool, &hasher, LIFETIME, &invited.token, password, &origin).await?;
    Ok(())
}
