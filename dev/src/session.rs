//! Development sessions without a password. See [`mint`].
//!
//! Needs superuser access to the database, and works only through this crate: `postroom-api` and `postroom-worker` do not
//! link it, and refuse to start with `DEV_MODE` set.

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

/// The tenant of `cargo dev` and its owner. The domain is reserved, so that no email is ever delivered there.
pub const TENANT: &str = "dev";
pub const OWNER: &str = "owner@dev.example";

const LIFETIME: SessionLifetime = SessionLifetime {
    idle: Duration::from_hours(7 * 24),
    absolute: Duration::from_hours(30 * 24),
};

/// The session could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    #[error(transparent)]
    Connect(#[from] DbError),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    #[error("could not create the development tenant")]
    Bootstrap(#[source] BootstrapError),
    #[error("could not create the owner of the development tenant")]
    Accept(#[from] AcceptError),
    #[error(
        "tenant {TENANT} has an owner other than {OWNER}, so that it is not a development tenant; use another database"
    )]
    NotOurs,
    #[error("could not open a session")]
    Database(#[from] sqlx::Error),
}

/// A session of the development tenant's owner.
pub struct DevSession {
    pub token: SessionToken,
    /// The number of existing jobs.
    pub jobs: i64,
}

/// Opens a session of the development tenant's owner; creates both on the first call.
///
/// # Errors
/// If the database fails, or the tenant is not a development tenant.
pub async fn mint(database_url: &str) -> Result<DevSession, MintError> {
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
    Ok(DevSession {
        token: opened.token,
        jobs,
    })
}

/// Migrates the schema of a development database.
///
/// # Errors
/// If a migration fails.
pub async fn migrate(database_url: &str) -> Result<(), MintError> {
    let config = pool_config(database_url);
    jobs::schema::migrate(&db::connect_options(&config)?).await?;
    Ok(())
}

fn pool_config(database_url: &str) -> PoolConfig {
    PoolConfig {
        max_connections: 2,
        acquire_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(10),
        ..PoolConfig::new(database_url, "postroom-dev")
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
    // The password is never shown: the owner uses sessions from here only.
    let password = NewPassword::parse(SessionToken::generate().expose().into())
        .expect("a random token is a good password");
    let hasher = PasswordHasher::new();
    let origin = Origin::new(None, Some("cargo dev"), None);
    accept_invite(pool, &hasher, LIFETIME, &invited.token, password, &origin).await?;
    Ok(())
}
