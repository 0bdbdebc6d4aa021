-- The queue. Waiting and running jobs live in `jobs`, a small hot table; a job that reached a terminal state is moved
-- to `finished_jobs` by the statement that settles it, so that claims never wade through history.

create table jobs (
    id uuid primary key,
    tenant_id uuid not null,
    kind text not null,
    queue text not null,
    state text not null check (state in ('available', 'scheduled', 'running', 'retryable')),
    -- 1 is the most urgent, 4 the least.
    priority smallint not null default 3 check (priority between 1 and 4),
    run_at timestamptz not null default now(),
    -- The fence: grows with every claim and is never given back, so that (id, attempt) names one holder for ever.
    attempt int not null default 0,
    -- Attempts that count against max_attempts, and how often a worker died with the job in its hands.
    errors int not null default 0,
    crashes int not null default 0,
    max_attempts int not null check (max_attempts between 1 and 100),
    max_crashes int not null default 3 check (max_crashes between 1 and 100),
    args jsonb not null,
    worker_id uuid,
    lease_until timestamptz,
    started_at timestamptz,
    created_at timestamptz not null default now(),
    request_id text,
    traceparent text,
    last_error_code text,
    last_error_message text,
    check ((state = 'running') = (lease_until is not null)),
    check ((state = 'running') = (worker_id is not null))
) with (
    fillfactor = 70,
    -- The table is small and churns: vacuum by a fixed number of dead rows, not by a share of the table.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000,
    autovacuum_vacuum_cost_delay = 0
);
-- The claim reads this index from its left end and stops after its limit.
create index jobs_claim on jobs (queue, priority, run_at, id) where state = 'available';
-- What becomes due: jobs scheduled for later and jobs waiting for their next attempt.
create index jobs_due on jobs (run_at) where state in ('scheduled', 'retryable');
-- What a dead worker left behind. Renewal moves a row within it, which costs one index entry per job and 10 s.
create index jobs_lease on jobs (lease_until) where state = 'running';

create table finished_jobs (
    id uuid primary key,
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
    check ((state = 'succeeded') = (error_code is null))
);
-- Retention and counts by age.
create index finished_jobs_finished_at on finished_jobs (finished_at);

-- Attempts that did not end their job well: why it was retried, handed back or given up.
-- The attempt that succeeded is told by finished_jobs itself, so a good job writes nothing here.
create table job_attempts (
    job_id uuid not null,
    attempt int not null,
    tenant_id uuid not null,
    worker_id uuid,
    started_at timestamptz,
    ended_at timestamptz not null default now(),
    outcome text not null check (outcome in ('retried', 'discarded', 'cancelled', 'interrupted', 'snoozed', 'crashed')),
    error_code text,
    -- Safe for the user: the operator's detail is in the log, under the request id.
    error_message text,
    primary key (job_id, attempt)
);

-- One piece of work is one job, for longer than the job's own row is kept.
create table job_keys (
    tenant_id uuid not null,
    kind text not null,
    external_id text not null check (length(external_id) between 1 and 255),
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    job_id uuid not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, kind, external_id)
);

-- One HTTP request is answered once: the answer is stored in the transaction that did the work, and replayed.
create table request_keys (
    tenant_id uuid not null,
    actor_id uuid not null,
    operation text not null,
    key text not null check (length(key) between 1 and 255),
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    -- Null only inside the transaction that claims the key.
    status smallint,
    location text,
    body bytea,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    primary key (tenant_id, actor_id, operation, key)
);
create index request_keys_expires_at on request_keys (expires_at);

-- Which worker runs a periodic duty, and when it is due next: one row per duty, claimed by updating it.
create table maintenance_duties (
    name text primary key,
    due_at timestamptz not null,
    last_run_at timestamptz,
    last_worker_id uuid
);

-- The last count of the queue, taken by one worker for all: see queue::stats.
create table queue_samples (
    queue text not null,
    state text not null,
    jobs bigint not null,
    oldest_run_at timestamptz,
    sampled_at timestamptz not null default now(),
    primary key (queue, state)
);

-- Queues from which nothing is claimed, on any worker. Resuming deletes the row.
create table queue_pauses (
    queue text primary key check (length(queue) between 1 and 100),
    paused_at timestamptz not null default now(),
    -- Why, for whoever finds it paused.
    reason text not null check (length(reason) <= 500)
);
