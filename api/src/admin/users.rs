//! Users from the command line: `admin user list`, `update`, `remove`, `reset-password`,
//! `reset-second-factor`, `export` and `erase`.

use super::{announced, print, tenant_id};
use anyhow::Context;
use base::db::PgPool;
use clap::{Args, Subcommand};
use jobs::{
    commands::{
        actor::TenantActor,
        users::{
            erase::{erase_user, export_user},
            manage::{UserChange, remove_user, update_user},
            reset::create_reset,
            second_factor,
        },
    },
    domain::{
        Role, UserId,
        invite::{EmailAddress, TenantSlug},
    },
    store::users::{self, User},
};

/// Users that `list` reads at once.
const PAGE: i64 = 200;

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// List the users of a tenant, oldest first.
    List {
        /// The tenant's short name.
        #[arg(long)]
        tenant: TenantSlug,
    },
    /// Change a user's role, or suspend a user, which ends their sessions.
    Update {
        #[command(flatten)]
        user: NamedUser,
        #[command(flatten)]
        change: Change,
    },
    /// Remove a user: end their sessions, disconnect their accounts and forget their address.
    Remove {
        #[command(flatten)]
        user: NamedUser,
    },
    /// Print all that is a user's, and what erasing them would delete, as JSON Lines, without secrets.
    Export {
        /// The tenant's short name.
        #[arg(long)]
        tenant: TenantSlug,
        #[command(flatten)]
        person: Person,
    },
    /// Remove a user and delete all that is theirs for good, but for the audit log. Needs the role that owns the tables.
    Erase {
        /// The tenant's short name.
        #[arg(long)]
        tenant: TenantSlug,
        #[command(flatten)]
        person: Person,
    },
    /// Remove the second factor of a user who lost it, and end their sessions.
    ResetSecondFactor {
        #[command(flatten)]
        user: NamedUser,
    },
    /// Print a one-time token with which the user sets a new password within an hour.
    ResetPassword {
        #[command(flatten)]
        user: NamedUser,
    },
}

/// At least one of them: an update without any looks done and does nothing.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct Change {
    /// The new role: `owner`, `admin`, `operator`, `member` or `auditor`.
    #[arg(long, value_parser = role)]
    role: Option<Role>,
    /// `true` suspends the user, `false` lets the user log in again.
    #[arg(long)]
    suspended: Option<bool>,
}

/// A user by the address they log in with.
#[derive(Debug, Args)]
pub struct NamedUser {
    /// The tenant's short name.
    #[arg(long)]
    tenant: TenantSlug,
    /// The address that the user logs in with.
    #[arg(long)]
    email: EmailAddress,
}

/// A user by their address or, if they were removed before, by their id.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Person {
    /// The address that the user logs in with.
    #[arg(long)]
    email: Option<EmailAddress>,
    /// The id of a user who was removed before.
    #[arg(long)]
    id: Option<UserId>,
}

pub(super) async fn run(pool: &PgPool, command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::List { tenant } => list(pool, &tenant).await,
        UserCommand::Update {
            user,
            change: Change { role, suspended },
        } => {
            let (actor, id) = find(pool, &user).await?;
            let change = UserChange { role, suspended };
            let changed = announced(pool, async |notifier| {
                update_user(pool, notifier, actor, id, change).await
            })
            .await?;
            print(&line(&changed))
        }
        UserCommand::Remove { user } => {
            let (actor, id) = find(pool, &user).await?;
            announced(pool, async |notifier| {
                remove_user(pool, notifier, actor, id).await
            })
            .await?;
            print(&format!("user {id} is removed"))
        }
        UserCommand::Export { tenant, person } => {
            let (actor, id) = find_person(pool, tenant, person).await?;
            let rows = export_user(pool, actor.tenant(), id, |line| print(&line)).await?;
            anyhow::ensure!(rows > 0, "the tenant has no such user");
            Ok(())
        }
        UserCommand::Erase { tenant, person } => {
            let (actor, id) = find_person(pool, tenant, person).await?;
            let erased = announced(pool, async |notifier| {
                erase_user(pool, notifier, actor, id).await
            });
            let emails = erased.await.map_err(|error| {
                let is_removed = error.is_removed();
                let error = anyhow::Error::from(error);
                if is_removed {
                    // Their address is forgotten, so that the same command would not find them.
                    error.context(format!(
                        "user {id} is removed and not yet erased; run it again with --id {id} instead of --email"
                    ))
                } else {
                    error
                }
            })?;
            print(&format!(
                "user {id} is erased, with {emails} email(s) of their mailbox"
            ))
        }
        UserCommand::ResetSecondFactor { user } => {
            let (actor, id) = find(pool, &user).await?;
            let had_one = announced(pool, async |notifier| {
                second_factor::reset(pool, notifier, actor, id).await
            })
            .await?;
            print(&if had_one {
                format!("the second factor of user {id} is removed")
            } else {
                format!("user {id} has no second factor")
            })
        }
        UserCommand::ResetPassword { user } => {
            let (actor, id) = find(pool, &user).await?;
            let created = create_reset(pool, actor, id).await?;
            eprintln!(
                "Valid until {}. Use it with POST /v1/onboarding/reset-password:",
                created.expires_at.format("%Y-%m-%d %H:%M UTC"),
            );
            print(created.token.expose())
        }
    }
}

async fn list(pool: &PgPool, tenant: &TenantSlug) -> anyhow::Result<()> {
    let tenant = tenant_id(pool, tenant).await?;
    let mut after = None;
    loop {
        let mut conn = pool
            .acquire()
            .await
            .context("could not connect to the database")?;
        let page = users::list(&mut conn, tenant, after, PAGE)
            .await
            .context("could not read the users")?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some(last.id);
        page.iter().try_for_each(|user| print(&line(user)))?;
    }
}

fn line(user: &User) -> String {
    format!(
        "{} {} {} {}{}",
        user.id,
        user.email,
        user.role.as_str(),
        user.status,
        if user.second_factor {
            " second-factor"
        } else {
            ""
        }
    )
}

async fn find(pool: &PgPool, named: &NamedUser) -> anyhow::Result<(TenantActor<'static>, UserId)> {
    let mut conn = pool
        .acquire()
        .await
        .context("could not connect to the database")?;
    let (tenant, user) = users::find(&mut conn, named.tenant.as_str(), named.email.expose())
        .await
        .context("could not look for the user")?
        .with_context(|| {
            format!(
                "tenant {} has no user with this address",
                named.tenant.as_str()
            )
        })?;
    Ok((TenantActor::Shell { tenant }, user))
}

/// Finds the user with an address. An id is taken as it is: users who were removed are not listed.
async fn find_person(
    pool: &PgPool,
    tenant: TenantSlug,
    person: Person,
) -> anyhow::Result<(TenantActor<'static>, UserId)> {
    match person.email {
        Some(email) => find(pool, &NamedUser { tenant, email }).await,
        None => {
            let id = person.id.context("give --email or --id")?;
            let tenant = tenant_id(pool, &tenant).await?;
            Ok((TenantActor::Shell { tenant }, id))
        }
    }
}

fn role(text: &str) -> Result<Role, String> {
    Role::parse(text).ok_or_else(|| {
        let known: Vec<_> = Role::ALL.iter().map(|role| role.as_str()).collect();
        format!("use one of {}", known.join(", "))
    })
}
