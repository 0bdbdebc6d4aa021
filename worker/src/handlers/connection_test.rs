//! `connection.test`: opens what a connection leads to, changes nothing there, and tells what it found.

use super::unavailable;
use crate::{
    effects::Far,
    providers::{ProviderError, Providers},
};
use async_trait::async_trait;
use chrono::SecondsFormat;
use jobs::{
    commands::connections::connect,
    domain::connection::{ConnectionStatus, Settings},
    kinds::connection_test::{Args, ConnectionTest, Finding, Output, Tried},
    store::connections::{self, StoredConnection},
};
use queue::Failure;
use queue::runtime::handler::{Handler, JobContext, Settlement};
use serde_json::json;

/// Tests connections.
pub struct ConnectionTestHandler {
    providers: Providers,
}

impl ConnectionTestHandler {
    pub fn new(providers: Providers) -> Self {
        Self { providers }
    }
}

#[async_trait]
impl Handler for ConnectionTestHandler {
    type Kind = ConnectionTest;

    async fn run(&self, ctx: &JobContext, args: Args) -> Result<Settlement, Failure> {
        let connection = load(ctx, &args).await?;
        let far = Far {
            ctx,
            providers: &self.providers,
        };
        let mut tried = Vec::new();
        for what in to_try(&connection.settings) {
            tokio::select! {
                outcome = attempt(&far, &connection, what) => tried.push((what, outcome)),
                () = ctx.cancelled.cancelled() => return Err(Failure::cancelled()),
            }
        }
        note(ctx, &connection, &tried)
            .await
            .map_err(|error| unavailable(&error))?;
        let output = Output {
            connection_id: connection.id,
            ok: tried.iter().all(|(_, outcome)| outcome.is_ok()),
            tried: tried.iter().map(finding).collect(),
        };
        let output = serde_json::to_value(output).map_err(|error| {
            Failure::permanent(
                "internal_error",
                "Something went wrong on our side.",
                error.to_string(),
            )
        })?;
        Ok(Settlement::of(output))
    }
}

async fn load(ctx: &JobContext, args: &Args) -> Result<StoredConnection, Failure> {
    let read = async {
        let mut conn = ctx.pool.acquire().await?;
        connections::find(&mut conn, ctx.job.tenant, args.connection_id).await
    };
    read.await
        .map_err(|error| unavailable(&error))?
        .filter(|found| found.status != ConnectionStatus::Revoked)
        .ok_or_else(|| {
            Failure::permanent(
                "connection_revoked",
                "The account was disconnected.",
                "the connection is gone",
            )
        })
}

fn to_try(settings: &Settings) -> Vec<Tried> {
    match settings {
        Settings::Mail(mail) if mail.imap.is_some() => vec![Tried::Smtp, Tried::Imap],
        Settings::Mail(_) => vec![Tried::Smtp],
        Settings::Calendar(_) => vec![Tried::Caldav],
        Settings::Webhook(_) => vec![Tried::Webhook],
    }
}

async fn attempt(
    far: &Far<'_>,
    connection: &StoredConnection,
    what: Tried,
) -> Result<(), ProviderError> {
    let now = far.ctx.clock.now();
    match what {
        Tried::Smtp => far.mailer(connection).await?.check().await,
        Tried::Imap => {
            if let Some(mailbox) = far.mailbox(connection).await? {
                mailbox.close().await;
            }
            Ok(())
        }
        Tried::Caldav => far.calendar(connection).await?.check(now).await,
        Tried::Webhook => {
            // One name for all attempts: the receiver may hear of it twice.
            let id = format!("msg_{}", far.ctx.job.lease.job.0.simple());
            let body = json!({
                "type": "connection.test",
                "id": id,
                "timestamp": now.to_rfc3339_opts(SecondsFormat::Secs, true),
                "data": {},
            });
            let caller = far.caller(connection).await?;
            caller.call(&id, body.to_string().as_bytes(), now).await?;
            Ok(())
        }
    }
}

/// What was found out is true of the connection from now on.
async fn note(
    ctx: &JobContext,
    connection: &StoredConnection,
    tried: &[(Tried, Result<(), ProviderError>)],
) -> Result<(), sqlx::Error> {
    let failures = || {
        tried
            .iter()
            .filter_map(|(_, outcome)| outcome.as_ref().err())
    };
    let refused = failures().find(|error| matches!(error, ProviderError::Reauth { .. }));
    let gone = failures().find(|error| error.code() == "webhook_gone");
    if let Some(error) = gone {
        connect::end_gone(&ctx.pool, &ctx.job, connection, error.code()).await
    } else if let Some(error) = refused {
        connect::refuse(&ctx.pool, &ctx.job, connection, error.code()).await
    } else if failures().next().is_none() {
        connect::restore(&ctx.pool, &ctx.job, connection).await
    } else {
        Ok(())
    }
}

fn finding((what, outcome): &(Tried, Result<(), ProviderError>)) -> Finding {
    let code = outcome.as_ref().err().map(|error| error.code().to_owned());
    Finding {
        what: *what,
        ok: code.is_none(),
        code,
    }
}
