//! [`EventStream`]: the events of one job, sent to one client.
//!
//! Holds a task and nothing else between polls: no pool connection, no row. Polls every second, since progress is not
//! announced and an announcement may be lost. Ends with the job, the session or the process, or at its maximum age; the
//! client reconnects with the last id it received.

use super::EventBody;
use crate::{
    AppState,
    error::{ApiError, Code},
    metrics::InProgress,
    routes::jobs::poll::{POLL_INTERVAL, Wake, next_wake},
    slots::Slot,
};
use axum::response::sse;
use base::{JobId, TenantId, telemetry::chain};
use futures::{Stream, stream};
use jobs::{
    commands::sessions::is_alive,
    domain::{Session, UserId},
};
use queue::{
    signals::listener::Signal,
    view::events::{self, Event, EventId, EventKind},
};
use std::{collections::VecDeque, convert::Infallible, time::Duration};
use tokio::{
    sync::broadcast::Receiver,
    time::{Instant, sleep_until},
};

/// Events per poll.
const PAGE: i64 = 200;
/// How soon a client whose stream ended early should reconnect.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

pub(super) struct EventStream {
    app: AppState,
    session: Session,
    job: JobId,
    signals: Receiver<Signal>,
    /// The last event that was read.
    after: Option<EventId>,
    unsent: VecDeque<Event>,
    /// The last poll did not reach the end of the log.
    more: bool,
    /// The end of the job was read.
    finished: bool,
    /// The client knows how soon to reconnect.
    retry_is_sent: bool,
    check_at: Instant,
    until: Instant,
    _slot: Slot<(TenantId, UserId)>,
    _in_progress: InProgress,
}

impl EventStream {
    /// Opens a stream with its first poll.
    pub(super) async fn open(
        app: AppState,
        session: Session,
        job: JobId,
        after: Option<EventId>,
        slot: Slot<(TenantId, UserId)>,
    ) -> Result<Self, ApiError> {
        let left = session.expires_at - app.clock.now();
        let longest = left
            .to_std()
            .unwrap_or_default()
            .min(app.limits.longest_stream);
        let mut events = Self {
            // Before the first poll: an end between poll and subscription would be noticed late.
            signals: app.listener.subscribe(),
            job,
            after,
            unsent: VecDeque::new(),
            more: false,
            finished: false,
            retry_is_sent: false,
            check_at: Instant::now() + app.limits.heartbeat,
            until: Instant::now() + longest,
            _slot: slot,
            _in_progress: InProgress::begin(&app.metrics.event_streams_open),
            session,
            app,
        };
        events.poll().await?;
        Ok(events)
    }

    pub(super) fn has_nothing_new(&self) -> bool {
        self.unsent.is_empty()
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = Result<sse::Event, Infallible>> {
        stream::unfold(self, async |mut events| {
            let event = events.next().await?;
            Some((Ok(event), events))
        })
    }

    async fn next(&mut self) -> Option<sse::Event> {
        if !self.retry_is_sent {
            self.retry_is_sent = true;
            return Some(sse::Event::default().retry(RECONNECT_AFTER));
        }
        loop {
            if let Some(event) = self.unsent.pop_front() {
                return Some(encode(event));
            }
            if self.finished || !(self.more || self.wait().await) {
                return None;
            }
            match self.poll_if_allowed().await {
                Ok(true) => {}
                Ok(false) => return None,
                // A full pool or a restarting database does not end the stream.
                Err(error) if error.code() == Code::Unavailable => {}
                Err(error) => {
                    let cause = error.cause().map(|cause| chain(cause));
                    tracing::error!(cause, "event stream failed");
                    return None;
                }
            }
        }
    }

    /// Waits for the next poll; false at the end of the stream.
    async fn wait(&mut self) -> bool {
        let next_poll = self.until.min(Instant::now() + POLL_INTERVAL);
        let wake = tokio::select! {
            wake = next_wake(&mut self.signals, self.job, &self.session) => wake,
            () = sleep_until(next_poll) => Wake::Poll,
            () = self.app.stopping.cancelled() => return false,
        };
        wake == Wake::Poll && Instant::now() < self.until
    }

    /// Polls if the session is still alive, which it checks in the database every heartbeat: the notice of a revocation may
    /// be lost, and there is none of an expiry. Streaming does not keep a session alive.
    async fn poll_if_allowed(&mut self) -> Result<bool, ApiError> {
        if Instant::now() >= self.check_at {
            let mut conn = self.app.pool.acquire().await?;
            if !is_alive(&mut conn, &self.session).await? {
                return Ok(false);
            }
            self.check_at = Instant::now() + self.app.limits.heartbeat;
        }
        self.poll().await?;
        Ok(true)
    }

    async fn poll(&mut self) -> Result<(), ApiError> {
        let mut conn = self.app.pool.acquire().await?;
        let tenant = self.session.tenant;
        let page = events::read(&mut conn, tenant, self.job, self.after, PAGE).await?;
        drop(conn);
        self.more = i64::try_from(page.len()).is_ok_and(|len| len == PAGE);
        if let Some(last) = page.last() {
            self.after = Some(last.id);
            self.finished = matches!(last.kind, EventKind::Finished { .. });
        }
        self.unsent = page.into();
        Ok(())
    }
}

fn encode(event: Event) -> sse::Event {
    let id = event.id.to_string();
    let (name, body) = EventBody::of(event);
    let data = serde_json::to_string(&body).expect("an event has only string keys");
    sse::Event::default().id(id).event(name).data(data)
}
