-- The job queue. It stands alone: no other migration is needed to run it, and no table here refers to one of theirs.
-- Waiting and running jobs live in `jobs`, a small hot table. The statement that settles a job moves it to
-- `finished_jobs`, so that claims never read history.

-- Column order and fill factor were measured (BENCHMARKS.md): 31 µs of server time and 1,520 bytes of WAL per job before.
-- The columns that a claim changes stand last, because an update that stays on its page logs only from the first changed
-- byte to the last; pages are filled to 40 %, so that the new version of every claimed row fits on the same page.
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
    -- The job is scheduled without a time and waits until its children have finished.
    awaits_children boolean not null default false,
    kind text not null,
    queue text not null,
    args jsonb not null,
    request_id text,
    traceparent text,
    -- At most one waiting job has a given key: see the index jobs_dedupe.
    dedupe_key text,
    -- The job that enqueued this one and may be waiting for it.
    parent_id uuid,
    last_error_code text,
    last_error_message text,
    progress real,
    progress_note text,
    -- Set while the job runs; its worker notices within a second.
    cancel_requested_at timestamptz,
    run_at timestamptz not null default now(),
    -- Attempts that count against max_attempts, and attempts whose worker died.
    errors int not null default 0,
    crashes int not null default 0,
    -- The fence: grows with every claim and never shrinks, so that (id, attempt) names exactly one holder.
    attempt int not null default 0,
    state text not null,
    worker_id uuid,
    lease_until timestamptz,
    started_at timestamptz,
    -- A tenant's jobs are listed in the order of their ids, which is the order of their creation, and no job is looked up
    -- without its tenant: this one index serves both.
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
    -- The table is small and changes all the time: vacuum after a fixed number of dead rows, not a share of the table.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 200000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000,
    autovacuum_vacuum_cost_delay = 0
);
-- A claim steps from tenant to tenant and takes each tenant's jobs by time.
create index jobs_claim on jobs (queue, priority, tenant_id, run_at, id) where state = 'available';
-- Jobs scheduled for later and jobs waiting for their next attempt.
create index jobs_due on jobs (run_at) where state in ('scheduled', 'retryable');
-- Leases that expire. The predicate is not the state on purpose: with statistics from a moment when nothing ran, the
-- planner takes an index on `state = 'running'` for empty, and settles then read all of it.
create index jobs_lease on jobs (lease_until) where lease_until is not null;
create unique index jobs_dedupe on jobs (tenant_id, kind, dedupe_key)
    where dedupe_key is not null and state in ('available', 'scheduled', 'retryable');
create index jobs_cancel on jobs (worker_id) where cancel_requested_at is not null;
create index jobs_parent on jobs (parent_id) where parent_id is not null;
create index jobs_awaiting on jobs (id) where awaits_children;

create table finished_jobs (
    id uuid not null,
    tenant_id uuid not null,
    kind text not null,
    queue text not null,
    state text not null check (state in ('succeeded', 'discarded', 'cancelled')),
    priority smallint not null,
    attempt int not null,
    errors int not null,
    crashes int not null,
    max_attempts int not null,
    args jsonb not null,
    worker_id uuid,
    run_at timestamptz not null,
    started_at timestamptz,
    created_at timestamptz not null,
    finished_at timestamptz not null default now(),
    request_id text,
    traceparent text,
    output jsonb,
    error_code text,
    error_message text,
    dedupe_key text,
    parent_id uuid,
    children int not null default 0,
    primary key (tenant_id, id),
    check ((state = 'succeeded') = (error_code is null))
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
-- For retention. Rows arrive in the order of finished_at, so an index over block ranges finds the old ones at a
-- thousandth of a B-tree's cost.
create index finished_jobs_finished_at on finished_jobs using brin (finished_at)
    with (pages_per_range = 32, autosummarize);
create index finished_jobs_parent on finished_jobs (parent_id) where parent_id is not null;
-- Dead letters: few, and read by people.
create index finished_jobs_discarded on finished_jobs (tenant_id, id) where state = 'discarded';

-- Attempts that did not succeed: why the job was retried, handed back or given up. The attempt that succeeded is in
-- finished_jobs, so a job that succeeds at once writes nothing here.
create table job_attempts (
    job_id uuid not null,
    attempt int not null,
    tenant_id uuid not null,
    worker_id uuid,
    started_at timestamptz,
    ended_at timestamptz not null default now(),
    outcome text not null check (
        outcome in ('retried', 'discarded', 'cancelled', 'interrupted', 'snoozed', 'waiting', 'crashed')),
    error_code text,
    -- Safe for the user; the operator's detail is in the log, under the request id.
    error_message text,
    primary key (job_id, attempt)
);

-- The part of a job's event log that cannot be derived from its row and its attempts.
create table job_events (
    tenant_id uuid not null,
    job_id uuid not null,
    attempt int not null,
    -- Counts within the attempt, from 1.
    seq int not null,
    at timestamptz not null default now(),
    kind text not null check (kind in ('progress', 'cancel_requested', 'retried')),
    progress real,
    note text check (length(note) <= 200),
    primary key (tenant_id, job_id, attempt, seq)
);

-- Maps the caller's name for a piece of work to its job. Kept longer than the job's row, so that work is not repeated.
create table job_keys (
    tenant_id uuid not null,
    kind text not null,
    external_id text not null check (length(external_id) between 1 and 255),
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    job_id uuid not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, kind, external_id)
);

-- The most jobs that may run at the same time over all workers. `name` is a queue, a kind, a tenant's id, or '*' for
-- every tenant that has no limit of its own.
create table queue_limits (
    scope text not null check (scope in ('queue', 'kind', 'tenant')),
    name text not null check (length(name) between 1 and 100),
    max_running int not null check (max_running between 1 and 100000),
    primary key (scope, name)
);

-- Queues from which no worker claims. Resuming deletes the row.
create table queue_pauses (
    queue text primary key check (length(queue) between 1 and 100),
    paused_at timestamptz not null default now(),
    -- Shown to people who find the queue paused.
    reason text not null check (length(reason) <= 500)
);

-- The latest job counts, taken by one worker for all.
create table queue_samples (
    queue text not null,
    state text not null,
    jobs bigint not null,
    oldest_run_at timestamptz,
    sampled_at timestamptz not null default now(),
    primary key (queue, state)
);

-- Worker processes that sent a heartbeat recently. For people; leases never depend on it.
create table workers (
    id uuid primary key,
    host text not null,
    queues text[] not null,
    slots int not null,
    running int not null,
    stopping boolean not null default false,
    version text not null,
    started_at timestamptz not null,
    seen_at timestamptz not null default now()
);

-- Periodic duties, one row each. A worker claims a duty by updating its row.
create table maintenance_duties (
    name text primary key,
    due_at timestamptz not null,
    last_run_at timestamptz,
    last_worker_id uuid
);
