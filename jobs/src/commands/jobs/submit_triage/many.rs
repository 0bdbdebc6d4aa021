//! One request for many emails: [`submit_many`], with one key and one transaction.

use super::{
    AnswerOf, SubmitError, SubmitOutcome, SubmitTriage, Submitted,
    batch::{perform, plan},
    claim_key,
    submitter::announce,
};
use crate::store::{
    audit,
    request_keys::{self, RequestKey, StoredAnswer},
};
use queue::signals::notifier::Notifier;
use sqlx::PgPool;

/// The request and its items; the keys of the items are ignored.
pub struct SubmitMany<'a> {
    pub key: RequestKey<'a>,
    pub fingerprint: [u8; 32],
    pub items: &'a [SubmitTriage],
    pub answer_of: AnswerOf,
}

/// Enqueues all items in one transaction. `compose` builds the answer from theirs; a refusal concerns one item only.
///
/// # Errors
/// Then nothing was done, or only the reply was lost: repeat the request with the same key.
pub async fn submit_many(
    pool: &PgPool,
    notifier: &Notifier,
    request: SubmitMany<'_>,
    compose: impl FnOnce(Vec<Result<Submitted, SubmitError>>) -> StoredAnswer,
) -> Result<Submitted, SubmitError> {
    let mut tx = pool.begin().await?;
    if let Some(replayed) = claim_key(&mut tx, &request.key, &request.fingerprint).await? {
        return Ok(replayed);
    }
    let works = plan(&mut tx, request.items, None, request.answer_of)
        .await?
        .works;
    let (done, entries) = perform(&mut tx, works, request.answer_of).await?;
    let done: Vec<_> = done
        .into_iter()
        .map(|done| done.map(|(_, submitted)| submitted))
        .collect();
    let outcomes: Vec<_> = request
        .items
        .iter()
        .zip(&done)
        .filter_map(|(item, done)| {
            let done = done.as_ref().ok()?;
            Some((item, done.how, done.replaced.clone()))
        })
        .collect();
    let answer = compose(done);
    request_keys::complete(&mut tx, &request.key, &answer).await?;
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    for (item, how, replaced) in outcomes {
        announce(notifier, item, how, &replaced);
    }
    Ok(Submitted::new(answer, SubmitOutcome::Inserted))
}
