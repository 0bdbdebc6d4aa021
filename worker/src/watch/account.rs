//! One watched mailbox, from the lease to its end: [`Watcher::watch`].

use super::{
    LEASE, RENEW, Watcher,
    check::{CheckError, check},
};
use crate::providers::{
    ProviderError,
    imap::{Imap, reader::Reader},
};
use base::{db, telemetry::chain};
use jobs::{
    commands::watches::refuse::refuse,
    domain::watch::{FolderName, backoff},
    store::{
        connections::{self, StoredConnection},
        watches::{
            self, WatchLease,
            folders::{self, FOLDER_MISSING, StoredFolder},
        },
    },
};
use std::time::Duration;
use tokio::time::{Instant, interval_at, sleep_until};

/// How often a mailbox is handed back to a database that failed.
const RETRY: Duration = Duration::from_secs(2);
/// How often the folder that the server reports on is checked again before the other folders have their turn.
const ROUNDS: usize = 10;

impl Watcher {
    /// Watches a mailbox until the worker stops, the lease is lost or the server fails.
    pub(super) async fn watch(&self, lease: WatchLease) {
        let connection = match self.connection(&lease).await {
            Ok(Some(connection)) => connection,
            // It was disconnected since.
            Ok(None) => return,
            Err(error) => return self.end(&lease, None, error).await,
        };
        tokio::select! {
            biased;
            () = self.engine.stopping.cancelled() => self.hand_back(&lease).await,
            Err(error) = self.keep(&lease) => self.end(&lease, Some(&connection), error).await,
            Err(error) = self.read(&lease, &connection) => {
                self.end(&lease, Some(&connection), error).await;
            }
        }
    }

    async fn connection(&self, lease: &WatchLease) -> Result<Option<StoredConnection>, CheckError> {
        let mut conn = self.engine.pool.acquire().await?;
        Ok(connections::find(&mut conn, lease.tenant, lease.connection).await?)
    }

    /// Checks the folders for as long as that works.
    async fn read(
        &self,
        lease: &WatchLease,
        connection: &StoredConnection,
    ) -> Result<std::convert::Infallible, CheckError> {
        let mut reader = self.log_in(lease, connection).await?;
        let mut next_poll = Instant::now();
        loop {
            self.renew(lease).await?;
            let pool = &self.engine.pool;
            let folders = folders::of_watch(pool, lease.tenant, lease.connection).await?;
            let Some(first) = folders.first() else {
                return Err(CheckError::LeaseLost);
            };
            let is_poll = next_poll <= Instant::now();
            if is_poll {
                if reader.is_outdated() {
                    reader = self.log_in(lease, connection).await?;
                }
                reader = self.poll(lease, connection, reader, &folders).await?;
            }
            // Again at a poll, because the server reports on the folder that was opened last.
            let is_at_rest = self.rests(lease, &mut reader, &first.folder).await?;
            if is_poll {
                next_poll = Instant::now() + self.config.poll;
                watches::record_success(pool, lease, self.config.poll).await?;
            }
            // What arrives during a check is not reported again: to wait then would leave it until the next poll.
            if is_at_rest {
                reader = wait(reader, next_poll).await?;
            }
        }
    }

