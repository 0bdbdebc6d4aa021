//! The statement part that moves jobs to `finished_jobs`, with its one list of columns.

/// Inserts finished jobs: the CTEs of `$with`, then an insert of all columns from `$from`.
///
/// `$result` lists state, errors, crashes, output, error code and error message; every other column is taken as it is.
macro_rules! insert_finished {
    ($query:ident $(as $row:ty)?; $with:literal, $result:literal, $from:literal, $($argument:expr),+ $(,)?) => {
        sqlx::$query!(
            $($row,)?
            $with + "
             insert into finished_jobs (
                 id, tenant_id, kind, queue, priority, attempt, max_attempts, args, worker_id, run_at, started_at,
                 created_at, request_id, traceparent, dedupe_key, parent_id, children, client_request_id,
                 state, errors, crashes, output, error_code, error_message)
             select id, tenant_id, kind, queue, priority, attempt, max_attempts, args, worker_id, run_at, started_at,
                 created_at, request_id, traceparent, dedupe_key, parent_id, children, client_request_id,
                 " + $result + " " + $from,
            $($argument),+
        )
    };
}

pub(crate) use insert_finished;
