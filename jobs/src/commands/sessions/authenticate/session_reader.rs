//! The common case of [`authenticate`](super::authenticate) for many requests in one statement: [`SessionReader`].

use crate::{
    domain::{Session, SessionToken, token::TokenHash},
    store::session_tokens,
};
use base::db::{self, DbError, PoolConfig};
use queue::coalesce::{Coalescer, PendingRequest};
use sqlx::PgPool;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Reads live sessions that need no write; cheap to clone. Caches nothing: a request's session is read after the
/// request has arrived.
#[derive(Clone)]
pub struct SessionReader {
    coalescer: Coalescer<TokenHash, Option<Session>>,
}

impl SessionReader {
    /// Opens a connection of its own and starts its task in `tracker`; it ends when `stop` is set.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn spawn(
        config: &PoolConfig,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Self, DbError> {
        let pool = db::connect_autocommit(config, 1).await?;
        let coalescer = Coalescer::spawn(1, tracker, stop, move |batch| read(pool.clone(), batch));
        Ok(Self { coalescer })
    }

    /// Returns the live session of this token. `None` means that [`authenticate`](super::authenticate) must decide: the
    /// token is refused, its use must be recorded, or the database did not answer.
    pub async fn read(&self, token: &SessionToken) -> Option<Session> {
        self.coalescer.call(token.hash()).await.ok().flatten()
    }
}

async fn read(pool: PgPool, batch: Vec<PendingRequest<TokenHash, Option<Session>>>) {
    let hashes: Vec<TokenHash> = batch.iter().map(|asked| asked.request).collect();
    let found = match pool.acquire().await {
        Ok(mut conn) => session_tokens::find_in_use(&mut conn, &hashes).await,
        Err(error) => Err(error),
    };
    let mut found = found.unwrap_or_else(|error| {
        tracing::debug!(%error, "could not read sessions together; each is looked up alone");
        Vec::new()
    });
    found.resize(batch.len(), None);
    for (asked, session) in batch.into_iter().zip(found) {
        asked.reply.send(session);
    }
}
