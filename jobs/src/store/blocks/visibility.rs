//! Whose the approval of a booked block is: its block's. [`books_for_another`] for one; the list of approvals leaves them out.

use crate::domain::{ApprovalId, UserId};
use base::TenantId;
use sqlx::PgConnection;

/// Whether the approval books a block of another user than `viewer`. An API key is no user and has no blocks.
pub async fn books_for_another(
    conn: &mut PgConnection,
    tenant: TenantId,
    approval: ApprovalId,
    viewer: Option<UserId>,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from blocks where tenant_id = $1 and approval_id = $2 and user_id is distinct from $3
        ) as "another!"
        "#,
        tenant.0,
        approval.0,
        viewer.map(|user| user.0),
    )
    .fetch_one(conn)
    .await
}
