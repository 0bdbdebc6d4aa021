//! `connection.test`: opens the services of a connection and reports the results. Changes nothing there.

use super::{connected::connected, internal, unavailable};
use crate::{
    effects::ProviderContext,
    providers::{ProviderError, Providers},
};
use async_trait::async_trait;
use chrono::SecondsFormat;
use jobs::{
    commands::connections::connect,
    domain::connection::Settings,
    kinds::connection_test::{Args, ConnectionTest, Finding, Output, Tried},
    store::connections::StoredConnection,
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
        let connection = connected(ctx, args.connection_id).await?;
        let providers = ProviderContext::for_test(ctx, &self.providers);
        let mut tried = Vec::new();
        for what in to_try(&connection.settings) {
            tokio::select! {
                outcome = attempt(&providers, &connection, what) => tried.push((what, outcome)),
                () = ctx.cancelled.cancelled() => return Err(Failure::cancelled()),
            }
        }
        record_result(ctx, &connection, &tried)
            .await
            .map_err(|error| unavailable(&error))?;
        let output = Output {
            connection_id: connection.id,
            ok: tried.iter().all(|(_, outcome)| outcome.is_ok()),
            tried: tried.iter().map(finding).collect(),
        };
        let output = serde_json::to_value(output).map_err(|error| internal(&error))?;
        Ok(Settlement::of(output))
    }
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
    providers: &ProviderContext<'_>,
    connection: &StoredConnection,
    what: Tried,
) -> Result<(), ProviderError> {
    let now = providers.ctx.clock.now();
    match what {
        Tried::Smtp => providers.mailer(connection).await?.check().await,
        Tried::Imap => {
            if let Some(mailbox) = providers.mailbox(connection).await? {
                mailbox.close().await;
            }
            Ok(())
        }
        Tried::Caldav => providers.calendar(connection).await?.check(now).await,
        Tried::Webhook => {
            // One id for all attempts, so that the receiver can recognise a repeat.
            let id = format!("msg_{}", providers.ctx.job.lease.job.0.simple());
            let body = json!({
                "type": "connection.test",
                "id": id,
                "timestamp": now.to_rfc3339_opts(SecondsFormat::Secs, true),
                "data": {},
            });
            let caller = providers.caller(connection).await?;
            caller.call(&id, body.to_string().as_bytes(), now).await?;
            Ok(())
        }
    }
}

/// Updates the status of the connection.
async fn record_result(
    ctx: &JobContext,
    connection: &StoredConnection,
    tried: &[(Tried, Result<(), ProviderError>)],
) -> Result<(), sqlx::Error> {
    let failures = || {
        tried
            .iter()
            .filter_map(|(_, outcome)| outcome.as_ref().err())
    };
    let rejected = failures().find(|error| matches!(error, ProviderError::Reauth { .. }));
    let gone = failures().find(|error| error.code() == "webhook_gone");
    if let Some(error) = gone {
        connect::end_gone(&ctx.pool, &ctx.job, connection, error.code()).await
    } else if let Some(error) = rejected {
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
