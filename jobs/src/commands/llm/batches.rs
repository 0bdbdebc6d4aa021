//! Requests that leave before they are sent in a batch: [`leave_batches`].

use super::settle_budgets;
use crate::{
    domain::llm::Tier,
    store::{
        llm_batch_items,
        llm_calls::{self, EndedLlmCall},
    },
};
use sqlx::PgPool;

/// Takes up to `limit` requests whose jobs have ended out of the next batches, and frees what they had reserved.
///
/// # Errors
/// If the database refuses; then none left.
pub async fn leave_batches(pool: &PgPool, limit: i64) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    let left = llm_batch_items::leave(&mut tx, limit).await?;
    if left.is_empty() {
        return Ok(());
    }
    let mut settled = Vec::with_capacity(left.len());
    for item in &left {
        let unsent = EndedLlmCall {
            id: item.call,
            model: None,
            response_bytes: 0,
            input_tokens: 0,
            output_tokens: 0,
            cached_tokens: 0,
            duration_ms: 0,
            outcome: "cancelled",
            possibly_billed: false,
            tier: Tier::Batch,
            cost_micros: Some(0),
        };
        settled.extend(llm_calls::settle(&mut tx, item.tenant, &unsent).await?);
    }
    settle_budgets(&mut tx, &settled).await?;
    tx.commit().await
}
