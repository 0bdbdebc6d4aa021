//! `postroom-api admin …`: commands for a person with a shell on the server. See [`AdminCommand`].
//!
//! Results go to stdout, for people or with `--json` for programs. Changes are audited with actor `cli`: those of one tenant in
//! its log, those of the installation in that of the operators' tenant.

mod audit;
mod connections;
mod identity_provider;
mod keys;
mod limits;
mod queues;
mod tenants;
mod users;
mod workers;

use crate::{config::operator_tenant, output::print};
use anyhow::Context;
use audit::AuditCommand;
use base::{
    TenantId,
    db::{self, PgPool, PoolConfig},
    env::Env,
    telemetry,
};
use clap::Subcommand;
use connections::ConnectionCommand;
use identity_provider::IdentityProviderCommand;
use jobs::{
    commands::{
        onboarding::bootstrap,
        operators::{Operator, grant},
        sessions::end,
    },
    domain::invite::{EmailAddress, TenantSlug},
    secrets::KeyRing,
    store::{self, grants::DbRole},
};
use keys::KeyCommand;
use limits::LimitCommand;
use queue::signals::notifier::Notifier;
use queues::QueueCommand;
use serde_json::json;
use std::time::Duration;
use tenants::TenantCommand;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use users::UserCommand;

#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Invite the first owner of a tenant and print the invite's token; create the tenant if it does not exist.
    Bootstrap {
        /// The tenant's short name: lower-case letters, digits and hyphens.
        #[arg(long)]
        tenant: TenantSlug,
        /// The owner's email address.
        #[arg(long)]
        email: EmailAddress,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Create, list, rotate and revoke the API keys of a tenant.
    #[command(subcommand)]
    Keys(KeyCommand),
    /// Prove that the audit log is whole, and export it.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Seal every stored secret anew with the first key of `CREDENTIAL_KEYS`; the older keys are then no longer needed.
    Reseal,
    /// Give up the secrets of connections and second factors whose key is lost.
    #[command(subcommand)]
    Connections(ConnectionCommand),
    /// List, change, export and remove the users of a tenant, and reset their passwords.
    #[command(subcommand)]
    User(UserCommand),
    /// Choose the identity provider whose tokens open sessions in a tenant.
    #[command(subcommand)]
    IdentityProvider(IdentityProviderCommand),
    /// Pause, resume, close, export and erase a tenant.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// End all sessions of a user.
    RevokeSessions {
        /// The tenant's short name.
        #[arg(long)]
        tenant: TenantSlug,
        /// The address that the user logs in with.
        #[arg(long)]
        email: EmailAddress,
    },
    #[command(flatten)]
    Queue(QueueCommand),
    /// List the workers that sent a heartbeat in the last ten minutes.
    Workers,
    /// Limit how many jobs run at once on all workers together.
    #[command(subcommand)]
    Limits(LimitCommand),
    /// Grant a database role what the API and the worker need, and no more: in the audit log it may only read and add.
    Grant {
        /// The name of a role that exists, owns none of the tables and is no superuser.
        #[arg(long)]
        role: DbRole,
    },
}

impl AdminCommand {
    /// Whether only the role that owns the tables can run the command.
    pub const fn needs_owner(&self) -> bool {
        matches!(
            self,
            Self::Grant { .. }
                | Self::User(UserCommand::Erase { .. })
                | Self::Tenant(TenantCommand::Erase { .. })
        )
    }
}

/// The longest statement of a command: it deletes or reads what one person or tenant has.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(600);

/// Runs the command; needs only `DATABASE_URL`.
///
/// # Errors
/// Why it failed, with its causes.
pub async fn run(command: AdminCommand, mut env: Env) -> anyhow::Result<()> {
    // An erasure and an export take as long as their rows are many, and the connection must outlive them.
    let database = PoolConfig {
        statement_timeout: STATEMENT_TIMEOUT,
        ..PoolConfig::with_connections(&mut env, 2, "postroom-admin")
    };
    let operators = operator_tenant(&mut env);
    let keys = match command {
        AdminCommand::Reseal | AdminCommand::Connections(_) => KeyRing::from_env(&mut env),
        _ => None,
    };
    let log = telemetry::directives(&mut env);
    let database = env.finish(database)?;
    telemetry::init(&log).context("could not start logging")?;
    let pool = db::connect(&database).await?;
    let done = execute(&pool, command, operators.as_ref(), keys.as_ref()).await;
    // A connection that is cut off at the end of the process is logged as a failure of the database.
    pool.close().await;
    done
}

