//! The progress that an attempt reports, shown with the running job and kept in its event log.

use crate::Lease;
use sqlx::PgExecutor;

/// The share of the work that is done, with a note.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    value: f32,
    note: String,
}

/// A report that is out of bounds: a mistake in the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProgress {
    #[error("progress must be a number from 0 to 1")]
    Value,
    #[error(
        "a progress note must have at most {} characters and no NUL",
        Progress::LONGEST_NOTE
    )]
    Note,
}

impl Progress {
    pub const LONGEST_NOTE: usize = 200;

    /// Checks the value and the note.
    ///
    /// # Errors
    /// If the value is not within 0 and 1, or the note is longer than [`Self::LONGEST_NOTE`] characters.
    pub fn new(value: f32, note: &str) -> Result<Self, InvalidProgress> {
        if !(0.0..=1.0).contains(&value) {
            return Err(InvalidProgress::Value);
        }
        if note.chars().count() > Self::LONGEST_NOTE || note.contains('\0') {
            return Err(InvalidProgress::Note);
        }
        Ok(Self {
            value,
            note: note.to_owned(),
        })
    }

    /// Returns the stored progress; `None` if nothing was reported.
    pub(crate) fn stored(value: Option<f32>, note: Option<String>) -> Option<Self> {
        Some(Self {
            value: value?,
            note: note.unwrap_or_default(),
        })
    }

    pub fn value(&self) -> f32 {
        self.value
    }

    pub fn note(&self) -> &str {
        &self.note
    }
}

/// Writes the progress of the attempt that `lease` names. Returns false if the lease was lost; then nothing was written.
///
/// # Errors
/// If the database fails, or a concurrent cancel request took the event's number: write it again.
pub async fn report<'c>(
    executor: impl PgExecutor<'c>,
    lease: Lease,
    progress: &Progress,
) -> Result<bool, sqlx::Error> {
    let written = sqlx::query!(
        "with held as (
             update jobs set progress = $5, progress_note = $6
             where tenant_id = $1 and id = $2 and attempt = $3 and worker_id = $4 and state = 'running'
             returning tenant_id, id, attempt
         )
         insert into job_events (tenant_id, job_id, attempt, seq, kind, progress, note)
         select tenant_id, id, attempt, 1 + coalesce(
                    (select max(seq) from job_events event
                     where event.tenant_id = $1 and event.job_id = $2 and event.attempt = $3), 0),
                'progress', $5, $6
         from held",
        lease.tenant.0,
        lease.job.0,
        lease.attempt,
        lease.worker.0,
        progress.value,
        progress.note,
    )
    .execute(executor)
    .await?;
    Ok(written.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_share_and_a_short_note() {
        for good in [0.0, 0.5, 1.0] {
            assert_eq!(
                Progress::new(good, "é").unwrap().value().to_bits(),
                good.to_bits()
            );
        }
        for bad in [-0.1, 1.1, f32::NAN, f32::INFINITY] {
            assert_eq!(Progress::new(bad, ""), Err(InvalidProgress::Value));
        }
        assert!(Progress::new(0.5, &"é".repeat(200)).is_ok());
        for bad in ["é".repeat(201), "a\0b".to_owned()] {
            assert_eq!(Progress::new(0.5, &bad), Err(InvalidProgress::Note));
        }
    }
}
