-- The hot table again, laid out by what was measured: 31 µs of server time and 1,520 bytes of WAL a job before, see
-- BENCHMARKS.md. What a claim changes stands last, because an update that stays on its page logs only from the first
-- changed byte to the last; and a page is filled to 40 %, so that every claimed row finds room for its new version on it.

alter table jobs rename to jobs_before;
alter table jobs_before rename constraint jobs_pkey to jobs_before_pkey;
drop index jobs_claim, jobs_due, jobs_lease, jobs_dedupe, jobs_cancel, jobs_parent, jobs_awaiting;

create table jobs (
    tenant_id uuid not null,
    id uuid not null,
    created_at timestamptz not null default now(),
    -- 1 is the most urgent, 4 the least.
    priority smallint not null default 3,
    max_attempts int not null,
    max_crashes int not null default 3,
    -- How many children the job has enqueued.
    children int not null default 0,
    -- Waits for the ends of its children: scheduled, at no time.
    awaits_children boolean not null default false,
    kind text not null,
    queue text not null,
    args jsonb not null,
    request_id text,
    traceparent text,
    dedupe_key text,
    -- The job that enqueued this one and may be waiting for it.
    parent_id uuid,
    last_error_code text,
    last_error_message text,
    progress real,
    progress_note text,
    cancel_requested_at timestamptz,
    run_at timestamptz not null default now(),
    -- Attempts that count against max_attempts, and how often a worker died with the job in its hands.
    errors int not null default 0,
    crashes int not null default 0,
    -- The fence: grows with every claim and is never given back, so that (id, attempt) names one holder for ever.
    attempt int not null default 0,
    state text not null,
    worker_id uuid,
    lease_until timestamptz,
    started_at timestamptz,
    primary key (tenant_id, id),
    -- One check costs less than eight.
    constraint jobs_check check (
        state in ('available', 'scheduled', 'running', 'retryable')
        and (state = 'running') = (lease_until is not null)
        and (state = 'running') = (worker_id is not null)
        and priority between 1 and 4 and max_attempts between 1 and 100 and max_crashes between 1 and 100
        and length(dedupe_key) between 1 and 255 is not false
        and progress between 0 and 1 is not false and length(progress_note) <= 200 is not false)
) with (
    fillfactor = 40,
    -- The table is small and churns: vacuum by a fixed number of dead rows, not by a share of the table.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 200000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000,
    autovacuum_vacuum_cost_delay = 0
);

insert into jobs (tenant_id, id, created_at, priority, max_attempts, max_crashes, children, awaits_children, kind, queue,
    args, request_id, traceparent, dedupe_key, parent_id, last_error_code, last_error_message, progress, progress_note,
    cancel_requested_at, run_at, errors, crashes, attempt, state, worker_id, lease_until, started_at)
select tenant_id, id, created_at, priority, max_attempts, max_crashes, children, awaits_children, kind, queue,
    args, request_id, traceparent, dedupe_key, parent_id, last_error_code, last_error_message, progress, progress_note,
    cancel_requested_at, run_at, errors, crashes, attempt, state, worker_id, lease_until, started_at
from jobs_before;
drop table jobs_before;

-- One tenant after another, and within a tenant by time: a claim steps from tenant to tenant (queue::claim).
create index jobs_claim on jobs (queue, priority, tenant_id, run_at, id) where state = 'available';
-- What becomes due: jobs scheduled for later and jobs waiting for their next attempt.
create index jobs_due on jobs (run_at) where state in ('scheduled', 'retryable');
-- What a dead worker left behind. Its predicate is not the state on purpose: statistics that were taken while nothing
-- ran make the planner believe in an empty index on `state = 'running'`, and settles then read all of it.
create index jobs_lease on jobs (lease_until) where lease_until is not null;
create unique index jobs_dedupe on jobs (tenant_id, kind, dedupe_key)
    where dedupe_key is not null and state in ('available', 'scheduled', 'retryable');
create index jobs_cancel on jobs (worker_id) where cancel_requested_at is not null;
create index jobs_parent on jobs (parent_id) where parent_id is not null;
create index jobs_awaiting on jobs (id) where awaits_children;

-- Every attempt writes an audit row. Most readers come by request; what has none needs no entry, and nobody asks by job.
drop index audit_entries_job, audit_entries_request;
create index audit_entries_request on audit_entries (tenant_id, request_id, id) where request_id is not null;

-- Rows arrive in the order of finished_at: an index over block ranges finds the old ones for a thousandth of the cost.
drop index finished_jobs_finished_at;
create index finished_jobs_finished_at on finished_jobs using brin (finished_at) with (pages_per_range = 32, autosummarize);
alter table finished_jobs set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);

-- An entry about a job names it in job_id, and resource_id is null: one id less in half of all rows.
alter table audit_entries alter column resource_id drop not null;
alter table audit_entries add check (resource_id is not null or (resource_kind = 'job' and job_id is not null));
