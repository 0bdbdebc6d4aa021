//! The command line: [`Cli`]. Each command is a function elsewhere; this file only names them.

use crate::{
    admin::{self, AdminCommand},
    config::ApiConfig,
    openapi,
    output::print,
    route_table::RouteTable,
    routes, serve,
};
use anyhow::Context;
use base::{
    db::{self, PoolConfig},
    env::{Env, UnknownVariable},
    telemetry,
};
use clap::{Parser, Subcommand};

/// The HTTP API of Postroom.
#[derive(Debug, Parser)]
#[command(name = "postroom-api", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve HTTP until SIGTERM.
    Serve,
    /// Migrate the database to this binary's schema; safe to run from many processes at once.
    Migrate,
    /// Administer tenants, users, keys, queues and the audit log from a shell on the server.
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Print the OpenAPI document.
    Openapi,
}

impl Cli {
    /// Whether only the role that owns the tables can run the command.
    pub const fn needs_owner(&self) -> bool {
        match &self.command {
            Command::Migrate => true,
            Command::Admin(command) => command.needs_owner(),
            Command::Serve | Command::Openapi => false,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// Why it failed, with its causes.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Serve => {
            let config = ApiConfig::from_env(Env::from_process())?;
            let telemetry = config.telemetry.clone();
            let work = async {
                config.unknown.iter().for_each(UnknownVariable::warn);
                serve::serve(config).await
            };
            telemetry::observed(telemetry, "postroom-api", Box::pin(work)).await
        }
        Command::Migrate => migrate(Env::from_process()).await,
        Command::Admin(command) => admin::run(command, Env::from_process()).await,
        Command::Openapi => print_openapi(),
    }
}

fn start_logging(directives: &str) -> anyhow::Result<()> {
    telemetry::init(directives).context("could not start logging")
}

/// Needs only `DATABASE_URL`, or `DATABASE_LISTEN_URL` if that leads through a pooler: a release phase has no other configuration yet.
async fn migrate(mut env: Env) -> anyhow::Result<()> {
    let database = PoolConfig::with_connections(&mut env, 1, "postroom-migrate");
    // Past a pooler, which would end a migration at its own timeouts.
    let database = database.for_listening(&mut env);
    let log = telemetry::directives(&mut env);
    let database = env.finish(database)?;
    start_logging(&log)?;
    let options = db::connect_options_of_primary(&database).await?;
    let applied = jobs::schema::migrate(&options).await?;
    match applied {
        0 => print("the schema is up to date; nothing to apply"),
        n => print(&format!(
            "applied {n} migration(s); the schema is up to date"
        )),
    }
}

fn print_openapi() -> anyhow::Result<()> {
    let (table, _) = RouteTable::build(routes::all());
    let document = serde_json::to_string_pretty(&openapi::document(&table))?;
    print(&document)
}
