//! The common case of [`authenticate`](super::authenticate) and
//! [`authenticate_key`](crate::commands::api_keys::authenticate_key) for many requests in one statement each:
//! [`SessionReader`].

use crate::{
    domain::{ApiKeyToken, Session, SessionToken, token::TokenHash},
    store::{api_keys, session_tokens},
};
use base::db::{self, DbError, PoolConfig};
use queue::coalesce::{Coalescer, PendingRequest};
use sqlx::{PgConnection, PgPool};
use std::net::IpAddr;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Reads live sessions that need no write; cheap to clone. Caches nothing: a request's session is read after the
/// request has arrived.
#[derive(Clone)]
pub struct SessionReader {
    coalescer: Coalescer<Presented, Option<Session>>,
}

/// What a request authenticates with.
enum Presented {
    Session(TokenHash),
    /// With the address of the client: a key may be valid from some only.
    ApiKey(TokenHash, Option<IpAddr>),
}

impl SessionReader {
    /// Opens a connection of its own and starts its task in `tracker`; it ends when `stop` is set.
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
        self.call(Presented::Session(token.hash())).await
    }

    /// As [`Self::read`], for a key.
    pub async fn read_key(&self, token: &ApiKeyToken, ip: Option<IpAddr>) -> Option<Session> {
        self.call(Presented::ApiKey(token.hash(), ip)).await
    }

    async fn call(&self, presented: Presented) -> Option<Session> {
        self.coalescer.call(presented).await.ok().flatten()
    }
}

async fn read(pool: PgPool, batch: Vec<PendingRequest<Presented, Option<Session>>>) {
    let found = match pool.acquire().await {
        Ok(mut conn) => find(&mut conn, &batch).await,
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

/// Reads each kind in a statement of its own, if the batch has any, and returns both in the order of the batch.
async fn find(
    conn: &mut PgConnection,
    batch: &[PendingRequest<Presented, Option<Session>>],
) -> Result<Vec<Option<Session>>, sqlx::Error> {
    let (mut tokens, mut keys) = (Vec::new(), Vec::new());
    for asked in batch {
        match asked.request {
            Presented::Session(hash) => tokens.push(hash),
            Presented::ApiKey(hash, ip) => keys.push((hash, ip)),
        }
    }
    let mut of_tokens = match tokens.len() {
        0 => Vec::new(),
        _ => session_tokens::find_in_use(conn, &tokens).await?,
    }
    .into_iter();
    let mut of_keys = match keys.len() {
        0 => Vec::new(),
        _ => api_keys::find_in_use(conn, &keys).await?,
    }
    .into_iter();
    let in_order = batch.iter().map(|asked| match asked.request {
        Presented::Session(_) => of_tokens.next().flatten(),
        Presented::ApiKey(..) => of_keys.next().flatten(),
    });
    Ok(in_order.collect())
}