async fn execute(
    pool: &PgPool,
    command: AdminCommand,
    operators: Option<&TenantSlug>,
    keys: Option<&KeyRing>,
) -> anyhow::Result<()> {
    jobs::schema::check_schema(pool).await?;
    match command {
        AdminCommand::Bootstrap {
            tenant,
            email,
            json,
        } => invite_owner(pool, &tenant, &email, json).await,
        AdminCommand::Audit(command) => audit::run(pool, command).await,
        AdminCommand::Reseal => {
            let operator = operator(pool, operators).await?;
            connections::reseal_all(pool, keys, operator).await
        }
        AdminCommand::Connections(command) => connections::run(pool, keys, command).await,
        AdminCommand::User(command) => users::run(pool, command).await,
        AdminCommand::IdentityProvider(command) => identity_provider::run(pool, command).await,
        AdminCommand::Tenant(command) => tenants::run(pool, command).await,
        AdminCommand::Keys(command) => keys::run(pool, command).await,
        AdminCommand::RevokeSessions { tenant, email } => {
            revoke_sessions(pool, &tenant, &email).await
        }
        AdminCommand::Queue(command) => queues::run(pool, operators, command).await,
        AdminCommand::Workers => workers::list(pool).await,
        AdminCommand::Limits(command) => limits::run(pool, operators, command).await,
        AdminCommand::Grant { role } => {
            grant(pool, &role).await?;
            print(&format!(
                "{role} may read and write; in the audit log it may only read and add"
            ))
        }
    }
}

/// Finds the tenant that a command is about.
async fn tenant_id(pool: &PgPool, slug: &TenantSlug) -> anyhow::Result<TenantId> {
    let mut conn = pool
        .acquire()
        .await
        .context("could not connect to the database")?;
    let found = store::tenants::find(&mut conn, slug.as_str()).await;
    found
        .context("could not look for the tenant")?
        .with_context(|| format!("there is no tenant {}", slug.as_str()))
}

/// Finds the tenant whose audit log the command's entry goes into, and warns if there is none.
async fn operator(pool: &PgPool, slug: Option<&TenantSlug>) -> anyhow::Result<Operator<'static>> {
    let Some(slug) = slug else {
        eprintln!("OPERATOR_TENANT is not set: this is not recorded in any audit log");
        return Ok(Operator::Shell { tenant: None });
    };
    let tenant = tenant_id(pool, slug).await;
    let tenant = tenant.context("OPERATOR_TENANT: nothing was changed")?;
    Ok(Operator::Shell {
        tenant: Some(tenant),
    })
}

async fn invite_owner(
    pool: &PgPool,
    tenant: &TenantSlug,
    email: &EmailAddress,
    as_json: bool,
) -> anyhow::Result<()> {
    let invited = bootstrap(pool, tenant, email).await?;
    let token = invited.token.expose();
    if as_json {
        let object = json!({
            "tenant": tenant.as_str(),
            "email": email.expose(),
            "role": invited.invite.role,
            "token": token,
            "expires_at": invited.invite.expires_at,
        });
        return print(&object.to_string());
    }
    // Only the token goes to stdout, so that `$(…)` captures it; the rest is for the person.
    eprintln!(
        "Invite for the first owner of {}, valid until {}. Accept it with POST /v1/onboarding/accept:",
        tenant.as_str(),
        invited.invite.expires_at.format("%Y-%m-%d %H:%M UTC"),
    );
    print(token)
}

async fn revoke_sessions(
    pool: &PgPool,
    tenant: &TenantSlug,
    email: &EmailAddress,
) -> anyhow::Result<()> {
    let ended = announced(pool, async |notifier| {
        end::end_sessions_of(pool, notifier, tenant, email).await
    })
    .await
    .context("could not end the sessions")?
    .with_context(|| format!("tenant {} has no user with this address", tenant.as_str()))?;
    print(&format!("{ended} session(s) ended"))
}

/// Runs `work` and sends its announcements before the process exits.
async fn announced<T>(pool: &PgPool, work: impl AsyncFnOnce(&Notifier) -> T) -> T {
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let notifier = Notifier::spawn(pool.clone(), &tracker, stop.clone());
    let done = work(&notifier).await;
    stop.cancel();
    tracker.close();
    tracker.wait().await;
    done
}
