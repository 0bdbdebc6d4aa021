//! [`connected`]: the connection that a job is about, while it is connected.

use super::unavailable;
use jobs::{
    domain::{ConnectionId, connection::ConnectionStatus},
    store::connections::{self, StoredConnection},
};
use queue::{Failure, runtime::handler::JobContext};

/// Reads the connection. One that was disconnected meanwhile discards the job.
pub(super) async fn connected(
    ctx: &JobContext,
    connection: ConnectionId,
) -> Result<StoredConnection, Failure> {
    let read = async {
        let mut conn = ctx.pool.acquire().await?;
        connections::find(&mut conn, ctx.job.lease.tenant, connection).await
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
