//! [`Follow`]: one client that follows one job.
//!
//! Holds a task and nothing else between its looks: no connection of the pool, no row. Looks every second, since progress
//! is not announced and an announcement may be lost. Ends with the job, with its session, with the process, or when it has
//! gone on for long enough; the client comes back with the last id it has seen.

use super::EventBody;
use crate::{
    AppState,
    error::{ApiError, Code},
    metrics::Ongoing,
    routes::jobs::poll::{LOOK_AGAIN, Woken, announced},
    streams::Place,
};
use axum::response::sse;
use base::{JobId, telemetry::chain};
use futures::{Stream, stream};
use jobs::{domain::Session, store::sessions};
use queue::{
    signals::listener::Signal,
    view::events::{self, Event, EventId, What},
};
use std::{collections::VecDeque, convert::Infallible, time::Duration};
use tokio::{
    sync::broadcast::Receiver,
    time::{Instant, sleep_until},
};

/// Events per look.
const PAGE: i64 = 200;
/// When a client whose stream ended early should come back.
const COME_BACK: Duration = Duration::from_secs(1);

pub(super) struct Follow {
    app: AppState,
    session: Session,
    job: JobId,
    signals: Receiver<Signal>,
    /// The last event that was read.
    after: Option<EventId>,
    unsent: VecDeque<Event>,
    /// The last look did not come to the end of the log.
    more: bool,
    /// The end of the job was read.
    finished: bool,
    /// The client was told when to come back.
    greeted: bool,
    check_at: Instant,
    until: Instant,
    _place: Place,
    _ongoing: Ongoing,
}

impl Follow {
    /// Looks for the first time.
    ///
    /// # Errors
    /// If the database cannot be asked.
    pub(super) async fn begin(
        app: AppState,
        session: Session,
        job: JobId,
        after: Option<EventId>,
        place: Place,
    ) -> Result<Self, ApiError> {
        let left = session.expires_at - app.clock.now();
        let longest = left
            .to_std()
            .unwrap_or_default()
            .min(app.limits.longest_stream);
        let mut follow = Self {
            // Before the first look: what ends between look and subscription would be noticed late.
            signals: app.listener.subscribe(),
            job,
            after,
            unsent: VecDeque::new(),
            more: false,
            finished: false,
            greeted: false,
            check_at: Instant::now() + app.limits.heartbeat,
            until: Instant::now() + longest,
            _place: place,
            _ongoing: Ongoing::begin(&app.metrics.event_streams_open),
            session,
            app,
        };
        follow.look().await?;
        Ok(follow)
    }

    pub(super) fn has_nothing_new(&self) -> bool {
        self.unsent.is_empty()
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = Result<sse::Event, Infallible>> {
        stream::unfold(self, async |mut follow| {
            let event = follow.next().await?;
            Some((Ok(event), follow))
        })
    }

    async fn next(&mut self) -> Option<sse::Event> {
        if !self.greeted {
            self.greeted = true;
            return Some(sse::Event::default().retry(COME_BACK));
        }
        loop {
            if let Some(event) = self.unsent.pop_front() {
                return Some(written(event));
            }
            if self.finished || !(self.more || self.wait().await) {
                return None;
            }
            match self.may_look().await {
                Ok(true) => {}
                Ok(false) => return None,
                // A full pool or a database that restarts is no reason to send the client away.
                Err(error) if error.code() == Code::Unavailable => {}
                Err(error) => {
                    let cause = error.cause().map(|cause| chain(cause));
                    tracing::error!(cause, "a stream of events failed by our fault");
                    return None;
                }
            }
        }
    }

    /// False when the stream is to end.
    async fn wait(&mut self) -> bool {
        let look_again = self.until.min(Instant::now() + LOOK_AGAIN);
        let woken = tokio::select! {
            woken = announced(&mut self.signals, self.job, &self.session) => woken,
            () = sleep_until(look_again) => Woken::Look,
            () = self.app.stopping.cancelled() => return false,
        };
        woken == Woken::Look && Instant::now() < self.until
    }

    /// Looks, if the session may still see it; asked of the database now and then, for a revocation's announcement may be
    /// lost, and nobody announces that a session expired. To follow a job is no use that keeps a session alive.
    async fn may_look(&mut self) -> Result<bool, ApiError> {
        if Instant::now() >= self.check_at {
            let mut conn = self.app.pool.acquire().await?;
            if !sessions::is_alive(&mut conn, self.session.tenant, self.session.id).await? {
                return Ok(false);
            }
            self.check_at = Instant::now() + self.app.limits.heartbeat;
        }
        self.look().await?;
        Ok(true)
    }

    async fn look(&mut self) -> Result<(), ApiError> {
        let mut conn = self.app.pool.acquire().await?;
        let tenant = self.session.tenant;
        let page = events::read(&mut conn, tenant, self.job, self.after, PAGE).await?;
        drop(conn);
        self.more = i64::try_from(page.len()).is_ok_and(|len| len == PAGE);
        if let Some(last) = page.last() {
            self.after = Some(last.id);
            self.finished = matches!(last.what, What::Finished { .. });
        }
        self.unsent = page.into();
        Ok(())
    }
}

fn written(event: Event) -> sse::Event {
    let id = event.id.to_string();
    let (name, body) = EventBody::of(event);
    let data = serde_json::to_string(&body).expect("an event has only string keys");
    sse::Event::default().id(id).event(name).data(data)
}
