//! `webhook.deliver`: calls a subscribed webhook with the events after its position, some at once. The position moves after
//! each group of calls, so that a crash repeats at most one group, under the same ids.

use super::{action::provider_error::refusal_or_failure, unavailable};
use crate::{
    effects::ProviderContext,
    providers::{Caller, ProviderError, Providers},
};
use async_trait::async_trait;
use futures::future::join_all;
use jobs::{
    commands::subscriptions::deliver::{Advanced, NextDelivery, advance, end_gone, next},
    domain::subscription::JobEnd,
    kinds::webhook_delivery::{Args, Output, WebhookDelivery},
    store::{audit::Position, connections::StoredConnection},
};
use queue::Failure;
use queue::runtime::handler::{Handler, JobContext, Settlement};
use std::time::Duration;
use tokio::time::Instant;

/// Calls at once.
const CALLS: usize = 8;
/// How long a job delivers before it lets others have its slot; the next job continues.
const TURN: Duration = Duration::from_secs(20);

/// Delivers events to webhooks.
pub struct WebhookDeliveryHandler {
    providers: Providers,
}

impl WebhookDeliveryHandler {
    pub fn new(providers: Providers) -> Self {
        Self { providers }
    }
}

#[async_trait]
impl Handler for WebhookDeliveryHandler {
    type Kind = WebhookDelivery;

    async fn run(&self, ctx: &JobContext, args: Args) -> Result<Settlement, Failure> {
        let mut turn = Delivery {
            ctx,
            args: &args,
            ends_at: Instant::now() + TURN,
            delivered: 0,
        };
        let ended = tokio::select! {
            ended = turn.run(&self.providers) => ended,
            () = ctx.cancelled.cancelled() => return Err(Failure::cancelled()),
        };
        match ended {
            Ok(()) => {}
            // Attempts count failures in a row: a job that delivered something ends well, and the next one starts anew.
            Err(failure) if turn.delivered > 0 => {
                tracing::info!(code = failure.code, "a delivery stopped after a part of it");
            }
            Err(failure) => return Err(failure),
        }
        let output = Output {
            connection_id: args.connection_id,
            delivered: turn.delivered,
        };
        let value = serde_json::to_value(output).map_err(|error| {
            Failure::permanent(
                "internal_error",
                "Something went wrong on our side.",
                error.to_string(),
            )
        })?;
        Ok(Settlement::of(value))
    }
}

/// One job's share of the work.
struct Delivery<'a> {
    ctx: &'a JobContext,
    args: &'a Args,
    ends_at: Instant,
    delivered: i64,
}

impl Delivery<'_> {
    async fn run(&mut self, providers: &Providers) -> Result<(), Failure> {
        let ctx = self.ctx;
        let providers = ProviderContext::new(ctx, providers);
        while Instant::now() < self.ends_at {
            let found = next(&ctx.pool, &ctx.job, self.args.connection_id).await;
            let Some(NextDelivery { connection, batch }) =
                found.map_err(|error| unavailable(&error))?
            else {
                return Ok(());
            };
            let Some(last) = batch.last else {
                return Ok(());
            };
            let caller = match providers.caller(&connection).await {
                Ok(caller) => caller,
                Err(error) => return self.stop(&connection, error).await,
            };
            for group in batch.events.chunks(CALLS) {
                if !self.deliver(&*caller, &connection, group).await? {
                    return Ok(());
                }
                if Instant::now() >= self.ends_at {
                    return Ok(());
                }
            }
            // What follows the last event is not wanted.
            if !self.advance(last, 0).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Makes a group of calls and moves the position over those that were accepted, up to the first that was not. False if
    /// the subscription has stopped.
    async fn deliver(
        &mut self,
        caller: &dyn Caller,
        connection: &StoredConnection,
        group: &[(Position, JobEnd)],
    ) -> Result<bool, Failure> {
        let now = self.ctx.clock.now();
        let calls = group.iter().map(|(_, end)| async move {
            let id = end.webhook_id(connection.id);
            caller.call(&id, end.body(&id).as_bytes(), now).await
        });
        let mut refused = None;
        let mut accepted = None;
        let mut count = 0;
        for ((position, _), answer) in group.iter().zip(join_all(calls).await) {
            match answer {
                Ok(_) => {
                    accepted = Some(*position);
                    count += 1;
                }
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        if let Some(position) = accepted
            && !self.advance(position, count).await?
        {
            return Ok(false);
        }
        match refused {
            None => Ok(true),
            Some(error) => self.stop(connection, error).await.map(|()| false),
        }
    }

    async fn advance(&mut self, to: Position, delivered: i64) -> Result<bool, Failure> {
        let (pool, job) = (&self.ctx.pool, &self.ctx.job);
        let moved = advance(pool, job, self.args.connection_id, to, delivered).await;
        match moved.map_err(|error| unavailable(&error))? {
            Advanced::Moved => {
                self.delivered += delivered;
                Ok(true)
            }
            Advanced::Stopped => Ok(false),
            Advanced::LeaseLost => Err(Failure::interrupted()),
        }
    }

    /// Ends the subscription if the webhook is gone, else fails. A receiver's refusal is mended there, so it is called again.
    async fn stop(
        &self,
        connection: &StoredConnection,
        error: ProviderError,
    ) -> Result<(), Failure> {
        let (pool, job) = (&self.ctx.pool, &self.ctx.job);
        let (code, message) = refusal_or_failure(self.ctx, connection, error).await?;
        match code {
            "webhook_gone" => end_gone(pool, job, connection, code)
                .await
                .map_err(|error| unavailable(&error)),
            "webhook_refused" | "webhook_moved" => {
                Err(Failure::transient(code, message, "refused by the receiver"))
            }
            _ => Err(Failure::permanent(code, message, "the call is not allowed")),
        }
    }
}