    /// Checks all folders, the inbox first. A connection that breaks off at an email costs the others nothing.
    async fn poll(
        &self,
        lease: &WatchLease,
        connection: &StoredConnection,
        mut reader: Reader,
        folders: &[StoredFolder],
    ) -> Result<Reader, CheckError> {
        let mut broken = None;
        for folder in folders {
            match check(self, lease, &mut reader, folder).await {
                Err(error @ CheckError::BrokenOff(_)) => {
                    broken = Some(error);
                    reader = self.log_in(lease, connection).await?;
                }
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
        broken.map_or(Ok(reader), Err)
    }

    /// Checks a folder until nothing is new, a few times at most; returns whether nothing is.
    async fn rests(
        &self,
        lease: &WatchLease,
        reader: &mut Reader,
        name: &FolderName,
    ) -> Result<bool, CheckError> {
        let pool = &self.engine.pool;
        for _ in 0..ROUNDS {
            let stored = folders::of_watch(pool, lease.tenant, lease.connection).await?;
            let folder = stored.iter().find(|found| found.folder == *name);
            let folder = folder.ok_or(CheckError::LeaseLost)?;
            if folder.last_error.as_deref() == Some(FOLDER_MISSING) {
                return Ok(true);
            }
            if !check(self, lease, reader, folder).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Renews the lease for as long as it is held: a folder may have more emails, and a server be slower, than a lease is long.
    async fn keep(&self, lease: &WatchLease) -> Result<std::convert::Infallible, CheckError> {
        let mut renewals = interval_at(Instant::now() + RENEW, RENEW);
        loop {
            renewals.tick().await;
            self.renew(lease).await?;
        }
    }

    async fn renew(&self, lease: &WatchLease) -> Result<(), CheckError> {
        if watches::renew(&self.engine.pool, lease, LEASE).await? {
            Ok(())
        } else {
            Err(CheckError::LeaseLost)
        }
    }

    async fn log_in(
        &self,
        lease: &WatchLease,
        connection: &StoredConnection,
    ) -> Result<Reader, CheckError> {
        let mailbox = self.mailbox(lease, connection).await?;
        Ok(mailbox.open_reader().await?)
    }

    async fn mailbox(
        &self,
        lease: &WatchLease,
        connection: &StoredConnection,
    ) -> Result<Imap, CheckError> {
        let internal = |detail: &str| ProviderError::Retryable {
            code: "internal_error",
            detail: detail.to_owned(),
        };
        let mut conn = self.engine.pool.acquire().await?;
        let sealed = connections::sealed_secret(&mut conn, lease.tenant, connection.id).await?;
        drop(conn);
        let sealed = sealed.ok_or_else(|| internal("the connection is gone"))?;
        let opened = self.providers.mailbox(lease.tenant, connection, &sealed);
        let mailbox = opened.map_err(|_| internal("the secret cannot be decrypted"))?;
        Ok(mailbox.ok_or_else(|| internal("the connection has no mailbox"))?)
    }

    /// Gives the mailbox to whichever worker is next; this one stops.
    async fn hand_back(&self, lease: &WatchLease) {
        if let Err(error) = watches::release(&self.engine.pool, lease, Duration::ZERO).await {
            tracing::warn!(error = chain(&error), connection.id = %lease.connection, "could not hand a mailbox back; its lease expires");
        }
    }

    /// Hands the mailbox back when the database answers again, so that its emails need not wait for the end of the lease.
    async fn hand_back_late(&self, lease: &WatchLease) {
        for _ in 0..LEASE.as_secs() / RETRY.as_secs() {
            tokio::select! {
                () = self.engine.stopping.cancelled() => return self.hand_back(lease).await,
                () = tokio::time::sleep(RETRY) => {}
            }
            match watches::release(&self.engine.pool, lease, Duration::ZERO).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::debug!(error = chain(&error), connection.id = %lease.connection, "the database still fails");
                }
            }
        }
    }

    /// Records why a mailbox is no longer read, and when it is tried again.
    async fn end(
        &self,
        lease: &WatchLease,
        connection: Option<&StoredConnection>,
        error: CheckError,
    ) {
        let recorded = match error {
            CheckError::LeaseLost => {
                tracing::info!(connection.id = %lease.connection, "the mailbox is watched by another worker, or no longer");
                return;
            }
            CheckError::Database(error) => {
                tracing::warn!(error = chain(&error), connection.id = %lease.connection, "the database failed while a mailbox was read");
                if db::is_transient(&error) {
                    return self.hand_back_late(lease).await;
                }
                // Read again at once, it would be refused again.
                self.postpone(lease, "database_refused", Duration::ZERO)
                    .await
            }
            CheckError::Provider(error) | CheckError::BrokenOff(error) => {
                tracing::warn!(connection.id = %lease.connection, code = error.code(), "could not read a watched mailbox");
                self.record(lease, connection, &error).await
            }
        };
        if let Err(error) = recorded {
            tracing::warn!(error = chain(&error), connection.id = %lease.connection, "could not record the state of a watched mailbox");
            self.hand_back_late(lease).await;
        }
    }

    async fn record(
        &self,
        lease: &WatchLease,
        connection: Option<&StoredConnection>,
        error: &ProviderError,
    ) -> Result<(), sqlx::Error> {
        let pool = &self.engine.pool;
        if let (ProviderError::Reauth { code }, Some(connection)) = (error, connection) {
            refuse(pool, lease, connection, code).await?;
        }
        let wait = match error {
            ProviderError::Throttled { wait } => wait.to_std().unwrap_or_default(),
            _ => Duration::ZERO,
        };
        self.postpone(lease, error.code(), wait).await
    }

    /// Records a failure, and hands the mailbox back until it is tried again, after `wait` at the earliest.
    async fn postpone(
        &self,
        lease: &WatchLease,
        code: &str,
        wait: Duration,
    ) -> Result<(), sqlx::Error> {
        let mut conn = self.engine.pool.acquire().await?;
        let failures = watches::record_failure(&mut conn, lease, code).await?;
        let backoff = backoff(failures.unwrap_or(1)).to_std().unwrap_or_default();
        watches::release(&mut *conn, lease, backoff.max(wait)).await
    }
}

/// Waits for a change that the server reports, at most until the next poll.
async fn wait(reader: Reader, until: Instant) -> Result<Reader, ProviderError> {
    let limit = until.saturating_duration_since(Instant::now());
    if reader.can_idle() && limit > Duration::ZERO {
        let (reader, woken) = reader.idle(limit).await?;
        tracing::trace!(?woken, "the wait for a change ended");
        return Ok(reader);
    }
    sleep_until(until).await;
    Ok(reader)
}
