//! The writer's busy times beyond our own blocks: [`of_calendar`] asks the writer's calendar, if one is connected.
//!
//! Reads only, waits for a bounded time, and never fails the draft: without an answer the draft knows less.

use super::load::Case;
use crate::effects::ProviderContext;
use crate::providers::{ProviderError, Providers};
use chrono::TimeDelta;
use jobs::{
    domain::{
        blocks::Span,
        connection::{ConnectionStatus, Settings},
    },
    store::connections::{self, StoredConnection},
};
use queue::runtime::handler::JobContext;
use std::time::Duration;

/// The longest wait for the calendar: a person waits for the draft.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How far ahead the calendar is read.
const AHEAD: TimeDelta = TimeDelta::days(14);

/// Reads the writer's busy times of the next two weeks; none without a calendar that answers.
pub(super) async fn of_calendar(ctx: &JobContext, providers: &Providers, case: &Case) -> Vec<Span> {
    let Some(writer) = &case.writer else {
        return Vec::new();
    };
    let found = async {
        let mut conn = ctx.pool.acquire().await?;
        connections::of_user(&mut conn, ctx.job.lease.tenant, writer.user).await
    };
    let connected = match found.await {
        Ok(connected) => connected,
        Err(error) => {
            tracing::info!(%error, "could not find the writer's calendar; the draft is written without it");
            return Vec::new();
        }
    };
    let Some(calendar) = connected.iter().find(|connection| is_usable(connection)) else {
        return Vec::new();
    };
    let answered = tokio::select! {
        answered = tokio::time::timeout(TIMEOUT, busy(ctx, providers, calendar)) => answered,
        () = ctx.cancelled.cancelled() => return Vec::new(),
    };
    let code = match answered {
        Ok(Ok(spans)) => return spans,
        Ok(Err(error)) => error.code(),
        Err(_) => "calendar_unanswered",
    };
    tracing::info!(
        connection = %calendar.id,
        code,
        "the writer's calendar gives no busy times; the draft is written without them"
    );
    Vec::new()
}

async fn busy(
    ctx: &JobContext,
    providers: &Providers,
    calendar: &StoredConnection,
) -> Result<Vec<Span>, ProviderError> {
    let context = ProviderContext::new(ctx, providers);
    let calendar = context.calendar(calendar).await?;
    let from = ctx.job.created_at;
    calendar.busy(from, from + AHEAD, ctx.clock.now()).await
}

fn is_usable(connection: &StoredConnection) -> bool {
    let works = matches!(
        connection.status,
        ConnectionStatus::Active | ConnectionStatus::Degraded
    );
    works && matches!(connection.settings, Settings::Calendar(_))
}

/// Joins spans that touch or overlap, in order, as the prompt shows them.
pub(super) fn joined(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|span| (span.start(), span.end()));
    let mut joined: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        let last = joined
            .last()
            .copied()
            .filter(|last| span.start() <= last.end());
        // A day is the longest span: what would be longer stays apart.
        let both = last.and_then(|last| Span::new(last.start(), span.end().max(last.end())).ok());
        match (joined.last_mut(), both) {
            (Some(last), Some(both)) => *last = both,
            _ => joined.push(span),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_and_touching_times_are_joined_up_to_a_day() {
        let span = |start: &str, end: &str| {
            let at = |time: &str| format!("2026-11-{time}:00Z").parse().unwrap();
            Span::new(at(start), at(end)).unwrap()
        };
        let spans = vec![
            span("24T10:00", "24T11:00"),
            span("24T09:00", "24T10:00"),
            span("24T09:30", "24T09:45"),
            span("25T00:00", "26T00:00"),
            span("26T00:00", "26T01:00"),
        ];
        assert_eq!(
            joined(spans),
            [
                span("24T09:00", "24T11:00"),
                span("25T00:00", "26T00:00"),
                span("26T00:00", "26T01:00")
            ]
        );
        assert!(joined(Vec::new()).is_empty());
    }
}
